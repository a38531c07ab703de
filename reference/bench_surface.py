"""Surface distances of a mask against itself, moved: this program and google-deepmind/surface-distance, in turns.

    cargo bench -p difftumor-ct --bench surface --no-run          # prints where the program lies
    python reference/bench_surface.py PROGRAM MASK.nii.gz [ROUNDS]

Needs surface-distance and nibabel. Prints seconds of each (best of three a round), their ratio, and both programs' figures.
"""
import json
import subprocess
import sys
import time

import nibabel
import numpy as np
import surface_distance

SHIFT_VOX = (4, 3, 2)


def theirs(truth, moved, spacing_mm):
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        distances = surface_distance.compute_surface_distances(truth, moved, spacing_mm)
        figures = {
            "nsd": surface_distance.compute_surface_dice_at_tolerance(distances, 2.0),
            "hd95_mm": surface_distance.compute_robust_hausdorff(distances, 95),
            "directions_mm": surface_distance.compute_average_surface_distance(distances),
        }
        best = min(best, time.perf_counter() - start)
    return {"seconds": best, **figures}


def main():
    program, mask = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    image = nibabel.load(mask)
    truth = np.asarray(image.dataobj) > 0
    moved = np.zeros_like(truth)
    a, b, c = SHIFT_VOX
    moved[a:, b:, c:] = truth[:-a, :-b, :-c]
    spacing_mm = [float(v) for v in image.header.get_zooms()]
    print(f"{mask}: {truth.shape}, {truth.sum()} voxels")
    ratios = {1: [], None: []}
    for _ in range(rounds):
        other = theirs(truth, moved, spacing_mm)
        for threads in ratios:
            environment = {} if threads is None else {"RAYON_NUM_THREADS": str(threads)}
            ours = json.loads(subprocess.run([program, mask], env=environment, capture_output=True, check=True).stdout)
            ratios[threads].append(other["seconds"] / ours["seconds"])
            print(f"threads {threads or 'all'}: {ours['seconds']:.3f} s, surface-distance {other['seconds']:.3f} s; {ours} {other}")
    for threads, values in ratios.items():
        print(f"threads {threads or 'all'}: {np.median(values):.1f} times as fast (median of {rounds})")


main()
