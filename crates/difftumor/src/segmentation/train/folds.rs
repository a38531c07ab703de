//! Cross-validation: which cases each fold learns from and is measured on (paper 4.2: five folds; spec/segmentation.md section 4).
//!
//! ```text
//! OUT/
//!   splits_final.json   the folds, as nnU-Net reads them
//!   fold-0/, fold-1/, … a Run each, trained as any other and resumable on its own
//!   folds.json          the validation of each fold that is done, and their mean
//! ```
//!
//! Healthy cases that no fold names are trained on in every fold, as published (all healthy scans, and the fold's real ones), but for
//! those of a patient that it is measured on.
use super::scans::LabelledCase;
use super::{SegmentationData, SegmentationTraining, train};
use crate::dataset::CaseSource;
use crate::dataset::patients::{Origin, origins};
use crate::dataset::splits::{SPLITS, Splits};
use crate::error::{Error, Result};
use crate::run::{MANIFEST, Run};
use crate::synthesis::Generator;
use crate::train::log::Progress;
use crate::train::{TrainingPlace, require};
use difftumor_ct::io::write_atomically;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Cases that a message names at most.
const NAMED: usize = 5;

/// The cases of all folds.
pub struct FoldData {
    /// Annotated cases, and healthy ones.
    pub cases: Vec<LabelledCase>,
    /// How they are dealt.
    pub dealt: Dealt,
    /// Opens what paints tumors into healthy crops, for each fold.
    pub generator: Box<dyn Fn() -> Result<Option<Generator>>>,
    /// The folds to train; all if empty.
    pub only: Vec<usize>,
}

/// How cases become folds.
pub enum Dealt {
    /// Anew, by the training's seed.
    Into(usize),
    /// As somebody has dealt them.
    As(Splits),
}

/// The cases of one fold.
#[derive(Debug)]
struct Plan {
    train: Vec<LabelledCase>,
    validation: Vec<LabelledCase>,
    /// Healthy cases of patients that it is measured on.
    left_out: Vec<String>,
}

/// What `folds.json` says of a fold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoldScore {
    /// From 0.
    pub fold: usize,
    /// Cases that it is measured on.
    pub validation_cases: usize,
    /// Steps made, and the tumors' DSC after the last one.
    pub last: Option<(u64, f64)>,
    /// The same of the best step.
    pub best: Option<(u64, f64)>,
}

/// What `folds.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoldScores {
    /// Every fold.
    pub folds: Vec<FoldScore>,
    /// Mean and standard deviation of the tumors' DSC after the last step, over the folds that are done; the deviation needs
    /// two.
    pub tumor_dsc: Option<(f64, Option<f64>)>,
}

/// Trains the folds one after the other, each in its Run `OUT/fold-N` with `place.run` as `OUT`. With `place.resume`, folds that are
/// done are kept, begun ones gone on with, and the others started. `watch` sees fold and step.
///
/// # Errors
/// When folds and cases do not fit, a patient would be trained and measured on, or as [`train`].
pub fn cross_validate(
    place: &TrainingPlace,
    settings: &SegmentationTraining,
    data: FoldData,
    watch: &dyn Fn(usize, &Progress),
) -> Result<FoldScores> {
    settings.check()?;
    let sources: Vec<CaseSource> = data.cases.iter().map(|c| c.source.clone()).collect();
    let origins = origins(&sources);
    let mut cases = data.cases;
    // Each fold's training asks again whose its cases are; told here, it need not hash their scans for it.
    for (case, origin) in cases.iter_mut().zip(&origins) {
        case.source.patient = Some(origin.patient.clone());
    }
    let splits = match data.dealt {
        Dealt::As(splits) => splits,
        Dealt::Into(folds) => deal(&cases, &origins, folds, settings.seed)?,
    };
    let plans = plan(&cases, &origins, &splits)?;
    let number = plans.len();
    let wanted: Vec<usize> = if data.only.is_empty() { (0..number).collect() } else { data.only };
    if let Some(unknown) = wanted.iter().find(|n| **n >= number) {
        require(false, "fold", &format!("0 to {}", number - 1), unknown.to_string())?;
    }
    std::fs::create_dir_all(&place.run).map_err(Error::io(&place.run, "create"))?;
    splits.write_or_compare(&place.run.join(SPLITS))?;
    let measured: Vec<usize> = plans.iter().map(|p| p.validation.len()).collect();
    for (n, plan) in plans.into_iter().enumerate().filter(|(n, _)| wanted.contains(n)) {
        // A fold that is done makes no step more, but its settings are compared with these.
        let place = TrainingPlace { run: fold_dir(&place.run, n), ..place.clone() };
        if !plan.left_out.is_empty() {
            tracing::info!("fold {n} is measured on patients of {}: not trained on", named(&plan.left_out));
        }
        let Plan { train: cases, validation, .. } = plan;
        let data = SegmentationData { cases, validation, generator: (data.generator)()? };
        train(&place, settings, data, &|p| watch(n, p))?;
    }
    let scores = scores(&place.run, &measured)?;
    let json = serde_json::to_string_pretty(&scores).expect("scores are numbers");
    write_atomically(&place.run.join("folds.json"), |file| writeln!(file, "{json}"))?;
    Ok(scores)
}

fn fold_dir(out: &Path, fold: usize) -> PathBuf {
    out.join(format!("fold-{fold}"))
}

/// Folds of the annotated cases alone.
fn deal(cases: &[LabelledCase], origins: &[Origin], folds: usize, seed: u64) -> Result<Splits> {
    let annotated = cases.iter().zip(origins).filter(|(c, _)| !c.healthy);
    let (cases, origins): (Vec<CaseSource>, Vec<Origin>) =
        annotated.map(|(c, o)| (c.source.clone(), o.clone())).unzip();
    Splits::make(&cases, &origins, folds, seed)
}

/// The cases of each fold.
///
/// # Errors
/// When a fold names a case that is not there, measures on a healthy one, or trains on a patient that it measures on.
fn plan(cases: &[LabelledCase], origins: &[Origin], splits: &Splits) -> Result<Vec<Plan>> {
    let mut by_id: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, case) in cases.iter().enumerate() {
        let twice = by_id.insert(&case.source.id, i).is_some();
        require(!twice, "ids of all tables", "each once", format!("'{}' again", case.source.id))?;
    }
    let in_folds: BTreeSet<&String> = splits.0.iter().flat_map(|f| f.train.iter().chain(&f.val)).collect();
    let unused: Vec<String> = cases
        .iter()
        .filter(|c| !c.healthy && !in_folds.contains(&c.source.id))
        .map(|c| c.source.id.clone())
        .collect();
    if !unused.is_empty() {
        tracing::warn!("no fold names {}: not used", named(&unused));
    }
    let find = |n: usize, ids: &[String]| -> Result<Vec<usize>> {
        let unknown: Vec<String> =
            ids.iter().filter(|id| !by_id.contains_key(id.as_str())).cloned().collect();
        let what = format!("cases of fold {n}");
        require(unknown.is_empty(), &what, "ids of --cases and --healthy", named(&unknown))?;
        Ok(ids.iter().map(|id| by_id[id.as_str()]).collect())
    };
    let one = |(n, fold): (usize, &crate::dataset::splits::Fold)| -> Result<Plan> {
        let (train, val) = (find(n, &fold.train)?, find(n, &fold.val)?);
        let healthy = val.iter().find(|i| cases[**i].healthy);
        let found = healthy.map(|i| cases[*i].source.id.clone()).unwrap_or_default();
        require(healthy.is_none(), &format!("val of fold {n}"), "annotated cases", found)?;
        let patients: BTreeSet<&str> = val.iter().map(|i| origins[*i].patient.as_str()).collect();
        let measured = |i: &usize| patients.contains(origins[*i].patient.as_str());
        let leak = train.iter().find(|i| measured(i));
        require(
            leak.is_none(),
            &format!("train of fold {n}"),
            "no patient whom the fold is measured on, and no synthetic copy of one",
            leak.map(|i| format!("'{}' of patient '{}'", cases[*i].source.id, origins[*i].patient))
                .unwrap_or_default(),
        )?;
        let others =
            (0..cases.len()).filter(|i| cases[*i].healthy && !in_folds.contains(&cases[*i].source.id));
        let (left_out, others): (Vec<usize>, Vec<usize>) = others.partition(|i| measured(i));
        let mut train: Vec<usize> = train.into_iter().chain(others).collect();
        train.sort_unstable();
        let of = |numbers: &[usize]| numbers.iter().map(|i| cases[*i].clone()).collect();
        Ok(Plan {
            train: of(&train),
            validation: of(&val),
            left_out: left_out.iter().map(|i| cases[*i].source.id.clone()).collect(),
        })
    };
    splits.0.iter().enumerate().map(one).collect()
}

fn named(ids: &[String]) -> String {
    let shown = ids.iter().take(NAMED).map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The validations of the folds whose Runs are there.
fn scores(out: &Path, measured: &[usize]) -> Result<FoldScores> {
    let score = |dir: PathBuf| -> Result<Option<(u64, f64)>> {
        if !dir.join(MANIFEST).exists() {
            return Ok(None);
        }
        let run = Run::open(dir)?;
        let training = run.manifest().training.as_ref();
        Ok(training.and_then(|t| Some((t.step, t.validation.as_ref()?.1))))
    };
    let one = |(fold, validation_cases): (usize, &usize)| -> Result<FoldScore> {
        let dir = fold_dir(out, fold);
        Ok(FoldScore {
            fold,
            validation_cases: *validation_cases,
            best: score(dir.join("best"))?,
            last: score(dir)?,
        })
    };
    let folds = measured.iter().enumerate().map(one).collect::<Result<Vec<_>>>()?;
    let done: Vec<f64> = folds.iter().filter_map(|f| f.last).map(|(_, dsc)| dsc).collect();
    let n = done.len() as f64;
    let mean = done.iter().sum::<f64>() / n;
    let spread = (done.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let tumor_dsc = (!done.is_empty()).then_some((mean, (done.len() > 1).then_some(spread)));
    Ok(FoldScores { folds, tumor_dsc })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::splits::Fold;

    /// Annotated a, b, c and a copy of a; healthy h and another scan of b.
    fn cases() -> (Vec<LabelledCase>, Vec<Origin>) {
        let all = [
            ("a", "a", false, false),
            ("b", "b", false, false),
            ("c", "c", false, false),
            ("a_copy", "a", true, false),
            ("h", "h", false, true),
            ("b_before", "b", false, true),
        ];
        let case = |(id, patient, synthetic, healthy): (&str, &str, bool, bool)| {
            let source =
                CaseSource { id: id.into(), ct: id.into(), labels: id.into(), patient: Some(patient.into()) };
            let organ = "liver=1:tumor=2".parse().unwrap();
            let case = LabelledCase { source, organ, healthy, other_labels: false };
            (case, Origin { patient: patient.into(), synthetic })
        };
        all.into_iter().map(case).unzip()
    }

    fn fold(train: &[&str], val: &[&str]) -> Fold {
        let of = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
        Fold { train: of(train), val: of(val) }
    }

    fn ids(cases: &[LabelledCase]) -> Vec<&str> {
        cases.iter().map(|c| c.source.id.as_str()).collect()
    }

    #[test]
    fn healthy_scans_join_each_fold_but_for_its_patients() {
        let (cases, origins) = cases();
        let splits = Splits(vec![fold(&["a", "a_copy", "c"], &["b"]), fold(&["b"], &["a", "c"])]);
        let plans = plan(&cases, &origins, &splits).unwrap();
        assert_eq!(ids(&plans[0].train), ["a", "c", "a_copy", "h"]);
        assert_eq!((ids(&plans[0].validation), plans[0].left_out.len()), (vec!["b"], 1));
        assert_eq!(ids(&plans[1].train), ["b", "h", "b_before"]);
        assert!(plans[1].left_out.is_empty());
    }

    #[test]
    fn folds_that_leak_or_name_others_are_refused() {
        let (cases, origins) = cases();
        for (bad, told) in [
            (fold(&["a_copy", "b"], &["a"]), "'a_copy' of patient 'a'"),
            (fold(&["b_before", "a"], &["b"]), "'b_before' of patient 'b'"),
            (fold(&["a", "x", "y"], &["b"]), "found 'x', 'y'"),
            (fold(&["a"], &["h"]), "val of fold 0: expected annotated cases, found h"),
        ] {
            let error = plan(&cases, &origins, &Splits(vec![bad])).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let (mut twice, origins) = (cases.clone(), origins);
        twice[4].source.id = "a".into();
        let error = plan(&twice, &origins, &Splits(vec![fold(&["b"], &["c"])])).unwrap_err().to_string();
        assert!(error.contains("'a' again"), "{error}");
    }

    #[test]
    fn folds_are_dealt_from_the_annotated_cases() {
        let (cases, origins) = cases();
        let splits = deal(&cases, &origins, 3, 0).unwrap();
        let all: BTreeSet<&String> = splits.0.iter().flat_map(|f| f.train.iter().chain(&f.val)).collect();
        assert_eq!(all.into_iter().collect::<Vec<_>>(), ["a", "a_copy", "b", "c"]);
        plan(&cases, &origins, &splits).unwrap();
    }
}
