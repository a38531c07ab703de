//! The features of one matrix of probabilities.
//!
//! Most follow from three marginal distributions: of the first level, of the sum of both and of their difference.
use super::correlation::maximal_correlation;

/// Names of the features, in the order of [`features`].
pub const FEATURES: [&str; 24] = [
    "Autocorrelation",
    "ClusterProminence",
    "ClusterShade",
    "ClusterTendency",
    "Contrast",
    "Correlation",
    "DifferenceAverage",
    "DifferenceEntropy",
    "DifferenceVariance",
    "Id",
    "Idm",
    "Idmn",
    "Idn",
    "Imc1",
    "Imc2",
    "InverseVariance",
    "JointAverage",
    "JointEnergy",
    "JointEntropy",
    "MCC",
    "MaximumProbability",
    "SumAverage",
    "SumEntropy",
    "SumSquares",
];

/// Marginal distributions of a matrix, and sums over its cells.
struct Parts {
    /// Probability of each level as the first, and as the second.
    first: Vec<f64>,
    second: Vec<f64>,
    /// Probability of each sum of levels, and of each difference.
    sums: Vec<f64>,
    differences: Vec<f64>,
    /// Sum over cells of i j p, of p², of -p log2 p, and the largest p.
    product: f64,
    energy: f64,
    entropy: f64,
    largest: f64,
}

impl Parts {
    fn of(p: &[f64], grey: &[u32], highest: u32) -> Self {
        let (n, highest) = (grey.len(), highest as usize);
        let mut parts = Self {
            first: vec![0.0; n],
            second: vec![0.0; n],
            sums: vec![0.0; 2 * highest + 1],
            differences: vec![0.0; highest],
            product: 0.0,
            energy: 0.0,
            entropy: 0.0,
            largest: 0.0,
        };
        for (i, row) in p.chunks(n).enumerate() {
            let mut weighted = 0.0;
            for (j, p) in row.iter().enumerate().filter(|(_, p)| **p > 0.0) {
                parts.first[i] += p;
                parts.second[j] += p;
                parts.sums[(grey[i] + grey[j]) as usize] += p;
                parts.differences[grey[i].abs_diff(grey[j]) as usize] += p;
                weighted += f64::from(grey[j]) * p;
                parts.energy += p * p;
                parts.entropy -= p * p.log2();
                parts.largest = parts.largest.max(*p);
            }
            parts.product += f64::from(grey[i]) * weighted;
        }
        parts
    }
}

/// The features of probabilities `p[i * n + j]` of `n` levels, the highest one of which may lie above those of `grey` that occur here.
pub(super) fn features(p: &[f64], grey: &[u32], highest: u32) -> [f64; 24] {
    let parts = Parts::of(p, grey, highest);
    let levels = || grey.iter().map(|g| f64::from(*g));
    let mean = |part: &[f64]| levels().zip(part).map(|(i, p)| i * p).sum::<f64>();
    let (mean_first, mean_second) = (mean(&parts.first), mean(&parts.second));
    let variance =
        |part: &[f64], mean: f64| levels().zip(part).map(|(i, p)| (i - mean).powi(2) * p).sum::<f64>();
    let variances = [variance(&parts.first, mean_first), variance(&parts.second, mean_second)];
    let deviation = (variances[0] * variances[1]).sqrt();
    let covariance = covariance(p, grey, mean_first, mean_second);
    let over_sums = |f: &dyn Fn(f64) -> f64| moment(&parts.sums, f);
    let over_differences = |f: &dyn Fn(f64) -> f64| moment(&parts.differences, f);
    let centred = |power: i32| over_sums(&|k| (k - mean_first - mean_second).powi(power));
    let difference = over_differences(&|k| k);
    let levels_in_all = f64::from(highest);
    let [imc1, imc2] = information(&parts);
    [
        parts.product,
        centred(4),
        centred(3),
        centred(2),
        over_differences(&|k| k * k),
        if deviation == 0.0 { 1.0 } else { covariance / deviation },
        difference,
        entropy(&parts.differences),
        over_differences(&|k| (k - difference).powi(2)),
        over_differences(&|k| 1.0 / (1.0 + k)),
        over_differences(&|k| 1.0 / (1.0 + k * k)),
        over_differences(&|k| 1.0 / (1.0 + (k / levels_in_all).powi(2))),
        over_differences(&|k| 1.0 / (1.0 + k / levels_in_all)),
        imc1,
        imc2,
        over_differences(&|k| if k == 0.0 { 0.0 } else { 1.0 / (k * k) }),
        mean_first,
        parts.energy,
        parts.entropy,
        maximal_correlation(p, &parts.first, &parts.second),
        parts.largest,
        over_sums(&|k| k),
        entropy(&parts.sums),
        variances[0],
    ]
}

/// Imc1 and Imc2: what one level tells of the other.
fn information(parts: &Parts) -> [f64; 2] {
    let entropies = [entropy(&parts.first), entropy(&parts.second)];
    // Entropy of levels that know nothing of each other: what Imc1 and Imc2 call HXY1 and HXY2, without a term of 2e-16 against log 0.
    let independent = entropies[0] + entropies[1];
    let larger = entropies[0].max(entropies[1]);
    let known = independent - parts.entropy;
    let first = if larger == 0.0 { 0.0 } else { -known / larger };
    [first, (-(-2.0 * known.max(0.0)).exp_m1()).sqrt()]
}

/// Directly, not from the mean product: of levels around 1000 that would lose six digits.
fn covariance(p: &[f64], grey: &[u32], mean_first: f64, mean_second: f64) -> f64 {
    let rows = p.chunks(grey.len()).zip(grey);
    rows.map(|(row, i)| {
        let along: f64 = row.iter().zip(grey).map(|(p, j)| p * (f64::from(*j) - mean_second)).sum();
        (f64::from(*i) - mean_first) * along
    })
    .sum()
}

/// Mean of a function of `k` over probabilities by `k`.
fn moment(probabilities: &[f64], f: &dyn Fn(f64) -> f64) -> f64 {
    let occurring = probabilities.iter().enumerate().filter(|(_, p)| **p > 0.0);
    occurring.map(|(k, p)| p * f(k as f64)).sum()
}

/// Entropy in bits.
fn entropy(probabilities: &[f64]) -> f64 {
    // -0 would be printed.
    probabilities.iter().filter(|p| **p > 0.0).map(|p| -p * p.log2()).sum::<f64>() + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(found: &[f64; 24], name: &str) -> f64 {
        found[FEATURES.iter().position(|f| *f == name).unwrap()]
    }

    #[test]
    fn two_levels_by_hand() {
        // p(1,1) = p(3,3) = 0.4, p(1,3) = p(3,1) = 0.1.
        let found = features(&[0.4, 0.1, 0.1, 0.4], &[1, 3], 3);
        for (name, expected) in [
            ("JointAverage", 2.0),
            ("SumSquares", 1.0),
            ("Correlation", 0.6),
            ("MCC", 0.6),
            ("Contrast", 0.8),
            ("Autocorrelation", 4.6),
            ("ClusterShade", 0.0),
            ("ClusterTendency", 3.2),
            ("Idn", 0.8 + 0.2 / (1.0 + 2.0 / 3.0)),
            ("InverseVariance", 0.05),
            ("JointEnergy", 0.34),
            ("MaximumProbability", 0.4),
        ] {
            // A dozen roundings.
            assert!((value(&found, name) - expected).abs() < 1e-14, "{name}: {}", value(&found, name));
        }
        let joint = -(0.8 * 0.4_f64.log2() + 0.2 * 0.1_f64.log2());
        assert!((value(&found, "Imc1") - (joint - 2.0)).abs() < 1e-14);
        assert!((value(&found, "Imc2") - (1.0 - (-2.0 * (2.0 - joint)).exp()).sqrt()).abs() < 1e-14);
    }

    #[test]
    fn one_level_has_the_values_of_pyradiomics() {
        // Its baseline "flatRegion".
        let found = features(&[1.0], &[1], 1);
        for (name, expected) in
            [("Correlation", 1.0), ("MCC", 1.0), ("Imc1", 0.0), ("Imc2", 0.0), ("Id", 1.0)]
        {
            assert_eq!(value(&found, name), expected, "{name}");
        }
        assert!(found.iter().all(|f| f.is_finite() && !(*f == 0.0 && f.is_sign_negative())), "{found:?}");
    }
}
