//! A real browser drives a whole study: `web/browser-tests/study.mjs`.
use difftumor_ct::Volume;
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_study::format::Answer;
use difftumor_study::store::Store;
use ndarray::Array3;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use support::*;

// Of the support, this needs the study's files alone.
#[allow(dead_code)]
mod support;

const SIDE: usize = 96;

/// A cube of 96³ voxels about this voxel of the example's scan, whose slices of 5 mm are interpolated to 1 mm.
fn crop(ct: &Volume, centre: [usize; 3]) -> Volume {
    let (_, _, slices) = ct.data.dim();
    let first = [0, 1].map(|a| centre[a] - SIDE / 2);
    let data = Array3::from_shape_fn((SIDE, SIDE, SIDE), |(x, y, z)| {
        let along =
            (centre[2] as f64 + (z as f64 - SIDE as f64 / 2.0) / 5.0).clamp(0.0, slices as f64 - 1.001);
        let (below, share) = (along as usize, (along % 1.0) as f32);
        let at = |slice: usize| ct.data[[first[0] + x, first[1] + y, slice]];
        at(below) * (1.0 - share) + at(below + 1) * share
    });
    let mut affine = ct.affine;
    for row in &mut affine.0[..3] {
        row[2] /= 5.0;
        row[3] = 0.0;
    }
    Volume { data, affine }
}

fn write_crops(study: &Path, organs: &Path) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/crlm-ct-1006/ct.nii.gz");
    let ct = NiftiImage::read(example).unwrap().to_volume().unwrap();
    let places =
        [[111, 110, 18], [125, 100, 17], [100, 125, 16], [120, 110, 15], [115, 130, 17], [105, 100, 18]];
    let volumes = places.map(|place| {
        let path = study.join("crop.nii.gz");
        NiftiImage::from_volume(&crop(&ct, place), Datatype::I16, "crop").write(&path).unwrap();
        std::fs::read(path).unwrap()
    });
    std::fs::remove_file(study.join("crop.nii.gz")).unwrap();
    let centre_vox = [SIDE as f64 / 2.0; 3];
    write_study(study, TURING, &volumes, centre_vox, 2);
    write_study(organs, &["kidney", "liver", "pancreas"], &volumes[..3], centre_vox, 1);
}

#[test]
#[ignore = "needs Chromium, node and npm packages: crates/study/web/browser-tests/run.sh"]
fn two_readers_do_a_study() {
    let folder = tempfile::tempdir().unwrap();
    let organs = tempfile::tempdir().unwrap();
    write_crops(folder.path(), organs.path());
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let driven = Command::new("node")
        .arg(web.join("browser-tests/study.mjs"))
        .env("STUDY", folder.path())
        .env("ORGANS", organs.path())
        .env("SERVER", server_program())
        .env("TOKENS", serde_json::json!([token(0), token(1)]).to_string())
        .env("CHROMIUM", std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into()))
        .stderr(Stdio::inherit())
        .output()
        .expect("node");
    let said = String::from_utf8(driven.stdout).unwrap();
    assert!(driven.status.success(), "{said}");
    let told: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    println!("96³ voxels: {}", told["time"]);
    check_times(&told["time"]);
    check_answers(&answers(folder.path()), told["answered"].as_array().unwrap());
    let organs: Vec<String> = answers(organs.path()).into_iter().map(|a| a.answer).collect();
    assert_eq!(organs, ["liver", "pancreas", "kidney"], "keys 2, 3 and K");
}

fn answers(study: &Path) -> Vec<Answer> {
    let sha = sha256(std::fs::read(study.join("study.json")).unwrap());
    Store::open_existing(study.join("answers.sqlite"), &sha).unwrap().all().unwrap()
}

/// Twice what is asked of a computer with a graphics card (1 s, 2 s): Chromium draws in software here, and the machine does other things. Two
/// busy cores took 0.1 to 0.2 s and 0.5 to 1.3 s.
fn check_times(time: &Value) {
    let (interactive_ms, slice_ms) =
        (time["interactive_ms"].as_u64().unwrap(), time["slice_ms"].as_u64().unwrap());
    assert!(interactive_ms < 2000 && slice_ms < 4000, "{time}");
}

/// The store has what the readers pressed, each once, in its order.
fn check_answers(kept: &[Answer], pressed: &[Value]) {
    assert_eq!((kept.len(), pressed.len()), (13, 13), "6 items of 2 readers, and one answer changed");
    for (reader, first) in [("Reader 1", 0), ("Reader 2", 1)] {
        for index in 0..6 {
            let id = item((index + first) % 6);
            let kept: Vec<&Answer> = kept.iter().filter(|a| a.reader == reader && a.item == id).collect();
            let pressed: Vec<&str> = pressed
                .iter()
                .filter(|p| p["reader"] == reader && p["index"] == index)
                .map(|p| p["answer"].as_str().unwrap())
                .collect();
            let answers: Vec<&str> = kept.iter().map(|a| a.answer.as_str()).collect();
            assert_eq!(answers, pressed, "{reader}, item {}", index + 1);
            let revisions: Vec<u32> = kept.iter().map(|a| a.revision).collect();
            assert_eq!(revisions, (1..=kept.len() as u32).collect::<Vec<_>>());
            assert!(kept.iter().all(|a| a.reading_ms < 60_000), "{kept:?}");
            assert!(kept.windows(2).all(|pair| pair[0].reading_ms < pair[1].reading_ms), "{kept:?}");
        }
    }
}
