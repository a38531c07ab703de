//! `difftumor train diffusion` on phantoms, with a tiny autoencoder of random weights.

use crate::phantom::*;
use difftumor::autoencoder::AutoencoderConfig;
use difftumor::diffusion::{Predicts, ScaleOf};
use difftumor::run::{Model, NewRun, Run, Tensors, read_tensors};
use difftumor_ct::io::nifti::Datatype;
use std::path::{Path, PathBuf};

fn autoencoder(dir: &Path, seed: u64) -> PathBuf {
    let config = AutoencoderConfig {
        base_channels: 4,
        latent_channels: 4,
        codes: 64,
        norm_groups: 4,
        ..AutoencoderConfig::default()
    };
    let model = Model::Autoencoder(config);
    let new = NewRun {
        licence: "none".into(),
        origin: None,
        training: None,
        tensors: drawn(&model, seed),
        model,
        autoencoder: None,
    };
    let dir = dir.join(format!("autoencoder{seed}"));
    Run::create(&dir, &new, false).unwrap();
    dir
}

struct Place {
    dir: tempfile::TempDir,
    cases: PathBuf,
    autoencoder: PathBuf,
}

fn place(radii_vox: &[f64]) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..radii_vox.len()).map(|i| format!("case{i}")).collect();
    let files: Vec<Files> = names.iter().zip(radii_vox).map(|(n, r)| with_tumor(dir.path(), n, *r)).collect();
    let rows: Vec<_> =
        names.iter().zip(&files).map(|(n, f)| (n.as_str(), f.ct.as_path(), f.labels.as_path())).collect();
    let cases = table(&dir.path().join("cases.csv"), &rows);
    let autoencoder = autoencoder(dir.path(), 1);
    Place { dir, cases, autoencoder }
}

const SETTINGS: [&str; 11] = [
    "batch=2",
    "model.base_channels=8",
    "model.multipliers=[1,2]",
    "model.heads=2",
    "model.head_channels=8",
    "model.latent_channels=4",
    "model.norm_groups=4",
    "crops.side_vox=32",
    "ema.every=1",
    "ema.start_step=2",
    "learning_rate.rate=0.002",
];

impl Place {
    fn train(&self, out: &str, settings: &[&str], more: &[&str]) -> (i32, String) {
        let out = self.dir.path().join(out);
        let mut all = vec![
            "train",
            "diffusion",
            "--cases",
            text(&self.cases),
            "--autoencoder",
            text(&self.autoencoder),
        ];
        all.extend(["--out", text(&out)]);
        for setting in SETTINGS.iter().chain(settings) {
            all.extend(["--set", setting]);
        }
        all.extend(more);
        run(&all)
    }

    fn losses(&self, out: &str) -> Vec<f64> {
        let path = self.dir.path().join(out).join("training/metrics.jsonl");
        let lines = std::fs::read_to_string(path).unwrap();
        let loss = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64();
        lines.lines().filter_map(loss).collect()
    }

    fn tensors(&self, file: &str) -> Tensors {
        read_tensors(&self.dir.path().join(file)).unwrap()
    }
}

#[test]
fn four_steps_are_two_and_two_after_a_resume() {
    let p = place(&[6.0, 5.0, 4.0]);
    let output = ["output.checkpoint_every=2", "output.record_every=1", "crops.encoded_per_case=3"];
    let of = |steps| [&output[..], &[steps]].concat();
    let (code, told) = p.train("four", &of("steps=4"), &["--threads", "1"]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(p.train("two", &of("steps=2"), &["--threads", "2"]).0, 0);
    let (code, told) = p.train("two", &of("steps=4"), &["--threads", "3", "--resume"]);
    assert_eq!(code, 0, "{told}");
    for part in ["model", "ema", "optimizer"] {
        let file = |run: &str| format!("{run}/training/checkpoints/000000004/{part}.safetensors");
        // Same bits: NaN would not be equal to itself, and there is none.
        assert_eq!(p.tensors(&file("four")), p.tensors(&file("two")), "{part}");
    }
    assert_eq!(p.tensors("four/weights-4.safetensors"), p.tensors("two/weights-4.safetensors"));
    let lines =
        |run: &str| std::fs::read_to_string(p.dir.path().join(run).join("training/metrics.jsonl")).unwrap();
    let steps = |run: &str| -> Vec<u64> {
        let of = |l: &str| serde_json::from_str::<serde_json::Value>(l).unwrap()["step"].as_u64().unwrap();
        lines(run).lines().map(of).collect()
    };
    assert_eq!(steps("four"), [1, 2, 3, 4, 4]);
    assert_eq!(steps("two"), [1, 2, 2, 3, 4, 4]);

    // What was encoded is used again, and nothing depends on it.
    let kept = std::fs::read_dir(p.dir.path().join("four/training/latents")).unwrap().count();
    assert!((1..=9).contains(&kept), "{kept}");
    std::fs::remove_dir_all(p.dir.path().join("two/training/latents")).unwrap();
    assert_eq!(p.train("two", &of("steps=5"), &["--resume"]).0, 0);
    assert_eq!(p.train("four", &of("steps=5"), &["--resume"]).0, 0);
    assert_eq!(p.tensors("four/weights-5.safetensors"), p.tensors("two/weights-5.safetensors"));

    // A training goes on only as it was begun.
    let (code, told) = p.train("four", &[&of("steps=6")[..], &["ema.decay=0.5"]].concat(), &["--resume"]);
    assert!(
        code == 1 && told.contains("ema.decay: was 0.995, now 0.5") && !told.contains("steps: was"),
        "{told}"
    );
    let less = table(
        &p.dir.path().join("less.csv"),
        &[("case0", &p.dir.path().join("case0.nii.gz"), &p.dir.path().join("case0_labels.nii.gz"))],
    );
    let fewer = Place { cases: less, autoencoder: p.autoencoder.clone(), dir: p.dir };
    let (code, told) = fewer.train("four", &of("steps=6"), &["--resume"]);
    assert!(code == 1 && told.contains("scans: was") && told.contains("case2"), "{told}");
    let p = Place { cases: p.cases, ..fewer };
    let other = Place { autoencoder: autoencoder(p.dir.path(), 2), cases: p.cases.clone(), dir: p.dir };
    let (code, told) = other.train("four", &of("steps=6"), &["--resume"]);
    assert!(code == 1 && told.contains("same --autoencoder"), "{told}");
}

#[test]
fn one_tumor_is_enough_and_the_loss_falls() {
    let p = place(&[6.0]);
    let settings =
        ["steps=80", "output.validate_every=40", "output.record_every=20", "crops.encoded_per_case=8"];
    let (code, told) = p.train("run", &settings, &[]);
    assert_eq!(code, 0, "{told}");
    let losses = p.losses("run");
    // Predicting no noise at all costs E|n| = 0.8; the first steps cost that or more.
    assert!(losses[0] > 0.6 && losses[3] < 0.8 * losses[0], "{losses:?}");

    // The Run paints, with the averaged weights and its own copy of the autoencoder.
    let run = p.dir.path().join("run");
    assert!(run.join("training/samples/000000080-tumors.png").is_file());
    let opened = Run::open(&run).unwrap();
    assert_eq!(opened.manifest().training.as_ref().unwrap().step, 80);
    assert!(Run::open(run.join("best")).is_ok());
    std::fs::remove_dir_all(&p.autoencoder).unwrap();
    let files = standard(p.dir.path(), "healthy");
    let out = p.dir.path().join("out");
    let (code, told) = synthesize(&files, &out, &["--model", text(&run), "--tumors", "1"]);
    // A tumor may be too faint to be placed after 80 steps; the model itself must work.
    assert!(code == 0 || told.contains("HU"), "{told}");
}

#[test]
fn latents_may_be_predicted_in_place_of_noise() {
    let p = place(&[6.0]);
    let settings = ["steps=60", "output.record_every=20", "model.predicts=clean", "model.scale=used_codes"];
    let (code, told) = p.train("run", &settings, &[]);
    assert_eq!(code, 0, "{told}");
    let losses = p.losses("run");
    assert!(losses[2] < 0.8 * losses[0], "{losses:?}");
    let config = Run::open(p.dir.path().join("run")).unwrap().diffusion_config().unwrap().clone();
    assert_eq!((config.predicts, config.scale), (Predicts::Clean, ScaleOf::UsedCodes));
}

#[test]
fn bad_cases_are_told() {
    let p = place(&[6.0, 0.0, 5.0]);
    std::fs::write(p.dir.path().join("case2.nii.gz"), b"not a scan").unwrap();
    let (code, told) = p.train("run", &["steps=3", "batch=3"], &[]);
    assert_eq!(code, 0, "{told}");
    for (case, why) in [("case1", "at least 8 voxels of value 2"), ("case2", "case2.nii.gz")] {
        let line = told
            .lines()
            .find(|l| l.contains(case) && l.contains("left out"))
            .unwrap_or_else(|| panic!("{told}"));
        assert!(line.contains(why), "{line}");
    }
    // None is left: an error that says what was looked for.
    let (code, told) = p.train("none", &["steps=3"], &["--tumor-label", "7"]);
    assert!(
        code == 1 && told.contains("at least 8 voxels of value 7") && told.contains("--tumor-label"),
        "{told}"
    );

    for (settings, expected_code, why) in [
        (vec!["crops.side_vox=36"], 1, "a multiple of 8"),
        (vec!["model.latent_channels=8"], 1, "model.latent_channels: expected 4"),
        (vec!["batch=0"], 2, "batch"),
        (vec!["model.timestep=4"], 2, "timestep"),
        (vec!["steps=2", "learning_rate.rate=1e30"], 1, "the batch: case0"),
    ] {
        let (code, told) = p.train("bad", &settings, &[]);
        assert!(code == expected_code && told.contains(why), "{settings:?}: {code} {told}");
        let _ = std::fs::remove_dir_all(p.dir.path().join("bad"));
    }

    // Labels of another grid.
    let small = phantom((10, 10, 10), RAS, 1);
    let other = write(&p.dir.path().join("other"), "x", &small, Datatype::I16);
    let cases =
        table(&p.dir.path().join("grids.csv"), &[("a", &p.dir.path().join("case0.nii.gz"), &other.labels)]);
    let p = Place { cases, ..p };
    let (code, told) = p.train("grids", &["steps=1"], &[]);
    assert!(code == 1 && told.contains("grid"), "{told}");
}
