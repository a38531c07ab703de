//! Cross-validation on phantoms: `difftumor train segmentation --folds` and `--splits`.

use crate::phantom::*;
use difftumor::run::{Run, read_tensors};
use serde_json::Value;
use std::path::{Path, PathBuf};

const TINY: [&str; 6] = [
    "batch=1",
    "learning_rate.warmup_steps=0",
    "learning_rate.decay_steps=0",
    "output.record_every=1",
    "output.validate_every=1000",
    "seed=3",
];

/// Four annotated cases, the third with two scans; a healthy one, and another healthy scan of the fourth patient.
struct Place {
    dir: tempfile::TempDir,
    annotated: PathBuf,
    healthy: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, rows: &[(&str, &str, f64)]| {
            let line = |(id, patient, radius): &(&str, &str, f64)| {
                let files = with_tumor(dir.path(), id, *radius);
                format!("{id},{},{},{patient}\n", files.ct.display(), files.labels.display())
            };
            let text: String = rows.iter().map(line).collect();
            let path = dir.path().join(name);
            std::fs::write(&path, format!("id,ct,labels,patient\n{text}")).unwrap();
            path
        };
        let annotated = of(
            "annotated.csv",
            &[("a", "p1", 6.0), ("b", "p2", 5.0), ("c", "p3", 5.0), ("c2", "p3", 4.0), ("d", "p4", 5.0)],
        );
        let healthy = of("healthy.csv", &[("h", "p5", -1.0), ("d0", "p4", -1.0)]);
        Self { annotated, healthy, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn train(&self, out: &str, more: &[&str]) -> (i32, String) {
        let out = self.path(out);
        let mut all = vec!["train", "segmentation", "--organ", "liver=1:tumor=2", "--out", text(&out)];
        for setting in TINY_SEGMENTATION.iter().chain(&TINY) {
            all.extend(["--set", setting]);
        }
        all.extend(more);
        run(&all)
    }

    fn inputs(&self) -> Vec<&str> {
        vec!["--cases", text(&self.annotated), "--healthy", text(&self.healthy), "--healthy-organ", "liver=1"]
    }

    /// Trained scans of a Run.
    fn trained(&self, run: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(run).join("training/data.toml")).unwrap();
        let data: toml::Table = text.parse().unwrap();
        data["scans"].as_array().unwrap().iter().map(|s| s.as_str().unwrap().to_string()).collect()
    }

    fn splits(&self, out: &str) -> Value {
        json(&self.path(out).join("splits_final.json"))
    }
}

fn ids(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_string()).collect()
}

/// A subset of a table's lines.
fn lines(table: &Path, to: &Path, keep: &[String]) {
    let text = std::fs::read_to_string(table).unwrap();
    let kept =
        |line: &&str| line.starts_with("id,") || keep.iter().any(|id| line.starts_with(&format!("{id},")));
    std::fs::write(to, text.lines().filter(kept).map(|l| format!("{l}\n")).collect::<String>()).unwrap();
}

#[test]
fn folds_are_runs_as_any_other_and_go_on_where_they_were() {
    let p = Place::new();
    let folds = |more: &[&'static str]| [&p.inputs()[..], &["--folds", "2", "--set"], more].concat();
    let (code, told) = p.train("whole", &folds(&["steps=3"]));
    assert_eq!(code, 0, "{told}");
    let splits = p.splits("whole");
    let mut measured = vec![];
    for n in 0..2 {
        let (train, val) = (ids(&splits[n]["train"]), ids(&splits[n]["val"]));
        assert_eq!(val.contains(&"c".to_string()), val.contains(&"c2".to_string()), "one patient: {val:?}");
        // The healthy scan of a patient joins where he is not measured.
        let trained = p.trained(&format!("whole/fold-{n}"));
        assert!(trained.contains(&"h".to_string()));
        assert_ne!(
            trained.contains(&"d0".to_string()),
            val.contains(&"d".to_string()),
            "{trained:?} {val:?}"
        );
        assert!(train.iter().all(|id| trained.contains(id)) && val.iter().all(|id| !trained.contains(id)));
        measured.extend(val);
    }
    measured.sort();
    assert_eq!(measured, ["a", "b", "c", "c2", "d"]);

    // The same fold as a training of its own.
    let trained = p.trained("whole/fold-1");
    lines(&p.annotated, &p.path("train.csv"), &trained);
    lines(&p.annotated, &p.path("val.csv"), &ids(&splits[1]["val"]));
    lines(&p.healthy, &p.path("more.csv"), &trained);
    let (train, val, more) = (p.path("train.csv"), p.path("val.csv"), p.path("more.csv"));
    let alone = ["--cases", text(&train), "--validate", text(&val), "--healthy", text(&more)];
    let (code, told) =
        p.train("alone", &[&alone[..], &["--healthy-organ", "liver=1", "--set", "steps=3"]].concat());
    assert_eq!(code, 0, "{told}");
    let checkpoint = |run: &str| p.path(run).join("training/checkpoints/000000003");
    assert_same(&checkpoint("whole/fold-1"), &checkpoint("alone"));

    // One fold, stopped early; then all.
    let (code, told) = p.train("parts", &folds(&["steps=2", "--fold", "1"]));
    assert_eq!(code, 0, "{told}");
    assert!(!p.path("parts/fold-0").exists());
    let scores = json(&p.path("parts/folds.json"));
    assert!(scores["folds"][0]["last"].is_null() && scores["folds"][1]["last"][0] == 2, "{scores}");
    let (code, told) = p.train("parts", &folds(&["steps=3", "--resume"]));
    assert_eq!(code, 0, "{told}");
    assert_same(&checkpoint("whole/fold-0"), &checkpoint("parts/fold-0"));
    // The interrupted one was measured once more, which its state remembers; its weights are the same.
    for part in ["model", "optimizer"] {
        let of = |run: &str| read_tensors(&checkpoint(run).join(format!("{part}.safetensors"))).unwrap();
        assert_eq!(of("whole/fold-1"), of("parts/fold-1"), "{part}");
    }
    assert_same(&p.path("whole/fold-0/best"), &p.path("parts/fold-0/best"));
    let scores = json(&p.path("parts/folds.json"));
    let of = |n: usize| scores["folds"][n]["last"][1].as_f64().unwrap();
    let mean = scores["tumor_dsc"][0].as_f64().unwrap();
    assert!((mean - (of(0) + of(1)) / 2.0).abs() < 1e-12);
    let manifest = Run::open(p.path("parts/fold-1")).unwrap().manifest().clone();
    assert_eq!(manifest.training.unwrap().validation.unwrap().1, of(1));

    // Nothing is lost by mistake.
    let (code, told) = p.train("parts", &folds(&["steps=3"]));
    assert!(code == 1 && told.contains("--resume"), "{told}");
    let mut other = p.inputs();
    other.extend(["--folds", "3", "--resume", "--set", "steps=3"]);
    let (code, told) = p.train("parts", &other);
    assert!(code == 1 && told.contains("other folds"), "{told}");
}

#[test]
fn a_synthetic_copy_never_meets_its_patient() {
    let p = Place::new();
    // A copy of the healthy scan of patient p4, as `synthesize` writes it.
    let files = Files { ct: p.path("d0.nii.gz"), labels: p.path("d0_labels.nii.gz") };
    let copy = p.path("copy");
    let (code, told) = synthesize(&files, &copy, &["--tumors", "1", "--size", "tiny"]);
    assert_eq!(code, 0, "{told}");
    let old = std::fs::read_to_string(&p.annotated).unwrap();
    let line = format!("x,{0}/ct.nii.gz,{0}/labels.nii.gz,\n", text(&copy));
    std::fs::write(&p.annotated, old + &line).unwrap();
    let folds = [&p.inputs()[..], &["--other-labels", "--folds", "2", "--set", "steps=1"]].concat();
    let (code, told) = p.train("folds", &folds);
    assert_eq!(code, 0, "{told}");
    let splits = p.splits("folds");
    for n in 0..2 {
        let (train, val) = (ids(&splits[n]["train"]), ids(&splits[n]["val"]));
        assert!(!val.contains(&"x".to_string()));
        assert_ne!(train.contains(&"x".to_string()), val.contains(&"d".to_string()), "{splits}");
    }
    // Folds that somebody else made.
    let given = p.path("splits.json");
    std::fs::write(&given, r#"[{"train": ["a", "x"], "val": ["d", "b"]}]"#).unwrap();
    let with = [&p.inputs()[..], &["--splits", text(&given), "--set", "steps=1"]].concat();
    let (code, told) = p.train("leak", &with);
    assert!(code == 1 && told.contains("'x' of patient 'p4'"), "{told}");
    // A training with a list to measure on.
    let (train, val) = (p.path("train.csv"), p.path("val.csv"));
    lines(&p.annotated, &train, &["a".into(), "x".into()]);
    lines(&p.annotated, &val, &["d".into()]);
    // Only its hash tells now where the copy is from.
    let tables = ["--cases", text(&train), "--validate", text(&val), "--set", "steps=1"];
    let healthy = ["--healthy", text(&p.healthy), "--healthy-organ", "liver=1"];
    let (code, told) = p.train("leak", &[&tables[..], &healthy].concat());
    assert!(code == 1 && told.contains("of patient 'p4'"), "{told}");
    assert!(!p.path("leak/fold-0").exists() && !p.path("leak/training").exists());
}

#[test]
fn published_lists_and_nnu_nets_splits_are_read() {
    let p = Place::new();
    let list = |name: &str, ids: &[&str]| {
        let text: String = ids.iter().map(|i| format!("{i}.nii.gz {i}_labels.nii.gz\n")).collect();
        std::fs::write(p.path(name), text).unwrap();
    };
    std::fs::create_dir(p.path("lists")).unwrap();
    list("lists/real_tumor_train_0.txt", &["a", "b"]);
    list("lists/real_tumor_val_0.txt", &["c"]);
    list("healthy.txt", &["h"]);
    let (lists, root, healthy) = (p.path("lists"), p.dir.path(), p.path("healthy.txt"));
    let mut published =
        vec!["--splits", text(&lists), "--data-root", text(root), "--healthy", text(&healthy)];
    published.extend(["--healthy-organ", "liver=1", "--set", "steps=1"]);
    let (code, told) = p.train("published", &published);
    assert_eq!(code, 0, "{told}");
    assert_eq!(p.trained("published/fold-0"), ["a", "b", "h"]);
    // The same from nnU-Net's file.
    let given = p.path("splits_final.json");
    std::fs::write(&given, r#"[{"train": ["a", "b"], "val": ["c"]}]"#).unwrap();
    lines(&p.healthy, &p.path("h.csv"), &["h".into()]);
    let h = p.path("h.csv");
    let mut same = vec!["--cases", text(&p.annotated), "--healthy", text(&h), "--healthy-organ", "liver=1"];
    same.extend(["--splits", text(&given), "--set", "steps=1"]);
    let (code, told) = p.train("nnunet", &same);
    // Cases that no fold names are told.
    assert!(code == 0 && told.contains("'c2', 'd'"), "{told}");
    let checkpoint = |run: &str| p.path(run).join("fold-0/training/checkpoints/000000001");
    assert_same(&checkpoint("published"), &checkpoint("nnunet"));

    list("lists/real_tumor_val_0.txt", &["c", "gone"]);
    let (code, told) = p.train("none", &published);
    assert!(code == 1 && told.contains("line 2") && told.contains("gone.nii.gz"), "{told}");
    list("lists/real_tumor_val_0.txt", &["b"]);
    let (code, told) = p.train("none", &published);
    assert!(code == 1 && told.contains("'b' of patient 'b'"), "{told}");
    for (more, code, says) in [
        (&["--splits", text(&given)][..], 2, "--cases, whose ids"),
        (&["--cases", text(&p.annotated), "--folds", "9"], 1, "2 to 4, the patients"),
        (&["--cases", text(&p.annotated), "--folds", "2", "--fold", "2"], 1, "0 to 1"),
        (&["--cases", text(&p.annotated), "--fold", "2"], 2, "none without"),
        (
            &["--cases", text(&p.annotated), "--splits", text(&lists), "--data-root", text(root)],
            2,
            "beside them",
        ),
        (&["--cases", text(&p.annotated), "--folds", "2", "--validate", text(&h)], 2, "--validate"),
    ] {
        let (found, told) = p.train("none", more);
        assert!(found == code && told.contains(says), "{more:?}: {found} {told}");
    }
    assert!(!p.path("none").exists());
}

#[test]
fn values_that_nobody_named_are_refused_or_background() {
    let p = Place::new();
    let (ct, labels) = (p.path("a.nii.gz"), p.path("a_labels.nii.gz"));
    let mut map = labels_of(&labels);
    map.data[[40, 3, 3]] = 7;
    difftumor_ct::io::nifti::NiftiImage::from_labels(&map, "labels").write(&labels).unwrap();
    let one = table(&p.path("one.csv"), &[("a", &ct, &labels)]);
    let with = |more: &[&'static str]| [&["--cases", text(&one), "--set", "steps=1"][..], more].concat();
    let (code, told) = p.train("refused", &with(&[]));
    assert!(code == 1 && told.contains("7: 1 voxels") && told.contains("--other-labels"), "{told}");
    let (code, told) = p.train("taken", &with(&["--other-labels"]));
    assert_eq!(code, 0, "{told}");
}
