//! `study make | serve | score` by the program itself: a study from phantoms, answers over HTTP, a server killed in the middle, scores.

use crate::phantom::*;
use crate::served::Served;
use difftumor_study::digest::sha256;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Three phantoms with a "real" tumor each, and three outputs of `synthesize`.
fn cases(dir: &Path) -> (PathBuf, PathBuf) {
    let names = ["r0", "r1", "r2"];
    let real: Vec<Files> = names.iter().map(|name| with_tumor(dir, name, 4.0)).collect();
    let rows: Vec<(&str, &Path, &Path)> =
        names.iter().zip(&real).map(|(name, f)| (*name, f.ct.as_path(), f.labels.as_path())).collect();
    let made = dir.join("made");
    for name in ["s0", "s1", "s2"] {
        let more = ["--tumors", "1", "--diameter-mm", "16..20"];
        let (code, stderr) = synthesize(&standard(dir, name), &made.join(name), &more);
        assert_eq!(code, 0, "{stderr}");
    }
    (table(&dir.join("real.csv"), &rows), made)
}

/// A study's server.
struct Server {
    program: Served,
    links: Vec<(String, String)>,
}

impl Server {
    fn start(study: &Path, links: &Path) -> Self {
        let listen = ["--listen", "127.0.0.1:0", "--links", text(links)];
        let arguments = [&["study", "serve", text(study)], &listen[..]].concat();
        let (program, lines) = Served::start(&arguments);
        let link = |line: &String| {
            let (reader, url) = line.split_once(": ").unwrap();
            (reader.to_string(), program.path(url))
        };
        let links = lines[1..].iter().take_while(|line| !line.starts_with("stop")).map(link).collect();
        Self { program, links }
    }

    /// Status and body.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.program.ask(method, path, body)
    }

    fn session(&self, link: &str) -> Value {
        let (status, body) = self.ask("GET", &format!("{link}api/session"), "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Answers an item that has no answer.
    fn answer(&self, link: &str, item: &str, answer: &str) {
        let body = json!({
            "item": item, "answer": answer, "client_id": &sha256(format!("{link}{item}"))[..32],
            "expected_revision": 1, "reading_ms": 1500,
        });
        let (status, reply) = self.ask("POST", &format!("{link}api/answers"), &body.to_string());
        assert_eq!(status, 200, "{reply}");
    }
}

#[test]
fn a_study_from_the_first_case_to_the_scores() {
    let dir = tempfile::tempdir().unwrap();
    let (real, made) = cases(dir.path());
    let [study, key, links, out] =
        ["study", "study-key.json", "study-links.json", "scores"].map(|name| dir.path().join(name));
    let make = ["study", "make", "--real", text(&real), "--synthetic", text(&made), "--out", text(&study)];
    let readers = [
        "--organ",
        "liver=1:tumor=2",
        "--reader",
        "Ann",
        "--reader",
        "Bob",
        "--repeats",
        "0.34",
        "--seed",
        "7",
    ];
    succeed(&[&make[..], &readers].concat());
    // Nothing of the truth is in the folder that is served.
    for (path, bytes) in tree(&study) {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let told = ["r0", "s0", "liver", "made"].iter().any(|word| text.contains(word));
        assert!(path.extension().is_some_and(|e| e == "gz") || !told, "{}: {text}", path.display());
    }
    let truth = json(&key);
    let item_is = |id: &str| if truth["items"][id]["synthetic"] == true { "synthetic" } else { "real" };
    let server = Server::start(&study, &links);
    assert_eq!(server.links.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["Ann", "Bob"]);
    let (code, stderr) = run(&["study", "serve", text(&study), "--listen", "127.0.0.1:0"]);
    assert!(code == 1 && stderr.contains("another server"), "{stderr}");
    let [ann, bob] = [0, 1].map(|i| server.links[i].1.clone());
    let ids = |server: &Server, link: &str| -> Vec<String> {
        let items = server.session(link)["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["id"].as_str().unwrap().to_string()).collect()
    };
    let items = ids(&server, &ann);
    assert_eq!(items.len(), 6 + 2);
    // Ann is always right; Bob takes all for real, and his server dies after three answers.
    items.iter().for_each(|item| server.answer(&ann, item, item_is(item)));
    let bobs = ids(&server, &bob);
    bobs[..3].iter().for_each(|item| server.answer(&bob, item, "real"));
    drop(server);
    let server = Server::start(&study, &links);
    let session = server.session(&bob);
    let open = |item: &&Value| item["answer"].is_null();
    let left: Vec<&Value> = session["items"].as_array().unwrap().iter().filter(open).collect();
    assert_eq!(left.len(), 8 - 3);
    left.iter().for_each(|item| server.answer(&bob, item["id"].as_str().unwrap(), "real"));
    let score = ["study", "score", text(&study), "--key", text(&key), "--out", text(&out)];
    // While the server still runs.
    succeed(&score);
    let scores = json(&out.join("scores.json"));
    let number =
        |reader: usize, figure: &str| scores["readers"][reader]["turing"][0][figure]["share"].as_f64();
    assert_eq!(scores["readers"][0]["answered"], 6);
    assert_eq!([number(0, "sensitivity"), number(0, "specificity")], [Some(1.0), Some(1.0)], "{scores}");
    assert_eq!([number(1, "sensitivity"), number(1, "specificity")], [Some(1.0), Some(0.0)], "{scores}");
    let csv = std::fs::read_to_string(out.join("scores.csv")).unwrap();
    assert!(csv.contains("Ann") && csv.contains("liver"), "{csv}");
    assert!(std::fs::read_to_string(out.join("report.html")).unwrap().contains("Bob"));
    let (code, stderr) = run(&score);
    assert!(code == 1 && stderr.contains("--force"), "{stderr}");
    drop(server);

    // Another key, and a folder that was changed.
    let other = dir.path().join("other.json");
    let text_of_key = std::fs::read_to_string(&key).unwrap();
    let hash = truth["study_sha256"].as_str().unwrap();
    std::fs::write(&other, text_of_key.replace(hash, &"0".repeat(64))).unwrap();
    let (code, stderr) =
        run(&["study", "score", text(&study), "--key", text(&other), "--out", text(&dir.path().join("no"))]);
    assert!(code == 1 && stderr.contains("key"), "{stderr}");
    std::fs::write(study.join("volumes").join(format!("{}.nii.gz", items[0])), "changed").unwrap();
    let (code, stderr) = run(&["study", "serve", text(&study), "--listen", "127.0.0.1:0"]);
    assert!(code == 1 && stderr.contains(&items[0]), "{stderr}");
}

#[test]
fn a_server_that_is_told_to_stop_does() {
    let dir = tempfile::tempdir().unwrap();
    let (real, made) = cases(dir.path());
    let study = dir.path().join("study");
    let make = ["study", "make", "--real", text(&real), "--synthetic", text(&made), "--out", text(&study)];
    succeed(&[&make[..], &["--organ", "liver=1:tumor=2", "--reader", "Ann"]].concat());
    let server = Server::start(&study, &dir.path().join("study-links.json"));
    assert!(server.program.terminate().success());
}

#[test]
fn what_makes_no_study_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (real, made) = cases(dir.path());
    let out = dir.path().join("study");
    let make =
        |more: &[&str]| run(&[&["study", "make", "--out", text(&out), "--reader", "Ann"], more].concat());
    let organ = ["--organ", "liver=1:tumor=2"];
    for (more, says) in [
        ([&["--real", text(&real)], &organ[..]].concat(), "synthetic"),
        (vec!["--real", text(&real), "--synthetic", text(&made), "--organ", "liver"], "tumor=2"),
        ([&["--real", text(&real), "--synthetic", text(dir.path())], &organ[..]].concat(), "record.json"),
        ([&["--real", text(&made), "--synthetic", text(&made)], &organ[..]].concat(), "a table"),
    ] {
        let (code, stderr) = make(&more);
        assert!(code == 1 && stderr.contains(says), "{more:?}: {code} {stderr}");
        assert!(!out.exists());
    }
}
