"""Copies scans with other voxel sizes in their headers: anatomy that is squeezed, and details that are as fine as in scans
of thinner slices. The autoencoder of models/compact-v1 saw such copies of its few scans (models/compact-v1/README.md).

    python reference/squeezed_scans.py OUT FILE=0.8x0.8x1.6 FILE=1x1x1 …

Needs nibabel (reference/bench_requirements.txt).
"""

import sys
from pathlib import Path

import nibabel
import numpy as np


def squeezed(file, spacing_mm):
    image = nibabel.load(file)
    directions = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing_mm
    return nibabel.Nifti1Image(np.asanyarray(image.dataobj), affine)


def main(out, *requests):
    for request in requests:
        file, text = request.rsplit("=", 1)
        spacing_mm = [float(v) for v in text.split("x")]
        to = Path(out) / f"{Path(file).parent.name}_{text}" / Path(file).name
        to.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(squeezed(file, spacing_mm), to)
        print(to)


if __name__ == "__main__":
    main(*sys.argv[1:])
