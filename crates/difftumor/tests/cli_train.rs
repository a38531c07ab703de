//! `difftumor train autoencoder` on phantoms: a network of a few thousand weights goes through every part of the training.
mod phantom;

use phantom::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Everything small; the discriminators begin with the second step.
const TINY: [&str; 15] = [
    "model.base_channels=4",
    "model.norm_groups=2",
    "model.codes=64",
    "model.latent_channels=4",
    "crops.side_vox=16",
    "crops.scans=2",
    "crops.per_scan=1",
    "perceptual.kind=off",
    "discriminators.width=4",
    "discriminators.start_step=1",
    "ema_decay=0.9",
    "steps=4",
    "output.record_every=1",
    "output.validate_every=2",
    "output.checkpoint_every=2",
];

struct Scene {
    dir: tempfile::TempDir,
    scans: Vec<PathBuf>,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let scans = ["a", "b", "c"].map(|name| standard(&dir.path().join("ct"), name).ct).to_vec();
        Self { dir, scans }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The arguments of a training into `out`; later settings replace earlier ones.
    fn arguments(&self, out: &Path, set: &[&str], more: &[&str]) -> Vec<String> {
        let mut all: Vec<String> =
            ["train", "autoencoder", "--out", text(out), "--ct"].map(String::from).into();
        all.extend(self.scans.iter().map(|p| text(p).to_string()));
        for setting in TINY.iter().chain(set) {
            all.extend(["--set".to_string(), setting.to_string()]);
        }
        all.extend(more.iter().map(ToString::to_string));
        all
    }

    fn command(&self, out: &Path, set: &[&str], more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_difftumor"));
        command.args(self.arguments(out, set, more)).env("RAYON_NUM_THREADS", "2");
        command
    }

    fn train(&self, out: &Path, set: &[&str], more: &[&str]) -> (i32, String) {
        let output = self.command(out, set, more).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[track_caller]
    fn succeed(&self, out: &Path, set: &[&str], more: &[&str]) -> String {
        let (code, stderr) = self.train(out, set, more);
        assert_eq!(code, 0, "{set:?} {more:?}: {stderr}");
        stderr
    }

    #[track_caller]
    fn fails(&self, out: &Path, set: &[&str], more: &[&str], code: i32, says: &[&str]) -> String {
        let (found, stderr) = self.train(out, set, more);
        assert_eq!(found, code, "{set:?} {more:?}: {stderr}");
        for part in says {
            assert!(stderr.contains(part), "expected '{part}' in: {stderr}");
        }
        stderr
    }
}

fn checkpoint(out: &Path, step: u64) -> PathBuf {
    out.join(format!("training/checkpoints/{step:09}"))
}

/// Asserts that two trainings have come to the same: weights, everything in the last checkpoint, and every figure.
#[track_caller]
fn assert_same_training(a: &Path, b: &Path, step: u64) {
    assert_same(&checkpoint(a, step), &checkpoint(b, step));
    let names: Vec<String> =
        tree(&checkpoint(a, step)).into_keys().map(|p| p.display().to_string()).collect();
    for part in ["model", "ema", "optimizer", "discriminators", "discriminators-optimizer"] {
        assert!(names.contains(&format!("{part}.safetensors")), "{names:?}");
    }
    let weights = |run: &Path| std::fs::read(run.join(format!("weights-{step}.safetensors"))).unwrap();
    assert!(weights(a) == weights(b), "weights");
    assert_eq!(metrics(a), metrics(b));
}

/// The records, without times, which differ from run to run.
fn metrics(out: &Path) -> Vec<BTreeMap<String, Value>> {
    let text = std::fs::read_to_string(out.join("training/metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let mut line: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
        line.retain(|name, _| name != "step_s" && name != "waited_share");
        line
    };
    text.lines().map(line).collect()
}

#[test]
fn a_resumed_training_is_the_uninterrupted_one_to_the_bit() {
    let scene = Scene::new();
    let whole = scene.out("whole");
    scene.succeed(&whole, &[], &[]);
    let (resumed, later) = (scene.out("resumed"), scene.out("later"));
    scene.succeed(&resumed, &["steps=2"], &["--threads", "1"]);
    scene.succeed(&resumed, &["steps=4"], &["--threads", "3", "--resume"]);
    assert_same_training(&whole, &resumed, 4);
    // One step more or less, and one thread.
    for steps in ["steps=1", "steps=3", "steps=4"] {
        let mut command = scene.command(&later, &[steps], &["--resume"]);
        assert!(command.env("RAYON_NUM_THREADS", "1").output().unwrap().status.success());
    }
    assert_eq!(tree(&checkpoint(&whole, 4)), tree(&checkpoint(&later, 4)));
    // A training that has ended has nothing left to do.
    let before = tree(&checkpoint(&whole, 4));
    scene.succeed(&whole, &[], &["--resume"]);
    assert_eq!(before, tree(&checkpoint(&whole, 4)));
}

#[test]
fn every_part_of_the_training_survives_an_interruption() {
    let scene = Scene::new();
    // Codes from the third step on, discriminators from the fourth, a perceptual distance, a rate that changes.
    let set = [
        "crops.side_vox=32",
        "quantise_from_step=3",
        "discriminators.start_step=3",
        "perceptual.kind=random_features",
        "learning_rate.warmup_steps=3",
        "crops.rotated_share=0.5",
    ];
    let with = |steps| [&set[..], &[steps]].concat();
    let (whole, resumed) = (scene.out("whole"), scene.out("resumed"));
    scene.succeed(&whole, &with("steps=5"), &[]);
    for steps in ["steps=1", "steps=2", "steps=3", "steps=4", "steps=5"] {
        scene.succeed(&resumed, &with(steps), &["--resume"]);
    }
    assert_eq!(tree(&checkpoint(&whole, 5)), tree(&checkpoint(&resumed, 5)));
}

/// Waits until `done`, for a minute at most.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} takes too long");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_killed_training_goes_on_from_its_last_checkpoint() {
    let scene = Scene::new();
    let set = ["steps=12", "output.checkpoint_every=3"];
    let whole = scene.out("whole");
    scene.succeed(&whole, &set, &[]);
    for (threads, at_step) in [("1", 4), ("2", 8)] {
        let killed = scene.out(&format!("killed-{threads}"));
        let mut command = scene.command(&killed, &set, &[]);
        let mut child =
            command.env("RAYON_NUM_THREADS", threads).stderr(std::process::Stdio::null()).spawn().unwrap();
        let records = killed.join("training/metrics.jsonl");
        let is_there = format!("\"step\":{at_step},");
        wait_until("the training", || std::fs::read_to_string(&records).is_ok_and(|t| t.contains(&is_there)));
        child.kill().unwrap(); // SIGKILL
        let status = child.wait().unwrap();
        assert!(!status.success() && !checkpoint(&killed, 12).exists(), "it was not killed in the middle");
        // What a kill while a checkpoint is written leaves behind.
        let torn = killed.join("training/checkpoints/.checkpoint-torn");
        std::fs::create_dir_all(&torn).unwrap();
        std::fs::write(torn.join("model.safetensors"), "half").unwrap();
        let mut command = scene.command(&killed, &set, &["--resume"]);
        assert!(command.env("RAYON_NUM_THREADS", threads).output().unwrap().status.success());
        assert_same_training(&whole, &killed, 12);
        let left: Vec<_> = std::fs::read_dir(killed.join("training/checkpoints"))
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}

#[test]
fn the_reconstruction_loss_falls_to_less_than_half() {
    let scene = Scene::new();
    let out = scene.out("run");
    let set = [
        "steps=80",
        "learning_rate.rate=0.003",
        "discriminators.start_step=40",
        "crops.scans=3",
        "output.validate_every=80",
    ];
    let start = Instant::now();
    scene.succeed(&out, &set, &[]);
    let losses: Vec<f64> =
        metrics(&out).iter().filter_map(|line| line.get("reconstruction")?.as_f64()).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&losses[..5]), mean(&losses[75..]));
    println!(
        "reconstruction: {first:.3} in steps 1 to 5, {last:.3} in steps 76 to 80, {:.1?}",
        start.elapsed()
    );
    assert_eq!(losses.len(), 80);
    assert!(last < 0.5 * first, "{first} {last}");
}

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
fn records_can_be_read_by_others() {
    let scene = Scene::new();
    let out = scene.out("run");
    let stderr = scene.succeed(&out, &[], &["--licence", "CC0"]);
    assert!(stderr.contains("step 4 of 4") && stderr.contains("left"), "{stderr}");
    let lines = metrics(&out);
    let with_loss: Vec<u64> =
        lines.iter().filter(|l| l.contains_key("loss")).map(|l| l["step"].as_u64().unwrap()).collect();
    assert_eq!(with_loss, [1, 2, 3, 4]);
    let validated: Vec<u64> = lines
        .iter()
        .filter(|l| l.contains_key("validation_psnr_db"))
        .map(|l| l["step"].as_u64().unwrap())
        .collect();
    assert_eq!(validated, [2, 4]);
    for name in ["reconstruction", "commitment", "feature_matching", "discriminator_volume", "learning_rate"]
    {
        assert!(lines.iter().any(|l| l.get(name).is_some_and(Value::is_f64)), "{name}");
    }

    let events = std::fs::read_dir(out.join("training")).unwrap().map(|e| e.unwrap().path());
    let events: Vec<_> = events.filter(|p| text(p).contains("events.out.tfevents")).collect();
    assert_eq!(events.len(), 1);
    let records = event_records(&std::fs::read(&events[0]).unwrap());
    let count = |what: &[u8]| records.iter().filter(|r| r.windows(what.len()).any(|w| w == what)).count();
    assert_eq!(count(b"brain.Event:2"), 1);
    assert_eq!((count(b"\nreconstruction") == 0, count(b"validation_psnr_db")), (true, 2));
    // Tags have their length before them: 14 letters, four steps and two pictures of this name.
    assert_eq!(count(b"\x0a\x0ereconstruction"), 4 + 2);
    assert_eq!(count(b"\x89PNG"), 2);

    for step in [2, 4] {
        let path = out.join(format!("training/samples/{step:09}-reconstruction.png"));
        let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert!(info.width > 3 * 2 * 16 && info.height > 6 * 2 * 16, "{info:?}");
    }

    let run = difftumor::run::Run::open(&out).unwrap();
    let training = run.manifest().training.clone().unwrap();
    assert_eq!((training.step, training.averaged, run.manifest().licence.as_str()), (4, true, "CC0"));
    let psnr = lines.iter().rev().find_map(|l| l.get("validation_psnr_db")?.as_f64());
    assert_eq!(training.validation.map(|v| v.1), psnr);
    run.load_tensors().unwrap();
    let config = std::fs::read_to_string(out.join("training/config.toml")).unwrap();
    assert!(config.contains("side_vox = 16") && config.contains("decay = 0.99"), "{config}");
}

/// The records of a TensorBoard file, with their check sums checked.
fn event_records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let masked = |data: &[u8]| crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let mut records = vec![];
    while !bytes.is_empty() {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(bytes[8..12], masked(&bytes[..8]));
        let data = &bytes[12..12 + length];
        assert_eq!(bytes[12 + length..][..4], masked(data));
        records.push(data.to_vec());
        bytes = &bytes[16 + length..];
    }
    records
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
