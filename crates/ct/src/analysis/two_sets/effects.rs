//! Each feature on its own.
use super::mann_whitney::{MannWhitney, holm};
use super::pair::Pair;
use crate::metrics::bootstrap::quantile;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How one feature differs. Tumors are taken for independent: where patients have many, p values are too small.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The feature.
    pub feature: String,
    /// Median of the real tumors, in the feature's unit.
    pub real_median: f64,
    /// Median of the synthetic tumors, in the feature's unit.
    pub synthetic_median: f64,
    /// Cliff's delta: share of pairs in which the synthetic tumor has more, less the share in which it has less. -1 to 1; the area
    /// under the ROC curve is (1 + delta) / 2.
    pub cliffs_delta: f64,
    /// Of the Mann-Whitney test.
    pub p_value: f64,
    /// The same, corrected for the number of features (Holm 1979).
    pub p_corrected: f64,
}

/// Of all features, the largest effect first, then by name.
pub(super) fn effects(pair: &Pair) -> Vec<Effect> {
    let (real, synthetic) = (pair.real.values(), pair.synthetic.values());
    let mut effects: Vec<Effect> = (0..real.ncols())
        .into_par_iter()
        .map(|column| {
            let [real, synthetic] = [real, synthetic].map(|set| set.column(column).to_vec());
            let test = MannWhitney::of(&synthetic, &real);
            let median = |values: &[f64]| {
                let mut sorted = values.to_vec();
                sorted.sort_by(f64::total_cmp);
                quantile(&sorted, 0.5)
            };
            Effect {
                feature: pair.real.columns()[column].clone(),
                real_median: median(&real),
                synthetic_median: median(&synthetic),
                cliffs_delta: MannWhitney::cliffs_delta(test.u, synthetic.len(), real.len()),
                p_value: test.p_value,
                p_corrected: 0.0,
            }
        })
        .collect();
    let corrected = holm(&effects.iter().map(|e| e.p_value).collect::<Vec<_>>());
    effects.iter_mut().zip(corrected).for_each(|(effect, p)| effect.p_corrected = p);
    effects.sort_by(|a, b| {
        b.cliffs_delta.abs().total_cmp(&a.cliffs_delta.abs()).then_with(|| a.feature.cmp(&b.feature))
    });
    effects
}
