"""Plots the validation of trainings against time: PSNR of the autoencoder, loss of the diffusion models.

    python reference/training_curves.py OUT.png LABEL=RUN[,RUN…] …

Runs behind one label went on from each other (--init); their times are added, which are those of the steps without
validations and checkpoints. Needs matplotlib.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

METRICS = {"validation_psnr_db": "PSNR of fixed crops, dB", "validation_loss": "loss of fixed crops"}


def points(runs):
    """(metric, [(minutes, value)])"""
    seconds, curve, metric = 0.0, [], None
    for run in runs:
        last, spent = 0, 0.0
        for line in (Path(run) / "training" / "metrics.jsonl").read_text().splitlines():
            record = json.loads(line)
            if "step_s" in record:
                spent += record["step_s"] * (record["step"] - last)
                last = record["step"]
            for name in METRICS:
                if name in record:
                    metric = name
                    # Steps behind the last validation are in no published weights.
                    seconds, spent = seconds + spent, 0.0
                    curve.append((seconds / 60, record[name]))
    return metric, curve


def main(out, *arguments):
    curves = [(label, *points(runs.split(","))) for label, runs in (a.split("=", 1) for a in arguments)]
    metrics = sorted({metric for _, metric, _ in curves})
    figure, axes = plt.subplots(1, len(metrics), figsize=(5.2 * len(metrics), 3.4), squeeze=False)
    for axis, metric in zip(axes[0], metrics):
        for label, of, curve in curves:
            if of == metric:
                axis.plot(*zip(*curve), marker=".", label=label)
        axis.set_xlabel("training time, minutes")
        axis.set_ylabel(METRICS[metric])
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
