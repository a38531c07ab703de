//! The terms of the autoencoder's loss that need no other network (paper Eq. 1; spec/autoencoder.md sections 4, 5).
use super::Autoencoder;
use crate::nn::loss::{mean_absolute_error, mean_squared_error};
use burn::tensor::{Int, Tensor};

/// Weight of the reconstruction's mean absolute error (authors' config; the paper is silent).
pub const RECONSTRUCTION: f64 = 4.0;
/// Weight of the commitment term (authors' config; β of VQ-VAE).
pub const COMMITMENT: f64 = 0.25;

/// What one forward pass of the training gives.
pub struct Reconstruction {
    /// The decoded image, `[B, 1, D, H, W]`.
    pub image: Tensor<5>,
    /// Weighted mean absolute error, `[1]`.
    pub reconstruction: Tensor<1>,
    /// Weighted distance of the latents from their codes, `[1]`.
    pub commitment: Tensor<1>,
    /// The latents, without gradient, `[B, C, D/4, H/4, W/4]`.
    pub latents: Tensor<5>,
    /// The code of each latent: what the codebook learns from, with the latents.
    pub indices: Tensor<1, Int>,
}

/// Encodes, quantises with the gradient passed straight through, decodes, and compares with `x` `[B, 1, D, H, W]`.
pub fn reconstruct(autoencoder: &Autoencoder, x: Tensor<5>) -> Reconstruction {
    let z = autoencoder.encode(x.clone());
    let [b, _, d, h, w] = z.dims();
    let latents = z.clone().detach();
    let indices = autoencoder.indices(latents.clone());
    let codes = autoencoder.lookup(indices.clone(), [b, d, h, w]).detach();
    let commitment = mean_squared_error(z.clone(), codes.clone()) * COMMITMENT;
    // Equal to the codes up to rounding; the gradient is z's.
    let passed = z.clone() + (codes - z).detach();
    let image = autoencoder.decode_quantised(passed);
    let reconstruction = mean_absolute_error(image.clone(), x) * RECONSTRUCTION;
    Reconstruction { image, reconstruction, commitment, latents, indices }
}

/// [`reconstruct`] with the latents as they are: no code stands between encoder and decoder, and nothing is committed to.
pub fn reconstruct_unquantised(autoencoder: &Autoencoder, x: Tensor<5>) -> Reconstruction {
    let z = autoencoder.encode(x.clone());
    let latents = z.clone().detach();
    let indices = autoencoder.indices(latents.clone());
    let commitment = Tensor::zeros([1], &z.device());
    let image = autoencoder.decode_quantised(z);
    let reconstruction = mean_absolute_error(image.clone(), x) * RECONSTRUCTION;
    Reconstruction { image, reconstruction, commitment, latents, indices }
}
