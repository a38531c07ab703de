//! Gradients of linear attention of one head on one sequence.
//!
//! `out = q · context`, `context = scale · kᵀ · v`, with q through a softmax over channels and k through one over
//! positions. q and its gradient are worked on turned, `[channel][position]`: both softmaxes then run down columns.
use super::attention_grad_head::{Added, Head, HeadGradients, K, Q, V, dot, softmax_columns, turn};
use super::attention_grad_product::{Left, Out, Right, padded, product, transpose};
use pulp::Simd;

/// Buffers of one head. A context is `[channel of k][channel of v, widened]`.
#[derive(Default)]
pub struct LinearScratch {
    queries: Vec<f32>,
    dqueries: Vec<f32>,
    dout: Vec<f32>,
    context: Vec<f32>,
    dcontext: Vec<f32>,
    turned: Vec<f32>,
    sums: Vec<f32>,
}

/// Gradients from `dout` `[position][width]`. `qkv` comes as projected; its k is overwritten by its softmax. There is
/// no bias on scores.
#[inline(always)]
pub fn linear_gradients<S: Simd>(
    simd: S,
    head: Head,
    qkv: &mut [f32],
    dout: &[f32],
    to: HeadGradients,
    s: &mut LinearScratch,
) {
    let (row, w, hc, len) = (head.row(), head.width(), head.channels, head.len);
    let n = padded(len);
    turn(&qkv[Q * w..], row, len, hc, n, &mut s.queries);
    softmax_columns(simd, &mut s.queries, n, hc, n, 0, Added::default());
    softmax_columns(simd, &mut qkv[K * w..], row, len, w, 0, Added::default());
    contexts(simd, head, qkv, dout, s);
    let queries = Left { values: &s.queries, row: 1, step: n };
    let out = Out { values: to.out, row: w, add: false };
    product(simd, [len, hc, hc], queries, Right { values: &s.context, row: w }, out);
    query_gradients(simd, head, dout, to.qkv, s);
    key_gradients(simd, head, qkv, to.qkv, s);
}

/// The context and its gradient without the other's scale: `scale · kᵀ · v` and `scale · qᵀ · dout`.
#[inline(always)]
fn contexts<S: Simd>(simd: S, head: Head, qkv: &[f32], dout: &[f32], s: &mut LinearScratch) {
    let (w, hc, len) = (head.width(), head.channels, head.len);
    for m in [&mut s.context, &mut s.dcontext] {
        m.resize(hc * w, 0.0);
    }
    let keys = Left { row: 1, step: head.row(), ..head.left(qkv, K) };
    let to = Out { values: &mut s.context, row: w, add: false };
    product(simd, [hc, len, hc], keys, head.right(qkv, V), to);
    let queries = Left { values: &s.queries, row: padded(len), step: 1 };
    let to = Out { values: &mut s.dcontext, row: w, add: false };
    product(simd, [hc, len, hc], queries, Right { values: dout, row: w }, to);
    let scale = (hc as f32).powf(-0.5);
    for v in s.context.iter_mut().chain(&mut s.dcontext) {
        *v *= scale;
    }
}

/// `dq = dout · contextᵀ`, turned, then back through the softmax over channels.
#[inline(always)]
fn query_gradients<S: Simd>(simd: S, head: Head, dout: &[f32], dqkv: &mut [f32], s: &mut LinearScratch) {
    let (w, hc, len) = (head.width(), head.channels, head.len);
    let n = padded(len);
    turn(dout, w, len, hc, n, &mut s.dout);
    s.dqueries.resize(hc * n, 0.0);
    let context = Left { values: &s.context, row: w, step: 1 };
    let to = Out { values: &mut s.dqueries, row: n, add: false };
    product(simd, [hc, hc, len], context, Right { values: &s.dout, row: n }, to);
    s.sums.clear();
    s.sums.resize(n, 0.0);
    for (q, d) in s.queries.chunks_exact(n).zip(s.dqueries.chunks_exact(n)) {
        for ((sum, q), d) in s.sums.iter_mut().zip(q).zip(d) {
            *sum += q * d;
        }
    }
    for (q, d) in s.queries.chunks_exact(n).zip(s.dqueries.chunks_exact_mut(n)) {
        for ((sum, q), d) in s.sums.iter().zip(q).zip(d) {
            *d = q * (*d - sum);
        }
    }
    transpose(&s.dqueries, &mut dqkv[Q * w..], hc, len, (n, head.row()));
}

/// `dv = k · dcontext`; `dk = v · dcontextᵀ`, then back through the softmax over positions.
#[inline(always)]
fn key_gradients<S: Simd>(simd: S, head: Head, qkv: &[f32], dqkv: &mut [f32], s: &mut LinearScratch) {
    let (row, w, hc, len) = (head.row(), head.width(), head.channels, head.len);
    let dcontext = Right { values: &s.dcontext, row: w };
    product(simd, [len, hc, hc], head.left(qkv, K), dcontext, head.out(dqkv, V, false));
    turn(&s.dcontext, w, hc, hc, w, &mut s.turned);
    let turned = Right { values: &s.turned, row: w };
    product(simd, [len, hc, hc], head.left(qkv, V), turned, head.out(dqkv, K, false));
    // The sum over positions of k · dk is that over v's channels of context · dcontext, of which both hold the scale.
    let scale = (hc as f32).powf(-0.5);
    s.sums.clear();
    s.sums.resize(w, 0.0);
    for (d, (a, b)) in s.sums.iter_mut().zip(s.context.chunks_exact(w).zip(s.dcontext.chunks_exact(w))) {
        *d = dot(simd, a, b) / scale;
    }
    for (line, k) in dqkv.chunks_mut(row).zip(qkv.chunks(row)).take(len) {
        for ((v, k), d) in line[K * w..][..w].iter_mut().zip(&k[K * w..][..w]).zip(&s.sums) {
            *v = k * (*v - d);
        }
    }
}
