//! What the diffusion model learns: the noise in noised latents (paper Eq. 5 and 6; spec/diffusion.md section 4).
use super::{Predicts, Schedule, Unet3d};
use crate::nn::loss::mean_absolute_error;
use burn::tensor::{Tensor, TensorData};

/// Latents after step `t` of the forward process, one step for each item: `sqrt(ᾱ_t)·z0 + sqrt(1-ᾱ_t)·noise` (Eq. 5).
///
/// # Shapes
/// `z0` and `noise` `[B, C, F, H, W]` → the same.
pub fn diffuse(schedule: &Schedule, z0: Tensor<5>, noise: Tensor<5>, t: &[usize]) -> Tensor<5> {
    assert_eq!(z0.dims()[0], t.len(), "one step for each item");
    let device = z0.device();
    let factors = |of: &[f32]| {
        let values: Vec<f32> = t.iter().map(|t| of[*t]).collect();
        Tensor::<5>::from_data(TensorData::new(values, [t.len(), 1, 1, 1, 1]), &device)
    };
    z0 * factors(&schedule.sqrt_alphas_cumprod) + noise * factors(&schedule.sqrt_one_minus_alphas_cumprod)
}

/// Mean absolute error of what the model predicts; see [`Predicts`]. Shapes as of [`noise_loss`].
pub fn denoising_loss(
    unet: &Unet3d,
    predicts: Predicts,
    schedule: &Schedule,
    z0: Tensor<5>,
    condition: Tensor<5>,
    t: &[usize],
    noise: Tensor<5>,
) -> Tensor<1> {
    let x = diffuse(schedule, z0.clone(), noise.clone(), t);
    let target = match predicts {
        Predicts::Noise => noise,
        Predicts::Clean => z0,
    };
    mean_absolute_error(unet.forward(x, t, condition), target)
}

/// Mean absolute error of the predicted noise (the published code's L1; the YAML's `objective` is read by nobody).
///
/// # Shapes
/// `z0` and `noise` `[B, 8, F, H, W]`, `condition` `[B, 9, F, H, W]`, one `t` for each item → `[1]`.
pub fn noise_loss(
    unet: &Unet3d,
    schedule: &Schedule,
    z0: Tensor<5>,
    condition: Tensor<5>,
    t: &[usize],
    noise: Tensor<5>,
) -> Tensor<1> {
    denoising_loss(unet, Predicts::Noise, schedule, z0, condition, t, noise)
}
