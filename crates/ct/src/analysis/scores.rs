//! How well classes were told: confusion, accuracy, macro precision and recall, and the area under the ROC curve.
use crate::error::Result;

/// Mean and standard deviation over repeats.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MeanSd {
    /// Mean.
    pub mean: f64,
    /// Standard deviation with n - 1; 0 for one value.
    pub sd: f64,
}

/// How often each class was taken for which.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Confusion {
    /// `[truth][prediction]`
    pub counts: Vec<Vec<usize>>,
}

/// Figures of one confusion.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scores {
    /// Share of tumors whose class was told.
    pub accuracy: f64,
    /// Mean over classes of the share that is right of those taken for the class; 0 for a class that nothing was taken for.
    pub precision: f64,
    /// Mean over classes of the share of the class that was told.
    pub recall: f64,
}

impl MeanSd {
    /// Of these values.
    ///
    /// # Panics
    /// When there are none.
    pub fn of(values: &[f64]) -> Self {
        assert!(!values.is_empty(), "mean of nothing");
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        Self { mean, sd: (squares / (n - 1.0).max(1.0)).sqrt() }
    }
}

impl Confusion {
    /// Counts pairs of classes below `classes`.
    ///
    /// # Panics
    /// When the lengths differ or a class is not below `classes`.
    pub fn of(truth: &[usize], predicted: &[usize], classes: usize) -> Self {
        assert_eq!(truth.len(), predicted.len(), "truth and prediction");
        let mut counts = vec![vec![0; classes]; classes];
        truth.iter().zip(predicted).for_each(|(t, p)| counts[*t][*p] += 1);
        Self { counts }
    }

    /// The sum of both.
    ///
    /// # Panics
    /// When there are none, or the numbers of classes differ.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let add = |mut sum: Self, other: &Self| {
            assert_eq!(sum.counts.len(), other.counts.len(), "classes");
            let cells = sum.counts.iter_mut().flatten().zip(other.counts.iter().flatten());
            cells.for_each(|(s, o)| *s += o);
            sum
        };
        let mut all = all.into_iter();
        let first = all.next().expect("at least one confusion").clone();
        all.fold(first, add)
    }

    /// Accuracy, macro precision and recall. Classes of which no tumor is there have no recall and are not in its mean.
    pub fn scores(&self) -> Scores {
        let classes = self.counts.len();
        let right: Vec<usize> = (0..classes).map(|c| self.counts[c][c]).collect();
        let truths: Vec<usize> = self.counts.iter().map(|row| row.iter().sum()).collect();
        let takens: Vec<usize> = (0..classes).map(|c| self.counts.iter().map(|row| row[c]).sum()).collect();
        let share = |c: usize, of: &[usize]| right[c] as f64 / of[c].max(1) as f64;
        let present: Vec<usize> = (0..classes).filter(|c| truths[*c] > 0).collect();
        let mean = |of: &[usize]| present.iter().map(|c| share(*c, of)).sum::<f64>() / present.len() as f64;
        Scores {
            accuracy: right.iter().sum::<usize>() as f64 / truths.iter().sum::<usize>() as f64,
            precision: mean(&takens),
            recall: mean(&truths),
        }
    }
}

/// Concordant pairs of positive and negative scores, ties half, and all pairs: their ratio is the area under the ROC curve.
/// Rows count as often as their weight says.
pub(super) fn concordance(scored: &[(f64, bool)], weights: &[f64]) -> (f64, f64) {
    let mut order: Vec<usize> = (0..scored.len()).collect();
    order.sort_by(|a, b| scored[*a].0.total_cmp(&scored[*b].0));
    let (mut below, mut positives, mut concordant) = (0.0, 0.0, 0.0);
    for tied in order.chunk_by(|a, b| scored[*a].0 == scored[*b].0) {
        let sum = |positive: bool| -> f64 {
            tied.iter().filter(|i| scored[**i].1 == positive).map(|i| weights[*i]).sum::<f64>() + 0.0
        };
        let (negative, positive) = (sum(false), sum(true));
        concordant += positive * (below + 0.5 * negative);
        below += negative;
        positives += positive;
    }
    (concordant, below * positives)
}

/// The area under the ROC curve: the probability that a positive has a higher score than a negative, ties half.
///
/// # Errors
/// [`crate::Error::Argument`] when there is no positive or no negative.
///
/// # Panics
/// When the lengths differ.
pub fn auc(scores: &[f64], positive: &[bool]) -> Result<f64> {
    assert_eq!(scores.len(), positive.len(), "scores and classes");
    let scored: Vec<(f64, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    let (concordant, pairs) = concordance(&scored, &vec![1.0; scores.len()]);
    if pairs == 0.0 {
        let found = format!("{} positives of {}", positive.iter().filter(|p| **p).count(), positive.len());
        return Err(super::table::argument("classes of an ROC curve", "positives and negatives", found));
    }
    Ok(concordant / pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_equal_hand_counts() {
        // truth 0: told 2 of 3, one taken for 1. truth 1: told 1 of 2, one taken for 0. truth 2: 0 of 1, taken for 0.
        let confusion = Confusion::of(&[0, 0, 0, 1, 1, 2], &[0, 0, 1, 1, 0, 0], 3);
        assert_eq!(confusion.counts, [[2, 1, 0], [1, 1, 0], [1, 0, 0]]);
        let found = confusion.scores();
        assert_eq!(found.accuracy, 0.5);
        // Taken for 0: 4, 2 right. For 1: 2, 1 right. For 2: none.
        assert!((found.precision - (0.5 + 0.5 + 0.0) / 3.0).abs() < 1e-15, "{found:?}");
        assert!((found.recall - (2.0 / 3.0 + 0.5 + 0.0) / 3.0).abs() < 1e-15, "{found:?}");
        assert_eq!(Confusion::sum([&confusion, &confusion]).counts[0], [4, 2, 0]);
    }

    #[test]
    fn auc_counts_pairs() {
        // Positives 0.4, 0.8, negatives 0.4, 0.1: 1/2 + 1 + 1 + 1 of 4.
        assert_eq!(auc(&[0.4, 0.8, 0.4, 0.1], &[true, true, false, false]).unwrap(), 0.875);
        assert!(auc(&[0.4, 0.8], &[true, true]).is_err());
        // The positive 0.4 three times: (3 * 1.5 + 2) / 8.
        let scored = [(0.4, true), (0.8, true), (0.4, false), (0.1, false)];
        assert_eq!(concordance(&scored, &[3.0, 1.0, 1.0, 1.0]), (6.5, 8.0));
    }

    #[test]
    fn mean_and_deviation() {
        let found = MeanSd::of(&[1.0, 2.0, 3.0]);
        assert_eq!((found.mean, found.sd), (2.0, 1.0));
        assert_eq!(MeanSd::of(&[4.0]).sd, 0.0);
    }
}
