"""Writes crates/ct/tests/fixtures/voxel_scipy.safetensors: what numpy, scipy and nibabel give on small inputs.

Run from the repository root with Python 3.11, numpy 2.4, scipy 1.17, nibabel 5 and safetensors. Never needed to
build or test the project.
"""

import nibabel
import numpy as np
from safetensors.numpy import save_file
from scipy import ndimage

rng = np.random.default_rng(7)
out = {}

# Gaussian blur of f32 and f64.
image = rng.normal(0, 300, (7, 6, 9))
out["gaussian.sigma"] = np.array([1.2, 0.5, 2.3])
out["gaussian.in64"] = image
out["gaussian.out64"] = ndimage.gaussian_filter(image, out["gaussian.sigma"])
out["gaussian.in32"] = image.astype(np.float32)
out["gaussian.out32"] = ndimage.gaussian_filter(image.astype(np.float32), out["gaussian.sigma"])

# Resampling: source of unit spacing, targets given by their matrix; positions outside are moved to the edge.
source = rng.normal(0, 300, (6, 7, 5)).astype(np.float32)
out["resample.in"] = source
matrices = {
    "straight": [[0.7, 0, 0, -0.8], [0, 1.3, 0, 0.25], [0, 0, 0.45, 0.1], [0, 0, 0, 1]],
    "oblique": [[0.9, -0.3, 0.1, -0.6], [0.2, 1.1, -0.2, 0.4], [0.1, 0.3, 0.8, -0.3], [0, 0, 0, 1]],
}
for name, matrix in matrices.items():
    matrix = np.array(matrix)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in (6, 5, 7)], indexing="ij"))
    position = np.tensordot(matrix[:3, :3], index, 1) + matrix[:3, 3][:, None, None, None]
    position = np.clip(position, 0, np.array(source.shape)[:, None, None, None] - 1)
    out[f"resample.{name}.matrix"] = matrix
    for order, kind in ((1, "linear"), (3, "cubic")):
        out[f"resample.{name}.{kind}"] = ndimage.map_coordinates(
            source.astype(np.float64), position, order=order, mode="mirror"
        )

# Distances, morphology and components of a mask.
mask = ndimage.gaussian_filter(rng.normal(0, 1, (9, 8, 10)), 1.0) > -0.1
out["mask"] = mask.astype(np.uint8)
out["edt.sampling"] = np.array([0.7, 0.7, 2.5])
out["edt.out"] = ndimage.distance_transform_edt(mask, sampling=out["edt.sampling"])
for rank, name in ((1, "faces"), (2, "edges"), (3, "corners")):
    element = ndimage.generate_binary_structure(3, rank)
    out[f"label.{name}"] = ndimage.label(mask, element)[0].astype(np.uint8)
    for border in (0, 1):
        for kind, f in (("erode", ndimage.binary_erosion), ("dilate", ndimage.binary_dilation)):
            result = f(mask, element, iterations=2, border_value=border)
            out[f"{kind}.{name}.border{border}"] = result.astype(np.uint8)

# Axis codes of random, mostly oblique and sheared, affines.
affines = rng.normal(0, 1, (24, 4, 4))
affines[:, 3] = [0, 0, 0, 1]
out["axcodes.affine"] = affines
out["axcodes.codes"] = np.array(
    [[ord(c) for c in nibabel.aff2axcodes(a)] for a in affines], dtype=np.uint8
)

save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, "crates/ct/tests/fixtures/voxel_scipy.safetensors")
