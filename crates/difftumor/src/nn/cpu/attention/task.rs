//! One task of an attention layer: gathers the columns of some sequences, normalises them, has the heads attend, projects
//! the outcome and adds x.
use super::super::product::Product;
use super::super::tile::{Shared, arch, block};
use super::Layer;
use super::head::{HeadScratch, HeadStep};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Output channels of one task of the last projection, where those are shared out: two register tiles.
const OUT_ROWS: usize = 24;

/// Buffers of one task.
#[derive(Default)]
pub(super) struct Scratch {
    rows: Vec<f32>,
    attended: Vec<f32>,
    out: Vec<f32>,
    mixed: Vec<f32>,
    head: HeadScratch,
}

/// One task: what its columns are.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub layer: &'a Layer<'a>,
    x: &'a [f32],
    /// First element of x of the first column's channel 0.
    start: usize,
    /// Sequences, and elements of a column buffer from one outer index to the next.
    pub count: usize,
    pub outer: usize,
    /// Columns, and elements from one row of a column buffer to the next.
    pub columns: usize,
    pub pitch: usize,
}

impl Layer<'_> {
    pub(super) fn task(
        &self,
        x: &[f32],
        first: usize,
        count: usize,
        share_heads: bool,
        b: &mut Scratch,
        out: Shared,
    ) {
        let a = &self.axis;
        let outer = if a.sequence_inner { count } else { a.len };
        let columns = outer * if a.sequence_inner { a.len } else { count };
        // Room for a block behind the columns; an odd number of cache lines, lest all rows fall into the same set of
        // the cache.
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
