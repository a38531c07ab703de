//! Confidence limits of a share of independent units, such as patients: Clopper & Pearson 1934.
//!
//! They are the two shares for which what was observed, or anything further away, has a probability of 2.5 % each. So they
//! hold for any number of units, and cover the true share in at least 95 % of all samples.

/// What all limits of this crate cover.
pub const CONFIDENCE: f64 = 0.95;

/// Probability beyond each limit.
pub(super) const TAIL: f64 = (1.0 - CONFIDENCE) / 2.0;

/// Confidence limits.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// The lower one.
    pub low: f64,
    /// The upper one.
    pub high: f64,
}

impl Interval {
    /// Clopper-Pearson limits of `part` of `whole` independent units. `None` when there is no unit.
    ///
    /// # Panics
    /// When `part` is larger than `whole`.
    pub fn of_share(part: usize, whole: usize) -> Option<Self> {
        assert!(part <= whole, "{part} of {whole}");
        let limits = || Self { low: lower(part, whole), high: 1.0 - lower(whole - part, whole) };
        (whole > 0).then(limits)
    }
}

/// The probability of success for which `k` or more successes of `n` have the probability [`TAIL`]; 0 for no success.
///
/// Bisection of the definition: it ends for all arguments, and its bits do not depend on the platform.
fn lower(k: usize, n: usize) -> f64 {
    if k == 0 {
        return 0.0;
    }
    // With k / n, k successes or more have a probability of at least a half.
    let (mut low, mut high) = (0.0, k as f64 / n as f64);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        let end = if upper_tail(k, n, middle) < TAIL { &mut low } else { &mut high };
        *end = middle;
    }
    low
}

/// Probability of `k` or more successes of `n`, for `0 < p < 1` and p of at most k / n: its terms fall.
fn upper_tail(k: usize, n: usize, p: f64) -> f64 {
    let ln_factorial = |v: usize| libm::lgamma(v as f64 + 1.0);
    let ln_choices = ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let (hits, misses) = (k as f64, (n - k) as f64);
    let mut term = libm::exp(ln_choices + hits * libm::log(p) + misses * libm::log1p(-p));
    let mut sum = term;
    for i in k..n {
        term *= (n - i) as f64 / (i + 1) as f64 * p / (1.0 - p);
        sum += term;
        if term < 1e-17 * sum {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Off by less than half of the last digit given.
    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 5e-8
    }

    #[test]
    fn limits_equal_those_of_tables() {
        // Closed forms at the ends, and the quantiles of beta distributions.
        for (part, whole, low, high) in [
            (2, 2, 0.158_113_88, 1.0),
            (0, 10, 0.0, 0.308_497_10),
            (1, 10, 0.002_528_58, 0.445_016_12),
            (5, 10, 0.187_086_03, 0.812_913_97),
            (50, 100, 0.398_321_13, 0.601_678_87),
        ] {
            let found = Interval::of_share(part, whole).unwrap();
            assert!(close(found.low, low) && close(found.high, high), "{part} of {whole}: {found:?}");
        }
        assert_eq!(Interval::of_share(0, 0), None);
    }

    #[test]
    fn ends_have_closed_forms_for_any_number() {
        for n in [1_usize, 3, 40, 1000, 100_000] {
            let expected = TAIL.powf(1.0 / n as f64);
            let all = Interval::of_share(n, n).unwrap();
            assert!((all.low - expected).abs() < 1e-10 && all.high == 1.0, "{n}: {all:?}");
            let none = Interval::of_share(0, n).unwrap();
            assert!((none.high - (1.0 - expected)).abs() < 1e-10 && none.low == 0.0, "{n}: {none:?}");
        }
    }

    #[test]
    fn both_tails_have_their_probability() {
        // By the plain sum over all numbers of successes.
        let tail = |n: usize, p: f64, counts: std::ops::RangeInclusive<usize>| -> f64 {
            let choices = |k: usize| (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product::<f64>();
            counts.map(|k| choices(k) * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)).sum()
        };
        for n in 1..=30 {
            for k in 0..=n {
                let found = Interval::of_share(k, n).unwrap();
                assert!(k == 0 || (tail(n, found.low, k..=n) - TAIL).abs() < 1e-12, "{k} of {n}: {found:?}");
                assert!(k == n || (tail(n, found.high, 0..=k) - TAIL).abs() < 1e-12, "{k} of {n}: {found:?}");
            }
        }
    }
}
