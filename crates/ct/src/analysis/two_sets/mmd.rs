//! Maximum mean discrepancy (Gretton et al. 2012, JMLR 13:723): unbiased, with a Gaussian kernel.
use super::TwoSetsOptions;
use super::pair::{Pair, by_patient};
use crate::analysis::linear::squared_distance;
use crate::analysis::split::shuffle;
use crate::analysis::table::argument;
use crate::draws::Stream;
use crate::error::Result;
use crate::metrics::bootstrap::quantile;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Discrepancies that differ by less are equal: sums of 10^6 kernel values.
const ROUNDING: f64 = 1e-12;

/// Whether chance alone could have made the difference of two sets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mmd {
    /// The square of the discrepancy, without bias: around 0, so below it too, when nothing differs.
    pub squared: f64,
    /// Width of the kernel exp(-d² / 2 width²): the median distance of two tumors of either set.
    pub width: f64,
    /// Share of random changes of sides, by whole patients, that come to this or more; never below 1 / (permutations + 1).
    pub p_value: f64,
}

impl Mmd {
    pub(super) fn of(pair: &Pair, options: &TwoSetsOptions) -> Result<Self> {
        let all = pair.all_z();
        let width = median_distance(all.view()).ok_or_else(|| {
            let found = "tumors that are all alike";
            argument("tumors of both sets together", "at least two that differ", found)
        })?;
        let kernel = kernel(all.view(), width);
        let real = pair.real.tumors().len();
        let shift = |rows: Vec<usize>| rows.into_iter().map(|r| r + real).collect::<Vec<usize>>();
        let (first, second) = (by_patient(&pair.real), by_patient(&pair.synthetic));
        let sides = [first.len(), second.len()];
        let blocks: Vec<Vec<usize>> = first.into_iter().chain(second.into_iter().map(shift)).collect();
        let side = |order: &[usize]| {
            let mut is_real = vec![false; all.nrows()];
            order[..sides[0]].iter().flat_map(|b| &blocks[*b]).for_each(|row| is_real[*row] = true);
            discrepancy(&kernel, &is_real)
        };
        let as_is: Vec<usize> = (0..blocks.len()).collect();
        let squared = side(&as_is);
        let changed = |permutation: usize| {
            let mut order = as_is.clone();
            shuffle(&mut order, &mut Stream::new(options.seed, 0, "analysis/mmd", permutation as u64));
            side(&order)
        };
        let as_large =
            (0..options.permutations).into_par_iter().filter(|p| changed(*p) >= squared - ROUNDING).count();
        Ok(Self { squared, width, p_value: (1 + as_large) as f64 / (1 + options.permutations) as f64 })
    }
}

/// `None` when all rows are the same. Where more than half of the pairs are, the median of the others.
fn median_distance(rows: ArrayView2<'_, f64>) -> Option<f64> {
    let pairs = (0..rows.nrows()).flat_map(|i| (0..i).map(move |j| (i, j)));
    let mut distances: Vec<f64> =
        pairs.map(|(i, j)| squared_distance(rows.row(i), rows.row(j)).sqrt()).collect();
    distances.sort_by(f64::total_cmp);
    let median = quantile(&distances, 0.5);
    let apart = &distances[distances.partition_point(|d| *d == 0.0)..];
    if median > 0.0 { Some(median) } else { (!apart.is_empty()).then(|| quantile(apart, 0.5)) }
}

/// `[rows, rows]`
fn kernel(rows: ArrayView2<'_, f64>, width: f64) -> Array2<f64> {
    let n = rows.nrows();
    let of =
        |i: usize, j: usize| libm::exp(-squared_distance(rows.row(i), rows.row(j)) / (2.0 * width * width));
    let values: Vec<f64> = (0..n * n).into_par_iter().map(|place| of(place / n, place % n)).collect();
    Array2::from_shape_vec((n, n), values).expect("n rows of n")
}

/// The unbiased estimate. 0 when a side has fewer than two rows, which a change of sides by patients may lead to.
fn discrepancy(kernel: &Array2<f64>, is_first: &[bool]) -> f64 {
    let members: Vec<usize> = (0..is_first.len()).filter(|i| is_first[*i]).collect();
    let (m, n) = (members.len() as f64, (is_first.len() - members.len()) as f64);
    if m < 2.0 || n < 2.0 {
        return 0.0;
    }
    let (mut within_first, mut within_second, mut across) = (0.0, 0.0, 0.0);
    for (i, row) in kernel.rows().into_iter().enumerate() {
        let to_first: f64 = members.iter().map(|j| row[*j]).sum();
        let own = row[i];
        if is_first[i] {
            within_first += to_first - own;
        } else {
            across += to_first;
            within_second += row.sum() - to_first - own;
        }
    }
    within_first / (m * (m - 1.0)) + within_second / (n * (n - 1.0)) - 2.0 * across / (m * n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn discrepancy_equals_a_hand_count() {
        // 0, 1 against 3, 4, 6 with width 1: k(d) = exp(-d² / 2).
        let kernel = kernel(array![[0.0], [1.0], [3.0], [4.0], [6.0]].view(), 1.0);
        let k = |d: f64| (-d * d / 2.0).exp();
        let within = k(1.0) + (k(1.0) + k(3.0) + k(2.0)) / 3.0;
        let across = (k(3.0) + k(4.0) + k(6.0) + k(2.0) + k(3.0) + k(5.0)) / 6.0;
        let found = discrepancy(&kernel, &[true, true, false, false, false]);
        assert!((found - (within - 2.0 * across)).abs() < 1e-14, "{found}");
        assert_eq!(discrepancy(&kernel, &[true, false, false, false, false]), 0.0);
    }

    #[test]
    fn the_width_is_the_median_distance() {
        // Distances 1, 3, 2.
        assert_eq!(median_distance(array![[0.0], [1.0], [3.0]].view()), Some(2.0));
        // Three of six are 0: the median is half of 5; of more, those above 0 count.
        assert_eq!(median_distance(array![[0.0], [0.0], [0.0], [0.0], [5.0]].view()), Some(5.0));
        assert_eq!(median_distance(array![[1.0], [1.0]].view()), None);
    }
}
