//! Distance between the directions of two feature vectors at each voxel, and its gradient.
//!
//! Features are channel-first, `[C, positions]` for each item; loops run along positions, a stretch of them at a time
//! so that all its channels stay in the second-level cache.
use super::buffer::{PIECE, filled};
use super::tile::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Positions that go together: 512 channels of them are 256 kB.
const STRETCH: usize = 128;

/// Two sets of features of the same sides.
#[derive(Clone, Copy)]
pub struct Features<'a> {
    /// `[B, C, positions]`.
    pub a: &'a [f32],
    /// `[B, C, positions]`.
    pub b: &'a [f32],
    /// Weight of each channel, `[C]`.
    pub weight: &'a [f32],
    /// Voxels of an item.
    pub positions: usize,
    /// Added to the vectors' lengths.
    pub eps: f32,
}

/// What the gradient needs to know of each position, `[B, positions]`.
pub struct Lengths {
    /// Length of `a`'s vector.
    a: Vec<f32>,
    /// 1 / (length + eps) of `b`'s.
    inverse_b: Vec<f32>,
}

/// Some positions of one item.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    f: Features<'a>,
    item: usize,
    start: usize,
    len: usize,
}

/// What is summed over the channels of a stretch: `out[p] += term(a, b, weight, p)`.
#[inline(always)]
fn over_channels(s: &Stretch, out: &mut [f32], term: impl Fn(f32, f32, f32, usize) -> f32) {
    for (c, weight) in s.f.weight.iter().enumerate() {
        let at = (s.item * s.f.weight.len() + c) * s.f.positions + s.start;
        let (a, b) = (&s.f.a[at..][..s.len], &s.f.b[at..][..s.len]);
        for (p, ((o, a), b)) in out.iter_mut().zip(a).zip(b).enumerate() {
            *o += term(*a, *b, *weight, p);
        }
    }
}

/// [`Lengths`] of the stretch, and the weighted squared distance summed over the stretch.
struct Forward<'a>(Stretch<'a>);
impl WithSimd for Forward<'_> {
    type Output = (Vec<f32>, Vec<f32>, f64);
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let (s, eps) = (self.0, self.0.f.eps);
        let mut lengths = vec![0f32; s.len];
        let (mut ia, mut ib) = ([0f32; STRETCH], vec![0f32; s.len]);
        over_channels(&s, &mut lengths, |a, _, _, _| a * a);
        over_channels(&s, &mut ib, |_, b, _, _| b * b);
        let ia = &mut ia[..s.len];
        for ((n, ia), ib) in lengths.iter_mut().zip(ia.iter_mut()).zip(&mut ib) {
            *n = n.sqrt();
            *ia = 1.0 / (*n + eps);
            *ib = 1.0 / (ib.sqrt() + eps);
        }
        let mut distance = [0f32; STRETCH];
        let distance = &mut distance[..s.len];
        over_channels(&s, distance, |a, b, w, p| {
            let d = a * ia[p] - b * ib[p];
            w * d * d
        });
        (lengths, ib, distance.iter().copied().map(f64::from).sum())
    }
}

/// `Σ_c w (u - v) a` of each position, with u and v the scaled vectors.
struct Along<'a> {
    s: Stretch<'a>,
    inverse: [&'a [f32]; 2],
}
impl WithSimd for Along<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f32> {
        let (s, at) = (self.s, self.s.item * self.s.f.positions + self.s.start);
        let [ia, ib] = self.inverse.map(|v| &v[at..][..s.len]);
        let mut out = vec![0f32; s.len];
        over_channels(&s, &mut out, |a, b, w, p| w * (a * ia[p] - b * ib[p]) * a);
        out
    }
}

/// `out = outer · w (u - v) - inner · a`, one channel.
struct Combine<'a> {
    a: &'a [f32],
    b: &'a [f32],
    inverse: [&'a [f32]; 2],
    factors: [&'a [f32]; 2],
    weight: f32,
    out: &'a mut [f32],
}
impl WithSimd for Combine<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { a, b, inverse: [ia, ib], factors: [outer, inner], weight, out } = self;
        let n = out.len();
        let (a, b, ia, ib, outer, inner) = (&a[..n], &b[..n], &ia[..n], &ib[..n], &outer[..n], &inner[..n]);
        for p in 0..n {
            out[p] = outer[p] * weight * (a[p] * ia[p] - b[p] * ib[p]) - inner[p] * a[p];
        }
    }
}

impl<'a> Features<'a> {
    fn stretches(&self) -> Vec<Stretch<'a>> {
        let items = self.a.len() / (self.weight.len() * self.positions);
        let of_item = |item| {
            (0..self.positions)
                .step_by(STRETCH)
                .map(move |start| (item, start, STRETCH.min(self.positions - start)))
        };
        (0..items)
            .flat_map(of_item)
            .map(|(item, start, len)| Stretch { f: *self, item, start, len })
            .collect()
    }

    /// The weighted squared distance, summed over all positions of all items.
    pub fn distance(&self) -> (f64, Lengths) {
        let per_item = self.weight.len() * self.positions;
        assert!(
            self.a.len() == self.b.len() && self.a.len().is_multiple_of(per_item),
            "features of two sides"
        );
        let found: Vec<_> = self.stretches().into_par_iter().map(|s| arch().dispatch(Forward(s))).collect();
        let total = found.iter().map(|f| f.2).sum();
        let (mut a, mut inverse_b) = (vec![], vec![]);
        for (lengths, inverses, _) in found {
            a.extend(lengths);
            inverse_b.extend(inverses);
        }
        (total, Lengths { a, inverse_b })
    }

    /// Gradient of `factor` times [`Features::distance`] for `a`. With u = a / (n + eps) and n = |a|:
    /// `du/da · y = (y - a (a · y) / (n (n + eps))) / (n + eps)`. A vector of length 0 has no direction, and gets none.
    pub fn gradient(&self, lengths: &Lengths, factor: f32) -> Vec<f32> {
        let ia: Vec<f32> = lengths.a.iter().map(|n| 1.0 / (n + self.eps)).collect();
        let inverse = [ia.as_slice(), &lengths.inverse_b];
        let along = self.stretches().into_par_iter().map(|s| arch().dispatch(Along { s, inverse }));
        let along: Vec<f32> = along.collect::<Vec<_>>().concat();
        let (mut outer, mut inner) = (vec![0f32; along.len()], vec![0f32; along.len()]);
        for (p, n) in lengths.a.iter().enumerate().filter(|(_, n)| **n > 0.0) {
            outer[p] = 2.0 * factor * ia[p];
            inner[p] = outer[p] * ia[p] * along[p] / n;
        }
        let channels = self.weight.len();
        let (out, _) = filled(self.a.len() / self.positions, self.positions, PIECE, |row, start, out| {
            let (at, p) = (row * self.positions + start, row / channels * self.positions + start);
            arch().dispatch(Combine {
                a: &self.a[at..],
                b: &self.b[at..],
                inverse: inverse.map(|v| &v[p..]),
                factors: [&outer[p..], &inner[p..]],
                weight: self.weight[row % channels],
                out,
            });
        });
        out
    }
}
