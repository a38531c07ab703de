"""Makes crates/ct/tests/fixtures/radiomics from PyRadiomics' test data and IBSI's reference values.

    python reference/radiomics_fixture.py SHARED_DATA

Needs SimpleITK and pyradiomics 3.0.1, with which columns named `3.0.1` are computed on the part of brain1. brain1 is cut to 64 voxels around which its grid of 2 mm stays where it was, so that all baselines but that of
normalisation, which needs the whole image, hold for the part.
"""
import ast
import csv
import json
import pathlib
import sys

import SimpleITK as sitk
from radiomics import featureextractor

OUT = pathlib.Path(__file__).parent.parent / "crates/ct/tests/fixtures/radiomics"
CLASSES = ("shape", "firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm")
CASES = ("brain1", "breast1", "lung1", "lung2")
# What changes no feature.
LEFT_OUT = ("additionalInfo", "preCrop", "padDistance", "interpolator")
IBSI_PREFIXES = ("morph", "stat", "ih", "cm", "rlm", "szm", "ngt", "ngl")


def baselines(folder):
    columns = {}
    for name in CLASSES:
        with open(folder / f"baseline_{name}.csv", newline="") as file:
            rows = {row[0]: row[1:] for row in csv.reader(file)}
        for at, column in enumerate(rows["featureName"]):
            case = column.split("_")[0]
            if case not in CASES or (case.startswith("lung") and name != "shape"):
                continue
            setting = ast.literal_eval(rows["diagnostics_Configuration_Settings"][at])
            setting = {k: v for k, v in setting.items() if k not in LEFT_OUT and v is not None}
            values = {k: float(v[at]) for k, v in rows.items() if k.startswith("original")}
            columns[f"{column}_{name}"] = {"case": case, "class": name, "setting": setting, "features": values}
    return columns


def computed():
    settings = {
        "default": {},
        "binCount": {"binCount": 32},
        "normalized": {"normalize": True, "normalizeScale": 100, "removeOutliers": 2, "binWidth": 5},
        "nearest": {"resampledPixelSpacing": [1.07, 1.07, 1.07], "interpolator": "sitkNearestNeighbor"},
        # No voxel lies where the mean of whole numbers is one: rounding would decide where ITK cuts.
        "linear": {"resampledPixelSpacing": [1.37, 1.37, 0], "interpolator": "sitkLinear"},
        "force2D": {"force2D": True, "force2Ddimension": 2},
        "distances": {"distances": [1, 2]},
        "weighted": {"weightingNorm": "euclidean"},
        "manhattan": {"weightingNorm": "manhattan"},
        "asymmetrical": {"symmetricalGLCM": False},
        "relative": {"resegmentRange": [0.1, 0.9], "resegmentMode": "relative", "resegmentShape": True},
        "alpha": {"gldm_a": 1, "voxelArrayShift": 1000},
    }
    image, mask = (sitk.ReadImage(str(OUT / f"brain1_{part}.nrrd")) for part in ("image", "label"))
    columns = {}
    for name, setting in settings.items():
        for kind in CLASSES:
            extractor = featureextractor.RadiomicsFeatureExtractor({"setting": setting, "featureClass": {kind: []}})
            found = extractor.execute(image, mask)
            values = {k: float(v) for k, v in found.items() if k.startswith("original")}
            columns[f"3.0.1 {name} {kind}"] = {"case": "brain1 3.0.1", "class": kind, "setting": setting, "features": values}
    return columns


def main():
    shared = pathlib.Path(sys.argv[1])
    folder = shared / "radiomics_pyradiomics"
    for part in ("image", "label"):
        brain = sitk.ReadImage(str(folder / f"brain1_{part}.nrrd"))
        sitk.WriteImage(brain[128:229, 64:174], str(OUT / f"brain1_{part}.nrrd"), True)
    for name in ("breast1_image", "breast1_label", "lung1_label", "lung2_label"):
        image = sitk.ReadImage(str(folder / f"{name}.nrrd"))
        sitk.WriteImage(sitk.Cast(image, sitk.sitkUInt8) if "label" in name else image, str(OUT / f"{name}.nrrd"), True)
    (OUT / "baselines.json").write_text(json.dumps({**baselines(folder), **computed()}, indent=0) + "\n")
    with open(shared / "lung_tumor_ibsi/ibsi_1_dig_phantom.csv", newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))
    kept = [row for row in rows if row[2] == "tag" or row[2].split("_")[0] in IBSI_PREFIXES]
    (OUT / "ibsi_1_dig_phantom.csv").write_text("".join(";".join(row) + "\n" for row in kept))


main()
