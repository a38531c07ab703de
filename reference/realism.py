"""The figures of models/compact-v1/README.md: synthetic tumors in three scans beside real ones (`analyze realism`).

    python reference/realism.py difftumor OUT --crlm CT LABELS --torso CT LABELS --case17 CT LIVER TUMORS --sarcomas FOLDER

Needs nibabel and numpy. The scans are those of the model card; OUT gets a table, a report and a contact sheet of each organ.
"""

import argparse
import subprocess
from pathlib import Path

import nibabel
import numpy

# Scan, organ, sizes, copies, seed.
CASES = [
    ("case17", "liver=1:tumor=2", ["--size", "early"], 4, 21),
    ("case17", "liver=1:tumor=2", ["--diameter-mm", "20..34"], 4, 22),
    ("liver", "liver=1", ["--size", "early"], 4, 23),
    ("liver", "liver=1", ["--diameter-mm", "20..34"], 4, 24),
    ("kidney", "kidney=2+3", ["--size", "early"], 5, 25),
    ("kidney", "kidney=2+3", ["--diameter-mm", "18..28"], 3, 26),
    ("pancreas", "pancreas", ["--size", "early"], 8, 27),
    ("pancreas", "pancreas", ["--size", "early"], 6, 28),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("difftumor", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--crlm", nargs=2, required=True)
    parser.add_argument("--torso", nargs=2, required=True)
    parser.add_argument("--case17", nargs=3)
    parser.add_argument("--sarcomas", type=Path)
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    scans = {"liver": a.crlm, "kidney": a.crlm, "pancreas": a.torso}
    if a.case17:
        labels = a.out / "case17.nii.gz"
        write_labels(a.case17[1], a.case17[2], labels)
        scans["case17"] = [a.case17[0], str(labels)]
        analyze(a, "real-case17", [("case17", *scans["case17"])], ["--organ", "liver=1:tumor=2"])
    if a.sarcomas:
        folders = sorted(d for d in a.sarcomas.resolve().iterdir() if d.is_dir())
        rows = [(d.name, d / "ct.nii.gz", d / "gtv.nii.gz") for d in folders]
        analyze(a, "real-sarcomas", rows, ["--tumor", "gtv=1"])
    tables = {}
    for scan, organ, size, copies, seed in CASES:
        if scan not in scans:
            continue
        folder = a.out / f"{scan}-{seed}"
        ct, labels = scans[scan]
        command = [a.difftumor, "synthesize", "--ct", ct, "--labels", labels, "--organ", organ, *size, "--tumors", "1"]
        command += ["--per-case", copies, "--seed", seed, "--out", folder, "--force"]
        subprocess.run([str(c) for c in command], check=True)
        cases = sorted(ct.parent.resolve() for ct in folder.rglob("ct.nii.gz"))
        if scan == "case17":
            for case in cases:
                only_new(case, scans[scan][1])
        rows = [(f"{scan}_{seed}_{c.name}", c / "ct.nii.gz", c / "labels.nii.gz") for c in cases]
        tables.setdefault(scan, []).extend(rows)
    for scan, rows in tables.items():
        analyze(a, scan, rows, ["--organ", "organ=1:tumor=2"])
    shown = [row for scan, rows in tables.items() if scan != "case17" for row in rows]
    analyze(a, "sheet", shown, ["--organ", "organ=1:tumor=2"])


def analyze(a, name, rows, annotation):
    table = a.out / f"{name}.csv"
    lines = ["id,ct,labels", *(",".join(str(Path(p).resolve()) if i else p for i, p in enumerate(row)) for row in rows)]
    table.write_text("\n".join(lines) + "\n")
    print(f"== {name}", flush=True)
    files = ["--report", a.out / f"{name}.json", "--sheet", a.out / f"{name}.png"]
    command = [a.difftumor, "analyze", "realism", "--cases", table, *annotation, *files]
    subprocess.run([str(c) for c in command], check=False)


def write_labels(liver, tumors, path):
    """1 liver, 2 its tumors."""
    image = nibabel.load(liver)
    labels = (numpy.asarray(image.dataobj) > 0).astype(numpy.uint8)
    labels[numpy.asarray(nibabel.load(tumors).dataobj) > 0] = 2
    nibabel.save(nibabel.Nifti1Image(labels, image.affine, image.header), path)


def only_new(case, labels):
    """Real tumors are neither tumor nor organ in what is measured."""
    image = nibabel.load(case / "tumors.nii.gz")
    only = (numpy.asarray(nibabel.load(labels).dataobj) == 1).astype(numpy.uint8)
    only[numpy.asarray(image.dataobj) > 0] = 2
    nibabel.save(nibabel.Nifti1Image(only, image.affine, image.header), case / "labels.nii.gz")


if __name__ == "__main__":
    main()
