//! Gradients of `x + Attention(LayerNorm(x))` along the depth or within slices, fused as the forward pass is.
//!
//! Nothing but x and the weights is kept: each task gathers the rows of a few sequences, normalises and projects
//! again, attends head by head, and adds to sums of its own piece of the tasks.
use super::attention::{Axis, Kind, Weights};
use super::attention_grad_head::{Added, Head, HeadGradients, HeadScratch, dot, softmax_gradients};
use super::attention_grad_linear::{LinearScratch, linear_gradients};
use super::attention_grad_product::{Left, Out, Right, padded, product, transpose};
use super::attention_grad_weights::{HeadSums, Packed, Projections, Unit, add_to, sum_groups};
use super::tile::{Shared, arch};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Rows of a task: its q, k, v and their gradients of one head (2 · 154 kB) stay in the second-level cache.
const ROWS: usize = 400;
const NORM_EPS: f32 = 1e-5;

/// Gradients of the fused layer, each in its operand's layout.
pub struct AttentionGradients {
    /// Of x.
    pub x: Vec<f32>,
    /// Of the LayerNorm weight.
    pub gamma: Vec<f32>,
    /// Of the projection to q, k and v.
    pub to_qkv: Vec<f32>,
    /// Of the output projection.
    pub to_out: Vec<f32>,
    /// Of the output bias.
    pub out_bias: Vec<f32>,
    /// Of the bias on the scores, `[heads, len, len]`; empty without one.
    pub bias: Vec<f32>,
}

/// cos and sin with q and k parted into halves.
type Rotary<'a> = Option<(&'a [f32], &'a [f32])>;

struct Layer<'a> {
    x: &'a [f32],
    grad: &'a [f32],
    weights: Projections<'a>,
    packed: Vec<Packed>,
    linear: bool,
    rotary: Rotary<'a>,
    /// Of each head, `[key][query, widened]`.
    bias: Option<Vec<Vec<f32>>>,
    /// Elements between sequences, members of one, channels, and items.
    stride: (usize, usize, usize, usize),
    sequences: usize,
    per_task: usize,
}

/// Some sequences of one item, and where their elements lie in rows.
#[derive(Clone, Copy)]
struct Task {
    start: usize,
    count: usize,
    rows: usize,
    /// `rows` in whole vectors.
    width: usize,
}

/// What a unit adds up.
struct Sums {
    heads: Vec<HeadSums>,
    out_bias: Vec<f32>,
}

#[derive(Default)]
struct Scratch {
    /// Normalised x, the gradient of the result and of the normalised x, `[C][row]`.
    x: Vec<f32>,
    grad: Vec<f32>,
    dx: Vec<f32>,
    /// 1 / standard deviation, and two sums of each row.
    inverse: Vec<f32>,
    sums: (Vec<f32>, Vec<f32>),
    /// The first two as `[row][C]`, the third as `[row][C, widened]`.
    x_rows: Vec<f32>,
    grad_rows: Vec<f32>,
    dx_rows: Vec<f32>,
    qkv: Vec<f32>,
    dqkv: Vec<f32>,
    out: Vec<f32>,
    dout: Vec<f32>,
    turned_sin: Vec<f32>,
    softmax: HeadScratch,
    linear: LinearScratch,
}

/// Gradients of the layer on `x` `[B, C, F, H·W]` from `grad`, the gradient of the result. The third argument is
/// (C, F, H·W).
pub fn attention_gradients(
    x: &[f32],
    grad: &[f32],
    [channels, f, hw]: [usize; 3],
    axis: Axis,
    w: &Weights,
    kind: &Kind,
) -> AttentionGradients {
    let item = channels * f * hw;
    assert!(x.len() == grad.len() && x.len().is_multiple_of(item), "{} and {}", x.len(), grad.len());
    let (sequences, len, stride) = match axis {
        Axis::Depth => (hw, f, (1, hw, f * hw, item)),
        Axis::Slice => (f, hw, (hw, 1, f * hw, item)),
    };
    let head = Head { len, channels: w.head_channels };
    let (linear, rotary, bias) = match kind {
        Kind::Linear => (true, None, None),
        Kind::Softmax { rotary, bias } => (false, *rotary, bias.map(|b| turn_bias(b, len))),
    };
    let weights = Projections {
        to_qkv: w.to_qkv,
        to_out: w.to_out,
        gamma: Some(w.gamma),
        qkv_bias: None,
        channels,
        heads: w.heads,
        head,
        // Linear attention scales q after its softmax.
        scale: if linear { 1.0 } else { (w.head_channels as f32).powf(-0.5) },
        paired: rotary.is_some(),
    };
    let per_task = (ROWS / len).clamp(1, sequences);
    let (packed, bias_len) = (weights.pack(), if bias.is_some() { len * padded(len) } else { 0 });
    let layer = Layer { x, grad, weights, packed, linear, rotary, bias, stride, sequences, per_task };
    let partition = weights.partition(x.len() / item * sequences.div_ceil(per_task), bias_len);
    let mut dx: Vec<Vec<f32>> = (0..partition.groups()).map(|_| vec![0f32; x.len()]).collect();
    let shared: Vec<Shared> = dx.iter_mut().map(|v| Shared::new(v)).collect();
    let units: Vec<Sums> = partition
        .units()
        .into_par_iter()
        .map(|unit| arch().dispatch(Work { layer: &layer, dx: shared[unit.group], unit, bias_len }))
        .collect();
    let mut out_bias = vec![0f32; channels];
    for unit in &units {
        add_to(&mut out_bias, &unit.out_bias);
    }
    let sums = partition.combine(units.into_iter().map(|u| u.heads).collect());
    let found = weights.unpack(&sums);
    let bias =
        if bias_len == 0 { vec![] } else { sums.iter().flat_map(|s| turn_back(&s.bias, len)).collect() };
    AttentionGradients {
        x: sum_groups(dx),
        gamma: found.gamma,
        to_qkv: found.to_qkv,
        to_out: found.to_out,
        out_bias,
        bias,
    }
}

/// `[heads, query, key]` as `[key][query, widened]` of each head.
fn turn_bias(bias: &[f32], len: usize) -> Vec<Vec<f32>> {
    let turn = |b: &[f32]| {
        let mut to = vec![0f32; len * padded(len)];
        transpose(b, &mut to, len, len, (len, padded(len)));
        to
    };
    bias.chunks_exact(len * len).map(turn).collect()
}

fn turn_back(bias: &[f32], len: usize) -> Vec<f32> {
    let mut to = vec![0f32; len * len];
    transpose(bias, &mut to, len, len, (padded(len), len));
    to
}

struct Work<'a> {
    layer: &'a Layer<'a>,
    unit: Unit,
    dx: Shared,
    bias_len: usize,
}

impl WithSimd for Work<'_> {
    type Output = Sums;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Sums {
        let Self { layer, unit, dx, bias_len } = self;
        let mut s = Scratch::default();
        if let Some((_, sin)) = layer.rotary {
            s.turned_sin = sin.iter().map(|v| -v).collect();
        }
        let mut sums = Sums {
            heads: unit.heads.clone().map(|_| layer.weights.zeros(bias_len)).collect(),
            out_bias: vec![0.0; layer.weights.channels],
        };
        for task in unit.tasks {
            let task = layer.task(task);
            layer.prepare(simd, task, &mut s);
            for (head, sums) in unit.heads.clone().zip(&mut sums.heads) {
                layer.head(simd, task, head, sums, &mut s);
            }
            if unit.group == 0 {
                for (sum, g) in sums.out_bias.iter_mut().zip(s.grad.chunks_exact(task.width)) {
                    *sum += dot(simd, g, &s.sums.0);
                }
            } else {
                // The residual's gradient goes into the first group's result alone.
                s.grad.fill(0.0);
            }
            layer.finish(task, dx, &mut s);
        }
        sums
    }
}

impl Layer<'_> {
    fn task(&self, t: usize) -> Task {
        let per_item = self.sequences.div_ceil(self.per_task);
        let (item, first) = (t / per_item, t % per_item * self.per_task);
        let count = self.per_task.min(self.sequences - first);
        let rows = count * self.weights.head.len;
        Task { start: item * self.stride.3 + first * self.stride.0, count, rows, width: padded(rows) }
    }

    /// Calls `f(first element of x, first element of [C][row], step of the latter, count)` for runs along x's
    /// contiguous axis.
    #[inline(always)]
    fn runs(&self, t: Task, mut f: impl FnMut(usize, usize, usize, usize)) {
        let (group, member, channel, _) = self.stride;
        let len = self.weights.head.len;
        for c in 0..self.weights.channels {
            let (from, to) = (t.start + c * channel, c * t.width);
            if group == 1 {
                (0..len).for_each(|i| f(from + i * member, to + i, len, t.count));
            } else {
                (0..t.count).for_each(|s| f(from + s * group, to + s * len, 1, len));
            }
        }
    }

    /// Some sequences of a tensor like x as `[C][row]`.
    #[inline(always)]
    fn gather(&self, t: Task, x: &[f32], columns: &mut Vec<f32>) {
        columns.clear();
        columns.resize(self.weights.channels * t.width, 0.0);
        self.runs(t, |from, to, step, count| {
            let (from, to) = (&x[from..][..count], &mut columns[to..][..(count - 1) * step + 1]);
            if step == 1 {
                to.copy_from_slice(from);
            } else {
                for (to, v) in to.iter_mut().step_by(step).zip(from) {
                    *to = *v;
                }
            }
        });
    }

    /// Rows of the normalised x and of the result's gradient. Leaves ones for the task's rows in `sums.0`.
    #[inline(always)]
    fn prepare<S: Simd>(&self, _: S, t: Task, s: &mut Scratch) {
        let (c, n) = (self.weights.channels, t.width);
        self.gather(t, self.x, &mut s.x);
        self.gather(t, self.grad, &mut s.grad);
        for v in [&mut s.inverse, &mut s.sums.0, &mut s.sums.1] {
            v.clear();
            v.resize(n, 0.0);
        }
        for line in s.x.chunks_exact(n) {
            add_to(&mut s.sums.0, line);
        }
        for line in s.x.chunks_exact_mut(n) {
            for ((v, sum), square) in line.iter_mut().zip(&s.sums.0).zip(&mut s.sums.1) {
                *v -= sum / c as f32;
                *square += *v * *v;
            }
        }
        for (inverse, square) in s.inverse.iter_mut().zip(&s.sums.1) {
            *inverse = 1.0 / (square / c as f32 + NORM_EPS).sqrt();
        }
        for line in s.x.chunks_exact_mut(n) {
            for (v, inverse) in line.iter_mut().zip(&s.inverse) {
                *v *= inverse;
            }
        }
        s.x_rows.resize(t.rows * c, 0.0);
        s.grad_rows.resize(t.rows * c, 0.0);
        transpose(&s.x, &mut s.x_rows, c, t.rows, (n, c));
        transpose(&s.grad, &mut s.grad_rows, c, t.rows, (n, c));
        s.dx_rows.clear();
        s.dx_rows.resize(t.rows * padded(c), 0.0);
        s.sums.0[..t.rows].fill(1.0);
        s.sums.0[t.rows..].fill(0.0);
    }

    /// One head of all sequences of a task: adds to `sums` and to the gradient of the normalised x.
    #[inline(always)]
    fn head<S: Simd>(&self, simd: S, t: Task, h: usize, sums: &mut HeadSums, s: &mut Scratch) {
        let (c, head, packed) = (self.weights.channels, self.weights.head, &self.packed[h]);
        let (row, w, len) = (head.row(), head.width(), head.len);
        s.qkv.resize(t.rows * row, 0.0);
        s.dqkv.resize(t.rows * row, 0.0);
        s.out.resize(t.rows * w, 0.0);
        s.dout.resize(t.rows * w, 0.0);
        let x = Left { values: &s.x_rows, row: c, step: 1 };
        let grad = Left { values: &s.grad_rows, row: c, step: 1 };
        let to = Out { values: &mut s.qkv, row, add: false };
        product(simd, [t.rows, c, row], x, Right { values: &packed.to_qkv, row }, to);
        let to = Out { values: &mut s.dout, row: w, add: false };
        product(simd, [t.rows, c, head.channels], grad, Right { values: &packed.to_out, row: w }, to);
        if let Some((cos, sin)) = self.rotary {
            rotate_rows(&mut s.qkv, head, cos, sin);
        }
        for i in 0..t.count {
            let (rows, at) = (i * len * row..(i + 1) * len * row, i * len * w..(i + 1) * len * w);
            let (qkv, dout) = (&mut s.qkv[rows.clone()], &s.dout[at.clone()]);
            let bias = self.bias.is_some().then_some(&mut sums.bias[..]);
            let to = HeadGradients { qkv: &mut s.dqkv[rows], out: &mut s.out[at], bias };
            if self.linear {
                linear_gradients(simd, head, qkv, dout, to, &mut s.linear);
            } else {
                let added = Added { bias: self.bias.as_ref().map(|b| &b[h][..]), regions: None };
                softmax_gradients(simd, head, qkv, added, dout, to, &mut s.softmax);
            }
        }
        if let Some((cos, _)) = self.rotary {
            rotate_rows(&mut s.dqkv, head, cos, &s.turned_sin);
        }
        let dqkv = Right { values: &s.dqkv, row };
        let to = Out { values: &mut sums.to_qkv, row, add: true };
        product(simd, [c, t.rows, row], Left { row: 1, step: c, ..x }, dqkv, to);
        let to = Out { values: &mut sums.to_out, row: w, add: true };
        let out = Right { values: &s.out, row: w };
        product(simd, [c, t.rows, head.channels], Left { row: 1, step: c, ..grad }, out, to);
        let dqkv = Left { values: &s.dqkv, row, step: 1 };
        let to = Out { values: &mut s.dx_rows, row: padded(c), add: true };
        product(simd, [t.rows, row, c], dqkv, Right { values: &packed.from_qkv, row: padded(c) }, to);
    }

    /// Back through the norm: `dx = grad + (d - mean(d) - x · mean(x · d)) / deviation`, d the gradient of the
    /// normalised x, means over channels.
    #[inline(always)]
    fn finish(&self, t: Task, dx: Shared, s: &mut Scratch) {
        let (c, n) = (self.weights.channels, t.width);
        s.dx.clear();
        s.dx.resize(c * n, 0.0);
        transpose(&s.dx_rows, &mut s.dx, t.rows, c, (padded(c), n));
        let (mean, product) = &mut s.sums;
        mean.fill(0.0);
        product.fill(0.0);
        for (d, x) in s.dx.chunks_exact(n).zip(s.x.chunks_exact(n)) {
            for (((d, x), mean), product) in d.iter().zip(x).zip(&mut *mean).zip(&mut *product) {
                *mean += d;
                *product += d * x;
            }
        }
        for v in mean.iter_mut().chain(&mut *product) {
            *v /= c as f32;
        }
        let lines = s.dx.chunks_exact_mut(n).zip(s.x.chunks_exact(n)).zip(s.grad.chunks_exact(n));
        for ((d, x), grad) in lines {
            for i in 0..n {
                d[i] = grad[i] + (d[i] - mean[i] - x[i] * product[i]) * s.inverse[i];
            }
        }
        self.runs(t, |to, from, step, count| {
            let from = &s.dx[from..][..(count - 1) * step + 1];
            for (i, v) in from.iter().step_by(step).enumerate() {
                // SAFETY: each element belongs to one sequence, and each sequence to one task of this group of heads.
                unsafe { *dx.at(to + i) = *v };
            }
        });
    }
}

/// Turns q and k of all rows by their positions' angles; q and k lie parted into halves.
#[inline(always)]
fn rotate_rows(qkv: &mut [f32], head: Head, cos: &[f32], sin: &[f32]) {
    let (half, w) = (head.channels / 2, head.width());
    for (r, line) in qkv.chunks_exact_mut(head.row()).enumerate() {
        let at = r % head.len * half;
        let (cos, sin) = (&cos[at..][..half], &sin[at..][..half]);
        for part in 0..2 {
            let (a, b) = line[part * w..][..2 * half].split_at_mut(half);
            for i in 0..half {
                (a[i], b[i]) = (a[i] * cos[i] - b[i] * sin[i], b[i] * cos[i] + a[i] * sin[i]);
            }
        }
    }
}
