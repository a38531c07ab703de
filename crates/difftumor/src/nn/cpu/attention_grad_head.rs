//! One head on one sequence: softmax attention and its gradients, and the gradients of linear attention.
//!
//! Rows of `qkv` hold q, k and v of one position side by side, each widened to whole vectors (with zeros). Scores lie
//! as `[key][query]`: the softmax over keys then works on whole vectors of queries, without sums across a vector.
use super::attention_grad_product::{Left, Out, Right, padded, product, transpose};
use super::attention_grad_weights::add_to;
use super::tile::exp;
use pulp::Simd;

/// Queries attended at once: scores of 343 keys and their gradients stay in the second-level cache (2 · 176 kB).
const QUERIES: usize = 128;

/// Score added between tokens of different regions of a shifted window.
const OTHER_REGION: f32 = -100.0;

/// Sizes of one head of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Members of the sequence.
    pub len: usize,
    /// Channels of q, k and v each.
    pub channels: usize,
}

impl Head {
    /// Columns of q, k and v each.
    pub fn width(&self) -> usize {
        padded(self.channels)
    }

    /// Columns of q, k and v together.
    pub fn row(&self) -> usize {
        3 * self.width()
    }
}

/// What is added to the scores before the softmax.
#[derive(Clone, Copy, Default)]
pub struct Added<'a> {
    /// `[key][query, widened to whole vectors]`.
    pub bias: Option<&'a [f32]>,
    /// The region of each token; tokens of different regions do not see each other.
    pub regions: Option<&'a [f32]>,
}

/// Buffers of one head.
#[derive(Default)]
pub struct HeadScratch {
    scores: Vec<f32>,
    dscores: Vec<f32>,
    columns: Vec<f32>,
    dcolumns: Vec<f32>,
    delta: Vec<f32>,
    context: Vec<f32>,
    dcontext: Vec<f32>,
    turned: Vec<f32>,
}

/// Softmax down each of `columns` columns (whole vectors) of `len` lines that lie `row` apart. `first` is the query
/// of the first column.
#[inline(always)]
fn softmax_columns<S: Simd>(
    _: S,
    s: &mut [f32],
    row: usize,
    len: usize,
    columns: usize,
    first: usize,
    added: Added,
) {
    let mut at = 0;
    while at < columns {
        let left = (columns - at) / S::F32_LANES;
        at += S::F32_LANES
            * match left {
                4.. => strip::<S, 4>(s, row, len, at, first, added),
                2.. => strip::<S, 2>(s, row, len, at, first, added),
                _ => strip::<S, 1>(s, row, len, at, first, added),
            };
    }
}

/// `V` vectors of columns of [`softmax_columns`]; returns `V`.
#[inline(always)]
fn strip<S: Simd, const V: usize>(
    s: &mut [f32],
    row: usize,
    len: usize,
    at: usize,
    first: usize,
    added: Added,
) -> usize {
    const MOST: usize = 64; // four vectors of AVX-512
    let n = V * S::F32_LANES;
    let bias_row = padded(len);
    let (mut most, mut sum) = ([f32::NEG_INFINITY; MOST], [0f32; MOST]);
    let mut here = [0f32; MOST];
    if let Some(regions) = added.regions {
        let end = (first + at + n).min(len);
        let from = (first + at).min(end);
        here[..end - from].copy_from_slice(&regions[from..end]);
    }
    for j in 0..len {
        let line = &mut s[j * row + at..][..n];
        if let Some(bias) = added.bias {
            let bias = &bias[j * bias_row + first + at..][..n];
            for i in 0..n {
                line[i] += bias[i];
            }
        }
        if let Some(regions) = added.regions {
            let region = regions[j];
            for i in 0..n {
                line[i] += if here[i] == region { 0.0 } else { OTHER_REGION };
            }
        }
        for i in 0..n {
            most[i] = if line[i] > most[i] { line[i] } else { most[i] };
        }
    }
    for j in 0..len {
        let line = &mut s[j * row + at..][..n];
        for i in 0..n {
            let d = line[i] - most[i];
            // Below e^-60 nothing is left in f32, and products of such numbers would be subnormal, which cost a
            // hundred times as much.
            let e = if d < -60.0 { 0.0 } else { exp(d) };
            line[i] = e;
            sum[i] += e;
        }
    }
    for v in &mut sum[..n] {
        *v = 1.0 / *v;
    }
    for j in 0..len {
        let line = &mut s[j * row + at..][..n];
        for i in 0..n {
            line[i] *= sum[i];
        }
    }
    V
}

/// A block of queries.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    count: usize,
    width: usize,
}

fn blocks(len: usize) -> impl Iterator<Item = Block> {
    (0..len).step_by(QUERIES).map(move |first| {
        let count = QUERIES.min(len - first);
        Block { first, count, width: padded(count) }
    })
}

/// Columns of some rows as rows: `to[c][i] = from[i][c]`, widened with zeros to `width` columns.
#[inline(always)]
fn turn(from: &[f32], from_row: usize, rows: usize, columns: usize, width: usize, to: &mut Vec<f32>) {
    to.clear();
    to.resize(columns * width, 0.0);
    transpose(from, to, rows, columns, (from_row, width));
}

/// Attention weights of a block of queries, `[key][query]`, into `scratch.scores`. q is scaled and turned already.
#[inline(always)]
fn weights<S: Simd>(simd: S, head: Head, qkv: &[f32], b: Block, added: Added, scratch: &mut HeadScratch) {
    let (row, w) = (head.row(), head.width());
    turn(&qkv[b.first * row..], row, b.count, head.channels, b.width, &mut scratch.columns);
    scratch.scores.resize(head.len * b.width, 0.0);
    let keys = Left { values: &qkv[w..], row, step: 1 };
    let queries = Right { values: &scratch.columns, row: b.width };
    let out = Out { values: &mut scratch.scores, row: b.width, add: false };
    product(simd, [head.len, head.channels, b.count], keys, queries, out);
    softmax_columns(simd, &mut scratch.scores, b.width, head.len, b.width, b.first, added);
}

/// Softmax attention of one head: `out[query] = sum_key weight · v`, rows of `out` `out_row` apart.
#[inline(always)]
pub fn attend<S: Simd>(
    simd: S,
    head: Head,
    qkv: &[f32],
    added: Added,
    out: &mut [f32],
    out_row: usize,
    scratch: &mut HeadScratch,
) {
    let (row, w) = (head.row(), head.width());
    for b in blocks(head.len) {
        weights(simd, head, qkv, b, added, scratch);
        let p = Left { values: &scratch.scores, row: 1, step: b.width };
        let v = Right { values: &qkv[2 * w..], row };
        let to = Out { values: &mut out[b.first * out_row..], row: out_row, add: false };
        product(simd, [b.count, head.len, head.channels], p, v, to);
    }
}

/// What the gradients of one head on one sequence go into.
pub struct HeadGradients<'a> {
    /// Of q, k and v, in rows like `qkv`.
    pub qkv: &'a mut [f32],
    /// The head's result, recomputed: `[position][width]`.
    pub out: &'a mut [f32],
    /// Of the bias, added to what is there; `[key][query, widened]`.
    pub bias: Option<&'a mut [f32]>,
}

/// Gradients of [`attend`] from `dout` `[position][width]`.
#[inline(always)]
pub fn softmax_gradients<S: Simd>(
    simd: S,
    head: Head,
    qkv: &[f32],
    added: Added,
    dout: &[f32],
    mut to: HeadGradients,
    scratch: &mut HeadScratch,
) {
    let (row, w, hc, len) = (head.row(), head.width(), head.channels, head.len);
    for b in blocks(len) {
        weights(simd, head, qkv, b, added, scratch);
        let s = &mut *scratch;
        let (p, turned_p) = (
            Left { values: &s.scores, row: b.width, step: 1 },
            Left { values: &s.scores, row: 1, step: b.width },
        );
        let values = Right { values: &qkv[2 * w..], row };
        let out = &mut to.out[b.first * w..];
        product(simd, [b.count, len, hc], turned_p, values, Out { values: out, row: w, add: false });
        // dP[key][query] = v · dout
        let dout = &dout[b.first * w..];
        turn(dout, w, b.count, hc, b.width, &mut s.dcolumns);
        s.dscores.resize(len * b.width, 0.0);
        let values = Left { values: &qkv[2 * w..], row, step: 1 };
        let dp = Out { values: &mut s.dscores, row: b.width, add: false };
        product(simd, [len, hc, b.count], values, Right { values: &s.dcolumns, row: b.width }, dp);
        let rows = Right { values: dout, row: w };
        let dv = Out { values: &mut to.qkv[2 * w..], row, add: b.first > 0 };
        product(simd, [len, b.count, hc], p, rows, dv);
        // dS = P · (dP - sum_key P · dP), where the sum is out · dout.
        s.delta.clear();
        s.delta.resize(b.width, 0.0);
        for (i, d) in s.delta[..b.count].iter_mut().enumerate() {
            *d = dot(simd, &out[i * w..][..w], &dout[i * w..][..w]);
        }
        for j in 0..len {
            let (p, line) = (&s.scores[j * b.width..][..b.width], &mut s.dscores[j * b.width..][..b.width]);
            for ((v, p), delta) in line.iter_mut().zip(p).zip(&s.delta) {
                *v = p * (*v - delta);
            }
            if let Some(bias) = &mut to.bias {
                add_to(&mut bias[j * padded(len) + b.first..][..b.width], line);
            }
        }
        let ds = Left { values: &s.dscores, row: b.width, step: 1 };
        let turned_ds = Left { values: &s.dscores, row: 1, step: b.width };
        let queries = Right { values: &qkv[b.first * row..], row };
        let dk = Out { values: &mut to.qkv[w..], row, add: b.first > 0 };
        product(simd, [len, b.count, hc], ds, queries, dk);
        let keys = Right { values: &qkv[w..], row };
        let dq = Out { values: &mut to.qkv[b.first * row..], row, add: false };
        product(simd, [b.count, len, hc], turned_ds, keys, dq);
    }
}

/// Linear attention of one head and its gradients: q is replaced by its softmax over channels, k by its softmax over
/// positions, `out = scale · q · (kᵀ · v)`. `qkv` comes as projected, and its k is overwritten.
#[inline(always)]
pub fn linear_gradients<S: Simd>(
    simd: S,
    head: Head,
    qkv: &mut [f32],
    dout: &[f32],
    to: HeadGradients,
    s: &mut HeadScratch,
) {
    let (row, w, hc, len) = (head.row(), head.width(), head.channels, head.len);
    let n = padded(len);
    let scale = (hc as f32).powf(-0.5);
    turn(qkv, row, len, hc, n, &mut s.columns);
    softmax_columns(simd, &mut s.columns, n, hc, n, 0, Added::default());
    softmax_columns(simd, &mut qkv[w..], row, len, w, 0, Added::default());
    turn(dout, w, len, hc, n, &mut s.dcolumns);
    for m in [&mut s.context, &mut s.dcontext] {
        m.resize(hc * w, 0.0);
    }
    let (keys, values) =
        (Left { values: &qkv[w..], row: 1, step: row }, Right { values: &qkv[2 * w..], row });
    product(simd, [hc, len, hc], keys, values, Out { values: &mut s.context, row: w, add: false });
    let queries = Left { values: &s.columns, row: n, step: 1 };
    let rows = Right { values: dout, row: w };
    product(simd, [hc, len, hc], queries, rows, Out { values: &mut s.dcontext, row: w, add: false });
    for v in s.context.iter_mut().chain(&mut s.dcontext) {
        *v *= scale;
    }
    let (turned_q, context) = (Left { row: 1, step: n, ..queries }, Right { values: &s.context, row: w });
    product(simd, [len, hc, hc], turned_q, context, Out { values: to.out, row: w, add: false });
    // dq, turned: context · doutᵀ, then through the softmax over channels.
    s.dscores.resize(hc * n, 0.0);
    let context = Left { values: &s.context, row: w, step: 1 };
    let columns = Right { values: &s.dcolumns, row: n };
    product(simd, [hc, hc, len], context, columns, Out { values: &mut s.dscores, row: n, add: false });
    through_softmax(&s.columns, &mut s.dscores, n, &mut s.delta);
    transpose(&s.dscores, to.qkv, hc, len, (n, row));
    // dk = v · dcontextᵀ, then through the softmax over positions; dv = k · dcontext.
    turn(&s.dcontext, w, hc, hc, w, &mut s.turned);
    let values = Left { values: &qkv[2 * w..], row, step: 1 };
    let dk = Out { values: &mut to.qkv[w..], row, add: false };
    product(simd, [len, hc, hc], values, Right { values: &s.turned, row: w }, dk);
    let keys = Left { values: &qkv[w..], row, step: 1 };
    let dv = Out { values: &mut to.qkv[2 * w..], row, add: false };
    product(simd, [len, hc, hc], keys, Right { values: &s.dcontext, row: w }, dv);
    // sum over positions of k · dk = context · dcontext, of which both carry the scale.
    s.delta.clear();
    s.delta.resize(w, 0.0);
    for (d, (a, b)) in s.delta.iter_mut().zip(s.context.chunks_exact(w).zip(s.dcontext.chunks_exact(w))) {
        *d = dot(simd, a, b) / scale;
    }
    for (line, k) in to.qkv.chunks_mut(row).zip(qkv.chunks(row)).take(len) {
        for ((v, k), d) in line[w..2 * w].iter_mut().zip(&k[w..2 * w]).zip(&s.delta) {
            *v = k * (*v - d);
        }
    }
}

/// `d = p · (d - sum p · d)` for softmaxes down the columns of `[lines][n]`.
#[inline(always)]
fn through_softmax(p: &[f32], d: &mut [f32], n: usize, sums: &mut Vec<f32>) {
    sums.clear();
    sums.resize(n, 0.0);
    for (p, d) in p.chunks_exact(n).zip(d.chunks_exact(n)) {
        for ((sum, p), d) in sums.iter_mut().zip(p).zip(d) {
            *sum += p * d;
        }
    }
    for (p, d) in p.chunks_exact(n).zip(d.chunks_exact_mut(n)) {
        for ((sum, p), d) in sums.iter().zip(p).zip(d) {
            *d = p * (*d - sum);
        }
    }
}

/// Sum of products of two rows of whole vectors.
#[inline(always)]
pub fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let ((a, rest), (b, _)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    assert!(rest.is_empty() && a.len() == b.len());
    let sum = a.iter().zip(b).fold(simd.splat_f32s(0.0), |sum, (a, b)| simd.mul_add_e_f32s(*a, *b, sum));
    simd.reduce_sum_f32s(sum)
}
