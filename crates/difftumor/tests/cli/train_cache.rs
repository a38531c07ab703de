//! Prepared scans that trainings keep: nothing that is learned depends on them.

use crate::phantom::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A training of four steps on two annotated cases and a healthy one.
struct Place {
    dir: tempfile::TempDir,
    annotated: PathBuf,
    healthy: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, cases: &[(&str, f64)]| {
            let files: Vec<Files> = cases.iter().map(|(id, r)| with_tumor(dir.path(), id, *r)).collect();
            let rows: Vec<(&str, &Path, &Path)> = (cases.iter().zip(&files))
                .map(|((id, _), f)| (*id, f.ct.as_path(), f.labels.as_path()))
                .collect();
            table(&dir.path().join(name), &rows)
        };
        let annotated = of("annotated.csv", &[("a", 6.0), ("b", 4.0)]);
        let healthy = of("healthy.csv", &[("c", -1.0)]);
        Self { annotated, healthy, dir }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn arguments(&self, out: &str, more: &[&str]) -> Vec<String> {
        let out = self.out(out);
        let mut all =
            vec!["train", "segmentation", "--organ", "liver=1:tumor=2", "--healthy-organ", "liver=1"];
        all.extend(["--cases", text(&self.annotated), "--healthy", text(&self.healthy), "--out", text(&out)]);
        for setting in TINY_SEGMENTATION.iter().chain(&["steps=4"]) {
            all.extend(["--set", setting]);
        }
        all.extend(more);
        all.into_iter().map(String::from).collect()
    }

    fn train(&self, out: &str, more: &[&str]) -> String {
        let arguments = self.arguments(out, more);
        succeed(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn assert_same(&self, a: &str, b: &str) {
        let checkpoint = |run: &str| self.out(run).join("training/checkpoints/000000004");
        assert_same(&checkpoint(a), &checkpoint(b));
    }
}

/// Prepared scans of a folder.
fn kept(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten().map(|e| e.unwrap().path());
    let mut scans: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "scan")).collect();
    scans.sort();
    scans
}

#[test]
fn a_training_is_the_same_with_and_without_kept_scans() {
    let p = Place::new();
    p.train("without", &["--cache-gb", "0", "--threads", "1"]);
    assert!(!p.out("prepared-scans").exists());
    // Beside the Run, for all Runs there.
    p.train("first", &[]);
    let scans = kept(&p.out("prepared-scans"));
    assert_eq!(scans.len(), 3);
    let written: Vec<Vec<u8>> = scans.iter().map(|scan| std::fs::read(scan).unwrap()).collect();
    // One is torn, in one some voxels are others, one stays.
    std::fs::write(&scans[0], &written[0][..written[0].len() / 2]).unwrap();
    let mut damaged = written[1].clone();
    damaged[5000..5100].fill(0x42);
    std::fs::write(&scans[1], damaged).unwrap();
    let told = p.train("second", &["--threads", "3"]);
    assert_eq!(told.matches("is not used").count(), 2, "{told}");
    assert!(told.contains("content is damaged") && told.contains("sizes"), "{told}");
    assert_eq!(scans.iter().map(|scan| std::fs::read(scan).unwrap()).collect::<Vec<_>>(), written);
    // Room for one.
    let one = format!("{}", 1.2 * written[0].len() as f64 / 1e9);
    let small = p.out("small");
    let told = p.train("third", &["--cache", text(&small), "--cache-gb", &one]);
    assert_eq!((kept(&small).len(), told.matches("more than --cache-gb allows").count()), (1, 1), "{told}");
    for run in ["first", "second", "third"] {
        p.assert_same("without", run);
    }
}

#[test]
fn a_full_disk_stops_no_training() {
    let p = Place::new();
    p.train("whole", &["--cache-gb", "0"]);
    let quoted: Vec<String> = p.arguments("full", &[]).iter().map(|a| format!("'{a}'")).collect();
    // 2000 blocks of 512 or 1024 bytes: more than a checkpoint has, less than a prepared scan of 3.8 MB.
    let script = format!(
        "trap '' XFSZ; ulimit -f 2000; exec '{}' {}",
        env!("CARGO_BIN_EXE_difftumor"),
        quoted.join(" ")
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert_eq!(told.matches("no more prepared scans are kept").count(), 1, "{told}");
    let left: Vec<_> =
        std::fs::read_dir(p.out("prepared-scans")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, [".lock"]);
    p.assert_same("whole", "full");
}

#[test]
fn two_trainings_may_share_a_folder_at_the_same_time() {
    let p = Place::new();
    p.train("alone", &["--cache-gb", "0"]);
    let shared = p.out("shared");
    let start = |out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_difftumor"));
        command
            .args(p.arguments(out, &["--cache", text(&shared)]))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    for child in [start("one"), start("two")] {
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !told.contains("is not used"), "{told}");
    }
    assert_eq!(kept(&shared).len(), 3);
    p.assert_same("alone", "one");
    p.assert_same("alone", "two");
}
