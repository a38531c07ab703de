//! The program on inputs and arguments that are wrong: what it says, its exit code, and that it leaves nothing.

use crate::phantom::*;
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_ct::{Labels, Volume};
use std::path::Path;

/// The run fails with `code`, says all of `says`, and `out` is not there.
#[track_caller]
fn fails(files: &Files, dir: &Path, more: &[&str], code: i32, says: &[&str]) {
    let out = dir.join("out");
    let (found, stderr) = synthesize(files, &out, more);
    assert_eq!(found, code, "{more:?}: {stderr}");
    for part in says {
        assert!(stderr.contains(part), "expected '{part}' in: {stderr}");
    }
    assert!(!out.exists() && !dir.join(".out.part").exists());
}

#[test]
fn one_bad_case_is_reported_and_stops_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let cases = dataset(dir.path(), 3);
    let bad = dir.path().join("case01.nii.gz");
    let bytes = std::fs::read(&bad).unwrap();
    std::fs::write(&bad, &bytes[..bytes.len() / 2]).unwrap();
    let (out, report) = (dir.path().join("out"), dir.path().join("report.json"));
    let (code, stderr) = run(&[
        "synthesize",
        "--method",
        "handcrafted",
        "--cases",
        text(&cases),
        "--organ",
        "liver=1",
        "--size",
        "tiny",
        "--out",
        text(&out),
        "--report",
        text(&report),
        "--jobs",
        "2",
    ]);
    assert_eq!(code, 1);
    assert_eq!(stderr.matches("failed: case01: ").count(), 1, "{stderr}");
    assert!(stderr.contains("case01.nii.gz"), "{stderr}");
    let report = json(&report);
    let status: Vec<_> =
        report["cases"].as_array().unwrap().iter().map(|c| c["status"].as_str().unwrap()).collect();
    assert_eq!(status, ["done", "failed", "done"]);
    assert!(report["cases"][1]["message"].as_str().unwrap().contains("case01.nii.gz"));
    let names: Vec<_> = tree(&out).into_keys().filter(|p| p.components().count() == 1).collect();
    assert_eq!(names, ["case00/", "case02/"].map(std::path::PathBuf::from));
}

#[test]
fn labels_on_another_grid_are_refused_with_the_distance() {
    let dir = tempfile::tempdir().unwrap();
    let (ct, labels) = phantom(SHAPE, LPS, 1);
    let mut shifted = labels.clone();
    shifted.affine.0[2][3] += 5.0;
    let files = write(dir.path(), "shifted", &(ct.clone(), shifted), Datatype::I16);
    fails(&files, dir.path(), &[], 1, &["same grid", "5.000 mm", "shifted_labels.nii.gz"]);
    let cropped = Labels { data: labels.data.slice(ndarray::s![.., .., ..19]).to_owned(), ..labels };
    let files = write(dir.path(), "cropped", &(ct, cropped), Datatype::I16);
    fails(&files, dir.path(), &[], 1, &["[48, 40, 20] against [48, 40, 19]"]);
}

#[test]
fn organs_that_are_unknown_absent_empty_or_ambiguous_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    fails(&files, dir.path(), &["--organ", "livr"], 2, &["livr", "TotalSegmentator"]);
    fails(&files, dir.path(), &["--organ", "liver=0"], 2, &["NAME=VALUE"]);
    fails(&files, dir.path(), &["--organ", "liver=1", "--organ", "liver=2"], 2, &["each name once"]);
    fails(&files, dir.path(), &["--organ", "liver=9"], 1, &["no voxel has this value", "it holds 1"]);
    fails(&files, dir.path(), &["--organ", "liver"], 1, &["write liver=VALUE", "it holds 1"]);
    let (ct, mut labels) = phantom(SHAPE, LPS, 1);
    labels.data.fill(0);
    let empty = write(dir.path(), "empty", &(ct, labels), Datatype::I16);
    fails(&empty, dir.path(), &[], 1, &["only background"]);
    let nothing = Files { labels: dir.path().join("none.nii.gz"), ..files };
    fails(&nothing, dir.path(), &[], 1, &["none.nii.gz"]);
}

#[test]
fn a_tumor_that_finds_no_place_is_an_error_that_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    fails(
        &files,
        dir.path(),
        &["--diameter-mm", "90", "--tumors", "1"],
        1,
        &["no tumor can be placed in the liver", "smaller"],
    );
}

#[test]
fn voxels_that_are_no_hu_are_refused_or_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ct, labels) = phantom(SHAPE, LPS, 1);
    let scaled = Volume { data: ct.data.mapv(|hu| ((hu + 175.0) / 425.0).clamp(0.0, 1.0)), ..ct.clone() };
    ct.data[[3, 4, 5]] = f32::NAN;
    let files = write(dir.path(), "nan", &(ct, labels.clone()), Datatype::F32);
    fails(&files, dir.path(), &[], 1, &["NaN", "[3, 4, 5]", "nan.nii.gz"]);
    let files = write(dir.path(), "scaled", &(scaled, labels), Datatype::F32);
    let out = dir.path().join("out");
    let (_, stderr) = synthesize(&files, &out, &["--report", text(&dir.path().join("r.json"))]);
    assert!(stderr.contains("already scaled to [0, 1]"), "{stderr}");
    assert!(json(&out.join("record.json"))["warnings"][0].as_str().unwrap().contains("[0, 1]"));
}

#[test]
fn tables_with_mistakes_are_refused_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cases.csv");
    for (content, says) in [
        ("id,ct\na,b\n", "one column 'labels'"),
        ("id,ct,labels\na,x,y\na,x,y\n", "line 3: id"),
        ("id,ct,labels\n../a,x,y\n", "line 2: id"),
        ("id,ct,labels\n", "at least one case"),
    ] {
        std::fs::write(&path, content).unwrap();
        let out = dir.path().join("out");
        let (code, stderr) =
            run(&["synthesize", "--cases", text(&path), "--organ", "liver", "--out", text(&out)]);
        assert!(code == 1 && stderr.contains(says) && stderr.contains("cases.csv"), "{code}: {stderr}");
        assert!(!out.exists());
    }
}

#[test]
fn bad_arguments_have_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let folder = Files { ct: dir.path().into(), ..files.clone() };
    for (arguments, says) in [
        (&["--method", "handcrafted", "--model", "run"][..], "uses no model"),
        (&["--model", "a", "--model", "b", "--model", "c"], "found 3"),
        // Told before the Run is even looked for.
        (&["--model", "no/such/run", "--diameter-mm", "60..120"], "at most 80 mm"),
        (&["--size", "huge"], "possible values"),
        (&["--size", "tiny", "--diameter-mm", "5"], "cannot be used with"),
        (&["--diameter-mm", "20..10"], "smallest <= largest"),
        (&["--diameter-mm", "big"], "A..B"),
        (&["--tumors", "0"], "1 <= A <= B"),
        (&["--tumors", "3..1"], "1 <= A <= B"),
        (&["--preset", "paper", "--tumors", "2"], "draws 1 to 3"),
        (&["--shard", "2/2"], "I/N"),
        (&["--shard", "x"], "I/N"),
        (&["--jobs", "0"], "1 or more"),
        (&["--per-case", "0"], "1 or more"),
        (&["--device", "abacus"], "cpu"),
        (&["--resume", "--force"], "cannot be used with"),
        (&["--no-such-flag"], "unexpected argument"),
    ] {
        fails(&files, dir.path(), arguments, 2, &[says]);
    }
    fails(&folder, dir.path(), &[], 2, &["--labels: expected a folder"]);
    for arguments in [&["synthesize", "--out", "x", "--organ", "liver"][..], &["bake"], &[]] {
        assert_eq!(run(arguments).0, 2, "{arguments:?}");
    }
    assert_eq!(run(&["--help"]).0, 0);
    assert_eq!(run(&["--version"]).0, 0);
}

#[test]
fn models_that_are_none_are_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let (code, stderr) = synthesize(&files, &dir.path().join("out"), &["--model", "no/such/run"]);
    assert_eq!(code, 1);
    assert_eq!(stderr.matches("No such file").count(), 1, "{stderr}");
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/checkpoints/hard_payload.pt");
    let out = dir.path().join("run");
    let (code, stderr) = run(&["import", fixture, "--out", text(&out)]);
    assert!(code == 1 && stderr.contains("hard_payload.pt"), "{stderr}");
    assert!(!out.exists());
}

#[test]
fn places_that_cannot_be_written_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let file = dir.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    for out in [file.clone(), file.join("out")] {
        let (code, stderr) = synthesize(&files, &out, &[]);
        assert!(code == 1 && stderr.contains("file"), "{stderr}");
    }
    let (code, stderr) =
        synthesize(&files, &dir.path().join("out"), &["--report", text(&file.join("r.json"))]);
    assert!(code == 1 && stderr.contains("r.json"), "{stderr}");
    assert_eq!(std::fs::read(&file).unwrap(), b"kept");
}

/// A file size limit fails writes as a full disk does: in the middle of a file.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let out = dir.path().join("out");
    let program = env!("CARGO_BIN_EXE_difftumor");
    // Blocks of 512 or 1024 bytes; the scan has about 20 kB. SIGXFSZ is ignored so that writes fail instead.
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec '{program}' synthesize --ct '{}' --labels '{}' --organ liver=1 --size tiny --out '{}'",
        files.ct.display(),
        files.labels.display(),
        out.display()
    );
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot write") && stderr.contains("ct.nii.gz"), "{stderr}");
    assert!(!out.exists() && !dir.path().join(".out.part").exists());
}

#[test]
fn a_scan_without_a_header_and_one_that_lies_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "a");
    let plain = dir.path().join("plain.nii");
    let image = NiftiImage::read(&files.ct).unwrap();
    let mut bytes = image.as_bytes().to_vec();
    bytes[42] = 200; // dim[1]: more voxels than there are
    std::fs::write(&plain, &bytes).unwrap();
    fails(&Files { ct: plain.clone(), ..files.clone() }, dir.path(), &[], 1, &["plain.nii", "expected"]);
    std::fs::write(&plain, "not an image").unwrap();
    fails(&Files { ct: plain, ..files }, dir.path(), &[], 1, &["plain.nii", "NIfTI"]);
}
