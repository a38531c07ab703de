//! `train autoencoder` on phantoms: a network of a few thousand weights.
use super::*;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Everything small; the discriminators begin with the second step.
pub const TINY: [&str; 15] = [
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

pub struct Scene {
    pub dir: tempfile::TempDir,
    pub scans: Vec<PathBuf>,
}

impl Scene {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let scans = ["a", "b", "c"].map(|name| standard(&dir.path().join("ct"), name).ct).to_vec();
        Self { dir, scans }
    }

    pub fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The arguments of a training into `out`; later settings replace earlier ones.
    pub fn arguments(&self, out: &Path, set: &[&str], more: &[&str]) -> Vec<String> {
        let mut all: Vec<String> =
            ["train", "autoencoder", "--out", text(out), "--ct"].map(String::from).into();
        all.extend(self.scans.iter().map(|p| text(p).to_string()));
        for setting in TINY.iter().chain(set) {
            all.extend(["--set".to_string(), setting.to_string()]);
        }
        all.extend(more.iter().map(ToString::to_string));
        all
    }

    pub fn command(&self, out: &Path, set: &[&str], more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_difftumor"));
        command.args(self.arguments(out, set, more)).env("RAYON_NUM_THREADS", "2");
        command
    }

    pub fn train(&self, out: &Path, set: &[&str], more: &[&str]) -> (i32, String) {
        let output = self.command(out, set, more).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[track_caller]
    pub fn succeed(&self, out: &Path, set: &[&str], more: &[&str]) -> String {
        let (code, stderr) = self.train(out, set, more);
        assert_eq!(code, 0, "{set:?} {more:?}: {stderr}");
        stderr
    }

    #[track_caller]
    pub fn fails(&self, out: &Path, set: &[&str], more: &[&str], code: i32, says: &[&str]) -> String {
        let (found, stderr) = self.train(out, set, more);
        assert_eq!(found, code, "{set:?} {more:?}: {stderr}");
        for part in says {
            assert!(stderr.contains(part), "expected '{part}' in: {stderr}");
        }
        stderr
    }
}

pub fn checkpoint(out: &Path, step: u64) -> PathBuf {
    out.join(format!("training/checkpoints/{step:09}"))
}

/// Asserts that two trainings have come to the same: weights, everything in the last checkpoint, and every figure.
#[track_caller]
pub fn assert_same_training(a: &Path, b: &Path, step: u64) {
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
pub fn metrics(out: &Path) -> Vec<BTreeMap<String, Value>> {
    let text = std::fs::read_to_string(out.join("training/metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let mut line: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
        line.retain(|name, _| name != "step_s" && name != "waited_share");
        line
    };
    text.lines().map(line).collect()
}

/// Waits until `done`, for a minute at most.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} takes too long");
        std::thread::sleep(Duration::from_millis(2));
    }
}
