//! The program with diffusion models: tiny ones with random weights, which make no tumors worth seeing but run through
//! every part of the published pipeline.

use crate::phantom::*;
use difftumor::autoencoder::config::AutoencoderConfig;
use difftumor::diffusion::{DiffusionConfig, Sampler};
use difftumor::run::shipped::SYNTHESIS;
use difftumor::run::{Model, NewRun, Run};
use std::path::Path;

/// A diffusion Run of a few thousand weights.
fn tiny_run(dir: &Path, timesteps: usize, sampler: Sampler) {
    let autoencoder = AutoencoderConfig {
        base_channels: 4,
        latent_channels: 4,
        codes: 64,
        norm_groups: 4,
        ..AutoencoderConfig::default()
    };
    let diffusion = DiffusionConfig {
        base_channels: 8,
        multipliers: vec![1, 2],
        heads: 2,
        head_channels: 8,
        timesteps,
        sampler,
        latent_channels: 4,
        norm_groups: 4,
        ..DiffusionConfig::default()
    };
    let new = |model: Model, autoencoder| NewRun {
        licence: "none".into(),
        origin: None,
        training: None,
        tensors: drawn(&model, timesteps as u64),
        model,
        autoencoder,
    };
    let inner = new(Model::Autoencoder(autoencoder), None);
    Run::create(dir, &new(Model::Diffusion(diffusion), Some(Box::new(inner))), false).unwrap();
}

fn run_on(cases: &Path, model: &Path, out: &Path, threads: &str, more: &[&str]) -> (i32, String) {
    let mut all = vec!["synthesize", "--cases", text(cases), "--model", text(model), "--out", text(out)];
    all.extend(["--organ", "liver=1", "--tumors", "1"]);
    all.extend(more);
    let output = command(&all).env("RAYON_NUM_THREADS", threads).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn without_a_model_the_shipped_ones_paint() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let out = dir.path().join("out");
    let (code, stderr) = synthesize(&files, &out, &["--method", "diffusion", "--tumors", "1"]);
    assert_eq!(code, 0, "{stderr}");
    check_output(&files, &out, &[1]);
    let record = json(&out.join("record.json"));
    let models = record["settings"]["models"].as_array().unwrap();
    for (model, name) in models.iter().zip(SYNTHESIS) {
        let run = Run::open(name).unwrap();
        assert_eq!(model["weights_sha256"], run.manifest().weights.sha256);
        let timesteps = run.diffusion_config().unwrap().timesteps;
        assert_eq!(timesteps == 4, name.ends_with("early"), "{name}: {timesteps} steps");
    }
    assert_eq!(models.len(), 2);
}

#[test]
fn diffusion_tumors_do_not_depend_on_jobs_and_keep_the_rest_of_the_scan() {
    let dir = tempfile::tempdir().unwrap();
    let cases = dataset(dir.path(), 2);
    let run = dir.path().join("run");
    tiny_run(&run, 4, Sampler::Ddpm);
    let [one, two] = ["one", "two"].map(|n| dir.path().join(n));
    for (out, jobs, threads) in [(&one, "1", "3"), (&two, "2", "1")] {
        let (code, stderr) = run_on(&cases, &run, out, threads, &["--size", "small", "--jobs", jobs]);
        assert_eq!(code, 0, "{stderr}");
    }
    assert_same(&one, &two);
    for id in ["case00", "case01"] {
        let files = Files {
            ct: dir.path().join(format!("{id}.nii.gz")),
            labels: dir.path().join(format!("{id}_labels.nii.gz")),
        };
        check_output(&files, &one.join(id), &[1]);
    }
    let record = json(&one.join("case00/record.json"));
    let manifest = Run::open(&run).unwrap().manifest().clone();
    let model = &record["settings"]["models"][0];
    assert_eq!(record["settings"]["method"], "diffusion");
    assert_eq!(model["weights_sha256"], manifest.weights.sha256);
    assert_eq!(model["autoencoder_sha256"], manifest.autoencoder.unwrap().weights_sha256);
    assert_eq!(model["config"]["timesteps"], 4);
    assert_eq!(record["tumors"][0]["weights_sha256"], manifest.weights.sha256);
    // The same Run told by `info`.
    let output = command(&["info", "--json", "--model", text(&run)]).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(info["models"][0]["manifest"]["model"]["kind"], "diffusion");
    // Other weights are another setting.
    let other = dir.path().join("other");
    tiny_run(&other, 5, Sampler::Ddpm);
    let (code, stderr) = run_on(&cases, &other, &one, "2", &["--size", "small", "--resume"]);
    assert!(code == 1 && stderr.contains("settings.models[0].weights_sha256 was"), "{stderr}");
}

#[test]
fn of_two_models_the_one_with_fewer_steps_paints_early_tumors() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let [early, later] = ["early", "later"].map(|n| dir.path().join(n));
    tiny_run(&early, 4, Sampler::Ddpm);
    tiny_run(&later, 20, Sampler::Ddim { steps: 3, eta: 0.0, clip: true });
    let hash = |run: &Path| Run::open(run).unwrap().manifest().weights.sha256.clone();
    for (size, run) in [("tiny", &early), ("medium", &later)] {
        for preset in ["default", "paper"] {
            let out = dir.path().join(format!("{size}_{preset}"));
            let models =
                ["--model", text(&later), "--model", text(&early), "--size", size, "--preset", preset];
            let (code, stderr) = synthesize(&files, &out, &models);
            assert_eq!(code, 0, "{size} {preset}: {stderr}");
            let record = json(&out.join("record.json"));
            assert_eq!(record["tumors"][0]["weights_sha256"], hash(run));
            assert_eq!(record["voxels_changed_outside_blend_zone"], 0);
        }
    }
}

#[test]
fn damaged_and_wrong_runs_are_refused_before_any_case() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let run = dir.path().join("run");
    tiny_run(&run, 4, Sampler::Ddpm);
    let out = dir.path().join("out");
    let (code, stderr) = synthesize(&files, &out, &["--model", text(&run.join("autoencoder"))]);
    assert!(code == 1 && stderr.contains("expected a Run of kind 'diffusion'"), "{stderr}");
    let manifest = run.join("run.toml");
    let good = std::fs::read_to_string(&manifest).unwrap();
    assert!(good.contains("spacing_mm = 1.0"), "{good}");
    std::fs::write(&manifest, good.replace("spacing_mm = 1.0", "spacing_mm = 2.0")).unwrap();
    let (code, stderr) = synthesize(&files, &out, &["--model", text(&run)]);
    assert!(code == 1 && stderr.contains("spacing_mm = 2"), "{stderr}");
    std::fs::write(&manifest, good).unwrap();
    let weights = run.join("weights.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let (code, stderr) = synthesize(&files, &out, &["--model", text(&run)]);
    assert!(code == 1 && stderr.contains("sha256"), "{stderr}");
    assert!(!out.exists());
}
