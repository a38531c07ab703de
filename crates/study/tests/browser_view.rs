//! A real browser drives the viewer: `web/browser-tests/view.mjs`.
use difftumor_ct::Volume;
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_study::view::review::{self, Verdict};
use ndarray::Array3;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use support::*;

// Of the support, this needs the programs alone.
#[allow(dead_code)]
mod support;

/// Centre in voxels and radius in mm: a larger tumor, and a smaller one that the gate warns of.
const TUMORS: [([usize; 3], f64); 2] = [([105, 95, 18], 14.0), ([112, 110, 14], 8.0)];

/// How much darker than the scan.
const DARKER_HU: f32 = 60.0;

/// The number of the tumor at a voxel, 0 for none.
fn number(at: [usize; 3], spacing_mm: [f64; 3]) -> usize {
    let distance_mm = |centre: [usize; 3]| {
        (0..3).map(|a| ((at[a] as f64 - centre[a] as f64) * spacing_mm[a]).powi(2)).sum::<f64>().sqrt()
    };
    TUMORS.iter().position(|(centre, radius_mm)| distance_mm(*centre) < *radius_mm).map_or(0, |i| i + 1)
}

/// An output folder as `synthesize` writes it: balls in the example's scan.
fn write_case(folder: &Path, name: &str) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/crlm-ct-1006");
    let ct = NiftiImage::read(example.join("ct.nii.gz")).unwrap().to_volume().unwrap();
    let spacing_mm = ct.affine.spacing_mm();
    let tumors = Array3::from_shape_fn(ct.data.dim(), |(x, y, z)| number([x, y, z], spacing_mm) as f32);
    let darker = Volume { data: &ct.data - &tumors.mapv(|t| t.min(1.0) * DARKER_HU), affine: ct.affine };
    std::fs::create_dir(folder).unwrap();
    let write = |volume: &Volume, datatype, file: &str| {
        NiftiImage::from_volume(volume, datatype, name).write(folder.join(file)).unwrap();
    };
    write(&darker, Datatype::I16, "ct.nii.gz");
    write(&ct, Datatype::I16, "healthy_ct.nii.gz");
    write(&Volume { data: tumors, affine: ct.affine }, Datatype::U8, "tumors.nii.gz");
    std::fs::copy(example.join("labels.nii.gz"), folder.join("labels.nii.gz")).unwrap();
    let gates = [json!({ "grade": "pass" }), json!({ "grade": "warn", "warnings": ["flat: too flat"] })];
    let tumor = |i: usize| {
        let (centre_vox, radius_mm) = TUMORS[i];
        json!({ "number": i + 1, "organ": "liver", "centre_vox": centre_vox,
                "equivalent_diameter_mm": 2.0 * radius_mm, "gate": gates[i] })
    };
    let record = json!({ "case": name, "labels": { "1": "liver" }, "tumors": [tumor(0), tumor(1)] });
    std::fs::write(folder.join("record.json"), record.to_string()).unwrap();
}

#[test]
#[ignore = "needs Chromium, node and npm packages: crates/study/web/browser-tests/run.sh"]
fn cases_are_reviewed() {
    let dataset = tempfile::tempdir().unwrap();
    for name in ["case_1", "case_2"] {
        write_case(&dataset.path().join(name), name);
    }
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let cache = tempfile::tempdir().unwrap();
    let driven = Command::new("node")
        .arg(web.join("browser-tests/view.mjs"))
        .env("DATASET", dataset.path())
        .env("SERVER", server_program().with_file_name("view"))
        .env("CHROMIUM", std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into()))
        .env("XDG_CACHE_HOME", cache.path())
        .stderr(Stdio::inherit())
        .output()
        .expect("node");
    let said = String::from_utf8(driven.stdout).unwrap();
    assert!(driven.status.success(), "{said}");
    let time: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    println!("390 × 250 × 29 voxels: {time}");
    // Twice what a whole scan may take: Chromium draws in software here, and the machine does other things.
    assert!(time["slice_ms"].as_u64().unwrap() < 10_000, "{time}");
    let review = review::read(dataset.path()).unwrap();
    let kept = ["case_1", "case_2"].map(|name| {
        let reviewed = &review.cases[name];
        let record = std::fs::read(dataset.path().join(name).join("record.json")).unwrap();
        assert_eq!(reviewed.record_sha256, sha256(record));
        (reviewed.verdict, reviewed.note.as_str())
    });
    assert_eq!(kept, [(Verdict::Accepted, ""), (Verdict::Rejected, "an edge like a knife")]);
}
