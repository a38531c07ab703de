"""Refits the table in crates/ct/src/tumor_mask/sizes_mm.rs.

    python3 reference/fit_kidney_tumor_shapes.py all_components_stats.csv

The CSV has one row per tumor with the columns equiv_diameter_mm, ellipsoid_axis1_mm, axis2_over_1, axis3_over_1 and
ellipsoid_fill: full axes of the moment-equivalent ellipsoid (2 sqrt(5 eigenvalue) of the voxel covariance, voxel
extent included) of every 26-connected tumor component of at least 50 mm3. The committed numbers are of the 227 tumors
of the 210 public KiTS19 cases (Heller et al., arXiv:1904.00445; masks CC BY-NC-SA 4.0, not part of this repository).
Needs the standard library only.
"""
import csv
import math
import statistics
import sys

CLASSES = ((0.0, 20.0), (20.0, 50.0), (50.0, math.inf))
LEVELS = (5, 25, 50, 75, 95)


def quantiles(values):
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return [round(cuts[level // 5 - 1], 3) for level in LEVELS]


def main(path):
    with open(path, newline="") as file:
        rows = [{k: float(r[k]) for k in ("equiv_diameter_mm", "ellipsoid_axis1_mm", "axis2_over_1", "axis3_over_1", "ellipsoid_fill")} for r in csv.DictReader(file)]
    logs = [math.log(r["equiv_diameter_mm"]) for r in rows]
    print(f"ln(equivalent diameter in mm): mean {statistics.mean(logs):.3f} sd {statistics.stdev(logs):.3f} n {len(logs)}")
    print(f"quantiles at {LEVELS} percent")
    for low, high in CLASSES:
        chosen = [r for r in rows if low < r["ellipsoid_axis1_mm"] <= high]
        print(f"longest axis {low:g}..{high:g} mm, n {len(chosen)}")
        print("  axis2/axis1 ", quantiles([r["axis2_over_1"] for r in chosen]))
        print("  axis3/axis2 ", quantiles([r["axis3_over_1"] / r["axis2_over_1"] for r in chosen]))
        print("  axis3/axis1 ", quantiles([r["axis3_over_1"] for r in chosen]))
        print("  fill        ", quantiles([r["ellipsoid_fill"] for r in chosen]))
        print("  longest/equivalent", quantiles([r["ellipsoid_axis1_mm"] / r["equiv_diameter_mm"] for r in chosen]))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
