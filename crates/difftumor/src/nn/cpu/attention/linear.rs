//! One head of linear attention: softmax of q over channels, of k over positions; `context = k · v`, `out = q · context`.
//!
//! q and v are column buffers `[channel][position]`, k is `[position][channel]`, so that neither product transposes.
use super::super::product::Product;
use super::super::tile::{block, exp_negative};
use pulp::Simd;

/// Softmax over the rows of each column of `rows` `[count][pitch]`, times `scale`; the first `columns`, widened to
/// vectors.
#[inline(always)]
pub(super) fn softmax_columns<S: Simd>(simd: S, rows: &mut [f32], pitch: usize, columns: usize, scale: f32) {
    let count = rows.len() / pitch;
    for first in (0..columns).step_by(S::F32_LANES) {
        let at = |r: usize| r * pitch + first..r * pitch + first + S::F32_LANES;
        let vector = |rows: &[f32], r: usize| S::as_simd_f32s(&rows[at(r)]).0[0];
        let mut most = simd.splat_f32s(f32::NEG_INFINITY);
        for r in 0..count {
            most = simd.max_f32s(most, vector(rows, r));
        }
        let mut sum = simd.splat_f32s(0.0);
        for r in 0..count {
            let e = exp_negative(simd, simd.sub_f32s(vector(rows, r), most));
            sum = simd.add_f32s(sum, e);
            S::as_mut_simd_f32s(&mut rows[at(r)]).0[0] = e;
        }
        let factor = simd.div_f32s(simd.splat_f32s(scale), sum);
        for r in 0..count {
            let v = simd.mul_f32s(vector(rows, r), factor);
            S::as_mut_simd_f32s(&mut rows[at(r)]).0[0] = v;
        }
    }
}

/// The values of one sequence.
pub(super) struct Values<'a> {
    /// Rows `pitch` apart, one column for each position.
    pub columns: &'a [f32],
    /// From one row to the next.
    pub pitch: usize,
    /// Number of rows.
    pub rows: usize,
}

/// `context[e][d] = sum_n v[e][n] * softmax_n(k[n][d])` of one sequence, rows `width` wide.
///
/// `keys` holds whole rows of `width` (a multiple of [`block`]) and is spent.
#[inline(always)]
pub(super) fn context<S: Simd>(
    simd: S,
    keys: &mut [f32],
    width: usize,
    head_channels: usize,
    values: &Values,
    zeros: &[f32],
    out: &mut Vec<f32>,
) {
    debug_assert_eq!(width % block(), 0);
    let len = keys.len() / width;
    out.resize(values.rows * width, 0.0);
    // Column maxima and sums of all rows; their factor goes into the result, which has fewer rows than k.
    let mut most = vec![simd.splat_f32s(f32::NEG_INFINITY); width / S::F32_LANES];
    let mut sum = vec![simd.splat_f32s(0.0); width / S::F32_LANES];
    for line in keys.chunks_exact(width) {
        for (m, v) in most.iter_mut().zip(S::as_simd_f32s(line).0) {
            *m = simd.max_f32s(*m, *v);
        }
    }
    for line in keys.chunks_exact_mut(width) {
        for ((v, m), s) in S::as_mut_simd_f32s(line).0.iter_mut().zip(&most).zip(&mut sum) {
            *v = exp_negative(simd, simd.sub_f32s(*v, *m));
            *s = simd.add_f32s(*s, *v);
        }
    }
    Product {
        a: values.columns,
        a_row: values.pitch,
        a_step: 1,
        m: values.rows,
        k: len,
        b: keys,
        b_row: width,
        n: head_channels,
        out_row: width,
    }
    .run(simd, zeros, out);
    for line in out.chunks_exact_mut(width) {
        for (v, s) in S::as_mut_simd_f32s(line).0.iter_mut().zip(&sum) {
            *v = simd.div_f32s(*v, *s);
        }
    }
}
