//! A linear layer with the weight as published checkpoints store it.
use super::conv3d::uniform;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// `x · weightᵀ + bias`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[outputs, inputs]`.
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`.
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// A layer with random weights.
    pub fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        let init = uniform(inputs);
        Self { weight: init.init([outputs, inputs], device), bias: init.init([outputs], device) }
    }

    /// `[rows, inputs]` → `[rows, outputs]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}
