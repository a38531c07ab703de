//! A linear layer on rows, with its gradients: three products on the common tile.
//!
//! The right factor of each product is packed into blocks of columns that lie in memory as the tile reads them. For
//! the weight's gradient, where rows are summed over, both factors are, stretch by stretch.
use super::buffer::{PIECE, filled};
use super::elementwise::column_sums;
use super::product::Product;
use super::tile::{arch, block};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Rows that one task multiplies: four of the tallest tiles.
const ROWS: usize = 48;
/// Height of the tallest tile.
const TILE: usize = 12;

/// A right factor `[k, n]` as `[column block][k][block]`, the last block filled up with zeros.
struct Packed {
    values: Vec<f32>,
    k: usize,
}

impl Packed {
    /// Of a factor stored as it is, `[k, n]`.
    fn of_rows(factor: &[f32], n: usize) -> Self {
        let (k, width) = (factor.len() / n, block());
        let pack = |b: usize, _: usize, out: &mut [f32]| {
            let columns = b * width..((b + 1) * width).min(n);
            for (o, row) in out.chunks_exact_mut(width).zip(factor.chunks_exact(n)) {
                o[..columns.len()].copy_from_slice(&row[columns.clone()]);
            }
        };
        Self { values: filled(n.div_ceil(width), k * width, k * width, pack).0, k }
    }

    /// Of a factor stored transposed, `[n, k]`.
    fn of_columns(factor: &[f32], n: usize) -> Self {
        /// Terms whose 8 kB of a block stay in L1 while all columns are written.
        const TERMS: usize = 64;
        let (k, width) = (factor.len() / n, block());
        let pack = |b: usize, _: usize, out: &mut [f32]| {
            let columns = &factor[b * width * k..((b + 1) * width).min(n) * k];
            for (t, out) in out.chunks_mut(TERMS * width).enumerate() {
                for (j, column) in columns.chunks_exact(k).enumerate() {
                    for (o, v) in out.chunks_exact_mut(width).zip(&column[t * TERMS..]) {
                        o[j] = *v;
                    }
                }
            }
        };
        Self { values: filled(n.div_ceil(width), k * width, k * width, pack).0, k }
    }

    fn blocks(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.k * block())
    }
}

struct Rows<'a> {
    x: &'a [f32],
    weight: &'a Packed,
    /// Filled up to whole blocks.
    bias: &'a [f32],
    outputs: usize,
    out: &'a mut [f32],
}
impl WithSimd for Rows<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, weight, bias, outputs, out } = self;
        let (k, width) = (weight.k, block());
        let m = x.len() / k;
        let product =
            |b, out_row| Product { a: x, a_row: k, a_step: 1, m, k, b, b_row: width, n: width, out_row };
        for (b, (factor, bias)) in weight.blocks().zip(bias.chunks_exact(width)).enumerate() {
            let first = b * width;
            if first + width <= outputs {
                product(factor, outputs).run(simd, bias, &mut out[first..]);
                continue;
            }
            let mut wide = vec![0f32; m * width];
            product(factor, width).run(simd, bias, &mut wide);
            for (o, w) in out.chunks_exact_mut(outputs).zip(wide.chunks_exact(width)) {
                o[first..].copy_from_slice(&w[..outputs - first]);
            }
        }
    }
}

fn product(x: &[f32], weight: &Packed, bias: Option<&[f32]>, outputs: usize) -> Vec<f32> {
    let mut wide = vec![0f32; outputs.div_ceil(block()) * block()];
    if let Some(bias) = bias {
        wide[..outputs].copy_from_slice(bias);
    }
    let k = weight.k;
    filled(1, x.len() / k * outputs, ROWS * outputs, |_, start, out| {
        let x = &x[start / outputs * k..][..out.len() / outputs * k];
        arch().dispatch(Rows { x, weight, bias: &wide, outputs, out });
    })
    .0
}

/// `x · weightᵀ + bias` for `x` `[rows, inputs]` and `weight` `[outputs, inputs]`: `[rows, outputs]`.
pub fn linear(x: &[f32], weight: &[f32], bias: Option<&[f32]>, outputs: usize) -> Vec<f32> {
    let inputs = weight.len() / outputs;
    assert!(weight.len() == inputs * outputs && x.len().is_multiple_of(inputs), "rows of {inputs}");
    assert!(bias.is_none_or(|b| b.len() == outputs));
    product(x, &Packed::of_columns(weight, outputs), bias, outputs)
}

/// The gradient for x: `gradient · weight`, `[rows, inputs]`.
pub fn linear_grad_x(gradient: &[f32], weight: &[f32], outputs: usize) -> Vec<f32> {
    let inputs = weight.len() / outputs;
    assert!(weight.len() == inputs * outputs && gradient.len().is_multiple_of(outputs));
    product(gradient, &Packed::of_rows(weight, inputs), None, inputs)
}

/// Rows `first..` of the weight's gradient.
struct OfWeight<'a> {
    x: &'a [f32],
    gradient: &'a [f32],
    inputs: usize,
    outputs: usize,
    first: usize,
    out: &'a mut [f32],
}
impl WithSimd for OfWeight<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        /// Rows between which sums go to memory: 256 rows of 768 numbers fit the cache.
        const STRETCH: usize = 256;
        let (inputs, outputs, width) = (self.inputs, self.outputs, block());
        let rows = self.x.len() / inputs;
        let zeros = vec![0f32; width];
        let mut sums = vec![0f32; TILE * width];
        let mut tile = vec![0f32; TILE * STRETCH];
        for start in (0..rows).step_by(STRETCH) {
            let k = STRETCH.min(rows - start);
            let x = Packed::of_rows(&self.x[start * inputs..][..k * inputs], inputs);
            for (t, out) in self.out.chunks_mut(TILE * inputs).enumerate() {
                let m = out.len() / inputs;
                let from = self.first + t * TILE;
                for (a, g) in
                    tile.chunks_exact_mut(m).zip(self.gradient[start * outputs..].chunks(outputs)).take(k)
                {
                    a.copy_from_slice(&g[from..from + m]);
                }
                for (b, factor) in x.blocks().enumerate() {
                    let a = &tile[..m * k];
                    let p = Product {
                        a,
                        a_row: 1,
                        a_step: m,
                        m,
                        k,
                        b: factor,
                        b_row: width,
                        n: width,
                        out_row: width,
                    };
                    p.run(simd, &zeros, &mut sums);
                    let columns = b * width..((b + 1) * width).min(inputs);
                    for (o, s) in out.chunks_exact_mut(inputs).zip(sums.chunks_exact(width)) {
                        for (o, s) in o[columns.clone()].iter_mut().zip(s) {
                            *o += s;
                        }
                    }
                }
            }
        }
    }
}

/// The gradient for the weight: `gradientᵀ · x`, `[outputs, inputs]`.
pub fn linear_grad_weight(x: &[f32], gradient: &[f32], outputs: usize, inputs: usize) -> Vec<f32> {
    /// Outputs of a task.
    const OUTPUTS: usize = 4 * TILE;
    /// Rows of a task, so that a small matrix is the work of all threads too; summed in f32.
    const PART: usize = 1 << 12;
    let rows = x.len() / inputs;
    assert!(x.len() == rows * inputs && gradient.len() == rows * outputs);
    let size = outputs * inputs;
    if rows == 0 {
        return vec![0.0; size];
    }
    let (parts, _) = filled(rows.div_ceil(PART), size, OUTPUTS * inputs, |part, start, out| {
        let range = part * PART..((part + 1) * PART).min(rows);
        let x = &x[range.start * inputs..range.end * inputs];
        let gradient = &gradient[range.start * outputs..range.end * outputs];
        arch().dispatch(OfWeight { x, gradient, inputs, outputs, first: start / inputs, out });
    });
    if parts.len() == size {
        return parts;
    }
    let mut total = vec![0f32; size];
    total.par_chunks_mut(PIECE).enumerate().for_each(|(p, out)| {
        for (i, o) in out.iter_mut().enumerate() {
            *o = parts.iter().skip(p * PIECE + i).step_by(size).map(|p| f64::from(*p)).sum::<f64>() as f32;
        }
    });
    total
}

/// The gradient for the bias: sums over rows, `[outputs]`.
pub fn linear_grad_bias(gradient: &[f32], outputs: usize) -> Vec<f32> {
    column_sums(gradient, outputs)
}
