//! `difftumor train segmentation` on phantoms.

use crate::phantom::{run as run_program, *};
use difftumor::run::{Run, read_tensors};
use std::path::{Path, PathBuf};

const TINY: [&str; 7] = [
    "batch=2",
    "augmentation=code",
    "learning_rate.rate=0.003",
    "learning_rate.warmup_steps=0",
    "learning_rate.decay_steps=0",
    "output.record_every=1",
    "output.validate_every=1000",
];

/// A radius that no voxel is within.
const NO_TUMOR: f64 = -1.0;

/// Two annotated cases, two healthy ones, and one to measure on.
struct Place {
    dir: tempfile::TempDir,
    annotated: PathBuf,
    healthy: PathBuf,
    validation: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, files: &[(&str, Files)]| {
            let rows: Vec<(&str, &Path, &Path)> =
                files.iter().map(|(n, f)| (*n, f.ct.as_path(), f.labels.as_path())).collect();
            table(&dir.path().join(name), &rows)
        };
        let sick = |name: &'static str, radius: f64| (name, with_tumor(dir.path(), name, radius));
        let annotated = of("annotated.csv", &[sick("a", 6.0), sick("b", 4.0)]);
        let healthy = of("healthy.csv", &["c", "d"].map(|n| sick(n, NO_TUMOR)));
        let validation = of("validation.csv", &[sick("e", 5.0)]);
        Self { annotated, healthy, validation, dir }
    }

    /// The healthy cases, whose labels know no tumor.
    fn healthy(&self) -> [&str; 4] {
        ["--healthy", text(&self.healthy), "--healthy-organ", "liver=1"]
    }

    fn train(&self, out: &str, settings: &[&str], more: &[&str]) -> (i32, String) {
        let out = self.dir.path().join(out);
        let mut all = vec!["train", "segmentation", "--organ", "liver=1:tumor=2"];
        all.extend(["--out", text(&out)]);
        for setting in TINY_SEGMENTATION.iter().chain(&TINY).chain(settings) {
            all.extend(["--set", setting]);
        }
        all.extend(more);
        run(&all)
    }

    fn metric(&self, out: &str, name: &str) -> Vec<f64> {
        let path = self.dir.path().join(out).join("training/metrics.jsonl");
        let lines = std::fs::read_to_string(path).unwrap();
        let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()[name].as_f64();
        lines.lines().filter_map(value).collect()
    }
}

#[test]
fn four_steps_are_two_and_two_after_a_resume() {
    let p = Place::new();
    let inputs = [&["--cases", text(&p.annotated)][..], &p.healthy()].concat();
    let of =
        |threads: &'static str, more: &[&'static str]| [&inputs[..], &["--threads", threads], more].concat();
    let (code, told) = p.train("four", &["steps=4"], &of("1", &[]));
    assert_eq!(code, 0, "{told}");
    assert_eq!(p.train("two", &["steps=2"], &of("2", &[])).0, 0);
    let (code, told) = p.train("two", &["steps=4"], &of("3", &["--resume"]));
    assert_eq!(code, 0, "{told}");
    for part in ["model", "optimizer"] {
        let of = |run: &str| {
            let file = format!("{run}/training/checkpoints/000000004/{part}.safetensors");
            read_tensors(&p.dir.path().join(file)).unwrap()
        };
        assert_eq!(of("four"), of("two"), "{part}");
    }
    assert_eq!(p.metric("four", "loss"), p.metric("two", "loss"));
    let run = Run::open(p.dir.path().join("four")).unwrap();
    assert_eq!(run.segmentation_backbone().unwrap().architecture().name(), "U-Net");
    assert!(p.dir.path().join("four/training/samples/000000004-segmentation.png").is_file());
    // Windows are as large as the crops, unless told otherwise.
    assert_eq!(run.manifest().training.as_ref().unwrap().crop_vox, Some(32));
    let windows = |more: &[&str]| {
        let (model, out, ct) =
            (p.dir.path().join("four"), p.dir.path().join("found"), p.dir.path().join("e.nii.gz"));
        let all = ["segment", "--model", text(&model), "--ct", text(&ct), "--out", text(&out), "--force"];
        (run_program(&[&all[..], &["--overlap", "0"], more].concat()), out)
    };
    for (more, side) in [(&[][..], 32), (&["--window-vox", "48"], 48)] {
        let ((code, told), out) = windows(more);
        assert_eq!(code, 0, "{told}");
        assert_eq!(json(&out.join("record.json"))["settings"]["roi_vox"][0], side);
    }
    let ((code, told), _) = windows(&["--window-vox", "33"]);
    assert!(code == 2 && told.contains("33"), "{told}");
    // Settings and scans must stay.
    let (code, told) = p.train("four", &["steps=6", "augmentation=off"], &of("1", &["--resume"]));
    assert!(code == 1 && told.contains("augmentation: was \"code\", now \"off\""), "{told}");
}

#[test]
fn crops_that_are_used_again_depend_on_neither_threads_nor_interruptions() {
    let p = Place::new();
    let inputs = [&["--cases", text(&p.annotated)][..], &p.healthy()].concat();
    let of =
        |threads: &'static str, more: &[&'static str]| [&inputs[..], &["--threads", threads], more].concat();
    let with = |steps| {
        ["synthesis.pool.reuse=2", "synthesis.pool.size=3", "synthesis.share=1", "healthy_share=0.75", steps]
    };
    assert_eq!(p.train("whole", &with("steps=8"), &of("1", &[])).0, 0);
    assert_eq!(p.train("parts", &with("steps=5"), &of("3", &[])).0, 0);
    let (code, told) = p.train("parts", &with("steps=8"), &of("2", &["--resume"]));
    assert_eq!(code, 0, "{told}");
    let checkpoint = |run: &str| p.dir.path().join(run).join("training/checkpoints/000000008");
    assert_same(&checkpoint("whole"), &checkpoint("parts"));
    assert_eq!(p.metric("whole", "loss"), p.metric("parts", "loss"));
    // 12 of 16 items are of healthy cases, and get tumors where one finds a place.
    let synthetic: f64 = p.metric("whole", "synthetic_share").iter().sum();
    assert!((2.0..=6.0).contains(&synthetic), "{synthetic}");
}

#[test]
fn it_learns_to_find_tumors_that_it_was_never_shown() {
    let p = Place::new();
    // Healthy scans alone: all tumors are synthetic.
    let settings = [
        "steps=60",
        "synthesis.share=0.8",
        "synthesis.size=small",
        "augmentation=paper",
        "output.validate_every=60",
        "model.widths=[8,16]",
    ];
    let inputs = [&["--validate", text(&p.validation)][..], &p.healthy()].concat();
    let (code, told) = p.train("out", &settings, &inputs);
    assert_eq!(code, 0, "{told}");
    let losses = p.metric("out", "loss");
    let mean = |l: &[f64]| l.iter().sum::<f64>() / l.len() as f64;
    let (first, last) = (mean(&losses[..5]), mean(&losses[50..]));
    assert!(last < 0.6 * first, "{first} {last}");
    let synthetic = mean(&p.metric("out", "synthetic_share"));
    // 0.8 of 120 crops, four standard deviations, and some in which no tumor found a place.
    assert!((0.5..0.95).contains(&synthetic), "{synthetic}");
    for name in ["validation_tumor_dsc", "validation_organ_dsc", "validation_tumors_found"] {
        assert_eq!(p.metric("out", name).len(), 1, "{name}");
    }
    assert!(p.metric("out", "validation_organ_dsc")[0] > 0.5);
    let best = Run::open(p.dir.path().join("out/best")).unwrap();
    assert_eq!(best.manifest().training.as_ref().unwrap().step, 60);
}

#[test]
fn impossible_trainings_are_refused() {
    let p = Place::new();
    let annotated = ["--cases", text(&p.annotated)];
    let healthy = p.healthy();
    for (settings, more, code, says) in [
        (&["crops.foreground_share=2"][..], &annotated[..], 2, "crops.foreground_share"),
        (&["crops.side_vox=33"], &annotated, 2, "33"),
        (&["augmentation=some"], &annotated, 2, "some"),
        (&["model.backbone=vnet"], &annotated, 2, "vnet"),
        (&["synthesis.share=0"], &healthy, 1, "cases with tumors"),
        (&["synthesis.pool.reuse=0"], &healthy, 2, "synthesis.pool"),
        (&["healthy_share=1.5"], &healthy, 2, "healthy_share"),
        (&["healthy_share=some"], &healthy, 2, "healthy_share=some"),
        (&["healthy_share=0.5"], &annotated, 1, "2 annotated and 0 healthy cases"),
        (&["healthy_share=0.5"], &healthy, 1, "0 annotated and 2 healthy cases"),
        (&[], &[&annotated[..], &["--model", "x"]].concat(), 2, "--model"),
        (
            &[],
            &[&annotated[..], &["--validate", text(&p.annotated)]].concat(),
            1,
            "no scan that is trained on",
        ),
    ] {
        let (found, told) = p.train("none", &[&["steps=1"], settings].concat(), more);
        assert!(found == code && told.contains(says), "{settings:?} {more:?}: {found} {told}");
    }
    // A case to measure on that cannot be read is told before the first step.
    let gone = table(
        &p.dir.path().join("gone.csv"),
        &[("gone", Path::new("/no/scan.nii"), Path::new("/no/labels.nii"))],
    );
    let (code, told) =
        p.train("late", &["steps=1"], &[&annotated[..], &["--validate", text(&gone)]].concat());
    assert!(code == 1 && told.contains("/no/scan.nii") && !told.contains("step 1"), "{told}");
    // Tumors in a healthy case: it is left out, and told.
    let both = ["--healthy", text(&p.annotated), text(&p.healthy), "--organ", "liver=1:tumor=2"];
    let out = p.dir.path().join("mixed");
    let mut all = vec!["train", "segmentation", "--out", text(&out), "--set", "steps=6"];
    all.extend(TINY_SEGMENTATION.iter().chain(&TINY).flat_map(|s| ["--set", *s]));
    all.extend(both);
    let (code, told) = run(&all);
    assert!(code == 0 && told.contains("a is left out") && told.contains("no tumor voxel"), "{told}");
}

#[test]
fn another_networks_weights_are_refused() {
    let p = Place::new();
    let annotated = ["--cases", text(&p.annotated)];
    assert_eq!(p.train("first", &["steps=1"], &annotated).0, 0);
    let first = p.dir.path().join("first");
    let init = [&annotated[..], &["--init", text(&first)]].concat();
    assert_eq!(p.train("same", &["steps=1"], &init).0, 0);
    let (code, told) = p.train("other", &["steps=1", "model.widths=[4,8,16]"], &init);
    assert!(code == 1 && told.contains("missing"), "{told}");
}
