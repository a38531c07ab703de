//! Gradients of [`Normalise`]: one pass for the sums of each channel, one for the gradient of x.
//!
//! With d = x - mean, x̂ = d · inverse, u = x̂ · factor + summand and y = function(u): the sums are Σ g_u and Σ g_u · d
//! of each channel, where g_u = g · function'(u). They give the parameters' gradients, and in each group
//! dx = inverse · (g_u · factor - mean(g_u · factor) - x̂ · mean(g_u · factor · x̂)).
use super::activation::{Formula, Function, with_formula};
use super::buffer::{self, Fresh, filled, filled_bit_by_bit};
use super::normalise::{Channel, FITS, Moments, Normalise, PIECE};
use super::sum::sums;
use super::tile::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Elements whose g_u lie in L1 between their computation and the sums.
const BLOCK: usize = 1024;

/// Gradients of all that a normalisation takes.
#[derive(Debug, Default)]
pub struct NormGradients {
    /// Of x; empty if not wanted.
    pub x: Vec<f32>,
    /// Of the affine weight, `[C]`.
    pub weight: Vec<f32>,
    /// Of the affine bias, `[C]`.
    pub bias: Vec<f32>,
    /// Of the modulation's scale, `[B, C]`.
    pub scale: Vec<f32>,
    /// Of the modulation's shift, `[B, C]`.
    pub shift: Vec<f32>,
    /// Of the slope of [`Function::Leaky`].
    pub slope: f32,
}

/// Σ g_u, Σ g_u · d, and the slope's Σ g · min(u, 0).
type ChannelSums = [f64; 3];

struct SumChannel<'a, 'b> {
    function: Function,
    channel: Channel,
    x: &'a [f32],
    gradient: &'a [f32],
    /// Where g_u is left, if anywhere.
    keep: Option<&'a mut Fresh<'b>>,
}
impl WithSimd for SumChannel<'_, '_> {
    type Output = ChannelSums;
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> ChannelSums {
        let Channel { mean, gain, offset } = self.channel;
        let (mut d, mut scratch) = ([0f32; BLOCK], [0f32; BLOCK]);
        let mut total = [0f64; 3];
        for (x, g) in self.x.chunks(BLOCK).zip(self.gradient.chunks(BLOCK)) {
            let d = &mut d[..x.len()];
            let outer = match &mut self.keep {
                Some(fresh) => fresh.take(x.len()),
                None => &mut scratch[..x.len()],
            };
            with_formula!(self.function, f => for i in 0..x.len() {
                d[i] = x[i] - mean;
                outer[i] = g[i] * f.derivative(d[i] * gain + offset);
            });
            let [a, b] = sums(simd, outer, d, |s, g, d| [g, s.mul_f32s(g, d)]);
            total[0] += a;
            total[1] += b;
            if let Function::Leaky(_) = self.function {
                for d in d.iter_mut() {
                    *d = (*d * gain + offset).min(0.0);
                }
                let [c] = sums(simd, d, g, |s, u, g| [s.mul_f32s(u, g)]);
                total[2] += c;
            }
        }
        total
    }
}

/// dx = g_u · `outer` + d · `inner` + `constant`.
struct Combine<'a> {
    function: Function,
    channel: Channel,
    factors: [f32; 3],
    x: &'a [f32],
    /// The result's gradient, or none where `out` holds g_u.
    gradient: Option<&'a [f32]>,
    out: &'a mut [f32],
}
impl WithSimd for Combine<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Channel { mean, gain, offset } = self.channel;
        let Self { factors: [outer, inner, constant], x, gradient, out, .. } = self;
        let Some(gradient) = gradient else {
            for (o, x) in out.iter_mut().zip(x) {
                *o = *o * outer + ((x - mean) * inner + constant);
            }
            return;
        };
        with_formula!(self.function, f => for ((o, x), g) in out.iter_mut().zip(x).zip(gradient) {
            let d = x - mean;
            *o = g * f.derivative(d * gain + offset) * outer + (d * inner + constant);
        });
    }
}

impl Normalise<'_> {
    /// Gradients from those of the result of [`Normalise::forward`] for `x`, with its `moments`.
    pub fn gradients(
        &self,
        x: &[f32],
        moments: &[Moments],
        gradient: &[f32],
        x_wanted: bool,
    ) -> NormGradients {
        self.check(x);
        let (len, volume, per_group) = (self.group_len(), self.volume, self.channels / self.groups);
        assert!(x.len() == gradient.len() && moments.len() * len == x.len());
        let of = |start: usize, n: usize| (&x[start..][..n], &gradient[start..][..n]);
        let sum = |i: usize, start: usize, n: usize, keep: Option<&mut Fresh>| {
            let (x, gradient) = of(i * volume + start, n);
            let channel = self.channel(i, moments[i / per_group]);
            arch().dispatch(SumChannel { function: self.function, channel, x, gradient, keep })
        };
        let combine = |i: usize, start: usize, means: [f64; 2], kept: bool, out: &mut [f32]| {
            let m = moments[i / per_group];
            let (x, gradient) = of(i * volume + start, out.len());
            let factors =
                [self.after(i)[0] * m.inverse, -means[1] * m.inverse.powi(2), -means[0] * m.inverse];
            arch().dispatch(Combine {
                function: self.function,
                channel: self.channel(i, m),
                factors: factors.map(|f| f as f32),
                x,
                gradient: (!kept).then_some(gradient),
                out,
            });
        };
        if x_wanted && len <= FITS {
            // The result's memory keeps g_u from one pass to the other: SiLU's derivative costs more than the cache.
            let (dx, found) = filled_bit_by_bit(x.len() / len.max(1), len, len, |g, _, out| {
                let channels = g * per_group..(g + 1) * per_group;
                let found: Vec<ChannelSums> =
                    channels.clone().map(|i| sum(i, 0, volume, Some(&mut *out))).collect();
                let means = self.means(g, &found, moments[g]);
                for (i, out) in channels.zip(out.taken().chunks_mut(volume)) {
                    combine(i, 0, means, true, out);
                }
                found
            });
            return NormGradients { x: dx, ..self.of_parameters(&found.concat(), moments) };
        }
        let found: Vec<ChannelSums> = (0..x.len() / volume)
            .into_par_iter()
            .with_min_len(PIECE.div_ceil(volume))
            .map(|i| {
                let piece = |p: usize| sum(i, p * PIECE, PIECE.min(volume - p * PIECE), None);
                let parts: Vec<ChannelSums> =
                    (0..volume.div_ceil(PIECE)).into_par_iter().map(piece).collect();
                std::array::from_fn(|k| parts.iter().map(|p| p[k]).sum())
            })
            .collect();
        let parameters = self.of_parameters(&found, moments);
        if !x_wanted {
            return parameters;
        }
        let means: Vec<[f64; 2]> =
            found.chunks(per_group).enumerate().map(|(g, f)| self.means(g, f, moments[g])).collect();
        let make =
            |i: usize, start: usize, out: &mut [f32]| combine(i, start, means[i / per_group], false, out);
        let (dx, _) = filled(x.len() / volume, volume, buffer::PIECE, make);
        NormGradients { x: dx, ..parameters }
    }

    /// Means over group `g` of g_u · factor, alone and times x̂, from the sums of its channels.
    fn means(&self, g: usize, found: &[ChannelSums], moments: Moments) -> [f64; 2] {
        let mut means = [0f64; 2];
        if !self.measured {
            return means; // the moments do not depend on x
        }
        for (c, sums) in found.iter().enumerate() {
            let factor = self.after(g * found.len() + c)[0] / self.group_len() as f64;
            means[0] += factor * sums[0];
            means[1] += factor * sums[1] * moments.inverse;
        }
        means
    }

    /// The parameters' gradients from the sums of all channels.
    fn of_parameters(&self, found: &[ChannelSums], moments: &[Moments]) -> NormGradients {
        let per_group = self.channels / self.groups;
        let mut affine = vec![[0f64; 2]; self.channels];
        let (mut scale, mut shift) = (Vec::new(), Vec::new());
        for (i, [outer, with_d, _]) in found.iter().enumerate() {
            let normalised = with_d * moments[i / per_group].inverse;
            let c = i % self.channels;
            let factor = self.after(i)[2];
            affine[c][0] += factor * normalised;
            affine[c][1] += factor * outer;
            if self.scale_shift.is_some() {
                let (weight, bias) = self.affine.map_or((1.0, 0.0), |(w, b)| (w[c], b[c]));
                scale.push((f64::from(weight) * normalised + f64::from(bias) * outer) as f32);
                shift.push(*outer as f32);
            }
        }
        NormGradients {
            x: Vec::new(),
            weight: affine.iter().map(|a| a[0] as f32).collect(),
            bias: affine.iter().map(|a| a[1] as f32).collect(),
            scale,
            shift,
            slope: found.iter().map(|f| f[2]).sum::<f64>() as f32,
        }
    }
}
