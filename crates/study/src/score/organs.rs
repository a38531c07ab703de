//! Organ recognition: which organ is the tumor in? (Paper 2 (1), Fig. 2.)
use super::share::{Share, binomial_p};
use super::{Read, place};
use serde::Serialize;

/// What was answered for tumors of each organ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confusion {
    /// The organs, in the order of rows and columns.
    pub organs: Vec<String>,
    /// `[true organ][answer]`.
    pub counts: Vec<Vec<usize>>,
    /// Of the tumors of each organ, those recognised.
    pub recall: Vec<Share>,
    /// Of the answers that name each organ, those that are right.
    pub precision: Vec<Share>,
    /// Of all, those recognised.
    pub accuracy: Share,
    /// Accuracy of guessing: one of the number of organs, as there are equally many tumors of each.
    pub chance: f64,
    /// Probability of an accuracy at least as far from chance by guessing ([`binomial_p`]); `None` when pooled.
    pub p_value: Option<f64>,
}

impl Confusion {
    /// Of one reader's answers.
    pub(super) fn of_reader(organs: &[String], reads: &[Read<'_>]) -> Self {
        let mut of = Self::new(organs, reads.iter(), Share::of);
        of.p_value = binomial_p(of.accuracy.part, of.accuracy.whole, of.chance);
        of
    }

    /// Of all readers' answers.
    pub(super) fn pooled(organs: &[String], reads: &[Vec<Read<'_>>]) -> Self {
        Self::new(organs, reads.iter().flatten(), Share::pooled)
    }

    fn new<'a>(
        organs: &[String],
        reads: impl Iterator<Item = &'a Read<'a>>,
        share: impl Fn(usize, usize) -> Share,
    ) -> Self {
        let k = organs.len();
        let mut counts = vec![vec![0; k]; k];
        reads.for_each(|read| counts[place(organs, read.truth)][place(organs, read.answer)] += 1);
        let row = |i: usize| counts[i].iter().sum();
        let column = |j: usize| counts.iter().map(|row| row[j]).sum();
        let right = (0..k).map(|i| counts[i][i]).sum();
        Self {
            organs: organs.to_vec(),
            recall: (0..k).map(|i| share(counts[i][i], row(i))).collect(),
            precision: (0..k).map(|j| share(counts[j][j], column(j))).collect(),
            accuracy: share(right, (0..k).map(row).sum()),
            chance: 1.0 / k as f64,
            p_value: None,
            counts,
        }
    }
}
