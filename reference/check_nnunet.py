"""Does nnU-Net accept what `synthesize --layout nnunet` writes? By nnU-Net's own verifier, on the scans of examples/.

    pip install nnunetv2
    python reference/check_nnunet.py PATH/TO/difftumor

Exit code 0 when it does.
"""
import os
import pathlib
import subprocess
import sys
import tempfile


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    kidneys = root / "examples" / "torso-kidneys"
    with tempfile.TemporaryDirectory() as folder:
        raw = pathlib.Path(folder)
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            os.environ[name] = str(raw)
        cases = raw / "cases.csv"
        rows = [f"{side},{kidneys}/{side}.nii.gz,{kidneys}/{side}_labels.nii.gz" for side in ("left", "right")]
        cases.write_text("id,ct,labels\n" + "\n".join(rows) + "\n")
        dataset = raw / "Dataset501_Synthetic"
        subprocess.run(
            [sys.argv[1], "synthesize", "--cases", cases, "--organ", "kidney=2+3", "--size", "early", "--per-case", "3", "--layout", "nnunet", "--out", dataset],
            check=True,
        )
        # After the variables are set: nnunetv2 reads them when it is imported.
        from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

        verify_dataset_integrity(str(dataset), num_processes=2)


# The verifier starts processes that import this file.
if __name__ == "__main__":
    main()
