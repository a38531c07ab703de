//! The codebook: latents are replaced by their nearest codes (paper 3.1; spec/autoencoder.md section 4).
use crate::nn::nearest::nearest;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Distribution, Int, Tensor};

/// Codes and their running usage. No gradient reaches any of it.
#[derive(Module, Debug)]
pub struct Codebook {
    /// The codes, `[codes, C]`.
    pub embeddings: Param<Tensor<2>>,
    /// Running number of latents that chose each code, `[codes]`.
    pub n: Param<Tensor<1>>,
    /// Running sum of those latents, `[codes, C]`.
    pub z_avg: Param<Tensor<2>>,
}

impl Codebook {
    /// Standard normal codes.
    pub fn new(codes: usize, channels: usize, device: &Device) -> Self {
        let embeddings = Tensor::random([codes, channels], Distribution::Normal(0.0, 1.0), device);
        let frozen = |t: Tensor<2>| Param::from_tensor(t).set_require_grad(false);
        Self {
            z_avg: frozen(embeddings.clone()),
            embeddings: frozen(embeddings),
            n: Initializer::Ones.init([codes], device).set_require_grad(false),
        }
    }

    /// Index of the nearest code of each position, in (B, D, H, W) order.
    ///
    /// # Shapes
    /// `z` `[B, C, D, H, W]` → `[B * D * H * W]`.
    pub fn indices(&self, z: Tensor<5>) -> Tensor<1, Int> {
        let [b, c, d, h, w] = z.dims();
        nearest(z.permute([0, 2, 3, 4, 1]).reshape([b * d * h * w, c]), self.embeddings.val())
    }

    /// The codes at `indices`, channels first.
    ///
    /// # Shapes
    /// `[B * D * H * W]` → `[B, C, D, H, W]` with `[B, D, H, W] = sides`.
    pub fn lookup(&self, indices: Tensor<1, Int>, [b, d, h, w]: [usize; 4]) -> Tensor<5> {
        let c = self.embeddings.val().dims()[1];
        self.embeddings.val().select(0, indices).reshape([b, d, h, w, c]).permute([0, 4, 1, 2, 3]) // [B, C, D, H, W]
    }

    /// Smallest and largest number in the whole codebook: latents are scaled by them for the diffusion model.
    pub fn range(&self) -> (f32, f32) {
        let e = self.embeddings.val();
        (e.clone().min().into_scalar(), e.max().into_scalar())
    }
}
