//! A linear layer on rows, with its gradients: three products on the common tile.
use super::buffer::{PIECE, filled};
use super::elementwise::column_sums;
use super::product::{Linear, Product};
use super::tile::{arch, block};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Rows that one task multiplies: four of the tallest tiles.
const ROWS: usize = 48;
/// Rows between which products over rows are summed: 256 rows of 768 numbers fit the cache.
const STRETCH: usize = 256;

struct Rows<'a> {
    layer: &'a Linear,
    x: &'a [f32],
    inputs: usize,
    rows: usize,
    out: &'a mut [f32],
}
impl WithSimd for Rows<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.layer.apply(simd, self.x, self.inputs, self.rows, self.out);
    }
}

/// `x · weightᵀ + bias` for `x` `[rows, inputs]` and `weight` `[outputs, inputs]`: `[rows, outputs]`.
pub fn linear(x: &[f32], weight: &[f32], bias: Option<&[f32]>, outputs: usize) -> Vec<f32> {
    let inputs = weight.len() / outputs;
    assert!(weight.len() == inputs * outputs && x.len().is_multiple_of(inputs), "rows of {inputs}");
    assert!(bias.is_none_or(|b| b.len() == outputs));
    let (layer, rows) = (Linear::new(weight, bias, outputs), x.len() / inputs);
    let width = layer.width();
    filled(1, rows * outputs, ROWS * outputs, |_, start, out| {
        let (first, rows) = (start / outputs, out.len() / outputs);
        let x = &x[first * inputs..][..rows * inputs];
        if width == outputs {
            arch().dispatch(Rows { layer: &layer, x, inputs, rows, out });
            return;
        }
        let mut wide = vec![0f32; rows * width];
        arch().dispatch(Rows { layer: &layer, x, inputs, rows, out: &mut wide });
        for (o, w) in out.chunks_exact_mut(outputs).zip(wide.chunks_exact(width)) {
            o.copy_from_slice(&w[..outputs]);
        }
    })
    .0
}

/// The gradient for x: `gradient · weight`, `[rows, inputs]`.
pub fn linear_grad_x(gradient: &[f32], weight: &[f32], outputs: usize) -> Vec<f32> {
    let inputs = weight.len() / outputs;
    let mut transposed = vec![0f32; weight.len()];
    transposed.par_chunks_mut(outputs).with_min_len(PIECE.div_ceil(outputs)).enumerate().for_each(
        |(i, column)| {
            for (o, t) in column.iter_mut().enumerate() {
                *t = weight[o * inputs + i];
            }
        },
    );
    linear(gradient, &transposed, None, inputs)
}

/// Some rows of the weight's gradient.
struct OfWeight<'a> {
    x: &'a [f32],
    /// From the task's first output on.
    gradient: &'a [f32],
    inputs: usize,
    outputs: usize,
    out: &'a mut [f32],
}
impl WithSimd for OfWeight<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let width = inputs.div_ceil(block()) * block();
        let (m, rows) = (self.out.len() / inputs, self.x.len() / inputs);
        let zeros = vec![0f32; block()];
        let mut product = vec![0f32; m * width];
        // Rows of x that fill whole vectors: those that do not are widened.
        let mut wide = vec![0f32; if width == inputs { 0 } else { STRETCH.min(rows) * width }];
        for first in (0..rows).step_by(STRETCH) {
            let k = STRETCH.min(rows - first);
            let x = &self.x[first * inputs..][..k * inputs];
            for (w, x) in wide.chunks_exact_mut(width).zip(x.chunks_exact(inputs)) {
                w[..inputs].copy_from_slice(x);
            }
            let b = if width == inputs { x } else { &wide[..k * width] };
            let a = &self.gradient[first * outputs..];
            let p =
                Product { a, a_row: 1, a_step: outputs, m, k, b, b_row: width, n: inputs, out_row: width };
            p.run(simd, &zeros, &mut product);
            for (o, p) in self.out.chunks_exact_mut(inputs).zip(product.chunks_exact(width)) {
                for (o, p) in o.iter_mut().zip(p) {
                    *o += p;
                }
            }
        }
    }
}

/// The gradient for the weight: `gradientᵀ · x`, `[outputs, inputs]`.
pub fn linear_grad_weight(x: &[f32], gradient: &[f32], outputs: usize, inputs: usize) -> Vec<f32> {
    /// Outputs of a task, and rows summed in f32.
    const OUTPUTS: usize = 24;
    const PART: usize = 1 << 14;
    let rows = x.len() / inputs;
    assert!(x.len() == rows * inputs && gradient.len() == rows * outputs);
    let size = outputs * inputs;
    if rows == 0 {
        return vec![0.0; size];
    }
    // Several parts of the rows, so that a small matrix is the work of all threads too.
    let (parts, _) = filled(rows.div_ceil(PART), size, OUTPUTS * inputs, |part, start, out| {
        let (first, last) = (part * PART, ((part + 1) * PART).min(rows));
        let x = &x[first * inputs..last * inputs];
        let gradient = &gradient[first * outputs + start / inputs..last * outputs];
        arch().dispatch(OfWeight { x, gradient, inputs, outputs, out });
    });
    if parts.len() == size {
        return parts;
    }
    filled(1, size, PIECE, |_, start, out| {
        for (i, o) in out.iter_mut().enumerate() {
            *o = parts.iter().skip(start + i).step_by(size).map(|p| f64::from(*p)).sum::<f64>() as f32;
        }
    })
    .0
}

/// The gradient for the bias: sums over rows, `[outputs]`.
pub fn linear_grad_bias(gradient: &[f32], outputs: usize) -> Vec<f32> {
    column_sums(gradient, outputs)
}
