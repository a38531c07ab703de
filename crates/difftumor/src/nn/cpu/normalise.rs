//! GroupNorm and InstanceNorm with what follows them: affine, scale-shift and activation in the second of two passes.
//!
//! A group whose values fit the cache is read from memory once; its two passes are one task.
use super::activation::{Formula, Function, with_formula};
use super::buffer::{self, Fresh, filled, filled_bit_by_bit};
use super::tile::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Elements summed in f32 before the sum goes to f64: long f32 sums lose the digits that a variance needs.
pub(super) const STRETCH: usize = 4096;
/// Elements of a task where a group is too large for one.
pub(super) const PIECE: usize = 1 << 15;
/// Groups of at most so many elements are one task: x, a gradient and a result of them fill 1.5 of 2 MiB of L2.
pub(super) const FITS: usize = 1 << 17;

/// What a group is normalised with.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// Mean of the group.
    pub mean: f64,
    /// 1 / √(variance + eps), biased variance.
    pub inverse: f64,
}

/// A normalisation of `[B, C, ...]`, and what follows it.
#[derive(Clone, Copy)]
pub struct Normalise<'a> {
    /// C.
    pub channels: usize,
    /// Elements of a channel.
    pub volume: usize,
    /// Groups of channels; C of them for InstanceNorm.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// Whether mean and variance are those of the group. Otherwise they are 0 and 1, and only what follows is done.
    pub measured: bool,
    /// Affine weight and bias, `[C]`.
    pub affine: Option<(&'a [f32], &'a [f32])>,
    /// FiLM modulation `y * (scale + 1) + shift`, each `[B, C]`.
    pub scale_shift: Option<(&'a [f32], &'a [f32])>,
    /// At the end.
    pub function: Function,
}

/// What becomes of one channel: `function((x - mean) * gain + offset)`.
#[derive(Clone, Copy)]
pub(super) struct Channel {
    pub mean: f32,
    pub gain: f32,
    pub offset: f32,
}

struct Spread<'a>(&'a [f32]);
impl WithSimd for Spread<'_> {
    /// Elements, their mean, and the sum of their squared distances to it.
    type Output = (f64, f64, f64);
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        // Shifted by the first value, so that a mean far from 0 does not cancel in E[x²] - E[x]².
        let shift = self.0.first().copied().unwrap_or(0.0);
        let splat = simd.splat_f32s(shift);
        let (mut sum, mut square) = (0f64, 0f64);
        for stretch in self.0.chunks(STRETCH) {
            let (vectors, rest) = S::as_simd_f32s(stretch);
            let mut s = [simd.splat_f32s(0.0); 4];
            let mut q = s;
            let mut add = |k: usize, v: S::f32s| {
                let v = simd.sub_f32s(v, splat);
                s[k] = simd.add_f32s(s[k], v);
                q[k] = simd.mul_add_e_f32s(v, v, q[k]);
            };
            let mut fours = vectors.chunks_exact(4);
            for four in &mut fours {
                for k in 0..4 {
                    add(k, four[k]);
                }
            }
            for v in fours.remainder() {
                add(0, *v);
            }
            let total = |t: [S::f32s; 4]| {
                let pairs = [simd.add_f32s(t[0], t[1]), simd.add_f32s(t[2], t[3])];
                f64::from(simd.reduce_sum_f32s(simd.add_f32s(pairs[0], pairs[1])))
            };
            sum += total(s);
            square += total(q);
            for v in rest {
                let v = f64::from(v - shift);
                sum += v;
                square += v * v;
            }
        }
        let n = self.0.len() as f64;
        (n, sum / n + f64::from(shift), (square - sum * sum / n).max(0.0))
    }
}

impl Moments {
    /// Of a group that is left as it is.
    const NONE: Self = Self { mean: 0.0, inverse: 1.0 };
}

/// The moments of what several pieces hold together.
fn together(parts: &[(f64, f64, f64)], eps: f64) -> Moments {
    let n: f64 = parts.iter().map(|(k, ..)| k).sum();
    let mean = parts.iter().map(|(k, m, _)| k * m).sum::<f64>() / n;
    let spread: f64 = parts.iter().map(|(k, m, s)| s + k * (m - mean).powi(2)).sum();
    Moments { mean, inverse: 1.0 / (spread / n + eps).sqrt() }
}

struct Apply<'a> {
    function: Function,
    channel: Channel,
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    out: &'a mut [f32],
}
impl WithSimd for Apply<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Channel { mean, gain, offset } = self.channel;
        with_formula!(self.function, f => match self.residual {
            None => {
                for (o, x) in self.out.iter_mut().zip(self.x) {
                    *o = f.value((x - mean) * gain + offset);
                }
            }
            Some(residual) => {
                for ((o, x), r) in self.out.iter_mut().zip(self.x).zip(residual) {
                    *o = f.value((x - mean) * gain + offset) + r;
                }
            }
        });
    }
}

impl Normalise<'_> {
    pub(super) fn group_len(&self) -> usize {
        self.channels / self.groups * self.volume
    }

    /// Factor and summand after the normalisation of channel `i` of all items, and the modulation's factor alone.
    pub(super) fn after(&self, i: usize) -> [f64; 3] {
        let (weight, bias) = self
            .affine
            .map_or((1.0, 0.0), |(w, b)| (w[i % self.channels].into(), b[i % self.channels].into()));
        let (factor, shift): (f64, f64) =
            self.scale_shift.map_or((1.0, 0.0), |(s, t)| (f64::from(s[i]) + 1.0, t[i].into()));
        [weight * factor, bias * factor + shift, factor]
    }

    pub(super) fn channel(&self, i: usize, moments: Moments) -> Channel {
        let [factor, summand, _] = self.after(i);
        // The mean is rounded to f32: what that moves goes into the offset.
        let mean = moments.mean as f32;
        let gain = factor * moments.inverse;
        let offset = summand + (f64::from(mean) - moments.mean) * gain;
        Channel { mean, gain: gain as f32, offset: offset as f32 }
    }

    /// One channel of a group, piece by piece.
    pub(super) fn in_pieces(&self, out: &mut Fresh, make: impl Fn(usize, &mut [f32])) {
        for start in (0..self.volume).step_by(buffer::PIECE) {
            make(start, out.take(buffer::PIECE.min(self.volume - start)));
        }
    }

    pub(super) fn check(&self, x: &[f32]) {
        assert!(
            self.channels.is_multiple_of(self.groups),
            "{} channels in {} groups",
            self.channels,
            self.groups
        );
        assert!(x.len().is_multiple_of(self.channels * self.volume), "whole items");
        assert!(self.affine.is_none_or(|(w, b)| w.len() == self.channels && b.len() == self.channels));
        let planes = x.len() / self.volume.max(1);
        assert!(self.scale_shift.is_none_or(|(s, t)| s.len() == planes && t.len() == planes));
    }

    /// `x` is `[B, C, ...]`; so are the result and the `residual` that is added to it at the end. With the moments of
    /// each group, for the gradients.
    pub fn forward(&self, x: &[f32], residual: Option<&[f32]>) -> (Vec<f32>, Vec<Moments>) {
        self.check(x);
        assert!(residual.is_none_or(|r| r.len() == x.len()), "residual of another size");
        let apply = |i: usize, start: usize, moments: Moments, out: &mut [f32]| {
            let at = i * self.volume + start..i * self.volume + start + out.len();
            let (x, residual) = (&x[at.clone()], residual.map(|r| &r[at]));
            let channel = self.channel(i, moments);
            arch().dispatch(Apply { function: self.function, channel, x, residual, out });
        };
        let (len, per_group) = (self.group_len(), self.channels / self.groups);
        if len <= FITS {
            return filled_bit_by_bit(x.len() / len.max(1), len, len, |g, _, out| {
                let x = &x[g * len..][..len];
                let moments = match self.measured {
                    true => together(&[arch().dispatch(Spread(x))], self.eps),
                    false => Moments::NONE,
                };
                for i in g * per_group..(g + 1) * per_group {
                    self.in_pieces(out, |start, out| apply(i, start, moments, out));
                }
                moments
            });
        }
        let moments: Vec<Moments> = x
            .par_chunks(len)
            .map(|group| {
                if !self.measured {
                    return Moments::NONE;
                }
                let parts: Vec<_> = group.par_chunks(PIECE).map(|p| arch().dispatch(Spread(p))).collect();
                together(&parts, self.eps)
            })
            .collect();
        let (out, _) = filled(x.len() / self.volume, self.volume, buffer::PIECE, |i, start, out| {
            apply(i, start, moments[i / per_group], out);
        });
        (out, moments)
    }
}
