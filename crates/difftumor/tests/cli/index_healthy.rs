//! `difftumor index --select-healthy` with networks that say the same of every voxel: what is kept then follows from organ masks.

use crate::phantom::*;
use difftumor::dataset::Dataset;
use difftumor::run::{Model, NewRun, Run, Tensors};
use difftumor::segmentation::{Backbone, UnetConfig};
use difftumor_ct::io::nifti::Datatype;
use std::path::{Path, PathBuf};

/// A U-Net whose logits are its last bias everywhere.
fn constant(dir: &Path, name: &str, logits: [f32; 3]) -> PathBuf {
    let model =
        Model::Segmentation(Backbone::Unet(UnetConfig { widths: vec![4, 6], ..UnetConfig::default() }));
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let n = shape.iter().product();
        let last = shape == [3] && name.ends_with("bias");
        (name, (shape, if last { logits.to_vec() } else { vec![0.0; n] }))
    };
    let tensors: Tensors = model.shapes().into_iter().map(tensor).collect();
    let new =
        NewRun { licence: "none".into(), origin: None, training: None, tensors, model, autoencoder: None };
    let run = dir.join(name);
    Run::create(&run, &new, false).unwrap();
    run
}

fn select(model: &Path, out: &Path, more: &[&str]) -> (i32, String) {
    let mut all = vec!["index", "--select-healthy", "--model", text(model), "--out", text(out)];
    all.extend(["--overlap", "0.25"]);
    all.extend(more);
    run(&all)
}

#[test]
fn scans_with_the_organ_and_without_tumors_are_kept_with_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // 20 mm³ a voxel: the larger organ (label 1) of the usual phantom, and one of a quarter of its sides.
    let large = standard(dir, "large");
    let (ct, mut labels) = phantom(SHAPE, LPS, 4);
    labels.data.indexed_iter_mut().for_each(|((x, y, z), l)| {
        *l = u16::from((14..20).contains(&x) && (18..22).contains(&y) && (8..12).contains(&z));
    });
    let small = write(dir, "small", &(ct, labels), Datatype::I16);
    let broken = dir.join("broken.nii");
    std::fs::write(&broken, "no scan").unwrap();
    let list = [
        ("large", large.ct.as_path(), large.labels.as_path()),
        ("small", &small.ct, &small.labels),
        ("torn", &broken, &large.labels),
    ];
    let cases = table(&dir.join("cases.csv"), &list);
    let organ = constant(dir, "organ", [0.0, 1.0, 0.0]);
    let out = dir.join("out");
    let with_masks = ["--cases", text(&cases), "--organ", "liver=1"];
    let (code, told) = select(&organ, &out, &with_masks);
    assert_eq!(code, 1, "{told}");
    // 96 voxels of 20 mm³ are 1.92 ml.
    assert!(told.contains("left out: small: 1.9 ml of the organ predicted, 10 wanted"), "{told}");
    assert!(told.contains("failed: torn: ") && told.contains("broken.nii"), "{told}");
    let report = json(&out.join("healthy.json"));
    let verdicts: Vec<&str> =
        report["scans"].as_array().unwrap().iter().map(|s| s["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["healthy", "left_out", "failed"]);
    assert_eq!(report["rule"]["least_organ_ml"], 10.0);

    // The table is one of cases, whose labels hold what was found.
    let kept = Dataset::table(&out.join("cases.csv")).unwrap().cases;
    assert_eq!(kept.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["large"]);
    let loaded = kept[0].load(&["liver=1".parse().unwrap()]).unwrap();
    let voxels = loaded.case.organs[0].organ.data.iter().filter(|v| **v).count();
    let volume_ml = report["scans"][0]["organ_volume_ml"].as_f64().unwrap();
    assert!((volume_ml - voxels as f64 * 0.02).abs() < 1e-9);
    assert!(loaded.case.organs[0].tumor.is_none());

    // Another rule, with the same segmentations.
    let record = out.join("segmentations/large/record.json");
    let written = std::fs::metadata(&record).unwrap().modified().unwrap();
    let (_, told) = select(&organ, &out, &with_masks);
    assert!(told.contains("there is something already"), "{told}");
    let (_, told) = select(&organ, &out, &[&with_masks[..], &["--resume", "--least-organ-ml", "1"]].concat());
    assert!(!told.contains("left out"), "{told}");
    assert_eq!(std::fs::metadata(&record).unwrap().modified().unwrap(), written);
    assert_eq!(Dataset::table(&out.join("cases.csv")).unwrap().cases.len(), 2);
    // A rule that none meets leaves no table of an earlier one.
    select(&organ, &out, &[&with_masks[..], &["--resume", "--least-organ-ml", "9999"]].concat());
    assert!(!out.join("cases.csv").exists() && out.join("healthy.json").exists());
}

#[test]
fn tumors_and_missing_organs_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let scans = dir.join("scans");
    standard(&scans, "a");
    std::fs::remove_file(scans.join("a_labels.nii.gz")).unwrap();
    for (name, logits, says) in [
        ("tumor", [0.0, 0.0, 1.0], "left out: a: 1 tumors predicted"),
        ("nothing", [1.0, 0.0, 0.0], "left out: a: 0.0 ml of the organ predicted"),
    ] {
        let out = dir.join(format!("{name}-out"));
        let (code, told) = select(&constant(dir, name, logits), &out, &["--ct", text(&scans)]);
        assert!(code == 0 && told.contains(says), "{told}");
        assert!(!out.join("cases.csv").exists());
    }
}

#[test]
fn bad_arguments_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let organ = constant(dir, "organ", [0.0, 1.0, 0.0]);
    let scan = standard(dir, "a");
    for (more, says) in [
        (&[][..], "--ct or --cases"),
        (&["--ct", text(&scan.ct), "--organ", "liver=1"], "a table with labels"),
        (&["--ct", text(&scan.ct), "--least-organ-ml", "0"], "least volume"),
        (&["--ct", text(&scan.ct), "--stage", "early"], "--stage"),
        (&["--ct", text(&scan.ct), "--tumor", "lesion"], "--tumor"),
    ] {
        let (code, told) = select(&organ, &dir.join("out"), more);
        assert!(code == 2 && told.contains(says), "{more:?}: {code} {told}");
    }
    let (code, told) = run(&["index", "--stage", "early", "--out", "x", "--organ", "liver=1:tumor=2"]);
    assert!(code == 2 && told.contains("--cases"), "{told}");
    let (code, told) = run(&["index", "--select-healthy", "--out", "x", "--ct", text(&scan.ct)]);
    assert!(code == 2 && told.contains("--model"), "{told}");
    let (code, told) = run(&["index", "--out", "x", "--cases", "y"]);
    assert!(code == 2 && told.contains("--select-healthy"), "{told}");
}
