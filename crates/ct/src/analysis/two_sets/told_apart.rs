//! The classifier two-sample test (Lopez-Paz & Oquab 2017): whoever can tell the sets apart on tumors not seen before has found
//! a difference.
//!
//! The larger set is reduced by chance to the size of the smaller, so that guessing is right half the time. Patients are kept
//! together: in folds, in samples, and when they change sides.
use super::TwoSetsOptions;
use super::giveaway::Giveaways;
use super::pair::{Pair, by_patient};
use crate::analysis::classify::{Classifier, Model};
use crate::analysis::scores::concordance;
use crate::analysis::split::{Split, enough, folds, patients, shuffle};
use crate::analysis::standardise::Standardiser;
use crate::analysis::table::{FeatureTable, Tumor};
use crate::draws::{Draws, Stream};
use crate::error::Result;
use crate::metrics::bootstrap::quantile;
use crate::metrics::interval::{CONFIDENCE, Interval};
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Class of synthetic tumors, to be found; real ones are 0.
pub(super) const SYNTHETIC: usize = 1;

/// How well a classifier tells synthetic from real tumors that it has not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Discriminator {
    /// Its name.
    pub name: String,
    /// Number of tumors of each set.
    pub tumors: usize,
    /// Share of tumors that were told right; 0.5 by guessing.
    pub accuracy: f64,
    /// 95 % limits by resampling patients.
    pub accuracy_interval: Interval,
    /// Share of pairs of a synthetic and a real tumor of the same fold of which the synthetic one looked more so; 0.5 by guessing.
    pub auc: f64,
    /// 95 % limits by resampling patients.
    pub auc_interval: Interval,
    /// Share of random changes of sides, of whole patients within their fold, that lead to this area or a larger one; never below
    /// 1 / (permutations + 1).
    pub p_value: f64,
}

/// What is told apart: as many tumors of each set.
pub(super) struct Question {
    /// `[tumors, features]`
    pub values: Array2<f64>,
    pub classes: Vec<usize>,
    pub folds: Vec<Split>,
    /// A number for each patient and set.
    blocks: Vec<usize>,
}

/// A fold's model and the tumors that it has not seen.
pub(super) struct Fold {
    pub model: Model,
    /// `[tumors, features]`, standardised by what was learnt from.
    pub rows: Array2<f64>,
    pub synthetic: Vec<bool>,
    blocks: Vec<usize>,
}

/// Every classifier of the options, and what gives the synthetic tumors away to the first.
pub(super) fn discriminate(pair: &Pair, options: &TwoSetsOptions) -> Result<(Vec<Discriminator>, Giveaways)> {
    let question = Question::of(pair, options)?;
    let fitted: Result<Vec<Vec<Fold>>> =
        options.classifiers.iter().map(|classifier| question.fit(classifier, options.seed)).collect();
    let fitted = fitted?;
    let named = options.classifiers.iter().zip(&fitted);
    let discriminators = named.map(|(c, folds)| Discriminator::of(c.name(), folds, options)).collect();
    Ok((discriminators, Giveaways::of(pair, &question, &fitted[0], options)))
}

impl Question {
    fn of(pair: &Pair, options: &TwoSetsOptions) -> Result<Self> {
        let mut draws = Stream::new(options.seed, 0, "analysis/told-apart", 0);
        let real = pair.real.tumors().len();
        let synthetic = pair.synthetic.tumors().len();
        let number = real.min(synthetic);
        let mut rows = sample(&pair.real, number, options.folds, "real", &mut draws)?;
        let others = sample(&pair.synthetic, number, options.folds, "synthetic", &mut draws)?;
        rows.extend(others.into_iter().map(|row| row + real));
        let tumors: Vec<&Tumor> = pair.real.tumors().iter().chain(pair.synthetic.tumors()).collect();
        let tumors: Vec<&Tumor> = rows.iter().map(|r| tumors[*r]).collect();
        let classes: Vec<usize> = rows.iter().map(|r| usize::from(*r >= real)).collect();
        let patients = patients(tumors.iter().copied(), &classes);
        let mut numbers = BTreeMap::new();
        let mut block = |(tumor, class): (&&Tumor, &usize)| {
            let next = numbers.len();
            *numbers.entry((tumor.patient.clone(), *class)).or_insert(next)
        };
        Ok(Self {
            values: pair.all_z().select(Axis(0), &rows),
            folds: folds(&patients, ["real", "synthetic"], options.folds, &mut draws)?,
            blocks: tumors.iter().zip(&classes).map(&mut block).collect(),
            classes,
        })
    }

    fn fit(&self, classifier: &Classifier, seed: u64) -> Result<Vec<Fold>> {
        let fit = |(number, split): (usize, &Split)| {
            let standardiser = Standardiser::fit(self.values.view(), &split.train)?;
            // Columns that are constant where it is learnt stay in their places, as 0, which no model goes by.
            let scores = |rows: &[usize]| {
                let mut all = Array2::zeros((rows.len(), self.values.ncols()));
                let kept = standardiser.transform(self.values.view(), rows);
                for (from, to) in standardiser.kept().iter().enumerate() {
                    all.column_mut(*to).assign(&kept.column(from));
                }
                all
            };
            let classes: Vec<usize> = split.train.iter().map(|r| self.classes[*r]).collect();
            let seed =
                Stream::new(seed, 0, "analysis/told-apart/fit", number as u64).integer(0, i64::MAX - 1);
            Ok(Fold {
                model: classifier.fit(scores(&split.train).view(), &classes, 2, seed as u64)?,
                rows: scores(&split.test),
                synthetic: split.test.iter().map(|r| self.classes[*r] == SYNTHETIC).collect(),
                blocks: split.test.iter().map(|r| self.blocks[*r]).collect(),
            })
        };
        (self.folds.par_iter().enumerate()).map(fit).collect()
    }
}

/// `number` rows of a table: one of each patient, then another of each that has more, and so on, so that as many patients as
/// can be take part.
fn sample(
    table: &FeatureTable,
    number: usize,
    folds: usize,
    name: &str,
    draws: &mut impl Draws,
) -> Result<Vec<usize>> {
    let mut patients = by_patient(table);
    enough(patients.len(), folds, name, "")?;
    shuffle(&mut patients, draws);
    patients.iter_mut().for_each(|rows| shuffle(rows, draws));
    let most = patients.iter().map(Vec::len).max().expect("a patient");
    let turns = (0..most).flat_map(|turn| patients.iter().filter_map(move |rows| rows.get(turn).copied()));
    let mut rows: Vec<usize> = turns.take(number).collect();
    rows.sort_unstable();
    Ok(rows)
}

impl Fold {
    /// How synthetic each of the `rows` looks.
    pub fn looks(&self, rows: &Array2<f64>) -> Vec<f64> {
        self.model.scores(rows.view()).column(SYNTHETIC).to_vec()
    }

    /// Concordant pairs and all pairs, for these looks.
    pub fn concordance(&self, looks: &[f64]) -> (f64, f64) {
        let scored: Vec<(f64, bool)> = looks.iter().copied().zip(self.synthetic.iter().copied()).collect();
        concordance(&scored, &vec![1.0; looks.len()])
    }
}

/// The area under the curve of folds together: pairs are of one fold, as models of several cannot be compared.
pub(super) fn area(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    let (concordant, all) = pairs.into_iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
    (all > 0.0).then(|| concordant / all)
}

/// A fold's tumors: how synthetic they look, whether they are, whether that was told, and their blocks.
struct Seen {
    scored: Vec<(f64, bool)>,
    right: Vec<bool>,
    blocks: Vec<usize>,
}

impl Discriminator {
    fn of(name: &str, folds: &[Fold], options: &TwoSetsOptions) -> Self {
        let seen: Vec<Seen> = folds.iter().map(Seen::of).collect();
        let ones = |s: &Seen| vec![1.0; s.right.len()];
        let tumors: usize = seen.iter().map(|s| s.right.len()).sum();
        let auc =
            area(seen.iter().map(|s| concordance(&s.scored, &ones(s)))).expect("both sets in every fold");
        let sample = |number: usize| {
            let draws = &mut Stream::new(options.seed, 0, "analysis/told-apart/bootstrap", number as u64);
            let weights: Vec<Vec<f64>> = seen.iter().map(|s| s.resample(draws)).collect();
            let area = area(seen.iter().zip(&weights).map(|(s, w)| concordance(&s.scored, w)));
            (accuracy(&seen, &weights), area)
        };
        let samples: Vec<(f64, Option<f64>)> =
            (0..options.bootstrap_samples).into_par_iter().map(sample).collect();
        let changed = |number: usize| {
            let draws = &mut Stream::new(options.seed, 0, "analysis/told-apart/sides", number as u64);
            area(seen.iter().map(|s| concordance(&s.change_sides(draws), &ones(s))))
        };
        let as_large = (0..options.permutations)
            .into_par_iter()
            .filter(|number| changed(*number).is_none_or(|other| other >= auc - 1e-12))
            .count();
        Self {
            name: name.into(),
            tumors: tumors / 2,
            accuracy: accuracy(&seen, &seen.iter().map(ones).collect::<Vec<_>>()),
            accuracy_interval: interval(samples.iter().map(|s| s.0)),
            auc,
            auc_interval: interval(samples.iter().filter_map(|s| s.1)),
            p_value: (1 + as_large) as f64 / (1 + options.permutations) as f64,
        }
    }
}

impl Seen {
    fn of(fold: &Fold) -> Self {
        let told = fold.model.predict(fold.rows.view());
        Self {
            scored: fold.looks(&fold.rows).into_iter().zip(fold.synthetic.iter().copied()).collect(),
            right: told.iter().zip(&fold.synthetic).map(|(t, s)| (*t == SYNTHETIC) == *s).collect(),
            blocks: fold.blocks.clone(),
        }
    }

    /// The blocks of the fold, ascending.
    fn distinct(&self) -> Vec<usize> {
        let mut distinct = self.blocks.clone();
        distinct.sort_unstable();
        distinct.dedup();
        distinct
    }

    /// How often each tumor is in a sample of patients.
    fn resample(&self, draws: &mut impl Draws) -> Vec<f64> {
        let distinct = self.distinct();
        let mut counts = vec![0.0; distinct.len()];
        distinct.iter().for_each(|_| counts[draws.index(distinct.len())] += 1.0);
        self.blocks.iter().map(|b| counts[distinct.binary_search(b).expect("a block of the fold")]).collect()
    }

    /// The scores with patients' sides shuffled.
    fn change_sides(&self, draws: &mut impl Draws) -> Vec<(f64, bool)> {
        let distinct = self.distinct();
        let side = |b: &usize| self.scored[self.blocks.iter().position(|o| o == b).expect("it is there")].1;
        let mut sides: Vec<bool> = distinct.iter().map(side).collect();
        shuffle(&mut sides, draws);
        let place = |b: &usize| distinct.binary_search(b).expect("a block of the fold");
        self.scored.iter().zip(&self.blocks).map(|((score, _), b)| (*score, sides[place(b)])).collect()
    }
}

/// Share of weights that were told right.
fn accuracy(seen: &[Seen], weights: &[Vec<f64>]) -> f64 {
    let pairs = || seen.iter().zip(weights).flat_map(|(s, w)| s.right.iter().zip(w));
    let right: f64 = pairs().filter(|(right, _)| **right).map(|(_, w)| w).sum();
    right / pairs().map(|(_, w)| w).sum::<f64>() + 0.0
}

/// Percentiles of samples.
fn interval(samples: impl Iterator<Item = f64>) -> Interval {
    let mut sorted: Vec<f64> = samples.collect();
    sorted.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Interval { low: quantile(&sorted, tail), high: quantile(&sorted, 1.0 - tail) }
}
