"""What `bench.py` compares with: PyTorch eager (f32, 2 threads), scipy and nibabel, stage by stage.

    python reference/bench_torch.py --check goldens/     are the modules the published networks? fails above 1e-4
    python reference/bench_torch.py --serve [CASE_DIR]   reads `STAGE REPS` lines, answers with JSON lines

Needs torch, numpy, scipy, nibabel, safetensors (bench_requirements.txt). Stage names: see `STAGES` in bench.py.
"""
import json
import pathlib
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import torch_models as models

TOLERANCE = 1e-4  # an f64 run of the networks is 6e-6 away from the recorded f32 numbers
THREADS = 2


def check(folder):
    """Compares the networks with the recorded numbers; returns whether they agree."""
    from safetensors.torch import load_file

    worst = []

    def compare(name, ours, want):
        worst.append((ours - want).abs().max().item())
        print(f"{name}: largest difference {worst[-1]:.2e}")

    autoencoder = models.fill_by_rule(models.Autoencoder())
    g = load_file(folder / "autoencoder_32.safetensors")
    compare("autoencoder_32 latents", autoencoder.encode(g["input"]), g["pre_vq"])
    for latents, indices, decoded in [("pre_vq", "indices", "decoded"), ("latent2", "latent2_indices", "latent2_decoded")]:
        differ = (autoencoder.codebook.indices(g[latents]) != g[indices].flatten()).sum().item()
        print(f"autoencoder_32 {indices}: {differ} differ")
        compare(f"autoencoder_32 {decoded}", autoencoder.decode(g[latents]), g[decoded])
    unet = models.fill_by_rule(models.Unet3d())
    for name in ["unet3d_8", "unet3d_noncubic"]:
        g = load_file(folder / f"{name}.safetensors")
        compare(f"{name} prediction", unet(g["x"], g["t"], g["cond"]), g["out"])
    return all(difference <= TOLERANCE for difference in worst)  # not a number is no agreement


def sides(text):
    return [int(n) for n in text.split("x")]


def conv(inputs, outputs, kernel, stride, n, padding):
    kernel, stride = sides(kernel), sides(stride)
    mode = {"edge": "replicate", "zero": "zeros"}[padding]
    pad = [(k - s + 1) // 2 for k, s in zip(kernel, stride)]
    layer = nn.Conv3d(int(inputs), int(outputs), kernel, stride, pad, padding_mode=mode)
    x = torch.randn(1, int(inputs), *sides(n))
    return lambda: layer(x)


def up(inputs, outputs, n):
    layer, x = models.EdgeUp(int(inputs), int(outputs)), torch.randn(1, int(inputs), *sides(n))
    return lambda: layer(x)


def norm(channels, groups, n):
    layer, x = nn.GroupNorm(int(groups), int(channels)), torch.randn(1, int(channels), *sides(n))
    return lambda: F.silu(layer(x))


def attention(axis, channels, n):
    c, n = int(channels), sides(n)
    x = torch.randn(1, c, *n)
    if axis == "slice":
        layer = models.SliceAttention(c)
        return lambda: layer(x)
    layer, positions = models.SequenceAttention(c), models.PositionBias()(n[0])
    return lambda: layer(x, positions)


def sgemm(n):
    a, b = torch.randn(2, int(n), int(n))
    return lambda: a @ b


def network(stage):
    autoencoder = models.fill_by_rule(models.Autoencoder())
    image, latents = torch.randn(1, 1, 96, 96, 96).clamp(-1, 1), torch.randn(1, 8, 24, 24, 24)
    if stage == "encode":
        return lambda: autoencoder.encode(image)
    if stage == "search":
        return lambda: autoencoder.codebook.indices(latents)
    if stage == "decode":
        return lambda: autoencoder.decode(latents)
    unet = models.fill_by_rule(models.Unet3d())
    if stage == "unet":
        t, cond = torch.tensor([1]), torch.randn(1, 9, 24, 24, 24)
        return lambda: unet(latents, t, cond)
    mask = torch.zeros_like(image)
    mask[..., 40:56, 40:56, 40:56] = 1
    return lambda: models.early_tumor(autoencoder, unet, image, mask)


def voxels(stage, case):
    """Operations on the scan of `bench.py`'s case."""
    import nibabel
    from scipy import ndimage

    if stage == "read":
        return lambda: np.asarray(nibabel.load(case / "ct.nii.gz").get_fdata(dtype=np.float32, caching="unchanged"))
    image = nibabel.load(case / "ct.nii.gz")
    spacing, ct = image.header.get_zooms()[:3], np.ascontiguousarray(image.get_fdata(dtype=np.float32))
    image.uncache()
    if stage == "gaussian":
        return lambda: ndimage.gaussian_filter(ct, 2.0)
    if stage == "linear":
        return lambda: ndimage.zoom(ct, spacing, order=1, mode="nearest")
    if stage == "linear-interpolate":
        size, x = [round(n * s) for n, s in zip(ct.shape, spacing)], torch.from_numpy(ct)[None, None]
        return lambda: F.interpolate(x, size=size, mode="trilinear", align_corners=True)
    if stage == "components-noise":
        dense = ct > 60
        return lambda: ndimage.label(dense, np.ones((3, 3, 3)))
    liver = np.ascontiguousarray(np.asarray(nibabel.load(case / "liver.nii.gz").dataobj) > 0)
    if stage == "components":
        return lambda: ndimage.label(liver, np.ones((3, 3, 3)))
    return lambda: ndimage.distance_transform_edt(liver, sampling=spacing)


LAYERS = {"conv": conv, "up": up, "norm": norm, "attention": attention, "sgemm": sgemm}


def prepare(stage, case):
    kind, *arguments = stage.split(":")
    if kind == "ct":
        return voxels(*arguments, case)
    return LAYERS[kind](*arguments) if kind in LAYERS else network(stage)


def flops(run):
    """Additions and multiplications of the matrix products and convolutions."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def memory_mb(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def serve(case):
    """One stage at a time; the first line of a stage also prepares it, runs it once and counts its operations."""
    flops(conv("8", "8", "3x3x3", "1x1x1", "8x8x8", "zero"))  # libraries load parts of themselves at first use
    current, run, work, libraries_mb = None, None, 0, memory_mb("VmRSS")
    for line in sys.stdin:
        stage, reps = line.split()
        if stage != current:
            current, run = stage, prepare(stage, case)
            work = flops(run)
            run()
            pathlib.Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the preparation
        times = []
        for _ in range(int(reps)):
            start = time.perf_counter()
            result = run()
            times.append((time.perf_counter() - start) * 1e3)
            del result
        peak_mb = memory_mb("VmHWM") - libraries_mb
        print(json.dumps({"stage": stage, "times_ms": times, "peak_mb": peak_mb, "flops": work}), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    with torch.inference_mode():
        match sys.argv[1:]:
            case ["--check", folder]:
                sys.exit(0 if check(pathlib.Path(folder)) else "the modules are not the published networks")
            case ["--serve", *rest]:
                serve(pathlib.Path(rest[0]) if rest else None)
            case _:
                sys.exit(__doc__)
