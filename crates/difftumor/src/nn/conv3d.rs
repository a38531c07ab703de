//! 3-D convolution with zero or edge padding folded in.
use super::cpu;
use super::cpu::conv_grad;
use super::cpu::tape::{Gradient, Operand, record};
use burn::module::{Initializer, Module, Param};
use burn::tensor::module::conv3d;
use burn::tensor::ops::{ConvOptions, PadMode};
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
    /// Whether there is a bias.
    pub bias: bool,
}

/// A convolution.
#[derive(Module, Debug)]
pub struct Conv3d {
    /// `[Co, Ci, kd, kh, kw]`.
    pub weight: Param<Tensor<5>>,
    /// `[Co]`, or none.
    pub bias: Option<Param<Tensor<1>>>,
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
            bias: self.bias.then(|| init.init([co], device)),
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
        match (Operand::of(&x), Operand::of(&self.weight.val())) {
            (Some(on_cpu), Some(weight)) => self.forward_cpu(on_cpu, x.dims(), weight, residual),
            _ => self.forward_any(x, residual),
        }
    }

    fn forward_cpu(
        &self,
        x: Operand,
        [b, _, d, h, w]: [usize; 5],
        weight: Operand,
        residual: Option<Tensor<5>>,
    ) -> Tensor<5> {
        let (g, n, co) = (self.geometry, [d, h, w], self.weight.val().dims()[0]);
        let bias = bias_operand(self.bias.as_ref(), co);
        let residual = residual.map(|r| Operand::of(&r).expect("residual on the input's device"));
        let [d2, h2, w2] = g.output_shape(n);
        let voxels = d2 * h2 * w2;
        let out = per_item(b, x.get(), co * voxels, |i, item| {
            let r = residual.as_ref().map(|r| &r.get()[i * co * voxels..(i + 1) * co * voxels]);
            cpu::conv::conv3d(item, n, weight.get(), bias.get(), &g, r)
        });
        let (inputs, weights) = (weight.is_tracked().then(|| x.values()), weight.values());
        let residual = residual.unwrap_or_else(Operand::absent);
        record([x, weight, bias, residual], out, [b, co, d2, h2, w2], move |gradient, wanted| {
            [
                Gradient::when(wanted[0], || conv_grad::data(gradient, n, weights.get(), co, &g)),
                Gradient::when(wanted[1], || {
                    let x = inputs.as_ref().expect("kept for a tracked weight");
                    conv_grad::weight(x.get(), n, gradient, co, &g)
                }),
                Gradient::when(wanted[2], || conv_grad::bias(gradient, co, voxels)),
                Gradient::Same,
            ]
        })
    }

    /// The same in Burn's operations.
    fn forward_any(&self, x: Tensor<5>, residual: Option<Tensor<5>>) -> Tensor<5> {
        let g = &self.geometry;
        let pairs: [(usize, usize); 3] = std::array::from_fn(|a| (g.pad_before[a], g.pad_after[a]));
        // Burn 0.22.1's conv3d refuses padding that differs before and after.
        let (x, padding) = match g.padding {
            Padding::Zero if g.pad_before == g.pad_after => (x, pairs),
            Padding::Zero => (x.pad(pairs, PadMode::Constant(0.0)), [(0, 0); 3]),
            Padding::Edge => (x.pad(pairs, PadMode::Edge), [(0, 0); 3]),
        };
        let options = ConvOptions::new_with_padding(g.stride, padding, [1; 3], 1);
        let y = conv3d(x, self.weight.val(), self.bias.as_ref().map(Param::val), options);
        match residual {
            Some(r) => y + r,
            None => y,
        }
    }
}

/// A bias of `channels`, zeros where the layer has none.
pub(super) fn bias_operand(bias: Option<&Param<Tensor<1>>>, channels: usize) -> Operand {
    match bias {
        Some(b) => Operand::of(&b.val()).expect("bias on the weight's device"),
        None => Operand::constant(vec![0.0; channels]),
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
