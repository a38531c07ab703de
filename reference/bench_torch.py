"""What `bench.py` compares with: PyTorch eager (f32), MONAI's sliding windows, scipy and nibabel, stage by stage.

    python reference/bench_torch.py --check goldens/     are the modules the published networks? fails above 1e-4
    python reference/bench_torch.py --serve [CASE_DIR]   reads `STAGE REPS` lines, answers with JSON lines

BENCH_TORCH_DEVICE=cuda serves from a GPU; OMP_NUM_THREADS is the number of threads (2).

Needs torch, monai, numpy, scipy, nibabel, safetensors (bench_requirements.txt). Stage names: see `STAGES` in bench.py.
"""
import json
import os
import pathlib
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import torch_models as models
import torch_segmentation as segmentation

TOLERANCE = 1e-4  # an f64 run of the networks is 6e-6 away from the recorded f32 numbers
THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
DEVICE = os.environ.get("BENCH_TORCH_DEVICE", "cpu")
SEGMENTATION = {"unet": models.SegUnet, "nnunet": segmentation.NnUnet, "swinunetr": segmentation.SwinUnetr}
ONE_RUN_MS = 5000  # a stage that takes longer has warmed up when its operations are counted


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
    g = load_file(folder / "seg_unet.safetensors")
    compare("seg_unet prediction", models.fill_by_rule(models.SegUnet())(g["x32"]), g["out32"])
    for name in ["seg_nnunet", "seg_swinunetr"]:
        worst.append(segmentation.difference(folder / f"{name}.safetensors"))
        print(f"{name} prediction: largest difference {worst[-1]:.2e}")
    return all(difference <= TOLERANCE for difference in worst)  # not a number is no agreement


def sides(text):
    return [int(n) for n in text.split("x")]


# Layers give a function, its parameters and its input.


def conv(inputs, outputs, kernel, stride, n, padding):
    kernel, stride = sides(kernel), sides(stride)
    mode = {"edge": "replicate", "zero": "zeros"}[padding]
    pad = [(k - s + 1) // 2 for k, s in zip(kernel, stride)]
    layer = nn.Conv3d(int(inputs), int(outputs), kernel, stride, pad, padding_mode=mode)
    return layer, layer.parameters(), torch.randn(1, int(inputs), *sides(n))


def up(inputs, outputs, n):
    layer = models.EdgeUp(int(inputs), int(outputs))
    return layer, layer.parameters(), torch.randn(1, int(inputs), *sides(n))


def grow(inputs, outputs, kernel, n):
    """Transposed convolution of stride 2 with zeros around: kernels 2 and 3."""
    odd = int(kernel) % 2
    layer = nn.ConvTranspose3d(int(inputs), int(outputs), int(kernel), 2, padding=odd, output_padding=odd)
    return layer, layer.parameters(), torch.randn(1, int(inputs), *sides(n))


def norm(channels, groups, n):
    layer = nn.GroupNorm(int(groups), int(channels))
    return lambda x: F.silu(layer(x)), layer.parameters(), torch.randn(1, int(channels), *sides(n))


def instance(channels, n):
    layer = models.Adn(int(channels))
    return layer, layer.parameters(), torch.randn(1, int(channels), *sides(n))


def attention(axis, channels, n):
    c, n = int(channels), sides(n)
    x = torch.randn(1, c, *n)
    if axis == "slice":
        layer = models.SliceAttention(c)
        return layer, layer.parameters(), x
    layer, bias = models.SequenceAttention(c), models.PositionBias()
    return lambda x: layer(x, bias(n[0])), [*layer.parameters(), *bias.parameters()], x


def inference(f, _, x):
    return lambda: f(x)


def gradients(f, parameters, x):
    """Forward, and the gradients of the input and all parameters."""
    leaves = [x.requires_grad_(), *parameters]
    g = torch.randn_like(f(x))

    def step():
        for leaf in leaves:
            leaf.grad = None
        f(x).backward(g)

    return step


def train(stage):
    """One step at batch 1: forward, gradients, optimiser."""
    if stage in SEGMENTATION:
        net, x = models.fill_by_rule(SEGMENTATION[stage]()), torch.randn(1, 1, 96, 96, 96)
        label = torch.randint(0, 3, (1, 96, 96, 96))
        optimiser = torch.optim.AdamW(net.parameters(), lr=2e-4, fused=True)
        loss = lambda: models.dice_ce(net(x), label)
    elif stage == "diffusion":
        net, t = models.fill_by_rule(models.Unet3d()), torch.tensor([1])
        x, noise = torch.randn(2, 1, 8, 24, 24, 24)
        cond, optimiser = torch.randn(1, 9, 24, 24, 24), torch.optim.Adam(net.parameters(), lr=1e-4)
        loss = lambda: F.l1_loss(net(x, t, cond), noise)
    else:
        net, x = models.fill_by_rule(models.Autoencoder()), torch.randn(1, 1, 96, 96, 96).clamp(-1, 1)
        optimiser = torch.optim.Adam(net.parameters(), lr=3e-4)
        loss = lambda: net.reconstruction_loss(x)

    def step():
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    net.train()
    return step


def windows(name, n):
    """A scan of n³ voxels in windows of 96³ that share three quarters of a side, joined with Gaussian weights."""
    from monai.inferers import sliding_window_inference

    net, x = models.fill_by_rule(SEGMENTATION[name]()), torch.rand(1, 1, int(n), int(n), int(n))
    return lambda: sliding_window_inference(x, (96,) * 3, 1, net, overlap=0.75, mode="gaussian")


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
    if stage == "tumors8":
        image = image.repeat(8, 1, 1, 1, 1)
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


LAYERS = {"conv": conv, "up": up, "grow": grow, "norm": norm, "instance": instance, "attention": attention}


def prepare(stage, case):
    kind, *arguments = stage.split(":")
    match kind:
        case "ct":
            return voxels(*arguments, case)
        case "sgemm":
            return sgemm(*arguments)
        case "train":
            return train(*arguments)
        case "windows":
            return windows(*arguments)
        case "grad":
            return gradients(*LAYERS[arguments[0]](*arguments[1:]))
    return inference(*LAYERS[kind](*arguments)) if kind in LAYERS else network(stage)


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
    flops(prepare("conv:8:8:3x3x3:1x1x1:8x8x8:zero", None))  # libraries load parts of themselves at first use
    current, run, work, libraries_mb = None, None, 0, memory_mb("VmRSS")
    for line in sys.stdin:
        stage, reps = line.split()
        learns = stage.startswith(("grad:", "train:"))
        with torch.inference_mode(not learns), torch.set_grad_enabled(learns):
            if stage != current:
                current, run, start = stage, prepare(stage, case), time.perf_counter()
                work = flops(run)
                if (time.perf_counter() - start) * 1e3 < ONE_RUN_MS:
                    run()
                pathlib.Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the preparation
            times = []
            for _ in range(int(reps)):
                start = time.perf_counter()
                result = run()
                if DEVICE != "cpu":
                    torch.cuda.synchronize()
                times.append((time.perf_counter() - start) * 1e3)
                del result
        peak_mb = memory_mb("VmHWM") - libraries_mb
        print(json.dumps({"stage": stage, "times_ms": times, "peak_mb": peak_mb, "flops": work}), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    torch.set_default_device(DEVICE)
    with torch.inference_mode():
        match sys.argv[1:]:
            case ["--check", folder]:
                sys.exit(0 if check(pathlib.Path(folder)) else "the modules are not the published networks")
            case ["--serve", *rest]:
                serve(pathlib.Path(rest[0]) if rest else None)
            case _:
                sys.exit(__doc__)
