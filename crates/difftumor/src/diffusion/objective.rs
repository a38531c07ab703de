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

/// What is asked of the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// What it predicts.
    pub predicts: Predicts,
    /// Weight of the mean error in and right around the tumor, beside that of the whole crop. Published: 0.
    ///
    /// An early tumor is a few of 13,824 latents, and what it looks like hardly matters to the mean over all: compact-v1 copied the
    /// blanked region's grey (37.5 HU) there.
    pub tumor_weight: f64,
}

impl Objective {
    /// The published one: noise, the mean over all latents.
    pub const PUBLISHED: Self = Self { predicts: Predicts::Noise, tumor_weight: 0.0 };
}

/// Mean absolute error of what the model predicts: the noise (the published code's L1; the YAML's `objective` is read by nobody), or
/// the clean latents; see [`Objective`].
///
/// # Shapes
/// `z0` and `noise` `[B, C, F, H, W]`, `condition` `[B, C + 1, F, H, W]`, one `t` for each item → `[1]`.
pub fn denoising_loss(
    unet: &Unet3d,
    objective: Objective,
    schedule: &Schedule,
    z0: Tensor<5>,
    condition: Tensor<5>,
    t: &[usize],
    noise: Tensor<5>,
) -> Tensor<1> {
    let x = diffuse(schedule, z0.clone(), noise.clone(), t);
    let target = match objective.predicts {
        Predicts::Noise => noise,
        Predicts::Clean => z0,
    };
    let near = (objective.tumor_weight > 0.0).then(|| near_tumor(&condition));
    let predicted = unet.forward(x, t, condition);
    let everywhere = mean_absolute_error(predicted.clone(), target.clone());
    let Some((mask, share)) = near.filter(|(_, share)| *share > 0.0) else { return everywhere };
    let there = mean_absolute_error(predicted * mask.clone(), target * mask);
    everywhere + there * (objective.tumor_weight / share)
}

/// 1 in the tumor's latents and their neighbours, which its edge reaches, `[B, 1, F, H, W]`, and the mean of that. The mask is the
/// condition's last channel.
fn near_tumor(condition: &Tensor<5>) -> (Tensor<5>, f64) {
    let [b, channels, f, h, w] = condition.dims();
    let mask = condition.clone().narrow(1, channels - 1, 1).into_data().convert::<f32>();
    let mut mask: Vec<f32> = mask.try_to_vec::<f32>().expect("a float tensor");
    mask.iter_mut().for_each(|v| *v = if *v > 0.0 { 1.0 } else { 0.0 });
    for (n, stride) in [(w, 1), (h, w), (f, h * w)] {
        let before = mask.clone();
        for (i, v) in mask.iter_mut().enumerate() {
            let at = i / stride % n;
            let lower = if at > 0 { before[i - stride] } else { 0.0 };
            let upper = if at + 1 < n { before[i + stride] } else { 0.0 };
            *v = v.max(lower).max(upper);
        }
    }
    let share = mask.iter().map(|v| f64::from(*v)).sum::<f64>() / mask.len() as f64;
    (Tensor::from_data(TensorData::new(mask, [b, 1, f, h, w]), &condition.device()), share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::DiffusionConfig;
    use burn::tensor::{Device, Distribution};

    #[test]
    fn neighbours_of_the_tumor_count_and_borders_do_not_wrap() {
        let device = Device::flex();
        let mut values = vec![-1.0f32; 2 * 2 * 4 * 4 * 5];
        // Item 0: the corner (0, 0, 0); item 1: (2, 2, 4); in the second of two channels.
        values[80] = 1.0;
        values[160 + 80 + 2 * 20 + 2 * 5 + 4] = 1.0;
        let condition = Tensor::from_data(TensorData::new(values, [2, 2, 4, 4, 5]), &device);
        let (mask, share) = near_tumor(&condition);
        let sums: Vec<f32> = mask.reshape([2, 80]).sum_dim(1).into_data().try_to_vec().unwrap();
        assert_eq!(sums, [8.0, 18.0]);
        assert!((share - 26.0 / 160.0).abs() < 1e-9);
    }

    #[test]
    fn the_tumors_error_is_added_with_its_weight() {
        let device = Device::flex();
        device.seed(1);
        let config = DiffusionConfig {
            base_channels: 8,
            multipliers: vec![1, 2],
            heads: 1,
            head_channels: 4,
            latent_channels: 2,
            ..DiffusionConfig::default()
        };
        let unet = config.init(&device);
        let random = |c: usize| Tensor::<5>::random([1, c, 4, 4, 4], Distribution::Normal(0.0, 1.0), &device);
        let (z0, noise, latents) = (random(2), random(2), random(2));
        let schedule = Schedule::cosine(4);
        let loss = |mask: Tensor<5>, tumor_weight: f64| {
            let condition = Tensor::cat(vec![latents.clone(), mask], 1);
            let objective = Objective { predicts: Predicts::Clean, tumor_weight };
            denoising_loss(&unet, objective, &schedule, z0.clone(), condition, &[2], noise.clone())
                .into_scalar::<f32>()
        };
        let all = Tensor::ones([1, 1, 4, 4, 4], &device);
        let none = all.clone() * -1.0;
        // Where everything is tumor, both means are the same; where nothing is, there is only one.
        assert!((loss(all.clone(), 0.5) / loss(all.clone(), 0.0) - 1.5).abs() < 1e-5);
        assert_eq!(loss(none.clone(), 0.5), loss(none, 0.0));
        // A tumor in one corner.
        let mut corner = vec![-1.0f32; 64];
        corner[0] = 1.0;
        let corner = Tensor::<5>::from_data(TensorData::new(corner, [1, 1, 4, 4, 4]), &device);
        let condition = Tensor::cat(vec![latents.clone(), corner.clone()], 1);
        let x = diffuse(&schedule, z0.clone(), noise.clone(), &[2]);
        let error = (unet.forward(x, &[2], condition) - z0.clone()).abs();
        let region = [0..1, 0..2, 0..2, 0..2, 0..2];
        let expected = error.clone().mean() + error.slice(region).mean() * 0.5;
        assert!((loss(corner, 0.5) / expected.into_scalar::<f32>() - 1.0).abs() < 1e-5);
    }
}
