//! Drawing latents: DDPM and DDIM (spec/diffusion.md section 5). Kept in f32: at T = 4 the first step multiplies the
//! model's error by 263 before it is clamped (pitfall B14).
use super::{Condition, DdimSteps, DiffusionConfig, Predicts, Sampler, Schedule, Unet3d};
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
        Sampler::Ddpm => ddpm(unet, config, &schedule, condition, noise, watch),
        Sampler::Ddim { steps, eta, clip } => {
            let steps = DdimSteps::new(&schedule, steps, eta);
            ddim(unet, config, &steps, clip, condition, noise, watch)
        }
    }
}

fn draw(noise: &mut impl NoiseSource, shape: [usize; 5], device: &Device) -> Tensor<5> {
    Tensor::from_data(TensorData::new(noise.normal(shape.iter().product()), shape), device)
}

fn ddpm(
    unet: &Unet3d,
    config: &DiffusionConfig,
    s: &Schedule,
    condition: &Condition,
    noise: &mut impl NoiseSource,
    mut watch: impl FnMut(Progress),
) -> Tensor<5> {
    let [b, _, d, h, w] = condition.0.dims();
    let (shape, device) = ([b, config.latent_channels, d, h, w], condition.0.device());
    let mut x = draw(noise, shape, &device);
    for t in (0..s.timesteps()).rev() {
        let predicted = unet.forward(x.clone(), &vec![t; b], condition.0.clone());
        let x0 = match config.predicts {
            Predicts::Clean => predicted,
            Predicts::Noise => {
                x.clone() * s.sqrt_recip_alphas_cumprod[t] - predicted * s.sqrt_recipm1_alphas_cumprod[t]
            }
        };
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
    config: &DiffusionConfig,
    s: &DdimSteps,
    clip: bool,
    condition: &Condition,
    noise: &mut impl NoiseSource,
    mut watch: impl FnMut(Progress),
) -> Tensor<5> {
    let [b, _, d, h, w] = condition.0.dims();
    let (shape, device) = ([b, config.latent_channels, d, h, w], condition.0.device());
    let mut x = draw(noise, shape, &device);
    for i in (0..s.timesteps.len()).rev() {
        let predicted = unet.forward(x.clone(), &vec![s.timesteps[i]; b], condition.0.clone());
        let noise_of =
            |x0: &Tensor<5>| (x.clone() - x0.clone() * s.alphas[i].sqrt()) / s.sqrt_one_minus_alphas[i];
        let (mut x0, mut eps) = match config.predicts {
            Predicts::Noise => {
                ((x.clone() - predicted.clone() * s.sqrt_one_minus_alphas[i]) / s.alphas[i].sqrt(), predicted)
            }
            Predicts::Clean => (predicted.clone(), noise_of(&predicted)),
        };
        if clip {
            x0 = x0.clamp(-1.0, 1.0);
            eps = noise_of(&x0);
        }
        let direction = (1.0 - s.alphas_prev[i] - s.sigmas[i].powi(2)).sqrt();
        x = x0.clone() * s.alphas_prev[i].sqrt() + eps * direction;
        if s.sigmas[i] > 0.0 {
            x = x + draw(noise, shape, &device) * s.sigmas[i];
        }
        watch(Progress { call: s.timesteps.len() - i, x0: &x0, x: &x });
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use difftumor_ct::draws::Stream;

    /// A network small enough for a test, and its condition.
    fn small(sampler: Sampler, timesteps: usize, predicts: Predicts) -> (DiffusionConfig, Unet3d, Condition) {
        let device = Device::flex();
        device.seed(1);
        let config = DiffusionConfig {
            base_channels: 8,
            multipliers: vec![1, 2],
            heads: 1,
            head_channels: 4,
            timesteps,
            sampler,
            predicts,
            latent_channels: 2,
            ..DiffusionConfig::default()
        };
        let unet = config.init(&device);
        (config, unet, Condition(Tensor::zeros([1, 3, 4, 4, 4], &device)))
    }

    #[test]
    fn clipped_latents_stay_in_their_range() {
        let largest = |clip: bool| {
            let sampler = Sampler::Ddim { steps: 8, eta: 0.0, clip };
            let (config, unet, condition) = small(sampler, 40, Predicts::Noise);
            let mut noise = Stream::new(1, 0, "clip", 0);
            let mut largest = vec![];
            let x = sample_watched(&unet, &config, &condition, &mut noise, |p| {
                largest.push(p.x0.clone().abs().max().into_scalar::<f32>());
            });
            assert_eq!(largest.len(), 8);
            (largest.into_iter().fold(0.0, f32::max), x.abs().max().into_scalar::<f32>())
        };
        let (with, without) = (largest(true), largest(false));
        // An untrained network predicts nearly no noise: x0 is x over the square root of a small number.
        assert!(with.0 <= 1.0 && with.1 < 1.5, "{with:?}");
        assert!(without.0 > 3.0, "{without:?}");
    }

    #[test]
    fn predicted_latents_are_taken_as_they_are() {
        for (sampler, timesteps) in
            [(Sampler::Ddpm, 4), (Sampler::Ddim { steps: 8, eta: 0.0, clip: false }, 40)]
        {
            let (config, unet, condition) = small(sampler, timesteps, Predicts::Clean);
            let draws = || Stream::new(1, 0, "clean", 0);
            let start = draw(&mut draws(), [1, 2, 4, 4, 4], &condition.0.device());
            let last = if timesteps == 4 { 3 } else { 36 };
            let expected = unet.forward(start, &[last], condition.0.clone()).clamp(-1.0, 1.0);
            let mut first = None;
            let x = sample_watched(&unet, &config, &condition, &mut draws(), |p| {
                first.get_or_insert(p.x0.clone());
            });
            let first = first.expect("at least one step").clamp(-1.0, 1.0);
            assert!((first - expected).abs().max().into_scalar::<f32>() == 0.0, "{sampler:?}");
            assert!(x.abs().max().into_scalar::<f32>() < 10.0, "{sampler:?}");
        }
    }
}
