//! Tiny datasets, and a viewer in a process of its own, whose cache of thumbnails is not the user's.
use super::{PAGE, Reply, example, get, post_with};
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_ct::{Affine, Image};
use ndarray::Array3;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Sides of the tests' scans, of 1 × 1 × 3 mm.
pub const SHAPE: [usize; 3] = [40, 40, 6];

/// Brighter from slice to slice: -150 HU + 60 HU a slice.
pub fn scan(shift_hu: f32) -> NiftiImage {
    let hu = |(_, _, z): (usize, usize, usize)| shift_hu - 150.0 + 60.0 * z as f32;
    let volume = Image { data: Array3::from_shape_fn(SHAPE, hu), affine: affine() };
    NiftiImage::from_volume(&volume, Datatype::I16, "scan")
}

/// Tumor 2 of 8 × 8 voxels in slice 4, tumor 1 of 3 × 3 in slice 1.
pub fn tumors() -> NiftiImage {
    let number = |(x, y, z): (usize, usize, usize)| match z {
        4 if (4..12).contains(&x) && (20..28).contains(&y) => 2,
        1 if (30..33).contains(&x) && (5..8).contains(&y) => 1,
        _ => 0,
    };
    NiftiImage::from_labels(&Image { data: Array3::from_shape_fn(SHAPE, number), affine: affine() }, "tumors")
}

fn affine() -> Affine {
    Affine::from_spacing_mm([1.0, 1.0, 3.0])
}

/// What `synthesize` records, as far as it is shown, with something more.
pub fn record(case: &str, seed: u64) -> String {
    let tumor = |number: u64, grade: &str| {
        json!({
            "number": number, "organ": "liver", "centre_vox": [8.0, 24.0, 4.0],
            "equivalent_diameter_mm": 6.5, "hu_inside": {"mean_hu": 40.5},
            "gate": {"grade": grade, "rejected": 1, "warnings": []}, "something": {"new": 1}
        })
    };
    json!({
        "case": case, "settings": {"seed": seed, "method": "diffusion"}, "labels": {"1": "liver", "2": "tumor"},
        "tumors": [tumor(1, "pass"), tumor(2, "warn")]
    })
    .to_string()
}

/// An output folder, with or without the scan as it was.
pub fn write_case(root: &Path, name: &str, has_healthy: bool) -> PathBuf {
    let folder = root.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    scan(0.0).write(folder.join("ct.nii.gz")).unwrap();
    tumors().write(folder.join("tumors.nii.gz")).unwrap();
    tumors().write(folder.join("labels.nii.gz")).unwrap();
    if has_healthy {
        scan(7.0).write(folder.join("healthy_ct.nii.gz")).unwrap();
    }
    std::fs::write(folder.join("record.json"), record(name, 7)).unwrap();
    folder
}

/// A dataset of two cases, the second one with the scan as it was.
pub fn two_cases() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    write_case(root.path(), "a", false);
    write_case(root.path(), "b", true);
    root
}

/// A viewer that is killed when this is dropped.
pub struct Viewer {
    child: Child,
    pub addr: SocketAddr,
    /// The page's path: `/v/TOKEN/`.
    pub page: String,
}

/// With a cache that nobody looks at.
pub fn view(path: &Path) -> Viewer {
    Viewer::start(path, None, &path.join("no-such-cache"))
}

impl Viewer {
    /// `cache` stands for the user's folder of caches.
    pub fn start(path: &Path, labels: Option<&Path>, cache: &Path) -> Self {
        let mut child = Command::new(example("view"))
            .arg(path)
            .arg("0")
            .args(labels)
            .env("XDG_CACHE_HOME", cache)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example `view`, built by `cargo test`");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let rest = line.trim().strip_prefix("http://").unwrap_or_else(|| panic!("no link in '{line}'"));
        let (addr, page) = rest.split_at(rest.find('/').unwrap());
        Self { child, addr: addr.parse().unwrap(), page: page.into() }
    }

    /// GET below the page's path.
    pub fn get(&self, path: &str) -> Reply {
        get(self.addr, &format!("{}{path}", self.page))
    }

    pub fn cases(&self) -> Vec<Value> {
        self.get("api/cases").json()["cases"].as_array().unwrap().clone()
    }

    /// As the page posts.
    pub fn post(&self, body: &str) -> Reply {
        self.post_with(PAGE, body)
    }

    pub fn post_with(&self, headers: &str, body: &str) -> Reply {
        post_with(self.addr, &format!("{}api/review", self.page), headers, body).unwrap()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A verdict's body.
pub fn verdict(case: &str, verdict: &str, note: &str, record_sha256: &str) -> String {
    json!({"case": case, "verdict": verdict, "note": note, "record_sha256": record_sha256}).to_string()
}
