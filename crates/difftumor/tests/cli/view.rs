//! `view` by the program itself: verdicts over HTTP, a server killed and started again, and `synthesize --accepted` after it.
use crate::phantom::*;
use crate::served::Served;
use serde_json::{Value, json};
use std::path::Path;

/// A viewer, and its page's path.
fn view(path: &Path, more: &[&str]) -> (Served, String) {
    let (program, lines) = Served::start(&[&["view", text(path)], more].concat());
    let url = lines[0].split(' ').find(|word| word.starts_with("http://")).unwrap();
    let page = program.path(url);
    (program, page)
}

fn ask(program: &Served, path: &str) -> Value {
    let (status, body) = program.ask("GET", path, "");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn judge(program: &Served, page: &str, case: usize, verdict: &str) {
    let details = ask(program, &format!("{page}api/cases/{case}"));
    let body = json!({
        "case": case.to_string(), "verdict": verdict, "note": "as \"it\" is", "record_sha256": details["record_sha256"],
    });
    let (status, said) = program.ask("POST", &format!("{page}api/review"), &body.to_string());
    assert_eq!(status, 200, "{said}");
}

fn states(program: &Served, page: &str) -> Vec<Value> {
    let listed = ask(program, &format!("{page}api/cases"));
    listed["cases"].as_array().unwrap().iter().map(|case| case["state"].clone()).collect()
}

#[test]
fn verdicts_outlive_the_viewer_and_choose_the_dataset() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "case");
    let out = dir.path().join("out");
    let more = ["--per-case", "3", "--tumors", "1", "--size", "tiny", "--layout", "nnunet"];
    let (code, stderr) = synthesize(&files, &out, &more);
    assert_eq!(code, 0, "{stderr}");
    // The folder of a layout has its outputs one level below.
    let (program, page) = view(&out, &[]);
    assert_eq!(states(&program, &page), ["open"; 3]);
    judge(&program, &page, 0, "accepted");
    judge(&program, &page, 1, "accepted");
    judge(&program, &page, 1, "rejected");
    drop(program);
    let (program, page) = view(&out, &[]);
    assert_eq!(states(&program, &page), ["accepted", "rejected", "open"]);
    let (code, stderr) = synthesize(&files, &out, &[&more[..], &["--accepted"]].concat());
    assert_eq!(code, 0, "{stderr}");
    // The viewer that is still open sees that the case it rejected is another one now.
    assert_eq!(states(&program, &page), ["accepted", "outdated", "open"]);
    let mut laid_out: Vec<_> =
        std::fs::read_dir(out.join("imagesTr")).unwrap().map(|e| e.unwrap().file_name()).collect();
    laid_out.sort();
    assert_eq!(laid_out, ["case_001_0000.nii.gz"]);
    assert!(program.terminate().success());
}

#[test]
fn one_scan_and_what_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "case");
    let (program, page) = view(&files.ct, &["--labels", text(&files.labels)]);
    let details = ask(&program, &format!("{page}api/cases/0"));
    assert_eq!(details["has_labels"], true);
    assert_eq!(program.ask("GET", &format!("{page}cases/0/tumors.nii.gz"), "").0, 404);
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    for (path, says) in [(empty.as_path(), "synthesize"), (Path::new("/no/such"), "check the path")] {
        let (code, stderr) = run(&["view", text(path)]);
        assert!(code == 1 && stderr.contains(says), "{code} {stderr}");
    }
}
