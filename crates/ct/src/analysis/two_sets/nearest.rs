//! Are synthetic tumors copies of real ones? Distances to the nearest real one tell.
use super::TwoSetsOptions;
use super::pair::Pair;
use crate::analysis::linear::squared_distance;
use crate::analysis::table::argument;
use crate::error::Result;
use crate::metrics::bootstrap::quantile;
use crate::metrics::interval::Interval;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Distances of this share of the real tumors are what synthetic ones are counted against.
const NEAR: f64 = 0.05;

/// Distances to the nearest real tumor. In standard deviations of the real tumors, root mean square over features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nearest {
    /// Median over real tumors of the distance to the nearest real one of another patient.
    pub real_median: f64,
    /// Median over synthetic tumors of the distance to the nearest real one.
    pub synthetic_median: f64,
    /// `synthetic_median / real_median`: near 1 when synthetic tumors lie among the real ones as these do; well below 1 when they
    /// are copied. `None` when `real_median` is 0.
    pub ratio: Option<f64>,
    /// 5th percentile of the real tumors' distances.
    pub near: f64,
    /// Share of synthetic tumors that are nearer than this. About 0.05 when nothing is copied and there are many; of 80 tumors, whose
    /// 5th percentile is uncertain itself, 0.07 on average and seldom above 0.2 (simulated).
    pub share_near: f64,
    /// 95 % limits of the share (Clopper & Pearson 1934), which take `near` for known.
    pub share_near_interval: Interval,
    /// Synthetic tumors that are suspiciously near to a real one ([`TwoSetsOptions::suspicious_share`]), and all exact copies; the
    /// nearest first.
    pub suspicious: Vec<NearPair>,
}

/// A synthetic tumor and the real one nearest to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NearPair {
    /// Id of the synthetic tumor.
    pub synthetic: String,
    /// Id of the real one.
    pub real: String,
    /// How far apart they lie.
    pub distance: f64,
    /// Share of the real tumors that lie at least as near to a real one.
    pub share_of_real: f64,
    /// Whether all features are the same to the last bit.
    pub exact_copy: bool,
}

impl Nearest {
    pub(super) fn of(pair: &Pair, options: &TwoSetsOptions) -> Result<Self> {
        let patient = |i: usize| &pair.real.tumors()[i].patient;
        let among: Option<Vec<f64>> = (0..pair.real_z.nrows())
            .into_par_iter()
            .map(|i| nearest(pair, pair.real_z.row(i), |j| patient(i) != patient(j)).map(|found| found.1))
            .collect();
        let mut among = among.ok_or_else(|| {
            let found = format!("only '{}'", patient(0));
            argument("patients of the real tumors", "at least two, to compare their tumors", found)
        })?;
        among.sort_by(f64::total_cmp);
        let found: Vec<(usize, f64)> = (pair.synthetic_z.rows().into_iter().collect::<Vec<_>>())
            .into_par_iter()
            .map(|row| nearest(pair, row, |_| true).expect("there are real tumors"))
            .collect();
        let mut distances: Vec<f64> = found.iter().map(|f| f.1).collect();
        distances.sort_by(f64::total_cmp);
        let (real_median, synthetic_median) = (quantile(&among, 0.5), quantile(&distances, 0.5));
        let near = quantile(&among, NEAR);
        let nearer = distances.partition_point(|d| *d < near);
        Ok(Self {
            real_median,
            synthetic_median,
            ratio: (real_median > 0.0).then(|| synthetic_median / real_median),
            near,
            share_near: nearer as f64 / distances.len() as f64,
            share_near_interval: Interval::of_share(nearer, distances.len()).expect("synthetic tumors"),
            suspicious: suspicious(pair, &found, &among, options.suspicious_share),
        })
    }
}

/// The nearest of the real tumors that `may` be it, and its distance; the first of several.
fn nearest(
    pair: &Pair,
    row: ndarray::ArrayView1<'_, f64>,
    may: impl Fn(usize) -> bool,
) -> Option<(usize, f64)> {
    let others = (0..pair.real_z.nrows()).filter(|j| may(*j));
    let squares = others.map(|j| (j, squared_distance(row, pair.real_z.row(j))));
    let (j, square) = squares.min_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((j, (square / row.len() as f64).sqrt()))
}

fn suspicious(pair: &Pair, found: &[(usize, f64)], among: &[f64], share: f64) -> Vec<NearPair> {
    let limit = quantile(among, share);
    let pairs = found.iter().enumerate().map(|(i, (j, distance))| NearPair {
        synthetic: pair.synthetic.tumors()[i].id.clone(),
        real: pair.real.tumors()[*j].id.clone(),
        distance: *distance,
        share_of_real: among.partition_point(|d| d <= distance) as f64 / among.len() as f64,
        exact_copy: pair.synthetic.values().row(i) == pair.real.values().row(*j),
    });
    let mut pairs: Vec<NearPair> = pairs.filter(|p| p.distance < limit || p.exact_copy).collect();
    pairs.sort_by(|a, b| a.distance.total_cmp(&b.distance).then_with(|| a.synthetic.cmp(&b.synthetic)));
    pairs
}
