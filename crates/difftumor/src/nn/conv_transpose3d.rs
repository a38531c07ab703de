//! 3-D transposed convolution that multiplies sides by its stride.
use super::conv3d::{Padding, bias_operand, per_item, uniform};
use super::cpu::tape::{Gradient, Operand, record};
pub use super::cpu::transposed::TransposedGeometry;
use super::cpu::{conv_grad, transposed};
use burn::module::{Module, Param};
use burn::tensor::module::conv_transpose3d;
use burn::tensor::ops::{ConvTransposeOptions, PadMode};
use burn::tensor::{Device, Tensor};

/// Makes a [`ConvTranspose3d`].
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose3dConfig {
    /// Input and output channels.
    pub channels: [usize; 2],
    /// Kernel, stride, trimming.
    pub geometry: TransposedGeometry,
    /// Whether there is a bias.
    pub bias: bool,
}

/// A transposed convolution.
#[derive(Module, Debug)]
pub struct ConvTranspose3d {
    /// `[Ci, Co, kd, kh, kw]`.
    pub weight: Param<Tensor<5>>,
    /// `[Co]`, or none.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    geometry: TransposedGeometry,
}

impl ConvTranspose3dConfig {
    /// A layer with random weights.
    pub fn init(&self, device: &Device) -> ConvTranspose3d {
        let ([ci, co], [d, h, w]) = (self.channels, self.geometry.kernel);
        let init = uniform(co * d * h * w);
        ConvTranspose3d {
            weight: init.init([ci, co, d, h, w], device),
            bias: self.bias.then(|| init.init([co], device)),
            geometry: self.geometry,
        }
    }
}

impl ConvTranspose3d {
    /// `[B, Ci, D, H, W]` → `[B, Co, D', H', W']` with the sides times the stride.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        match (Operand::of(&x), Operand::of(&self.weight.val())) {
            (Some(on_cpu), Some(weight)) => self.forward_cpu(on_cpu, x.dims(), weight),
            _ => self.forward_any(x),
        }
    }

    fn forward_cpu(&self, x: Operand, [b, _, d, h, w]: [usize; 5], weight: Operand) -> Tensor<5> {
        let (g, n, co) = (self.geometry, [d, h, w], self.weight.val().dims()[1]);
        let bias = bias_operand(self.bias.as_ref(), co);
        let [d2, h2, w2] = g.output_shape(n);
        let voxels = d2 * h2 * w2;
        let out = per_item(b, x.get(), co * voxels, |_, item| {
            transposed::conv_transpose3d(item, n, weight.get(), bias.get(), &g)
        });
        let (inputs, weights) = (weight.is_tracked().then(|| x.values()), weight.values());
        record([x, weight, bias], out, [b, co, d2, h2, w2], move |gradient, wanted| {
            [
                Gradient::when(wanted[0], || conv_grad::transposed_data(gradient, n, weights.get(), co, &g)),
                Gradient::when(wanted[1], || {
                    let x = inputs.as_ref().expect("kept for a tracked weight");
                    conv_grad::transposed_weight(x.get(), n, gradient, co, &g)
                }),
                Gradient::when(wanted[2], || conv_grad::bias(gradient, co, voxels)),
            ]
        })
    }

    /// The same in Burn's operations.
    fn forward_any(&self, x: Tensor<5>) -> Tensor<5> {
        let (g, rim) = (&self.geometry, self.geometry.rim());
        let [_, _, d, h, w] = x.dims();
        // Rim voxels add a stride each to what is trimmed; Burn adds voxels after the end where its own trimming,
        // equal on both sides, leaves too few.
        let trim: [usize; 3] = std::array::from_fn(|a| g.trim_before[a] + rim[a] * g.stride[a]);
        let more: [usize; 3] = std::array::from_fn(|a| {
            let inputs = [d, h, w][a] + 2 * rim[a];
            [d, h, w][a] * g.stride[a] + 2 * trim[a] - ((inputs - 1) * g.stride[a] + g.kernel[a])
        });
        let x = match g.padding {
            Padding::Zero => x,
            Padding::Edge => x.pad(rim.map(|p| (p, p)), PadMode::Edge),
        };
        let options = ConvTransposeOptions::new(g.stride, trim, more, [1; 3], 1);
        conv_transpose3d(x, self.weight.val(), self.bias.as_ref().map(Param::val), options)
    }
}
