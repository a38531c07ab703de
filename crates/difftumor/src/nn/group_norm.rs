//! GroupNorm with what always follows it here: FiLM scale-shift and SiLU.
use super::cpu;
use super::cpu::norm::{AfterNorm, group_norm_add};
use burn::module::{Initializer, Module, Param};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};

/// Normalises over groups of channels, then applies a weight and a bias to each channel.
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
        assert!(channels.is_multiple_of(groups), "{channels} channels in {groups} groups");
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
        let [b, c, d, h, w] = x.dims();
        if let (Some(v), Some(weight), Some(bias)) =
            (cpu::values(&x), cpu::values(&self.weight.val()), cpu::values(&self.bias.val()))
        {
            let film = film.as_ref().map(|(s, t)| {
                (cpu::values(s).expect("scale on x's device"), cpu::values(t).expect("shift on x's device"))
            });
            let after = AfterNorm {
                weight: weight.get(),
                bias: bias.get(),
                scale_shift: film.as_ref().map(|(s, t)| (s.get(), t.get())),
                silu: true,
            };
            let residual = residual.as_ref().map(|r| cpu::values(r).expect("residual on x's device"));
            let residual = residual.as_ref().map(|r| r.get());
            let y = group_norm_add(v.get(), c, d * h * w, self.groups, self.eps, &after, residual);
            return cpu::tensor(y, [b, c, d, h, w]);
        }
        let rows = x.reshape([b * self.groups, c / self.groups * d * h * w]);
        let (var, mean) = rows.clone().var_mean_bias(1);
        let y = (rows - mean) / (var + self.eps).sqrt();
        let y = y.reshape([b, c, d, h, w]); // [B, C, D, H, W]
        let per_channel = |t: Tensor<1>| t.reshape([1, c, 1, 1, 1]);
        let mut y = y * per_channel(self.weight.val()) + per_channel(self.bias.val());
        if let Some((scale, shift)) = film {
            y = y * (scale + 1.0).reshape([b, c, 1, 1, 1]) + shift.reshape([b, c, 1, 1, 1]);
        }
        match residual {
            Some(r) => silu(y) + r,
            None => silu(y),
        }
    }
}
