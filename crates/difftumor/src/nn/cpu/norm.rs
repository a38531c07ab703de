//! GroupNorm with optional scale-shift and SiLU in two passes over the data.
use super::tile::{arch, exp, written};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Elements summed in f32 before the sum goes to f64: long f32 sums lose the digits that a variance needs.
const STRETCH: usize = 4096;

struct Moments<'a>(&'a [f32]);
impl WithSimd for Moments<'_> {
    type Output = (f64, f64);
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, f64) {
        // Shifted by the first value, so that a mean far from 0 does not cancel in E[x²] - E[x]².
        let shift = self.0.first().copied().unwrap_or(0.0);
        let (mut sum, mut square) = (0f64, 0f64);
        for stretch in self.0.chunks(STRETCH) {
            let (vectors, rest) = S::as_simd_f32s(stretch);
            let (mut s, mut q) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
            for v in vectors {
                let v = simd.sub_f32s(*v, simd.splat_f32s(shift));
                s = simd.add_f32s(s, v);
                q = simd.mul_add_e_f32s(v, v, q);
            }
            sum += f64::from(simd.reduce_sum_f32s(s));
            square += f64::from(simd.reduce_sum_f32s(q));
            for v in rest {
                let v = f64::from(v - shift);
                sum += v;
                square += v * v;
            }
        }
        let n = self.0.len() as f64;
        let mean = sum / n;
        (mean + f64::from(shift), (square / n - mean * mean).max(0.0))
    }
}

struct Affine<'a> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    out: &'a mut [MaybeUninit<f32>],
    scale: f32,
    shift: f32,
    silu: bool,
}
impl WithSimd for Affine<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (a, b) = (self.scale, self.shift);
        let silu = |v: f32| {
            let z = v * a + b;
            z / (1.0 + exp(-z))
        };
        let both = self.out.iter_mut().zip(self.x);
        match (self.silu, self.residual) {
            (true, None) => both.for_each(|(o, v)| _ = o.write(silu(*v))),
            (true, Some(r)) => both.zip(r).for_each(|((o, v), r)| _ = o.write(silu(*v) + r)),
            (false, None) => both.for_each(|(o, v)| _ = o.write(v * a + b)),
            (false, Some(r)) => both.zip(r).for_each(|((o, v), r)| _ = o.write(v * a + b + r)),
        }
    }
}

/// What is applied after the normalisation of each group.
pub struct AfterNorm<'a> {
    /// Affine weight, `[C]`.
    pub weight: &'a [f32],
    /// Affine bias, `[C]`.
    pub bias: &'a [f32],
    /// FiLM modulation `y * (scale + 1) + shift`, each `[B, C]`.
    pub scale_shift: Option<(&'a [f32], &'a [f32])>,
    /// SiLU at the end.
    pub silu: bool,
}

/// `x` is `[B, C, ...]` with `volume` elements to a channel; the result has its shape.
pub fn group_norm(
    x: &[f32],
    channels: usize,
    volume: usize,
    groups: usize,
    eps: f64,
    after: &AfterNorm,
) -> Vec<f32> {
    group_norm_add(x, channels, volume, groups, eps, after, None)
}

/// [`group_norm`] with `residual`, of x's shape, added at the end.
pub fn group_norm_add(
    x: &[f32],
    channels: usize,
    volume: usize,
    groups: usize,
    eps: f64,
    after: &AfterNorm,
    residual: Option<&[f32]>,
) -> Vec<f32> {
    assert!(residual.is_none_or(|r| r.len() == x.len()));
    let per_group = channels / groups * volume;
    // Pieces of a fixed length: the sum's order must not depend on the number of threads.
    let moments: Vec<(f64, f64)> = x
        .par_chunks(per_group)
        .map(|group| {
            let parts: Vec<(f64, f64, f64)> = group
                .par_chunks(1 << 18)
                .map(|p| {
                    let (mean, var) = arch().dispatch(Moments(p));
                    (p.len() as f64, mean, var)
                })
                .collect();
            let n = per_group as f64;
            let mean = parts.iter().map(|(k, m, _)| k * m).sum::<f64>() / n;
            let var = parts.iter().map(|(k, m, v)| k * (v + (m - mean).powi(2))).sum::<f64>() / n;
            (mean, 1.0 / (var + eps).sqrt())
        })
        .collect();
    let apply = |i: usize, out: &mut [MaybeUninit<f32>]| {
        let c = i % channels;
        let (mean, inv) = moments[i * volume / per_group];
        let mut scale = f64::from(after.weight[c]) * inv;
        let mut shift = f64::from(after.bias[c]) - mean * scale;
        if let Some((s, t)) = after.scale_shift {
            let factor = f64::from(s[i]) + 1.0;
            scale *= factor;
            shift = shift * factor + f64::from(t[i]);
        }
        let at = i * volume..(i + 1) * volume;
        let (x, residual) = (&x[at.clone()], residual.map(|r| &r[at]));
        let (scale, shift) = (scale as f32, shift as f32);
        arch().dispatch(Affine { x, residual, out, scale, shift, silu: after.silu });
    };
    // SAFETY: each channel of each item is written by its own task.
    unsafe {
        written(x.len(), |out| {
            (0..x.len() / volume).into_par_iter().for_each(|i| {
                let channel = out.at(i * volume).cast::<MaybeUninit<f32>>();
                apply(i, std::slice::from_raw_parts_mut(channel, volume));
            });
        })
    }
}
