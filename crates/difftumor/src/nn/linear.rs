//! A linear layer with the weight as published checkpoints store it.
use super::conv3d::uniform;
use super::cpu::linear as kernels;
use super::cpu::tape::{Gradient, Operand, record};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// `x · weightᵀ + bias`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[outputs, inputs]`.
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// A layer with random weights.
    pub fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        let init = uniform(inputs);
        Self { weight: init.init([outputs, inputs], device), bias: Some(init.init([outputs], device)) }
    }

    /// A layer with random weights and no bias.
    pub fn without_bias(inputs: usize, outputs: usize, device: &Device) -> Self {
        Self { weight: uniform(inputs).init([outputs, inputs], device), bias: None }
    }

    /// `[rows, inputs]` → `[rows, outputs]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        linear(x, self.weight.val(), self.bias.as_ref().map(|b| b.val()))
    }
}

/// `x · weightᵀ + bias`.
///
/// # Shapes
/// `x` `[rows, inputs]`, `weight` `[outputs, inputs]`, `bias` `[outputs]` → `[rows, outputs]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let ([rows, inputs], [outputs, expected]) = (x.dims(), weight.dims());
    assert_eq!(inputs, expected, "rows of {inputs} for a weight of {outputs} × {expected}");
    let has_bias = bias.is_some();
    let bias_operand = match &bias {
        None => Some(Operand::absent()),
        Some(bias) => {
            assert_eq!(bias.dims(), [outputs], "bias of {outputs} outputs");
            Operand::of(bias)
        }
    };
    if let (Some(a), Some(w), Some(b)) = (Operand::of(&x), Operand::of(&weight), bias_operand) {
        let out = kernels::linear(a.get(), w.get(), has_bias.then_some(b.get()), outputs);
        let (kept_x, kept_weight) = (a.values(), w.values());
        return record([a, w, b], out, [rows, outputs], move |g, wanted| {
            [
                Gradient::when(wanted[0], || kernels::linear_grad_x(g, kept_weight.get(), outputs)),
                Gradient::when(wanted[1], || kernels::linear_grad_weight(kept_x.get(), g, outputs, inputs)),
                Gradient::when(wanted[2], || kernels::linear_grad_bias(g, outputs)),
            ]
        });
    }
    let y = x.matmul(weight.transpose());
    match bias {
        None => y,
        Some(bias) => y + bias.unsqueeze(),
    }
}
