//! What cannot be: said before anything is written, and nothing is left behind.
use super::*;

/// How `make` fails with these options.
fn refused(sources: &[Source], options: &MakeOptions) -> String {
    let error = make(sources, options).expect_err("a study was made");
    assert!(!options.out.join("study.json").exists());
    error.to_string()
}

/// One real and one synthetic tumor.
fn pair(folder: &Path) -> [Source; 2] {
    [(false, "a"), (true, "b")]
        .map(|(synthetic, case)| Scan::default().source(folder, case, "liver", synthetic))
}

#[test]
fn options_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let good = options(dir.path(), "study");
    let sources = pair(dir.path());
    let cases: [(&str, MakeOptions); 13] = [
        ("readers: expected 1 to", MakeOptions { readers: Vec::new(), ..good.clone() }),
        ("'r1' twice", MakeOptions { readers: vec!["R1".into(), "r1".into()], ..good.clone() }),
        ("name of a reader", MakeOptions { readers: vec![" ".into()], ..good.clone() }),
        ("name of a reader", MakeOptions { readers: vec!["a\nb".into()], ..good.clone() }),
        ("title", MakeOptions { title: String::new(), ..good.clone() }),
        ("items: expected 1", MakeOptions { items: 0, ..good.clone() }),
        ("items: expected at least 2", MakeOptions { items: 1, ..good.clone() }),
        ("repeats: expected 0 to 0.5, found 0.6", MakeOptions { repeats: 0.6, ..good.clone() }),
        ("repeats", MakeOptions { repeats: f64::NAN, ..good.clone() }),
        ("field_mm", MakeOptions { field_mm: 1e9, ..good.clone() }),
        ("rim_mm", MakeOptions { rim_mm: -1.0, ..good.clone() }),
        ("max_diameter_mm", MakeOptions { max_diameter_mm: Some(0.0), ..good.clone() }),
        ("width of window_hu", MakeOptions { window_hu: Some([40.0, 0.0]), ..good.clone() }),
    ];
    for (expected, options) in cases {
        let found = refused(&sources, &options);
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn sources_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), "study");
    let [real, synthetic] = pair(dir.path());
    for (expected, sources) in [
        ("expected cases with real and cases with synthetic tumors, found none", vec![]),
        ("at least one synthetic tumor", vec![real.clone()]),
        ("at least one real tumor", vec![synthetic.clone()]),
        ("real tumors of the liver twice", vec![real.clone(), synthetic.clone(), real.clone()]),
        ("name of a case", vec![Source { case: "".into(), ..real.clone() }]),
        ("name of an organ", vec![Source { organ: "\u{7}".into(), ..real.clone() }]),
    ] {
        let found = refused(&sources, &options);
        assert!(found.contains(expected), "{found}");
    }
    let recognition = MakeOptions { kind: Kind::OrganRecognition, ..options };
    assert!(refused(&[real], &recognition).contains("two or more, found 1"));
}

#[test]
fn key_and_links_stay_out_of_the_study_and_nothing_is_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let good = options(dir.path(), "study");
    let sources = pair(dir.path());
    let inside = good.out.join("key.json");
    // The folder is not there yet: its own name must be enough. And a detour does not help.
    let detour = dir.path().join("other/../study");
    fs::create_dir(dir.path().join("other")).unwrap();
    for options in [
        MakeOptions { key: inside.clone(), ..good.clone() },
        MakeOptions { links: inside, ..good.clone() },
        MakeOptions { key: good.out.clone(), ..good.clone() },
        MakeOptions { key: detour, ..good.clone() },
        MakeOptions { links: good.key.clone(), ..good.clone() },
    ] {
        assert!(matches!(make(&sources, &options), Err(Error::File { .. })), "{options:?}");
        assert!(!good.out.exists() && !good.key.exists() && !good.links.exists());
    }
    fs::write(&good.key, "of another study").unwrap();
    assert!(refused(&sources, &good).contains("it is there already"));
    assert_eq!(fs::read_to_string(&good.key).unwrap(), "of another study");
    fs::remove_file(&good.key).unwrap();
    fs::create_dir(&good.out).unwrap();
    assert!(refused(&sources, &good).contains("it is there already"));
    fs::remove_dir(&good.out).unwrap();
    make(&sources, &good).unwrap();
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let sources = pair(dir.path());
    let before = fs::read_dir(dir.path()).unwrap().count();
    // No file system takes this name; it is met last, when all else is written.
    let options = MakeOptions { links: dir.path().join("l".repeat(300)), ..options(dir.path(), "study") };
    assert!(matches!(make(&sources, &options), Err(Error::File { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before);
}

#[test]
fn sources_that_cannot_be_used_are_skipped_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let of = |case: &str, scan: Scan| scan.source(dir.path(), case, "liver", false);
    let nan = |source: Source| {
        let mut volume = NiftiImage::read(&source.ct).unwrap().to_volume().unwrap();
        volume.data[[1, 2, 3]] = f32::NAN;
        NiftiImage::from_volume(&volume, Datatype::F32, "nan").write(&source.ct).unwrap();
        source
    };
    let empty = of("empty", Scan { balls: vec![], ..Scan::default() });
    let speck = of("speck", Scan { balls: vec![([20, 18, 16], 0.5)], ..Scan::default() });
    let value = Source { tumor_values: vec![7], ..of("value", Scan::default()) };
    let missing = Source { ct: dir.path().join("no.nii.gz"), ..of("missing", Scan::default()) };
    let shifted = Source {
        tumors: of("other", Scan { spacing_mm: [3.0, 3.0, 5.0], ..Scan::default() }).tumors,
        ..of("shifted", Scan::default())
    };
    let cut_off = of("cut", Scan::default());
    let bytes = fs::read(&cut_off.tumors).unwrap();
    fs::write(&cut_off.tumors, &bytes[..bytes.len() / 2]).unwrap();
    let large =
        of("large", Scan { balls: vec![([20, 18, 16], 9.0), ([34, 28, 28], 20.0)], ..Scan::default() });
    let mut sources =
        vec![empty, speck, value, missing, nan(of("nan", Scan::default())), shifted, cut_off, large];
    sources.push(Scan::default().source(dir.path(), "made", "liver", true));
    let options = MakeOptions { max_diameter_mm: Some(25.0), repeats: 0.0, ..options(dir.path(), "study") };
    let made = make(&sources, &options).unwrap();
    assert_eq!(made.items, 2);
    let expected = [
        ("empty", "no part of 8 voxels or more with values above 0"),
        ("speck", "no part of 8 voxels or more"),
        ("value", "with values [7]"),
        ("missing", "no.nii.gz"),
        ("nan", "NaN"),
        ("shifted", "not lie on the same grid"),
        ("cut", "cut_liver_false_tumors.nii.gz"),
        ("large", "1 of its liver tumors: larger than 25 mm"),
    ];
    assert_eq!(made.skipped.len(), expected.len(), "{:?}", made.skipped);
    for (skipped, (case, reason)) in made.skipped.iter().zip(expected) {
        assert_eq!(skipped.case, case);
        assert!(skipped.reason.contains(reason), "{}: {}", skipped.case, skipped.reason);
    }
    // With none left, the reasons are in the error.
    let options = MakeOptions {
        out: dir.path().join("none"),
        key: dir.path().join("k"),
        links: dir.path().join("l"),
        ..options
    };
    let error = refused(&[sources[0].clone(), sources[8].clone()], &options);
    assert!(error.contains("skipped empty: "), "{error}");
}

#[test]
fn tumors_larger_than_the_field_are_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let sources = pair(dir.path());
    let options = MakeOptions { field_mm: 18.0, ..options(dir.path(), "study") };
    // Seven voxels of 3 mm.
    assert!(refused(&sources, &options).contains("longer than the field of 18 mm"));
}
