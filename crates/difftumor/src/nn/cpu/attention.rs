//! `x + Attention(LayerNorm(x))` on the CPU, fused: each task takes a few sequences, normalises, projects, attends and
//! adds the result back, all within the cache.
//!
//! `x` is one item `[C, F, H, W]`. A sequence runs along F (depth attention) or over H·W of one slice. Tasks work on
//! columns, one for each position, `[channel][position]`: that is x's own order, and weights are used as they are.
use super::lanes::{Head, rotate};
use super::linear_attention::{Values, context, softmax_columns};
use super::product::Product;
use super::tile::{Shared, arch, block, lanes, written};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

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
/// Output channels of one task of the last projection, where those are shared out: two register tiles.
const OUT_ROWS: usize = 24;

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

/// Buffers of one task.
#[derive(Default)]
struct Scratch {
    rows: Vec<f32>,
    attended: Vec<f32>,
    out: Vec<f32>,
    mixed: Vec<f32>,
    head: HeadScratch,
}

/// Buffers of one head's part of a task.
#[derive(Default)]
struct HeadScratch {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    scores: Vec<f32>,
    context: Vec<f32>,
    zeros: Vec<f32>,
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
    // Folding saves the values' projection; for linear attention that pays up to somewhat wider layers.
    let folded = channels <= if linear { 2 * w.head_channels } else { w.head_channels } && len >= channels;
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
            (0..tasks).into_par_iter().for_each_init(Scratch::default, |scratch, t| {
                let (first, end) = (sequences * t / tasks, sequences * (t + 1) / tasks);
                layer.task(x, first, end - first, tasks < FEW_TASKS, scratch, out);
            });
        })
    }
}

/// One task: what its columns are.
#[derive(Clone, Copy)]
struct Task<'a> {
    layer: &'a Layer<'a>,
    x: &'a [f32],
    /// First element of x of the first column's channel 0.
    start: usize,
    /// Sequences, and elements of a column buffer from one outer index to the next.
    count: usize,
    outer: usize,
    /// Columns, and elements from one row of a column buffer to the next.
    columns: usize,
    pitch: usize,
}

impl Layer<'_> {
    fn task(&self, x: &[f32], first: usize, count: usize, share_heads: bool, b: &mut Scratch, out: Shared) {
        let a = &self.axis;
        let outer = if a.sequence_inner { count.max(lanes()) } else { a.len };
        let columns = outer * if a.sequence_inner { a.len } else { count };
        // An odd number of cache lines: rows must not all fall into the same set of the cache.
        let pitch = ((columns + block()).div_ceil(16) | 1) * 16;
        let task = Task { layer: self, x, start: first * a.sequence, count, outer, columns, pitch };
        b.rows.resize(self.channels * pitch, 0.0);
        let heads = self.w.heads;
        let per_head = pitch * if self.mixes() { self.w.head_channels } else { self.value_rows };
        b.attended.resize(heads * per_head, 0.0);
        b.out.resize(self.channels * pitch, 0.0);
        // Each sequence's own output projection, `[C, heads * head_channels]`, where there is one.
        let inner = heads * self.w.head_channels;
        let mixes = if self.mixes() { count } else { 0 };
        b.mixed.resize(mixes * self.channels * inner, 0.0);
        arch().dispatch(Normalise { task, rows: &mut b.rows });
        let (rows, mixed) = (&b.rows, Shared::new(&mut b.mixed));
        let head = |scratch: &mut HeadScratch, (head, attended): (usize, &mut [f32])| {
            arch().dispatch(HeadStep { task, head, rows, attended, mixed, scratch });
        };
        let attended = b.attended.chunks_exact_mut(per_head).enumerate();
        if share_heads {
            let attended: Vec<_> = attended.collect();
            attended.into_par_iter().for_each_init(HeadScratch::default, head);
        } else {
            attended.for_each(|part| head(&mut b.head, part));
        }
        let (attended, mixed) = (&b.attended, &b.mixed);
        let project = |(i, y): (usize, &mut [f32])| {
            arch().dispatch(OutStep { task, first: i * OUT_ROWS, attended, mixed, y, out });
        };
        if share_heads {
            b.out.par_chunks_mut(OUT_ROWS * pitch).enumerate().for_each(project);
        } else {
            project((0, &mut b.out));
        }
    }

    /// Whether the output projection is multiplied with each sequence's context, in place of q.
    fn mixes(&self) -> bool {
        self.folded && matches!(self.kind, Kind::Linear)
    }
}

impl Task<'_> {
    /// Calls `f(channel, start in x, start in a row of a column buffer)` for every stretch of neighbouring columns.
    #[inline(always)]
    fn stretches(&self, channels: Range<usize>, mut f: impl FnMut(usize, usize, usize)) {
        let a = &self.layer.axis;
        let (outers, step) = if a.sequence_inner { (a.len, a.member) } else { (self.count, a.sequence) };
        for c in channels {
            for o in 0..outers {
                f(c, self.start + c * a.channel + o * step, o * self.outer);
            }
        }
    }

    /// Length of a stretch, and the step in x from one of its elements to the next.
    fn stretch(&self) -> (usize, usize) {
        let a = &self.layer.axis;
        if a.sequence_inner { (self.count, a.sequence) } else { (a.len, a.member) }
    }
}

/// Gathers x into columns and normalises each over its channels: biased variance, eps 1e-5, no bias.
struct Normalise<'a> {
    task: Task<'a>,
    rows: &'a mut [f32],
}

impl WithSimd for Normalise<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { task: t, rows } = self;
        let (n, step) = t.stretch();
        t.stretches(0..t.layer.channels, |c, from, to| {
            let line = &mut rows[c * t.pitch + to..][..n];
            if step == 1 {
                line.copy_from_slice(&t.x[from..from + n]);
            } else {
                for (i, v) in line.iter_mut().enumerate() {
                    *v = t.x[from + i * step];
                }
            }
        });
        let channels = t.layer.channels;
        let count = simd.splat_f32s(1.0 / channels as f32);
        for first in (0..t.columns).step_by(S::F32_LANES) {
            let at = |c: usize| c * t.pitch + first..c * t.pitch + first + S::F32_LANES;
            let vector = |rows: &[f32], c: usize| S::as_simd_f32s(&rows[at(c)]).0[0];
            let mut sum = simd.splat_f32s(0.0);
            for c in 0..channels {
                sum = simd.add_f32s(sum, vector(rows, c));
            }
            let mean = simd.mul_f32s(sum, count);
            let mut square = simd.splat_f32s(0.0);
            for c in 0..channels {
                let d = simd.sub_f32s(vector(rows, c), mean);
                square = simd.mul_add_e_f32s(d, d, square);
            }
            let var = simd.mul_add_e_f32s(square, count, simd.splat_f32s(1e-5));
            let inv = simd.div_f32s(simd.splat_f32s(1.0), simd.sqrt_f32s(var));
            for c in 0..channels {
                let factor = simd.mul_f32s(inv, simd.splat_f32s(t.layer.w.gamma[c]));
                let v = simd.mul_f32s(simd.sub_f32s(vector(rows, c), mean), factor);
                S::as_mut_simd_f32s(&mut rows[at(c)]).0[0] = v;
            }
        }
    }
}

/// Projects and attends one head.
struct HeadStep<'a> {
    task: Task<'a>,
    head: usize,
    rows: &'a [f32],
    attended: &'a mut [f32],
    mixed: Shared,
    scratch: &'a mut HeadScratch,
}

impl WithSimd for HeadStep<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.scratch.zeros.resize(block(), 0.0);
        match self.task.layer.kind {
            Kind::Softmax { rotary, bias } => self.softmax(simd, *rotary, *bias),
            Kind::Linear => self.linear(simd),
        }
    }
}

impl Task<'_> {
    /// Rows of `to_qkv` of part 0, 1 or 2 (q, k, v) of a head, times the columns.
    #[inline(always)]
    fn project<S: Simd>(&self, simd: S, (part, head): (usize, usize), rows: &[f32], zeros: &[f32], out: &mut [f32]) {
        let (w, channels) = (self.layer.w, self.layer.channels);
        let hc = w.head_channels;
        let first = (part * w.heads + head) * hc;
        Product {
            a: &w.to_qkv[first * channels..][..hc * channels],
            a_row: channels,
            a_step: 1,
            m: hc,
            k: channels,
            b: rows,
            b_row: self.pitch,
            n: self.columns,
            out_row: self.pitch,
        }
        .run(simd, zeros, out);
    }
}

impl HeadStep<'_> {
    #[inline(always)]
    fn softmax<S: Simd>(self, simd: S, rotary: Option<(&[f32], &[f32])>, bias: Option<&[f32]>) {
        let Self { task: t, head, rows, attended, scratch: b, .. } = self;
        let (len, hc) = (t.layer.axis.len, t.layer.w.head_channels);
        b.q.resize(hc * t.pitch, 0.0);
        b.k.resize(hc * t.pitch, 0.0);
        t.project(simd, (0, head), rows, &b.zeros, &mut b.q);
        t.project(simd, (1, head), rows, &b.zeros, &mut b.k);
        if let Some(angles) = rotary {
            rotate(simd, &mut b.q, t.pitch, len, t.outer, angles);
            rotate(simd, &mut b.k, t.pitch, len, t.outer, angles);
        }
        let parts = Head {
            q: &b.q,
            k: &b.k,
            v: t.values(simd, head, rows, &b.zeros, &mut b.v),
            pitch: t.pitch,
            len,
            member: t.outer,
            scale: (hc as f32).powf(-0.5),
            bias: bias.map(|b| &b[head * len * len..][..len * len]),
        };
        parts.attend(simd, t.layer.value_rows, hc, &mut b.scores, attended);
    }

    #[inline(always)]
    fn linear<S: Simd>(self, simd: S) {
        let Self { task: t, head, rows, attended, mixed, scratch: b } = self;
        let (hc, channels, len) = (t.layer.w.head_channels, t.layer.channels, t.layer.axis.len);
        let width = hc.next_multiple_of(block());
        b.k.resize(t.columns * width, 0.0);
        Product {
            a: rows,
            a_row: 1,
            a_step: t.pitch,
            m: t.columns,
            k: channels,
            b: &t.layer.to_keys[head * channels * width..][..channels * width],
            b_row: width,
            n: hc,
            out_row: width,
        }
        .run(simd, &b.zeros, &mut b.k);
        b.q.resize(hc * t.pitch, 0.0);
        let q = if t.layer.mixes() { &mut *attended } else { &mut b.q };
        t.project(simd, (0, head), rows, &b.zeros, q);
        softmax_columns(simd, q, t.pitch, t.columns, (hc as f32).powf(-0.5));
        let values = t.values(simd, head, rows, &b.zeros, &mut b.v);
        for (s, keys) in b.k.chunks_exact_mut(len * width).enumerate() {
            let values = Values { columns: &values[s * len..], pitch: t.pitch, rows: t.layer.value_rows };
            context(simd, keys, width, hc, &values, &b.zeros, &mut b.context);
            if t.layer.mixes() {
                t.mix(simd, s, head, &b.context, width, &b.zeros, &mut b.scores, mixed);
                continue;
            }
            // Whole blocks are written, over the columns of the next sequence, whose turn is still to come.
            Product {
                a: &b.context,
                a_row: width,
                a_step: 1,
                m: hc,
                k: hc,
                b: &b.q[s * len..],
                b_row: t.pitch,
                n: len,
                out_row: t.pitch,
            }
            .run(simd, &b.zeros, &mut attended[s * len..]);
        }
    }
}

impl<'a> Task<'a> {
    /// A head's values: x itself where their projection is part of the output's.
    #[inline(always)]
    fn values<'v, S: Simd>(
        &self,
        simd: S,
        head: usize,
        rows: &'v [f32],
        zeros: &[f32],
        v: &'v mut Vec<f32>,
    ) -> &'v [f32] {
        if self.layer.folded {
            return rows;
        }
        v.resize(self.layer.w.head_channels * self.pitch, 0.0);
        self.project(simd, (2, head), rows, zeros, v);
        v
    }

    /// A head's part of sequence s's own output projection: `to_out · context`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // the buffers are parts of one scratch, borrowed apart
    fn mix<S: Simd>(
        &self,
        simd: S,
        s: usize,
        head: usize,
        context: &[f32],
        width: usize,
        zeros: &[f32],
        product: &mut Vec<f32>,
        mixed: Shared,
    ) {
        let (l, hc) = (self.layer, self.layer.w.head_channels);
        let (channels, inner) = (l.channels, l.w.heads * hc);
        product.resize(channels * width, 0.0);
        Product {
            a: &l.to_out[head * channels..],
            a_row: l.w.heads * channels,
            a_step: 1,
            m: channels,
            k: channels,
            b: context,
            b_row: width,
            n: hc,
            out_row: width,
        }
        .run(simd, zeros, product);
        for (o, line) in product.chunks_exact(width).enumerate() {
            for (d, v) in line[..hc].iter().enumerate() {
                // SAFETY: below count * channels * inner; these columns belong to this head alone.
                unsafe { *mixed.at((s * channels + o) * inner + head * hc + d) = *v };
            }
        }
    }
}

/// Projects what the heads attended to some output channels, and adds x.
struct OutStep<'a> {
    task: Task<'a>,
    first: usize,
    attended: &'a [f32],
    mixed: &'a [f32],
    y: &'a mut [f32],
    out: Shared,
}

impl WithSimd for OutStep<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { task: t, first, attended, mixed, y, out } = self;
        let (layer, zeros) = (t.layer, vec![0f32; block()]);
        let m = y.len() / t.pitch;
        let (len, own) = (layer.axis.len, mixed.len() / t.count);
        let (parts, n) = if layer.mixes() { (t.count, len) } else { (1, t.columns) };
        for s in 0..parts {
            let weights = if layer.mixes() { &mixed[s * own..][..own] } else { &layer.to_out };
            let k = weights.len() / layer.channels;
            // Whole blocks are written, over columns whose turn is still to come.
            Product {
                a: &weights[first * k..],
                a_row: k,
                a_step: 1,
                m,
                k,
                b: &attended[s * n..],
                b_row: t.pitch,
                n,
                out_row: t.pitch,
            }
            .run(simd, &zeros, &mut y[s * n..]);
        }
        let (n, step) = t.stretch();
        t.stretches(first..first + m, |c, to, from| {
            let bias = layer.w.out_bias.map_or(0.0, |b| b[c]);
            let line = &y[(c - first) * t.pitch + from..][..n];
            for (i, v) in line.iter().enumerate() {
                let at = to + i * step;
                // SAFETY: each element belongs to one channel of one sequence, and those to one task.
                unsafe { out.at(at).write(t.x[at] + v + bias) };
            }
        });
    }
}
