//! Numbers of the latent diffusion model: the noise-predicting U-Net, its schedule and its sampler (paper 3.2).
use crate::autoencoder::config::check_range;
use serde::{Deserialize, Serialize};

/// Architecture, schedule and sampler of the diffusion model. The default is the published "early" model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiffusionConfig {
    /// Channels at full resolution: 24, authors' code (`dim`).
    pub base_channels: usize,
    /// Channels of each down stage as multiples of `base_channels`: 1, 2, 4, 8, authors' code (`dim_mults`).
    pub multipliers: Vec<usize>,
    /// Heads of every attention: 8, authors' code.
    pub heads: usize,
    /// Channels of each head: 32, authors' code.
    pub head_channels: usize,
    /// Diffusion steps T: 4 for early tumors, 200 for medium and large ones (authors' code; paper E.2 names 4).
    pub timesteps: usize,
    /// How latents are drawn.
    pub sampler: Sampler,
    /// Channels of the latents: 8, as the autoencoder's. The input has twice as many, and one of the mask.
    pub latent_channels: usize,
    /// Groups of every group norm: 8, authors' code.
    pub norm_groups: usize,
    /// What latents are scaled by.
    pub scale: ScaleOf,
    /// What the network predicts.
    pub predicts: Predicts,
}

/// What the network predicts of noised latents. Each follows from the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicts {
    /// The noise (paper Eq. 6; authors' code).
    #[default]
    Noise,
    /// The latents without it. Ours: where there is nearly nothing but noise, the error of predicted noise is multiplied by
    /// 64 (T = 200) or 263 (T = 4) on the way to the latents, and what the first step gets wrong, such as a tumor's mean
    /// HU, stays. That takes a long training to become small; predicted latents need none of it.
    Clean,
}

/// What is mapped to [-1, 1], the range in which noise is added and samples are clamped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleOf {
    /// Smallest to largest number of the whole codebook (authors' code).
    #[default]
    Codebook,
    /// Three standard deviations around the mean of the codes, weighted by their use, in each channel. Ours: a few extreme codes
    /// (bone, metal) otherwise press all others into a tenth of the range, where four steps of noise drown them.
    UsedCodes,
}

/// How latents are drawn from the model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampler {
    /// Every step of the schedule, with noise (Ho et al. 2020). The published choice for T = 4.
    Ddpm,
    /// A subset of the steps (Song et al. 2021). The published choice for T = 200.
    Ddim {
        /// Steps taken out of T: 50, authors' code.
        steps: usize,
        /// Fraction of the noise of DDPM: 0 (deterministic), authors' code.
        eta: f64,
        /// Whether predicted clean latents are clamped to [-1, 1], as DDPM does, and the noise is what then remains. The authors'
        /// code does not; a model of few training steps drifts away without (its first step multiplies its error by 64).
        #[serde(default)]
        clip: bool,
    },
}

impl Default for DiffusionConfig {
    fn default() -> Self {
        Self {
            base_channels: 24,
            multipliers: vec![1, 2, 4, 8],
            heads: 8,
            head_channels: 32,
            timesteps: 4,
            sampler: Sampler::Ddpm,
            latent_channels: 8,
            norm_groups: 8,
            scale: ScaleOf::default(),
            predicts: Predicts::default(),
        }
    }
}

impl DiffusionConfig {
    /// Checks that a model of these numbers can exist.
    ///
    /// # Errors
    /// Names the first number that is out of its range.
    pub fn check(&self) -> difftumor_ct::Result<()> {
        check_range("base_channels", self.base_channels, 2, 4096)?;
        check_range("number of multipliers", self.multipliers.len(), 1, 8)?;
        for &multiplier in &self.multipliers {
            check_range("multiplier", multiplier, 1, 256)?;
        }
        check_range("heads", self.heads, 1, 1024)?;
        check_range("head_channels", self.head_channels, 2, 4096)?;
        check_range("timesteps", self.timesteps, 1, 100_000)?;
        check_range("latent_channels", self.latent_channels, 1, 4096)?;
        check_range("norm_groups", self.norm_groups, 1, self.base_channels)?;
        match self.sampler {
            Sampler::Ddpm => Ok(()),
            Sampler::Ddim { steps, .. } => check_range("sampler.ddim.steps", steps, 1, self.timesteps),
        }
    }
}

impl Sampler {
    /// The published sampler of a model with that many steps: all of them when there are few (T = 4), else 50 by DDIM
    /// (T = 200; authors' code, the paper is silent).
    pub fn published(timesteps: usize) -> Self {
        const DDIM_STEPS: usize = 50;
        if timesteps <= DDIM_STEPS {
            Self::Ddpm
        } else {
            Self::Ddim { steps: DDIM_STEPS, eta: 0.0, clip: false }
        }
    }
}

/// The cosine schedule (Nichol & Dhariwal 2021, s = 0.008): the variance `beta_t` of the noise added at step
/// t = 0..T-1, each clipped to 0..0.9999.
pub fn cosine_betas(timesteps: usize) -> Vec<f64> {
    const S: f64 = 0.008;
    let alpha_bar = |i: usize| {
        let angle = (i as f64 / timesteps as f64 + S) / (1.0 + S) * std::f64::consts::FRAC_PI_2;
        angle.cos().powi(2)
    };
    (0..timesteps).map(|i| (1.0 - alpha_bar(i + 1) / alpha_bar(i)).clamp(0.0, 0.9999)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_steps_give_the_published_betas() {
        // the published values are written with six digits
        for (beta, want) in cosine_betas(4).into_iter().zip([0.152988, 0.416958, 0.707859, 0.9999]) {
            assert!((beta - want).abs() < 1e-6, "{beta} against {want}");
        }
    }

    #[test]
    fn the_sampler_follows_from_the_number_of_steps() {
        assert_eq!(Sampler::published(4), Sampler::Ddpm);
        assert_eq!(Sampler::published(200), Sampler::Ddim { steps: 50, eta: 0.0, clip: false });
    }
}
