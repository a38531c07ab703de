//! From scans to scores: a study is made, readers who know or guess answer it, and the key tells which is which.
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use difftumor_ct::{Affine, Labels, Volume};
use difftumor_study::format::{Answer, Key, Kind, Readers};
use difftumor_study::make::{Made, MakeOptions, Source, make};
use difftumor_study::score::{Scores, csv, html, read_key, read_study, score};
use ndarray::Array3;
use std::path::{Path, PathBuf};

/// A scan with a ball of `radius_vox` of the value 1 in its label file.
fn source(folder: &Path, case: &str, organ: &str, synthetic: bool, radius_vox: f64) -> Source {
    let shape = (30, 30, 20);
    let inside = |x: usize, y: usize, z: usize| {
        let mm = [x as f64 - 15.0, y as f64 - 15.0, 2.0 * (z as f64 - 10.0)];
        mm.iter().map(|v| v * v).sum::<f64>() <= radius_vox * radius_vox
    };
    let affine = Affine::from_spacing_mm([2.0, 2.0, 4.0]);
    let data = Array3::from_shape_fn(shape, |(x, y, z)| {
        if inside(x, y, z) { 60.0 } else { ((x * 5 + y * 3 + z) % 40) as f32 - 20.0 * (x % 4) as f32 - 190.0 }
    });
    let labels = Array3::from_shape_fn(shape, |(x, y, z)| u16::from(inside(x, y, z)));
    let [ct, tumors] = ["ct", "tumors"].map(|name| folder.join(format!("{case}_{name}.nii.gz")));
    NiftiImage::from_volume(&Volume { data, affine }, Datatype::I16, "ct").write(&ct).unwrap();
    NiftiImage::from_labels(&Labels { data: labels, affine }, "tumors").write(&tumors).unwrap();
    Source { case: case.into(), ct, tumors, tumor_values: vec![1], organ: organ.into(), synthetic }
}

fn options(folder: &Path, kind: Kind) -> MakeOptions {
    MakeOptions {
        kind,
        title: "A study".into(),
        readers: ["knows", "says the same", "is always wrong", "is away"].map(String::from).into(),
        repeats: 0.25,
        seed: 3,
        field_mm: 48.0,
        out: folder.join("study"),
        key: folder.join("key.json"),
        links: folder.join("links.json"),
        ..MakeOptions::default()
    }
}

/// Answers of the four readers, in each one's order.
fn answers(readers: &Readers, key: &Key, choices: &[String], right: impl Fn(&str) -> String) -> Vec<Answer> {
    let mut answers = Vec::new();
    for reader in &readers.readers {
        for (i, item) in reader.order.iter().enumerate() {
            let right = right(item);
            let answer = match reader.name.as_str() {
                "knows" => right,
                "says the same" => choices[0].clone(),
                "is always wrong" => choices.iter().find(|choice| **choice != right).unwrap().clone(),
                _ => continue,
            };
            let (reader, item) = (reader.name.clone(), item.clone());
            answers.push(Answer {
                reader,
                item,
                answer,
                revision: 1,
                reading_ms: 1000 * (i as u64 + 1),
                received_unix_ms: 0,
            });
        }
    }
    assert_eq!(answers.len(), 3 * key.items.len());
    answers
}

/// Makes a study, lets it be read, and scores it.
fn run(sources: &[Source], options: &MakeOptions) -> (Made, Scores) {
    let made = make(sources, options).unwrap();
    let (study, study_sha256, readers) = read_study(&options.out).unwrap();
    assert_eq!(study_sha256, made.study_sha256);
    let key = read_key(&options.key).unwrap();
    let right = |item: &str| match (options.kind, key.items[item].synthetic) {
        (Kind::OrganRecognition, _) => key.items[item].organ.clone(),
        (Kind::VisualTuring, true) => "synthetic".to_string(),
        (Kind::VisualTuring, false) => "real".to_string(),
    };
    let answers = answers(&readers, &key, &study.choices, right);
    let scores = score(&study, &study_sha256, &readers, &key, &answers).unwrap();
    write(&scores);
    (made, scores)
}

/// Writes the page to where `DIFFTUMOR_STUDY_PAGES` says, for a look at it.
fn write(scores: &Scores) {
    assert!(csv(scores).lines().count() > 4);
    if let Some(folder) = std::env::var_os("DIFFTUMOR_STUDY_PAGES") {
        let path = PathBuf::from(folder).join(format!("{:?}.html", scores.kind));
        std::fs::write(path, html(scores, "Scores")).unwrap();
    }
}

fn sources(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    for organ in ["kidney", "liver", "pancreas"] {
        for i in 0..8 {
            let case = format!("{organ}{i}");
            sources.push(source(folder, &case, organ, i % 2 == 1, 4.0 + (i / 2) as f64));
        }
    }
    sources
}

#[test]
fn who_knows_is_right_and_who_guesses_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (made, scores) = run(&sources(dir.path()), &options(dir.path(), Kind::VisualTuring));
    assert_eq!((made.items, made.repeats, scores.tumors, scores.repeats), (24, 6, 24, 6));
    let all = |reader: usize| {
        let row = scores.readers[reader].turing.last().unwrap();
        assert_eq!(row.organ, None);
        [row.sensitivity.share, row.specificity.share, row.accuracy.share]
    };
    assert_eq!(all(0), [Some(1.0); 3]);
    assert_eq!(all(1), [Some(1.0), Some(0.0), Some(0.5)]); // real is the first choice
    assert_eq!(all(2), [Some(0.0); 3]);
    assert_eq!(all(3), [None; 3]);
    // 2 * 0.5^24.
    assert!((scores.readers[0].turing[3].p_value.unwrap() * 2.0_f64.powi(23) - 1.0).abs() < 1e-9);
    assert_eq!(scores.readers[1].turing[3].p_value, Some(1.0));
    assert!(scores.readers[..3].iter().all(|reader| reader.again.equal.share == Some(1.0)));
    // Who knows and who is always wrong never agree.
    let opposite =
        scores.agreement.pairs.iter().find(|pair| pair.readers == ["knows", "is always wrong"]).unwrap();
    assert!((opposite.cohen.unwrap().kappa.unwrap() + 1.0).abs() < 1e-12);
    assert_eq!(scores.readers[0].times.all.total_s, (1..=30).sum::<u32>() as f64);
}

#[test]
fn organs_are_recognised_by_who_knows() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), Kind::OrganRecognition);
    options.items = 13; // not a multiple of three organs
    let (made, scores) = run(&sources(dir.path()), &options);
    assert_eq!((made.items, made.repeats), (12, 3));
    let accuracy = |reader: usize| scores.readers[reader].confusion.as_ref().unwrap().accuracy.share;
    assert_eq!([0, 1, 2, 3].map(accuracy), [Some(1.0), Some(1.0 / 3.0), Some(0.0), None]);
    let pooled = scores.pooled.unwrap();
    assert_eq!((pooled.accuracy.part, pooled.accuracy.whole), (16, 36));
    // One says kidney of all, one of what is no kidney, one of kidneys.
    assert_eq!(pooled.counts.iter().map(|row| row[0]).collect::<Vec<_>>(), [8, 8, 8]);
}

#[test]
fn a_key_opens_its_own_study_alone() {
    let dir = tempfile::tempdir().unwrap();
    let sources = sources(dir.path());
    let first = options(dir.path(), Kind::VisualTuring);
    make(&sources, &first).unwrap();
    let other = MakeOptions {
        seed: 4,
        out: dir.path().join("other"),
        key: dir.path().join("other_key.json"),
        links: dir.path().join("other_links.json"),
        ..first.clone()
    };
    make(&sources, &other).unwrap();
    let (study, study_sha256, readers) = read_study(&first.out).unwrap();
    let key = read_key(&other.key).unwrap();
    let error = score(&study, &study_sha256, &readers, &key, &[]).unwrap_err().to_string();
    assert!(error.contains(&study_sha256) && error.contains(&key.study_sha256), "{error}");
}
