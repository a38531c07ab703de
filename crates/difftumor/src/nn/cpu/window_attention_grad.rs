//! Gradients of window attention, fused as its forward pass is. Nothing but x and the weights is kept: each task
//! gathers a window, projects and attends again, and adds to sums of its own piece of the windows.
use super::attention_grad_head::{Added, HeadGradients, HeadScratch, softmax_gradients};
use super::attention_grad_product::{Left, Out, Right, padded, product};
use super::attention_grad_weights::{HeadSums, Unit, add_to, sum_groups};
use super::tile::{Shared, arch};
use super::window_attention::{Layer, WindowWeights, Windows, gather, scatter};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Gradients of the layer, each in its operand's layout.
pub struct WindowGradients {
    /// Of x.
    pub x: Vec<f32>,
    /// Of the projection to q, k and v.
    pub qkv: Vec<f32>,
    /// Of its bias.
    pub qkv_bias: Vec<f32>,
    /// Of the output projection.
    pub proj: Vec<f32>,
    /// Of its bias.
    pub proj_bias: Vec<f32>,
    /// Of the table of relative positions.
    pub table: Vec<f32>,
}

/// What a unit adds up.
struct Sums {
    heads: Vec<HeadSums>,
    proj_bias: Vec<f32>,
}

/// Gradients of attention within `windows` of `x` `[B, volume, C]` from `grad`, the gradient of the result.
pub fn window_gradients(
    x: &[f32],
    grad: &[f32],
    windows: Windows,
    volume: usize,
    weights: WindowWeights,
) -> WindowGradients {
    assert_eq!(x.len(), grad.len());
    let layer = Layer::new(x, windows, volume, weights);
    let (projections, len) = (layer.projections, layer.projections.head.len);
    let partition = projections.partition(layer.tasks(), len * padded(len));
    let mut dx: Vec<Vec<f32>> = (0..partition.groups()).map(|_| vec![0f32; x.len()]).collect();
    let shared: Vec<Shared> = dx.iter_mut().map(|v| Shared::new(v)).collect();
    let units: Vec<Sums> = partition
        .units()
        .into_par_iter()
        .map(|unit| arch().dispatch(Work { layer: &layer, grad, dx: shared[unit.group], unit }))
        .collect();
    let mut proj_bias = vec![0f32; projections.channels];
    for unit in &units {
        add_to(&mut proj_bias, &unit.proj_bias);
    }
    let sums = partition.combine(units.into_iter().map(|u| u.heads).collect());
    let found = projections.unpack(&sums);
    let mut table = vec![0f32; weights.table.len()];
    for (h, sums) in sums.iter().enumerate() {
        for (j, line) in sums.bias.chunks_exact(padded(len)).enumerate() {
            for (i, v) in line[..len].iter().enumerate() {
                table[weights.index[i * len + j] * weights.heads + h] += v;
            }
        }
    }
    WindowGradients {
        x: sum_groups(dx),
        qkv: found.to_qkv,
        qkv_bias: found.qkv_bias,
        proj: found.to_out,
        proj_bias,
        table,
    }
}

#[derive(Default)]
struct Scratch {
    rows: Vec<f32>,
    grad_rows: Vec<f32>,
    /// `[token][C, widened]`.
    dx_rows: Vec<f32>,
    qkv: Vec<f32>,
    dqkv: Vec<f32>,
    out: Vec<f32>,
    dout: Vec<f32>,
    ones: Vec<f32>,
    head: HeadScratch,
}

struct Work<'a> {
    layer: &'a Layer<'a>,
    grad: &'a [f32],
    unit: Unit,
    dx: Shared,
}

impl WithSimd for Work<'_> {
    type Output = Sums;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Sums {
        let Self { layer, grad, unit, dx } = self;
        let (c, head) = (layer.projections.channels, layer.projections.head);
        let (len, row, w, cp) = (head.len, head.row(), head.width(), padded(c));
        let mut s = Scratch { ones: vec![1.0; len], ..Scratch::default() };
        for (v, columns) in [(&mut s.dqkv, row), (&mut s.out, w), (&mut s.dout, w)] {
            v.resize(len * columns, 0.0);
        }
        let mut sums = Sums {
            heads: unit.heads.clone().map(|_| layer.projections.zeros(len * padded(len))).collect(),
            proj_bias: vec![0.0; c],
        };
        for t in unit.tasks {
            let (start, sources, regions) = layer.task(t);
            gather(&layer.x[start..], c, &sources, &mut s.rows);
            gather(&grad[start..], c, &sources, &mut s.grad_rows);
            s.dx_rows.clear();
            s.dx_rows.resize(len * cp, 0.0);
            for (h, sums) in unit.heads.clone().zip(&mut sums.heads) {
                layer.head_gradients(simd, h, regions.as_deref(), sums, &mut s);
            }
            if unit.group == 0 {
                for line in s.grad_rows.chunks_exact(c) {
                    add_to(&mut sums.proj_bias, line);
                }
            }
            // SAFETY: each token lies in one window, and each window in one task of this group of heads.
            unsafe { scatter(&s.dx_rows, cp, c, &sources, dx, start) };
        }
        sums
    }
}

impl Layer<'_> {
    /// One head of one window: adds to `sums` and to the gradient of the window's tokens.
    #[inline(always)]
    fn head_gradients<S: Simd>(
        &self,
        simd: S,
        h: usize,
        regions: Option<&[f32]>,
        sums: &mut HeadSums,
        s: &mut Scratch,
    ) {
        let (c, head, packed) = (self.projections.channels, self.projections.head, &self.packed[h]);
        let (len, row, w, cp) = (head.len, head.row(), head.width(), padded(c));
        self.project(simd, h, &s.rows, &mut s.qkv);
        let grad = Left { values: &s.grad_rows, row: c, step: 1 };
        let to = Out { values: &mut s.dout, row: w, add: false };
        product(simd, [len, c, head.channels], grad, Right { values: &packed.to_out, row: w }, to);
        let added = Added { bias: Some(&self.bias[h]), regions };
        let to = HeadGradients { qkv: &mut s.dqkv, out: &mut s.out, bias: Some(&mut sums.bias) };
        softmax_gradients(simd, head, &s.qkv, added, &s.dout, to, &mut s.head);
        let dqkv = Right { values: &s.dqkv, row };
        let to = Out { values: &mut sums.to_qkv, row, add: true };
        product(simd, [c, len, row], Left { values: &s.rows, row: 1, step: c }, dqkv, to);
        let to = Out { values: &mut sums.qkv_bias, row, add: true };
        product(simd, [1, len, row], Left { values: &s.ones, row: len, step: 1 }, dqkv, to);
        let to = Out { values: &mut sums.to_out, row: w, add: true };
        let grad = Left { row: 1, step: c, ..grad };
        product(simd, [c, len, head.channels], grad, Right { values: &s.out, row: w }, to);
        let dqkv = Left { values: &s.dqkv, row, step: 1 };
        let to = Out { values: &mut s.dx_rows, row: cp, add: true };
        product(simd, [len, row, c], dqkv, Right { values: &packed.from_qkv, row: cp }, to);
    }
}
