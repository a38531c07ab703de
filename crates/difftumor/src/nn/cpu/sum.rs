//! Sums over long slices: f32 vectors within a stretch, f64 beyond, in pieces that do not depend on the threads.
use super::tile::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Elements summed in f32 before the sum goes to f64: with AVX-512, 128 additions to each of 32 sums.
const STRETCH: usize = 4096;
/// Elements of one task.
const PIECE: usize = 1 << 15;

/// What is summed over two slices.
#[derive(Clone, Copy)]
pub enum Sums {
    /// `a * b`.
    Product,
    /// `|a - b|`.
    Distance,
    /// `(a - b)²`.
    Square,
    /// `a * b` where `a < 0`.
    Below,
}

/// Sums of N terms for each index, by one pass over two slices: `terms(simd, a, b)`.
#[inline(always)]
pub(super) fn sums<S: Simd, const N: usize>(
    simd: S,
    a: &[f32],
    b: &[f32],
    terms: impl Fn(S, S::f32s, S::f32s) -> [S::f32s; N],
) -> [f64; N] {
    assert_eq!(a.len(), b.len());
    let mut total = [0f64; N];
    for (a, b) in a.chunks(STRETCH).zip(b.chunks(STRETCH)) {
        let ((av, ar), (bv, br)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
        // Two sets of sums, because one addition must wait for the last one to end.
        let mut acc = [[simd.splat_f32s(0.0); N]; 2];
        let mut pairs = av.chunks_exact(2).zip(bv.chunks_exact(2));
        for (a, b) in &mut pairs {
            for k in 0..2 {
                let t = terms(simd, a[k], b[k]);
                for i in 0..N {
                    acc[k][i] = simd.add_f32s(acc[k][i], t[i]);
                }
            }
        }
        if av.len() % 2 == 1 {
            let t = terms(simd, av[av.len() - 1], bv[bv.len() - 1]);
            for i in 0..N {
                acc[0][i] = simd.add_f32s(acc[0][i], t[i]);
            }
        }
        if !ar.is_empty() {
            // Elements beyond the slices read as 0; the kernels' terms of (0, 0) are 0.
            let t = terms(simd, simd.partial_load_f32s(ar), simd.partial_load_f32s(br));
            for i in 0..N {
                acc[1][i] = simd.add_f32s(acc[1][i], t[i]);
            }
        }
        for i in 0..N {
            total[i] += f64::from(simd.reduce_sum_f32s(simd.add_f32s(acc[0][i], acc[1][i])));
        }
    }
    total
}

struct Piece<'a>(&'a [f32], &'a [f32], Sums);
impl WithSimd for Piece<'_> {
    type Output = f64;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let Self(a, b, what) = self;
        let [total] = match what {
            Sums::Product => sums(simd, a, b, |s, a, b| [s.mul_f32s(a, b)]),
            Sums::Distance => sums(simd, a, b, |s, a, b| [s.abs_f32s(s.sub_f32s(a, b))]),
            Sums::Square => sums(simd, a, b, |s, a, b| {
                let d = s.sub_f32s(a, b);
                [s.mul_f32s(d, d)]
            }),
            Sums::Below => sums(simd, a, b, |s, a, b| [s.mul_f32s(s.min_f32s(a, s.splat_f32s(0.0)), b)]),
        };
        total
    }
}

/// The sum over all elements of two slices of the same length.
pub fn sum_pieces(a: &[f32], b: &[f32], what: Sums) -> f64 {
    assert_eq!(a.len(), b.len());
    let parts: Vec<f64> = a
        .par_chunks(PIECE)
        .zip(b.par_chunks(PIECE))
        .map(|(a, b)| arch().dispatch(Piece(a, b, what)))
        .collect();
    parts.iter().sum()
}
