//! The answers' file: revisions, replays, what is refused, and a writer that is killed.
use difftumor_study::Error;
use difftumor_study::store::{NewAnswer, Put, Store};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const STUDY: &str = "aa";

fn new<'a>(client_id: &'a str, expected_revision: u32, answer: &'a str) -> NewAnswer<'a> {
    NewAnswer {
        reader: "Ann",
        item: "0123456789abcdef",
        answer,
        client_id,
        expected_revision,
        reading_ms: 1500,
    }
}

fn problem(result: Result<Store, Error>) -> String {
    match result {
        Err(error @ Error::File { .. }) => error.to_string(),
        other => panic!("expected an error about the file, found {other:?}"),
    }
}

#[test]
fn replays_add_nothing_and_revisions_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("a.sqlite"), STUDY).unwrap();
    assert_eq!(store.put(&new("c1", 1, "real")).unwrap(), Put::Kept { revision: 1 });
    assert_eq!(store.put(&new("c1", 1, "real")).unwrap(), Put::Kept { revision: 1 }, "replay");
    assert_eq!(store.put(&new("c1", 1, "synthetic")).unwrap(), Put::ClientIdTaken);
    assert_eq!(store.put(&NewAnswer { reader: "Bob", ..new("c1", 1, "real") }).unwrap(), Put::ClientIdTaken);

    let first = store.all().unwrap();
    assert_eq!((first.len(), first[0].reading_ms, first[0].answer.as_str()), (1, 1500, "real"));
    assert!(first[0].received_unix_ms > 1_700_000_000_000, "{}", first[0].received_unix_ms);
    for wrong in [0, 1, 3, u32::MAX] {
        let stale = store.put(&new("c2", wrong, "synthetic")).unwrap();
        assert_eq!(stale, Put::Stale { current: Some(first[0].clone()) }, "revision {wrong}");
    }
    assert_eq!(
        store.put(&NewAnswer { reader: "Bob", ..new("b1", 2, "real") }).unwrap(),
        Put::Stale { current: None }
    );
    assert_eq!(store.put(&new("c3", 2, "synthetic")).unwrap(), Put::Kept { revision: 2 });
    assert_eq!(store.put(&new("c1", 1, "real")).unwrap(), Put::Kept { revision: 1 }, "a late replay");
    let answers = store.answers("Ann").unwrap();
    let found: Vec<_> = answers.iter().map(|a| (a.revision, a.answer.as_str())).collect();
    assert_eq!(found, [(1, "real"), (2, "synthetic")]);
    assert!(store.answers("Bob").unwrap().is_empty());
}

#[test]
fn files_of_others_and_damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    drop(Store::open(path("a.sqlite"), STUDY).unwrap());
    assert!(Store::open_existing(path("a.sqlite"), STUDY).unwrap().all().unwrap().is_empty());
    let said = problem(Store::open(path("a.sqlite"), "bb"));
    assert!(said.contains("study with SHA-256 bb, found those to aa"), "{said}");
    let said = problem(Store::open_existing(path("none.sqlite"), STUDY));
    assert!(said.contains("found none") && !path("none.sqlite").exists(), "{said}");

    std::fs::write(
        path("text"),
        "no database, but long enough to have a header of one hundred bytes".repeat(9),
    )
    .unwrap();
    let said = problem(Store::open(path("text"), STUDY));
    assert!(said.contains("not a database") && said.contains("whole"), "{said}");
    let foreign = rusqlite::Connection::open(path("foreign")).unwrap();
    foreign.execute_batch("CREATE TABLE t(a)").unwrap();
    let said = problem(Store::open(path("foreign"), STUDY));
    assert!(said.contains("not of answers"), "{said}");
    problem(Store::open(path("no folder/a.sqlite"), STUDY));
}

#[test]
fn a_page_of_rubbish_is_found_at_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    let store = Store::open(&path, STUDY).unwrap();
    for revision in 1..=400 {
        store.put(&new(&format!("client {revision}"), revision, "real")).unwrap();
    }
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() > 5 * 4096, "{} bytes: the log was not written back", bytes.len());
    bytes[4 * 4096..5 * 4096].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let said = problem(Store::open(&path, STUDY));
    assert!(said.contains("keep the damaged file"), "{said}");
}

/// What the killed process below runs: one answer after the other, each named on stdout once it is kept.
#[test]
#[ignore = "run by what_was_acknowledged_outlives_a_kill, which sets DIFFTUMOR_TEST_STORE"]
fn writer() {
    let store = Store::open(std::env::var("DIFFTUMOR_TEST_STORE").unwrap(), STUDY).unwrap();
    let done = store.all().unwrap().len() as u32;
    for revision in done + 1.. {
        store.put(&new(&format!("client {revision}"), revision, "real")).unwrap();
        println!("\nkept {revision}");
    }
}

fn written_until_killed(path: &Path, answers: usize) -> u32 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "writer", "--nocapture"])
        .env("DIFFTUMOR_TEST_STORE", path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut kept = || lines.by_ref().find_map(|line| line.strip_prefix("kept ")?.parse::<u32>().ok());
    let mut last = None;
    for _ in 0..answers {
        last = kept();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said between the last line read and its end counts too.
    while let Some(more) = kept() {
        last = Some(more);
    }
    last.expect("the writer ended early")
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    for round in 0..3 {
        let acknowledged = written_until_killed(&path, 20);
        let answers = Store::open(&path, STUDY).unwrap().all().unwrap();
        let revisions: Vec<u32> = answers.iter().map(|a| a.revision).collect();
        let last = revisions.len() as u32;
        assert_eq!(revisions, (1..=last).collect::<Vec<_>>(), "round {round}");
        assert!(
            (acknowledged..=acknowledged + 1).contains(&last),
            "round {round}: {acknowledged} acknowledged, {last} kept"
        );
    }
}
