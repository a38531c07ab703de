"""Reads what the program writes in NRRD and DICOM with the programs of others, and the other way around.

Run by hand, from the repository's root:

    pip install numpy nibabel pynrrd SimpleITK pydicom highdicom
    python reference/check_nrrd_dicom.py [FOLDER]

FOLDER keeps the files (default: a temporary folder). A series of CT slices is made from pydicom's test file CT_small.dcm;
crates/ct/examples/write_formats.rs writes scan and labels; the NIfTI files that it writes beside them are the truth. dciodvfy of dicom3tools
is run where it is installed.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import highdicom
import nibabel
import nrrd
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

SLICES = 8
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
NAMES = {1: "liver", 2: "liver_tumor", 3: "kidney_left", 4: "thing"}


def make_series(folder):
    """Slices of one CT, each with a value of its own in a corner, and with things that must not be passed on."""
    folder.mkdir(parents=True)
    series = generate_uid(entropy_srcs=["difftumor check"])
    for z in range(SLICES):
        ds = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        ds.SeriesInstanceUID = series
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{series[:50]}.{z + 1}"
        x, y, bottom = (float(v) for v in ds.ImagePositionPatient)
        ds.ImagePositionPatient = [x, y, round(bottom + 5 * z, 6)]
        ds.InstanceNumber = z + 1
        pixels = ds.pixel_array.copy()
        pixels[:8, :8] = 100 * z
        ds.PixelData = pixels.tobytes()
        ds.add_new((0x6000, 0x0022), "LO", "overlay")
        item = pydicom.Dataset()
        item.add_new((0x0009, 0x0010), "LO", "PRIVATE INSIDE")
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "C-B0300", "SRT", "Contrast"
        ds.ContrastBolusAgentSequence = [item]
        ds.PatientName = "Müller^Jörg"
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.save_as(folder / f"{(z * 5) % SLICES}.dcm")


def same_geometry(affine, truth, tolerance=1e-4):
    assert np.allclose(affine, truth, atol=tolerance), f"{affine}\n{truth}"


def sitk_affine(image):
    """RAS+ mm."""
    m = np.eye(4)
    m[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    m[:3, 3] = image.GetOrigin()
    return LPS @ m


def check_nrrd(out, volume, labels, affine):
    for name, truth in [("v.nrrd", volume), ("l.nrrd", labels), ("l.seg.nrrd", labels)]:
        data, header = nrrd.read(str(out / name))
        assert np.array_equal(data, truth), name
        m = np.eye(4)
        m[:3, :3] = header["space directions"].T
        m[:3, 3] = header["space origin"]
        assert header["space"] == "left-posterior-superior"
        same_geometry(LPS @ m, affine)
        image = sitk.ReadImage(str(out / name))
        assert np.array_equal(sitk.GetArrayFromImage(image).T, truth), name
        same_geometry(sitk_affine(image), affine)
    _, header = nrrd.read(str(out / "l.seg.nrrd"))
    for i, (value, name) in enumerate(NAMES.items()):
        assert header[f"Segment{i}_Name"] == name and int(header[f"Segment{i}_LabelValue"]) == value
        where = np.argwhere(labels == value)
        extent = " ".join(f"{a} {b}" for a, b in zip(where.min(0), where.max(0)))
        assert header[f"Segment{i}_Extent"] == extent, header
    try:
        import slicerio
    except ImportError:
        print("slicerio: not installed")
        return
    found = slicerio.read_segmentation(str(out / "l.seg.nrrd"))
    assert [s["name"] for s in found["segments"]] == list(NAMES.values()), found["segments"]
    assert found["segments"][0]["terminology"]["type"][1] == "10200004", found["segments"][0]
    print("slicerio: names and codes as expected")


def write_nrrd(folder, volume, labels, affine):
    """NRRD files of others, in several encodings and spaces."""
    folder.mkdir()
    m = LPS @ affine
    header = {
        "space": "left-posterior-superior",
        "space directions": m[:3, :3].T,
        "space origin": m[:3, 3],
        "kinds": ["domain"] * 3,
    }
    nrrd.write(str(folder / "gzip.nrrd"), volume, header | {"encoding": "gzip"})
    nrrd.write(str(folder / "raw.nrrd"), volume.astype("f4"), header | {"encoding": "raw"})
    nrrd.write(str(folder / "big.nrrd"), volume.astype(">i2"), header | {"encoding": "raw", "endian": "big"})
    nrrd.write(str(folder / "detached.nhdr"), volume, header | {"encoding": "gzip"}, detached_header=True)
    ras = {"space": "RAS", "space directions": affine[:3, :3].T, "space origin": affine[:3, 3]}
    nrrd.write(str(folder / "ras.nrrd"), volume, header | ras)
    nrrd.write(str(folder / "labels.nrrd"), labels, header)
    # Two layers, as 3D Slicer writes segments that overlap.
    layers = np.stack([np.isin(labels, [1, 2]) + 3 * (labels == 3) + 4 * (labels == 4), labels == 2]).astype("u1")
    segments = {}
    for i, (value, layer, name) in enumerate([(1, 0, "liver"), (2, 1, "tumor"), (3, 0, "k"), (4, 0, "t")]):
        stored = 1 if layer else value
        segments |= {f"Segment{i}_Name": name, f"Segment{i}_Layer": layer, f"Segment{i}_LabelValue": stored}
    directions = np.vstack([[np.nan] * 3, m[:3, :3].T])
    layered = {"space directions": directions, "kinds": ["list"] + ["domain"] * 3}
    nrrd.write(str(folder / "layers.seg.nrrd"), layers, header | layered | segments)
    image = sitk.GetImageFromArray(volume.T)
    image.SetSpacing(np.linalg.norm(m[:3, :3], axis=0).tolist())
    image.SetDirection((m[:3, :3] / np.linalg.norm(m[:3, :3], axis=0)).ravel().tolist())
    image.SetOrigin(m[:3, 3].tolist())
    sitk.WriteImage(image, str(folder / "itk.nrrd"), useCompression=True)
    sitk.WriteImage(image, str(folder / "itk.nhdr"))


def check_read_nrrd(folder, out, volume, labels, affine):
    names = sorted(p.name for p in folder.iterdir() if p.suffix in (".nrrd", ".nhdr"))
    for name in names:
        found = nibabel.load(out / f"read-{name}.nii.gz")
        truth = labels if name in ("labels.nrrd", "layers.seg.nrrd") else volume
        assert np.array_equal(np.asarray(found.dataobj), truth), name
        same_geometry(found.affine, affine)
    print(f"read from others: {', '.join(names)}")


def check_series(folder, volume, affine, source=None):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(image).T, volume), folder
    same_geometry(sitk_affine(image), affine)
    files = [pydicom.dcmread(p) for p in sorted(folder.iterdir())]
    files.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    assert len({ds.SOPInstanceUID for ds in files}) == len(files) == SLICES
    assert len({ds.SeriesInstanceUID for ds in files}) == 1
    for z, ds in enumerate(files):
        hu = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        assert np.array_equal(hu.T, volume[..., z]), (folder, z)
        assert ds.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert ds["SyntheticData"].value == "YES" and ds.ImageType[0] == "DERIVED"
        private = [e.tag for e in ds.iterall() if e.tag.is_private]
        assert not private and (0x6000, 0x0022) not in ds, private
        if source:
            assert ds.PatientName == source[z].PatientName == "Müller^Jörg"
            assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == source[z].SOPInstanceUID
            for name in ["PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "KVP", "PixelSpacing"]:
                assert ds.get(name) == source[z].get(name), name
            assert ds.SeriesInstanceUID != source[z].SeriesInstanceUID
    return files


def check_seg(path, files, labels):
    seg = highdicom.seg.segread(path)
    assert [s.segment_label for s in (seg.get_segment_description(i + 1) for i in range(4))] == list(NAMES.values())
    tumor = seg.get_segment_description(2)
    assert tumor.segmented_property_type.value == "108369006"
    assert seg.get_segment_description(1).segmented_property_type.value == "10200004"
    instances = [ds.SOPInstanceUID for ds in files]
    pixels = seg.get_pixels_by_source_instance(
        instances, combine_segments=True, assert_missing_frames_are_empty=True, ignore_spatial_locations=False
    )
    assert np.array_equal(pixels.transpose(2, 1, 0), labels), path
    volume = seg.get_volume(combine_segments=True, allow_missing_positions=True)
    # Whatever part and order of slices it takes, voxels lie where they do.
    for value in NAMES:
        spots = np.argwhere(volume.array == value)
        places = {tuple(np.round(p, 2)) for p in volume.map_indices_to_reference(spots)}
        plane = [np.array([float(v) for v in ds.ImagePositionPatient]) for ds in files]
        dy, dx = (float(v) for v in files[0].PixelSpacing)
        row, column = np.array(files[0].ImageOrientationPatient, float).reshape(2, 3)
        truth = {tuple(np.round(plane[z] + x * dx * row + y * dy * column, 2)) for x, y, z in np.argwhere(labels == value)}
        assert places == truth, (path, value, len(places), len(truth))


def dciodvfy(path):
    tool = shutil.which("dciodvfy")
    if tool is None:
        print("dciodvfy: not installed")
        return
    text = subprocess.run([tool, "-new", str(path)], capture_output=True, text=True).stderr
    errors = [line for line in text.splitlines() if line.startswith("Error")]
    warnings = [line for line in text.splitlines() if line.startswith("Warning")]
    print(f"dciodvfy {path.parent.name}/{path.name}: {len(errors)} errors, {len(warnings)} warnings")
    print("".join(f"    {line}\n" for line in errors + warnings), end="")


def main():
    out = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()).absolute()
    series = out / "series"
    make_series(series)
    source = sorted((pydicom.dcmread(p) for p in series.iterdir()), key=lambda ds: float(ds.ImagePositionPatient[2]))
    run = ["cargo", "run", "-q", "--locked", "-p", "difftumor-ct", "--example", "write_formats", "--"]
    first, second, empty, others = out / "out", out / "again", out / "none", out / "others"
    for folder in (first, second, empty):
        folder.mkdir()
    subprocess.run(run + [series, empty, first], check=True)
    v, labels = nibabel.load(first / "v.nii.gz"), np.asarray(nibabel.load(first / "l.nii.gz").dataobj)
    volume, affine = np.asarray(v.dataobj), v.affine
    before = np.stack([ds.pixel_array.T * ds.RescaleSlope + ds.RescaleIntercept for ds in source], axis=-1)
    assert np.array_equal(volume != before, (labels == 2) & (before != 33))
    write_nrrd(others, volume, labels, affine)
    subprocess.run(run + [series, others, second], check=True)
    for path in first.rglob("*"):
        assert path.is_dir() or path.read_bytes() == (second / path.relative_to(first)).read_bytes(), path
    print("two runs give the same bytes")

    check_nrrd(first, volume, labels, affine)
    print("NRRD: voxels and places as pynrrd and SimpleITK see them")
    check_read_nrrd(others, second, volume, labels, affine)
    kept = check_series(first / "kept", volume, affine, source)
    nobody = check_series(first / "nobody", volume, affine)
    check_series(first / "halves", volume / 2, affine)
    print("CT series: voxels, places and headers as pydicom and SimpleITK (GDCM) see them")
    for name, files in [("kept", kept), ("source", source), ("nobody", nobody)]:
        check_seg(first / f"{name}-seg.dcm", files, labels)
    print("DICOM SEG: voxels, places, references and codes as highdicom sees them")
    paths = [series / "0.dcm", *(first / f / "0001.dcm" for f in ("kept", "nobody", "halves"))]
    for path in paths + [first / f"{name}-seg.dcm" for name in ("kept", "source", "nobody")]:
        dciodvfy(path)


if __name__ == "__main__":
    main()
