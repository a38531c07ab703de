//! The program on phantoms: what its outputs hold, and what they do not depend on.

use crate::phantom::*;
use difftumor::batch::{BatchOptions, Existing};
use difftumor_ct::io::nifti::Datatype;
use std::time::{Duration, Instant};

#[test]
fn every_orientation_keeps_its_geometry_and_all_voxels_outside() {
    let dir = tempfile::tempdir().unwrap();
    for (name, affine, datatype) in [
        ("lps", LPS, Datatype::I16),
        ("ras", RAS, Datatype::I16),
        ("oblique", oblique(), Datatype::I32),
        ("float", LPS, Datatype::F32),
    ] {
        let files = write(dir.path(), name, &phantom(SHAPE, affine, 1), datatype);
        let out = dir.path().join(format!("out_{name}"));
        let (code, stderr) = synthesize(&files, &out, &[]);
        assert_eq!(code, 0, "{name}: {stderr}");
        assert_eq!(json(&out.join("record.json"))["settings"]["method"], "handcrafted");
        check_output(&files, &out, &[1]);
    }
}

#[test]
fn every_size_and_preset_makes_tumors_and_records_its_settings() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    for (i, (arguments, size)) in [
        (vec!["--size", "tiny"], "tiny"),
        (vec!["--size", "medium", "--tumors", "1"], "medium"),
        (vec!["--size", "mixed"], "mixed"),
        (vec!["--size", "early", "--tumors", "2..3"], "early"),
        (vec!["--diameter-mm", "12..20"], "12..20 mm"),
        (vec!["--diameter-mm", "15"], "15..15 mm"),
    ]
    .into_iter()
    .enumerate()
    {
        let out = dir.path().join(i.to_string());
        let (code, stderr) = synthesize(&files, &out, &arguments);
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        check_output(&files, &out, &[1]);
        assert_eq!(json(&out.join("record.json"))["settings"]["size"], size);
    }
    let out = dir.path().join("paper");
    let (code, stderr) = synthesize(&files, &out, &["--preset", "paper"]);
    assert_eq!(code, 0, "{stderr}");
    let record = json(&out.join("record.json"));
    assert_eq!((&record["settings"]["preset"], &record["settings"]["tumors"]), (&"paper".into(), &().into()));
}

#[test]
fn several_organs_in_one_call_get_tumors_each() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let out = dir.path().join("out");
    let (code, stderr) =
        synthesize(&files, &out, &["--organ", "liver=1", "--organ", "spleen=2", "--size", "tiny"]);
    assert_eq!(code, 0, "{stderr}");
    check_output(&files, &out, &[1, 2]);
    let record = json(&out.join("record.json"));
    assert_eq!(record["labels"], serde_json::json!({"1": "liver", "2": "spleen", "3": "tumor"}));
    for organ in ["liver", "spleen"] {
        assert!(record["tumors"].as_array().unwrap().iter().any(|t| t["organ"] == organ), "{organ}");
    }
}

#[test]
fn a_folder_of_masks_finds_organs_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let (ct, labels) = phantom(SHAPE, LPS, 3);
    let files = write(dir.path(), "scan", &(ct, labels.clone()), Datatype::I16);
    let masks = dir.path().join("masks");
    std::fs::create_dir(&masks).unwrap();
    for (name, value) in [("liver", 1), ("spleen", 2)] {
        let mask =
            difftumor_ct::Labels { data: labels.data.mapv(|v| u16::from(v == value)), ..labels.clone() };
        let path = masks.join(format!("{name}.nii.gz"));
        difftumor_ct::io::nifti::NiftiImage::from_labels(&mask, name).write(path).unwrap();
    }
    let of_folder = Files { labels: masks, ..files.clone() };
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    assert_eq!(synthesize(&of_folder, &a, &["--organ", "liver"]).0, 0);
    assert_eq!(synthesize(&files, &b, &["--organ", "liver=1"]).0, 0);
    check_output(&files, &a, &[1]);
    // A file with one value needs no number: it is the organ.
    let of_file = Files { labels: of_folder.labels.join("liver.nii.gz"), ..files.clone() };
    let c = dir.path().join("c");
    assert_eq!(synthesize(&of_file, &c, &["--organ", "liver"]).0, 0);
    assert_same(&a, &c);
    // The same organ gives the same tumors, wherever its mask came from.
    assert_eq!(std::fs::read(a.join("ct.nii.gz")).unwrap(), std::fs::read(b.join("ct.nii.gz")).unwrap());
    assert_eq!(json(&a.join("record.json"))["sources"][1]["file"], "liver.nii.gz");
}

#[test]
fn the_seed_says_it_all() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let out = |name: &str| dir.path().join(name);
    for (name, seed) in [("one", "7"), ("again", "7"), ("other", "8")] {
        assert_eq!(synthesize(&files, &out(name), &["--seed", seed]).0, 0);
    }
    assert_same(&out("one"), &out("again"));
    assert_ne!(tree(&out("one")), tree(&out("other")));
    let tumors = |name: &str| labels_of(&out(name).join("tumors.nii.gz"));
    assert_ne!(tumors("one").data, tumors("other").data);
}

#[test]
fn copies_differ_and_the_first_is_that_of_a_single_run() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "scan_0000");
    let (many, one) = (dir.path().join("many"), dir.path().join("one"));
    assert_eq!(synthesize(&files, &many, &["--per-case", "3"]).0, 0);
    assert_eq!(synthesize(&files, &one, &[]).0, 0);
    let names: Vec<_> = tree(&many).into_keys().filter(|p| p.components().count() == 1).collect();
    assert_eq!(names, ["scan_001/", "scan_002/", "scan_003/"].map(std::path::PathBuf::from));
    assert_same(&many.join("scan_001"), &one);
    let ct = |i: usize| std::fs::read(many.join(format!("scan_00{i}/ct.nii.gz"))).unwrap();
    assert!(ct(1) != ct(2) && ct(2) != ct(3));
}

/// `synthesize` on a table.
fn batch<'a>(table: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["synthesize", "--cases", table, "--organ", "liver=1", "--size", "early", "--out", out];
    all.extend(["--method", "handcrafted"]);
    all.extend(more);
    all
}

#[test]
fn jobs_shards_and_folders_make_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let cases = dataset(&dir.path().join("in"), 5);
    let cases = text(&cases);
    let out = |name: &str| dir.path().join(name);
    let per_case = ["--per-case", "2"];
    succeed(&batch(cases, text(&out("one")), &[&per_case[..], &["--jobs", "1"]].concat()));
    succeed(&batch(cases, text(&out("two")), &[&per_case[..], &["--jobs", "2"]].concat()));
    for shard in ["1/2", "0/2"] {
        let report = out("report.json");
        let more = ["--shard", shard, "--report", text(&report)];
        succeed(&batch(cases, text(&out("shards")), &[&per_case[..], &more].concat()));
        assert_eq!(json(&report)["totals"]["outputs"], 5);
        assert_eq!(json(&report)["shard"], shard);
    }
    assert_eq!(tree(&out("one")).keys().filter(|p| p.ends_with("ct.nii.gz")).count(), 10);
    assert_same(&out("one"), &out("two"));
    assert_same(&out("one"), &out("shards"));
    // With one thread everywhere, too.
    let mut single = command(&batch(cases, text(&out("thread")), &per_case));
    assert!(single.env("RAYON_NUM_THREADS", "1").output().unwrap().status.success());
    assert_same(&out("one"), &out("thread"));
}

#[test]
fn two_folders_are_a_dataset() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["ct", "labels"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    for id in ["a", "b"] {
        let files = standard(dir.path(), id);
        std::fs::rename(files.ct, dir.path().join(format!("ct/{id}_0000.nii.gz"))).unwrap();
        std::fs::rename(files.labels, dir.path().join(format!("labels/{id}.nii.gz"))).unwrap();
    }
    std::fs::write(dir.path().join("ct/lonely_0000.nii.gz"), "").unwrap();
    let [ct, labels, out, report] =
        ["ct", "labels", "out", "report.json"].map(|n| text(&dir.path().join(n)).to_string());
    let (code, stderr) = run(&[
        "synthesize",
        "--method",
        "handcrafted",
        "--ct",
        &ct,
        "--labels",
        &labels,
        "--out",
        &out,
        "--organ",
        "liver=1",
        "--size",
        "tiny",
        "--report",
        &report,
    ]);
    assert_eq!(code, 1);
    assert!(stderr.contains("failed: lonely: ") && stderr.contains("labels of case 'lonely'"), "{stderr}");
    assert!(dir.path().join("out/a/record.json").is_file() && dir.path().join("out/b/record.json").is_file());
    let report = json(report.as_ref());
    assert_eq!(report["totals"]["done"], 2);
    assert_eq!(report["cases"][2]["status"], "failed");
    if cfg!(target_os = "linux") {
        assert!(report["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
    }
}

#[test]
fn a_killed_run_is_resumed_to_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let cases = dataset(&dir.path().join("in"), 20);
    let cases = text(&cases);
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    succeed(&batch(cases, text(&whole), &["--jobs", "2"]));
    let done = || std::fs::read_dir(&broken).map_or(0, |d| d.flatten().filter(|e| !is_hidden(e)).count());
    let mut child = command(&batch(cases, text(&broken), &["--jobs", "2"])).spawn().unwrap();
    let start = Instant::now();
    while done() < 3 && start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap(); // SIGKILL: nothing can be tidied up
    child.wait().unwrap();
    let at_kill = done();
    assert!((3..20).contains(&at_kill), "{at_kill} of 20 were done");
    // Whatever has its name is whole.
    for entry in std::fs::read_dir(&broken).unwrap().flatten().filter(|e| !is_hidden(e)) {
        assert_same(&entry.path(), &whole.join(entry.file_name()));
    }
    // What a kill in the middle of writing leaves, in case this one hit another moment.
    std::fs::create_dir_all(broken.join(".case19.part")).unwrap();
    std::fs::write(broken.join(".case19.part/ct.nii.gz"), "half").unwrap();
    let report = dir.path().join("report.json");
    succeed(&batch(cases, text(&broken), &["--resume", "--report", text(&report)]));
    assert_same(&whole, &broken);
    let totals = &json(&report)["totals"];
    assert_eq!((&totals["skipped"], &totals["done"]), (&at_kill.into(), &(20 - at_kill).into()));
}

fn is_hidden(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with('.')
}

#[test]
fn what_is_there_is_kept_resumed_or_replaced_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let out = dir.path().join("deep/er/out");
    assert_eq!(synthesize(&files, &out, &["--seed", "1"]).0, 0);
    let first = tree(&out);
    let (code, stderr) = synthesize(&files, &out, &["--seed", "1"]);
    assert!(code == 1 && stderr.contains("deep/er/out") && stderr.contains("--resume"), "{stderr}");
    assert_eq!(synthesize(&files, &out, &["--seed", "1", "--resume"]).0, 0);
    let (code, stderr) = synthesize(&files, &out, &["--seed", "2", "--tumors", "1", "--resume"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("settings.seed was 1 and is 2"), "{stderr}");
    assert!(stderr.contains("settings.tumors was null and is [1,1]"), "{stderr}");
    assert_eq!(tree(&out), first);
    // Another input under the same name.
    write(dir.path(), "a", &phantom(SHAPE, LPS, 99), Datatype::I16);
    let (code, stderr) = synthesize(&files, &out, &["--seed", "1", "--resume"]);
    assert!(code == 1 && stderr.contains("sources[0].sha256 was"), "{stderr}");
    assert_eq!(synthesize(&files, &out, &["--seed", "1", "--force"]).0, 0);
    assert_ne!(tree(&out), first);
    assert_eq!(tree(out.parent().unwrap()).len(), 1 + 4); // the folder and its files: nothing left over
    // A folder of something else is never replaced.
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.txt"), "all of it").unwrap();
    for flag in ["--force", "--resume"] {
        let (code, stderr) = synthesize(&files, &other, &[flag]);
        assert!(code == 1 && stderr.contains("other"), "{stderr}");
        assert_eq!(tree(&other).len(), 1);
    }
    // A file of an output is gone.
    std::fs::remove_file(out.join("tumors.nii.gz")).unwrap();
    let (code, stderr) = synthesize(&files, &out, &["--seed", "1", "--resume"]);
    assert!(code == 1 && stderr.contains("tumors.nii.gz"), "{stderr}");
}

#[test]
fn a_preview_is_written_on_demand_and_counts_as_a_setting() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let [one, two] = ["one", "two"].map(|n| dir.path().join(n));
    for out in [&one, &two] {
        assert_eq!(synthesize(&files, out, &["--preview"]).0, 0);
    }
    assert!(std::fs::read(one.join("preview.png")).unwrap().starts_with(b"\x89PNG"));
    assert_same(&one, &two);
    let (code, stderr) = synthesize(&files, &one, &["--resume"]);
    assert!(code == 1 && stderr.contains("settings.preview was true and is false"), "{stderr}");
}

#[test]
fn info_tells_what_there_is() {
    let output = command(&["info", "--json"]).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["devices"][0], "cpu");
    assert_eq!(info["organs"][4], "liver");
    assert_eq!(info["presets"][0]["sizes"][0]["name"], "tiny");
    let output = command(&["info"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("pancreas"));
    assert_eq!(run(&["info", "--model", "/no/such/run"]).0, 1);
}

#[test]
fn a_batch_needs_organs_copies_and_jobs() {
    let good = BatchOptions {
        out: "out".into(),
        organs: vec!["liver".parse().unwrap(), "spleen".parse().unwrap()],
        copies: 1,
        jobs: 1,
        shard: None,
        existing: Existing::Refuse,
        reviewed: false,
        pair: false,
        preview: false,
        also: vec![],
        device: "cpu".into(),
    };
    assert!(good.check().is_ok());
    for bad in [
        BatchOptions { copies: 0, ..good.clone() },
        BatchOptions { jobs: 0, ..good.clone() },
        BatchOptions { organs: vec![], ..good.clone() },
        BatchOptions { organs: vec!["liver=1".parse().unwrap(), "liver=2".parse().unwrap()], ..good },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
}
