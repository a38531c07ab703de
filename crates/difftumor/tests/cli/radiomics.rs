//! `difftumor analyze radiomics` and `analyze similarity`.

use crate::phantom::*;
use difftumor_ct::analysis::table::FeatureTable;
use std::path::Path;

/// The stdout of the program, which must succeed.
fn printed(arguments: &[&str]) -> String {
    let output = command(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}\n{stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `n` phantoms with a tumor of about this radius, their table and the table of their features.
fn features(dir: &Path, group: &str, n: usize, radius_vox: f64) -> String {
    let files: Vec<(String, Files)> = (0..n)
        .map(|i| {
            let id = format!("{group}{i:02}");
            let files = with_tumor(&dir.join(group), &id, radius_vox + 0.15 * i as f64);
            (id, files)
        })
        .collect();
    let rows: Vec<_> =
        files.iter().map(|(id, f)| (id.as_str(), f.ct.as_path(), f.labels.as_path())).collect();
    let cases = table(&dir.join(format!("{group}.csv")), &rows);
    let out = dir.join(format!("{group}-features.csv"));
    let all = [
        "analyze",
        "radiomics",
        "--cases",
        text(&cases),
        "--organ",
        "liver=1:tumor=2",
        "--features",
        "paper",
    ];
    let printed = printed(&[&all[..], &["--group", group, "--out", text(&out)]].concat());
    assert!(printed.contains(&format!("{n} tumors with 91 features")), "{printed}");
    text(&out).to_string()
}

#[test]
fn one_region_has_pyradiomics_names_and_a_balls_shape() {
    let dir = tempfile::tempdir().unwrap();
    let files = with_tumor(dir.path(), "case", 7.0);
    let report = dir.path().join("features.json");
    let parameters = dir.path().join("parameters.yaml");
    std::fs::write(
        &parameters,
        "setting:\n  label: 2\n  binWidth: 10\nfeatureClass:\n  shape:\n  glcm: [Contrast]\n",
    )
    .unwrap();
    let all = ["analyze", "radiomics", "--ct", text(&files.ct), "--mask", text(&files.labels)];
    succeed(&[&all[..], &["--parameters", text(&parameters), "--report", text(&report)]].concat());
    let found = json(&report);
    let names: Vec<&String> = found.as_object().unwrap().keys().collect();
    assert!(
        names.iter().all(|n| n.starts_with("original_shape_") || *n == "original_glcm_Contrast"),
        "{names:?}"
    );
    let voxels = labels_of(&files.labels).data.iter().filter(|l| **l == 2).count();
    // A voxel has 2 x 2 x 5 mm.
    assert_eq!(found["original_shape_VoxelVolume"].as_f64(), Some(20.0 * voxels as f64));
    let sphericity = found["original_shape_Sphericity"].as_f64().unwrap();
    assert!((0.8..1.0).contains(&sphericity), "{sphericity}");
    assert!(found["original_glcm_Contrast"].as_f64().unwrap() > 0.0);
    // Without a report the same figures are printed.
    let words = printed(&[&all[..], &["--parameters", text(&parameters)]].concat());
    assert_eq!(words.lines().count(), names.len());
}

#[test]
fn a_datasets_table_leads_to_a_study_that_tells_sizes_apart() {
    let dir = tempfile::tempdir().unwrap();
    let [small, large] = [features(dir.path(), "small", 8, 3.0), features(dir.path(), "large", 8, 8.0)];
    let table = FeatureTable::read_csv(&small).unwrap();
    assert_eq!(table.tumors()[0].id, "small/small00/1");
    assert_eq!(table.tumors()[0].stage.as_deref(), Some("up_to_20_mm"));
    let out = dir.path().join("study");
    let words = printed(&["analyze", "similarity", &small, &large, "--out", text(&out), "--perplexity", "4"]);
    assert!(words.contains("8 large, 8 small") || words.contains("8 small, 8 large"), "{words}");
    let study = json(&out.join("similarity.json"));
    for classifier in study["similarity"]["all"]["classifiers"].as_array().unwrap() {
        // Volumes do not overlap: 3.0 to 4.05 and 8.0 to 9.05 voxels of radius.
        let recall = classifier["test"]["recall"]["mean"].as_f64().unwrap();
        assert!(recall > 0.9, "{}: {recall}", classifier["name"]);
    }
    let map = std::fs::read_to_string(out.join("map.csv")).unwrap();
    assert_eq!(map.lines().count(), 17);
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    for part in ["</html>", "<svg", "as Fig. 2a", "chance: 0.50"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(std::fs::read_to_string(out.join("map.svg")).unwrap().starts_with("<svg"));
    // The same tables and seed give the same bytes.
    let again = dir.path().join("again");
    printed(&["analyze", "similarity", &small, &large, "--out", text(&again), "--perplexity", "4"]);
    assert_same(&again, &out);
}

#[test]
fn what_tells_two_sets_apart_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let [real, synthetic] = [features(dir.path(), "real", 8, 4.0), features(dir.path(), "synthetic", 8, 6.5)];
    let out = dir.path().join("sets");
    let all = ["analyze", "sets", "--real", &real, "--synthetic", &synthetic, "--folds", "4"];
    let words = printed(&[&all[..], &["--out", text(&out)]].concat());
    assert!(words.contains("8 real and 8 synthetic tumors") && words.contains("given away by"), "{words}");
    let found = json(&out.join("sets.json"));
    // Radii of 4.0 to 5.05 against 6.5 to 7.55 voxels: any measure of size tells all of them apart.
    assert_eq!(found["effects"][0]["cliffs_delta"].as_f64().map(f64::abs), Some(1.0));
    assert!(found["discriminators"][0]["auc"].as_f64().unwrap() > 0.95);
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("What gives them away") && page.contains("</html>"));
    // A set against itself: all are exact copies.
    let same = dir.path().join("same");
    printed(&[
        "analyze",
        "sets",
        "--real",
        &real,
        "--synthetic",
        &real,
        "--folds",
        "4",
        "--out",
        text(&same),
    ]);
    let near = json(&same.join("sets.json"));
    assert_eq!(near["nearest"]["suspicious"].as_array().unwrap().len(), 8);
    assert!(std::fs::read_to_string(same.join("report.html")).unwrap().contains("exact copy"));
}

#[test]
fn networks_are_trained_on_crops_of_tumors() {
    let dir = tempfile::tempdir().unwrap();
    let [small, large] = [("liver", 3.0), ("kidney", 7.0)].map(|(group, radius)| {
        features(dir.path(), group, 4, radius);
        text(&dir.path().join(format!("{group}.csv"))).to_string()
    });
    let out = dir.path().join("organs");
    let tables = ["analyze", "organs", "--cases", &small, "--organ", "liver=1:tumor=2", "--cases", &large];
    let rest = [
        "--organ",
        "kidney=1:tumor=2",
        "--side-vox",
        "32",
        "--repeats",
        "1",
        "--epochs",
        "2",
        "--out",
        text(&out),
    ];
    let words = printed(&[&tables[..], &rest].concat());
    assert!(words.contains("4 kidney, 4 liver; chance 0.50") && words.contains("DenseNet"), "{words}");
    let study = json(&out.join("organs.json"));
    assert_eq!(study["crops"]["side_vox"], 32);
    for (file, features) in [("resnet.csv", 128), ("densenet.csv", 90)] {
        let table = FeatureTable::read_csv(out.join(file)).unwrap();
        assert_eq!((table.tumors().len(), table.columns().len()), (8, features));
    }
    assert!(std::fs::read_to_string(out.join("report.html")).unwrap().contains("ResNet"));
    let (code, stderr) = run(&[&tables[..], &["--out", text(&out), "--force"]].concat());
    assert!(code == 2 && stderr.contains("one for each of the 2 --cases"), "{stderr}");
}

#[test]
fn what_cannot_be_measured_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let files = with_tumor(dir.path(), "good", 5.0);
    let none = standard(dir.path(), "none");
    let gone = dir.path().join("gone.nii.gz");
    let rows = [("good", &files.ct, &files.labels), ("none", &none.ct, &none.labels), ("gone", &gone, &gone)];
    let rows: Vec<_> = rows.iter().map(|(id, ct, labels)| (*id, ct.as_path(), labels.as_path())).collect();
    let cases = table(&dir.path().join("cases.csv"), &rows);
    let out = dir.path().join("features.csv");
    let all =
        ["analyze", "radiomics", "--cases", text(&cases), "--organ", "liver=1:tumor=3", "--out", text(&out)];
    let (code, stderr) = run(&all);
    assert!(
        code == 1 && stderr.contains("no tumor could be measured") && stderr.contains("left out: none"),
        "{stderr}"
    );
    let mut good = all;
    good[5] = "liver=1:tumor=2";
    let (code, stderr) = run(&good);
    assert!(code == 1 && stderr.contains("left out: gone") && !stderr.contains("left out: good"), "{stderr}");
    // The second phantom's other organ has the value that here is a tumor's.
    assert_eq!(FeatureTable::read_csv(&out).unwrap().tumors().len(), 2);

    let mask = ["analyze", "radiomics", "--ct", text(&files.ct), "--mask", text(&files.labels)];
    let parameters = dir.path().join("parameters.yaml");
    for (content, says) in [
        ("setting: {label: 9}", "no voxel has the label 9"),
        ("setting: {binwidth: 9}", "binwidth"),
        ("imageType: {Wavelet: {}}", "Wavelet"),
        ("setting: [", "parameters.yaml"),
    ] {
        std::fs::write(&parameters, content).unwrap();
        let (code, stderr) = run(&[&mask[..], &["--parameters", text(&parameters)]].concat());
        assert!(code == 1 && stderr.contains(says), "{content}: {stderr}");
    }
    // One group, and too few patients.
    let study = dir.path().join("study");
    let (code, stderr) = run(&["analyze", "similarity", text(&out), "--out", text(&study)]);
    assert!(code == 1 && stderr.contains("group"), "{stderr}");
    assert!(!study.exists());
    let (code, stderr) = run(&["analyze", "radiomics", "--cases", text(&cases), "--out", text(&out)]);
    assert!(code == 2 && stderr.contains("--organ"), "{stderr}");
}
