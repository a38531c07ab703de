//! LayerNorm: over the last axis (Swin blocks) and over the channels of volumes (diffusion attention).
use super::cpu::Values;
use super::cpu::channel_norm::ChannelNorm;
use super::cpu::layer_norm::RowNorm;
use super::cpu::tape::{Gradient, Operand, record};
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

/// Normalises over the last axis, then applies a weight and a bias to each channel.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[C]`.
    pub weight: Param<Tensor<1>>,
    /// `[C]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
}

impl LayerNorm {
    /// Identity weights.
    pub fn new(channels: usize, eps: f64, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
            eps,
        }
    }

    /// `[.., C]` → the same.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        layer_norm(x, Some((self.weight.val(), self.bias.val())), self.eps)
    }
}

/// LayerNorm over the last axis with biased variance; `affine` are weight and bias `[C]`.
///
/// # Shapes
/// `[.., C]` → the same.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    affine: Option<(Tensor<1>, Tensor<1>)>,
    eps: f64,
) -> Tensor<D> {
    let channels = x.dims()[D - 1];
    let operands = match &affine {
        None => Some((Operand::absent(), Operand::absent())),
        Some((weight, bias)) => {
            assert_eq!([weight.dims(), bias.dims()], [[channels]; 2], "affine of {channels} channels");
            Operand::of(weight).zip(Operand::of(bias))
        }
    };
    if let (Some(operand), Some((weight, bias))) = (Operand::of(&x), operands) {
        let has_affine = affine.is_some();
        let given = has_affine.then_some((weight.get(), bias.get()));
        let (out, moments) = RowNorm { channels, eps, affine: given }.forward(operand.get());
        let kept = [operand.values(), weight.values(), bias.values()];
        return record([operand, weight, bias], out, x.dims(), move |g, [of_x, of_weight, of_bias]| {
            let [x, weight, bias] = kept.each_ref().map(Values::get);
            let affine = has_affine.then_some((weight, bias));
            let found = RowNorm { channels, eps, affine }.gradients(x, &moments, g);
            [
                Gradient::when(of_x, || found.x),
                Gradient::when(of_weight, || found.weight),
                Gradient::when(of_bias, || found.bias),
            ]
        });
    }
    let (var, mean) = x.clone().var_mean_bias(D - 1);
    let y = (x - mean) / (var + eps).sqrt();
    match affine {
        None => y,
        Some((weight, bias)) => y * weight.unsqueeze() + bias.unsqueeze(),
    }
}

/// LayerNorm over the channels with biased variance; `weight` is `[C]`.
///
/// # Shapes
/// `[B, C, D, H, W]` → the same.
pub fn channel_layer_norm(x: Tensor<5>, weight: Option<Tensor<1>>, eps: f64) -> Tensor<5> {
    let [_, channels, d, h, w] = x.dims();
    let operand = match &weight {
        None => Some(Operand::absent()),
        Some(weight) => {
            assert_eq!(weight.dims(), [channels], "weight of {channels} channels");
            Operand::of(weight)
        }
    };
    if let (Some(x_operand), Some(operand)) = (Operand::of(&x), operand) {
        let (volume, has_weight) = (d * h * w, weight.is_some());
        let given = has_weight.then_some(operand.get());
        let out = ChannelNorm { channels, volume, eps, weight: given }.forward(x_operand.get());
        let kept = [x_operand.values(), operand.values()];
        return record([x_operand, operand], out, x.dims(), move |g, [of_x, of_weight]| {
            let [x, weight] = kept.each_ref().map(Values::get);
            let weight = has_weight.then_some(weight);
            let (dx, dw) = ChannelNorm { channels, volume, eps, weight }.gradients(x, g);
            [Gradient::when(of_x, || dx), Gradient::when(of_weight, || dw)]
        });
    }
    let (var, mean) = x.clone().var_mean_bias(1);
    let y = (x - mean) / (var + eps).sqrt();
    match weight {
        None => y,
        Some(weight) => y * weight.reshape([1, channels, 1, 1, 1]),
    }
}
