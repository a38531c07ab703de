//! Matrix products of the attention kernels: a packed linear layer, and small products within one head.
use super::tile::{Run, Strides, block, block_rows};
use pulp::Simd;

/// A linear layer packed for [`block_rows`]: `[column block][input][block]`.
pub struct Linear {
    packed: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl Linear {
    /// Packs `weight` `[outputs, inputs]`.
    pub fn new(weight: &[f32], bias: Option<&[f32]>, outputs: usize) -> Self {
        let (inputs, width) = (weight.len() / outputs, block());
        let blocks = outputs.div_ceil(width);
        let mut packed = vec![0f32; blocks * inputs * width];
        for (o, row) in weight.chunks_exact(inputs).enumerate() {
            for (i, v) in row.iter().enumerate() {
                packed[(o / width * inputs + i) * width + o % width] = *v;
            }
        }
        let mut b = vec![0f32; blocks * width];
        if let Some(bias) = bias {
            b[..outputs].copy_from_slice(bias);
        }
        Self { packed, bias: b, inputs, outputs }
    }

    /// Width of a row of the result: the outputs, widened to whole blocks.
    pub fn width(&self) -> usize {
        self.outputs.div_ceil(block()) * block()
    }

    /// `out[r] = x[r] · weightᵀ + bias` for rows `x_row` apart; rows of `out` are [`Linear::width`] wide.
    #[inline(always)]
    pub fn apply<S: Simd>(&self, simd: S, x: &[f32], x_row: usize, rows: usize, out: &mut [f32]) {
        let width = block();
        assert!(rows == 0 || x.len() >= (rows - 1) * x_row + self.inputs && out.len() >= rows * self.width());
        for (b, bias) in self.bias.chunks_exact(width).enumerate() {
            let w = &self.packed[b * self.inputs * width..][..self.inputs * width];
            // SAFETY: the assertion above covers x and out; w holds `inputs` rows of `width`.
            unsafe {
                let x = x.as_ptr();
                let run = |r: usize| {
                    std::iter::once(Run { x: x.add(r * x_row), w: w.as_ptr(), terms: self.inputs })
                };
                let strides = Strides { row: x_row, step: 1, w_row: width };
                let out = out.as_mut_ptr().add(b * width);
                block_rows(simd, rows, run, strides, bias.as_ptr(), out, self.width());
            }
        }
    }
}

/// A small product `out[m × n] = a[m × k] · b[k × n]`, `n` within one row of whole blocks of `b` and `out`.
pub struct Product<'a> {
    /// Left factor: element (i, j) at `i * a_row + j * a_step`.
    pub a: &'a [f32],
    /// From one row of `a` to the next.
    pub a_row: usize,
    /// From one column of `a` to the next.
    pub a_step: usize,
    /// Rows of `a`.
    pub m: usize,
    /// Columns of `a`, rows of `b`.
    pub k: usize,
    /// Right factor, rows `b_row` apart.
    pub b: &'a [f32],
    /// From one row of `b` to the next.
    pub b_row: usize,
    /// Columns of `b`.
    pub n: usize,
    /// From one row of the result to the next.
    pub out_row: usize,
}

impl Product<'_> {
    /// Computes the product into `out`. `zeros` holds [`block`] zeros.
    #[inline(always)]
    pub fn run<S: Simd>(&self, simd: S, zeros: &[f32], out: &mut [f32]) {
        let width = block();
        let blocks = self.n.div_ceil(width);
        assert!(self.a.len() > (self.m - 1) * self.a_row + (self.k - 1) * self.a_step);
        assert!(self.b.len() >= (self.k - 1) * self.b_row + blocks * width);
        assert!(out.len() >= (self.m - 1) * self.out_row + blocks * width && zeros.len() >= width);
        for b in 0..blocks {
            // SAFETY: the assertions above.
            unsafe {
                let (a, w) = (self.a.as_ptr(), self.b.as_ptr().add(b * width));
                let run = |r: usize| std::iter::once(Run { x: a.add(r * self.a_row), w, terms: self.k });
                let strides = Strides { row: self.a_row, step: self.a_step, w_row: self.b_row };
                let out = out.as_mut_ptr().add(b * width);
                block_rows(simd, self.m, run, strides, zeros.as_ptr(), out, self.out_row);
            }
        }
    }
}
