//! `difftumor synthesize --layout`: datasets for other programs.

use crate::phantom::*;
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::label::{LabelMap, OrganSpec};
use serde_json::{Value, json as value};
use std::collections::BTreeSet;
use std::path::Path;

/// Two tumors each in copies of the phantoms of a table.
fn lay_out(cases: &Path, out: &Path, layout: &str, more: &[&str]) -> (i32, String, String) {
    let all = [
        "synthesize",
        "--cases",
        text(cases),
        "--organ",
        "liver=1",
        "--method",
        "handcrafted",
        "--size",
        "tiny",
    ];
    let rest = ["--tumors", "1", "--out", text(out), "--layout", layout];
    let output = command(&[&all[..], &rest[..], more].concat()).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
    (output.status.code().expect("not killed"), stdout, stderr)
}

/// Names in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn nnunets_folds_keep_the_copies_of_a_patient_together() {
    let dir = tempfile::tempdir().unwrap();
    let cases = dataset(dir.path(), 3);
    let out = dir.path().join("Dataset501_Synthetic");
    let (code, stdout, stderr) = lay_out(&cases, &out, "nnunet", &["--per-case", "2"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("6 cases laid out in"), "{stdout}");
    assert_eq!(
        names(&out),
        ["dataset.json", "imagesTr", "labelsTr", "splits_final.json", "synthetic", "synthetic.csv"]
    );
    let ids: Vec<String> =
        (0..3).flat_map(|case| (1..=2).map(move |copy| format!("case{case:02}_{copy:03}"))).collect();
    let named = |suffix: &str| ids.iter().map(|id| format!("{id}{suffix}.nii.gz")).collect::<Vec<_>>();
    assert_eq!(names(&out.join("imagesTr")), named("_0000"));
    assert_eq!(names(&out.join("labelsTr")), named(""));
    let expected = value!({"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumor": 2},
        "numTraining": 6, "file_ending": ".nii.gz", "description": "synthetic tumors in real scans; synthetic.csv tells what each case was made from"});
    assert_eq!(json(&out.join("dataset.json")), expected);
    for id in &ids {
        let made = std::fs::read(out.join("synthetic").join(id).join("labels.nii.gz")).unwrap();
        assert_eq!(std::fs::read(out.join(format!("labelsTr/{id}.nii.gz"))).unwrap(), made);
    }
    let Value::Array(folds) = json(&out.join("splits_final.json")) else { panic!("no list") };
    assert_eq!(folds.len(), 3);
    for fold in &folds {
        let patients = |side: &str| -> BTreeSet<String> {
            fold[side].as_array().unwrap().iter().map(|id| id.as_str().unwrap()[..6].to_string()).collect()
        };
        assert!(patients("train").is_disjoint(&patients("val")) && patients("val").len() == 1, "{fold}");
    }
    let table = std::fs::read_to_string(out.join("synthetic.csv")).unwrap();
    assert_eq!(table.lines().count(), 7);
    assert!(table.lines().nth(2).unwrap().starts_with("case00_002,true,case00,case00,2,"), "{table}");
    // The same call goes on with what is there and gives the same; this program reads it back.
    let before = tree(&out);
    let (code, stdout, stderr) = lay_out(&cases, &out, "nnunet", &["--per-case", "2", "--resume"]);
    assert!(code == 0 && stdout.contains("6 skipped"), "{stdout}{stderr}");
    assert_eq!(tree(&out), before);
    let index = dir.path().join("index.csv");
    let output = command(&["index", text(&out), "--out", text(&index)]).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("nnU-Net v2") && stdout.contains("--organ liver=1:tumor=2"), "{stdout}");
    assert!(stdout.contains("6 cases with labels"), "{stdout}");
}

#[test]
fn shards_complete_one_dataset() {
    let dir = tempfile::tempdir().unwrap();
    let cases = dataset(dir.path(), 3);
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    assert_eq!(lay_out(&cases, &whole, "nnunet", &[]).0, 0);
    for shard in ["1/2", "0/2"] {
        let (code, _, stderr) = lay_out(&cases, &parts, "nnunet", &["--shard", shard]);
        assert_eq!(code, 0, "{stderr}");
    }
    assert_same(&whole, &parts);
    // As a scheduler says it.
    let scheduled = dir.path().join("scheduled");
    let all = [
        "synthesize",
        "--cases",
        text(&cases),
        "--organ",
        "liver=1",
        "--method",
        "handcrafted",
        "--size",
        "tiny",
    ];
    let rest = ["--tumors", "1", "--out", text(&scheduled), "--layout", "nnunet", "--shard"];
    for index in ["0", "1"] {
        let mut slurm = command(&[&all[..], &rest[..], &["auto"]].concat());
        slurm.env("SLURM_ARRAY_TASK_ID", index).env("SLURM_ARRAY_TASK_COUNT", "2");
        assert!(slurm.output().unwrap().status.success());
    }
    assert_same(&whole, &scheduled);
    let (code, stderr) = run(&[&all[..], &rest[..], &["auto"]].concat());
    assert!(code == 2 && stderr.contains("SLURM_ARRAY_TASK_ID"), "{stderr}");
}

#[test]
fn the_decathlons_layout_lists_its_cases() {
    let dir = tempfile::tempdir().unwrap();
    let cases = dataset(dir.path(), 1);
    let out = dir.path().join("out");
    let (code, _, stderr) = lay_out(&cases, &out, "msd", &[]);
    assert_eq!(code, 0, "{stderr}");
    let description = json(&out.join("dataset.json"));
    assert_eq!(description["labels"], value!({"0": "background", "1": "liver", "2": "tumor"}));
    let training = value!([{"image": "./imagesTr/case00.nii.gz", "label": "./labelsTr/case00.nii.gz"}]);
    assert_eq!(description["training"], training);
    assert!(out.join("imagesTr/case00.nii.gz").is_file() && !out.join("splits_final.json").exists());
}

#[test]
fn masks_in_folders_hold_organ_and_lesion() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let out = dir.path().join("out");
    let given =
        ["synthesize", "--ct", text(&files.ct), "--labels", text(&files.labels), "--organ", "liver=1"];
    let rest = [
        "--method",
        "handcrafted",
        "--size",
        "tiny",
        "--tumors",
        "1",
        "--out",
        text(&out),
        "--layout",
        "bodymaps",
    ];
    let (code, stderr) = run(&[&given[..], &rest[..]].concat());
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(names(&out.join("a/segmentations")), ["liver.nii.gz", "liver_lesion.nii.gz"]);
    let labels = NiftiImage::read(out.join("synthetic/a/labels.nii.gz")).unwrap().to_labels().unwrap();
    let count = |values: &[u16]| labels.data.iter().filter(|v| values.contains(v)).count();
    let mask = |name: &str| {
        let image = NiftiImage::read(out.join("a/segmentations").join(name)).unwrap();
        image.to_labels().unwrap().data.iter().filter(|v| **v == 1).count()
    };
    assert_eq!((mask("liver.nii.gz"), mask("liver_lesion.nii.gz")), (count(&[1, 2]), count(&[2])));
    assert!(count(&[2]) > 0);
    // This program finds the lesion by its name.
    let spec: OrganSpec = "liver".parse().unwrap();
    let organ = LabelMap::open(&out.join("a/segmentations")).unwrap().organ(&spec, None).unwrap();
    assert_eq!(organ.tumor.unwrap().data.iter().filter(|v| **v).count(), count(&[2]));
    assert_eq!(organ.organ.data.iter().filter(|v| **v).count(), count(&[1]));
}
