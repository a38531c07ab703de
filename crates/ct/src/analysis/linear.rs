//! What the analyses share of linear algebra.
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use smartcore::linalg::basic::arrays::Array as _;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linalg::traits::evd::EVDDecomposable;

/// Eigenvalues, falling, and eigenvectors `[dimensions, values]` of a symmetric matrix.
#[derive(Debug)]
pub(super) struct Eigen {
    pub values: Vec<f64>,
    pub vectors: Array2<f64>,
}

/// The square of the Euclidean distance.
pub(super) fn squared_distance(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// A matrix as smartcore wants it.
pub(super) fn dense(matrix: ArrayView2<'_, f64>) -> DenseMatrix<f64> {
    let by_column = matrix.t().iter().copied().collect();
    DenseMatrix::new(matrix.nrows(), matrix.ncols(), by_column, true)
        .expect("as many values as the shape says")
}

impl Eigen {
    /// Of a symmetric matrix. An eigenvector's component of largest size is positive: its sign is arbitrary.
    ///
    /// # Panics
    /// When the matrix is not square, or has a value that is not finite.
    pub fn of(matrix: &Array2<f64>) -> Self {
        assert!(
            matrix.iter().all(|v| v.is_finite()),
            "eigenvalues of a matrix with values that are not finite"
        );
        let found = dense(matrix.view()).evd_mut(true).expect("a symmetric matrix has eigenvalues");
        let n = matrix.nrows();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| found.d[*b].total_cmp(&found.d[*a]));
        let mut vectors = Array2::from_shape_fn((n, n), |(i, j)| *found.V.get((i, order[j])));
        for mut column in vectors.columns_mut() {
            let largest = column.iter().fold(0.0, |a: f64, v| if v.abs() > a.abs() { *v } else { a });
            if largest < 0.0 {
                column.mapv_inplace(|v| -v);
            }
        }
        Self { values: order.iter().map(|i| found.d[*i]).collect(), vectors }
    }

    /// The positive semidefinite square root: eigenvalues below 0 are rounding.
    pub fn square_root(&self) -> Array2<f64> {
        let roots: Array1<f64> = self.values.iter().map(|v| v.max(0.0).sqrt()).collect();
        (&self.vectors * &roots).dot(&self.vectors.t())
    }
}

/// Means of the columns, and their covariances divided by the number of rows.
///
/// # Panics
/// When there are no rows.
pub(super) fn moments(rows: ArrayView2<'_, f64>) -> (Array1<f64>, Array2<f64>) {
    let mean = rows.mean_axis(Axis(0)).expect("at least one row");
    let centred = &rows - &mean;
    let covariance = centred.t().dot(&centred) / rows.nrows() as f64;
    (mean, covariance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn eigenvectors_give_the_matrix_back() {
        let matrix = array![[4.0, 1.0, -2.0], [1.0, 2.0, 0.0], [-2.0, 0.0, 3.0]];
        let eigen = Eigen::of(&matrix);
        let again = (&eigen.vectors * &Array1::from(eigen.values.clone())).dot(&eigen.vectors.t());
        // Rounding of some steps of a 3x3 matrix.
        assert!((&again - &matrix).iter().all(|d| d.abs() < 1e-13), "{again}");
        assert!(eigen.values.is_sorted_by(|a, b| a >= b));
        let root = eigen.square_root();
        assert!((root.dot(&root) - &matrix).iter().all(|d| d.abs() < 1e-13));
        // [[2, 1], [1, 2]]: 3 along (1, 1), 1 along (1, -1).
        let known = Eigen::of(&array![[2.0, 1.0], [1.0, 2.0]]);
        assert!((known.values[0] - 3.0).abs() < 1e-14 && (known.values[1] - 1.0).abs() < 1e-14);
    }

    #[test]
    fn moments_equal_hand_counts() {
        let (mean, covariance) = moments(array![[1.0, 0.0], [3.0, 4.0]].view());
        assert_eq!((mean, covariance), (array![2.0, 2.0], array![[1.0, 2.0], [2.0, 4.0]]));
    }
}
