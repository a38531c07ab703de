"""Writes crates/difftumor/tests/fixtures/image_quality.json: what scikit-image and scipy give on two small images that
formulas make.

Run from the repository root with Python 3.11, numpy 2.4, scipy 1.17 and scikit-image 0.26. Never needed to build or test
the project.
"""

import json

import numpy as np
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

SHAPE = (17, 23, 14)
x, y, z = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
smooth = np.sin(0.31 * x + 0.2) * np.cos(0.17 * y) * np.cos(0.4 * z - 1)
fine = (7 * x + 13 * y + 29 * z + x * y) % 101 / 50 - 1
a = np.clip(0.9 * smooth + 0.15 * fine, -1, 1)
b = np.clip(0.8 * smooth + 0.05 * fine + 0.04, -1, 1)


def pooled(image):
    """4 x 4 x 4 averages and cubic up-sampling; a pooled voxel lies in the middle of its block."""
    padded = np.pad(image, [(0, -n % 4) for n in image.shape], mode="edge")
    blocks = padded.reshape(sum(((n // 4, 4) for n in padded.shape), ())).mean(axis=(1, 3, 5))
    position = np.stack([x, y, z]) / 4 - 1.5 / 4
    position = np.clip(position, 0, np.array(blocks.shape)[:, None, None, None] - 1)
    return np.clip(ndimage.map_coordinates(blocks, position, order=3, mode="mirror"), -1, 1)


ssim = structural_similarity(
    a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=2
)
out = {
    "psnr_db": peak_signal_noise_ratio(a, b, data_range=2),
    "ssim": ssim,
    "psnr_pool4_db": peak_signal_noise_ratio(a, pooled(a), data_range=2),
}
with open("crates/difftumor/tests/fixtures/image_quality.json", "w") as file:
    json.dump({k: float(v) for k, v in out.items()}, file, indent=2)
    file.write("\n")
