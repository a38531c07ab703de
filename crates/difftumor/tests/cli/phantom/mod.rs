//! Small scans made of formulas, and the program run on them.
use difftumor::run::{Model, Tensors};
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_ct::{Affine, Labels, Volume};
use ndarray::Array3;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub mod training;

/// 96 x 80 x 100 mm with thick slices, the usual worst case.
pub const SHAPE: (usize, usize, usize) = (48, 40, 20);

/// Left, posterior, superior: how most scanners' files lie.
pub const LPS: Affine =
    Affine([[-2.0, 0.0, 0.0, 90.0], [0.0, -2.0, 0.0, 80.0], [0.0, 0.0, 5.0, -40.0], [0.0, 0.0, 0.0, 1.0]]);

pub const RAS: Affine =
    Affine([[2.0, 0.0, 0.0, -90.0], [0.0, 2.0, 0.0, -80.0], [0.0, 0.0, 5.0, -40.0], [0.0, 0.0, 0.0, 1.0]]);

/// Turned by 0.3 rad around x and 0.2 around z: columns are still orthogonal.
pub fn oblique() -> Affine {
    let ((s, c), (t, d)) = (0.3f64.sin_cos(), 0.2f64.sin_cos());
    let turn = [[d, -t * c, t * s], [t, d * c, -d * s], [0.0, s, c]];
    let mut m = [[0.0; 4]; 4];
    for r in 0..3 {
        for (a, side_mm) in [2.0, 2.0, 5.0].into_iter().enumerate() {
            m[r][a] = turn[r][a] * side_mm;
        }
        m[r][3] = [-12.5, 3.0, 70.0][r];
    }
    m[3][3] = 1.0;
    Affine(m)
}

/// Noise of ±15 HU that depends on the voxel and `seed` alone.
fn noise_hu(at: (usize, usize, usize), seed: u64) -> f32 {
    let mut h = seed ^ 0x9E37_79B9_7F4A_7C15;
    for v in [at.0, at.1, at.2] {
        h = (h ^ v as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        h ^= h >> 29;
    }
    (h % 31) as f32 - 15.0
}

/// Whether a voxel lies in an ellipsoid given in fractions of the scan's sides.
fn inside(at: (usize, usize, usize), n: (usize, usize, usize), centre: [f64; 3], half: [f64; 3]) -> bool {
    let p = [(at.0, n.0), (at.1, n.1), (at.2, n.2)].map(|(i, n)| (i as f64 + 0.5) / n as f64);
    (0..3).map(|a| ((p[a] - centre[a]) / half[a]).powi(2)).sum::<f64>() < 1.0
}

/// Air around fat, in it an organ of 100 HU (label 1) and a smaller one of 140 HU (label 2).
pub fn phantom(shape: (usize, usize, usize), affine: Affine, seed: u64) -> (Volume, Labels) {
    let labels = Array3::from_shape_fn(shape, |at| {
        if inside(at, shape, [0.36, 0.5, 0.5], [0.28, 0.38, 0.4]) {
            1
        } else {
            2 * u16::from(inside(at, shape, [0.8, 0.5, 0.5], [0.14, 0.25, 0.25]))
        }
    });
    let data = Array3::from_shape_fn(shape, |at| {
        let body = inside(at, shape, [0.5; 3], [0.7, 0.6, 0.9]);
        let hu = [-90.0, 100.0, 140.0][usize::from(labels[at])];
        if body { hu + noise_hu(at, seed) } else { -1000.0 }
    });
    (Volume { data, affine }, Labels { data: labels, affine })
}

/// A scan and its labels on the disk.
#[derive(Debug, Clone)]
pub struct Files {
    pub ct: PathBuf,
    pub labels: PathBuf,
}

/// Writes `NAME.nii.gz` and `NAME_labels.nii.gz`.
pub fn write(dir: &Path, name: &str, (ct, labels): &(Volume, Labels), datatype: Datatype) -> Files {
    std::fs::create_dir_all(dir).unwrap();
    let files =
        Files { ct: dir.join(format!("{name}.nii.gz")), labels: dir.join(format!("{name}_labels.nii.gz")) };
    NiftiImage::from_volume(ct, datatype, "ct").write(&files.ct).unwrap();
    NiftiImage::from_labels(labels, "labels").write(&files.labels).unwrap();
    files
}

/// Settings of a segmentation's training that takes seconds on phantoms.
pub const TINY_SEGMENTATION: [&str; 5] = [
    "model.backbone=unet",
    "model.widths=[4,8]",
    "crops.side_vox=32",
    "synthesis.method=handcrafted",
    "synthesis.size=tiny",
];

/// The usual phantom as int16.
pub fn standard(dir: &Path, name: &str) -> Files {
    write(dir, name, &phantom(SHAPE, LPS, name.bytes().map(u64::from).sum()), Datatype::I16)
}

/// A phantom with a tumor (label 2) of `radius_vox` in its organ (label 1).
pub fn with_tumor(dir: &Path, name: &str, radius_vox: f64) -> Files {
    let (mut ct, mut labels) = phantom(SHAPE, RAS, name.bytes().map(u64::from).sum());
    let step_mm = [2.0, 2.0, 5.0];
    for ((x, y, z), label) in labels.data.indexed_iter_mut() {
        let offset = [x as f64 - 17.0, y as f64 - 20.0, z as f64 - 10.0];
        let distance = offset.iter().zip(step_mm).map(|(o, s)| (o * s / 2.0).powi(2)).sum::<f64>().sqrt();
        *label = match *label {
            1 if distance <= radius_vox => 2,
            1 => 1,
            _ => 0,
        };
        if *label == 2 {
            ct.data[[x, y, z]] -= 50.0;
        }
    }
    write(dir, name, &(ct, labels), Datatype::I16)
}

/// A table of cases.
pub fn table(path: &Path, cases: &[(&str, &Path, &Path)]) -> PathBuf {
    let lines = cases.iter().map(|(id, ct, labels)| format!("{id},{},{}\n", ct.display(), labels.display()));
    std::fs::write(path, format!("id,ct,labels\n{}", lines.collect::<String>())).unwrap();
    path.to_path_buf()
}

/// `n` phantoms `case00`, … with their table.
pub fn dataset(dir: &Path, n: usize) -> PathBuf {
    let ids: Vec<String> = (0..n).map(|i| format!("case{i:02}")).collect();
    let files: Vec<Files> = ids.iter().map(|id| standard(dir, id)).collect();
    let rows: Vec<_> =
        ids.iter().zip(&files).map(|(id, f)| (id.as_str(), f.ct.as_path(), f.labels.as_path())).collect();
    table(&dir.join("cases.csv"), &rows)
}

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_difftumor"));
    command.args(arguments);
    command
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs the program; gives the exit code and stderr.
pub fn run(arguments: &[&str]) -> (i32, String) {
    let Output { status, stderr, .. } = command(arguments).output().unwrap();
    (status.code().expect("not killed"), String::from_utf8_lossy(&stderr).into_owned())
}

/// Runs the program, which must succeed.
pub fn succeed(arguments: &[&str]) -> String {
    let (code, stderr) = run(arguments);
    assert_eq!(code, 0, "{arguments:?}\n{stderr}");
    stderr
}

/// Runs `synthesize` on one scan's first organ, handcrafted unless a method or model is named.
pub fn synthesize(files: &Files, out: &Path, more: &[&str]) -> (i32, String) {
    let mut all = vec!["synthesize", "--ct", text(&files.ct), "--labels", text(&files.labels)];
    all.extend(["--out", text(out)]);
    if !more.contains(&"--organ") {
        all.extend(["--organ", "liver=1"]);
    }
    if !["--size", "--diameter-mm", "--grow"].iter().any(|option| more.contains(option)) {
        all.extend(["--size", "small"]);
    }
    if !more.contains(&"--method") && !more.contains(&"--model") {
        all.extend(["--method", "handcrafted"]);
    }
    all.extend(more);
    run(&all)
}

/// Every file below a folder, hidden ones too, by relative path.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files.insert(path.strip_prefix(dir).unwrap().join(""), vec![]);
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(dir).unwrap().to_path_buf(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Asserts that two trees hold the same files with the same bytes.
pub fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (tree(a), tree(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (path, bytes) in &a {
        assert!(*bytes == b[path], "{} differs", path.display());
    }
    assert!(!a.is_empty());
}

pub fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub fn labels_of(path: &Path) -> Labels {
    NiftiImage::read(path).unwrap().to_labels().unwrap()
}

/// What must hold of every output of the default preset; `organ_values` are the label file's values that got tumors.
/// The blend zone is not written, so "outside of it" is tested on what surely is: everything beyond the organs.
pub fn check_output(files: &Files, out: &Path, organ_values: &[u16]) {
    let before = NiftiImage::read(&files.ct).unwrap();
    let after = NiftiImage::read(out.join("ct.nii.gz")).unwrap();
    let changed = after.changed_voxels(&before).expect("the header is the scan's, bit for bit");
    let organs = labels_of(&files.labels);
    let labels = NiftiImage::read(out.join("labels.nii.gz")).unwrap();
    let tumors = NiftiImage::read(out.join("tumors.nii.gz")).unwrap();
    for image in [&labels, &tumors] {
        // NIfTI-1: sizes, voxel sizes with the handedness, units, and both transforms.
        for field in [40..56, 76..108, 123..124, 252..328] {
            assert_eq!(image.as_bytes()[field.clone()], before.as_bytes()[field]);
        }
    }
    let (labels, tumors) = (labels.to_labels().unwrap(), tumors.to_labels().unwrap());
    let record = json(&out.join("record.json"));
    let tumor = organ_values.len() as u16 + 1;
    let mut counts = BTreeMap::new();
    for (at, &number) in tumors.data.indexed_iter() {
        let of_organ = organ_values.contains(&organs.data[at]);
        assert!(!changed[at] || of_organ, "voxel {at:?} outside of the organs changed");
        assert_eq!(labels.data[at] == tumor, number > 0);
        assert!(number == 0 || of_organ, "a label outside of the organs");
        *counts.entry(number).or_insert(0u64) += 1;
    }
    let records = record["tumors"].as_array().unwrap();
    assert!(!records.is_empty());
    for tumor in records {
        let number = tumor["number"].as_u64().unwrap() as u16;
        assert_eq!(tumor["voxels"].as_u64(), counts.get(&number).copied());
        assert!(tumor["centre_mm"].as_array().unwrap().iter().all(|v| v.is_f64()));
    }
    assert_eq!(record["voxels_changed_outside_blend_zone"], 0);
    assert_eq!(record["voxels_changed"], changed.iter().filter(|c| **c).count());
    assert!(record["voxels_changed"].as_u64() <= record["voxels_in_blend_zone"].as_u64());
}

/// Weights from a seed, for every tensor of the architecture.
pub fn drawn(model: &Model, seed: u64) -> Tensors {
    let tensor = |(name, shape): (String, Vec<usize>)| {
        // Gains stay near 1, else the signal dies out; codes spread over about [-1, 1].
        let (centre, spread) = match name.rsplit('.').next() {
            Some("gamma") => (1.0, 0.1),
            Some("embeddings") => (0.0, 0.5),
            _ if name.contains("norm") && name.ends_with("weight") => (1.0, 0.1),
            _ => (0.0, 0.1),
        };
        let mut numbers = vec![0.0; shape.iter().product()];
        Stream::new(seed, 0, &name, 0).normals(&mut numbers);
        (name, (shape, numbers.into_iter().map(|n| (centre + spread * n) as f32).collect()))
    };
    model.shapes().into_iter().map(tensor).collect()
}
