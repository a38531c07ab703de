//! One head's part of a task: its projections, and what it attends.
use super::super::product::Product;
use super::super::tile::{Shared, block};
use super::Kind;
use super::lanes::{Head, rotate};
use super::linear::{Values, context, softmax_columns};
use super::task::Task;
use pulp::{Simd, WithSimd};

/// Buffers of one head's part of a task.
#[derive(Default)]
pub(super) struct HeadScratch {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    scores: Vec<f32>,
    context: Vec<f32>,
    zeros: Vec<f32>,
}

/// Projects and attends one head.
pub(super) struct HeadStep<'a> {
    pub task: Task<'a>,
    pub head: usize,
    /// The normalised columns.
    pub rows: &'a [f32],
    /// The head's columns of what is projected to the output.
    pub attended: &'a mut [f32],
    /// Each sequence's own output projection, where there is one.
    pub mixed: Shared,
    pub scratch: &'a mut HeadScratch,
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
    fn project<S: Simd>(
        &self,
        simd: S,
        (part, head): (usize, usize),
        rows: &[f32],
        zeros: &[f32],
        out: &mut [f32],
    ) {
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
