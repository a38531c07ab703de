//! Shares of answers, and whether chance alone could have made them.
use difftumor_ct::metrics::interval::Interval;
use serde::Serialize;

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// How many have it.
    pub part: usize,
    /// Of how many.
    pub whole: usize,
    /// Their ratio; `None` when there is nothing to divide by.
    pub share: Option<f64>,
    /// Exact limits (Clopper and Pearson 1934). `None` also for what is pooled over readers.
    pub limits: Option<Interval>,
}

impl Share {
    /// A share of independent answers.
    ///
    /// # Panics
    /// When `part` is larger than `whole`.
    pub fn of(part: usize, whole: usize) -> Self {
        Self { limits: Interval::of_share(part, whole), ..Self::pooled(part, whole) }
    }

    /// A share of answers of several readers to the same items, which has no simple limits.
    pub fn pooled(part: usize, whole: usize) -> Self {
        Self { part, whole, share: (whole > 0).then(|| part as f64 / whole as f64), limits: None }
    }
}

/// Probability of a share at least as far out on its side as `part` of `whole`, if each answer were right with the probability
/// `chance`; two-sided, by doubling the smaller tail of the binomial distribution (exact). `None` when there are no answers.
///
/// # Panics
/// When `part` is larger than `whole` or `chance` not within 0 and 1.
pub fn binomial_p(part: usize, whole: usize, chance: f64) -> Option<f64> {
    assert!(part <= whole && chance > 0.0 && chance < 1.0, "{part} of {whole} with a chance of {chance}");
    let ln_factorial = |n: usize| libm::lgamma(n as f64 + 1.0);
    let term = |k: usize| {
        let ln_choices = ln_factorial(whole) - ln_factorial(k) - ln_factorial(whole - k);
        libm::exp(ln_choices + k as f64 * libm::log(chance) + (whole - k) as f64 * libm::log1p(-chance))
    };
    let tail = |counts: std::ops::RangeInclusive<usize>| counts.map(term).sum::<f64>();
    (whole > 0).then(|| (2.0 * tail(0..=part).min(tail(part..=whole))).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_the_limits_of_tables() {
        // Quantiles of beta distributions, as in every table of exact limits.
        for (part, whole, low, high) in [(5, 10, 0.187_086, 0.812_914), (0, 10, 0.0, 0.308_497)] {
            let limits = Share::of(part, whole).limits.unwrap();
            assert!(
                (limits.low - low).abs() < 1e-6 && (limits.high - high).abs() < 1e-6,
                "{part}: {limits:?}"
            );
        }
        // All but one of 120 (99.2 %, as in the paper's Table 1): each tail has 2.5 %.
        let limits = Share::of(119, 120).limits.unwrap();
        let all_or_all_but_one = limits.low.powi(120) + 120.0 * limits.low.powi(119) * (1.0 - limits.low);
        assert!((all_or_all_but_one - 0.025).abs() < 1e-9 && (limits.high.powi(120) - 0.975).abs() < 1e-9);
        assert_eq!(Share::of(3, 4).share, Some(0.75));
        assert_eq!(Share::of(0, 0), Share { part: 0, whole: 0, share: None, limits: None });
        assert_eq!(Share::pooled(3, 4).limits, None);
    }

    #[test]
    fn tails_of_coins_and_dice() {
        let close = |found: Option<f64>, expected: f64| {
            assert!((found.unwrap() - expected).abs() < 1e-12, "{found:?}")
        };
        close(binomial_p(8, 10, 0.5), 2.0 * (45.0 + 10.0 + 1.0) / 1024.0);
        close(binomial_p(2, 10, 0.5), 2.0 * (45.0 + 10.0 + 1.0) / 1024.0);
        close(binomial_p(5, 10, 0.5), 1.0);
        close(binomial_p(3, 3, 1.0 / 3.0), 2.0 / 27.0);
        close(binomial_p(0, 2, 1.0 / 3.0), 2.0 * 4.0 / 9.0);
        assert_eq!(binomial_p(0, 0, 0.5), None);
        // 70 of 100 is more than 4 standard deviations away.
        assert!((7e-5..9e-5).contains(&binomial_p(70, 100, 0.5).unwrap()));
    }
}
