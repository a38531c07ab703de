//! `difftumor index`: which tumors are early, and what is said of cases that cannot be used.

use crate::phantom::*;
use difftumor::dataset::Dataset;
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_ct::{Labels, Volume};
use ndarray::Array3;
use std::path::{Path, PathBuf};

/// Voxels of 2 x 2 x 5 mm: 20 mm³. A ball of 10 mm radius has 4188.8 mm³, so 209 voxels are early and 210 are late.
const EARLY_VOXELS: usize = 209;

/// A scan and labels with organ 1 and, as value 2, tumors of the given numbers of voxels, each in planes of its own.
fn with_tumors(dir: &Path, id: &str, tumors: &[usize]) -> (Volume, Labels, Files) {
    let (ct, mut labels) = phantom(SHAPE, LPS, 1);
    labels.data.mapv_inplace(|v| u16::from(v == 1));
    for (i, voxels) in tumors.iter().enumerate() {
        // Boxes of 16 x 16 voxels a plane, filled in scan order: connected by faces.
        let place = |n: usize| [8 + n / 16 % 16, 12 + n % 16, 2 + 4 * i + n / 256];
        (0..*voxels).for_each(|n| labels.data[place(n)] = 2);
    }
    let files = write(dir, id, &(ct.clone(), labels.clone()), Datatype::I16);
    (ct, labels, files)
}

fn cases(dir: &Path, all: &[(&str, &Files)]) -> PathBuf {
    let rows: Vec<_> = all.iter().map(|(id, f)| (*id, f.ct.as_path(), f.labels.as_path())).collect();
    table(&dir.join("in.csv"), &rows)
}

fn index(table: &Path, stage: &str, out: &Path, more: &[&str]) -> (i32, String) {
    let mut all = vec!["index", "--stage", stage, "--cases", text(table), "--out", text(out)];
    all.extend(if more.is_empty() { &["--organ", "liver=1:tumor=2"][..] } else { more });
    run(&all)
}

fn values(path: &Path) -> Array3<u16> {
    labels_of(path).data
}

fn csv(out: &Path) -> Vec<String> {
    std::fs::read_to_string(out.join("cases.csv")).unwrap().lines().map(String::from).collect()
}

#[test]
fn tumors_of_the_other_stage_and_crumbs_become_organ() {
    let dir = tempfile::tempdir().unwrap();
    // 7 voxels are too few; a corner is no neighbour, so the eighth does not help.
    let (_, mut labels, _) = with_tumors(dir.path(), "a", &[EARLY_VOXELS, EARLY_VOXELS + 1, 8, 7]);
    labels.data[[9, 19, 14]] = 2; // one above and beside the last of the seven, [8, 18, 14]
    let (ct, _) = phantom(SHAPE, LPS, 1);
    let a = write(dir.path(), "a", &(ct, labels.clone()), Datatype::I16);
    let (_, _, b) = with_tumors(dir.path(), "b", &[300]);
    let table = cases(dir.path(), &[("b", &b), ("a", &a)]);
    let at = |i: usize, data: &Array3<u16>| data[[8, 12, 2 + 4 * i]];
    for (stage, kept, rows) in [
        ("early", [2, 1, 2, 1], &["a,,labels/a.nii.gz,2,9.99"][..]),
        ("late", [1, 2, 1, 1], &["a,,labels/a.nii.gz,1,10.01", "b,,labels/b.nii.gz,1,11.27"]),
    ] {
        let out = dir.path().join(stage);
        let (code, stderr) = index(&table, stage, &out, &[]);
        assert_eq!(code, 0, "{stderr}");
        let new = values(&out.join("labels/a.nii.gz"));
        assert_eq!([0, 1, 2, 3].map(|i| at(i, &new)), kept, "{stage}");
        for (place, value) in new.indexed_iter() {
            assert!((*value == 0) == (labels.data[place] == 0) && *value <= 2, "{place:?}");
        }
        let lines = csv(&out);
        assert_eq!(lines[0], "id,ct,labels,tumors,largest_radius_mm");
        let without_ct = |line: &String| {
            let fields: Vec<&str> = line.split(',').collect();
            assert!(Path::new(fields[1]).is_absolute() && Path::new(fields[1]).is_file());
            [fields[0], "", fields[2], fields[3], fields[4]].join(",")
        };
        assert_eq!(lines[1..].iter().map(without_ct).collect::<Vec<_>>(), rows);
        // Grid and header of the labels that went in.
        let (before, after) =
            (NiftiImage::read(&a.labels).unwrap(), NiftiImage::read(out.join("labels/a.nii.gz")).unwrap());
        assert_eq!(after.as_bytes()[..348], before.as_bytes()[..348]);
        // The table is one that the other commands read.
        let read = Dataset::table(&out.join("cases.csv")).unwrap();
        assert!(read.cases.iter().all(|c| c.ct.is_file() && c.labels.is_file()));
        let report = json(&out.join("index.json"));
        assert_eq!(report["kept"], rows.len());
        let tumors = report["cases"][0]["tumors"].as_array().unwrap();
        let voxels: Vec<_> = tumors.iter().map(|t| t["voxels"].as_u64().unwrap()).collect();
        assert_eq!(voxels.iter().sum::<u64>(), 209 + 210 + 8 + 7 + 1);
        assert!(voxels.contains(&7) && voxels.contains(&1));
        if stage == "early" {
            let b = &report["cases"][1];
            assert_eq!(b["status"], "left_out");
            assert!(b["reason"].as_str().unwrap().contains("no tumor is early: 1 of"), "{b}");
            assert!(stderr.contains("left out: b:"), "{stderr}");
        }
    }
    // The same inputs, the same bytes.
    let again = dir.path().join("again");
    index(&table, "late", &again, &[]);
    assert_same(&dir.path().join("late"), &again);
}

#[test]
fn cases_that_cannot_be_used_are_told_and_stop_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (_, _, good) = with_tumors(dir.path(), "good", &[50]);
    let (_, _, none) = with_tumors(dir.path(), "none", &[]);
    let (_, _, crumbs) = with_tumors(dir.path(), "crumbs", &[7, 3]);
    let (_, _, corrupt) = with_tumors(dir.path(), "corrupt", &[50]);
    let bytes = std::fs::read(&corrupt.ct).unwrap();
    std::fs::write(&corrupt.ct, &bytes[..bytes.len() / 2]).unwrap();
    let (ct, mut labels, _) = with_tumors(dir.path(), "shifted", &[50]);
    labels.affine.0[2][3] += 5.0;
    let shifted = write(dir.path(), "shifted", &(ct, labels), Datatype::I16);
    let all =
        [("good", &good), ("none", &none), ("crumbs", &crumbs), ("corrupt", &corrupt), ("shifted", &shifted)];
    let table = cases(dir.path(), &all);
    let out = dir.path().join("out");
    let (code, stderr) = index(&table, "early", &out, &[]);
    assert_eq!(code, 1, "{stderr}");
    let report = json(&out.join("index.json"));
    let said = |id: &str| {
        let case = report["cases"].as_array().unwrap().iter().find(|c| c["id"] == id).unwrap().clone();
        (
            case["status"].as_str().unwrap().to_string(),
            case["reason"].as_str().unwrap_or_default().to_string(),
        )
    };
    assert_eq!(said("good"), ("kept".into(), String::new()));
    for (id, status, reason) in [
        ("none", "left_out", "no voxel is labelled as tumor"),
        ("crumbs", "left_out", "under 8 voxels (the largest 7)"),
        ("corrupt", "failed", "corrupt.nii.gz"),
        ("shifted", "failed", "5.000 mm"),
    ] {
        let (found, why) = said(id);
        assert!(found == status && why.contains(reason), "{id}: {found}: {why}");
        assert!(stderr.contains(&why), "{stderr}");
    }
    assert_eq!(
        (report["kept"].as_u64(), report["left_out"].as_u64(), report["failed"].as_u64()),
        (Some(1), Some(2), Some(2))
    );
    assert_eq!(csv(&out).len(), 2);
    assert_eq!(std::fs::read_dir(out.join("labels")).unwrap().count(), 1);

    // Nothing at all.
    let table = cases(dir.path(), &[("none", &none), ("crumbs", &crumbs), ("corrupt", &corrupt)]);
    let nothing = dir.path().join("nothing");
    let before = std::fs::read_dir(dir.path()).unwrap().count();
    let (code, stderr) = index(&table, "early", &nothing, &[]);
    assert!(code == 1 && stderr.contains("no case has early tumors"), "{stderr}");
    assert!(stderr.contains("left out: crumbs") && stderr.contains("failed: corrupt"), "{stderr}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), before);
}

#[test]
fn labels_may_hold_tumors_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (ct, labels, _) = with_tumors(dir.path(), "a", &[50, 300]);
    let only =
        |value: u16| Labels { data: labels.data.mapv(|v| if v == 2 { value } else { 0 }), ..labels.clone() };
    let a = write(dir.path(), "a", &(ct.clone(), only(1)), Datatype::I16);
    let empty = write(dir.path(), "e", &(ct.clone(), only(0)), Datatype::I16);
    let out = dir.path().join("out");
    let both = cases(dir.path(), &[("a", &a), ("e", &empty)]);
    let (code, stderr) = index(&both, "early", &out, &["--tumor", "sarcoma"]);
    assert!(code == 0 && stderr.contains("left out: e: no voxel"), "{stderr}");
    let new = values(&out.join("labels/a.nii.gz"));
    // No organ is known: what is not kept is background.
    assert_eq!((new[[8, 12, 2]], new[[8, 12, 6]]), (2, 0));
    assert!(new.iter().all(|v| *v == 0 || *v == 2));

    // Several values: which are meant must be said, and a file without them has no tumor.
    let mut two = only(5);
    two.data[[30, 30, 10]] = 9;
    let two = write(dir.path(), "two", &(ct.clone(), two), Datatype::I16);
    let table = cases(dir.path(), &[("two", &two)]);
    let (code, stderr) = index(&table, "late", &dir.path().join("x"), &["--tumor", "sarcoma"]);
    assert!(code == 1 && stderr.contains("write sarcoma=VALUE"), "{stderr}");
    let out = dir.path().join("y");
    let (code, stderr) = index(&table, "late", &out, &["--tumor", "sarcoma=5+7"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(values(&out.join("labels/two.nii.gz")).iter().filter(|v| **v == 2).count(), 300);
    let (code, stderr) = index(&table, "late", &dir.path().join("z"), &["--tumor", "sarcoma=7"]);
    assert!(code == 1 && stderr.contains("left out: two: no voxel"), "{stderr}");

    // A folder of masks: the file of that name; the header is the scan's.
    let folder = dir.path().join("masks");
    std::fs::create_dir(&folder).unwrap();
    NiftiImage::from_labels(&only(3), "sarcoma").write(folder.join("sarcoma.nii.gz")).unwrap();
    let masks = Files { ct: a.ct.clone(), labels: folder };
    let table = cases(dir.path(), &[("m", &masks)]);
    let out = dir.path().join("m");
    let (code, stderr) = index(&table, "late", &out, &["--tumor", "sarcoma"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(values(&out.join("labels/m.nii.gz")).iter().filter(|v| **v == 2).count(), 300);
    let (code, stderr) = index(&table, "late", &dir.path().join("w"), &["--tumor", "lesion"]);
    assert!(code == 1 && stderr.contains("lesion.nii.gz"), "{stderr}");
}

#[test]
fn arguments_that_cannot_be_met_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_, _, a) = with_tumors(dir.path(), "a", &[50]);
    let table = cases(dir.path(), &[("a", &a)]);
    let out = dir.path().join("out");
    for (stage, more, says) in [
        ("early", &["--organ", "liver=1"][..], "liver=1:tumor=2"),
        ("early", &["--organ", "livr"], "livr"),
        ("early", &["--tumor", "a=1:tumor=2"], "NAME=VALUE"),
        ("early", &["--tumor", "../a"], "NAME=VALUE"),
        ("early", &["--tumor", "a=0"], "NAME=VALUE"),
        ("early", &["--organ", "liver=1:tumor=2", "--tumor", "a"], "cannot be used with"),
        ("middle", &["--tumor", "a"], "possible values"),
    ] {
        let (code, stderr) = index(&table, stage, &out, more);
        assert!(code == 2 && stderr.contains(says), "{more:?}: {code}: {stderr}");
        assert!(!out.exists());
    }
    std::fs::create_dir(&out).unwrap();
    let (code, stderr) = index(&table, "early", &out, &[]);
    assert_eq!(code, 0, "an empty folder is filled: {stderr}");
    let (code, stderr) = index(&table, "early", &out, &[]);
    assert!(code == 1 && stderr.contains("not empty"), "{stderr}");
    let (code, stderr) = index(&dir.path().join("no.csv"), "early", &dir.path().join("o"), &[]);
    assert!(code == 1 && stderr.contains("no.csv"), "{stderr}");
    let (code, stderr) = index(&table, "early", &a.ct.join("out"), &[]);
    assert!(code == 1 && stderr.contains("a.nii.gz"), "{stderr}");
}
