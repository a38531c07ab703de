"""Tables and labels of experiments/real-liver: three livers to put tumors into, and one scan with two real ones.

    python reference/liver_study_data.py DATA OUT      # needs nibabel, numpy, pydicom, pylibjpeg, pylibjpeg-openjpeg

DATA holds the public scans in the folders named below. Nothing of 3D-IRCADb (CC BY-NC-ND) is part of this repository.
"""
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom

data, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)


def save(array, affine, name):
    nib.save(nib.Nifti1Image(array, affine), out / name)


def mask(path, value, name):
    """One value of a label file as liver (1)."""
    image = nib.load(path)
    save((np.asarray(image.dataobj) == value).astype(np.uint8), image.affine, name)


mask(data / "torso_totalsegmentator_3mm/labels.nii.gz", 5, "torso_liver.nii.gz")
mask(data / "abdomen_crlm1006/approx_masks.nii.gz", 1, "crlm_liver.nii.gz")

# 20 DICOM slices, sorted along z; DICOM's x and y point to left and posterior.
slices = [pydicom.dcmread(p) for p in (data / "dicom_totalsegmentator_20slices").iterdir()]
slices.sort(key=lambda s: float(s.ImagePositionPatient[2]))
hu = np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices], -1)
first, step = slices[0], float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2])
dy, dx = map(float, first.PixelSpacing)
x, y, z = map(float, first.ImagePositionPatient)
affine = np.array([[-dx, 0, 0, -x], [0, -dy, 0, -y], [0, 0, step, z], [0, 0, 0, 1]])
save(hu.transpose(1, 0, 2).astype(np.int16), affine, "upper20_ct.nii.gz")
labels = nib.load(data / "dicom_totalsegmentator_20slices_labels.nii.gz")
flip = nib.orientations.ornt_transform(
    nib.io_orientation(labels.affine), nib.io_orientation(affine))
liver = nib.orientations.apply_orientation(np.asarray(labels.dataobj), flip) == 5
save(liver.astype(np.uint8), affine, "upper20_liver.nii.gz")

organ = nib.load(data / "liver_tumor_3dircadb17/liver.nii.gz")
truth = (np.asarray(organ.dataobj) > 0).astype(np.uint8)
truth[np.asarray(nib.load(data / "liver_tumor_3dircadb17/tumors.nii.gz").dataobj) > 0] = 2
save(truth, organ.affine, "case17_labels.nii.gz")

(out / "healthy.csv").write_text(
    "id,ct,labels\n"
    f"torso,{data}/torso_totalsegmentator_3mm/ct.nii.gz,torso_liver.nii.gz\n"
    f"crlm,{data}/abdomen_crlm1006/ct.nii.gz,crlm_liver.nii.gz\n"
    "upper20,upper20_ct.nii.gz,upper20_liver.nii.gz\n")
(out / "test.csv").write_text(
    f"id,ct,labels\ncase17,{data}/liver_tumor_3dircadb17/ct.nii.gz,case17_labels.nii.gz\n")
