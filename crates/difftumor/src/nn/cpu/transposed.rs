//! Transposed convolution, and with it the data gradient of a strided convolution.
//!
//! `full[q·s + t] += x[q] · w[t]`, of which a window is kept. The outputs fall into s³ classes by their position
//! modulo the stride; each class is an ordinary convolution with the taps that reach it.
use super::conv::{Correlation, correlate, pack, pad_channels_last, padded_bias};
use super::planar::Planar;
use crate::nn::Padding;

/// Kernel, stride and trimming of a transposed convolution whose output sides are the input's times the stride; each
/// for (D, H, W).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransposedGeometry {
    /// Kernel size.
    pub kernel: [usize; 3],
    /// Stride.
    pub stride: [usize; 3],
    /// Voxels of the full result before the first that is kept.
    pub trim_before: [usize; 3],
    /// What lies beyond the input's border.
    pub padding: Padding,
}

impl TransposedGeometry {
    /// Kernel 4, stride 2 on the axes that double, and nothing on the others.
    pub fn doubling(doubled: [bool; 3], padding: Padding) -> Self {
        let side = |yes, no| doubled.map(|d| if d { yes } else { no });
        Self { kernel: side(4, 1), stride: side(2, 1), trim_before: side(1, 0), padding }
    }

    /// Sides of the output for an input of sides `n`.
    pub fn output_shape(&self, n: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|a| n[a] * self.stride[a])
    }

    /// Voxels of edge padding that reach the kept window.
    pub fn rim(&self) -> [usize; 3] {
        let reach = |a: usize| usize::from(self.kernel[a] > self.stride[a]);
        std::array::from_fn(|a| if self.padding == Padding::Edge { reach(a) } else { 0 })
    }

    /// The window of an input that has its rim.
    pub(super) fn window(&self, n: [usize; 3]) -> Window {
        let rim = self.rim();
        Window {
            kernel: self.kernel,
            stride: self.stride,
            first: std::array::from_fn(|a| self.trim_before[a] + rim[a] * self.stride[a]),
            sides: self.output_shape(n),
        }
    }
}

/// The part that is kept of a full transposed convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub kernel: [usize; 3],
    pub stride: [usize; 3],
    /// Index in the full result of the first voxel that is kept.
    pub first: [usize; 3],
    /// How many are kept.
    pub sides: [usize; 3],
}

/// The outputs of one class along one axis.
#[derive(Clone, Copy, Default)]
struct Class {
    /// First output and their number, `stride` apart.
    first: usize,
    count: usize,
    /// Smallest tap and number of taps, `stride` apart.
    tap: usize,
    taps: usize,
    /// Input of the first output's smallest tap.
    input: usize,
}

impl Window {
    fn class(&self, a: usize, residue: usize) -> Class {
        let s = self.stride[a];
        let first = (residue + s - self.first[a] % s) % s;
        Class {
            first,
            count: self.sides[a].saturating_sub(first).div_ceil(s),
            tap: residue,
            taps: self.kernel[a].saturating_sub(residue).div_ceil(s),
            input: (first + self.first[a]) / s,
        }
    }

    fn classes(&self) -> impl Iterator<Item = [Class; 3]> + '_ {
        let [d, h, w] = self.stride;
        (0..d * h * w).map(move |i| {
            let residue = [i / (h * w), i / w % h, i % w];
            std::array::from_fn(|a| self.class(a, residue[a]))
        })
    }
}

/// One item of a transposed convolution: `x` `[Ci, D, H, W]` of sides `n`, with `rim` voxels of edge padding, to
/// `[Co, ...window.sides]`. `at(o, i, tap)` reads the weight.
pub(super) fn transposed(
    x: &[f32],
    n: [usize; 3],
    rim: [usize; 3],
    bias: &[f32],
    window: &Window,
    at: impl Fn(usize, usize, usize) -> f32 + Sync,
) -> Vec<f32> {
    let (in_channels, out_channels) = (x.len() / n.iter().product::<usize>(), bias.len());
    let k = window.kernel;
    // Zeros around the input, so that every tap of every class finds something.
    let (mut before, mut after) = ([0; 3], [0; 3]);
    for class in window.classes() {
        for a in 0..3 {
            let c = class[a];
            if c.count > 0 && c.taps > 0 {
                before[a] = before[a].max((c.taps - 1).saturating_sub(c.input));
                after[a] = after[a].max((c.input + c.count).saturating_sub(n[a] + 2 * rim[a]));
            }
        }
    }
    let (mode, shift) = if rim == [0; 3] {
        (Padding::Zero, before)
    } else {
        // With a rim, the kept window never reaches beyond it.
        assert!(before == [0; 3] && after == [0; 3], "trimming {window:?} does not fit the rim {rim:?}");
        (before, after) = (rim, rim);
        (Padding::Edge, [0; 3])
    };
    let input = pad_channels_last(x, in_channels, in_channels, n, before, after, mode);
    let mut out = vec![0f32; out_channels * window.sides.iter().product::<usize>()];
    let bias = padded_bias(bias);
    for class in window.classes() {
        if class.iter().any(|c| c.count == 0) {
            continue;
        }
        let kernel = class.map(|c| c.taps);
        let weights = pack(out_channels, in_channels, kernel.iter().product(), |o, i, t| {
            let t = [t / (kernel[1] * kernel[2]), t / kernel[2] % kernel[1], t % kernel[2]];
            // Inputs ascend while taps descend.
            let tap: [usize; 3] =
                std::array::from_fn(|a| class[a].tap + (kernel[a] - 1 - t[a]) * window.stride[a]);
            at(o, i, (tap[0] * k[1] + tap[1]) * k[2] + tap[2])
        });
        let no_taps = kernel.contains(&0);
        correlate(
            &Correlation {
                input: &input,
                weights: &weights,
                bias: &bias,
                kernel,
                stride: [1; 3],
                origin: std::array::from_fn(|a| {
                    if no_taps { 0 } else { class[a].input + shift[a] - (kernel[a] - 1) }
                }),
                out_channels,
                outputs: class.map(|c| c.count),
                out_step: window.stride,
                out_origin: class.map(|c| c.first),
                out_shape: window.sides,
                residual: None,
            },
            &mut out,
        );
    }
    out
}

/// Transposed convolution of one item. `x` `[Ci, D, H, W]`, `weight` `[Ci, Co, kd, kh, kw]`, `bias` `[Co]`.
pub fn conv_transpose3d(
    x: &[f32],
    n: [usize; 3],
    weight: &[f32],
    bias: &[f32],
    g: &TransposedGeometry,
) -> Vec<f32> {
    let (out_channels, taps) = (bias.len(), g.kernel.iter().product::<usize>());
    let in_channels = weight.len() / (out_channels * taps);
    assert_eq!(x.len(), in_channels * n.iter().product::<usize>(), "input against weight");
    if let Some(planar) = Planar::transposed(x, n, weight, bias, g) {
        return planar.run();
    }
    transposed(x, n, g.rim(), bias, &g.window(n), |o, i, t| weight[(i * out_channels + o) * taps + t])
}
