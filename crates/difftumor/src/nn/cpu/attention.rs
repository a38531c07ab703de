//! `x + Attention(LayerNorm(x))` on the CPU, fused: each task takes a few sequences, normalises, projects, attends and
//! adds the result back, all within the cache.
//!
//! `x` is one item `[C, F, H, W]`. A sequence runs along F (depth attention) or over H·W of one slice. Tasks work on
//! columns, one for each position, `[channel][position]`: that is x's own order, and weights are used as they are.
mod head;
mod lanes;
mod linear;
mod task;

use super::tile::{block, lanes, written};
use rayon::prelude::*;
use std::borrow::Cow;
use task::Scratch;

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

/// Below as many tasks, the heads of each are shared out too: at 3×3 all sequences are one task.
const FEW_TASKS: usize = 4;
/// Columns that make matrix products worth their weights' way from memory.
const COLUMNS: usize = 192;
struct Layer<'a> {
    w: &'a Weights<'a>,
    kind: &'a Kind<'a>,
    channels: usize,
    /// Rows of the values of a head: its channels, or those of x where `to_out · to_v` is one matrix.
    value_rows: usize,
    /// The output projection, `[C, heads * value_rows]`.
    to_out: Cow<'a, [f32]>,
    /// Linear attention's key projection of each head, `[C][head channels, widened to blocks]`.
    to_keys: Vec<f32>,
    folded: bool,
    /// Positions of a task's columns, and how a column falls into (outer, inner).
    axis: Columns,
}

/// Columns run over `inner` fastest: over sequences for softmax (one in each lane), over members for linear attention.
#[derive(Clone, Copy)]
struct Columns {
    len: usize,
    /// Elements of x from one sequence, member and channel to the next.
    sequence: usize,
    member: usize,
    channel: usize,
    sequence_inner: bool,
}

/// `to_out · to_v` of each head, `[C, heads * C]`: with at most as many channels as a head has, the values are x itself.
fn fold_values(w: &Weights, channels: usize) -> Vec<f32> {
    let (hc, inner) = (w.head_channels, w.heads * w.head_channels);
    let mut out = vec![0f32; channels * w.heads * channels];
    for (o, row) in out.chunks_exact_mut(w.heads * channels).enumerate() {
        for (h, line) in row.chunks_exact_mut(channels).enumerate() {
            for e in 0..hc {
                let factor = w.to_out[o * inner + h * hc + e];
                let to_v = &w.to_qkv[(2 * inner + h * hc + e) * channels..][..channels];
                for (l, v) in line.iter_mut().zip(to_v) {
                    *l += factor * v;
                }
            }
        }
    }
    out
}

/// Rows of `to_k` of each head as `[channel][row]`, widened to blocks.
fn key_columns(w: &Weights, channels: usize) -> Vec<f32> {
    let (hc, inner) = (w.head_channels, w.heads * w.head_channels);
    let width = hc.next_multiple_of(block());
    let mut out = vec![0f32; w.heads * channels * width];
    for (h, part) in out.chunks_exact_mut(channels * width).enumerate() {
        for d in 0..hc {
            let row = &w.to_qkv[(inner + h * hc + d) * channels..][..channels];
            for (c, v) in row.iter().enumerate() {
                part[c * width + d] = *v;
            }
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
    let linear = matches!(kind, Kind::Linear);
    let (sequences, len, sequence, member) = match axis {
        Axis::Depth => (hw, f, 1, hw),
        Axis::Slice => (f, hw, hw, 1),
    };
    // Folding saves the values' projection. Linear attention then mixes `to_out` with each sequence's context, at
    // channels² products for each of a head's: that pays up to wider layers, but not for short sequences.
    let folded =
        if linear { channels <= 2 * w.head_channels && channels <= len } else { channels <= w.head_channels };
    let layer = Layer {
        w,
        kind,
        channels,
        value_rows: if folded { channels } else { w.head_channels },
        to_out: if folded { fold_values(w, channels).into() } else { w.to_out.into() },
        to_keys: if linear { key_columns(w, channels) } else { vec![] },
        folded,
        axis: Columns { len, sequence, member, channel: f * hw, sequence_inner: !linear },
    };
    let tasks = if linear {
        (sequences * len / COLUMNS).clamp(1, sequences)
    } else if sequences < FEW_TASKS * lanes() {
        1 // several groups of lanes in one task may overlap, those of several tasks would each be filled up
    } else {
        sequences / lanes()
    };
    // SAFETY: every element of x belongs to one sequence, every sequence to one task, which writes all it has.
    unsafe {
        written(x.len(), |out| {
            (0..tasks).into_par_iter().with_min_len((tasks / 8).max(1)).for_each_init(
                Scratch::default,
                |scratch, t| {
                    let (first, end) = (sequences * t / tasks, sequences * (t + 1) / tasks);
                    layer.task(x, first, end - first, tasks < FEW_TASKS, scratch, out);
                },
            );
        })
    }
}

impl Layer<'_> {
    /// Whether the output projection is multiplied with each sequence's context, in place of q.
    fn mixes(&self) -> bool {
        self.folded && matches!(self.kind, Kind::Linear)
    }
}
