//! Dice and cross entropy of a softmax over channels: the loss in one pass, its gradient in another.
//!
//! Per item and class, with probabilities p and truth g in {0, 1}: `1 - 2·Σpg / (Σp² + Σg² + ε)`, averaged; plus
//! `-log p` of the true class, averaged over voxels (spec/segmentation.md section 4).
use super::tile::{Shared, arch, exp};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// MONAI's smoothing of the Dice denominator.
pub const EPSILON: f64 = 1e-6;

/// Voxels whose probabilities are held at once: a few classes of them fit the first-level cache.
const CHUNK: usize = 1024;

/// The sums of one class of one item.
#[derive(Clone, Copy, Debug, Default)]
struct ClassSums {
    both: f64,
    squares: f64,
    truth: f64,
}

impl ClassSums {
    fn denominator(&self) -> f64 {
        self.squares + self.truth + EPSILON
    }

    fn dice(&self) -> f64 {
        2.0 * self.both / self.denominator()
    }
}

/// What the backward pass needs besides logits and labels: the sums of each (item, class).
#[derive(Clone, Debug)]
pub struct Sums(Vec<ClassSums>);

/// Softmax over `p.len() / n` classes of `n` voxels, in place; `p` is `[class][n]`. Returns the log of each voxel's
/// sum of exponentials in `log_sum`, relative to the logits.
#[inline(always)]
fn softmax(p: &mut [f32], n: usize, log_sum: &mut [f32]) {
    let mut most = [f32::NEG_INFINITY; CHUNK];
    let mut sum = [0f32; CHUNK];
    for class in p.chunks_exact(n) {
        for (m, v) in most.iter_mut().zip(class) {
            *m = if *v > *m { *v } else { *m };
        }
    }
    for class in p.chunks_exact_mut(n) {
        for ((v, m), s) in class.iter_mut().zip(&most).zip(&mut sum) {
            *v = exp(*v - m);
            *s += *v;
        }
    }
    for class in p.chunks_exact_mut(n) {
        for (v, s) in class.iter_mut().zip(&sum) {
            *v /= s;
        }
    }
    for ((l, m), s) in log_sum.iter_mut().zip(&most).zip(&sum).take(n) {
        *l = m + s.ln();
    }
}

/// Copies a chunk of all classes of an item: `[class][n]`.
#[inline(always)]
fn gather(logits: &[f32], voxels: usize, first: usize, n: usize, p: &mut Vec<f32>) {
    p.clear();
    for class in logits.chunks_exact(voxels) {
        p.extend_from_slice(&class[first..first + n]);
    }
}

/// Sums of one chunk: each class's, and the cross entropy.
struct Forward<'a> {
    logits: &'a [f32],
    labels: &'a [u8],
    first: usize,
    p: &'a mut Vec<f32>,
}

impl WithSimd for Forward<'_> {
    type Output = (Vec<ClassSums>, f64);
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let Self { logits, labels, first, p } = self;
        let (voxels, n) = (labels.len(), CHUNK.min(labels.len() - first));
        let labels = &labels[first..first + n];
        let mut log_sum = [0f32; CHUNK];
        gather(logits, voxels, first, n, p);
        softmax(p, n, &mut log_sum);
        let sums = p.chunks_exact(n).enumerate().map(|(c, class)| {
            let (mut both, mut squares, mut truth) = (0f32, 0f32, 0f32);
            for (v, l) in class.iter().zip(labels) {
                let g = f32::from(u8::from(usize::from(*l) == c));
                both += v * g;
                squares += v * v;
                truth += g;
            }
            ClassSums { both: both.into(), squares: squares.into(), truth: truth.into() }
        });
        let sums = sums.collect();
        let mut entropy = 0f64;
        for (i, (l, log)) in labels.iter().zip(&log_sum).enumerate() {
            entropy += f64::from(log - logits[usize::from(*l) * voxels + first + i]);
        }
        (sums, entropy)
    }
}

/// The loss of `logits` `[B, classes, voxels]` against `labels` `[B, voxels]`, and what its gradient needs.
///
/// # Panics
/// When a label is no class.
pub fn loss(logits: &[f32], labels: &[u8], items: usize, classes: usize) -> (f32, Sums) {
    let voxels = labels.len() / items;
    assert_eq!(logits.len(), items * classes * voxels, "logits against labels");
    let most = labels.iter().copied().max().unwrap_or(0);
    assert!(usize::from(most) < classes, "label {most} of {classes} classes");
    let chunks = voxels.div_ceil(CHUNK);
    let parts: Vec<(Vec<ClassSums>, f64)> = (0..items * chunks)
        .into_par_iter()
        .map_init(Vec::new, |p, i| {
            let (item, first) = (i / chunks, i % chunks * CHUNK);
            let logits = &logits[item * classes * voxels..][..classes * voxels];
            arch().dispatch(Forward { logits, labels: &labels[item * voxels..][..voxels], first, p })
        })
        .collect();
    let mut sums = vec![ClassSums::default(); items * classes];
    let mut entropy = 0f64;
    for (i, (part, e)) in parts.iter().enumerate() {
        for (total, s) in sums[i / chunks * classes..].iter_mut().zip(part) {
            total.both += s.both;
            total.squares += s.squares;
            total.truth += s.truth;
        }
        entropy += e;
    }
    let dice = sums.iter().map(|s| 1.0 - s.dice()).sum::<f64>() / sums.len() as f64;
    ((dice + entropy / labels.len() as f64) as f32, Sums(sums))
}

/// One chunk of the gradient.
struct Backward<'a> {
    logits: &'a [f32],
    labels: &'a [u8],
    first: usize,
    /// dL/dp = `truth` · g + `probability` · p of each class.
    factors: &'a [(f32, f32)],
    /// dL/dlogit of the cross entropy = `entropy` · (p - g).
    entropy: f32,
    p: &'a mut Vec<f32>,
    out: Shared,
}

impl WithSimd for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { logits, labels, first, factors, entropy, p, out } = self;
        let (voxels, n) = (labels.len(), CHUNK.min(labels.len() - first));
        let labels = &labels[first..first + n];
        gather(logits, voxels, first, n, p);
        softmax(p, n, &mut [0f32; CHUNK]);
        let truth = |l: &u8, c: usize| f32::from(u8::from(usize::from(*l) == c));
        // Softmax: dlogit = p · (dp - Σ p·dp).
        let mut mean = [0f32; CHUNK];
        for (c, (class, (a, b))) in p.chunks_exact(n).zip(factors).enumerate() {
            for ((v, l), m) in class.iter().zip(labels).zip(&mut mean) {
                *m += v * (a * truth(l, c) + b * v);
            }
        }
        for (c, (class, (a, b))) in p.chunks_exact(n).zip(factors).enumerate() {
            // SAFETY: inside of this item's gradient; the chunk belongs to this task alone.
            let to = unsafe { std::slice::from_raw_parts_mut(out.at(c * voxels + first), n) };
            for (((o, v), l), m) in to.iter_mut().zip(class).zip(labels).zip(&mean) {
                let g = truth(l, c);
                *o = v * (a * g + b * v - m) + entropy * (v - g);
            }
        }
    }
}

/// Gradient of `scale` times the loss.
pub fn gradient(logits: &[f32], labels: &[u8], items: usize, sums: &Sums, scale: f32) -> Vec<f32> {
    let classes = sums.0.len() / items;
    let voxels = labels.len() / items;
    let chunks = voxels.div_ceil(CHUNK);
    let scale = f64::from(scale);
    // d(1 - 2I/D)/dp = -2g/D + 4I·p/D².
    let share = scale / sums.0.len() as f64;
    let factor = |s: &ClassSums| {
        let d = s.denominator();
        ((-2.0 * share / d) as f32, (4.0 * share * s.both / (d * d)) as f32)
    };
    let factors: Vec<(f32, f32)> = sums.0.iter().map(factor).collect();
    let entropy = (scale / labels.len() as f64) as f32;
    let mut out = vec![0f32; logits.len()];
    let per_item = classes * voxels;
    for (item, out) in out.chunks_exact_mut(per_item).enumerate() {
        let shared = Shared::new(out);
        let logits = &logits[item * per_item..][..per_item];
        let labels = &labels[item * voxels..][..voxels];
        let factors = &factors[item * classes..][..classes];
        (0..chunks).into_par_iter().for_each_init(Vec::new, |p, i| {
            arch().dispatch(Backward { logits, labels, first: i * CHUNK, factors, entropy, p, out: shared });
        });
    }
    out
}
