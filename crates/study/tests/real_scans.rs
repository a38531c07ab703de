//! Studies of real scans from outside of the repository.
use difftumor_study::format::Kind;
use difftumor_study::make::{Made, MakeOptions, Source, make};
use difftumor_study::score::read_study;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn shared_data() -> PathBuf {
    std::env::var("DIFFTUMOR_SHARED_DATA")
        .expect("set DIFFTUMOR_SHARED_DATA to the folder of test data")
        .into()
}

/// The 28 sarcomas. None is synthetic: that every second one is called so tests the files alone.
fn sarcomas(every_second_synthetic: bool) -> Vec<Source> {
    let folder = shared_data().join("soft_tissue_sarcoma_train");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| case.is_dir());
    cases.sort();
    let source = |(i, folder): (usize, PathBuf)| Source {
        case: folder.file_name().unwrap().to_str().unwrap().into(),
        ct: folder.join("ct.nii.gz"),
        tumors: folder.join("gtv.nii.gz"),
        tumor_values: Vec::new(),
        organ: "soft tissue".into(),
        synthetic: every_second_synthetic && i % 2 == 1,
    };
    cases.into_iter().enumerate().map(source).collect()
}

fn options(folder: &Path, kind: Kind) -> MakeOptions {
    MakeOptions {
        kind,
        readers: vec!["R1".into(), "R2".into()],
        out: folder.join("study"),
        key: folder.join("key.json"),
        links: folder.join("links.json"),
        ..MakeOptions::default()
    }
}

fn timed(sources: &[Source], options: &MakeOptions) -> Made {
    let start = Instant::now();
    let made = make(sources, options).unwrap();
    let (study, _, _) = read_study(&options.out).unwrap();
    let file = |id: &str| std::fs::metadata(options.out.join(format!("volumes/{id}.nii.gz"))).unwrap().len();
    let bytes: u64 = study.items.iter().map(|item| file(&item.id)).sum();
    println!(
        "{:?}: {} scans, {} items, {} repeats, {:.1} MB in {:.1} s",
        options.kind,
        sources.len(),
        made.items,
        made.repeats,
        bytes as f64 / 1e6,
        start.elapsed().as_secs_f64()
    );
    println!("{:#?}\n{:#?}\n{:#?}", made.groups, made.skipped, made.warnings);
    made
}

#[test]
#[ignore = "data outside of the repository: DIFFTUMOR_SHARED_DATA=FOLDER cargo test -p difftumor-study --test real_scans -- --ignored --nocapture"]
fn sarcomas_make_a_visual_turing_test() {
    let dir = tempfile::tempdir().unwrap();
    let made = timed(&sarcomas(true), &options(dir.path(), Kind::VisualTuring));
    // 14 of each; the field of 96 mm is too small for the largest.
    assert!(made.items >= 8 && made.items.is_multiple_of(2), "{made:?}");
    assert!(
        made.skipped.iter().all(|skipped| skipped.reason.contains("field of 96 mm")),
        "{:?}",
        made.skipped
    );
    assert_eq!(made.groups[0].tumors, made.groups[1].tumors);
}

#[test]
#[ignore = "images under CC BY-NC-ND: DIFFTUMOR_SHARED_DATA=FOLDER cargo test -p difftumor-study --test real_scans -- --ignored --nocapture"]
fn liver_tumors_and_sarcomas_make_an_organ_recognition() {
    let dir = tempfile::tempdir().unwrap();
    let liver = shared_data().join("liver_tumor_3dircadb17");
    let mut sources = sarcomas(false);
    sources.push(Source {
        case: "17".into(),
        ct: liver.join("ct.nii.gz"),
        tumors: liver.join("tumors.nii.gz"),
        tumor_values: Vec::new(),
        organ: "liver".into(),
        synthetic: false,
    });
    let made = timed(&sources, &options(dir.path(), Kind::OrganRecognition));
    assert_eq!(made.items, 4); // two tumors of the liver
    // The sarcomas nearest in size were taken, of 28 from 49 to 116 mm: within 15 %.
    for i in 0..3 {
        let [liver, other] = [made.groups[0].diameters_mm[i], made.groups[1].diameters_mm[i]];
        assert!((liver / other).ln().abs() < 0.15, "{liver} mm against {other} mm");
    }
}
