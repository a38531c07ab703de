//! Convolutions inside slices (kernel 1×k×k, zero padding) and transposed ones (1×4×4, stride 2), for small slices.
//!
//! Register tiles are output channels × positions: weights are used in the order of the checkpoint, without packing
//! them at each call, and the input in its own channel-first order. What fills the vectors depends on the size:
//! - `flat`: the positions of one slice, its rows joined by their zero padding (sides of 12 and more);
//! - `lanes`: the slices at one position, where taps that fall outside of the slice are left out. At 3×3 those are 32
//!   of 81, and a row of 3 would leave 13 of 16 lanes empty.
mod flat;
mod lanes;

use super::tile::{Run, Strides, block, block_rows};
use crate::nn::{ConvGeometry, Padding, TransposedGeometry};
use pulp::Simd;

/// Input channels of one run of terms: few enough for 12 rows of 7×7 weights to stay in the first-level cache
/// while the taps take their turns.
const CHANNELS_AT_ONCE: usize = 8;
/// Largest input of one slice in elements: it must leave room for weights in the second-level cache.
const LARGEST_SLICE: usize = 1 << 17;

/// One tap: the input at `stride * output + at` (h, w), times the weight `weight` elements from the kernel's first.
struct Tap {
    at: [isize; 2],
    weight: usize,
}

/// Outputs at `step * i + origin`, for all i, that have the same taps.
struct Phase {
    origin: [usize; 2],
    taps: Vec<Tap>,
}

/// A convolution inside slices, as sums over taps.
pub(crate) struct Planar<'a> {
    /// One volume `[f, h, w]` for each input channel.
    input: Vec<&'a [f32]>,
    weight: &'a [f32],
    bias: &'a [f32],
    /// Elements of `weight` from one output, input channel to the next.
    weight_strides: [usize; 2],
    slices: usize,
    /// Sides of an input slice.
    sides: [usize; 2],
    stride: usize,
    phases: Vec<Phase>,
    /// Outputs of one phase along h and w.
    outputs: [usize; 2],
    /// Number of phases along an axis.
    step: usize,
    /// Zeros that taps may reach before and after the sides.
    before: [usize; 2],
    after: [usize; 2],
    residual: Option<&'a [f32]>,
}

impl<'a> Planar<'a> {
    /// A convolution of `input`, one volume `[F, H, W]` for each channel, with `weight` `[Co, Ci, 1, kh, kw]`; `None`
    /// where this is not the way.
    pub fn conv(
        input: Vec<&'a [f32]>,
        n: [usize; 3],
        weight: &'a [f32],
        bias: &'a [f32],
        g: &ConvGeometry,
        residual: Option<&'a [f32]>,
    ) -> Option<Self> {
        let [_, kh, kw] = g.kernel;
        let stride = g.stride[1];
        let fits = g.kernel[0] == 1
            && g.stride[0] == 1
            && g.stride[2] == stride
            && g.pad_before[0] + g.pad_after[0] == 0
            && (g.padding == Padding::Zero || g.pad_before == [0; 3] && g.pad_after == [0; 3]);
        let in_channels = input.len();
        if !fits || in_channels * n[1] * n[2] > LARGEST_SLICE {
            return None;
        }
        let [_, oh, ow] = g.output_shape(n);
        let [_, top, left] = g.pad_before;
        let taps = (0..kh * kw).map(|t| {
            let at = [(t / kw) as isize - top as isize, (t % kw) as isize - left as isize];
            Tap { at, weight: t }
        });
        Some(Self {
            input,
            weight,
            bias,
            weight_strides: [in_channels * kh * kw, kh * kw],
            slices: n[0],
            sides: [n[1], n[2]],
            stride,
            phases: vec![Phase { origin: [0; 2], taps: taps.collect() }],
            outputs: [oh, ow],
            step: 1,
            before: [top, left],
            after: [g.pad_after[1], g.pad_after[2]],
            residual,
        })
    }

    /// A transposed convolution that doubles H and W: `weight` `[Ci, Co, 1, 4, 4]`. Output 2m takes the inputs m - 1
    /// and m by the taps 3 and 1, output 2m + 1 the inputs m and m + 1 by the taps 2 and 0.
    pub fn transposed(
        x: &'a [f32],
        n: [usize; 3],
        weight: &'a [f32],
        bias: &'a [f32],
        g: &TransposedGeometry,
    ) -> Option<Self> {
        let in_channels = weight.len() / (bias.len() * 16);
        if *g != TransposedGeometry::doubling([false, true, true], Padding::Zero)
            || in_channels * n[1] * n[2] > LARGEST_SLICE
        {
            return None;
        }
        let phase = |p: usize| {
            let origin = [p / 2, p % 2];
            let axis = |a: usize, t: usize| ((origin[a] + t) as isize - 1, 3 - origin[a] - 2 * t);
            let tap = |t: usize| {
                let ((h, tap_h), (w, tap_w)) = (axis(0, t / 2), axis(1, t % 2));
                Tap { at: [h, w], weight: tap_h * 4 + tap_w }
            };
            Phase { origin, taps: (0..4).map(tap).collect() }
        };
        Some(Self {
            input: x.chunks_exact(n.iter().product()).collect(),
            weight,
            bias,
            weight_strides: [16, bias.len() * 16],
            slices: n[0],
            sides: [n[1], n[2]],
            stride: 1,
            phases: (0..4).map(phase).collect(),
            outputs: [n[1], n[2]],
            step: 2,
            before: [1; 2],
            after: [1; 2],
            residual: None,
        })
    }

    /// `[Co, F, H', W']`.
    pub fn run(&self) -> Vec<f32> {
        let volume = self.slices * self.sides[0] * self.sides[1];
        assert!(self.input.iter().all(|c| c.len() == volume));
        assert_eq!(self.weight.len(), self.input.len() * self.bias.len() * self.taps_in_weight());
        if self.flat_cost() <= self.lanes_cost() { self.run_flat() } else { self.run_lanes() }
    }

    fn taps_in_weight(&self) -> usize {
        self.phases.iter().map(|p| p.taps.len()).sum()
    }

    /// Sides of an output slice.
    fn out_sides(&self) -> [usize; 2] {
        self.outputs.map(|n| n * self.step)
    }

    /// `out[o][n] = sum over taps and input channels`, for some output channels and `columns` neighbouring columns of
    /// `x` `[channel][pitch]`. `taps` are (first weight, first column).
    #[inline(always)]
    fn product<S: Simd>(
        &self,
        simd: S,
        rows: std::ops::Range<usize>,
        taps: &[(usize, usize)],
        (x, pitch): (&[f32], usize),
        columns: usize,
        (out, out_pitch): (&mut [f32], usize),
    ) {
        let (width, channels) = (block(), self.input.len());
        let [w_out, w_in] = self.weight_strides;
        let whole = columns.next_multiple_of(width);
        let reach = taps.iter().map(|t| t.1).max().unwrap_or(0) + whole;
        assert!(rows.end <= self.bias.len() && taps.iter().all(|t| t.0 < self.taps_in_weight()));
        assert!(
            x.len() >= (channels - 1) * pitch + reach && out.len() >= (rows.len() - 1) * out_pitch + whole
        );
        let zeros = vec![0f32; width];
        let at_once = channels.div_ceil(channels.div_ceil(CHANNELS_AT_ONCE));
        for first in (0..columns).step_by(width) {
            // SAFETY: the assertions above and the one of `run` on the weight.
            unsafe {
                let weight = self.weight.as_ptr().add(rows.start * w_out);
                let x = x.as_ptr().add(first);
                let runs = |r: usize| {
                    (0..channels).step_by(at_once).flat_map(move |c| {
                        taps.iter().map(move |(tap, column)| Run {
                            x: weight.add(r * w_out + c * w_in + tap),
                            w: x.add(c * pitch + column),
                            terms: at_once.min(channels - c),
                        })
                    })
                };
                let strides = Strides { row: w_out, step: w_in, w_row: pitch };
                let out = out.as_mut_ptr().add(first);
                block_rows(simd, rows.len(), runs, strides, zeros.as_ptr(), out, out_pitch);
            }
        }
    }
}
