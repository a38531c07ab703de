//! A real browser looks through a dataset: `web/browser-tests/view.mjs`.
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_study::digest::sha256;
use difftumor_study::view::review::{State, Verdict, read};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use support::example;

// Of the support, this needs the examples' places alone.
#[allow(dead_code)]
mod support;

/// Voxels of the example's liver, and radii in mm.
const TUMORS: [([usize; 3], f64); 2] = [([111, 110, 18], 14.0), ([100, 125, 16], 7.0)];

/// Darker than what was there.
const CONTRAST_HU: f32 = -60.0;

/// The example's scan with two darker balls, as `synthesize --pair` would leave it.
fn write_case(folder: &Path, has_healthy: bool) {
    std::fs::create_dir_all(folder).unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/crlm-ct-1006");
    let healthy = NiftiImage::read(example.join("ct.nii.gz")).unwrap().to_volume().unwrap();
    let mut labels = NiftiImage::read(example.join("labels.nii.gz")).unwrap().to_labels().unwrap();
    // TotalSegmentator's liver.
    labels.data.mapv_inplace(|value| u16::from(value == 5));
    let (mut ct, mut tumors) = (healthy.clone(), labels.clone());
    tumors.data.fill(0);
    let spacing_mm = ct.affine.spacing_mm();
    for ((x, y, z), hu) in ct.data.indexed_iter_mut() {
        for (i, (centre, radius_mm)) in TUMORS.iter().enumerate() {
            let offset = [x, y, z].map(|v| v as f64);
            let squared: f64 = (0..3).map(|a| ((offset[a] - centre[a] as f64) * spacing_mm[a]).powi(2)).sum();
            if squared <= radius_mm * radius_mm {
                *hu += CONTRAST_HU;
                tumors.data[[x, y, z]] = i as u16 + 1;
                labels.data[[x, y, z]] = 2;
            }
        }
    }
    let scan = |name: &str, volume| {
        NiftiImage::from_volume(volume, Datatype::I16, name).write(folder.join(name)).unwrap();
    };
    scan("ct.nii.gz", &ct);
    if has_healthy {
        scan("healthy_ct.nii.gz", &healthy);
    }
    NiftiImage::from_labels(&labels, "labels").write(folder.join("labels.nii.gz")).unwrap();
    NiftiImage::from_labels(&tumors, "tumors").write(folder.join("tumors.nii.gz")).unwrap();
    std::fs::write(folder.join("record.json"), record(folder).to_string()).unwrap();
}

fn record(folder: &Path) -> Value {
    let tumor = |(i, (centre, radius_mm)): (usize, &([usize; 3], f64))| {
        let warnings: &[&str] =
            if i == 1 { &["edge_mm 3.2 is outside 0.8 to 2.4 of real tumors"] } else { &[] };
        json!({
            "number": i + 1, "organ": "liver", "method": "handcrafted", "size": "small", "centre_vox": centre,
            "equivalent_diameter_mm": 2.0 * radius_mm, "hu_inside": {"mean_hu": 45.0}, "hu_around": {"mean_hu": 105.0},
            "gate": {"grade": if i == 1 { "warning" } else { "pass" }, "rejected": i, "warnings": warnings},
        })
    };
    json!({
        "case": folder.file_name().unwrap().to_string_lossy(), "copy": 1, "settings": {"method": "handcrafted", "seed": 7},
        "labels": {"1": "liver", "2": "tumor"}, "tumors": TUMORS.iter().enumerate().map(tumor).collect::<Vec<_>>(),
    })
}

#[test]
#[ignore = "needs Chromium, node and npm packages: crates/study/web/browser-tests/run.sh"]
fn a_dataset_is_looked_through_and_judged() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    for (name, has_healthy) in [("case_001", true), ("case_002", false), ("case_003", true)] {
        write_case(&out.join(name), has_healthy);
    }
    // A scan that breaks off.
    let broken = out.join("case_003/ct.nii.gz");
    let bytes = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let driven = Command::new("node")
        .arg(web.join("browser-tests/view.mjs"))
        .env("DATASET", &out)
        .env("VIEWER", example("view"))
        .env("XDG_CACHE_HOME", dir.path().join("cache"))
        .env("CHROMIUM", std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into()))
        .stderr(Stdio::inherit())
        .output()
        .expect("node");
    let said = String::from_utf8(driven.stdout).unwrap();
    assert!(driven.status.success(), "{said}");
    println!("{}", said.lines().last().unwrap());
    let review = read(&out).unwrap();
    let state =
        |name: &str| review.state(name, &sha256(std::fs::read(out.join(name).join("record.json")).unwrap()));
    assert_eq!(
        ["case_001", "case_002", "case_003"].map(state),
        [State::Accepted, State::Rejected, State::Open]
    );
    assert_eq!(review.cases["case_002"].verdict, Verdict::Rejected);
    assert_eq!(review.cases["case_002"].note, "edge too sharp, n n p x");
}
