//! Gradients of convolutions and transposed convolutions for whole batches.
//!
//! The data gradient of a convolution is a transposed one and the other way round; edge padding sends the gradient of
//! the padding back to the voxels that it repeats.
use super::conv::{conv3d, pad_channels_last};
use super::transposed::{TransposedGeometry, Window, transposed};
use super::weight_grad::{Shape, gradient_item, weight_gradient};
use crate::nn::{ConvGeometry, Padding};
use rayon::prelude::*;

fn volume(n: [usize; 3]) -> usize {
    n.iter().product()
}

fn sum3(a: [usize; 3], b: [usize; 3]) -> [usize; 3] {
    std::array::from_fn(|i| a[i] + b[i])
}

/// Runs `kernel` on each item of a batch and joins the results.
fn each_item(x: &[f32], per_item: usize, kernel: impl Fn(&[f32]) -> Vec<f32>) -> Vec<f32> {
    if x.len() == per_item {
        return kernel(x);
    }
    x.chunks_exact(per_item).flat_map(kernel).collect()
}

/// Sum over the voxels of each channel, `[B, C, ...]` → `[C]`.
pub fn bias(g: &[f32], channels: usize, voxels: usize) -> Vec<f32> {
    let sums: Vec<f64> =
        g.par_chunks(voxels).map(|c| c.chunks(4096).map(|part| f64::from(sum(part))).sum()).collect();
    (0..channels).map(|c| sums[c..].iter().step_by(channels).sum::<f64>() as f32).collect()
}

/// Sum in 16 columns, which the compiler turns into vectors.
fn sum(part: &[f32]) -> f32 {
    let mut columns = [0f32; 16];
    let (whole, rest) = part.as_chunks::<16>();
    for v in whole {
        for (c, v) in columns.iter_mut().zip(v) {
            *c += v;
        }
    }
    columns.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

/// Adds the gradient of edge padding to the voxels that it repeats: `[C, before + n + after]` → `[C, n]`.
fn fold_edges(padded: &[f32], n: [usize; 3], before: [usize; 3], after: [usize; 3]) -> Vec<f32> {
    let p = sum3(sum3(n, before), after);
    let channels = padded.len() / volume(p);
    let mut out = vec![0f32; channels * volume(n)];
    let target = |i: usize, a: usize| i.saturating_sub(before[a]).min(n[a] - 1);
    out.par_chunks_mut(volume(n)).zip(padded.par_chunks(volume(p))).for_each(|(out, from)| {
        for (i, line) in from.chunks_exact(p[2]).enumerate() {
            let (d, h) = (target(i / p[1], 0), target(i % p[1], 1));
            let row = &mut out[(d * n[1] + h) * n[2]..][..n[2]];
            let (low, rest) = line.split_at(before[2]);
            let (inner, high) = rest.split_at(n[2]);
            for (o, v) in row.iter_mut().zip(inner) {
                *o += v;
            }
            row[0] += low.iter().sum::<f32>();
            row[n[2] - 1] += high.iter().sum::<f32>();
        }
    });
    out
}

/// Gradient of a convolution's input of sides `n`. `gradient` `[B, Co, ...]`, `weight` `[Co, Ci, kd, kh, kw]`.
pub fn data(
    gradient: &[f32],
    n: [usize; 3],
    weight: &[f32],
    out_channels: usize,
    g: &ConvGeometry,
) -> Vec<f32> {
    let outputs = g.output_shape(n);
    let taps = volume(g.kernel);
    let in_channels = weight.len() / (out_channels * taps);
    // With zeros beyond the border, the gradient of the padding goes nowhere.
    let (before, after) = match g.padding {
        Padding::Zero => ([0; 3], [0; 3]),
        Padding::Edge => (g.pad_before, g.pad_after),
    };
    let wanted = sum3(sum3(n, before), after);
    let first: [usize; 3] = std::array::from_fn(|a| g.pad_before[a] - before[a]);
    let fits = (0..3).all(|a| g.stride[a] == 1 && first[a] < g.kernel[a]);
    let zeros = vec![0f32; in_channels];
    let per_item = out_channels * volume(outputs);
    // Without stride it is an ordinary convolution, which has faster ways.
    let ordinary = fits.then(|| {
        let geometry = ConvGeometry {
            pad_before: std::array::from_fn(|a| g.kernel[a] - 1 - first[a]),
            pad_after: std::array::from_fn(|a| wanted[a] + first[a] - outputs[a]),
            padding: Padding::Zero,
            ..*g
        };
        (flipped(weight, out_channels, in_channels, taps), geometry)
    });
    let window = Window { kernel: g.kernel, stride: g.stride, first, sides: wanted };
    let at = |o: usize, i: usize, t: usize| weight[(i * in_channels + o) * taps + t];
    each_item(gradient, per_item, |item| {
        let full = match &ordinary {
            Some((weight, geometry)) => conv3d(item, outputs, weight, &zeros, geometry, None),
            None => transposed(item, outputs, [0; 3], &zeros, &window, at),
        };
        if wanted == n { full } else { fold_edges(&full, n, before, after) }
    })
}

/// `[Co, Ci, taps]` → `[Ci, Co, taps in reverse]`.
fn flipped(weight: &[f32], out_channels: usize, in_channels: usize, taps: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(weight.len());
    for i in 0..in_channels {
        for o in 0..out_channels {
            out.extend(weight[(o * in_channels + i) * taps..][..taps].iter().rev());
        }
    }
    out
}

/// Gradient of a convolution's weight, `[Co, Ci, kd, kh, kw]`. `x` `[B, Ci, ...]` of sides `n`.
pub fn weight(x: &[f32], n: [usize; 3], gradient: &[f32], out_channels: usize, g: &ConvGeometry) -> Vec<f32> {
    let outputs = g.output_shape(n);
    let per_gradient = out_channels * volume(outputs);
    let items = gradient.len() / per_gradient;
    let per_x = x.len() / items;
    let in_channels = per_x / volume(n);
    let shape = Shape { kernel: g.kernel, stride: g.stride, channels: [in_channels, out_channels], outputs };
    let item = |i: usize| {
        let x = &x[i * per_x..][..per_x];
        let x = pad_channels_last(x, in_channels, in_channels, n, g.pad_before, g.pad_after, g.padding);
        (x, gradient_item(&gradient[i * per_gradient..][..per_gradient], out_channels, outputs, [0; 3]))
    };
    weight_gradient(items, item, &shape)
}

/// The convolution that a transposed one is the data gradient of: from its (edge-padded) input's gradient's view.
fn adjoint(g: &TransposedGeometry, n: [usize; 3]) -> (ConvGeometry, [usize; 3]) {
    let inputs = sum3(sum3(n, g.rim()), g.rim());
    let (first, sides) = (g.window(n).first, g.output_shape(n));
    let after = |a: usize| ((inputs[a] - 1) * g.stride[a] + g.kernel[a]).saturating_sub(first[a] + sides[a]);
    let geometry = ConvGeometry {
        kernel: g.kernel,
        stride: g.stride,
        pad_before: first,
        pad_after: std::array::from_fn(after),
        padding: Padding::Zero,
    };
    (geometry, inputs)
}

/// Gradient of a transposed convolution's input of sides `n`. `gradient` `[B, Co, ...]`, `weight` `[Ci, Co, k, k, k]`.
pub fn transposed_data(
    gradient: &[f32],
    n: [usize; 3],
    weight: &[f32],
    out_channels: usize,
    g: &TransposedGeometry,
) -> Vec<f32> {
    let sides = g.output_shape(n);
    let in_channels = weight.len() / (out_channels * volume(g.kernel));
    let (geometry, inputs) = adjoint(g, n);
    let zeros = vec![0f32; in_channels];
    each_item(gradient, out_channels * volume(sides), |item| {
        let full = conv3d(item, sides, weight, &zeros, &geometry, None);
        assert_eq!(full.len(), in_channels * volume(inputs));
        if inputs == n { full } else { fold_edges(&full, n, g.rim(), g.rim()) }
    })
}

/// Gradient of a transposed convolution's weight, `[Ci, Co, kd, kh, kw]`. `x` `[B, Ci, ...]` of sides `n`.
pub fn transposed_weight(
    x: &[f32],
    n: [usize; 3],
    gradient: &[f32],
    out_channels: usize,
    g: &TransposedGeometry,
) -> Vec<f32> {
    let sides = g.output_shape(n);
    let per_gradient = out_channels * volume(sides);
    let items = gradient.len() / per_gradient;
    let per_x = x.len() / items;
    let in_channels = per_x / volume(n);
    let (geometry, inputs) = adjoint(g, n);
    // The roles are swapped: the result's gradient is what the taps run over.
    let shape =
        Shape { kernel: g.kernel, stride: g.stride, channels: [out_channels, in_channels], outputs: inputs };
    let item = |i: usize| {
        let gradient = &gradient[i * per_gradient..][..per_gradient];
        let (before, after) = (geometry.pad_before, geometry.pad_after);
        let taps =
            pad_channels_last(gradient, out_channels, out_channels, sides, before, after, Padding::Zero);
        (taps, gradient_item(&x[i * per_x..][..per_x], in_channels, n, g.rim()))
    };
    weight_gradient(items, item, &shape)
}
