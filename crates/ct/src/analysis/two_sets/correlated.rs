//! Features that say the same.
use ndarray::ArrayView2;
use rayon::prelude::*;

/// Features whose rank correlation is above this in size say the same.
pub(super) const SAME: f64 = 0.9;

/// Ranks of values, equal ones sharing their mean, less the mean of all ranks.
fn centred_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = before as f64 + (tied.len() as f64 - 1.0) / 2.0 - (values.len() as f64 - 1.0) / 2.0;
        tied.iter().for_each(|i| ranks[*i] = rank);
        before += tied.len();
    }
    ranks
}

/// Spearman's rank correlation of centred ranks; 0 when one is constant.
fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let whole = (dot(a, a) * dot(b, b)).sqrt();
    if whole == 0.0 { 0.0 } else { dot(a, b) / whole }
}

/// Groups of columns, each ascending and in the order of their first: two columns are in one group when a chain of
/// correlations above [`SAME`] leads from one to the other.
pub(super) fn groups(values: ArrayView2<'_, f64>) -> Vec<Vec<usize>> {
    let ranks: Vec<Vec<f64>> =
        (0..values.ncols()).into_par_iter().map(|c| centred_ranks(&values.column(c).to_vec())).collect();
    let mut group: Vec<usize> = (0..ranks.len()).collect();
    for i in 0..ranks.len() {
        for j in 0..i {
            if group[i] != group[j] && spearman(&ranks[i], &ranks[j]).abs() > SAME {
                let (from, to) = (group[i].max(group[j]), group[i].min(group[j]));
                group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
            }
        }
    }
    let members = |first: usize| (0..group.len()).filter(|c| group[*c] == first).collect::<Vec<_>>();
    (0..group.len()).filter(|c| group[*c] == *c).map(members).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn ranks_are_correlated_as_in_scipy() {
        // scipy.stats.spearmanr([1, 5, 2, 2, 9, 7], [3, 4, 1, 2, 2, 8]).statistic, version 1.17.1
        let (a, b) = ([1.0, 5.0, 2.0, 2.0, 9.0, 7.0], [3.0, 4.0, 1.0, 2.0, 2.0, 8.0]);
        let found = spearman(&centred_ranks(&a), &centred_ranks(&b));
        assert!((found - 0.25).abs() < 1e-14, "{found}");
    }

    #[test]
    fn columns_that_say_the_same_are_one_group() {
        // 1 is the square of 0, 3 is less of 1, 2 is something else, 4 is constant.
        let values = Array2::from_shape_fn((20, 5), |(i, column)| {
            let v = i as f64;
            [v, v * v, (v * 0.618_034).fract(), -v * v, 1.0][column]
        });
        assert_eq!(groups(values.view()), [vec![0, 1, 3], vec![2], vec![4]]);
    }
}
