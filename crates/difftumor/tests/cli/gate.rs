//! `synthesize --gate` and `--mass-effect`, and the ranges that `analyze realism` writes and reads.

use crate::phantom::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const SIZE: [&str; 4] = ["--tumors", "1", "--diameter-mm", "14..20"];

/// Ranges of one figure: usual within `low..high`, possible too.
fn ranges(path: &Path, figure: &str, [low, high]: [f64; 2]) -> PathBuf {
    let limits = json!({ "low": low, "high": high, "kind": "percentiles" });
    let range =
        json!({ "feature": figure, "median": (low + high) / 2.0, "usual": limits, "possible": limits });
    let all = json!({ "source": "a test", "tumors": 100, "ranges": [range] });
    let gate = json!({ "ranges": [{ "longest_axis_mm": [0.0, null], "ranges": all }] });
    std::fs::write(path, gate.to_string()).unwrap();
    path.to_path_buf()
}

fn contrast_hu(record: &Value) -> f64 {
    let mean = |of: &str| record["tumors"][0][of]["mean_hu"].as_f64().unwrap();
    mean("hu_inside") - mean("hu_around")
}

#[test]
fn tumors_that_fail_are_drawn_again_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "case");
    let copies = |out: &Path, more: &[&str]| {
        let all = [&SIZE[..], &["--per-case", "6", "--seed", "4"], more].concat();
        let (code, stderr) = synthesize(&files, out, &all);
        assert_eq!(code, 0, "{stderr}");
        (1..=6).map(|n| json(&out.join(format!("case_{n:03}/record.json")))).collect::<Vec<Value>>()
    };
    let free = copies(&dir.path().join("free"), &[]);
    assert!(free.iter().all(|record| record["gate"].is_null() && record["tumors"][0]["gate"].is_null()));
    // Half of them are fainter than this.
    let mut faint: Vec<f64> = free.iter().map(contrast_hu).collect();
    faint.sort_by(f64::total_cmp);
    let limit = (faint[2] + faint[3]) / 2.0;
    let real = ranges(&dir.path().join("real.json"), "contrast_hu", [-500.0, limit]);
    let (out, report) = (dir.path().join("gated"), dir.path().join("report.json"));
    let gated = copies(&out, &["--gate", "--match", text(&real), "--report", text(&report)]);
    let mut judged = [0, 0];
    for (free, gated) in free.iter().zip(&gated) {
        // The record measures all of the label and the ring of 5 mm, the gate what is 2 mm inside and the ring from 3 to 8 mm.
        assert!(contrast_hu(gated) < limit + 8.0, "{} {limit}", contrast_hu(gated));
        let rejected = gated["tumors"][0]["gate"]["rejected"].as_u64().unwrap();
        judged[0] += gated["gate"]["judged"].as_u64().unwrap();
        judged[1] += rejected;
        assert_eq!(gated["gate"]["rejected"].as_u64().unwrap(), rejected);
        assert_eq!(gated["gate"]["judged"].as_u64().unwrap(), rejected + 1);
        let same = |of: &str| free["tumors"][0][of] == gated["tumors"][0][of];
        // A tumor that passes at once is the one that would have been drawn without a gate.
        assert_eq!(rejected == 0, same("centre_mm") && same("volume_mm3"));
    }
    assert!(judged[1] >= 2, "{judged:?}");
    let total = &json(&report)["gate"];
    assert_eq!([&total["judged"], &total["rejected"]], [judged[0], judged[1]]);
    assert_eq!(total["reasons"]["contrast_hu"], judged[1]);
    let settings = &gated[0]["settings"]["gate"];
    assert_eq!(settings["compared_with"], json!(["a test"]));
    // Other ranges are other settings.
    let other = ranges(&dir.path().join("other.json"), "contrast_hu", [-500.0, limit + 1.0]);
    let again =
        [&SIZE[..], &["--per-case", "6", "--seed", "4", "--resume", "--gate"], &["--match", text(&other)]]
            .concat();
    let (code, stderr) = synthesize(&files, &out, &again);
    assert!(code == 1 && stderr.contains("settings.gate.ranges_sha256"), "{stderr}");
}

#[test]
fn a_gate_that_nothing_passes_gives_up() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "case");
    let real = ranges(&dir.path().join("real.json"), "inside_hu", [400.0, 500.0]);
    let out = dir.path().join("out");
    let (code, stderr) = synthesize(&files, &out, &[&SIZE[..], &["--gate", "--match", text(&real)]].concat());
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("the gate rejected 12 of 12 that were painted (inside_hu 12 times)"), "{stderr}");
    assert!(!out.join("ct.nii.gz").exists());
    let bad = dir.path().join("bad.json");
    std::fs::write(&bad, "{}").unwrap();
    for (more, code, says) in [
        (vec!["--match", text(&real)], 2, "--gate"),
        (vec!["--gate", "--match", text(&bad)], 1, "analyze realism --write-ranges"),
        (vec!["--gate", "--match", "none.json"], 1, "none.json"),
        (vec!["--gate", "--preset", "paper", "--size", "small"], 2, "default preset"),
    ] {
        let usual = if more.contains(&"paper") { &[][..] } else { &SIZE[..] };
        let (found, stderr) = synthesize(&files, &out, &[usual, &more].concat());
        assert!(found == code && stderr.contains(says), "{more:?}: {found} {stderr}");
    }
}

#[test]
fn ranges_of_ones_own_tumors_and_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "case");
    let out = dir.path().join("made");
    let (code, stderr) = synthesize(&files, &out, &[&SIZE[..], &["--per-case", "6", "--pair"]].concat());
    assert_eq!(code, 0, "{stderr}");
    let row = |n: usize| format!("c{n},made/case_{n:03}/ct.nii.gz,made/case_{n:03}/labels.nii.gz\n");
    let table = |name: &str, numbers: std::ops::RangeInclusive<usize>| {
        let path = dir.path().join(name);
        std::fs::write(&path, "id,ct,labels\n".to_string() + &numbers.map(row).collect::<String>()).unwrap();
        path
    };
    let (all, few) = (table("real.csv", 1..=6), table("few.csv", 1..=3));
    let realism = |cases: &Path, more: &[&str]| {
        run(&[&["analyze", "realism", "--organ", "liver=1:tumor=2", "--cases", text(cases)], more].concat())
    };
    let [written, report, page] = ["w.json", "r.json", "p.html"].map(|name| dir.path().join(name));
    let (code, stderr) = realism(&all, &["--write-ranges", text(&written)]);
    assert_eq!(code, 0, "{stderr}");
    for real in [&written, &all] {
        let more =
            ["--match", text(real), "--report", text(&report), "--html", text(&page), "--sheet-tumors", "2"];
        let (code, stderr) = realism(&few, &more);
        assert_eq!(code, 0, "{stderr}");
        let report = json(&report);
        assert_eq!(report["compared_with"], json!(["real.csv"]));
        // They are among those that the ranges are of; only the fixed rules may object.
        for tumor in report["tumors"].as_array().unwrap() {
            let checks = tumor["verdict"]["checks"].as_array().unwrap();
            let of_ranges = checks.iter().filter(|c| c["reason"].as_str().unwrap().contains("real.csv"));
            assert!(
                of_ranges.clone().count() >= 2 && of_ranges.clone().all(|c| c["grade"] == "pass"),
                "{tumor}"
            );
            assert!(
                tumor["change"]["near_hu"].as_f64().unwrap() > 0.0,
                "compared with the healthy copy: {tumor}"
            );
        }
    }
    let html = std::fs::read_to_string(&page).unwrap();
    for part in
        ["Realism of tumors", "data:image/png;base64,", "Pictures of 2 of 3", "equivalent_diameter_mm"]
    {
        assert!(html.contains(part), "{part}");
    }
    let (code, stderr) = realism(&all, &["--match", text(&few)]);
    assert!(code == 1 && stderr.contains("at least 5"), "{stderr}");
}

#[test]
fn larger_tumors_push_their_organ() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "case");
    let make = |name: &str, more: &[&str]| {
        let out = dir.path().join(name);
        let (code, stderr) = synthesize(&files, &out, &[&["--tumors", "1", "--seed", "3"], more].concat());
        assert_eq!(code, 0, "{stderr}");
        (json(&out.join("record.json")), labels_of(&out.join("labels.nii.gz")))
    };
    let large = ["--diameter-mm", "30..30"];
    let (still, before) = make("still", &large);
    let (pushed, after) = make("pushed", &[&large[..], &["--mass-effect", "0.8"]].concat());
    let tumor = &pushed["tumors"][0];
    assert!(still["tumors"][0]["mass_effect"].is_null());
    assert_eq!(pushed["voxels_changed_outside_blend_zone"], 0);
    assert!(pushed["voxels_in_blend_zone"].as_u64() > still["voxels_in_blend_zone"].as_u64());
    let record = &tumor["mass_effect"];
    let number = |key: &str| record[key].as_f64().unwrap();
    assert!(number("strength_asked") == 0.8 && (0.1..=0.8).contains(&number("strength_used")), "{record}");
    assert!(number("largest_displacement_mm") > 1.0, "{record}");
    // The organ with its tumor grows by part of what was pushed at most: the rest is taken up around.
    let voxels = |labels: &difftumor_ct::Labels| labels.data.iter().filter(|v| **v > 0).count() as f64;
    let grown_mm3 = (voxels(&after) - voxels(&before)) * after.affine.determinant().abs();
    let most_mm3 = number("strength_used") * number("tumor_mm3");
    assert!((0.0..=1.1 * most_mm3).contains(&grown_mm3), "{grown_mm3} {most_mm3}");
    // Small ones push nothing.
    let (small, _) = make("small", &["--diameter-mm", "8..10", "--mass-effect"]);
    assert!(small["tumors"][0]["mass_effect"].is_null());
    assert_eq!(small["settings"]["mass_effect"]["strength"], 0.6);
}

#[test]
fn tumors_in_an_organ_that_was_pushed() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "case");
    let organs = ["--organ", "liver=1", "--organ", "kidney=2"];
    let more =
        [&organs[..], &["--tumors", "2", "--diameter-mm", "20..24", "--mass-effect", "--seed", "1"]].concat();
    let outs = ["a", "b"].map(|name| dir.path().join(name));
    for (out, jobs) in outs.iter().zip(["1", "2"]) {
        let (code, stderr) =
            synthesize(&files, out, &[&more[..], &["--per-case", "2", "--jobs", jobs]].concat());
        assert_eq!(code, 0, "{stderr}");
    }
    assert_same(&outs[0], &outs[1]);
    for copy in ["case_001", "case_002"] {
        let record = json(&outs[0].join(copy).join("record.json"));
        let tumors = labels_of(&outs[0].join(copy).join("tumors.nii.gz"));
        let labels = labels_of(&outs[0].join(copy).join("labels.nii.gz"));
        assert_eq!(record["voxels_changed_outside_blend_zone"], 0);
        for tumor in record["tumors"].as_array().unwrap() {
            // What was measured last is what is in the files, also of tumors that a later one has pushed aside.
            let number = tumor["number"].as_u64().unwrap() as u16;
            let voxels = tumors.data.iter().filter(|v| **v == number).count();
            assert_eq!(tumor["voxels"], voxels);
        }
        let tumor_value = 3;
        let labelled = labels.data.iter().zip(&tumors.data).all(|(l, t)| (*l == tumor_value) == (*t > 0));
        assert!(labelled, "{copy}");
    }
    let series = ["--grow", "10,24mm", "--tumors", "2", "--mass-effect"];
    let (code, stderr) = synthesize(&files, &dir.path().join("c"), &series);
    assert!(code != 0 && stderr.contains("one organ with one tumor"), "{stderr}");
    let (code, stderr) = synthesize(&files, &dir.path().join("d"), &["--mass-effect", "1.5"]);
    assert!(code == 2 && stderr.contains("strength"), "{stderr}");
}
