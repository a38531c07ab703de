//! LayerNorm over the last axis: rows `[rows, C]`, with or without weight and bias.
use super::buffer::{PIECE, filled};
use super::sum::sums;
use super::tile::arch;
use pulp::{Simd, WithSimd};

/// LayerNorm of rows.
#[derive(Clone, Copy)]
pub struct RowNorm<'a> {
    /// C.
    pub channels: usize,
    /// Added to the (biased) variance.
    pub eps: f64,
    /// Weight and bias, `[C]`.
    pub affine: Option<(&'a [f32], &'a [f32])>,
}

/// Gradients of all that a LayerNorm takes.
#[derive(Debug, Default)]
pub struct RowGradients {
    /// Of x.
    pub x: Vec<f32>,
    /// Of the weight, `[C]`.
    pub weight: Vec<f32>,
    /// Of the bias, `[C]`.
    pub bias: Vec<f32>,
}

/// Mean and 1 / √(variance + eps) of a row.
pub type Moments = [f32; 2];

/// The moments of a row, with `row - mean` in `centred`.
#[inline(always)]
fn moments<S: Simd>(simd: S, row: &[f32], centred: &mut [f32], eps: f64) -> Moments {
    let [sum] = sums(simd, row, row, |_, a, _| [a]);
    let mean = (sum / row.len() as f64) as f32;
    for (c, v) in centred.iter_mut().zip(row) {
        *c = v - mean;
    }
    let [square] = sums(simd, centred, centred, |s, a, _| [s.mul_f32s(a, a)]);
    [mean, (1.0 / (square / row.len() as f64 + eps).sqrt()) as f32]
}

struct Forward<'a> {
    norm: RowNorm<'a>,
    x: &'a [f32],
    out: &'a mut [f32],
}
impl WithSimd for Forward<'_> {
    type Output = Vec<Moments>;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<Moments> {
        let n = self.norm.channels;
        let mut all = Vec::with_capacity(self.x.len() / n);
        for (x, out) in self.x.chunks_exact(n).zip(self.out.chunks_exact_mut(n)) {
            let found = moments(simd, x, out, self.norm.eps);
            let inverse = found[1];
            all.push(found);
            match self.norm.affine {
                None => {
                    for o in out {
                        *o *= inverse;
                    }
                }
                Some((weight, bias)) => {
                    for ((o, w), b) in out.iter_mut().zip(weight).zip(bias) {
                        *o = *o * inverse * w + b;
                    }
                }
            }
        }
        all
    }
}

struct Backward<'a> {
    norm: RowNorm<'a>,
    x: &'a [f32],
    moments: &'a [Moments],
    gradient: &'a [f32],
    out: &'a mut [f32],
    /// Sums over the rows for weight and bias.
    of_weight: &'a mut [f32],
    of_bias: &'a mut [f32],
    /// A row of g · weight.
    weighted: &'a mut [f32],
}
impl WithSimd for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let n = self.norm.channels;
        let rows =
            self.x.chunks_exact(n).zip(self.gradient.chunks_exact(n)).zip(self.out.chunks_exact_mut(n));
        for (((x, g), out), [mean, inverse]) in rows.zip(self.moments) {
            for (o, x) in out.iter_mut().zip(x) {
                *o = x - mean;
            }
            let weighted = match self.norm.affine {
                None => g,
                Some((weight, _)) => {
                    for i in 0..n {
                        self.of_weight[i] += g[i] * (out[i] * inverse);
                        self.of_bias[i] += g[i];
                        self.weighted[i] = g[i] * weight[i];
                    }
                    &self.weighted[..]
                }
            };
            let [sum, product] = sums(simd, weighted, out, |s, g, d| [g, s.mul_f32s(g, d)]);
            // dx = inverse · (gw - mean(gw) - d · inverse² · mean(gw · d))
            let mean = (sum / n as f64) as f32;
            let slope = (product / n as f64 * f64::from(*inverse).powi(2)) as f32;
            for (o, g) in out.iter_mut().zip(weighted) {
                *o = (g - mean - *o * slope) * inverse;
            }
        }
    }
}

impl RowNorm<'_> {
    /// Rows of one task: by size only, so that sums over rows do not depend on the threads.
    fn rows_at_once(&self) -> usize {
        (PIECE / self.channels).clamp(1, 256)
    }

    fn check(&self, x: &[f32]) {
        assert!(x.len().is_multiple_of(self.channels), "rows of {} channels", self.channels);
        assert!(self.affine.is_none_or(|(w, b)| w.len() == self.channels && b.len() == self.channels));
    }

    /// `x` is `[rows, C]`; so is the result. With the moments of each row, for the gradients.
    pub fn forward(&self, x: &[f32]) -> (Vec<f32>, Vec<Moments>) {
        self.check(x);
        let (out, moments) = filled(1, x.len(), self.rows_at_once() * self.channels, |_, start, out| {
            arch().dispatch(Forward { norm: *self, x: &x[start..][..out.len()], out })
        });
        (out, moments.concat())
    }

    /// Gradients from those of the result of [`RowNorm::forward`] for `x`, with its `moments`.
    pub fn gradients(&self, x: &[f32], moments: &[Moments], gradient: &[f32]) -> RowGradients {
        self.check(x);
        let n = self.channels;
        assert!(x.len() == gradient.len() && x.len() == moments.len() * n);
        let (dx, parts) = filled(1, x.len(), self.rows_at_once() * n, |_, start, out| {
            let mut of = vec![0f32; 3 * n];
            let (of_weight, rest) = of.split_at_mut(n);
            let (of_bias, weighted) = rest.split_at_mut(n);
            let (x, gradient) = (&x[start..][..out.len()], &gradient[start..][..out.len()]);
            let moments = &moments[start / n..];
            arch().dispatch(Backward {
                norm: *self,
                x,
                moments,
                gradient,
                out,
                of_weight,
                of_bias,
                weighted,
            });
            of.truncate(2 * n);
            of
        });
        if self.affine.is_none() {
            return RowGradients { x: dx, ..RowGradients::default() };
        }
        let mut total = vec![0f64; 2 * n];
        for part in &parts {
            for (t, p) in total.iter_mut().zip(part) {
                *t += f64::from(*p);
            }
        }
        let total: Vec<f32> = total.into_iter().map(|t| t as f32).collect();
        RowGradients { x: dx, weight: total[..n].to_vec(), bias: total[n..].to_vec() }
    }
}
