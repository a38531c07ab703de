//! z-scores: features in units of their standard deviation over some rows, usually those that a classifier learns from.
use super::table::argument;
use crate::error::Result;
use ndarray::{Array2, ArrayView2, Axis};

/// A column whose values differ by less than this share of the largest one is constant: what is left is rounding.
const CONSTANT: f64 = 1e-12;

/// Mean and standard deviation of the columns of some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardiser {
    /// Columns that are not constant, ascending.
    kept: Vec<usize>,
    /// Of the kept ones.
    mean: Vec<f64>,
    /// Of the kept ones; divided by the number of rows, as scikit-learn's `StandardScaler` does.
    sd: Vec<f64>,
    /// Columns that are constant over the rows, ascending.
    constant: Vec<usize>,
}

impl Standardiser {
    /// Of the rows `rows` of `values` `[rows, columns]`.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] when there are no rows, or all columns are constant.
    pub fn fit(values: ArrayView2<'_, f64>, rows: &[usize]) -> Result<Self> {
        let mut fitted = Self { kept: vec![], mean: vec![], sd: vec![], constant: vec![] };
        for (column, all) in values.columns().into_iter().enumerate() {
            let picked: Vec<f64> = rows.iter().map(|r| all[*r]).collect();
            match mean_sd(&picked) {
                Some((mean, sd)) => {
                    fitted.kept.push(column);
                    fitted.mean.push(mean);
                    fitted.sd.push(sd);
                }
                None => fitted.constant.push(column),
            }
        }
        if fitted.kept.is_empty() {
            let found = format!("{} columns, all constant over {} tumors", values.ncols(), rows.len());
            return Err(argument("features", "at least one that differs between tumors", found));
        }
        Ok(fitted)
    }

    /// z-scores `[rows, kept columns]` of the rows `rows` of `values`.
    ///
    /// # Panics
    /// When `values` has fewer columns than there were to fit, or a row is not there.
    pub fn transform(&self, values: ArrayView2<'_, f64>, rows: &[usize]) -> Array2<f64> {
        let mut out = values.select(Axis(0), rows).select(Axis(1), &self.kept);
        for (j, mut column) in out.columns_mut().into_iter().enumerate() {
            column.mapv_inplace(|v| (v - self.mean[j]) / self.sd[j]);
        }
        out
    }

    /// Columns that are left, ascending.
    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// Columns that were left out because they are constant, ascending.
    pub fn constant(&self) -> &[usize] {
        &self.constant
    }
}

/// `None` when constant. In units of the largest value, so that no square is too large.
fn mean_sd(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len() as f64;
    let largest = values.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
    if largest == 0.0 || values.is_empty() {
        return None;
    }
    let mean = values.iter().map(|v| v / largest).sum::<f64>() / n;
    let sd = (values.iter().map(|v| (v / largest - mean).powi(2)).sum::<f64>() / n).sqrt();
    (sd > CONSTANT).then_some((mean * largest, sd * largest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn only_the_given_rows_count() {
        // Column 0: 1 and 3 -> mean 2, sd 1. Column 1 is constant over those rows. Column 2: sd 1e200.
        let values = array![[1.0, 5.0, -1e200], [3.0, 5.0, 1e200], [10.0, 7.0, 0.0]];
        let fitted = Standardiser::fit(values.view(), &[0, 1]).unwrap();
        assert_eq!((fitted.kept(), fitted.constant()), (&[0, 2][..], &[1][..]));
        assert_eq!(fitted.transform(values.view(), &[2, 0]), array![[8.0, 0.0], [-1.0, -1.0]]);
    }

    #[test]
    fn constants_are_found_up_to_rounding_and_refused_when_nothing_else_is_there() {
        let values = array![[0.1 + 0.2, 1e-300], [0.3, 2e-300]];
        assert_eq!(Standardiser::fit(values.view(), &[0, 1]).unwrap().kept(), [1]);
        let error = Standardiser::fit(array![[4.0], [4.0]].view(), &[0, 1]).unwrap_err().to_string();
        assert!(error.contains("1 columns, all constant over 2 tumors"), "{error}");
        assert!(Standardiser::fit(values.view(), &[]).is_err());
    }
}
