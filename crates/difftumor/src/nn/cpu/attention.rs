//! `x + Attention(LayerNorm(x))` on the CPU, fused: each task gathers the rows of a few sequences channels-last,
//! normalises, projects, attends and adds the result back, all within the cache.
//!
//! `x` is one item `[C, F, H, W]`. A sequence runs along F (depth attention) or over H·W of one slice.
use super::product::{Linear, Product};
use super::tile::{Shared, arch, block, exp};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// How a `[C, F, H·W]` item falls into sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// One sequence along F for each (h, w).
    Depth,
    /// One sequence over (h, w) for each f.
    Slice,
}

/// What the sequences are attended with.
pub enum Kind<'a> {
    /// Softmax attention, optionally with rotary angles `[len, head_channels / 2]` as (cos, sin) and a bias
    /// `[heads, len, len]`.
    Softmax {
        /// cos and sin of each position and channel pair.
        rotary: Option<(&'a [f32], &'a [f32])>,
        /// Added to the scaled products, `[heads, query, key]`.
        bias: Option<&'a [f32]>,
    },
    /// Linear attention: softmax of q over channels and of k over positions (spec/diffusion.md section 2).
    Linear,
}

/// Weights of one attention layer.
pub struct Weights<'a> {
    /// LayerNorm weight `[C]`.
    pub gamma: &'a [f32],
    /// `[3 * heads * head_channels, C]`.
    pub to_qkv: &'a [f32],
    /// `[C, heads * head_channels]`.
    pub to_out: &'a [f32],
    /// `[C]`, or none.
    pub out_bias: Option<&'a [f32]>,
    /// Number of heads.
    pub heads: usize,
    /// Channels of one head.
    pub head_channels: usize,
}

/// Softmax of the first `len` elements, times `scale`; the rest of the row, which only fills vectors, becomes 0.
#[inline(always)]
fn softmax<S: Simd>(simd: S, row: &mut [f32], len: usize, scale: f32) {
    row[len..].fill(f32::NEG_INFINITY);
    let (vectors, rest) = S::as_simd_f32s(row);
    let most = vectors.iter().fold(simd.splat_f32s(f32::NEG_INFINITY), |m, v| simd.max_f32s(m, *v));
    let most = rest.iter().fold(simd.reduce_max_f32s(most), |m, v| m.max(*v));
    for v in row.iter_mut() {
        *v = exp(*v - most);
    }
    // e^-87 times the factor would be subnormal numbers, which cost a hundred times as much.
    row[len..].fill(0.0);
    let (vectors, rest) = S::as_simd_f32s(row);
    let sum = vectors.iter().fold(simd.splat_f32s(0.0), |s, v| simd.add_f32s(s, *v));
    let factor = scale / (simd.reduce_sum_f32s(sum) + rest.iter().sum::<f32>());
    for v in row.iter_mut() {
        *v *= factor;
    }
}

/// Buffers of one task.
#[derive(Default)]
struct Scratch {
    rows: Vec<f32>,
    qkv: Vec<f32>,
    keys: Vec<f32>,
    scores: Vec<f32>,
    head_out: Vec<f32>,
    attended: Vec<f32>,
    out: Vec<f32>,
    zeros: Vec<f32>,
}

struct Task<'a> {
    layer: &'a Layer<'a>,
    x: &'a [f32],
    first: usize, // first sequence
    count: usize, // how many
    scratch: &'a mut Scratch,
    out: Shared,
}

struct Layer<'a> {
    w: &'a Weights<'a>,
    kind: &'a Kind<'a>,
    /// One projection for each head, to its q, k and v side by side: all that a head needs stays in the cache.
    to_qkv: Vec<Linear>,
    to_out: Linear,
    channels: usize,
    len: usize,
    /// Elements between sequences, between members of one, and between channels.
    stride: (usize, usize, usize),
}

/// Rows of `to_qkv` `[3 * heads * hc, C]` of one head as `[3 * hc, C]`. With rotary angles the interleaved pairs of q
/// and k are parted into halves: products of q and k do not change, and a rotation works on whole vectors.
fn head_weights(w: &Weights, head: usize, channels: usize, paired: bool) -> Vec<f32> {
    let hc = w.head_channels;
    let mut out = Vec::with_capacity(3 * hc * channels);
    for part in 0..3 {
        for i in 0..hc {
            let half = hc / 2;
            let i = if paired && part < 2 { i % half * 2 + i / half } else { i };
            let row = part * w.heads * hc + head * hc + i;
            out.extend_from_slice(&w.to_qkv[row * channels..][..channels]);
        }
    }
    out
}

/// The fused layer on one item `x` `[C, F, H, W]`; returns the same shape.
pub fn attention(
    x: &[f32],
    channels: usize,
    f: usize,
    hw: usize,
    axis: Axis,
    w: &Weights,
    kind: &Kind,
) -> Vec<f32> {
    assert_eq!(x.len(), channels * f * hw);
    let (sequences, len, stride) = match axis {
        Axis::Depth => (hw, f, (1, hw, f * hw)),
        Axis::Slice => (f, hw, (hw, 1, f * hw)),
    };
    let paired = matches!(kind, Kind::Softmax { rotary: Some(_), .. });
    let layer = Layer {
        w,
        kind,
        to_qkv: (0..w.heads)
            .map(|h| Linear::new(&head_weights(w, h, channels, paired), None, 3 * w.head_channels))
            .collect(),
        to_out: Linear::new(w.to_out, w.out_bias, channels),
        channels,
        len,
        stride,
    };
    // Some 400 rows to a task: whole cache lines of neighbouring sequences, and still in the second-level cache.
    let per_task = (400 / len).clamp(1, sequences);
    let mut out = vec![0f32; x.len()];
    let shared = Shared::new(&mut out);
    (0..sequences.div_ceil(per_task)).into_par_iter().for_each_init(Scratch::default, |scratch, t| {
        let first = t * per_task;
        let count = per_task.min(sequences - first);
        arch().dispatch(Task { layer: &layer, x, first, count, scratch, out: shared });
    });
    out
}

impl WithSimd for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, x, first, count, scratch, out } = self;
        let (rows, c) = (count * layer.len, layer.channels);
        let inner = layer.w.heads * layer.w.head_channels;
        scratch.rows.resize(rows * c, 0.0);
        // One block more: the last row's values are read in whole blocks.
        scratch.qkv.resize(rows * layer.to_qkv[0].width() + block(), 0.0);
        scratch.attended.resize(rows * inner, 0.0);
        scratch.out.resize(rows * layer.to_out.width(), 0.0);
        scratch.zeros.resize(block(), 0.0);
        layer.each(first, count, |at, row, ch| scratch.rows[row * c + ch] = x[at]);
        for row in scratch.rows.chunks_exact_mut(c) {
            layer_norm(row, layer.w.gamma);
        }
        for (head, to_qkv) in layer.to_qkv.iter().enumerate() {
            to_qkv.apply(simd, &scratch.rows, c, rows, &mut scratch.qkv);
            for s in 0..count {
                match layer.kind {
                    Kind::Softmax { rotary, bias } => {
                        layer.softmax_head(simd, s, head, *rotary, *bias, scratch)
                    }
                    Kind::Linear => layer.linear_head(simd, s, head, scratch),
                }
            }
        }
        layer.to_out.apply(simd, &scratch.attended, inner, rows, &mut scratch.out);
        let width = layer.to_out.width();
        layer.each(first, count, |at, row, ch| {
            // SAFETY: each element belongs to one sequence, and each sequence to one task.
            unsafe { *out.at(at) = x[at] + scratch.out[row * width + ch] };
        });
    }
}

/// Over the channels of one position: biased variance, eps 1e-5, no bias.
#[inline(always)]
fn layer_norm(row: &mut [f32], gamma: &[f32]) {
    let n = row.len() as f32;
    let mean = row.iter().sum::<f32>() / n;
    let var = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / n;
    let inv = 1.0 / (var + 1e-5).sqrt();
    for (v, g) in row.iter_mut().zip(gamma) {
        *v = (*v - mean) * inv * g;
    }
}

impl Layer<'_> {
    /// Calls `f(element of x, row, channel)` for all members of some sequences, along x's contiguous axis.
    #[inline(always)]
    fn each(&self, first: usize, count: usize, mut f: impl FnMut(usize, usize, usize)) {
        let (group, member, channel) = self.stride;
        for ch in 0..self.channels {
            let start = ch * channel + first * group;
            if group == 1 {
                for i in 0..self.len {
                    for s in 0..count {
                        f(start + s + i * member, s * self.len + i, ch);
                    }
                }
            } else {
                for s in 0..count {
                    for i in 0..self.len {
                        f(start + s * group + i * member, s * self.len + i, ch);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn softmax_head<S: Simd>(
        &self,
        simd: S,
        s: usize,
        head: usize,
        rotary: Option<(&[f32], &[f32])>,
        bias: Option<&[f32]>,
        b: &mut Scratch,
    ) {
        let (len, hc) = (self.len, self.w.head_channels);
        let row = self.to_qkv[0].width();
        let padded = len.next_multiple_of(block());
        let scale = (hc as f32).powf(-0.5);
        b.keys.resize(hc * padded, 0.0);
        b.scores.resize(len * padded, 0.0);
        for i in 0..len {
            let (q, rest) = b.qkv[(s * len + i) * row..][..3 * hc].split_at_mut(hc);
            let k = &mut rest[..hc];
            for v in q.iter_mut() {
                *v *= scale;
            }
            if let Some((cos, sin)) = rotary {
                let (cos, sin) = (&cos[i * hc / 2..][..hc / 2], &sin[i * hc / 2..][..hc / 2]);
                rotate(q, cos, sin);
                rotate(k, cos, sin);
            }
            for (c, k) in k.iter().enumerate() {
                b.keys[c * padded + i] = *k;
            }
        }
        let q = &b.qkv[s * len * row..];
        Product {
            a: q,
            a_row: row,
            a_step: 1,
            m: len,
            k: hc,
            b: &b.keys,
            b_row: padded,
            n: len,
            out_row: padded,
        }
        .run(simd, &b.zeros, &mut b.scores);
        for (i, line) in b.scores.chunks_exact_mut(padded).enumerate() {
            if let Some(bias) = bias {
                for (v, b) in line.iter_mut().zip(&bias[(head * len + i) * len..][..len]) {
                    *v += b;
                }
            }
            softmax(simd, line, len, 1.0);
        }
        let values = &b.qkv[s * len * row + 2 * hc..];
        self.attend(
            simd,
            s,
            head,
            (&b.scores, padded, len),
            (values, row),
            &b.zeros,
            &mut b.head_out,
            &mut b.attended,
        );
    }

    #[inline(always)]
    fn linear_head<S: Simd>(&self, simd: S, s: usize, head: usize, b: &mut Scratch) {
        let (len, hc) = (self.len, self.w.head_channels);
        let row = self.to_qkv[0].width();
        let vwidth = hc.next_multiple_of(block());
        b.scores.resize(hc * vwidth, 0.0); // the context, [d][e]
        let sequence = &mut b.qkv[s * len * row..];
        let mut most = vec![f32::NEG_INFINITY; hc];
        for line in sequence.chunks_mut(row).take(len) {
            softmax(simd, &mut line[..hc], hc, (hc as f32).powf(-0.5));
            for (m, k) in most.iter_mut().zip(&line[hc..2 * hc]) {
                *m = if *k > *m { *k } else { *m };
            }
        }
        let mut sum = vec![0f32; hc];
        for line in sequence.chunks_mut(row).take(len) {
            for ((k, m), sum) in line[hc..2 * hc].iter_mut().zip(&most).zip(&mut sum) {
                *k = exp(*k - m);
                *sum += *k;
            }
        }
        let (keys, values) = (&b.qkv[s * len * row + hc..], &b.qkv[s * len * row + 2 * hc..]);
        Product {
            a: keys,
            a_row: 1,
            a_step: row,
            m: hc,
            k: len,
            b: values,
            b_row: row,
            n: hc,
            out_row: vwidth,
        }
        .run(simd, &b.zeros, &mut b.scores);
        for (line, sum) in b.scores.chunks_exact_mut(vwidth).zip(&sum) {
            for v in line {
                *v /= sum;
            }
        }
        let q = &b.qkv[s * len * row..];
        self.attend(
            simd,
            s,
            head,
            (q, row, hc),
            (&b.scores, vwidth),
            &b.zeros,
            &mut b.head_out,
            &mut b.attended,
        );
    }

    /// `attended = left [len × k] · right [k × hc]`, into the head's columns of the sequence's rows. `left` comes with
    /// its row stride and k, `right` with its row stride.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // the buffers are parts of one scratch, borrowed apart
    fn attend<S: Simd>(
        &self,
        simd: S,
        s: usize,
        head: usize,
        (left, a_row, k): (&[f32], usize, usize),
        (right, b_row): (&[f32], usize),
        zeros: &[f32],
        head_out: &mut Vec<f32>,
        attended: &mut [f32],
    ) {
        let (len, hc) = (self.len, self.w.head_channels);
        let (inner, vwidth) = (self.w.heads * hc, hc.next_multiple_of(block()));
        let start = s * len * inner + head * hc;
        let product =
            |out_row| Product { a: left, a_row, a_step: 1, m: len, k, b: right, b_row, n: hc, out_row };
        if vwidth == hc {
            return product(inner).run(simd, zeros, &mut attended[start..]);
        }
        head_out.resize(len * vwidth, 0.0);
        product(vwidth).run(simd, zeros, head_out);
        for i in 0..len {
            attended[start + i * inner..][..hc].copy_from_slice(&head_out[i * vwidth..][..hc]);
        }
    }
}

/// Rotates channel pairs (j, j + half) by the position's angles.
#[inline(always)]
fn rotate(v: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (left, right) = v.split_at_mut(cos.len());
    for (((a, b), c), s) in left.iter_mut().zip(right).zip(cos).zip(sin) {
        (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
    }
}
