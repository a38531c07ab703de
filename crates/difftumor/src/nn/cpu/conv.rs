//! Direct 3-D convolution on the CPU, forward.
//!
//! The input is copied once into a padded channels-last buffer, where the terms of one kernel row (kw × channels)
//! are contiguous; output rows are then register tiles of a matrix product (`tile.rs`).
use super::planar::Planar;
use super::tile::{Run, Shared, Strides, arch, block, block_rows, lanes, vector_rows};
use super::winograd;
use crate::nn::{ConvGeometry, Padding};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Elements of packed weights that leave room for inputs in the second-level cache (1 MB).
const LARGE_WEIGHTS: usize = 1 << 18;

/// A padded copy of one item, `[d][h][w][channel]`.
pub(super) struct Padded {
    pub data: Vec<f32>,
    /// Channels of a voxel, with those that only fill up vectors.
    pub channels: usize,
    /// Elements from one h to the next, and from one d to the next.
    pub row: usize,
    pub plane: usize,
}

/// Copies `x` `[C, D, H, W]` into channels-last order with `before`/`after` voxels of padding, and zeros for the
/// channels from `filled` on.
pub(super) fn pad_channels_last(
    x: &[f32],
    filled: usize,
    channels: usize,
    n: [usize; 3],
    before: [usize; 3],
    after: [usize; 3],
    mode: Padding,
) -> Padded {
    let p: [usize; 3] = std::array::from_fn(|a| n[a] + before[a] + after[a]);
    let row = p[2] * channels;
    let plane = p[1] * row;
    let mut data = vec![0f32; p[0] * plane];
    let volume = n[0] * n[1] * n[2];
    let source = |i: usize, a: usize| -> Option<usize> {
        match mode {
            Padding::Zero => i.checked_sub(before[a]).filter(|&i| i < n[a]),
            Padding::Edge => Some(i.saturating_sub(before[a]).min(n[a] - 1)),
        }
    };
    data.par_chunks_mut(row).enumerate().for_each(|(i, out)| {
        let (Some(d), Some(h)) = (source(i / p[1], 0), source(i % p[1], 1)) else { return };
        let start = (d * n[1] + h) * n[2];
        let inner = &mut out[before[2] * channels..][..n[2] * channels];
        for c in 0..filled {
            let line = &x[c * volume + start..][..n[2]];
            for (w, v) in line.iter().enumerate() {
                inner[w * channels + c] = *v;
            }
        }
        if mode == Padding::Edge {
            for w in 0..before[2] {
                out.copy_within(before[2] * channels..(before[2] + 1) * channels, w * channels);
            }
            let last = (before[2] + n[2] - 1) * channels;
            for w in before[2] + n[2]..p[2] {
                out.copy_within(last..last + channels, w * channels);
            }
        }
    });
    Padded { data, channels, row, plane }
}

/// Columns of a block of packed weights: one vector where that holds all output channels.
pub(super) fn column_width(out_channels: usize) -> usize {
    if out_channels <= lanes() { lanes() } else { block() }
}

/// Weights as `[column block][tap][input channel][column]`, zero where the block passes the last output channel.
/// `at(o, i, tap)` reads the original.
pub(super) fn pack(
    out_channels: usize,
    in_channels: usize,
    taps: usize,
    at: impl Fn(usize, usize, usize) -> f32 + Sync,
) -> Vec<f32> {
    let width = column_width(out_channels);
    let mut packed = vec![0f32; out_channels.div_ceil(width) * taps * in_channels * width];
    let shared = Shared::new(&mut packed);
    // The taps of one (o, i) are neighbours in the original: read them together.
    (0..out_channels.div_ceil(width) * in_channels).into_par_iter().with_min_len(8).for_each(|n| {
        let (b, i) = (n / in_channels, n % in_channels);
        for o in 0..width.min(out_channels - b * width) {
            for t in 0..taps {
                // SAFETY: inside of `packed`; the columns of (b, i) belong to this task alone.
                unsafe {
                    *shared.at(((b * taps + t) * in_channels + i) * width + o) = at(b * width + o, i, t)
                };
            }
        }
    });
    packed
}

/// A stride-1 or strided correlation of a padded input with packed weights.
pub(super) struct Correlation<'a> {
    pub input: &'a Padded,
    pub weights: &'a [f32],
    pub bias: &'a [f32], // padded to whole blocks
    pub kernel: [usize; 3],
    pub stride: [usize; 3],
    /// Where in the padded input the first output's first tap lies.
    pub origin: [usize; 3],
    pub out_channels: usize,
    /// Number of outputs along each axis.
    pub outputs: [usize; 3],
    /// Output `o` is stored at `o * out_step + out_origin` of a volume of shape `out_shape`.
    pub out_step: [usize; 3],
    pub out_origin: [usize; 3],
    pub out_shape: [usize; 3],
    pub residual: Option<&'a [f32]>,
}

/// One row of outputs along w, for some blocks of output channels.
struct RowKernel<'a, 'b> {
    c: &'b Correlation<'a>,
    blocks: std::ops::Range<usize>,
    d: usize,
    h: usize,
    scratch: &'b mut [f32],
    out: Shared,
}

impl WithSimd for RowKernel<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { c, blocks, d, h, scratch, out } = self;
        let (input, width) = (c.input, column_width(c.out_channels));
        let [kd, kh, kw] = c.kernel;
        let terms = kw * input.channels;
        let first = (d * c.stride[0] + c.origin[0]) * input.plane
            + (h * c.stride[1] + c.origin[1]) * input.row
            + c.origin[2] * input.channels;
        let step = c.stride[2] * input.channels;
        let strides = Strides { row: step, step: 1, w_row: width };
        let volume: usize = c.out_shape.iter().product();
        let line =
            ((d * c.out_step[0] + c.out_origin[0]) * c.out_shape[1] + h * c.out_step[1] + c.out_origin[1])
                * c.out_shape[2]
                + c.out_origin[2];
        for b in blocks {
            let bias = &c.bias[b * width..][..width];
            let weights = &c.weights[b * kd * kh * terms * width..][..kd * kh * terms * width];
            // SAFETY: `pad_channels_last` made room for every tap of every output of this row; `scratch` holds
            // outputs[2] rows of `width`.
            unsafe {
                let x = input.data.as_ptr().add(first);
                let runs = |r: usize| {
                    (0..kd * kh).map(move |k| Run {
                        x: x.add(r * step + k / kh * input.plane + k % kh * input.row),
                        w: weights.as_ptr().add(k * terms * width),
                        terms,
                    })
                };
                let (start, to) = (bias.as_ptr(), scratch.as_mut_ptr());
                if width == block() {
                    block_rows(simd, c.outputs[2], runs, strides, start, to, width);
                } else {
                    vector_rows(simd, c.outputs[2], runs, strides, start, to, width);
                }
            }
            for o in 0..width.min(c.out_channels - b * width) {
                let start = (b * width + o) * volume + line;
                for w in 0..c.outputs[2] {
                    let i = start + w * c.out_step[2];
                    let v = scratch[w * width + o] + c.residual.map_or(0.0, |r| r[i]);
                    // SAFETY: `i` is inside the output, and this row belongs to this task alone.
                    unsafe { *out.at(i) = v };
                }
            }
        }
    }
}

pub(super) fn correlate(c: &Correlation, out: &mut [f32]) {
    assert_eq!(out.len(), c.out_channels * c.out_shape.iter().product::<usize>());
    let shared = Shared::new(out);
    let rows = c.outputs[0] * c.outputs[1];
    let blocks = c.bias.len() / column_width(c.out_channels);
    // Weights that do not fit the second-level cache are gone through block by block, each for all rows; otherwise
    // each row is read once for all blocks.
    let tasks = if c.weights.len() > LARGE_WEIGHTS { blocks } else { 1 };
    // About four rows to a task keep the packed weights of a block in the second-level cache.
    (0..rows * tasks).into_par_iter().with_min_len(4).for_each_init(
        || vec![0f32; c.outputs[2] * column_width(c.out_channels)],
        |scratch, i| {
            let (task, d, h) = (i / rows, i % rows / c.outputs[1], i % c.outputs[1]);
            let blocks = if tasks == 1 { 0..blocks } else { task..task + 1 };
            arch().dispatch(RowKernel { c, blocks, d, h, scratch, out: shared });
        },
    );
}

pub(super) fn padded_bias(bias: &[f32]) -> Vec<f32> {
    let mut b = bias.to_vec();
    let width = column_width(bias.len());
    b.resize(bias.len().div_ceil(width) * width, 0.0);
    b
}

/// Convolution of one item. `x` `[Ci, D, H, W]`, `weight` `[Co, Ci, kd, kh, kw]`, `bias` `[Co]`; `residual` has the
/// output's shape and is added to it. Returns `[Co, D', H', W']`.
pub fn conv3d(
    x: &[f32],
    n: [usize; 3],
    weight: &[f32],
    bias: &[f32],
    g: &ConvGeometry,
    residual: Option<&[f32]>,
) -> Vec<f32> {
    let out_channels = bias.len();
    let taps: usize = g.kernel.iter().product();
    let in_channels = weight.len() / (out_channels * taps);
    assert_eq!(x.len(), in_channels * n.iter().product::<usize>(), "input against weight");
    let outputs = g.output_shape(n);
    let volume = n.iter().product();
    if let Some(planar) = Planar::conv(x.chunks_exact(volume).collect(), n, weight, bias, g, residual) {
        return planar.run();
    }
    if winograd::applies(g, in_channels, out_channels, outputs) {
        return winograd::conv3d(x, n, weight, &padded_bias(bias), out_channels, g, residual);
    }
    let mut out = vec![0f32; out_channels * outputs.iter().product::<usize>()];
    let input = pad_channels_last(x, in_channels, in_channels, n, g.pad_before, g.pad_after, g.padding);
    if out_channels == 1 {
        single_channel(&input, weight, bias[0], g, outputs, residual, &mut out);
        return out;
    }
    let weights = pack(out_channels, in_channels, taps, |o, i, t| weight[(o * in_channels + i) * taps + t]);
    correlate(
        &Correlation {
            input: &input,
            weights: &weights,
            bias: &padded_bias(bias),
            kernel: g.kernel,
            stride: g.stride,
            origin: [0; 3],
            out_channels,
            outputs,
            out_step: [1; 3],
            out_origin: [0; 3],
            out_shape: outputs,
            residual,
        },
        &mut out,
    );
    out
}

/// A convolution to one channel: here the sum over taps and channels is the vector axis.
fn single_channel(
    input: &Padded,
    weight: &[f32],
    bias: f32,
    g: &ConvGeometry,
    outputs: [usize; 3],
    residual: Option<&[f32]>,
    out: &mut [f32],
) {
    let [kd, kh, kw] = g.kernel;
    let (c, taps) = (input.channels, kd * kh * kw);
    // [kd][kh][kw][channel], so that a kernel row is contiguous like the input's.
    let w: Vec<f32> = (0..taps * c).map(|i| weight[i % c * taps + i / c]).collect();
    struct Row<'a> {
        input: &'a [f32],
        w: &'a [f32],
        g: &'a ConvGeometry,
        dims: (usize, usize, usize), // channels, row, plane
        bias: f32,
        out: &'a mut [f32],
    }
    impl WithSimd for Row<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (c, row, plane) = self.dims;
            let [kd, kh, kw] = self.g.kernel;
            let terms = kw * c;
            for (o, v) in self.out.iter_mut().enumerate() {
                let mut sum = simd.splat_f32s(0.0);
                let mut rest = 0f32;
                for k in 0..kd * kh {
                    let x = &self.input[o * self.g.stride[2] * c + k / kh * plane + k % kh * row..][..terms];
                    let (xv, xr) = S::as_simd_f32s(x);
                    let (wv, wr) = S::as_simd_f32s(&self.w[k * terms..][..terms]);
                    for (a, b) in xv.iter().zip(wv) {
                        sum = simd.mul_add_e_f32s(*a, *b, sum);
                    }
                    for (a, b) in xr.iter().zip(wr) {
                        rest += a * b;
                    }
                }
                *v = simd.reduce_sum_f32s(sum) + rest + self.bias;
            }
        }
    }
    out.par_chunks_mut(outputs[2]).enumerate().for_each(|(i, line)| {
        let (d, h) = (i / outputs[1], i % outputs[1]);
        let first = d * g.stride[0] * input.plane + h * g.stride[1] * input.row;
        arch().dispatch(Row {
            input: &input.data[first..],
            w: &w,
            g,
            dims: (c, input.row, input.plane),
            bias,
            out: line,
        });
        if let Some(r) = residual {
            for (v, r) in line.iter_mut().zip(&r[i * outputs[2]..]) {
                *v += r;
            }
        }
    });
}
