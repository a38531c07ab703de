//! Can classifiers tell the organs of tumors apart by their features? The paper's experiment (section 2 (2), Fig. 2(a)): SVM,
//! random forest and AdaBoost, ten times on a random split, precision and recall in training and test.
//!
//! The paper tells neither the share of the test nor whether a patient's tumors stay together. Here they do, and 30 % are for
//! the test. Features are standardised by the training rows alone.
use super::classify::Classifier;
use super::scores::{Confusion, MeanSd, Scores};
pub use super::split::Split;
use super::split::{Patient, patients, split};
use super::standardise::Standardiser;
use super::table::{FeatureTable, Tumor, argument};
use crate::draws::{Draws, Stream};
use crate::error::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};

/// How the experiment is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimilarityOptions {
    /// Number of random splits; the paper's 10.
    pub repeats: usize,
    /// Share of the patients of each group that are tested on.
    pub test_share: f64,
    /// What is fitted; the paper's three.
    pub classifiers: Vec<Classifier>,
    /// All draws follow from it.
    pub seed: u64,
}

impl Default for SimilarityOptions {
    fn default() -> Self {
        Self { repeats: 10, test_share: 0.3, classifiers: Classifier::all().to_vec(), seed: 0 }
    }
}

/// Of all tumors, and of those of each stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Similarity {
    /// How it was made.
    pub options: SimilarityOptions,
    /// All tumors.
    pub all: Experiment,
    /// Tumors of each stage on their own, sorted by name; none when the table has no stages.
    pub stages: Vec<Stage>,
}

/// The experiment on the tumors of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Name of the stage.
    pub stage: String,
    /// What came out.
    pub outcome: Outcome,
}

/// Of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was made.
    Made(Experiment),
    /// It could not be made; why.
    Impossible(String),
}

/// One experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Who took part, in the order of the confusion's rows and columns.
    pub groups: Vec<Group>,
    /// Number of features.
    pub features: usize,
    /// Features that did not differ between the training tumors of at least one split, and were left out there.
    pub constant: Vec<String>,
    /// What guessing comes to.
    pub chance: Chance,
    /// In the order of the options.
    pub classifiers: Vec<Outcomes>,
}

/// Tumors to be told from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Number of tumors.
    pub tumors: usize,
    /// Number of patients with such a tumor.
    pub patients: usize,
}

/// Expected scores of someone who does not look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Chance {
    /// Macro precision and macro recall when every group is named equally often: 1 / groups.
    pub macro_score: f64,
    /// Accuracy when always the largest group is named.
    pub majority_accuracy: f64,
}

/// What one classifier came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Its name.
    pub name: String,
    /// On the tumors that it learnt from.
    pub train: Summary,
    /// On the others.
    pub test: Summary,
    /// Of the tests of all repeats together.
    pub confusion: Confusion,
    /// Test scores of each repeat.
    pub repeats: Vec<Scores>,
}

/// Mean and standard deviation over repeats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Of [`Scores::accuracy`].
    pub accuracy: MeanSd,
    /// Of [`Scores::precision`].
    pub precision: MeanSd,
    /// Of [`Scores::recall`].
    pub recall: MeanSd,
}

impl Similarity {
    /// Tries to tell the groups of `table` apart: all tumors, and then those of each stage.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] when there are fewer than two groups, a group has fewer than two patients, all features are
    /// constant, or an option is out of its range. A stage that is too small for it says so in [`Outcome::Impossible`].
    pub fn of(table: &FeatureTable, options: &SimilarityOptions) -> Result<Self> {
        check(options)?;
        let all = Experiment::of(table, options)?;
        let of_stage = |stage: String| {
            let tumors = table.filter(|t| t.stage.as_ref() == Some(&stage)).expect("a stage has a tumor");
            let outcome = Experiment::of(&tumors, options)
                .map_or_else(|error| Outcome::Impossible(error.to_string()), Outcome::Made);
            Stage { stage, outcome }
        };
        Ok(Self { options: options.clone(), all, stages: table.stages().into_iter().map(of_stage).collect() })
    }
}

fn check(options: &SimilarityOptions) -> Result<()> {
    if options.repeats == 0 || options.classifiers.is_empty() {
        let found = format!("{}, {}", options.repeats, options.classifiers.len());
        return Err(argument("repeats and classifiers", "at least one of each", found));
    }
    if !(options.test_share > 0.0 && options.test_share < 1.0) {
        return Err(argument("share of the test", "between 0 and 1", options.test_share.to_string()));
    }
    Ok(())
}

/// Of one repeat and one classifier.
struct Run {
    train: Confusion,
    test: Confusion,
    constant: Vec<usize>,
}

/// What is to be told apart, and on which splits: the same for everything that is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Names of the groups, sorted.
    pub names: Vec<String>,
    /// Index of each tumor's group.
    pub classes: Vec<usize>,
    /// One for each repeat.
    pub splits: Vec<Split>,
}

impl Question {
    /// Draws the splits.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] when there are fewer than two groups, a group has fewer than two patients, or an option is out of
    /// its range.
    pub fn of(tumors: &[Tumor], options: &SimilarityOptions) -> Result<Self> {
        check(options)?;
        let names: BTreeSet<&String> = tumors.iter().map(|t| &t.group).collect();
        let names: Vec<String> = names.into_iter().cloned().collect();
        if names.len() < 2 {
            let found = names.first().map_or("none".into(), |name| format!("only '{name}'"));
            return Err(argument("groups to tell apart", "at least two", found));
        }
        let class = |group: &String| names.binary_search(group).expect("a group of the table");
        let classes: Vec<usize> = tumors.iter().map(|t| class(&t.group)).collect();
        let patients = patients(tumors, &classes);
        let splits = (0..options.repeats).map(|r| draw_split(&patients, &names, options, r));
        Ok(Self { splits: splits.collect::<Result<_>>()?, names, classes })
    }
}

impl Experiment {
    /// The frame of an experiment whose classifiers are to be filled in.
    fn frame(tumors: &[Tumor], names: &[String]) -> Self {
        let groups: Vec<Group> = names.iter().map(|name| Group::of(tumors, name)).collect();
        let largest = groups.iter().map(|g| g.tumors).max().expect("two groups");
        Self {
            features: 0,
            constant: vec![],
            chance: Chance {
                macro_score: 1.0 / names.len() as f64,
                majority_accuracy: largest as f64 / tumors.len() as f64,
            },
            classifiers: vec![],
            groups,
        }
    }

    /// An experiment made elsewhere, on something else than features: `outcomes` of classifiers on the splits of a [`Question`].
    pub fn made(tumors: &[Tumor], question: &Question, outcomes: Vec<Outcomes>) -> Self {
        Self { classifiers: outcomes, ..Self::frame(tumors, &question.names) }
    }

    fn of(table: &FeatureTable, options: &SimilarityOptions) -> Result<Self> {
        let Question { names, classes, splits } = Question::of(table.tumors(), options)?;
        let jobs: Vec<(&Classifier, usize)> =
            options.classifiers.iter().flat_map(|c| (0..options.repeats).map(move |r| (c, r))).collect();
        let runs: Result<Vec<Run>> = (jobs.into_par_iter())
            .map(|(classifier, r)| {
                run(table, &classes, names.len(), &splits[r], classifier, seed_of(options, r))
            })
            .collect();
        let runs = runs?;
        let constant: BTreeSet<usize> = runs.iter().flat_map(|run| run.constant.iter().copied()).collect();
        let summaries = options.classifiers.iter().zip(runs.chunks(options.repeats));
        let outcomes = |(classifier, runs): (&Classifier, &[Run])| {
            let confusions: Vec<_> = runs.iter().map(|run| (run.train.clone(), run.test.clone())).collect();
            Outcomes::of(classifier.name(), &confusions)
        };
        Ok(Self {
            features: table.columns().len(),
            constant: constant.into_iter().map(|c| table.columns()[c].clone()).collect(),
            classifiers: summaries.map(outcomes).collect(),
            ..Self::frame(table.tumors(), &names)
        })
    }
}

/// The split of repeat `repeat`: the same for all classifiers.
fn draw_split(
    patients: &[Patient],
    names: &[String],
    options: &SimilarityOptions,
    repeat: usize,
) -> Result<Split> {
    let mut draws = Stream::new(options.seed, 0, "analysis/similarity/split", repeat as u64);
    split(patients, names, options.test_share, &mut draws)
}

fn seed_of(options: &SimilarityOptions, repeat: usize) -> u64 {
    Stream::new(options.seed, 0, "analysis/similarity/fit", repeat as u64).integer(0, i64::MAX - 1) as u64
}

fn run(
    table: &FeatureTable,
    classes: &[usize],
    number: usize,
    split: &Split,
    classifier: &Classifier,
    seed: u64,
) -> Result<Run> {
    let standardiser = Standardiser::fit(table.values(), &split.train)?;
    let [train, test] = [&split.train, &split.test].map(|rows| {
        let truth: Vec<usize> = rows.iter().map(|r| classes[*r]).collect();
        (standardiser.transform(table.values(), rows), truth)
    });
    let model = classifier.fit(train.0.view(), &train.1, number, seed)?;
    let [train, test] =
        [train, test].map(|(rows, truth)| Confusion::of(&truth, &model.predict(rows.view()), number));
    Ok(Run { train, test, constant: standardiser.constant().to_vec() })
}

impl Group {
    fn of(tumors: &[Tumor], name: &str) -> Self {
        let members = || tumors.iter().filter(|t| t.group == name);
        let patients: HashSet<&str> = members().map(|t| t.patient.as_str()).collect();
        Self { name: name.into(), tumors: members().count(), patients: patients.len() }
    }
}

impl Outcomes {
    /// Of a classifier's confusions in training and test, one pair for each repeat.
    ///
    /// # Panics
    /// When there are none.
    pub fn of(name: &str, repeats: &[(Confusion, Confusion)]) -> Self {
        let train: Vec<Scores> = repeats.iter().map(|(train, _)| train.scores()).collect();
        let test: Vec<Scores> = repeats.iter().map(|(_, test)| test.scores()).collect();
        Self {
            name: name.into(),
            train: Summary::of(&train),
            test: Summary::of(&test),
            confusion: Confusion::sum(repeats.iter().map(|(_, test)| test)),
            repeats: test,
        }
    }
}

impl Summary {
    fn of(scores: &[Scores]) -> Self {
        let of = |pick: fn(&Scores) -> f64| MeanSd::of(&scores.iter().map(pick).collect::<Vec<_>>());
        Self { accuracy: of(|s| s.accuracy), precision: of(|s| s.precision), recall: of(|s| s.recall) }
    }
}

#[cfg(test)]
mod tests;
