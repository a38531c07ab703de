//! Inputs and outputs in an object store, on a real S3-compatible server on loopback.

use crate::patients::Patients;
use crate::phantom::*;
use crate::store::{Store, objects};
use difftumor::run::{Model, NewRun, Run};
use difftumor::segmentation::{Backbone, UnetConfig};
use difftumor_ct::io::nifti::Datatype;
use difftumor_ct::{Affine, Labels, Volume};
use ndarray::Array3;
use std::fs;
use std::path::Path;

/// `synthesize` on a table.
fn arguments<'a>(cases: &'a str, out: &'a str) -> Vec<&'a str> {
    let all =
        ["synthesize", "--cases", cases, "--organ", "liver=1", "--method", "handcrafted", "--size", "tiny"];
    [&all[..], &["--tumors", "1", "--out", out]].concat()
}

/// Two phantoms with their table in the bucket and, the same, in a folder.
fn two_cases(store: &Store, dir: &Path) -> String {
    dataset(dir, 2);
    let lines = ["case00", "case01"].map(|id| format!("{id},scans/{id}.nii.gz,labels/{id}.nii.gz\n"));
    for id in ["case00", "case01"] {
        fs::copy(dir.join(format!("{id}.nii.gz")), store.object(&format!("data/scans/{id}.nii.gz"))).unwrap();
        fs::copy(dir.join(format!("{id}_labels.nii.gz")), store.object(&format!("data/labels/{id}.nii.gz")))
            .unwrap();
    }
    fs::write(store.object("data/cases.csv"), format!("id,ct,labels\n{}", lines.concat())).unwrap();
    let local = dir.join("data");
    fs::create_dir_all(&local).unwrap();
    for folder in ["scans", "labels"] {
        fs::create_dir_all(local.join(folder)).unwrap();
        for id in ["case00", "case01"] {
            let name = format!("{folder}/{id}.nii.gz");
            fs::copy(store.object(&format!("data/{name}")), local.join(&name)).unwrap();
        }
    }
    fs::copy(store.object("data/cases.csv"), local.join("cases.csv")).unwrap();
    local.join("cases.csv").to_str().unwrap().to_string()
}

#[test]
fn outputs_are_the_same_as_on_the_disk() {
    let (store, dir) = (Store::start(), tempfile::tempdir().unwrap());
    let local_cases = two_cases(&store, dir.path());
    let local = dir.path().join("out");
    succeed(&arguments(&local_cases, text(&local)));
    let remote = arguments("s3://bucket/data/cases.csv", "s3://bucket/out");
    store.succeed(&[&remote[..], &["--report", "s3://bucket/reports/all.json", "--jobs", "2"]].concat());
    let made = store.object("out");
    assert_eq!(objects(&made), objects(&local));
    for name in objects(&local) {
        assert!(fs::read(made.join(&name)).unwrap() == fs::read(local.join(&name)).unwrap(), "{name}");
    }
    let report = json(&store.object("reports/all.json"));
    assert_eq!(report["totals"]["done"], 2);
    assert_eq!(report["cases"][0]["folder"], "s3://bucket/out/case00");

    // The same from two folders of scans and labels.
    let folders = ["--ct", "s3://bucket/data/scans", "--labels", "s3://bucket/data/labels/"];
    let mut from_folders = remote.clone();
    from_folders.splice(1..3, folders);
    let at = from_folders.iter().position(|a| *a == "s3://bucket/out").unwrap();
    from_folders[at] = "s3://bucket/from-folders";
    store.succeed(&from_folders);
    assert_eq!(objects(&store.object("from-folders")), objects(&local));
}

#[test]
fn a_killed_run_goes_on_and_outputs_are_replaced_only_when_asked() {
    let (store, dir) = (Store::start(), tempfile::tempdir().unwrap());
    two_cases(&store, dir.path());
    let all = arguments("s3://bucket/data/cases.csv", "s3://bucket/out");
    let with = |more: &str| store.run(&[&all[..], &[more]].concat(), &[]);
    store.succeed(&all);
    let record = fs::read(store.object("out/case00/record.json")).unwrap();

    let (code, _, stderr) = store.run(&all, &[]);
    assert!(code == 1 && stderr.contains("s3://bucket/out/case00: there is something already"), "{stderr}");
    let (code, stdout, stderr) = with("--resume");
    assert!(code == 0 && stdout.starts_with("0 done with 0 tumors, 2 skipped"), "{stdout}{stderr}");

    // Killed while the files of the first went up: the record is not there yet, and what is there is known as a part.
    fs::remove_file(store.object("out/case00/record.json")).unwrap();
    fs::remove_file(store.object("out/case00/ct.nii.gz")).unwrap();
    fs::write(store.object("out/case00/.part"), "").unwrap();
    fs::write(store.object("out/case00/of-another-version.nii.gz"), "").unwrap();
    // Killed after the last file of the second.
    fs::write(store.object("out/case01/.part"), "").unwrap();
    let (code, stdout, stderr) = with("--resume");
    assert!(code == 0 && stdout.starts_with("1 done with 1 tumors, 1 skipped"), "{stdout}{stderr}");
    let expected = ["ct.nii.gz", "labels.nii.gz", "record.json", "tumors.nii.gz"];
    for case in ["case00", "case01"] {
        assert_eq!(objects(&store.object("out").join(case)), expected);
    }
    assert_eq!(fs::read(store.object("out/case00/record.json")).unwrap(), record);

    // A file of an output that is gone is told, and made again on demand alone.
    fs::remove_file(store.object("out/case01/tumors.nii.gz")).unwrap();
    let (code, _, stderr) = with("--resume");
    assert!(code == 1 && stderr.contains("expected the file tumors.nii.gz, found none"), "{stderr}");
    fs::write(store.object("out/case01/stale.nii.gz"), "").unwrap();
    let (code, _, stderr) = with("--force");
    assert_eq!(
        (code, objects(&store.object("out/case01"))),
        (0, expected.map(String::from).to_vec()),
        "{stderr}"
    );

    // Something else is never replaced.
    fs::remove_file(store.object("out/case01/record.json")).unwrap();
    let (code, _, stderr) = with("--force");
    assert!(code == 1 && stderr.contains("no output of this program and is never replaced"), "{stderr}");
    assert!(store.object("out/case01/ct.nii.gz").is_file());
}

/// Noise of 12 bits in air: 9 MB that cannot be compressed, which go up in parts.
#[test]
fn large_files_go_up_in_parts() {
    let (store, dir) = (Store::start(), tempfile::tempdir().unwrap());
    let shape = (200, 200, 160);
    let affine =
        Affine([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]);
    let labels = Array3::from_shape_fn(shape, |(x, y, z)| u16::from(x < 50 && y < 50 && z < 50));
    let mut state = 1u64;
    let data = labels.mapv(|label| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        if label == 1 { 100.0 + (state >> 60) as f32 } else { (state >> 52) as f32 - 1024.0 }
    });
    let files = write(
        dir.path(),
        "noise",
        &(Volume { data, affine }, Labels { data: labels, affine }),
        Datatype::I16,
    );
    fs::copy(&files.ct, store.object("noise.nii.gz")).unwrap();
    let more = ["--organ", "liver=1", "--method", "handcrafted", "--size", "tiny", "--tumors", "1"];
    let local = dir.path().join("out");
    synthesize(&files, &local, &more[2..]);
    let remote = [
        "synthesize",
        "--ct",
        "s3://bucket/noise.nii.gz",
        "--labels",
        text(&files.labels),
        "--out",
        "s3://bucket/out",
    ];
    store.succeed(&[&remote[..], &more].concat());
    let made = fs::read(store.object("out/ct.nii.gz")).unwrap();
    assert!(made.len() > 8 << 20, "{} bytes are one part", made.len());
    assert!(made == fs::read(local.join("ct.nii.gz")).unwrap());
    assert_eq!(objects(&store.object("out")), objects(&local));
}

#[test]
fn predictions_are_measured_where_they_are() {
    let (store, patients) = (Store::start(), Patients::new());
    patients.summary("local", &[]);
    for name in objects(patients.dir.path()) {
        fs::copy(patients.out(&name), store.object(&format!("study/{name}"))).unwrap();
    }
    let evaluate = [
        "evaluate",
        "segmentation",
        "--cases",
        "s3://bucket/study/cases.csv",
        "--predictions",
        "s3://bucket/study/predictions",
        "--organ",
        crate::patients::ORGAN,
        "--out",
        "s3://bucket/figures",
    ];
    store.succeed(&evaluate);
    assert_eq!(objects(&store.object("figures")), objects(&patients.out("local")));
    assert_eq!(json(&store.object("figures/summary.json")), json(&patients.out("local/summary.json")));
    let (code, _, stderr) = store.run(&evaluate, &[]);
    assert!(code == 1 && stderr.contains("s3://bucket/figures: the folder is not empty"), "{stderr}");
    store.succeed(&[&evaluate[..], &["--force"]].concat());
    let methods = ["a=s3://bucket/figures".to_string(), format!("b={}", patients.out("local").display())];
    let compare = ["evaluate", "comparison", &methods[0], &methods[1], "--out", "s3://bucket/comparison"];
    store.succeed(&compare);
    assert!(store.object("comparison/comparison.json").is_file());
}

#[test]
fn what_is_wrong_is_told_of_the_address() {
    let (store, dir) = (Store::start(), tempfile::tempdir().unwrap());
    let local = two_cases(&store, dir.path());
    let all = arguments("s3://bucket/data/cases.csv", "s3://bucket/out");
    // One damaged scan and one that is not there: the others go on.
    let scan = fs::read(store.object("data/scans/case00.nii.gz")).unwrap();
    fs::write(store.object("data/scans/case00.nii.gz"), &scan[..scan.len() / 2]).unwrap();
    fs::write(
        store.object("data/cases.csv"),
        "id,ct,labels\na,scans/case00.nii.gz,labels/case00.nii.gz\nb,scans/none.nii.gz,labels/case00.nii.gz\nc,s3://bucket/data/scans/case01.nii.gz,labels/case01.nii.gz\n",
    )
    .unwrap();
    let (code, stdout, stderr) = store.run(&all, &[]);
    assert!(code == 1 && stdout.starts_with("1 done"), "{stdout}{stderr}");
    assert!(stderr.contains("failed: a: s3://bucket/data/scans/case00.nii.gz: "), "{stderr}");
    assert!(
        stderr.contains("failed: b: cannot read s3://bucket/data/scans/none.nii.gz: ")
            && stderr.contains("no such object"),
        "{stderr}"
    );
    assert!(!stderr.contains("/tmp"), "a copy's path is told: {stderr}");

    let (code, _, stderr) = store.run(&all, &[("AWS_SECRET_ACCESS_KEY", "wrong")]);
    assert!(
        code == 1 && stderr.contains("s3://bucket/data/cases.csv: cannot read it") && stderr.contains("AWS_"),
        "{stderr}"
    );
    // Port 9 has no listener.
    let (code, _, stderr) = store.run(&all, &[("AWS_ENDPOINT", "http://127.0.0.1:9")]);
    assert!(code == 1 && stderr.contains("s3://bucket/data/cases.csv: cannot read it"), "{stderr}");
    for (cases, out, more, says) in [
        (local.as_str(), "s3://bucket/laid-out", "--layout=nnunet", "a folder of this machine with --layout"),
        (local.as_str(), "s3:///out", "--force", "no bucket"),
        ("s3://bucket/a/../cases.csv", "s3://bucket/out", "--force", "'..'"),
    ] {
        let (code, _, stderr) = store.run(&[&arguments(cases, out)[..], &[more]].concat(), &[]);
        assert!(code != 0 && stderr.contains(says), "{says}: {stderr}");
    }
}

#[test]
fn models_and_dicom_series_are_read_from_the_store() {
    let (store, dir) = (Store::start(), tempfile::tempdir().unwrap());
    let model =
        Model::Segmentation(Backbone::Unet(UnetConfig { widths: vec![4, 6], ..UnetConfig::default() }));
    let tensors = drawn(&model, 5);
    let new =
        NewRun { licence: "none".into(), origin: None, training: None, tensors, model, autoencoder: None };
    let run = dir.path().join("run");
    Run::create(&run, &new, true).unwrap();
    let made = dir.path().join("made");
    let (code, stderr) =
        synthesize(&standard(dir.path(), "case"), &made, &["--also", "dicom", "--size", "tiny"]);
    assert_eq!(code, 0, "{stderr}");
    for (folder, key) in [(run.clone(), "runs/liver"), (made.join("dicom"), "scans/dicom")] {
        for name in objects(&folder) {
            fs::copy(folder.join(&name), store.object(&format!("{key}/{name}"))).unwrap();
        }
    }
    let rest = ["--window-vox", "32", "--also", "seg", "--out"];
    let (series, local) = (made.join("dicom"), dir.path().join("segmented"));
    succeed(
        &[&["segment", "--model", text(&run), "--ct", text(&series)][..], &rest, &[text(&local)]].concat(),
    );
    let remote = ["segment", "--model", "s3://bucket/runs/liver", "--ct", "s3://bucket/scans/dicom"];
    store.succeed(&[&remote[..], &rest, &["s3://bucket/segmented"]].concat());
    assert_eq!(objects(&store.object("segmented")), objects(&local));
    for name in objects(&local) {
        let [there, here] =
            [store.object("segmented"), local.clone()].map(|folder| fs::read(folder.join(&name)));
        assert!(there.unwrap() == here.unwrap(), "{name}");
    }
    assert!(objects(&local).contains(&"labels.nii.gz".to_string()));
    // A model that is not there is told of its address.
    let (code, _, stderr) =
        store.run(&["segment", "--model", "s3://bucket/runs/none", "--ct", text(&series), "--out", "x"], &[]);
    assert!(code == 1 && stderr.contains("s3://bucket/runs/none"), "{stderr}");
}
