//! The maximal correlation coefficient (MCC): how well any function of one level can foretell a function of its neighbour's.
//!
//! Haralick's Q has the eigenvalues of BᵀB for B = p(i,j) / sqrt(px(i) py(j)). The largest is 1, of the vector sqrt(py); MCC is the root of
//! the second one: the largest singular value across that vector. Found by the Lanczos method with full orthogonalisation, so in exact
//! arithmetic after as many steps as there are levels, in practice after a dozen or two.

/// A step this small against the value found ends the search: rounding of n products.
const SMALLEST_STEP: f64 = 1e-14;
/// Steps between two looks at the value.
const LOOK: usize = 6;

/// The coefficient. 1 for a single level, as PyRadiomics.
pub(super) fn maximal_correlation(p: &[f64], first: &[f64], second: &[f64]) -> f64 {
    let n = first.len();
    if n < 2 {
        return 1.0;
    }
    let root = |part: &[f64]| -> Vec<f64> { part.iter().map(|p| p.sqrt()).collect() };
    let (rows, columns) = (root(first), root(second));
    let mut b = vec![0.0; n * n];
    for (i, row) in b.chunks_mut(n).enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            let p = p[i * n + j];
            // A level without neighbours in this direction has an empty row.
            *value = if p > 0.0 { p / (rows[i] * columns[j]) } else { 0.0 };
        }
    }
    largest_eigenvalue(&b, columns).max(0.0).sqrt().min(1.0)
}

/// The largest eigenvalue of BᵀB across `known`, a vector of length 1.
fn largest_eigenvalue(b: &[f64], known: Vec<f64>) -> f64 {
    let n = known.len();
    let mut basis = vec![known];
    let (mut diagonal, mut beside): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let Some(mut next) = start(n, &basis) else { return 0.0 };
    let mut found = 0.0;
    // One vector of the n is known already.
    for step in 1..n {
        basis.push(next);
        let (mut w, diagonal_entry) = {
            let last = basis.last().expect("just pushed");
            let w = times(b, last);
            let entry = dot(&w, last);
            (w, entry)
        };
        diagonal.push(diagonal_entry);
        orthogonalise(&mut w, &basis);
        let length = dot(&w, &w).sqrt();
        let done = length < SMALLEST_STEP;
        if done || step % LOOK == 0 || step == n - 1 {
            let before = found;
            found = largest_of_tridiagonal(&diagonal, &beside);
            if done || (found - before).abs() <= SMALLEST_STEP * found {
                break;
            }
        }
        beside.push(length);
        w.iter_mut().for_each(|v| *v /= length);
        next = w;
    }
    found
}

/// A vector with a part along every other: fixed, without pattern.
fn start(n: usize, basis: &[Vec<f64>]) -> Option<Vec<f64>> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut v: Vec<f64> = (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            0.5 + (state >> 11) as f64 / (1_u64 << 53) as f64
        })
        .collect();
    orthogonalise(&mut v, basis);
    let length = dot(&v, &v).sqrt();
    v.iter_mut().for_each(|v| *v /= length);
    (length > 0.0).then_some(v)
}

/// Twice, as once leaves rounding of the size of what was taken away.
fn orthogonalise(w: &mut [f64], basis: &[Vec<f64>]) {
    for _ in 0..2 {
        for v in basis {
            let along = dot(w, v);
            w.iter_mut().zip(v).for_each(|(w, v)| *w -= along * v);
        }
    }
}

/// BᵀB v.
fn times(b: &[f64], v: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; v.len()];
    for row in b.chunks(v.len()) {
        let along = dot(row, v);
        out.iter_mut().zip(row).for_each(|(o, r)| *o += along * r);
    }
    out
}

/// In four sums, which the processor adds at once.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a4.zip(b4) {
        (0..4).for_each(|k| sums[k] += a[k] * b[k]);
    }
    sums.iter().sum::<f64>() + rest
}

/// By bisection: the number of negative pivots of T - x is the number of eigenvalues below x (Sturm).
fn largest_of_tridiagonal(diagonal: &[f64], beside: &[f64]) -> f64 {
    // All lie within 0 and 1; rounding may lift the largest a little.
    let (mut low, mut high) = (0.0, 1.0 + 1e-9);
    while high - low > f64::EPSILON * high {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        let all_below = (0..diagonal.len()).try_fold(1.0_f64, |pivot, k| {
            let squared = if k == 0 { 0.0 } else { beside[k - 1] * beside[k - 1] };
            let pivot = diagonal[k] - middle - squared / pivot;
            (pivot < 0.0).then_some(pivot)
        });
        if all_below.is_some() { high = middle } else { low = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mcc(weights: &[f64], n: usize) -> f64 {
        let total: f64 = weights.iter().sum();
        let p: Vec<f64> = weights.iter().map(|w| w / total).collect();
        let first: Vec<f64> = p.chunks(n).map(|row| row.iter().sum()).collect();
        let second: Vec<f64> = (0..n).map(|j| (0..n).map(|i| p[i * n + j]).sum()).collect();
        maximal_correlation(&p, &first, &second)
    }

    #[test]
    fn matrices_of_a_known_coefficient() {
        // Independent levels, levels that settle each other, two blocks, a level without a neighbour.
        assert!(mcc(&[1.0, 2.0, 2.0, 4.0], 2) < 1e-7);
        assert!((mcc(&[1.0, 0.0, 0.0, 3.0], 2) - 1.0).abs() < 1e-12);
        assert!((mcc(&[1.0, 2.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 5.0], 3) - 1.0).abs() < 1e-12);
        assert!((mcc(&[4.0, 1.0, 0.0, 1.0, 4.0, 0.0, 0.0, 0.0, 0.0], 3) - 0.6).abs() < 1e-12);
    }

    #[test]
    fn a_large_matrix_equals_numpy() {
        // w(i, j) = 1 + (7 i² + 3 i j + 11 j) mod 13 for 40 levels, not symmetrical:
        // w = ...; p = w/w.sum(); b = p/np.sqrt(np.outer(p.sum(1), p.sum(0))); np.linalg.svd(b)[1][1]
        let n = 40;
        let weights: Vec<f64> = (0..n * n)
            .map(|at| (at / n, at % n))
            .map(|(i, j)| 1.0 + ((7 * i * i + 3 * i * j + 11 * j) % 13) as f64)
            .collect();
        assert!((mcc(&weights, n) - 0.239_297_171_242_589_4).abs() < 1e-12, "{}", mcc(&weights, n));
    }
}
