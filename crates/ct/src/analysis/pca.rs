//! Principal components: a cheap map of tumors in two dimensions, and where t-SNE starts from.
use super::linear::{Eigen, moments};
use super::standardise::Standardiser;
use super::table::FeatureTable;
use crate::error::Result;
use ndarray::{Array2, ArrayView2, Axis, s};

/// Tumors in two dimensions.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Principal {
    /// `[first, second]` for each tumor, in standard deviations of features.
    pub points: Vec<[f64; 2]>,
    /// Share of all variance that lies along each of the two.
    pub explained: [f64; 2],
}

impl Principal {
    /// The first two components of the table's z-scores. The sign of a component is arbitrary; here its largest weight is
    /// positive. With one feature that is not constant, all second coordinates are 0.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] when all features are constant.
    pub fn of(table: &FeatureTable) -> Result<Self> {
        let rows: Vec<usize> = (0..table.tumors().len()).collect();
        let scores = Standardiser::fit(table.values(), &rows)?.transform(table.values(), &rows);
        let (points, explained) = components(scores.view());
        let points = points.rows().into_iter().map(|p| [p[0], p[1]]).collect();
        Ok(Self { points, explained })
    }
}

/// Coordinates `[rows, 2]` along the first two components, and the share of variance along each.
pub(super) fn components(rows: ArrayView2<'_, f64>) -> (Array2<f64>, [f64; 2]) {
    let (mean, covariance) = moments(rows);
    let eigen = Eigen::of(&covariance);
    let dimensions = eigen.values.len().min(2);
    let mut points = Array2::zeros((rows.nrows(), 2));
    let projected = (&rows - &mean.insert_axis(Axis(0))).dot(&eigen.vectors.slice(s![.., ..dimensions]));
    points.slice_mut(s![.., ..dimensions]).assign(&projected);
    let whole: f64 = eigen.values.iter().map(|v| v.max(0.0)).sum();
    let share = |i: usize| eigen.values.get(i).map_or(0.0, |v| v.max(0.0) / whole);
    (points, [share(0), share(1)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::table::tests::tumor;

    fn table(rows: &[[f64; 2]]) -> FeatureTable {
        let tumors = (0..rows.len()).map(|i| tumor(&i.to_string(), "g")).collect();
        let values = rows.iter().map(|r| r.to_vec()).collect();
        FeatureTable::new(tumors, vec!["a".into(), "b".into()], values).unwrap()
    }

    #[test]
    fn components_equal_a_hand_count() {
        // z-scores are ±1 and b = a but for the last two: correlation 0.5, so eigenvalues 1.5 and 0.5 along (1, ±1) / √2.
        let signs = [
            [1.0, 1.0],
            [1.0, 1.0],
            [-1.0, -1.0],
            [-1.0, -1.0],
            [1.0, 1.0],
            [-1.0, -1.0],
            [1.0, -1.0],
            [-1.0, 1.0],
        ];
        let found = Principal::of(&table(&signs.map(|[a, b]| [10.0 * a, 3.0 + 0.1 * b]))).unwrap();
        assert!((found.explained[0] - 0.75).abs() < 1e-12 && (found.explained[1] - 0.25).abs() < 1e-12);
        let root = 2.0_f64.sqrt();
        assert!((found.points[0][0] - root).abs() < 1e-12 && found.points[0][1].abs() < 1e-12, "{found:?}");
        assert!(found.points[6][0].abs() < 1e-12 && (found.points[6][1].abs() - root).abs() < 1e-12);
    }

    #[test]
    fn one_feature_that_differs_makes_a_line() {
        let found = Principal::of(&table(&[[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]])).unwrap();
        assert_eq!(found.explained, [1.0, 0.0]);
        assert!(found.points.iter().all(|p| p[1] == 0.0) && found.points[0][0] < found.points[2][0]);
        assert!(Principal::of(&table(&[[1.0, 7.0], [1.0, 7.0]])).is_err());
    }
}
