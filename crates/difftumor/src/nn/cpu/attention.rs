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

#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for v in row.iter_mut() {
        *v = exp(*v - max);
    }
    let sum: f32 = row.iter().sum();
    for v in row.iter_mut() {
        *v *= scale / sum;
    }
}

/// Buffers of one task.
#[derive(Default)]
struct Scratch {
    rows: Vec<f32>,
    qkv: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
    head_out: Vec<f32>,
    attended: Vec<f32>,
    out: Vec<f32>,
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
    to_qkv: Linear,
    to_out: Linear,
    channels: usize,
    len: usize,
    /// Elements between sequences, between members of one, and between channels.
    stride: (usize, usize, usize),
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
    let inner = w.heads * w.head_channels;
    let (sequences, len, stride) = match axis {
        Axis::Depth => (hw, f, (1, hw, f * hw)),
        Axis::Slice => (f, hw, (hw, 1, f * hw)),
    };
    let layer = Layer {
        w,
        kind,
        to_qkv: Linear::new(w.to_qkv, None, 3 * inner),
        to_out: Linear::new(w.to_out, w.out_bias, channels),
        channels,
        len,
        stride,
    };
    // Some 200 rows to a task: enough for tall tiles, small enough for the second-level cache.
    let per_task = (192 / len).clamp(1, sequences);
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
        scratch.qkv.resize(rows * layer.to_qkv.width(), 0.0);
        scratch.attended.resize(rows * inner, 0.0);
        scratch.out.resize(rows * layer.to_out.width(), 0.0);
        layer.gather(x, first, count, &mut scratch.rows);
        for row in scratch.rows.chunks_exact_mut(c) {
            layer_norm(row, layer.w.gamma);
        }
        layer.to_qkv.apply(simd, &scratch.rows, c, rows, &mut scratch.qkv);
        for s in 0..count {
            for head in 0..layer.w.heads {
                match layer.kind {
                    Kind::Softmax { rotary, bias } => {
                        layer.softmax_head(simd, s, head, *rotary, *bias, scratch)
                    }
                    Kind::Linear => layer.linear_head(simd, s, head, scratch),
                }
            }
        }
        layer.to_out.apply(simd, &scratch.attended, inner, rows, &mut scratch.out);
        let (group, member, channel) = layer.stride;
        let width = layer.to_out.width();
        for ch in 0..c {
            for s in 0..count {
                for i in 0..layer.len {
                    let at = ch * channel + (first + s) * group + i * member;
                    // SAFETY: each element belongs to one sequence, and each sequence to one task.
                    unsafe { *out.at(at) = x[at] + scratch.out[(s * layer.len + i) * width + ch] };
                }
            }
        }
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
    fn gather(&self, x: &[f32], first: usize, count: usize, rows: &mut [f32]) {
        let (group, member, channel) = self.stride;
        let c = self.channels;
        for ch in 0..c {
            for s in 0..count {
                let start = ch * channel + (first + s) * group;
                for i in 0..self.len {
                    rows[(s * self.len + i) * c + ch] = x[start + i * member];
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
        let (len, hc, width) = (self.len, self.w.head_channels, block());
        let (inner, row) = (self.w.heads * hc, self.to_qkv.width());
        let padded = len.div_ceil(width) * width;
        let vwidth = hc.div_ceil(width) * width;
        let scale = (hc as f32).powf(-0.5);
        b.keys.resize(hc * padded, 0.0);
        b.values.resize(len * vwidth, 0.0);
        b.scores.resize(len * padded, 0.0);
        b.head_out.resize(len * vwidth, 0.0);
        let zeros = vec![0f32; width];
        for i in 0..len {
            let line = &mut b.qkv[(s * len + i) * row..][..3 * inner];
            let (q, rest) = line.split_at_mut(inner);
            let (k, v) = rest.split_at_mut(inner);
            let (q, k) = (&mut q[head * hc..][..hc], &mut k[head * hc..][..hc]);
            for v in q.iter_mut() {
                *v *= scale;
            }
            if let Some((cos, sin)) = rotary {
                rotate(q, &cos[i * hc / 2..], &sin[i * hc / 2..]);
                rotate(k, &cos[i * hc / 2..], &sin[i * hc / 2..]);
            }
            for (c, k) in k.iter().enumerate() {
                b.keys[c * padded + i] = *k;
            }
            b.values[i * vwidth..][..hc].copy_from_slice(&v[head * hc..][..hc]);
        }
        let q = &b.qkv[s * len * row + head * hc..];
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
        .run(simd, &zeros, &mut b.scores);
        for (i, line) in b.scores.chunks_exact_mut(padded).enumerate() {
            let line = &mut line[..len];
            if let Some(bias) = bias {
                for (v, b) in line.iter_mut().zip(&bias[(head * len + i) * len..]) {
                    *v += b;
                }
            }
            softmax(line, 1.0);
        }
        Product {
            a: &b.scores,
            a_row: padded,
            a_step: 1,
            m: len,
            k: len,
            b: &b.values,
            b_row: vwidth,
            n: hc,
            out_row: vwidth,
        }
        .run(simd, &zeros, &mut b.head_out);
        self.store_head(s, head, b);
    }

    /// Puts a head's result in its columns of the sequence's rows.
    fn store_head(&self, s: usize, head: usize, b: &mut Scratch) {
        let (len, hc) = (self.len, self.w.head_channels);
        let (inner, vwidth) = (self.w.heads * hc, hc.div_ceil(block()) * block());
        for i in 0..len {
            b.attended[(s * len + i) * inner + head * hc..][..hc]
                .copy_from_slice(&b.head_out[i * vwidth..][..hc]);
        }
    }

    #[inline(always)]
    fn linear_head<S: Simd>(&self, simd: S, s: usize, head: usize, b: &mut Scratch) {
        let (len, hc, width) = (self.len, self.w.head_channels, block());
        let (inner, row) = (self.w.heads * hc, self.to_qkv.width());
        let vwidth = hc.div_ceil(width) * width;
        b.keys.resize(len * hc, 0.0);
        b.values.resize(len * vwidth, 0.0);
        b.scores.resize(hc * vwidth, 0.0); // context [d][e]
        b.head_out.resize(len * vwidth, 0.0);
        let zeros = vec![0f32; width];
        let mut max = vec![f32::NEG_INFINITY; hc];
        for i in 0..len {
            let line = &mut b.qkv[(s * len + i) * row..][..3 * inner];
            softmax(&mut line[head * hc..][..hc], (hc as f32).powf(-0.5));
            for (m, k) in max.iter_mut().zip(&line[inner + head * hc..]) {
                *m = m.max(*k);
            }
            b.values[i * vwidth..][..hc].copy_from_slice(&line[2 * inner + head * hc..][..hc]);
        }
        let mut sum = vec![0f32; hc];
        for i in 0..len {
            let k = &b.qkv[(s * len + i) * row + inner + head * hc..][..hc];
            for c in 0..hc {
                let e = exp(k[c] - max[c]);
                sum[c] += e;
                b.keys[i * hc + c] = e;
            }
        }
        Product {
            a: &b.keys,
            a_row: 1,
            a_step: hc,
            m: hc,
            k: len,
            b: &b.values,
            b_row: vwidth,
            n: hc,
            out_row: vwidth,
        }
        .run(simd, &zeros, &mut b.scores);
        for (line, sum) in b.scores.chunks_exact_mut(vwidth).zip(&sum) {
            for v in line {
                *v /= sum;
            }
        }
        let q = &b.qkv[s * len * row + head * hc..];
        Product {
            a: q,
            a_row: row,
            a_step: 1,
            m: len,
            k: hc,
            b: &b.scores,
            b_row: vwidth,
            n: hc,
            out_row: vwidth,
        }
        .run(simd, &zeros, &mut b.head_out);
        self.store_head(s, head, b);
    }
}

/// Rotates interleaved channel pairs (2j, 2j+1) by the position's angles.
#[inline(always)]
fn rotate(v: &mut [f32], cos: &[f32], sin: &[f32]) {
    for (j, pair) in v.chunks_exact_mut(2).enumerate() {
        let (a, b) = (pair[0], pair[1]);
        pair[0] = a * cos[j] - b * sin[j];
        pair[1] = b * cos[j] + a * sin[j];
    }
}
