//! `difftumor train autoencoder` with what users get wrong: settings, scans, folders, full disks, losses that are not finite.

use crate::phantom::training::*;
use crate::phantom::*;
use std::process::Command;

#[test]
fn another_config_is_refused_key_by_key() {
    let scene = Scene::new();
    let out = scene.out("run");
    scene.succeed(&out, &["steps=1"], &[]);
    let before = tree(&out);
    let other = ["model.codes=32", "learning_rate.rate=0.5", "discriminators.enabled=false"];
    let stderr = scene.fails(
        &out,
        &other,
        &["--resume"],
        1,
        &[
            "config.toml",
            "model.codes: was 64, now 32",
            "learning_rate.rate: was 0.0003, now 0.5",
            "discriminators.enabled: was true, now false",
        ],
    );
    // How long and how often is free.
    assert!(!stderr.contains("steps: was") && !stderr.contains("output"), "{stderr}");
    assert_eq!(before, tree(&out));
}

#[test]
fn a_corrupt_scan_is_told_and_left_out() {
    let scene = Scene::new();
    let bad = &scene.scans[1];
    let bytes = std::fs::read(bad).unwrap();
    std::fs::write(bad, &bytes[..bytes.len() / 2]).unwrap();
    let stderr = scene.succeed(&scene.out("run"), &[], &[]);
    assert!(stderr.contains("b.nii.gz is left out"), "{stderr}");
    assert!(!stderr.contains("a.nii.gz is left out") && !stderr.contains("c.nii.gz is left out"), "{stderr}");
    for scan in &scene.scans {
        std::fs::write(scan, "no scan").unwrap();
    }
    scene.fails(&scene.out("none"), &[], &[], 1, &["error: ", ".nii.gz", "NIfTI"]);
}

#[test]
fn settings_that_cannot_be_met_are_bad_arguments() {
    let scene = Scene::new();
    let out = scene.out("run");
    for (set, says) in [
        ("crops.sid_vox=16", "sid_vox"),
        ("no.such.table=1", "no"),
        ("steps=many", "many"),
        ("steps", "KEY=VALUE"),
        ("crops.side_vox=18", "crops.side_vox: expected a multiple of 4"),
        ("crops.side_vox=0", "crops.side_vox"),
        ("crops.scans=0", "crops.scans"),
        ("model.codes=0", "codes"),
        ("learning_rate.rate=-1.0", "learning_rate.rate"),
        ("output.record_every=0", "output.record_every"),
    ] {
        scene.fails(&out, &[set], &[], 2, &[says]);
    }
    for (more, says) in [
        (&["--threads", "0"][..], "--threads"),
        (&["--cache-gb=-1"], "--cache-gb"),
        (&["--device", "abacus"], "cpu"),
        (&["--organ", "liver=1"], "--cases"),
    ] {
        scene.fails(&out, &[], more, 2, &[says]);
    }
    assert!(!out.exists());
    let config = scene.out("c.toml");
    std::fs::write(&config, "stepz = 3").unwrap();
    scene.fails(&out, &[], &["--config", text(&config)], 2, &["c.toml", "stepz"]);
    assert!(!out.exists());
}

#[test]
fn a_folder_that_holds_something_is_left_alone() {
    let scene = Scene::new();
    let out = scene.out("run");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("thesis.txt"), "kept").unwrap();
    let before = tree(&out);
    scene.fails(&out, &[], &[], 1, &["not empty", "run"]);
    scene.fails(&out, &[], &["--resume"], 1, &["no training to resume"]);
    assert_eq!(before, tree(&out));
    let trained = scene.out("trained");
    scene.succeed(&trained, &["steps=1"], &[]);
    let before = tree(&trained);
    scene.fails(&trained, &["steps=1"], &[], 1, &["--resume"]);
    assert_eq!(before, tree(&trained));
}

/// A file size limit fails writes as a full disk does: in the middle of a file.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_during_a_checkpoint_leaves_the_last_one() {
    let scene = Scene::new();
    let whole = scene.out("whole");
    let every = ["output.validate_every=2", "output.checkpoint_every=1"];
    scene.succeed(&whole, &every, &[]);
    // The first step to fail writes a checkpoint, the other one the Run's weights.
    for (name, made, steps, says) in [
        ("checkpoint", "steps=2", "steps=4", "checkpoints"),
        ("weights", "steps=1", "steps=4", "weights-2.safetensors"),
    ] {
        let out = scene.out(name);
        scene.succeed(&out, &[&every[..], &[made]].concat(), &[]);
        let kept = [tree(&out.join("training/checkpoints")), tree(&out.join("best"))];
        let weights = difftumor::run::Run::open(&out).unwrap().load_tensors().unwrap();
        let all = scene.arguments(&out, &[&every[..], &[steps]].concat(), &["--resume"]);
        let quoted: Vec<String> = all.iter().map(|a| format!("'{a}'")).collect();
        // 24 blocks of 512 or 1024 bytes: more than records have, less than the model.
        let script = format!(
            "trap '' XFSZ; ulimit -f 24; exec '{}' {}",
            env!("CARGO_BIN_EXE_difftumor"),
            quoted.join(" ")
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("cannot write") && stderr.contains(says), "{stderr}");
        let now = [tree(&out.join("training/checkpoints")), tree(&out.join("best"))];
        assert!(kept == now, "{name}: {:?} {:?}", kept[0].keys(), now[0].keys());
        assert_eq!(weights, difftumor::run::Run::open(&out).unwrap().load_tensors().unwrap());
        scene.succeed(&out, &[&every[..], &[steps]].concat(), &["--resume"]);
        assert_same(&checkpoint(&whole, 4), &checkpoint(&out, 4));
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 4, "run.toml, weights, best and training");
    }
}
#[test]
fn a_loss_that_is_not_finite_stops_the_training() {
    let scene = Scene::new();
    let out = scene.out("run");
    let set = ["learning_rate.rate=1e30", "output.checkpoint_every=1"];
    let stderr = scene.fails(&out, &set, &[], 1, &["error: step 2: ", ".nii.gz at [", "learning_rate.rate"]);
    assert!(stderr.contains("NaN") || stderr.contains("inf"), "{stderr}");
    // Two scans, one crop of each.
    assert_eq!(stderr.lines().find(|l| l.contains("error: step 2")).unwrap().matches(" at [").count(), 2);
    assert!(checkpoint(&out, 1).is_dir() && !checkpoint(&out, 2).exists());
}
