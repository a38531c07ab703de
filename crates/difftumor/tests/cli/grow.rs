//! `synthesize --grow` and `--pair`: the same tumor at several sizes, and the scan without it.

use crate::phantom::*;
use difftumor_ct::io::nifti::NiftiImage;

const GROW: [&str; 4] = ["--grow", "6,10,18mm", "--tumors", "2"];
const SIZES: [&str; 3] = ["case_006mm", "case_010mm", "case_018mm"];

#[test]
fn a_series_is_of_the_same_tumors() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "case");
    let out = dir.path().join("out");
    let (code, stderr) = synthesize(&files, &out, &GROW);
    assert_eq!(code, 0, "{stderr}");
    for size in SIZES {
        check_output(&files, &out.join(size), &[1]);
    }
    let records = SIZES.map(|size| json(&out.join(size).join("record.json")));
    for (record, size_mm) in records.iter().zip([6.0, 10.0, 18.0]) {
        assert_eq!(record["grown_to_mm"], size_mm);
        assert_eq!(record["tumors"].as_array().unwrap().len(), 2);
        // The phantom's slices have 5 mm, so an axis is off by up to about half of that on each side.
        for tumor in record["tumors"].as_array().unwrap() {
            let axis_mm = tumor["axes_mm"][0].as_f64().unwrap();
            assert!((axis_mm - size_mm).abs() < 0.15 * size_mm + 2.5, "{size_mm} mm: {axis_mm}");
            assert_eq!(
                tumor["contrast_hu"],
                records[0]["tumors"][tumor["number"].as_u64().unwrap() as usize - 1]["contrast_hu"]
            );
        }
    }
    // Each lies inside of the next one, and where both are well inside the HU are the same but for the blurred edge.
    let tumors = SIZES.map(|size| labels_of(&out.join(size).join("tumors.nii.gz")));
    for (small, large) in tumors.iter().zip(&tumors[1..]) {
        let inside = |value: u16| {
            small.data.iter().zip(&large.data).filter(|(s, l)| **s == value && **l == value).count()
        };
        for number in 1..=2 {
            let voxels = small.data.iter().filter(|v| **v == number).count();
            assert!(
                voxels > 0 && inside(number) as f64 >= 0.9 * voxels as f64,
                "{number}: {} of {voxels}",
                inside(number)
            );
        }
    }
    // One size alone, and in another order of work: the same bytes.
    let again = dir.path().join("again");
    let (code, stderr) = synthesize(&files, &again, &[&GROW[..], &["--shard", "1/3"]].concat());
    assert_eq!(code, 0, "{stderr}");
    assert_same(&again.join(SIZES[1]), &out.join(SIZES[1]));
    assert!(!again.join(SIZES[0]).exists());
    // Another series is another setting.
    let (code, stderr) = synthesize(&files, &out, &["--grow", "6,10,20mm", "--tumors", "2", "--resume"]);
    assert!(code == 1 && stderr.contains("growth_mm"), "{stderr}");
}

#[test]
fn copies_of_a_series_are_other_tumors() {
    let dir = tempfile::tempdir().unwrap();
    let files = standard(dir.path(), "case");
    let out = dir.path().join("out");
    let (code, stderr) =
        synthesize(&files, &out, &["--grow", "8,12.5", "--tumors", "1", "--per-case", "2", "--jobs", "2"]);
    assert_eq!(code, 0, "{stderr}");
    let centre = |name: &str| json(&out.join(name).join("record.json"))["tumors"][0]["centre_mm"].clone();
    for copy in ["001", "002"] {
        for size in ["008mm", "012.5mm"] {
            assert!(centre(&format!("case_{copy}_{size}"))[0].is_f64());
        }
    }
    assert_ne!(centre("case_001_008mm"), centre("case_002_008mm"));
}

#[test]
fn pairs_keep_the_scan_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let files = with_tumor(dir.path(), "case", 4.0);
    let out = dir.path().join("out");
    let (code, stderr) = synthesize(
        &files,
        &out,
        &["--pair", "--organ", "liver=1:tumor=2", "--tumors", "1", "--size", "tiny"],
    );
    assert_eq!(code, 0, "{stderr}");
    let voxels = |path: &std::path::Path| NiftiImage::read(path).unwrap().to_volume().unwrap().data;
    assert_eq!(voxels(&out.join("healthy_ct.nii.gz")), voxels(&files.ct));
    assert_ne!(voxels(&out.join("ct.nii.gz")), voxels(&files.ct));
    // The known tumor is there before and after.
    let labels = labels_of(&out.join("healthy_labels.nii.gz"));
    assert_eq!(labels.data, labels_of(&files.labels).data);
    let record = json(&out.join("record.json"));
    let files = record["files"].as_array().unwrap();
    assert!(
        files.iter().any(|f| f == "healthy_ct.nii.gz") && files.iter().any(|f| f == "healthy_labels.nii.gz")
    );
}

#[test]
fn impossible_series_are_refused_before_anything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files { ct: dir.path().join("none.nii"), labels: dir.path().join("none.nii") };
    for (more, says) in [
        (&["--grow", "8"][..], "two or more lengths"),
        (&["--grow", "8,5mm"], "larger than the one before"),
        (&["--grow", "8,x"], "'8,x'"),
        (&["--grow", "8,12", "--preset", "paper"], "the default preset"),
        (&["--grow", "1,12"], "from 3 on"),
    ] {
        let mut all =
            vec!["synthesize", "--ct", text(&files.ct), "--labels", text(&files.labels), "--out", "out"];
        all.extend(["--organ", "liver=1", "--method", "handcrafted"]);
        all.extend(more);
        let (code, stderr) = run(&all);
        assert!(code == 2 && stderr.contains(says), "{more:?}: {stderr}");
    }
}
