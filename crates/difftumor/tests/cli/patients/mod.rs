//! Four patients whose figures can be computed by hand: boxes for truth and prediction.
use super::phantom::*;
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::{Affine, Labels};
use ndarray::{Array3, s};
use serde_json::Value;
use std::path::{Path, PathBuf};

pub const GRID_SHAPE: (usize, usize, usize) = (40, 20, 10);
/// A voxel has 20 mm³.
pub const GRID: Affine =
    Affine([[2.0, 0.0, 0.0, -10.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 5.0, 30.0], [0.0, 0.0, 0.0, 1.0]]);
/// As the truth holds them.
pub const ORGAN: &str = "liver=1:tumor=2:cyst=3";

pub type Part = (u16, [usize; 3], [usize; 3]);
/// 28 x 16 x 8 voxels.
pub const LIVER: Part = (1, [2, 2, 1], [30, 18, 9]);
/// 32 voxels: the ball of its volume has 10.7 mm.
pub const SMALL: Part = (2, [5, 5, 3], [9, 9, 5]);
/// 864 voxels: 32.1 mm.
pub const LARGE: Part = (2, [15, 4, 2], [27, 16, 8]);
/// 24 voxels, 9.7 mm by its volume and 24.1 mm long.
pub const LONG: Part = (2, [5, 5, 3], [17, 7, 4]);
/// 8 voxels that share an edge with [`SMALL`].
pub const AT_AN_EDGE: Part = (2, [9, 9, 3], [11, 11, 5]);
/// 8 voxels outside of the liver.
pub const OUTSIDE: Part = (2, [33, 5, 5], [35, 7, 7]);

/// Boxes, later ones over earlier ones.
pub fn write_labels(path: &Path, parts: &[Part], affine: Affine) {
    let mut data = Array3::zeros(GRID_SHAPE);
    for (value, a, b) in parts {
        data.slice_mut(s![a[0]..b[0], a[1]..b[1], a[2]..b[2]]).fill(*value);
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    NiftiImage::from_labels(&Labels { data, affine }, "labels").write(path).unwrap();
}

/// Truth and prediction of four patients:
/// - `a`: two tumors; the liver is off by a voxel, the large tumor lacks two planes, the small one is missed, and something is
///   found where there is nothing;
/// - `b`: no tumor; one is predicted outside of the liver;
/// - `c`: a tumor of two parts that share an edge; none is predicted;
/// - `d`: a tumor and a cyst, both right.
pub struct Patients {
    pub dir: tempfile::TempDir,
    pub cases: PathBuf,
    pub predictions: PathBuf,
}

impl Patients {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let predictions = dir.path().join("predictions");
        let shifted = (1, [3, 2, 1], [31, 18, 9]);
        let most_of_large = (2, [17, 4, 2], [27, 16, 8]);
        let nothing_there = (2, [10, 10, 6], [12, 12, 8]);
        let cyst = [18, 5, 3];
        let truth_and_prediction: [(&str, &str, &[Part], &[Part]); 4] = [
            ("a", "a/labels.nii.gz", &[LIVER, SMALL, LARGE], &[shifted, most_of_large, nothing_there]),
            ("b", "b.nii.gz", &[LIVER], &[LIVER, OUTSIDE]),
            ("c", "c.nii", &[LIVER, SMALL, AT_AN_EDGE], &[LIVER]),
            ("d", "d/labels.nii.gz", &[LIVER, LONG, (3, cyst, [20, 7, 4])], &[LIVER, LONG]),
        ];
        let mut rows = vec!["id,ct,labels".to_string()];
        for (id, file, truth, prediction) in truth_and_prediction {
            write_labels(&dir.path().join(format!("truth/{id}.nii.gz")), truth, GRID);
            write_labels(&predictions.join(file), prediction, GRID);
            rows.push(format!("{id},scans-are-not-read/{id}.nii.gz,truth/{id}.nii.gz"));
        }
        let cases = dir.path().join("cases.csv");
        std::fs::write(&cases, rows.join("\n")).unwrap();
        Self { dir, cases, predictions }
    }

    pub fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Exit code, stdout and stderr.
    pub fn evaluate(&self, out: &str, more: &[&str]) -> (i32, String, String) {
        self.evaluate_with(out, more, "2")
    }

    pub fn evaluate_with(&self, out: &str, more: &[&str], threads: &str) -> (i32, String, String) {
        let (out, mut all) = (self.out(out), vec!["evaluate", "segmentation", "--cases", text(&self.cases)]);
        all.extend(["--predictions", text(&self.predictions), "--out", text(&out)]);
        if !more.contains(&"--organ") {
            all.extend(["--organ", ORGAN]);
        }
        all.extend(more);
        let output = command(&all).env("RAYON_NUM_THREADS", threads).output().unwrap();
        let words = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
        let [stdout, stderr] = words;
        (output.status.code().expect("not killed"), stdout, stderr)
    }

    /// The summary of an evaluation that must succeed.
    pub fn summary(&self, out: &str, more: &[&str]) -> Value {
        let (code, _, stderr) = self.evaluate(out, more);
        assert_eq!(code, 0, "{more:?}\n{stderr}");
        json(&self.out(out).join("summary.json"))
    }

    pub fn lines(&self, out: &str, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.out(out).join(file)).unwrap();
        text.lines().map(String::from).collect()
    }
}

/// Sums of a few numbers, rounded otherwise.
pub fn near(found: &Value, expected: f64) {
    let number = found.as_f64().unwrap_or_else(|| panic!("{found} is no number"));
    assert!((number - expected).abs() < 1e-12, "{number} is not {expected}");
}
