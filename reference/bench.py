"""Alternates our CPU code with PyTorch, MONAI, scipy and nibabel; writes target/bench/torch.json and torch.md.

    reference/bench.sh [--rounds 7] [--only TEXT] [--threads 2] [--gpu]      makes the environment, then starts this

With `--gpu` both sides run on one: ours through wgpu, once with WGSL and once with SPIR-V (cooperative matrices),
PyTorch through CUDA; the table is target/bench/gpu.md.

Each stage has two new processes, ours and theirs; a round is a turn of each, so that what else happens on the machine
meets both; a turn with much of that is repeated. A turn repeats a short stage for about 0.2 s and counts its median; the table has medians over rounds.
Memory is the peak of the process above what it held with its libraries loaded: weights, inputs, buffers.

CPU time is what a process's threads spent during its turns, and a second ratio. With `--threads 1` nobody waits actively for
other threads, so it hardly depends on what else the machine does.
"""
import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "target" / "bench"
TURN_MS = 200

# Name, stage as `versus.rs` and `bench_torch.py` know it; third: theirs where it is another one.
# conv:INPUTS:OUTPUTS:KERNEL:STRIDE:INPUT SIDES:PADDING, up:INPUTS:OUTPUTS:INPUT SIDES, grow:INPUTS:OUTPUTS:KERNEL:INPUT
# SIDES, norm:CHANNELS:GROUPS:SIDES, instance:CHANNELS:SIDES (with a PReLU); grad:LAYER is forward and backward.
LAYERS = [
    ("conv 1→16, 3³, 96³", "conv:1:16:3x3x3:1x1x1:96x96x96:edge"),
    ("conv 16→32, 4³ stride 2, 96³", "conv:16:32:4x4x4:2x2x2:96x96x96:edge"),
    ("conv 32→64, 4³ stride 2, 48³", "conv:32:64:4x4x4:2x2x2:48x48x48:edge"),
    ("conv 32→32, 3³, 96³", "conv:32:32:3x3x3:1x1x1:96x96x96:edge"),
    ("conv 64→64, 3³, 48³", "conv:64:64:3x3x3:1x1x1:48x48x48:edge"),
    ("conv 64→64, 3³, 24³", "conv:64:64:3x3x3:1x1x1:24x24x24:edge"),
    ("conv 32→1, 3³, 96³", "conv:32:1:3x3x3:1x1x1:96x96x96:edge"),
    ("transposed conv 64→64, 4³ stride 2, 24³ → 48³", "up:64:64:24x24x24"),
    ("transposed conv 64→32, 4³ stride 2, 48³ → 96³", "up:64:32:48x48x48"),
    ("conv 17→24, 1×7×7, 24³", "conv:17:24:1x7x7:1x1x1:24x24x24:zero"),
    ("conv 24→24, 1×3×3, 24³", "conv:24:24:1x3x3:1x1x1:24x24x24:zero"),
    ("conv 96→96, 1×3×3, 24×6×6", "conv:96:96:1x3x3:1x1x1:24x6x6:zero"),
    ("conv 192→192, 1×3×3, 24×3×3", "conv:192:192:1x3x3:1x1x1:24x3x3:zero"),
    ("conv 24→24, 1×4×4 stride 1×2×2, 24³", "conv:24:24:1x4x4:1x2x2:24x24x24:zero"),
    ("conv 1→16, 3³ stride 2, 96³", "conv:1:16:3x3x3:2x2x2:96x96x96:zero"),
    ("conv 16→16, 3³, 48³", "conv:16:16:3x3x3:1x1x1:48x48x48:zero"),
    ("conv 128→256, 3³, 6³", "conv:128:256:3x3x3:1x1x1:6x6x6:zero"),
    ("transposed conv 32→3, 3³ stride 2, 48³ → 96³", "grow:32:3:3:48x48x48"),
    ("transposed conv 128→64, 2³ stride 2, 12³ → 24³", "grow:128:64:2:12x12x12"),
    ("GroupNorm (32 groups) + SiLU, 32 channels, 96³", "norm:32:32:96x96x96"),
    ("GroupNorm (32 groups) + SiLU, 64 channels, 24³", "norm:64:32:24x24x24"),
    ("InstanceNorm + PReLU, 16 channels, 48³", "instance:16:48x48x48"),
    ("slice attention, 24 channels, 24³", "attention:slice:24:24x24x24"),
    ("depth attention, 24 channels, 24³", "attention:depth:24:24x24x24"),
]
STAGES = {
    "Networks": [
        ("encode 96³", "encode"),
        ("U-Net call 24³", "unet"),
        ("code search 24³, 16384 codes", "search"),
        ("decode 96³, search included", "decode"),
        ("whole early tumor: condition, 4 steps, decode", "tumor"),
    ],
    "Layers, forward": LAYERS,
    "Layers, forward and backward": [(f"{name}, with gradients", f"grad:{stage}") for name, stage in LAYERS],
    "Training steps (batch 1; forward, gradients, optimiser)": [
        ("autoencoder 96³: reconstruction and commitment, Adam", "train:autoencoder"),
        ("diffusion 24³ latents: L1, Adam", "train:diffusion"),
        ("segmentation U-Net 96³: Dice + cross entropy, AdamW", "train:unet"),
        ("nnU-Net 96³: Dice + cross entropy, AdamW", "train:nnunet"),
        ("Swin UNETR 96³: Dice + cross entropy, AdamW", "train:swinunetr"),
    ],
    "Sliding windows of 96³ (overlap 0.75, Gaussian weights; against MONAI's)": [
        ("U-Net, scan of 256³: 512 windows", "windows:unet:256"),
        ("U-Net, scan of 144³: 27 windows", "windows:unet:144"),
        ("nnU-Net, scan of 120³: 8 windows", "windows:nnunet:120"),
        ("Swin UNETR, scan of 120³: 8 windows", "windows:swinunetr:120"),
    ],
    "Scans (512×512×119 voxels of 0.74×0.74×1.6 mm)": [
        ("linear to 1 mm: scipy zoom", "ct:linear"),
        ("linear to 1 mm: torch interpolate", "ct:linear", "ct:linear-interpolate"),
        ("distance transform of a liver: scipy", "ct:distance"),
        ("26-components of a liver: scipy", "ct:components"),
        ("26-components of thresholded noise: scipy", "ct:components-noise"),
        ("Gaussian, sigma 2: scipy", "ct:gaussian"),
        ("read .nii.gz as f32: nibabel", "ct:read"),
    ],
}


# On a GPU: the networks, eight tumors in a batch, the training steps.
GPU_STAGES = [s for s in STAGES["Networks"]] + [("eight early tumors in a batch", "tumors8")]
GPU_STAGES += STAGES["Training steps (batch 1; forward, gradients, optimiser)"]


def make_case(folder):
    """A scan that compresses like a CT (an elliptic body with a liver, in air, all with noise) and the liver's mask."""
    import nibabel
    import numpy as np

    shape, spacing = (512, 512, 119), np.array([0.743, 0.743, 1.6])
    x, y, z = np.ogrid[:512, :512, :119]
    inside = lambda centre, mm: sum(((a - n * c) * s / r) ** 2 for a, n, c, s, r in zip((x, y, z), shape, centre, spacing, mm)) < 1
    body, liver = inside((0.5, 0.5, 0.5), (170, 130, 1e6)), inside((0.4, 0.45, 0.45), (90, 65, 65))
    noise = np.random.default_rng(1).normal(0, 15, shape).astype(np.float32)
    hu = (np.where(body, np.where(liver, 100, 30), -1000) + noise).astype(np.int16)
    affine = np.diag([*spacing, 1])
    for name, data in [("ct", hu), ("liver", liver.astype(np.uint8))]:
        nibabel.openers.Opener.default_compresslevel = 6  # gzip's own default
        nibabel.save(nibabel.Nifti1Image(data, affine), folder / f"{name}.nii.gz")


def cpu_s(pid):
    """CPU seconds that this process has spent, and all others (Linux; elsewhere 0)."""
    stat = pathlib.Path("/proc/stat")
    if not stat.exists():
        return 0.0, 0.0
    user, nice, system, _idle, _wait, irq, softirq = map(int, stat.read_text().split()[1:8])
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    own = int(fields[11]) + int(fields[12])
    tick = os.sysconf("SC_CLK_TCK")
    return own / tick, (user + nice + system + irq + softirq - own) / tick


class Side:
    """One process that runs one stage when asked."""

    def __init__(self, command, stage, threads, settings=()):
        limits = {name: str(threads) for name in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"]}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=os.environ | limits | dict(settings), **pipes)
        self.stage, self.medians_ms, self.cpu_ms, self.peak_mb, self.disturbed = stage, [], [], 0.0, 0
        first = self.ask(1)
        self.flops, self.reps = first.get("flops", 0), max(1, min(200, round(TURN_MS / first["times_ms"][0])))

    def ask(self, reps):
        self.process.stdin.write(f"{self.stage} {reps}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.stage}: the process ended with {self.process.wait()}")
        return json.loads(line)

    def turn(self):
        """A turn in which no other process had more than a tenth of the machine, if one of three tries is such."""
        for last_try in (False, False, True):
            time.sleep(0.05)  # the other side's threads may still wait actively for work
            start, before = time.monotonic(), cpu_s(self.process.pid)
            answer = self.ask(self.reps)
            own, others = (b - a for a, b in zip(before, cpu_s(self.process.pid)))
            quiet = others / (time.monotonic() - start) / os.cpu_count() < 0.1
            if quiet or last_try:
                break
        self.disturbed += not quiet
        self.medians_ms.append(statistics.median(answer["times_ms"]))
        self.cpu_ms.append(own / self.reps * 1e3)
        self.peak_mb = max(self.peak_mb, answer["peak_mb"])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def build(*features):
    """Builds our bench; returns the binary's path."""
    command = ["cargo", "bench", "--locked", "-p", "difftumor", "--bench", "versus", "--no-run", "--message-format=json"]
    command += [f"--features={f}" for f in features]
    lines = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    artifacts = [a for a in map(json.loads, lines) if a["reason"] == "compiler-artifact" and a["target"]["name"] == "versus"]
    return artifacts[-1]["executable"]


def compare(ours, theirs, stage, rounds, threads):
    name, *stages = stage
    sides = Side(ours, stages[0], threads), Side(theirs, stages[-1], threads)
    for _ in range(rounds):
        for side in sides:
            side.turn()
    for side in sides:
        side.close()
    mine, other = (statistics.median(side.medians_ms) for side in sides)
    row = {"stage": name, "ours_ms": mine, "torch_ms": other, "ratio": mine / other}
    row |= {"ours_peak_mb": sides[0].peak_mb, "torch_peak_mb": sides[1].peak_mb}
    row |= {"ours_best_ms": min(sides[0].medians_ms), "torch_best_ms": min(sides[1].medians_ms), "flops": sides[1].flops}
    row |= {"ours_cpu_ms": statistics.median(sides[0].cpu_ms), "torch_cpu_ms": statistics.median(sides[1].cpu_ms)}
    row["cpu_ratio"] = row["ours_cpu_ms"] / row["torch_cpu_ms"] if row["torch_cpu_ms"] else None
    row["disturbed_turns"] = sum(side.disturbed for side in sides)
    print(f"{name}: {mine:.2f} ms, theirs {other:.2f} ms, ratio {mine / other:.2f}, of CPU time {row['cpu_ratio'] or 0:.2f}, disturbed {row['disturbed_turns']}", flush=True)
    return row


def sgemm_peak(theirs, rounds, threads):
    """GFLOP/s of the best of many products of 2048² matrices."""
    side = Side(theirs, "sgemm:2048", threads)
    for _ in range(rounds):
        side.turn()
    side.close()
    return side.flops / min(side.medians_ms) / 1e6


def machine(threads):
    """What the numbers depend on."""
    import monai
    import nibabel
    import numpy
    import scipy
    import torch

    cpuinfo = pathlib.Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    unit = next((name for flag, name in [("avx512f", "AVX-512"), ("avx2", "AVX2")] if flag in flags), platform.machine())
    virtual = "virtual, " if "hypervisor" in flags else ""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    libraries = ", ".join(f"{m.__name__} {m.__version__}" for m in (torch, monai, numpy, scipy, nibabel))
    return (
        f"{model} ({virtual}{os.cpu_count()} cores, {unit}); threads on both sides: {threads}. "
        f"Rust {rustc}; Python {platform.python_version()}, {libraries}."
    )


def table(rows_by_part, peak, rounds, threads):
    """The Markdown page."""
    lines = [machine(threads), f"Medians of {rounds} alternated rounds. sgemm peak (torch, 2048²): {peak:.0f} GFLOP/s.", ""]
    for part, rows in rows_by_part.items():
        lines += [f"### {part}", ""]
        lines += ["| stage | ours, ms | theirs, ms | ratio | of CPU time | ours, GFLOP/s (of peak) | theirs | ours, MB | theirs, MB |"]
        lines += ["|---|---|---|---|---|---|---|---|---|"]
        for r in rows:
            speed = [r["flops"] / r[f"{side}_ms"] / 1e6 for side in ("ours", "torch")]
            work = [f"{v:.0f} ({v / peak:.0%})" if r["flops"] else "" for v in speed]
            ms = [f"{r[f'{side}_ms']:.{2 if r[f'{side}_ms'] < 10 else 0}f}" for side in ("ours", "torch")]
            mb = [f"{r[f'{side}_peak_mb']:.0f}" for side in ("ours", "torch")]
            ratios = [f"{r['ratio']:.2f}", f"{r['cpu_ratio']:.2f}" if r["cpu_ratio"] else ""]
            lines.append("| " + " | ".join([r["stage"], *ms, *ratios, *work, *mb]) + " |")
        lines.append("")
    disturbed = [r["stage"] for rows in rows_by_part.values() for r in rows if r["disturbed_turns"]]
    if disturbed:
        lines += [f"Other processes took part of the machine during: {', '.join(disturbed)}.", ""]
    return "\n".join(lines)


def on_gpu(options):
    """Ours through wgpu in two shading languages, PyTorch through CUDA; writes gpu.md."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else sys.exit("PyTorch finds no GPU")
    theirs = [sys.executable, str(ROOT / "reference" / "bench_torch.py"), "--serve"]
    kinds = {"PyTorch": (theirs, {"BENCH_TORCH_DEVICE": "cuda"})}
    for title, feature in [("wgpu, WGSL", "wgpu"), ("wgpu, SPIR-V", "vulkan")]:
        binary = pathlib.Path(build(feature))
        kept = OUT / f"versus-{feature}"  # the next build replaces the binary
        shutil.copy(binary, kept)
        kinds[title] = ([str(kept)], {"DIFFTUMOR_DEVICE": "wgpu"})
    lines = [f"{name}. Medians of {options.rounds} alternated rounds, ms (ratio to PyTorch eager).", ""]
    lines += ["| stage | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    for title, stage in (s for s in GPU_STAGES if options.only in s[0]):
        sides = [Side(command, stage, options.threads, settings) for command, settings in kinds.values()]
        for _ in range(options.rounds):
            for side in sides:
                side.turn()
        ms = [statistics.median(side.medians_ms) for side in sides]
        for side in sides:
            side.close()
        lines.append(f"| {title} | {ms[0]:.2f} | " + " | ".join(f"{m:.2f} ({m / ms[0]:.2f})" for m in ms[1:]) + " |")
        print(lines[-1], flush=True)
        (OUT / "gpu.md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side (default 7)")
    parser.add_argument("--only", default="", help="only stages whose name contains this")
    parser.add_argument("--threads", type=int, default=2, help="of each side (default 2)")
    parser.add_argument("--gpu", action="store_true", help="on a GPU instead")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    theirs = [sys.executable, str(ROOT / "reference" / "bench_torch.py")]
    subprocess.run([*theirs, "--check", str(ROOT / "goldens")], check=True)
    if options.gpu:
        return on_gpu(options)
    ours = build()
    with tempfile.TemporaryDirectory() as folder:
        make_case(pathlib.Path(folder))
        ours, theirs = [ours, folder], [*theirs, "--serve", folder]
        peak, rows = sgemm_peak(theirs, options.rounds, options.threads), {}
        for part, stages in STAGES.items():
            for stage in (s for s in stages if options.only in s[0]):
                row = compare(ours, theirs, stage, options.rounds, options.threads)
                rows.setdefault(part, []).append(row)
                # After each stage: an interrupted run leaves what it has.
                (OUT / "torch.json").write_text(json.dumps(sum(rows.values(), []), indent=1) + "\n")
                (OUT / "torch.md").write_text(table(rows, peak, options.rounds, options.threads))
    print(f"wrote {OUT / 'torch.json'} and torch.md")


if __name__ == "__main__":
    main()
