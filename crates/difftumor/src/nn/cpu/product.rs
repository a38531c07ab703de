//! Matrix products of the attention kernels.
use super::tile::{Run, Strides, block, block_rows};
use pulp::Simd;

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
