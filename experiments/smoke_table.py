"""Prints what experiments/smoke.sh found and judges it: exit code 1 when the experiment did not come out.

    python3 experiments/smoke_table.py OUT phantom torso

Reads OUT/NAME/training/index.json (`difftumor index`: tumors that both runs were trained on) and OUT/NAME/{without,with}/evaluation
(`difftumor evaluate segmentation`). Nothing but the standard library.
"""
import csv
import json
import pathlib
import sys

# The run with synthetic tumors must find this many times the small tumors of the other, and this share of all.
TIMES, LEAST_WITH = 2.0, 0.2
# Its findings per scan that touch no tumor: who marks everything finds everything.
MOST_FALSE_POSITIVES = 3.0
# Ends of what is called small: the stage of early tumors (paper 4.3).
SMALL_MM = 20.0
HEADER = "| {:<8} | {:<25} | {:>9} | {:>9} | {:>12} | {:>12} | {:>23} |"
RUNS = {"without": "real, large tumors only", "with": "and small synthetic ones"}


def figures(folder):
    summary = json.loads((folder / "summary.json").read_text())["summary"]
    with open(folder / "lesions.csv", newline="") as file:
        lesions = [(float(row["equivalent_diameter_mm"]), row["found"] == "true") for row in csv.DictReader(file)]
    return summary, lesions


def judge(name, out):
    """Prints two lines of the table, and gives what is wrong."""
    index = json.loads((out / "training" / "index.json").read_text())
    trained_mm = [2 * tumor["radius_mm"] for case in index["cases"] for tumor in case["tumors"]]
    shares, wrong = {}, []
    for run, text in RUNS.items():
        summary, lesions = figures(out / run / "evaluation")
        small = [found for mm, found in lesions if mm <= SMALL_MM]
        large = [found for mm, found in lesions if mm > SMALL_MM]
        largest_mm = max((mm for mm, _ in lesions if mm <= SMALL_MM), default=0.0)
        shares[run] = sum(small) / len(small) if small else None
        means = [summary[mask]["dsc"]["mean"] for mask in ("organ", "tumor")]
        false_positives = summary["false_positives"]
        of = lambda found: f"{sum(found)} of {len(found)}" if found else "-"
        cells = [f"{mean:.2f}" for mean in means] + [of(small), of(large)]
        print(HEADER.format(name, text, *cells, f"{false_positives} in {summary['cases']} scans"))
        if run == "with" and false_positives > MOST_FALSE_POSITIVES * summary["cases"]:
            wrong.append(f"{name}: {false_positives} false positives with synthetic tumors")
    print(f"  sizes: trained on tumors of {min(trained_mm):.0f} to {max(trained_mm):.0f} mm; small ones up to {largest_mm:.0f} mm")
    if shares["with"] is None:
        return [f"{name}: no small tumors to find"]
    if min(trained_mm) <= largest_mm:
        wrong.append(f"{name}: the tumors trained on are not all larger than those to find")
    if shares["with"] < LEAST_WITH:
        wrong.append(f"{name}: with synthetic tumors {shares['with']:.0%} found, expected {LEAST_WITH:.0%} or more")
    if shares["with"] < TIMES * shares["without"]:
        wrong.append(f"{name}: with {shares['with']:.0%} found, without {shares['without']:.0%}; expected {TIMES} times as many")
    return wrong


out, *names = sys.argv[1:]
print(HEADER.format("data", "trained on", "organ DSC", "tumor DSC", "small found", "large found", "false positives"))
wrong = [problem for name in names for problem in judge(name, pathlib.Path(out, name))]
print("\n".join(wrong) or "as expected")
sys.exit(1 if wrong else 0)
