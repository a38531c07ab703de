//! Verdicts: kept, replaced, refused, and none lost.
use difftumor_study::view::review::{self, Verdict};
use serde_json::json;
use std::path::Path;
use support::sha256;
use support::view::*;

// Of the support, this needs a part.
#[allow(dead_code)]
mod support;

fn sha(case: &str) -> String {
    sha256(record(case, 7))
}

/// Files in a folder, by name.
fn files(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}

#[test]
fn a_verdict_is_written_reread_and_replaced() {
    let root = two_cases();
    let viewer = view(root.path());
    let note = "ein \"Ödem\"?\n<b>";
    let reply = viewer.post(&verdict("1", "rejected", note, &sha("b")));
    assert_eq!(reply.status, 200, "{reply:?}");
    let kept = review::read(root.path()).unwrap();
    let b = &kept.cases["b"];
    assert_eq!((b.verdict, b.note.as_str(), &b.record_sha256), (Verdict::Rejected, note, &sha("b")));
    assert_eq!(reply.json(), json!({"at_unix_ms": b.at_unix_ms}));
    assert_eq!((kept.cases.len(), viewer.cases()[1]["state"].as_str()), (1, Some("rejected")));
    let again = view(root.path());
    assert_eq!(again.get("api/cases/1").json()["review"]["note"], note);
    assert_eq!(viewer.post(&verdict("1", "accepted", "", &sha("b"))).status, 200);
    assert_eq!(viewer.post(&verdict("0", "accepted", "", &sha("a"))).status, 200);
    let states: Vec<_> = again.cases().iter().map(|case| case["state"].clone()).collect();
    assert_eq!(states, ["accepted", "accepted"], "another viewer sees them");
    assert_eq!(files(root.path()), ["a", "b", "review.json"], "no lock stays");
}

#[test]
fn a_verdict_on_what_is_no_longer_there_is_refused() {
    let root = two_cases();
    let viewer = view(root.path());
    assert_eq!(viewer.post(&verdict("0", "accepted", "", &sha("a"))).status, 200);
    let before = std::fs::read(root.path().join("review.json")).unwrap();
    std::fs::write(root.path().join("a/record.json"), record("a", 8)).unwrap();
    let reply = viewer.post(&verdict("0", "rejected", "", &sha("a")));
    assert_eq!((reply.status, &reply.json()["error"]), (409, &json!("record_changed")));
    assert_eq!(viewer.cases()[0]["state"], "outdated");
    std::fs::remove_file(root.path().join("a/record.json")).unwrap();
    assert_eq!(viewer.post(&verdict("0", "rejected", "", &sha("a"))).status, 409);
    assert_eq!(std::fs::read(root.path().join("review.json")).unwrap(), before, "nothing was written");
    // A review from elsewhere, on no record at all.
    let forged = String::from_utf8(before).unwrap().replace(&sha("a"), "");
    std::fs::write(root.path().join("review.json"), forged).unwrap();
    assert_eq!(viewer.cases()[0]["state"], "outdated");
}

#[test]
fn a_review_that_becomes_damaged_is_told_and_left_alone() {
    let root = two_cases();
    let viewer = view(root.path());
    let path = root.path().join("review.json");
    std::fs::write(&path, "{ damaged").unwrap();
    for reply in [
        viewer.get("api/cases"),
        viewer.get("api/cases/0"),
        viewer.post(&verdict("0", "accepted", "", &sha("a"))),
    ] {
        let body = reply.json();
        assert_eq!((reply.status, &body["error"]), (500, &json!("review")));
        let message = body["message"].as_str().unwrap();
        assert!(
            message.contains("review.json") && !message.contains(root.path().to_str().unwrap()),
            "{message}"
        );
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{ damaged");
    assert_eq!(viewer.get("cases/0/ct.nii.gz").status, 200, "scans are still shown");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(viewer.post(&verdict("0", "accepted", "", &sha("a"))).status, 200);
    assert_eq!(files(root.path()), ["a", "b", "review.json"]);
}

/// Each of so many threads gives one verdict on a case of its own, through one of these viewers.
fn many_verdicts(viewers: usize, cases: usize) {
    let root = tempfile::tempdir().unwrap();
    let name = |i: usize| format!("case_{i:03}");
    for i in 0..cases {
        let folder = root.path().join(name(i));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("record.json"), record(&name(i), 7)).unwrap();
    }
    let viewers: Vec<Viewer> = (0..viewers).map(|_| view(root.path())).collect();
    std::thread::scope(|scope| {
        for i in 0..cases {
            let viewer = &viewers[i % viewers.len()];
            scope.spawn(move || {
                let body =
                    verdict(&i.to_string(), ["accepted", "rejected"][i % 2], &format!("{i}"), &sha(&name(i)));
                assert_eq!(viewer.post(&body).status, 200);
            });
        }
    });
    let kept = review::read(root.path()).unwrap();
    assert_eq!(kept.cases.len(), cases, "none is lost");
    for i in 0..cases {
        let found = &kept.cases[&name(i)];
        let expected = [Verdict::Accepted, Verdict::Rejected][i % 2];
        assert_eq!((found.verdict, &found.note), (expected, &i.to_string()));
    }
    assert_eq!(files(root.path()).len(), cases + 1, "and nothing is left: {:?}", files(root.path()));
}

#[test]
fn thirty_verdicts_at_once() {
    many_verdicts(1, 30);
}

#[test]
fn two_viewers_on_one_dataset_lose_nothing() {
    many_verdicts(2, 60);
}

#[cfg(unix)]
#[test]
fn a_dataset_that_cannot_be_written_says_so() {
    let root = two_cases();
    let viewer = view(root.path());
    // A pipe where the lock should be: neither waited for nor removed. (Rights do not stop every user.)
    let pipe = root.path().join(".review.lock");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reply = viewer.post(&verdict("0", "accepted", "", &sha("a")));
    assert_eq!((reply.status, &reply.json()["error"]), (500, &json!("review")));
    assert!(pipe.exists() && !root.path().join("review.json").exists());
}
