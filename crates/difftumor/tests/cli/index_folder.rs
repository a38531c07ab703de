//! `difftumor index FOLDER`: a table that the rest of the program takes.

use crate::phantom::*;
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_ct::orient::{AxisCodes, reorient};
use difftumor_ct::{Affine, Volume};
use std::collections::BTreeMap;
use std::path::Path;

/// Exit code, stdout and stderr.
fn index(folder: &Path, out: &Path, more: &[&str]) -> (i32, String, String) {
    let output = command(&[&["index", text(folder), "--out", text(out)], more].concat()).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
    (output.status.code().expect("not killed"), stdout, stderr)
}

/// The table's lines as columns by name.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

fn place(files: &Files, ct: &Path, labels: &Path) {
    for (from, to) in [(&files.ct, ct), (&files.labels, labels)] {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }
}

#[test]
fn a_decathlon_task_becomes_a_table_to_work_with() {
    let dir = tempfile::tempdir().unwrap();
    let task = dir.path().join("Task03_Liver");
    let description = r#"{"labels": {"0": "background", "1": "liver", "2": "cancer"}, "training": [
        {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"},
        {"image": "./imagesTr/b.nii.gz", "label": "./labelsTr/b.nii.gz"},
        {"image": "./imagesTr/c.nii.gz", "label": "./labelsTr/c.nii.gz"},
        {"image": "./imagesTr/d.nii.gz", "label": "./labelsTr/d.nii.gz"}], "test": ["./imagesTs/e.nii.gz"]}"#;
    std::fs::create_dir_all(task.join("imagesTs")).unwrap();
    std::fs::write(task.join("dataset.json"), description).unwrap();
    let made = dir.path().join("made");
    for (name, radius) in [("a", 4.0), ("b", 5.0), ("c", 4.0), ("d", 4.0), ("e", 3.0)] {
        let files = with_tumor(&made, name, radius);
        if name != "e" {
            place(
                &files,
                &task.join(format!("imagesTr/{name}.nii.gz")),
                &task.join(format!("labelsTr/{name}.nii.gz")),
            );
        } else {
            std::fs::copy(&files.ct, task.join("imagesTs/e.nii.gz")).unwrap();
        }
    }
    // c is a once more, turned about and in another type; d's labels lie elsewhere.
    let a = NiftiImage::read(task.join("imagesTr/a.nii.gz")).unwrap().to_volume().unwrap();
    let turned = reorient(&a, "LPI".parse::<AxisCodes>().unwrap()).unwrap();
    NiftiImage::from_volume(&turned, Datatype::F32, "c").write(task.join("imagesTr/c.nii.gz")).unwrap();
    let labels = NiftiImage::read(task.join("labelsTr/a.nii.gz")).unwrap().to_labels().unwrap();
    let turned = reorient(&labels, "LPI".parse::<AxisCodes>().unwrap()).unwrap();
    NiftiImage::from_labels(&turned, "c").write(task.join("labelsTr/c.nii.gz")).unwrap();
    let mut moved = NiftiImage::read(task.join("labelsTr/d.nii.gz")).unwrap().to_labels().unwrap();
    moved.affine.0[0][3] += 7.0;
    NiftiImage::from_labels(&moved, "d").write(task.join("labelsTr/d.nii.gz")).unwrap();

    let out = dir.path().join("cases.csv");
    let (code, stdout, stderr) = index(&task, &out, &[]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stdout.contains("its labels are --organ liver=1:tumor=2"), "{stdout}");
    assert!(stdout.contains("3 cases with labels, 1 without, 1 failed"), "{stdout}");
    assert!(stderr.contains("failed: d: ") && stderr.contains("same grid"), "{stderr}");
    assert!(stderr.contains("note: c: the same voxels as a"), "{stderr}");
    let rows_with = rows(&out);
    let column = |name: &str| rows_with.iter().map(|row| row[name].as_str()).collect::<Vec<_>>();
    assert_eq!(column("id"), ["a", "b", "c"]);
    assert_eq!(column("patient"), ["a", "b", "a"]);
    assert_eq!(column("duplicate_of"), ["", "", "a"]);
    assert_eq!(column("axes"), ["RAS", "RAS", "LPI"]);
    assert_eq!(column("size_vox"), ["48x40x20"; 3]);
    assert_eq!(column("spacing_mm"), ["2x2x5"; 3]);
    assert_eq!(column("min_hu"), ["-1000.0"; 3]);
    let voxels = labels.data.iter().filter(|v| **v == 2).count();
    assert!(column("label_voxels")[0].ends_with(&format!(" 2:{voxels}")), "{}", column("label_voxels")[0]);
    let without = rows(&dir.path().join("cases_without_labels.csv"));
    assert_eq!(without.iter().map(|row| row["id"].as_str()).collect::<Vec<_>>(), ["e"]);

    // It is a table for the rest of the program.
    let early = dir.path().join("late");
    let (code, stderr) = run(&[
        "index",
        "--stage",
        "early",
        "--cases",
        text(&out),
        "--organ",
        "liver=1:tumor=2",
        "--out",
        text(&early),
    ]);
    assert_eq!(code, 0, "{stderr}");
    // Not replaced unless told.
    let before = std::fs::read(&out).unwrap();
    let (code, _, stderr) = index(&task, &out, &[]);
    assert!(code == 1 && stderr.contains("--force"), "{stderr}");
    assert_eq!(std::fs::read(&out).unwrap(), before);
    assert_eq!(index(&task, &out, &["--force"]).0, 1);
    assert_eq!(std::fs::read(&out).unwrap(), before);
}

#[test]
fn masks_in_folders_and_odd_values_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(&dir.path().join("made"), "a");
    let folder = dir.path().join("AbdomenAtlas");
    for id in ["BDMAP_00000001", "BDMAP_00000002"] {
        place(
            &files,
            &folder.join(id).join("ct.nii.gz"),
            &folder.join(id).join("segmentations/liver.nii.gz"),
        );
    }
    std::fs::copy(&files.labels, folder.join("BDMAP_00000002/segmentations/liver_lesion.nii.gz")).unwrap();
    // Scaled to 0 to 1, as networks want it and nobody should store it.
    let (ct, _) = phantom(SHAPE, LPS, 3);
    let scaled =
        Volume { data: ct.data.mapv(|hu| ((hu + 1000.0) / 1200.0).clamp(0.0, 1.0)), affine: ct.affine };
    NiftiImage::from_volume(&scaled, Datatype::F32, "x")
        .write(folder.join("BDMAP_00000001/ct.nii.gz"))
        .unwrap();
    let out = dir.path().join("cases.csv");
    let (code, stdout, stderr) = index(&folder, &out, &[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("AbdomenAtlas") && stdout.contains("2 cases with labels, 0 without"), "{stdout}");
    assert!(
        stderr.contains("note: BDMAP_00000001: the values do not look like Hounsfield units"),
        "{stderr}"
    );
    let rows = rows(&out);
    let voxels = labels_of(&files.labels).data.iter().filter(|l| **l > 0).count();
    assert_eq!(rows[1]["label_voxels"], format!("liver:{voxels} liver_lesion:{voxels}"));
    assert!(rows[0]["hu_warning"].contains("[0, 1]") && rows[1]["hu_warning"].is_empty());
    assert!(!dir.path().join("cases_without_labels.csv").exists());
}

#[test]
fn folders_without_anything_to_use_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("cases.csv");
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let (code, _, stderr) = index(&empty, &out, &[]);
    assert!(code == 1 && stderr.contains("folder with .nii"), "{stderr}");
    std::fs::write(empty.join("broken.nii"), "no image").unwrap();
    let (code, _, stderr) = index(&empty, &out, &[]);
    assert!(
        code == 1 && stderr.contains("at least one that can be read") && stderr.contains("broken"),
        "{stderr}"
    );
    assert!(!out.exists());
    let (code, _, stderr) = index(&empty, &out, &["--organ", "liver"]);
    assert!(code == 2 && stderr.contains("cannot be used with"), "{stderr}");
    // NaN is no HU.
    let mut ct =
        Volume { data: ndarray::Array3::zeros((4, 4, 4)), affine: Affine::from_spacing_mm([1.0; 3]) };
    ct.data[[1, 2, 3]] = f32::NAN;
    std::fs::remove_file(empty.join("broken.nii")).unwrap();
    NiftiImage::from_volume(&ct, Datatype::F32, "x").write(empty.join("nan.nii.gz")).unwrap();
    let (code, _, stderr) = index(&empty, &out, &[]);
    assert!(code == 1 && stderr.contains("nan"), "{stderr}");
}

#[test]
fn folds_are_dealt_by_patient() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let table = dir.path().join("cases.csv");
    let row =
        |(id, patient): (&str, &str)| format!("{id},{},a_labels.nii.gz,{patient}\n", files.ct.display());
    let rows = [("s0", "p"), ("s1", "p"), ("s2", "q"), ("s3", ""), ("s4", "")].map(row);
    std::fs::write(&table, format!("id,ct,labels,patient\n{}", rows.concat())).unwrap();
    let out = dir.path().join("folds");
    let deal = |folds: &str, out: &Path| {
        run(&["index", "--folds", folds, "--cases", text(&table), "--out", text(out)])
    };
    let (code, stderr) = deal("4", &out);
    assert_eq!(code, 0, "{stderr}");
    let folds = json(&out.join("splits_final.json"));
    let mut measured = vec![];
    for fold in 0..4 {
        let ids = |name: &str| -> Vec<String> {
            rows_of(&out, name, fold).iter().map(|row| row["id"].clone()).collect()
        };
        let (train, val) = (ids("train"), ids("val"));
        assert_eq!(folds[fold], serde_json::json!({ "train": train, "val": val }));
        assert_eq!(train.len() + val.len(), 5);
        assert_eq!(val.contains(&"s0".into()), val.contains(&"s1".into()));
        measured.extend(val);
    }
    measured.sort();
    assert_eq!(measured, ["s0", "s1", "s2", "s3", "s4"]);
    let first = &rows_of(&out, "train", 0)[0];
    assert!(Path::new(&first["labels"]).is_absolute() && Path::new(&first["labels"]).is_file());
    let (code, stderr) = deal("4", &out);
    assert!(code == 1 && stderr.contains("folds"), "{stderr}");
    let (code, stderr) = deal("5", &dir.path().join("more"));
    assert!(code == 1 && stderr.contains("2 to 4"), "{stderr}");
}

fn rows_of(folder: &Path, name: &str, fold: usize) -> Vec<BTreeMap<String, String>> {
    rows(&folder.join(format!("{name}_{fold}.csv")))
}
