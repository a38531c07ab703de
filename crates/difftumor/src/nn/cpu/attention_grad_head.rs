//! One head on one sequence: softmax attention and its gradients.
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

    /// One of [`Q`], [`K`] and [`V`] in rows from `qkv` on, as a left factor.
    pub fn left<'a>(&self, qkv: &'a [f32], part: usize) -> Left<'a> {
        Left { values: &qkv[part * self.width()..], row: self.row(), step: 1 }
    }

    /// As a right factor.
    pub fn right<'a>(&self, qkv: &'a [f32], part: usize) -> Right<'a> {
        Right { values: &qkv[part * self.width()..], row: self.row() }
    }

    /// As a result.
    pub fn out<'a>(&self, qkv: &'a mut [f32], part: usize, add: bool) -> Out<'a> {
        Out { values: &mut qkv[part * self.width()..], row: self.row(), add }
    }
}

/// Place of q in a row.
pub const Q: usize = 0;
/// Place of k in a row.
pub const K: usize = 1;
/// Place of v in a row.
pub const V: usize = 2;

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
}

/// Softmax down each of `columns` columns (whole vectors) of `len` lines that lie `row` apart. `first` is the query
/// of the first column.
#[inline(always)]
pub fn softmax_columns<S: Simd>(
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

/// Numbers of a strip of columns: four vectors of AVX-512.
const STRIP: usize = 64;

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
    let n = V * S::F32_LANES;
    let (mut most, mut sum) = ([f32::NEG_INFINITY; STRIP], [0f32; STRIP]);
    let here = added.regions.map(|regions| strip_regions(regions, first + at, n));
    for j in 0..len {
        let line = &mut s[j * row + at..][..n];
        if let Some(bias) = added.bias {
            add_to(line, &bias[j * padded(len) + first + at..][..n]);
        }
        if let (Some(regions), Some(here)) = (added.regions, &here) {
            for i in 0..n {
                line[i] += if here[i] == regions[j] { 0.0 } else { OTHER_REGION };
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

/// Regions of `n` queries from `first` on; those behind the last one are arbitrary.
fn strip_regions(regions: &[f32], first: usize, n: usize) -> [f32; STRIP] {
    let mut here = [0f32; STRIP];
    let end = (first + n).min(regions.len());
    here[..end - first].copy_from_slice(&regions[first..end]);
    here
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
pub fn turn(from: &[f32], from_row: usize, rows: usize, columns: usize, width: usize, to: &mut Vec<f32>) {
    to.clear();
    to.resize(columns * width, 0.0);
    transpose(from, to, rows, columns, (from_row, width));
}

/// Attention weights of a block of queries, `[key][query]`, into `scratch.scores`. q is scaled and turned already.
#[inline(always)]
fn weights<S: Simd>(simd: S, head: Head, qkv: &[f32], b: Block, added: Added, scratch: &mut HeadScratch) {
    turn(&qkv[b.first * head.row()..], head.row(), b.count, head.channels, b.width, &mut scratch.columns);
    scratch.scores.resize(head.len * b.width, 0.0);
    let queries = Right { values: &scratch.columns, row: b.width };
    let out = Out { values: &mut scratch.scores, row: b.width, add: false };
    product(simd, [head.len, head.channels, b.count], head.left(qkv, K), queries, out);
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
    for b in blocks(head.len) {
        weights(simd, head, qkv, b, added, scratch);
        let p = Left { values: &scratch.scores, row: 1, step: b.width };
        let to = Out { values: &mut out[b.first * out_row..], row: out_row, add: false };
        product(simd, [b.count, head.len, head.channels], p, head.right(qkv, V), to);
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
        let (from, add) = (b.first * row, b.first > 0);
        let (out, dout) = (&mut to.out[b.first * w..], &dout[b.first * w..]);
        let p = Left { values: &scratch.scores, row: b.width, step: 1 };
        let turned_p = Left { row: 1, step: b.width, ..p };
        let result = Out { values: out, row: w, add: false };
        product(simd, [b.count, len, hc], turned_p, head.right(qkv, V), result);
        let rows = Right { values: dout, row: w };
        product(simd, [len, b.count, hc], p, rows, head.out(to.qkv, V, add));
        score_gradients(simd, head, qkv, b, (out, dout), to.bias.as_deref_mut(), scratch);
        let ds = Left { values: &scratch.dscores, row: b.width, step: 1 };
        let turned_ds = Left { row: 1, step: b.width, ..ds };
        product(simd, [len, b.count, hc], ds, head.right(&qkv[from..], Q), head.out(to.qkv, K, add));
        let dq = head.out(&mut to.qkv[from..], Q, false);
        product(simd, [b.count, len, hc], turned_ds, head.right(qkv, K), dq);
    }
}

/// `dS = P · (dP - sum_key P · dP)` of a block of queries, into `s.dscores`, where `dP = v · dout`, and the sum is
/// `out · dout`. Adds it to the gradient of the bias.
#[inline(always)]
fn score_gradients<S: Simd>(
    simd: S,
    head: Head,
    qkv: &[f32],
    b: Block,
    (out, dout): (&[f32], &[f32]),
    mut bias: Option<&mut [f32]>,
    s: &mut HeadScratch,
) {
    let (w, len) = (head.width(), head.len);
    turn(dout, w, b.count, head.channels, b.width, &mut s.dcolumns);
    s.dscores.resize(len * b.width, 0.0);
    let dp = Out { values: &mut s.dscores, row: b.width, add: false };
    let columns = Right { values: &s.dcolumns, row: b.width };
    product(simd, [len, head.channels, b.count], head.left(qkv, V), columns, dp);
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
        if let Some(bias) = &mut bias {
            add_to(&mut bias[j * padded(len) + b.first..][..b.width], line);
        }
    }
}

/// Sum of products of two rows of whole vectors.
#[inline(always)]
pub fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let ((a, rest), (b, _)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    assert!(rest.is_empty() && a.len() == b.len());
    let mut sum = simd.splat_f32s(0.0);
    // A loop: the closure of a fold may stay a call without vector instructions.
    for i in 0..a.len() {
        sum = simd.mul_add_e_f32s(a[i], b[i], sum);
    }
    simd.reduce_sum_f32s(sum)
}
