//! Tests of two methods on the same patients: does one do better, or could chance alone have made the difference?
//!
//! Both are exact: they count the ways in which signs could have fallen and take no large number for granted (but for very many
//! patients, [`EXACT_UP_TO`]).

/// From this number of patients on the distribution of signed ranks is taken for normal. Its exact one would take n³ steps.
pub const EXACT_UP_TO: usize = 200;

/// Outcome of Wilcoxon's signed-rank test.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SignedRanks {
    /// Differences that are not 0; others say nothing and are left out (Wilcoxon 1945).
    pub differences: usize,
    /// Those above 0.
    pub positive: usize,
    /// Sum of the ranks of those above 0.
    pub positive_rank_sum: f64,
    /// Probability of ranks at least this uneven if each difference were as likely above 0 as below; two-sided.
    pub p_value: f64,
}

/// Outcome of McNemar's test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Discordant {
    /// Right by the first method alone.
    pub first_only: usize,
    /// Right by the second alone.
    pub second_only: usize,
}

impl SignedRanks {
    /// Wilcoxon's signed-rank test (Wilcoxon 1945) of differences, one a patient. Equal sizes share the mean of their ranks.
    /// `None` when no difference is left, so nothing can be told.
    ///
    /// # Panics
    /// When a difference is not finite.
    pub fn of(differences: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut differences: Vec<f64> = differences.into_iter().filter(|d| *d != 0.0).collect();
        assert!(differences.iter().all(|d| d.is_finite()), "differences must be finite: {differences:?}");
        differences.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let groups: Vec<&[f64]> = differences.chunk_by(|a, b| a.abs() == b.abs()).collect();
        // Twice the ranks: a mean of neighbours ends in a half at most.
        let mut ranks2 = Vec::with_capacity(differences.len());
        for group in &groups {
            let before = ranks2.len();
            ranks2.extend(std::iter::repeat_n(2 * before + group.len() + 1, group.len()));
        }
        let positive2: usize =
            differences.iter().zip(&ranks2).filter(|(d, _)| **d > 0.0).map(|(_, r)| r).sum();
        let p_value = match differences.len() {
            0 => return None,
            n if n <= EXACT_UP_TO => exact(&ranks2, positive2),
            n => normal(n, positive2, groups.iter().map(|group| group.len())),
        };
        Some(Self {
            differences: differences.len(),
            positive: differences.iter().filter(|d| **d > 0.0).count(),
            positive_rank_sum: positive2 as f64 / 2.0,
            p_value,
        })
    }
}

/// Both tails of the sum of positive ranks when every sign is a coin's. Ranks and sum are twice what they are.
fn exact(ranks2: &[usize], positive2: usize) -> f64 {
    let all: usize = ranks2.iter().sum();
    let mut chances = vec![0.0_f64; all + 1];
    chances[0] = 1.0;
    let mut largest = 0;
    for rank in ranks2 {
        largest += rank;
        for sum in (0..=largest).rev() {
            let with = sum.checked_sub(*rank).map_or(0.0, |rest| chances[rest]);
            chances[sum] = 0.5 * (chances[sum] + with);
        }
    }
    let tail = |sums: std::ops::RangeInclusive<usize>| chances[sums].iter().sum::<f64>();
    (2.0 * tail(0..=positive2.min(all - positive2))).min(1.0)
}

/// The same for many: normal, with the variance that ties leave and a step of the sum's size (continuity).
fn normal(n: usize, positive2: usize, ties: impl Iterator<Item = usize>) -> f64 {
    let n = n as f64;
    let lost: f64 = ties.map(|t| t as f64).map(|t| t * t * t - t).sum();
    let deviation = ((n * (n + 1.0) * (2.0 * n + 1.0) - lost / 2.0) / 24.0).sqrt();
    let distance = ((positive2 as f64 / 2.0 - n * (n + 1.0) / 4.0).abs() - 0.5).max(0.0);
    libm::erfc(distance / deviation / std::f64::consts::SQRT_2)
}

impl Discordant {
    /// Counts pairs in which just one method is right.
    pub fn of(pairs: impl IntoIterator<Item = [bool; 2]>) -> Self {
        let mut counts = Self { first_only: 0, second_only: 0 };
        for pair in pairs {
            counts.first_only += usize::from(pair == [true, false]);
            counts.second_only += usize::from(pair == [false, true]);
        }
        counts
    }

    /// McNemar's exact test: probability of pairs at least this uneven if either method were as likely to be the one that is
    /// right. Two-sided; 1 when the methods never differ.
    pub fn p_value(&self) -> f64 {
        let n = self.first_only + self.second_only;
        // As a sum of signs it is the test above with all ranks alike.
        if n == 0 { 1.0 } else { exact(&vec![1; n], self.first_only) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn p_of(differences: &[f64]) -> f64 {
        SignedRanks::of(differences.iter().copied()).unwrap().p_value
    }

    #[test]
    fn ranks_equal_those_of_scipy() {
        // scipy.stats.wilcoxon(d, method="exact") 1.16
        let heights =
            [6.0, 8.0, 14.0, 16.0, 23.0, 24.0, 28.0, 29.0, 41.0, -48.0, 49.0, 56.0, 60.0, -67.0, 75.0];
        let found = SignedRanks::of(heights).unwrap();
        assert_eq!((found.differences, found.positive, found.positive_rank_sum), (15, 13, 96.0));
        assert!((found.p_value - 0.041_259_765_625).abs() < 1e-15, "{found:?}");
        assert!((p_of(&[1.0, 2.0, 3.0]) - 0.25).abs() < 1e-15);
        assert_eq!(p_of(&[1.0, -1.0]), 1.0);
        assert_eq!(SignedRanks::of([0.0, -0.0]), None);
        assert_eq!(p_of(&[0.0, 1.0, 2.0, 3.0]), p_of(&[1.0, 2.0, 3.0]));
    }

    #[test]
    fn many_differences_are_near_to_the_exact_distribution() {
        let ranks2: Vec<usize> = (1..=EXACT_UP_TO).map(|r| 2 * r).collect();
        let all: usize = ranks2.iter().sum();
        for share in [0.3, 0.4, 0.45, 0.5, 0.58] {
            let positive2 = 2 * ((all as f64 * share / 2.0) as usize);
            let exact = exact(&ranks2, positive2);
            let normal = normal(EXACT_UP_TO, positive2, std::iter::repeat_n(1, EXACT_UP_TO));
            assert!((exact - normal).abs() < 1e-3 + 0.02 * exact, "{share}: {exact} {normal}");
        }
    }

    #[test]
    fn pairs_equal_the_binomial_distribution() {
        // 2 * (1 + 10 + 45) / 2^10
        assert!((Discordant { first_only: 8, second_only: 2 }.p_value() - 0.109_375).abs() < 1e-15);
        assert!((Discordant { first_only: 0, second_only: 6 }.p_value() - 0.031_25).abs() < 1e-15);
        assert_eq!(Discordant { first_only: 3, second_only: 3 }.p_value(), 1.0);
        assert_eq!(Discordant::of([[true, true], [false, false]]).p_value(), 1.0);
        let counts = Discordant::of([[true, false], [false, true], [true, false], [true, true]]);
        assert_eq!(counts, Discordant { first_only: 2, second_only: 1 });
    }

    proptest! {
        /// By trying every way in which the signs can fall, ties and all.
        #[test]
        fn the_probability_is_the_share_of_sign_patterns(sizes in prop::collection::vec(1_u8..5, 1..10), signs in any::<u16>()) {
            let pick = |bits: u16| -> Vec<f64> {
                sizes.iter().enumerate().map(|(i, s)| if bits >> i & 1 == 1 { f64::from(*s) } else { -f64::from(*s) }).collect()
            };
            let sum = |bits: u16| SignedRanks::of(pick(bits)).unwrap().positive_rank_sum;
            let n = sizes.len();
            let middle = (n * (n + 1)) as f64 / 4.0;
            let seen = (sum(signs) - middle).abs();
            let as_far = (0..1_u16 << n).filter(|bits| (sum(*bits) - middle).abs() >= seen - 1e-9).count();
            let expected = as_far as f64 / f64::from(1_u16 << n);
            prop_assert!((p_of(&pick(signs)) - expected).abs() < 1e-12);
        }
    }
}
