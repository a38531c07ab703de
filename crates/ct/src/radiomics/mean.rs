//! Means over directions and slices.

/// Mean of each feature over several matrices, without those that have none (NaN), as numpy's `nanmean`. NaN when none is left.
pub(super) fn mean_of<const N: usize>(each: &[[f64; N]]) -> [f64; N] {
    std::array::from_fn(|f| {
        let known = || each.iter().map(|features| features[f]).filter(|value| !value.is_nan());
        known().sum::<f64>() / known().count() as f64
    })
}
