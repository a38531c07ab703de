"""Prints what an experiment found beside the paper's numbers (experiments/paper.csv), as a table in Markdown.

    python3 experiments/paper_table.py TABLE OUT [--smoke]

TABLE: 2, 3, 4to6, 7, fig4, fig5, fig6, fig7. Reads OUT/figures/BACKBONE/SOURCE-TARGET/METHOD/FOLD/summary.json. Nothing but the standard
library.
"""
import csv
import json
import pathlib
import sys

EARLY = "up_to_20_mm"
FIGURES = {
    "dsc": lambda s: s["tumor"]["dsc"]["mean"],
    "dsc_deviation": lambda s: s["tumor"]["dsc"]["deviation"],
    "nsd": lambda s: s["tumor"]["nsd"]["mean"],
    "found_early": lambda s: s["found"]["by_stage"][EARLY]["share"],
    "found": lambda s: s["found"]["all"]["share"],
}
# Of those without numbers in the paper: what to show.
DRAWN = {"fig4": ["dsc", "found"], "fig5": ["dsc", "found_early"], "fig6": ["dsc", "found_early"], "fig7": ["found_early"]}


def percent(value):
    return "-" if value is None else f"{100 * value:.1f}"


def read(folder):
    """Summaries by backbone, source, target, method and fold."""
    summaries = {}
    for path in sorted(folder.glob("*/*/*/*/summary.json")):
        backbone, pair, method, fold = path.parts[-5:-1]
        source, target = pair.split("-")
        summaries[backbone, source, target, method, fold] = json.loads(path.read_text())
    return summaries


def average(summaries, key, metric):
    values = [FIGURES[metric](s["summary"]) for k, s in summaries.items() if k[:4] == key]
    values = [v for v in values if v is not None]
    return sum(values) / len(values) if values else None


def with_numbers(tables, summaries):
    with open(pathlib.Path(__file__).with_name("paper.csv"), newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["table"] in tables]
    print("| backbone | source | target | method | figure (%) | fold | paper | here |\n|---|---|---|---|---|---|---|---|")
    found = 0
    for row in rows:
        key = tuple(row[name] for name in ("backbone", "source", "target", "method"))
        if row["fold"] == "average":
            value = average(summaries, key, row["metric"])
        else:
            summary = summaries.get((*key, row["fold"]))
            value = summary and FIGURES[row["metric"]](summary["summary"])
        if value is None and not any(k[:4] == key for k in summaries):
            continue
        found += value is not None
        print("| " + " | ".join([*key, row["metric"].replace("_", " "), row["fold"], row["percent"], percent(value)]) + " |")
    return found


def drawn(name, summaries):
    print("| source | target | method | cases | " + " | ".join(f"{figure} (%)".replace("_", " ") for figure in DRAWN[name]) + " |")
    print("|---" * (4 + len(DRAWN[name])) + "|")
    for (_, source, target, method, _), summary in summaries.items():
        groups = [("all", summary["summary"])]
        if name == "fig4" and summary["groups"]:
            groups += [(f"{c['column']} {g['value']}", g["summary"]) for c in summary["groups"]["columns"] for g in c["groups"]]
        for group, s in groups:
            cells = [percent(FIGURES[figure](s)) for figure in DRAWN[name]]
            print("| " + " | ".join([source, target, method, f"{group}: {s['cases']}", *cells]) + " |")
    return len(summaries)


table, out, *rest = sys.argv[1:]
summaries = read(pathlib.Path(out) / "figures")
found = drawn(table, summaries) if table in DRAWN else with_numbers({"4to6": "456"}.get(table, table), summaries)
if rest:
    print("\nSmall phantoms and a few steps: this shows that the parts work together. The figures mean nothing.")
sys.exit(0 if found else f"no figures in {out}/figures")
