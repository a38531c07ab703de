//! Fréchet distance of two sets, each taken for normal (Dowson & Landau 1982; "FID" of features, Heusel et al. 2017).
use super::TwoSetsOptions;
use super::pair::{Pair, by_patient, resample};
use crate::analysis::linear::{Eigen, moments};
use crate::analysis::scores::MeanSd;
use crate::analysis::split::shuffle;
use crate::draws::Stream;
use crate::error::Result;
use crate::metrics::bootstrap::quantile;
use crate::metrics::interval::{CONFIDENCE, Interval};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How far apart two sets lie.
///
/// Finite samples lie apart even if nothing differs: the distance of few tumors is too large. So it is to be read against
/// [`Halves`], and the interval takes the excess away.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Frechet {
    /// The square of the distance, in squared standard deviations of the real tumors: |difference of means|² + Tr(A + B - 2 √(AB)).
    pub distance: f64,
    /// By how much resampling patients raises it: about what it is too large by.
    pub excess: f64,
    /// 95 % limits of the distance without its excess: the basic bootstrap (Davison & Hinkley 1997) over patients. Not below 0.
    pub interval: Interval,
    /// By how much the covariances of the real and of the synthetic tumors were drawn towards a multiple of the unit matrix, 0 to 1
    /// (Ledoit & Wolf 2004). `None` when each set has more tumors than there are features: then they are as measured.
    pub shrinkage: Option<[f64; 2]>,
    /// The same with halves.
    pub halves: Halves,
}

/// Distances of samples of half the size: what real tumors come to among themselves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Halves {
    /// Tumors of each sample, at most.
    pub tumors: usize,
    /// Of one half of the real tumors to the other, by whole patients: the floor.
    pub real_real: MeanSd,
    /// Of the first half to as many synthetic tumors.
    pub real_synthetic: MeanSd,
}

/// The square of the Fréchet distance of two normal distributions, from their means and covariances.
///
/// # Panics
/// When the sizes differ, or a covariance is not finite.
pub fn frechet_distance(a: (&Array1<f64>, &Array2<f64>), b: (&Array1<f64>, &Array2<f64>)) -> f64 {
    assert_eq!((a.0.len(), a.1.dim()), (b.0.len(), b.1.dim()), "means and covariances");
    let root = Eigen::of(a.1).square_root();
    let product = root.dot(b.1).dot(&root);
    // Rounding has made it uneven.
    let product = (&product + &product.t()) / 2.0;
    let crossed: f64 = Eigen::of(&product).values.iter().map(|v| v.max(0.0).sqrt()).sum();
    let apart = a.0 - b.0;
    (apart.dot(&apart) + a.1.diag().sum() + b.1.diag().sum() - 2.0 * crossed).max(0.0)
}

/// Mean, covariance and, where it was shrunk, by how much.
struct Normal {
    mean: Array1<f64>,
    covariance: Array2<f64>,
    shrinkage: f64,
}

impl Normal {
    fn of(rows: ArrayView2<'_, f64>, shrink: bool) -> Self {
        let (mean, covariance) = moments(rows);
        let n = rows.nrows() as f64;
        if !shrink {
            return Self { mean, covariance: covariance * (n / (n - 1.0)), shrinkage: 0.0 };
        }
        let shrinkage = ledoit_wolf(&(&rows - &mean), &covariance);
        let middle = covariance.diag().mean().expect("features");
        let mut covariance = covariance * (1.0 - shrinkage);
        covariance.diag_mut().mapv_inplace(|v| v + shrinkage * middle);
        Self { mean, covariance, shrinkage }
    }

    fn distance(&self, other: &Self) -> f64 {
        frechet_distance((&self.mean, &self.covariance), (&other.mean, &other.covariance))
    }
}

/// By how much to shrink the covariance of centred rows (Ledoit & Wolf 2004, lemma 3.2 ff.).
fn ledoit_wolf(centred: &Array2<f64>, covariance: &Array2<f64>) -> f64 {
    let (n, p) = (centred.nrows() as f64, centred.ncols() as f64);
    let middle = covariance.diag().sum() / p;
    let square: f64 = covariance.iter().map(|v| v * v).sum();
    let dispersion = square / p - middle * middle;
    // |x xᵀ - S|² = |x|⁴ - 2 xᵀ S x + |S|²
    let noise =
        |x: ndarray::ArrayView1<'_, f64>| x.dot(&x).powi(2) - 2.0 * x.dot(&covariance.dot(&x)) + square;
    let noise = centred.rows().into_iter().map(noise).sum::<f64>() / (n * n * p);
    // All variances alike and nothing correlated: there is nothing to shrink.
    if dispersion <= 0.0 { 0.0 } else { (noise / dispersion).min(1.0) }
}

impl Frechet {
    pub(super) fn of(pair: &Pair, options: &TwoSetsOptions) -> Result<Self> {
        let (real, synthetic) = (pair.real_z.view(), pair.synthetic_z.view());
        let shrink = real.nrows().min(synthetic.nrows()) <= pair.names.len();
        let (a, b) = (Normal::of(real, shrink), Normal::of(synthetic, shrink));
        let distance = a.distance(&b);
        let patients = [by_patient(&pair.real), by_patient(&pair.synthetic)];
        let mut samples: Vec<f64> = (0..options.bootstrap_samples)
            .into_par_iter()
            .map(|sample| {
                let mut draws = Stream::new(options.seed, 0, "analysis/frechet/bootstrap", sample as u64);
                let rows = patients.each_ref().map(|patients| resample(patients, &mut draws));
                let a = Normal::of(real.select(Axis(0), &rows[0]).view(), shrink);
                a.distance(&Normal::of(synthetic.select(Axis(0), &rows[1]).view(), shrink))
            })
            .collect();
        samples.sort_by(f64::total_cmp);
        let tail = (1.0 - CONFIDENCE) / 2.0;
        let limit = |share: f64| (2.0 * distance - quantile(&samples, share)).max(0.0);
        Ok(Self {
            distance,
            excess: samples.iter().sum::<f64>() / samples.len() as f64 - distance,
            interval: Interval { low: limit(1.0 - tail), high: limit(tail) },
            shrinkage: shrink.then_some([a.shrinkage, b.shrinkage]),
            halves: Halves::of(pair, &patients, options),
        })
    }
}

impl Halves {
    fn of(pair: &Pair, patients: &[Vec<Vec<usize>>; 2], options: &TwoSetsOptions) -> Self {
        let of: Vec<[f64; 3]> = (0..options.halvings)
            .into_par_iter()
            .map(|halving| {
                let mut draws = Stream::new(options.seed, 0, "analysis/frechet/halves", halving as u64);
                let [mut real, mut synthetic] = patients.clone();
                shuffle(&mut real, &mut draws);
                shuffle(&mut synthetic, &mut draws);
                let [mut first, mut second] = halve(&real);
                let mut synthetic = synthetic.concat();
                let tumors = first.len().min(second.len()).min(synthetic.len());
                for rows in [&mut first, &mut second, &mut synthetic] {
                    rows.truncate(tumors);
                }
                let shrink = tumors <= pair.names.len();
                let of = |z: &Array2<f64>, rows: &[usize]| Normal::of(z.select(Axis(0), rows).view(), shrink);
                let a = of(&pair.real_z, &first);
                let real_real = a.distance(&of(&pair.real_z, &second));
                [real_real, a.distance(&of(&pair.synthetic_z, &synthetic)), tumors as f64]
            })
            .collect();
        let column = |i: usize| of.iter().map(|row| row[i]).collect::<Vec<f64>>();
        Self {
            tumors: column(2).into_iter().fold(0.0, f64::max) as usize,
            real_real: MeanSd::of(&column(0)),
            real_synthetic: MeanSd::of(&column(1)),
        }
    }
}

/// Rows of the first patients, and of the others: cut where both are most alike in number, with two or more in each.
fn halve(patients: &[Vec<usize>]) -> [Vec<usize>; 2] {
    let all: usize = patients.iter().map(Vec::len).sum();
    let before = |cut: usize| patients[..cut].iter().map(Vec::len).sum::<usize>();
    let cut = (1..patients.len()).min_by_key(|cut| (2 * before(*cut)).abs_diff(all)).unwrap_or(1);
    let halves = [patients[..cut].concat(), patients[cut..].concat()];
    if halves.iter().all(|half| half.len() >= 2) {
        return halves;
    }
    // Hardly any patient, one with nearly all tumors: it has to be torn apart.
    let rows = patients.concat();
    [rows[..all / 2].to_vec(), rows[all / 2..].to_vec()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn normal_distributions_have_a_closed_form() {
        // In one dimension (m - n)² + (s - t)²: 9 + 1. Independent dimensions add up, whichever way they are turned.
        let (cos, sin) = (0.6, 0.8);
        let turn = array![[cos, -sin], [sin, cos]];
        let turned = |a: f64, b: f64| turn.dot(&array![[a, 0.0], [0.0, b]]).dot(&turn.t());
        let zero = array![0.0, 0.0];
        let found = frechet_distance((&zero, &turned(4.0, 9.0)), (&array![3.0, 0.0], &turned(1.0, 25.0)));
        // 9 + (2 - 1)² + (3 - 5)²
        assert!((found - 14.0).abs() < 1e-12, "{found}");
        // Covariances that do not commute: Tr √(AB) for 2x2 is √(Tr AB + 2 √(det AB)).
        let (a, b) = (array![[2.0, 1.0], [1.0, 2.0]], array![[1.0, 0.0], [0.0, 9.0]]);
        let crossed = (20.0 + 2.0 * 27.0_f64.sqrt()).sqrt();
        let found = frechet_distance((&zero, &a), (&zero, &b));
        assert!((found - (4.0 + 10.0 - 2.0 * crossed)).abs() < 1e-12, "{found}");
        assert!(frechet_distance((&zero, &a), (&zero, &a)) < 1e-12);
    }

    #[test]
    fn shrinkage_equals_that_of_scikit_learn() {
        // x = [[np.modf((i + 1) * (j + 1) * 0.6180339887498949)[0] + (i % 3) * j / 4 for j in range(6)] for i in range(5)]
        // sklearn.covariance.LedoitWolf().fit(x): shrinkage_, covariance_[0, 1], covariance_[5, 5]; version 1.9.1
        let x = Array2::from_shape_fn((5, 6), |(i, j)| {
            (((i + 1) * (j + 1)) as f64 * 0.6180339887498949).fract() + (i % 3 * j) as f64 / 4.0
        });
        let found = Normal::of(x.view(), true);
        let seen = [found.shrinkage, found.covariance[[0, 1]], found.covariance[[5, 5]]];
        assert!(seen.iter().zip(SCIKIT).all(|(a, b)| (a - b).abs() < 1e-12), "{seen:?}");
    }
    const SCIKIT: [f64; 3] = [0.29420752599982, 0.03175289968673855, 0.4300213407320385];

    #[test]
    fn halves_are_even_and_keep_patients_together() {
        let patients = [vec![0, 1, 2], vec![3], vec![4, 5], vec![6, 7]].map(|p| p.to_vec());
        assert_eq!(halve(&patients), [vec![0, 1, 2, 3], vec![4, 5, 6, 7]]);
        assert_eq!(halve(&[vec![0, 1, 2, 3]]), [vec![0, 1], vec![2, 3]]);
    }
}
