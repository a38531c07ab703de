//! Agreement beyond chance: 1 for readers who always agree, 0 for those who agree as often as their habits alone would make them.
use difftumor_ct::metrics::interval::Interval;
use serde::Serialize;

/// Half of the width of limits of 95 %, in standard errors.
const NORMAL_95: f64 = 1.959_963_984_540_054;

/// Cohen's kappa of two ratings of the same items.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cohen {
    /// Items rated twice.
    pub items: usize,
    /// Share of them with equal ratings.
    pub agreement: f64,
    /// Kappa. `None` when both raters gave one and the same answer to all: then nothing but agreement was possible.
    pub kappa: Option<f64>,
    /// Its standard error for large samples.
    pub standard_error: Option<f64>,
    /// Kappa and 1.96 standard errors to each side, within -1 and 1. `None` when the standard error is 0 or unknown.
    pub limits: Option<Interval>,
}

impl Cohen {
    /// Of a square table of counts: rows are the first rating, columns the second. `None` when there are no items.
    ///
    /// Source: Cohen 1960; standard error of Fleiss, Cohen and Everitt 1969, eq. 13 (unweighted, for any kappa).
    ///
    /// # Panics
    /// When the table is not square.
    pub fn of(table: &[Vec<usize>]) -> Option<Self> {
        assert!(table.iter().all(|row| row.len() == table.len()), "expected a square table, found {table:?}");
        let (k, items) = (table.len(), table.iter().flatten().sum::<usize>());
        if items == 0 {
            return None;
        }
        let n = items as f64;
        let p = |i: usize, j: usize| table[i][j] as f64 / n;
        let row: Vec<f64> = (0..k).map(|i| (0..k).map(|j| p(i, j)).sum()).collect();
        let column: Vec<f64> = (0..k).map(|j| (0..k).map(|i| p(i, j)).sum()).collect();
        let observed: f64 = (0..k).map(|i| p(i, i)).sum();
        let expected: f64 = (0..k).map(|i| row[i] * column[i]).sum();
        let agreement = observed;
        // One category alone: sums of shares may be off by rounding.
        if expected > 1.0 - 1e-12 {
            return Some(Self { items, agreement, kappa: None, standard_error: None, limits: None });
        }
        let kappa = (observed - expected) / (1.0 - expected);
        let mut sum = -(kappa - expected * (1.0 - kappa)).powi(2);
        for i in 0..k {
            for j in 0..k {
                sum += match i == j {
                    true => p(i, i) * (1.0 - (row[i] + column[i]) * (1.0 - kappa)).powi(2),
                    false => (1.0 - kappa).powi(2) * p(i, j) * (column[i] + row[j]).powi(2),
                };
            }
        }
        let standard_error = (sum.max(0.0) / n).sqrt() / (1.0 - expected);
        let limits = limits(kappa, standard_error);
        Some(Self { items, agreement, kappa: Some(kappa), standard_error: Some(standard_error), limits })
    }
}

/// Fleiss' kappa of several raters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fleiss {
    /// Items that all rated.
    pub items: usize,
    /// How many raters.
    pub raters: usize,
    /// Share of pairs of raters who agree, mean over items.
    pub agreement: f64,
    /// Kappa. `None` when all gave one and the same answer to all.
    pub kappa: Option<f64>,
    /// Its standard error over items like these (for two items or more).
    pub standard_error: Option<f64>,
    /// Kappa and 1.96 standard errors to each side, within -1 and 1. `None` when the standard error is 0 or unknown.
    pub limits: Option<Interval>,
    /// Probability of a kappa at least as far from 0 if there were no agreement beyond chance; two-sided, for large samples.
    pub p_value: Option<f64>,
}

impl Fleiss {
    /// Of how many raters gave each item each rating: `[item][category]`. `None` when there are no items or fewer than two raters.
    ///
    /// Sources: Fleiss 1971; p from the variance without agreement of Fleiss, Nee and Landis 1979; standard error from the variance for any
    /// kappa of Gwet, Handbook of Inter-Rater Reliability, 4th ed. 2014, ch. 5 (a mean over items, each put in a straight line).
    ///
    /// # Panics
    /// When items have different numbers of ratings or categories.
    pub fn of(counts: &[Vec<usize>]) -> Option<Self> {
        let raters = counts.first()?.iter().sum::<usize>();
        let k = counts[0].len();
        let alike = |row: &Vec<usize>| row.iter().sum::<usize>() == raters && row.len() == k;
        assert!(counts.iter().all(alike), "expected {raters} ratings of each item in {k} categories");
        if raters < 2 {
            return None;
        }
        let (items, n) = (counts.len(), raters as f64);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / items as f64;
        let share: Vec<f64> = (0..k)
            .map(|j| counts.iter().map(|row| row[j]).sum::<usize>() as f64 / (items as f64 * n))
            .collect();
        let pairs = |row: &Vec<usize>| {
            row.iter().map(|c| c * c.saturating_sub(1)).sum::<usize>() as f64 / (n * (n - 1.0))
        };
        let agreements: Vec<f64> = counts.iter().map(pairs).collect();
        let agreement = mean(&agreements);
        let expected: f64 = share.iter().map(|p| p * p).sum();
        let none =
            Self { items, raters, agreement, kappa: None, standard_error: None, limits: None, p_value: None };
        if expected > 1.0 - 1e-12 {
            return Some(none);
        }
        let kappa = (agreement - expected) / (1.0 - expected);
        let of_item = |(row, agreement): (&Vec<usize>, &f64)| {
            let own: f64 = row.iter().zip(&share).map(|(c, p)| *c as f64 * p / n).sum();
            ((agreement - expected) - 2.0 * (1.0 - kappa) * (own - expected)) / (1.0 - expected)
        };
        let squares: f64 = counts.iter().zip(&agreements).map(|row| (of_item(row) - kappa).powi(2)).sum();
        let m = items as f64;
        let standard_error = (items > 1).then(|| (squares / (m * (m - 1.0))).sqrt());
        Some(Self {
            kappa: Some(kappa),
            standard_error,
            limits: standard_error.and_then(|error| limits(kappa, error)),
            p_value: Some(libm::erfc((kappa / null_error(&share, m, n)).abs() / std::f64::consts::SQRT_2)),
            ..none
        })
    }
}

/// Standard error of Fleiss' kappa when raters agree by chance alone, for shares of the categories, items and raters.
fn null_error(share: &[f64], items: f64, raters: f64) -> f64 {
    let pq: f64 = share.iter().map(|p| p * (1.0 - p)).sum();
    let cubic: f64 = share.iter().map(|p| p * (1.0 - p) * (1.0 - 2.0 * p)).sum();
    (2.0 * (pq * pq - cubic) / (items * raters * (raters - 1.0))).sqrt() / pq
}

/// `None` for a standard error of 0: with few items formulas for large samples give it where all agree, and it would read as certainty.
fn limits(kappa: f64, standard_error: f64) -> Option<Interval> {
    let half = NORMAL_95 * standard_error;
    // Rounding of terms that should cancel.
    (half > 1e-7).then(|| Interval { low: (kappa - half).max(-1.0), high: (kappa + half).min(1.0) })
}

#[cfg(test)]
mod tests;
