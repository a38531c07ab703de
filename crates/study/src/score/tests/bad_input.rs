//! What does not belong together is refused.
use super::*;

#[track_caller]
fn refused(files: &Files, answers: &[Answer], expected: &str) {
    let error = files.score(answers).expect_err(expected).to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_key_of_another_study_is_refused() {
    let mut files = turing_files();
    files.key.study_sha256 = "another".into();
    refused(
        &files,
        &[],
        "expected that of the study whose study.json has the SHA-256 5ha, found the key of another",
    );

    let mut files = turing_files();
    files.key.items.remove("ks2");
    refused(&files, &[], "'ks2' in the study alone");
    let mut files = turing_files();
    files.study.items.remove(0);
    refused(&files, &[], "'kr1' in the key alone");

    let mut files = turing_files();
    files.key.items.get_mut("lr1x").unwrap().synthetic = true;
    refused(&files, &[], "'lr1x', which repeats 'lr1'");
    let mut files = turing_files();
    files.key.items.get_mut("lr1x").unwrap().repeats = Some("nowhere".into());
    refused(&files, &[], "'lr1x', which repeats 'nowhere'");
    let mut files = turing_files();
    files.key.items.get_mut("lr1").unwrap().repeats = Some("lr1x".into());
    refused(&files, &[], "which repeats");

    let mut files = organ_files();
    files.key.items.get_mut("l1").unwrap().organ = "spleen".into();
    refused(&files, &[], "'spleen' for item 'l1'");
    let mut files = turing_files();
    files.study.choices.reverse();
    refused(&files, &[], "expected real, synthetic, found synthetic, real");
    let mut files = turing_files();
    files.key.format = "difftumor study 2".into();
    refused(&files, &[], "format of the key");
}

#[test]
fn orders_that_are_none_are_refused() {
    let mut files = turing_files();
    files.readers.readers[1].order.pop();
    refused(&files, &[], "order of R2: expected each of the key's 10 items once, found 9 items");
    let mut files = turing_files();
    files.readers.readers[1].order[0] = "lr2".into();
    refused(&files, &[], "found 10 items, 9 of them different");
    let mut files = turing_files();
    files.readers.readers[0].order.swap(0, 8);
    refused(&files, &[], "order of R1: expected repeats after what they repeat, found 'lr1x' before");
    let mut files = turing_files();
    files.readers.readers[1].name = "R1".into();
    refused(&files, &[], "'R1' twice");
}

#[test]
fn answers_of_strangers_are_refused() {
    let files = turing_files();
    for (stranger, expected) in [
        (answer("R9", "lr1", "real", 1, 1), "reader of an answer: expected one of the study, found 'R9'"),
        (answer("R1", "lr9", "real", 1, 1), "item of an answer: expected one of the study, found 'lr9'"),
        (answer("R1", "lr1", "Real", 2, 1), "expected real, synthetic, found 'Real' by R1 for item lr1"),
        (answer("R1", "lr1", "synthetic", 1, 1), "revision 1 by R1 for item lr1 twice"),
    ] {
        let mut answers = turing_answers();
        answers.push(stranger);
        refused(&files, &answers, expected);
    }
}

#[test]
fn files_that_are_none_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = read_study(dir.path()).unwrap_err().to_string();
    assert!(error.contains("study.json: it cannot be read"), "{error}");
    let path = dir.path().join("key.json");
    for text in ["", "{", "[]", r#"{"format": "difftumor study 1", "more": 1}"#] {
        std::fs::write(&path, text).unwrap();
        let error = read_key(&path).unwrap_err().to_string();
        assert!(error.contains("key.json") && error.contains("unchanged"), "{error}");
    }
}
