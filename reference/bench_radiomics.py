"""Radiomics features of a mask: this program and PyRadiomics 3.0.1, in turns, on the same number of threads.

    cargo bench -p difftumor-ct --bench radiomics --no-run          # prints where the program lies
    python reference/bench_radiomics.py PROGRAM IMAGE.nii.gz MASK.nii.gz [ROUNDS [THREADS]]

Needs pyradiomics 3.0.1 (with numpy<2). Prints seconds of each (best of ten, of PyRadiomics best of two a round), the ratio for all six
classes together (shape, GLCM, GLDM, GLRLM, GLSZM, NGTDM; files already read), and for each on its own.
"""
import json
import logging
import os
import subprocess
import sys
import time

import numpy as np
import SimpleITK as sitk
from radiomics import featureextractor, setVerbosity

CLASSES = ("shape", "glcm", "gldm", "glrlm", "glszm", "ngtdm")


def theirs(image, mask, classes):
    extractor = featureextractor.RadiomicsFeatureExtractor({"featureClass": {name: [] for name in classes}})
    best = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        extractor.execute(image, mask)
        best = min(best, time.perf_counter() - start)
    return best


def main():
    program, image_path, mask_path = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    threads = sys.argv[5] if len(sys.argv) > 5 else "2"
    setVerbosity(logging.CRITICAL)
    image, mask = sitk.ReadImage(image_path), sitk.ReadImage(mask_path)
    voxels = int((sitk.GetArrayFromImage(mask) == 1).sum())
    print(f"{image_path}: {image.GetSize()}, {voxels} voxels, {threads} threads")
    environment = {**os.environ, "RAYON_NUM_THREADS": threads}
    ratios = {"seconds": [], **{name: [] for name in CLASSES}}
    for _ in range(rounds):
        run = subprocess.run([program, image_path, mask_path], env=environment, capture_output=True, check=True)
        ours = json.loads(run.stdout)
        for name in ratios:
            other = theirs(image, mask, CLASSES if name == "seconds" else (name,))
            ratios[name].append(other / ours[name])
            print(f"{'all six' if name == 'seconds' else name}: {ours[name]:.4f} s, PyRadiomics {other:.3f} s")
    for name, values in ratios.items():
        print(f"{'all six' if name == 'seconds' else name}: {np.median(values):.1f} times as fast (median of {rounds})")


main()
