//! Is one set's feature larger than the other's? Mann & Whitney 1947.

/// Up to this number of values of both sets together, and without ties, the distribution is exact: all ways to mix them can be
/// counted without rounding.
pub const EXACT_UP_TO: usize = 40;

/// Outcome of the test.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MannWhitney {
    /// Pairs in which the first is larger, ties half.
    pub u: f64,
    /// Probability of a number at least this uneven if both were of one distribution; two-sided.
    pub p_value: f64,
}

impl MannWhitney {
    /// Compares two sets of independent values. Many values, or some of them equal, are taken for normal, with the variance that
    /// ties leave and a step of half a pair (continuity), as scipy's `mannwhitneyu` does.
    ///
    /// # Panics
    /// When a set is empty or a value is not finite.
    pub fn of(first: &[f64], second: &[f64]) -> Self {
        assert!(!first.is_empty() && !second.is_empty(), "{} and {} values", first.len(), second.len());
        let mut all: Vec<(f64, bool)> =
            first.iter().map(|v| (*v, true)).chain(second.iter().map(|v| (*v, false))).collect();
        assert!(all.iter().all(|(v, _)| v.is_finite()), "values must be finite");
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut rank_sum, mut before, mut lost) = (0.0, 0, 0.0);
        for tied in all.chunk_by(|a, b| a.0 == b.0) {
            let n = tied.len() as f64;
            let members = tied.iter().filter(|(_, is_first)| *is_first).count() as f64;
            rank_sum += members * (before as f64 + (n + 1.0) / 2.0);
            lost += n * n * n - n;
            before += tied.len();
        }
        let (n, m) = (first.len() as f64, second.len() as f64);
        let u = rank_sum - n * (n + 1.0) / 2.0;
        let larger = u.max(n * m - u);
        let p_value = if lost == 0.0 && all.len() <= EXACT_UP_TO {
            exact(first.len(), second.len(), larger as usize)
        } else {
            normal(n, m, larger, lost)
        };
        Self { u, p_value }
    }

    /// Cliff's delta: the share of pairs in which the first is larger less the share in which it is smaller, -1 to 1.
    pub fn cliffs_delta(u: f64, first: usize, second: usize) -> f64 {
        2.0 * u / (first as f64 * second as f64) - 1.0
    }
}

/// Twice the share of all choices of `n` ranks of `n + m` in which at least `larger` pairs are won.
fn exact(n: usize, m: usize, larger: usize) -> f64 {
    // ways[k][w]: choices of k ranks that win w pairs against the ranks not chosen so far.
    let mut ways = vec![vec![0.0_f64; n * m + 1]; n + 1];
    ways[0][0] = 1.0;
    for rank in 0..n + m {
        for chosen in (0..n.min(rank + 1)).rev() {
            let won = rank - chosen;
            // More have been passed over than there are in the second set: no choice ends so.
            for w in (0..ways[chosen].len().saturating_sub(won)).filter(|_| won <= m) {
                let add = ways[chosen][w];
                ways[chosen + 1][w + won] += add;
            }
        }
    }
    let tail: f64 = ways[n][larger..].iter().sum();
    (2.0 * tail / ways[n].iter().sum::<f64>()).min(1.0)
}

fn normal(n: f64, m: f64, larger: f64, lost: f64) -> f64 {
    let all = n + m;
    let variance = n * m / 12.0 * (all + 1.0 - lost / (all * (all - 1.0)));
    if variance <= 0.0 {
        return 1.0; // all values are equal
    }
    let distance = (larger - n * m / 2.0 - 0.5) / variance.sqrt();
    libm::erfc(distance / std::f64::consts::SQRT_2).min(1.0)
}

/// p values that hold for all of them together, in the same order: Holm 1979. It holds however the tests depend on each other.
pub(super) fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (place, i) in order.iter().enumerate() {
        largest = largest.max((p_values.len() - place) as f64 * p_values[*i]).min(1.0);
        adjusted[*i] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(first: &[f64], second: &[f64]) -> (f64, f64) {
        let found = MannWhitney::of(first, second);
        (found.u, found.p_value)
    }

    fn parts(n: usize, factor: f64, shift: f64) -> Vec<f64> {
        (1..=n).map(|i| (i as f64 * factor).fract() + shift).collect()
    }

    #[test]
    fn p_values_equal_those_of_scipy() {
        // scipy.stats.mannwhitneyu(a, b), version 1.17.1: method="exact" where there are no ties and few values, else "asymptotic".
        // parts(n, f, s): [np.modf(i * f)[0] + s for i in range(1, n + 1)]
        let golden = |n, shift| parts(n, 0.6180339887498949, shift);
        let plastic = |n| parts(n, 0.7548776662466927, 0.0);
        let ties = [2.0, 4.0, 4.0, 5.0, 7.0, 9.0, 9.0, 9.0, 10.0];
        for ((u, p), expected_u, expected_p) in [
            (of(&[1.1, 2.3, 3.7, 4.2, 9.5], &[0.5, 2.0, 2.9, 3.0, 3.1, 0.1, 1.7]), 27.0, 0.148989898989899),
            (of(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0, 7.0]), 0.0, 0.05714285714285714),
            (of(&golden(20, 0.2), &plastic(20)), 295.0, 0.009483607191205003),
            (of(&[1.0, 2.0, 2.0, 3.0, 5.0, 8.0, 8.0], &ties), 15.5, 0.09810160858114984),
            (of(&golden(60, 0.1), &plastic(45)), 1621.0, 0.07985084282544334),
        ] {
            // Two implementations of erfc, and sums of up to 10^11 ways without rounding.
            assert!(u == expected_u && (p - expected_p).abs() < 1e-13, "{u} {p}: {expected_u} {expected_p}");
        }
        assert_eq!(of(&[1.0; 5], &[1.0; 4]), (10.0, 1.0));
        assert_eq!(MannWhitney::cliffs_delta(0.0, 3, 4), -1.0);
    }

    #[test]
    fn corrections_equal_a_hand_count() {
        // Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, never falling.
        assert_eq!(holm(&[0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06]);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }
}
