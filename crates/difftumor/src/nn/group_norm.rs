//! GroupNorm with what always follows it in the autoencoder and the diffusion U-Net: FiLM scale-shift and SiLU.
use super::activation::Activation;
use super::norm::{Normalisation, normalise};
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

/// Normalises over groups of channels, then applies a weight and a bias to each channel. With 0 groups nothing is normalised:
/// weight and bias alone.
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// `[C]`.
    pub weight: Param<Tensor<1>>,
    /// `[C]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    groups: usize,
    #[module(skip)]
    eps: f64,
}

impl GroupNorm {
    /// Identity weights.
    pub fn new(channels: usize, groups: usize, eps: f64, device: &Device) -> Self {
        assert!(groups == 0 || channels.is_multiple_of(groups), "{channels} channels in {groups} groups");
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
            groups,
            eps,
        }
    }

    /// `silu(norm(x))`, `[B, C, D, H, W]`.
    pub fn forward_silu(&self, x: Tensor<5>) -> Tensor<5> {
        self.forward_film_silu(x, None)
    }

    /// `silu(norm(x) * (scale + 1) + shift)`; scale and shift are `[B, C]`.
    pub fn forward_film_silu(&self, x: Tensor<5>, film: Option<(Tensor<2>, Tensor<2>)>) -> Tensor<5> {
        self.forward(x, film, None)
    }

    /// `silu(norm(x)) + residual`.
    pub fn forward_silu_add(&self, x: Tensor<5>, residual: Tensor<5>) -> Tensor<5> {
        self.forward(x, None, Some(residual))
    }

    fn forward(
        &self,
        x: Tensor<5>,
        film: Option<(Tensor<2>, Tensor<2>)>,
        residual: Option<Tensor<5>>,
    ) -> Tensor<5> {
        let affine = Some((self.weight.val(), self.bias.val()));
        let measured = self.groups > 0;
        let groups = if measured { self.groups } else { x.dims()[1] };
        let (eps, activation) = (self.eps, Activation::Silu);
        normalise(x, &Normalisation { groups, eps, measured, affine, film, activation, residual })
    }
}
