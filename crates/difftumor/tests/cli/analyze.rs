//! `analyze realism` and `export` on phantoms.

use crate::phantom::*;
use difftumor::run::Run;
use difftumor::run::shipped::SYNTHESIS;
use std::path::Path;

/// A table of handcrafted tumors in phantoms.
fn tumors(dir: &Path) -> std::path::PathBuf {
    let files = standard(dir, "a");
    let mut table = "id,ct,labels\n".to_string();
    for seed in ["1", "2"] {
        let out = dir.join(seed);
        let (code, stderr) =
            synthesize(&files, &out, &["--seed", seed, "--tumors", "1", "--diameter-mm", "16..20"]);
        assert_eq!(code, 0, "{stderr}");
        table += &format!("case{seed},{seed}/ct.nii.gz,{seed}/labels.nii.gz\n");
    }
    let path = dir.join("cases.csv");
    std::fs::write(&path, table).unwrap();
    path
}

#[test]
fn realism_agrees_with_the_records_and_draws_a_sheet() {
    let dir = tempfile::tempdir().unwrap();
    let cases = tumors(dir.path());
    let (report, sheet) = (dir.path().join("r.json"), dir.path().join("sheet.png"));
    succeed(&[
        "analyze",
        "realism",
        "--cases",
        text(&cases),
        "--organ",
        "liver=1:tumor=2",
        "--report",
        text(&report),
        "--sheet",
        text(&sheet),
    ]);
    let report = json(&report);
    assert_eq!(report["tumors"].as_array().unwrap().len(), 2);
    for tumor in report["tumors"].as_array().unwrap() {
        let case = tumor["case"].as_str().unwrap().strip_prefix("case").unwrap();
        let record = json(&dir.path().join(case).join("record.json"));
        let known = &record["tumors"][0];
        let number = |v: &serde_json::Value| v.as_f64().unwrap();
        let diameter = number(&known["equivalent_diameter_mm"]);
        assert!((number(&tumor["shape"]["equivalent_diameter_mm"]) - diameter).abs() < 1e-6);
        // The record takes all of the label, with its blurred edge; the report what is 2 mm inside.
        let (here, there) = (number(&tumor["density"]["inside_hu"]), number(&known["hu_inside"]["mean_hu"]));
        assert!((here - there).abs() < 15.0, "{here} against {there}");
        assert!(number(&tumor["density"]["contrast_hu"]) < -10.0);
    }
    assert!(std::fs::read(&sheet).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn realism_tells_of_bad_cases_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let cases = tumors(dir.path());
    let table = std::fs::read_to_string(&cases).unwrap();
    std::fs::write(&cases, table + "gone,gone.nii.gz,2/labels.nii.gz\n").unwrap();
    let arguments = ["analyze", "realism", "--cases", text(&cases), "--organ", "liver=1:tumor=2"];
    let (code, stderr) = run(&arguments);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("failed: gone: ") && stderr.contains("gone.nii.gz"), "{stderr}");
    assert!(!stderr.contains("case1"), "{stderr}");
    let (code, stderr) = run(&["analyze", "realism", "--cases", text(&cases), "--organ", "liver=1:tumor=9"]);
    assert_eq!(code, 1, "{stderr}");
    for part in ["without a tumor of at least 8 voxels: case1", "cases.csv: no tumor of at least 8 voxels"] {
        assert!(stderr.contains(part), "{stderr}");
    }
    let (code, stderr) = run(&["analyze", "realism", "--cases", text(&cases), "--organ", "liver=1"]);
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn exported_runs_are_whole_and_small() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let arguments = ["export", SYNTHESIS[0], "--out", text(&out), "--licence", "CC0-1.0"];
    succeed(&arguments);
    let (run_out, shipped) = (Run::open(&out).unwrap(), Run::open(SYNTHESIS[0]).unwrap());
    assert_eq!(run_out.manifest().licence, "CC0-1.0");
    assert_eq!(run_out.autoencoder().unwrap().manifest().licence, "CC0-1.0");
    // What ships is in half precision already: nothing changes.
    assert!(run_out.load_tensors().unwrap() == shipped.load_tensors().unwrap());
    assert_eq!(run_out.manifest().model, shipped.manifest().model);
    let (code, stderr) = run(&arguments);
    assert_eq!(code, 1);
    assert!(stderr.contains("--force"), "{stderr}");
    let (code, stderr) = run(&["info", "--model", "shipped:nothing"]);
    assert_eq!(code, 1);
    assert!(stderr.contains(SYNTHESIS[1]), "{stderr}");
}
