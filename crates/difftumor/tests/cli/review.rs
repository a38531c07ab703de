//! `synthesize --accepted`: what a review rejects is drawn again, and what it accepts becomes the dataset.

use crate::phantom::*;
use difftumor_study::digest::sha256;
use difftumor_study::view::review::{Review, Reviewed, Verdict};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const COPIES: [&str; 6] = ["--size", "tiny", "--tumors", "1", "--per-case", "4"];

/// What the viewer writes when these verdicts are given on the outputs as they are.
fn review(folder: &Path, verdicts: &[(&str, Verdict)]) {
    let mut review: Review = difftumor_study::view::review::read(folder).unwrap();
    for (name, verdict) in verdicts {
        let record = std::fs::read(folder.join(name).join("record.json")).unwrap();
        let reviewed = Reviewed {
            verdict: *verdict,
            note: "for this test".into(),
            record_sha256: sha256(record),
            at_unix_ms: 1,
        };
        review.cases.insert((*name).into(), reviewed);
    }
    std::fs::write(folder.join("review.json"), serde_json::to_vec(&review).unwrap()).unwrap();
}

/// Exit code, stdout, stderr.
fn again(files: &Files, out: &Path, more: &[&str]) -> (i32, String, String) {
    let all = ["synthesize", "--ct", text(&files.ct), "--labels", text(&files.labels), "--organ", "liver=1"];
    let rest = ["--method", "handcrafted", "--out", text(out)];
    let output = command(&[&all[..], &rest[..], more].concat()).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
    (output.status.code().expect("not killed"), stdout, stderr)
}

fn redraw(output: &Path) -> u64 {
    json(&output.join("record.json"))["redraw"].as_u64().unwrap()
}

/// All files but the review.
fn outputs(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = tree(out);
    files.retain(|path, _| !path.ends_with("review.json"));
    files
}

fn copy(from: &Path, to: &Path) {
    for path in tree(from).into_keys().filter(|path| from.join(path).is_file()) {
        std::fs::create_dir_all(to.join(&path).parent().unwrap()).unwrap();
        std::fs::copy(from.join(&path), to.join(&path)).unwrap();
    }
}

fn of<'a>(files: &'a BTreeMap<PathBuf, Vec<u8>>, part: &str) -> Vec<(&'a PathBuf, &'a Vec<u8>)> {
    let found: Vec<_> = files.iter().filter(|(path, _)| path.to_string_lossy().contains(part)).collect();
    assert!(!found.is_empty(), "{part}");
    found
}

#[test]
fn rejected_outputs_are_drawn_again_and_all_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "case");
    let [out, sharded] = ["out", "sharded"].map(|name| dir.path().join(name));
    let (code, _, stderr) = again(&files, &out, &COPIES);
    assert_eq!(code, 0, "{stderr}");
    let first = outputs(&out);
    let accepted = [&COPIES[..], &["--accepted"]].concat();
    // Without a review, nothing is done.
    let (code, _, stderr) = again(&files, &out, &accepted);
    assert!(code != 0 && stderr.contains("review.json") && stderr.contains("difftumor view"), "{stderr}");
    review(&out, &[("case_001", Verdict::Accepted), ("case_002", Verdict::Rejected)]);
    copy(&out, &sharded);
    let (code, stdout, stderr) = again(&files, &out, &accepted);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("1 done with 1 tumors, 3 skipped, 0 failed"), "{stdout}");
    assert!(
        stdout.contains("review: 1 accepted, 1 rejected and drawn again; 3 without a verdict now"),
        "{stdout}"
    );
    let second = outputs(&out);
    for same in ["case_001", "case_003", "case_004"] {
        assert_eq!(of(&second, same), of(&first, same));
        assert_eq!(redraw(&out.join(same)), 0);
    }
    assert_eq!(redraw(&out.join("case_002")), 1);
    let centre = |files: &BTreeMap<PathBuf, Vec<u8>>| {
        let (_, record) =
            of(files, "case_002").into_iter().find(|(p, _)| p.ends_with("record.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(record).unwrap()["tumors"][0]["centre_mm"].clone()
    };
    assert_ne!(centre(&second), centre(&first), "another tumor");
    check_output(&files, &out.join("case_002"), &[1]);
    // The verdict was on the one before: a second call, and a plain --resume, have nothing to do.
    for flag in ["--accepted", "--resume"] {
        let (code, stdout, stderr) = again(&files, &out, &[&COPIES[..], &[flag]].concat());
        assert!(code == 0 && stdout.contains("0 done with 0 tumors, 4 skipped"), "{stdout}{stderr}");
    }
    assert_eq!(outputs(&out), second);
    // In shards, whichever comes first: the same bytes.
    for shard in ["1/2", "0/2"] {
        let (code, _, stderr) = again(&files, &sharded, &[&accepted[..], &["--shard", shard]].concat());
        assert_eq!(code, 0, "{stderr}");
    }
    assert_eq!(outputs(&sharded), second);
    // Rejected again: a third tumor.
    review(&out, &[("case_002", Verdict::Rejected)]);
    let (code, _, stderr) = again(&files, &out, &accepted);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(redraw(&out.join("case_002")), 2);
    let third = outputs(&out);
    assert!(centre(&third) != centre(&first) && centre(&third) != centre(&second));
}

#[test]
fn a_growth_series_is_drawn_again_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "case");
    let [out, sharded] = ["out", "sharded"].map(|name| dir.path().join(name));
    let grow = ["--grow", "6,12mm", "--tumors", "1", "--per-case", "2"];
    for folder in [&out, &sharded] {
        let (code, _, stderr) = again(&files, folder, &grow);
        assert_eq!(code, 0, "{stderr}");
        review(folder, &[("case_001_006mm", Verdict::Accepted), ("case_001_012mm", Verdict::Rejected)]);
    }
    let accepted = [&grow[..], &["--accepted"]].concat();
    let (code, stdout, stderr) = again(&files, &out, &accepted);
    assert!(code == 0 && stdout.contains("2 done with 2 tumors, 2 skipped"), "{stdout}{stderr}");
    let redraws = ["case_001_006mm", "case_001_012mm", "case_002_006mm", "case_002_012mm"]
        .map(|name| redraw(&out.join(name)));
    assert_eq!(redraws, [1, 1, 0, 0]);
    let contrast = |size: &str| json(&out.join(size).join("record.json"))["tumors"][0]["contrast_hu"].clone();
    assert_eq!(contrast("case_001_006mm"), contrast("case_001_012mm"), "the same tumor at both sizes");
    // The shard that has the accepted size draws it again, too, before or after the other one.
    for shard in ["1/4", "0/4", "2/4", "3/4"] {
        let (code, _, stderr) = again(&files, &sharded, &[&accepted[..], &["--shard", shard]].concat());
        assert_eq!(code, 0, "{stderr}");
    }
    for name in ["case_001_006mm", "case_001_012mm", "case_002_006mm"] {
        assert_same(&sharded.join(name), &out.join(name));
    }
}

#[test]
fn only_accepted_outputs_become_a_dataset() {
    for (layout, files_of) in [
        ("nnunet", ["imagesTr/ID_0000.nii.gz", "labelsTr/ID.nii.gz"]),
        ("msd", ["imagesTr/ID.nii.gz", "labelsTr/ID.nii.gz"]),
        ("bodymaps", ["ID/ct.nii.gz", "ID/segmentations/liver_lesion.nii.gz"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let files = standard(dir.path(), "case");
        let out = dir.path().join("out");
        let all = [&COPIES[..], &["--layout", layout]].concat();
        let (code, stdout, stderr) = again(&files, &out, &all);
        assert!(code == 0 && stdout.contains("4 cases laid out"), "{stdout}{stderr}");
        let has = |id: &str| files_of.map(|name| out.join(name.replace("ID", id)).is_file());
        assert_eq!(has("case_002"), [true; 2]);
        let made = out.join("synthetic");
        review(
            &made,
            &[
                ("case_001", Verdict::Accepted),
                ("case_002", Verdict::Rejected),
                ("case_003", Verdict::Accepted),
            ],
        );
        let (code, stdout, stderr) = again(&files, &out, &[&all[..], &["--accepted"]].concat());
        assert!(code == 0 && stdout.contains("2 cases laid out"), "{stdout}{stderr}");
        let ids = ["case_001", "case_002", "case_003", "case_004"];
        assert_eq!(ids.map(has), [[true; 2], [false; 2], [true; 2], [false; 2]], "{layout}");
        assert!(ids.iter().all(|id| made.join(id).join("ct.nii.gz").is_file()), "outputs themselves stay");
        let table = std::fs::read_to_string(out.join("synthetic.csv")).unwrap();
        let listed: Vec<&str> = table.lines().skip(1).map(|line| &line[..8]).collect();
        assert_eq!(listed, ["case_001", "case_003"]);
        // When none is left, that is said; outputs are drawn again all the same.
        review(&made, &[("case_001", Verdict::Rejected), ("case_003", Verdict::Rejected)]);
        let (code, _, stderr) = again(&files, &out, &[&all[..], &["--accepted"]].concat());
        assert!(code == 1 && stderr.contains("accepted outputs to lay out"), "{stderr}");
        assert_eq!([redraw(&made.join("case_001")), redraw(&made.join("case_003"))], [1, 1]);
    }
}

#[test]
fn the_one_output_of_a_scan_has_its_review_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(&dir.path().join("scans"), "case");
    let out = dir.path().join("outputs").join("one");
    let one = &COPIES[..4];
    let (code, _, stderr) = again(&files, &out, one);
    assert_eq!(code, 0, "{stderr}");
    review(out.parent().unwrap(), &[("one", Verdict::Rejected)]);
    let (code, _, stderr) = again(&files, &out, &[one, &["--accepted"]].concat());
    assert!(code == 0 && redraw(&out) == 1, "{stderr}");
}

#[test]
fn reviews_that_cannot_be_read_stop_before_anything_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "case");
    let out = dir.path().join("out");
    let (code, _, stderr) = again(&files, &out, &COPIES);
    assert_eq!(code, 0, "{stderr}");
    std::fs::write(out.join("review.json"), "{\"format\": \"something else\"}").unwrap();
    let before = tree(&out);
    let accepted = [&COPIES[..], &["--accepted"]].concat();
    let (code, _, stderr) = again(&files, &out, &accepted);
    assert!(code == 1 && stderr.contains("review.json") && stderr.contains("difftumor review 1"), "{stderr}");
    assert_eq!(tree(&out), before);
    let (code, _, stderr) = again(&files, &out, &[&accepted[..], &["--force"]].concat());
    assert!(code == 2 && stderr.contains("--force"), "{stderr}");
    let (code, _, stderr) = again(&files, Path::new("s3://bucket/out"), &accepted);
    assert!(code != 0 && stderr.contains("a folder of this machine"), "{stderr}");
}
