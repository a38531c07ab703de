//! LayerNorm over the channels of `[B, C, ...]`: moments for each voxel, then one pass by channel.
use super::buffer::{PIECE, filled};
use super::sum::sums;
use super::tile::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Voxels of a task: their sums fill 2 kB each, and their values of 768 channels 1.5 MB of the cache.
const VOXELS: usize = 512;
/// Elements whose normalised values lie in L1 between their computation and the sums.
const BLOCK: usize = 1024;

/// LayerNorm over channels.
#[derive(Clone, Copy)]
pub struct ChannelNorm<'a> {
    /// C.
    pub channels: usize,
    /// Elements of a channel.
    pub volume: usize,
    /// Added to the (biased) variance.
    pub eps: f64,
    /// `[C]`.
    pub weight: Option<&'a [f32]>,
}

/// `total[v] += term(x[c][v], v)` over channels.
#[inline(always)]
fn over_channels(x: &[f32], volume: usize, total: &mut [f32], term: impl Fn(f32, usize) -> f32) {
    for channel in x.chunks(volume) {
        for (v, (t, x)) in total.iter_mut().zip(channel).enumerate() {
            *t += term(*x, v);
        }
    }
}

/// Mean and 1 / √(variance + eps) of voxels `start..` of an item.
struct Moments<'a> {
    norm: ChannelNorm<'a>,
    /// From the task's first voxel in the first channel to the item's end.
    x: &'a [f32],
    mean: &'a mut [f32],
    inverse: &'a mut [f32],
}
impl WithSimd for Moments<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { norm, x, mean, inverse } = self;
        let c = norm.channels as f32;
        over_channels(x, norm.volume, mean, |x, _| x);
        for m in mean.iter_mut() {
            *m /= c;
        }
        over_channels(x, norm.volume, inverse, |x, v| (x - mean[v]) * (x - mean[v]));
        for i in inverse.iter_mut() {
            *i = 1.0 / (*i / c + norm.eps as f32).sqrt();
        }
    }
}

/// Means over channels of g · weight, alone and times the normalised x.
struct Means<'a> {
    norm: ChannelNorm<'a>,
    x: &'a [f32],
    gradient: &'a [f32],
    /// mean and inverse.
    moments: [&'a [f32]; 2],
    plain: &'a mut [f32],
    product: &'a mut [f32],
}
impl WithSimd for Means<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { norm, x, gradient, moments: [mean, inverse], plain, product } = self;
        let n = plain.len();
        for (c, (x, g)) in x.chunks(norm.volume).zip(gradient.chunks(norm.volume)).enumerate() {
            let w = norm.weight.map_or(1.0, |w| w[c]);
            let (x, g) = (&x[..n], &g[..n]);
            for v in 0..n {
                let g = g[v] * w;
                plain[v] += g;
                product[v] += g * (x[v] - mean[v]);
            }
        }
        let c = norm.channels as f32;
        for v in 0..n {
            plain[v] /= c;
            product[v] *= inverse[v] / c;
        }
    }
}

struct Apply<'a> {
    weight: f32,
    x: &'a [f32],
    moments: [&'a [f32]; 2],
    out: &'a mut [f32],
}
impl WithSimd for Apply<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { weight, x, moments: [mean, inverse], out } = self;
        for (((o, x), m), i) in out.iter_mut().zip(x).zip(mean).zip(inverse) {
            *o = (x - m) * i * weight;
        }
    }
}

struct Combine<'a> {
    weight: f32,
    x: &'a [f32],
    gradient: &'a [f32],
    /// mean, inverse, and the means of [`Means`].
    moments: [&'a [f32]; 4],
    out: &'a mut [f32],
}
impl WithSimd for Combine<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { weight, x, gradient, moments: [mean, inverse, plain, product], out } = self;
        let n = out.len();
        let (x, g, m, i) = (&x[..n], &gradient[..n], &mean[..n], &inverse[..n]);
        let (a, b) = (&plain[..n], &product[..n]);
        for v in 0..n {
            out[v] = (g[v] * weight - a[v] - (x[v] - m[v]) * i[v] * b[v]) * i[v];
        }
    }
}

/// Σ g · x̂ over a piece of a channel.
struct OfWeight<'a> {
    x: &'a [f32],
    gradient: &'a [f32],
    moments: [&'a [f32]; 2],
}
impl WithSimd for OfWeight<'_> {
    type Output = f64;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let mut normalised = [0f32; BLOCK];
        let mut total = 0.0;
        for start in (0..self.x.len()).step_by(BLOCK) {
            let range = start..(start + BLOCK).min(self.x.len());
            let out = &mut normalised[..range.len()];
            let [mean, inverse] = self.moments.map(|m| &m[range.clone()]);
            Apply { weight: 1.0, x: &self.x[range.clone()], moments: [mean, inverse], out }.with_simd(simd);
            let [sum] = sums(simd, &self.gradient[range], out, |s, g, x| [s.mul_f32s(g, x)]);
            total += sum;
        }
        total
    }
}

impl ChannelNorm<'_> {
    fn check(&self, x: &[f32]) {
        assert!(x.len().is_multiple_of(self.channels * self.volume), "whole items");
        assert!(self.weight.is_none_or(|w| w.len() == self.channels));
    }

    /// Two numbers for each voxel: `make(range, voxel, first, second)` computes those of a few voxels from `voxel` on,
    /// whose values begin where `range` does; it ends with the item.
    fn for_voxels(
        &self,
        items: usize,
        make: impl Fn(Range<usize>, usize, &mut [f32], &mut [f32]) + Sync,
    ) -> [Vec<f32>; 2] {
        let (item_len, volume) = (self.channels * self.volume, self.volume);
        let mut second = vec![0f32; items * volume];
        let mut first = vec![0f32; items * volume];
        let tasks = first.par_chunks_mut(volume).zip(second.par_chunks_mut(volume)).enumerate();
        tasks.for_each(|(item, (first, second))| {
            let tasks = first.par_chunks_mut(VOXELS).zip(second.par_chunks_mut(VOXELS)).enumerate();
            tasks.for_each(|(t, (first, second))| {
                let start = item * item_len + t * VOXELS;
                make(start..(item + 1) * item_len, item * volume + t * VOXELS, first, second);
            });
        });
        [first, second]
    }

    fn moments(&self, x: &[f32]) -> [Vec<f32>; 2] {
        self.for_voxels(x.len() / (self.channels * self.volume), |range, _, mean, inverse| {
            arch().dispatch(Moments { norm: *self, x: &x[range], mean, inverse });
        })
    }

    /// `x` is `[B, C, ...]`; so is the result.
    pub fn forward(&self, x: &[f32]) -> Vec<f32> {
        self.check(x);
        let moments = self.moments(x);
        filled(x.len() / self.volume, self.volume, PIECE, |i, start, out| {
            let weight = self.weight.map_or(1.0, |w| w[i % self.channels]);
            let voxel = i / self.channels * self.volume + start;
            let moments = [0, 1].map(|k: usize| &moments[k][voxel..][..out.len()]);
            arch().dispatch(Apply { weight, x: &x[i * self.volume + start..][..out.len()], moments, out });
        })
        .0
    }

    /// Gradients for x and the weight from those of the result of [`ChannelNorm::forward`] for `x`.
    pub fn gradients(&self, x: &[f32], gradient: &[f32]) -> (Vec<f32>, Vec<f32>) {
        self.check(x);
        assert_eq!(x.len(), gradient.len());
        let volume = self.volume;
        let [mean, inverse] = self.moments(x);
        let [plain, product] =
            self.for_voxels(x.len() / (self.channels * volume), |range, voxel, plain, product| {
                let moments = [&mean[voxel..], &inverse[voxel..]];
                let (x, gradient) = (&x[range.clone()], &gradient[range]);
                arch().dispatch(Means { norm: *self, x, gradient, moments, plain, product });
            });
        let (dx, sums) = filled(x.len() / volume, volume, PIECE, |i, start, out| {
            let channel = i % self.channels;
            let weight = self.weight.map_or(1.0, |w| w[channel]);
            let voxel = i / self.channels * volume + start;
            let moments = [&mean, &inverse, &plain, &product].map(|k| &k[voxel..][..out.len()]);
            let at = i * volume + start..i * volume + start + out.len();
            let (x, gradient) = (&x[at.clone()], &gradient[at]);
            arch().dispatch(Combine { weight, x, gradient, moments, out });
            let moments = [moments[0], moments[1]];
            (channel, arch().dispatch(OfWeight { x, gradient, moments }))
        });
        let mut of_weight = vec![0f64; self.channels];
        for (channel, sum) in sums {
            of_weight[channel] += sum;
        }
        (dx, of_weight.into_iter().map(|w| w as f32).collect())
    }
}
