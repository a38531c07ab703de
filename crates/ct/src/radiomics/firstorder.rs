//! Intensities of a region without regard to where they are, as PyRadiomics 3.0.1.

/// Names of the features, in the order of [`features`].
pub const FEATURES: [&str; 19] = [
    "10Percentile",
    "90Percentile",
    "Energy",
    "Entropy",
    "InterquartileRange",
    "Kurtosis",
    "Maximum",
    "MeanAbsoluteDeviation",
    "Mean",
    "Median",
    "Minimum",
    "Range",
    "RobustMeanAbsoluteDeviation",
    "RootMeanSquared",
    "Skewness",
    "StandardDeviation",
    "TotalEnergy",
    "Uniformity",
    "Variance",
];

/// What follows from another feature: computed when asked for by name only.
pub const DEPRECATED: [&str; 1] = ["StandardDeviation"];

/// The features of voxel values (at least one), sorted here. `level_counts`: voxels of each grey level. `shift` is added to values for
/// energies; `voxel_mm3` is the volume of a voxel. Kurtosis is 3 for a normal distribution.
pub(super) fn features(values: &mut [f64], level_counts: &[u32], shift: f64, voxel_mm3: f64) -> [f64; 19] {
    // Before sorting: sums follow the voxels, whatever the number of threads.
    let n = values.len() as f64;
    let mean_by = |f: &dyn Fn(f64) -> f64| sum_of(values, f) / n;
    let mean = mean_by(&|v| v);
    let central = |power: i32| mean_by(&|v| (v - mean).powi(power));
    let (variance, third, fourth) = (central(2), central(3), central(4));
    // As PyRadiomics: no division by the variance of a flat region.
    let divisor = if variance == 0.0 { 1.0 } else { variance };
    let energy = sum_of(values, &|v| (v + shift).powi(2));
    let mean_deviation = mean_by(&|v| (v - mean).abs());
    let voxels = f64::from(level_counts.iter().sum::<u32>());
    let shares = || level_counts.iter().filter(|c| **c > 0).map(|c| f64::from(*c) / voxels);
    values.sort_unstable_by(f64::total_cmp);
    let [p10, p25, median, p75, p90] = [0.1, 0.25, 0.5, 0.75, 0.9].map(|share| percentile(values, share));
    let middle = &values[values.partition_point(|v| *v < p10)..values.partition_point(|v| *v <= p90)];
    let middle_mean = sum_of(middle, &|v| v) / middle.len() as f64;
    let (minimum, maximum) = (values[0], values[values.len() - 1]);
    [
        p10,
        p90,
        energy,
        shares().map(|p| -p * p.log2()).sum::<f64>() + 0.0,
        p75 - p25,
        fourth / divisor.powi(2),
        maximum,
        mean_deviation,
        mean,
        median,
        minimum,
        maximum - minimum,
        sum_of(middle, &|v| (v - middle_mean).abs()) / middle.len() as f64,
        (energy / n).sqrt(),
        third / divisor.powf(1.5),
        variance.sqrt(),
        energy * voxel_mm3,
        shares().map(|p| p * p).sum(),
        variance,
    ]
}

/// In pieces, which keeps rounding at that of a few hundred additions.
fn sum_of(values: &[f64], f: &dyn Fn(f64) -> f64) -> f64 {
    values.chunks(256).map(|piece| piece.iter().map(|v| f(*v)).sum::<f64>()).sum()
}

/// Between the two nearest of sorted values, as `numpy.percentile`.
pub(super) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let low = at.floor() as usize;
    let (a, b) = (sorted[low], sorted[(low + 1).min(sorted.len() - 1)]);
    let t = at - low as f64;
    if t < 0.5 { a + (b - a) * t } else { b - (b - a) * (1.0 - t) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_equal_numpy() {
        // numpy.percentile([1, 2, 4, 8], [10, 25, 50, 75, 90, 100])
        let found = [0.1, 0.25, 0.5, 0.75, 0.9, 1.0].map(|share| percentile(&[1.0, 2.0, 4.0, 8.0], share));
        assert!(
            found.iter().zip([1.3, 1.75, 3.0, 5.0, 6.8, 8.0]).all(|(a, b)| (a - b).abs() < 1e-14),
            "{found:?}"
        );
    }

    #[test]
    fn a_flat_region_has_no_nan() {
        let found = features(&mut [5.0; 4], &[4], 0.0, 2.0);
        assert!(found.iter().all(|f| f.is_finite()));
        let value = |name: &str| found[FEATURES.iter().position(|f| *f == name).unwrap()];
        assert_eq!([value("Kurtosis"), value("Skewness"), value("Variance"), value("Entropy")], [0.0; 4]);
        assert_eq!([value("Energy"), value("TotalEnergy"), value("Uniformity")], [100.0, 200.0, 1.0]);
    }
}
