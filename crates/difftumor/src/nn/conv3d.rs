//! 3-D convolution and transposed convolution with zero or edge padding folded in.
use super::cpu;
use burn::module::{Initializer, Module, Param};
use burn::tensor::module::{conv_transpose3d, conv3d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, PadMode};
use burn::tensor::{Device, Tensor};

/// What lies beyond the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Zeros.
    Zero,
    /// The nearest voxel repeated.
    Edge,
}

/// Kernel, stride and padding of a convolution, each for (D, H, W).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Kernel size.
    pub kernel: [usize; 3],
    /// Stride.
    pub stride: [usize; 3],
    /// Padding before the first voxel.
    pub pad_before: [usize; 3],
    /// Padding after the last voxel.
    pub pad_after: [usize; 3],
    /// Its content.
    pub padding: Padding,
}

impl ConvGeometry {
    /// Total padding `k - s`, the odd voxel before: the side is divided by the stride exactly.
    pub fn same(kernel: [usize; 3], stride: [usize; 3], padding: Padding) -> Self {
        let total: [usize; 3] = std::array::from_fn(|a| kernel[a].saturating_sub(stride[a]));
        Self {
            kernel,
            stride,
            pad_before: total.map(|p| p / 2 + p % 2),
            pad_after: total.map(|p| p / 2),
            padding,
        }
    }

    /// Sides of the output for an input of sides `n`.
    pub fn output_shape(&self, n: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|a| {
            let padded = n[a] + self.pad_before[a] + self.pad_after[a];
            assert!(padded >= self.kernel[a], "input {n:?} smaller than kernel {:?}", self.kernel);
            (padded - self.kernel[a]) / self.stride[a] + 1
        })
    }
}

/// Makes a [`Conv3d`].
#[derive(Clone, Copy, Debug)]
pub struct Conv3dConfig {
    /// Input and output channels.
    pub channels: [usize; 2],
    /// Kernel, stride, padding.
    pub geometry: ConvGeometry,
}

/// A convolution with bias.
#[derive(Module, Debug)]
pub struct Conv3d {
    /// `[Co, Ci, kd, kh, kw]`.
    pub weight: Param<Tensor<5>>,
    /// `[Co]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    pub(super) geometry: ConvGeometry,
}

/// The usual uniform initialisation with bound 1/sqrt(fan in).
pub(crate) fn uniform(fan_in: usize) -> Initializer {
    let bound = (1.0 / fan_in as f64).sqrt();
    Initializer::Uniform { min: -bound, max: bound }
}

impl Conv3dConfig {
    /// A layer with random weights.
    pub fn init(&self, device: &Device) -> Conv3d {
        let ([ci, co], [d, h, w]) = (self.channels, self.geometry.kernel);
        let init = uniform(ci * d * h * w);
        Conv3d {
            weight: init.init([co, ci, d, h, w], device),
            bias: init.init([co], device),
            geometry: self.geometry,
        }
    }
}

impl Conv3d {
    /// `[B, Ci, D, H, W]` → `[B, Co, D', H', W']`.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.forward_add(x, None)
    }

    /// The same with `residual` `[B, Co, D', H', W']` added.
    pub fn forward_add(&self, x: Tensor<5>, residual: Option<Tensor<5>>) -> Tensor<5> {
        let g = &self.geometry;
        let [b, _, d, h, w] = x.dims();
        if let (Some(v), Some(wt), Some(bias)) =
            (cpu::values(&x), cpu::values(&self.weight.val()), cpu::values(&self.bias.val()))
        {
            let residual = residual.as_ref().map(|r| cpu::values(r).expect("residual on the input's device"));
            let [d2, h2, w2] = g.output_shape([d, h, w]);
            let co = bias.get().len();
            let out = per_item(b, v.get(), co * d2 * h2 * w2, |i, item| {
                let n = co * d2 * h2 * w2;
                let r = residual.as_ref().map(|r| &r.get()[i * n..(i + 1) * n]);
                cpu::conv::conv3d(item, [d, h, w], wt.get(), bias.get(), g, r)
            });
            return cpu::tensor(out, [b, co, d2, h2, w2]);
        }
        let pairs: [(usize, usize); 3] = std::array::from_fn(|a| (g.pad_before[a], g.pad_after[a]));
        // Burn 0.22.1's conv3d refuses padding that differs before and after.
        let (x, padding) = match g.padding {
            Padding::Zero if g.pad_before == g.pad_after => (x, pairs),
            Padding::Zero => (x.pad(pairs, PadMode::Constant(0.0)), [(0, 0); 3]),
            Padding::Edge => (x.pad(pairs, PadMode::Edge), [(0, 0); 3]),
        };
        let options = ConvOptions::new_with_padding(g.stride, padding, [1; 3], 1);
        let y = conv3d(x, self.weight.val(), Some(self.bias.val()), options);
        match residual {
            Some(r) => y + r,
            None => y,
        }
    }
}

/// Runs a CPU kernel on each item of a batch and joins the results.
pub(crate) fn per_item(
    b: usize,
    x: &[f32],
    out_len: usize,
    kernel: impl Fn(usize, &[f32]) -> Vec<f32>,
) -> Vec<f32> {
    let per = x.len() / b;
    if b == 1 {
        return kernel(0, x);
    }
    let mut out = Vec::with_capacity(b * out_len);
    for (i, item) in x.chunks_exact(per).enumerate() {
        out.extend_from_slice(&kernel(i, item));
    }
    out
}

/// Makes a [`ConvTranspose3d`].
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose3dConfig {
    /// Input and output channels.
    pub channels: [usize; 2],
    /// Which of (D, H, W) double (kernel 4, stride 2); the others keep their size (kernel 1, stride 1).
    pub doubled: [bool; 3],
    /// What lies beyond the border: one voxel on each side of a doubled axis.
    pub padding: Padding,
}

/// A transposed convolution that doubles sides, with bias.
#[derive(Module, Debug)]
pub struct ConvTranspose3d {
    /// `[Ci, Co, k, k, k]`.
    pub weight: Param<Tensor<5>>,
    /// `[Co]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    doubled: [bool; 3],
    #[module(skip)]
    padding: Padding,
}

impl ConvTranspose3dConfig {
    /// A layer with random weights.
    pub fn init(&self, device: &Device) -> ConvTranspose3d {
        let [ci, co] = self.channels;
        let [d, h, w] = self.doubled.map(|yes| if yes { 4 } else { 1 });
        let init = uniform(co * d * h * w);
        ConvTranspose3d {
            weight: init.init([ci, co, d, h, w], device),
            bias: init.init([co], device),
            doubled: self.doubled,
            padding: self.padding,
        }
    }
}

impl ConvTranspose3d {
    /// `[B, Ci, D, H, W]` → `[B, Co, D', H', W']` with the doubled sides.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let [b, _, d, h, w] = x.dims();
        let [d2, h2, w2]: [usize; 3] =
            std::array::from_fn(|a| [d, h, w][a] * if self.doubled[a] { 2 } else { 1 });
        if let (Some(v), Some(wt), Some(bias)) =
            (cpu::values(&x), cpu::values(&self.weight.val()), cpu::values(&self.bias.val()))
        {
            let co = bias.get().len();
            let out = per_item(b, v.get(), co * d2 * h2 * w2, |_, item| {
                cpu::conv::conv_transpose3d(item, [d, h, w], wt.get(), bias.get(), self.doubled, self.padding)
            });
            return cpu::tensor(out, [b, co, d2, h2, w2]);
        }
        let per_axis = |yes: usize, no: usize| self.doubled.map(|d| if d { yes } else { no });
        // Trimming k - 1 = 3 of an edge-padded input's result is the same as trimming 1 of the bare input's
        // when the padding is zero.
        let (x, trim) = match self.padding {
            Padding::Zero => (x, per_axis(1, 0)),
            Padding::Edge => (x.pad(per_axis(1, 0).map(|p| (p, p)), PadMode::Edge), per_axis(3, 0)),
        };
        let options = ConvTransposeOptions::new(per_axis(2, 1), trim, [0; 3], [1; 3], 1);
        conv_transpose3d(x, self.weight.val(), Some(self.bias.val()), options)
    }
}
