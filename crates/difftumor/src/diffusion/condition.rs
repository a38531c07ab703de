//! What the diffusion model is conditioned on (paper 3.2; spec/diffusion.md section 1): the latents of the scan with
//! the tumor region blanked, and the tumor mask on the latent grid.
use crate::autoencoder::Autoencoder;
use burn::tensor::Tensor;

/// Maps latents to about [-1, 1] by the range of the codebook, and back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatentScale {
    min: f32,
    max: f32,
}

impl LatentScale {
    /// The scale of an autoencoder's codebook.
    pub fn of(autoencoder: &Autoencoder) -> Self {
        let (min, max) = autoencoder.codebook().range();
        Self { min, max }
    }

    /// Latents → model space. Not clipped: unquantised latents may lie outside of [-1, 1].
    pub fn normalise(&self, z: Tensor<5>) -> Tensor<5> {
        (z - self.min) / (self.max - self.min) * 2.0 - 1.0
    }

    /// Model space → latents.
    pub fn restore(&self, x: Tensor<5>) -> Tensor<5> {
        (x + 1.0) / 2.0 * (self.max - self.min) + self.min
    }
}

/// Condition of a batch, `[B, 9, d, h, w]`: 8 channels of masked latents, 1 of the mask in {-1, 1}.
#[derive(Debug, Clone)]
pub struct Condition(pub Tensor<5>);

impl Condition {
    /// `image` in [-1, 1] and `mask` in {0, 1}, both `[B, 1, D, H, W]`.
    ///
    /// Blanked voxels become 0, that is mid grey (37.5 HU) and not air: the published weights know it so.
    pub fn new(autoencoder: &Autoencoder, image: Tensor<5>, mask: Tensor<5>) -> Self {
        assert_eq!(image.dims(), mask.dims(), "image against mask");
        let masked = image * (mask.clone() * -1.0 + 1.0);
        let latents = LatentScale::of(autoencoder).normalise(autoencoder.encode(masked));
        let [b, _, d, h, w] = latents.dims();
        let [_, _, full_d, full_h, full_w] = mask.dims();
        // Nearest: source index floor(i * in / out), which is every (in / out)-th voxel.
        let mut small = mask;
        for (axis, (full, out)) in [(full_d, d), (full_h, h), (full_w, w)].into_iter().enumerate() {
            let every = burn::tensor::Slice::new(0, Some(full as isize), (full / out) as isize);
            small = small.slice_dim(axis + 2, every);
        }
        let small = small.reshape([b, 1, d, h, w]) * 2.0 - 1.0;
        Self(Tensor::cat(vec![latents, small], 1))
    }
}
