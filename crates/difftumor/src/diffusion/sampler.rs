//! Drawing latents: DDPM and DDIM (spec/diffusion.md section 5). Kept in f32: at T = 4 the first step multiplies the
//! model's error by 263 before it is clamped (pitfall B14).
use super::{Condition, DdimSteps, DiffusionConfig, Sampler, Schedule, Unet3d};
use burn::tensor::{Device, Tensor, TensorData};
use difftumor_ct::draws::Draws;

/// Where standard normal noise comes from. It is drawn on the CPU, so the same seed gives the same picture on every
/// device; tests replay stored noise.
pub trait NoiseSource {
    /// The next `n` standard normal numbers.
    fn normal(&mut self, n: usize) -> Vec<f32>;
}

impl<D: Draws> NoiseSource for D {
    fn normal(&mut self, n: usize) -> Vec<f32> {
        let mut out = vec![0f64; n];
        self.normals(&mut out);
        out.into_iter().map(|v| v as f32).collect()
    }
}

/// What a sampler has done after a model call, for those who watch.
pub struct Progress<'a> {
    /// Number of model calls done, from 1.
    pub call: usize,
    /// Clean latents as predicted by this call.
    pub x0: &'a Tensor<5>,
    /// Latents after the step.
    pub x: &'a Tensor<5>,
}

/// Draws latents in model space, `[B, 8, d, h, w]`, for a condition `[B, 9, d, h, w]`.
pub fn sample(
    unet: &Unet3d,
    config: &DiffusionConfig,
    condition: &Condition,
    noise: &mut impl NoiseSource,
) -> Tensor<5> {
    sample_watched(unet, config, condition, noise, |_| ())
}

/// [`sample`], telling `watch` of every step.
pub fn sample_watched(
    unet: &Unet3d,
    config: &DiffusionConfig,
    condition: &Condition,
    noise: &mut impl NoiseSource,
    watch: impl FnMut(Progress),
) -> Tensor<5> {
    let schedule = Schedule::cosine(config.timesteps);
    match config.sampler {
        Sampler::Ddpm => ddpm(unet, &schedule, condition, config.latent_channels, noise, watch),
        Sampler::Ddim { steps, eta } => {
            let steps = DdimSteps::new(&schedule, steps, eta);
            ddim(unet, &steps, condition, config.latent_channels, noise, watch)
        }
    }
}

fn draw(noise: &mut impl NoiseSource, shape: [usize; 5], device: &Device) -> Tensor<5> {
    Tensor::from_data(TensorData::new(noise.normal(shape.iter().product()), shape), device)
}

fn ddpm(
    unet: &Unet3d,
    s: &Schedule,
    condition: &Condition,
    channels: usize,
    noise: &mut impl NoiseSource,
    mut watch: impl FnMut(Progress),
) -> Tensor<5> {
    let [b, _, d, h, w] = condition.0.dims();
    let (shape, device) = ([b, channels, d, h, w], condition.0.device());
    let mut x = draw(noise, shape, &device);
    for t in (0..s.timesteps()).rev() {
        let eps = unet.forward(x.clone(), &vec![t; b], condition.0.clone());
        let x0 = x.clone() * s.sqrt_recip_alphas_cumprod[t] - eps * s.sqrt_recipm1_alphas_cumprod[t];
        let x0 = x0.clamp(-1.0, 1.0);
        x = x0.clone() * s.posterior_mean_coef1[t] + x * s.posterior_mean_coef2[t];
        if t > 0 {
            x = x + draw(noise, shape, &device) * (0.5 * s.posterior_log_variance_clipped[t]).exp();
        }
        watch(Progress { call: s.timesteps() - t, x0: &x0, x: &x });
    }
    x
}

fn ddim(
    unet: &Unet3d,
    s: &DdimSteps,
    condition: &Condition,
    channels: usize,
    noise: &mut impl NoiseSource,
    mut watch: impl FnMut(Progress),
) -> Tensor<5> {
    let [b, _, d, h, w] = condition.0.dims();
    let (shape, device) = ([b, channels, d, h, w], condition.0.device());
    let mut x = draw(noise, shape, &device);
    for i in (0..s.timesteps.len()).rev() {
        let eps = unet.forward(x.clone(), &vec![s.timesteps[i]; b], condition.0.clone());
        let x0 = (x - eps.clone() * s.sqrt_one_minus_alphas[i]) / s.alphas[i].sqrt();
        let direction = (1.0 - s.alphas_prev[i] - s.sigmas[i].powi(2)).sqrt();
        x = x0.clone() * s.alphas_prev[i].sqrt() + eps * direction;
        if s.sigmas[i] > 0.0 {
            x = x + draw(noise, shape, &device) * s.sigmas[i];
        }
        watch(Progress { call: s.timesteps.len() - i, x0: &x0, x: &x });
    }
    x
}
