//! The cosine noise schedule and what DDPM and DDIM derive from it (paper Eq. 5; spec/diffusion.md sections 3, 5).
//!
//! Everything is computed in f64 and stored in f32, as the published checkpoints store it.
use super::config::cosine_betas;

/// Numbers of each step t = 0..T-1.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // the standard names of Ho et al. 2020
pub struct Schedule {
    pub betas: Vec<f32>,
    pub alphas_cumprod: Vec<f32>,
    pub alphas_cumprod_prev: Vec<f32>,
    pub sqrt_alphas_cumprod: Vec<f32>,
    pub sqrt_one_minus_alphas_cumprod: Vec<f32>,
    pub log_one_minus_alphas_cumprod: Vec<f32>,
    pub sqrt_recip_alphas_cumprod: Vec<f32>,
    pub sqrt_recipm1_alphas_cumprod: Vec<f32>,
    pub posterior_variance: Vec<f32>,
    pub posterior_log_variance_clipped: Vec<f32>,
    pub posterior_mean_coef1: Vec<f32>,
    pub posterior_mean_coef2: Vec<f32>,
}

impl Schedule {
    /// The cosine schedule of T steps.
    pub fn cosine(timesteps: usize) -> Self {
        let betas = cosine_betas(timesteps);
        let bar: Vec<f64> = betas
            .iter()
            .scan(1.0, |product, b| {
                *product *= 1.0 - b;
                Some(*product)
            })
            .collect();
        let prev: Vec<f64> = std::iter::once(1.0).chain(bar.iter().copied()).take(timesteps).collect();
        let each = |f: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f32> {
            (0..timesteps).map(|t| f(betas[t], bar[t], prev[t]) as f32).collect()
        };
        let variance = |b: f64, a: f64, p: f64| b * (1.0 - p) / (1.0 - a);
        Self {
            betas: each(&|b, _, _| b),
            alphas_cumprod: each(&|_, a, _| a),
            alphas_cumprod_prev: each(&|_, _, p| p),
            sqrt_alphas_cumprod: each(&|_, a, _| a.sqrt()),
            sqrt_one_minus_alphas_cumprod: each(&|_, a, _| (1.0 - a).sqrt()),
            log_one_minus_alphas_cumprod: each(&|_, a, _| (1.0 - a).ln()),
            sqrt_recip_alphas_cumprod: each(&|_, a, _| (1.0 / a).sqrt()),
            sqrt_recipm1_alphas_cumprod: each(&|_, a, _| (1.0 / a - 1.0).sqrt()),
            posterior_variance: each(&variance),
            posterior_log_variance_clipped: each(&|b, a, p| variance(b, a, p).max(1e-20).ln()),
            posterior_mean_coef1: each(&|b, a, p| b * p.sqrt() / (1.0 - a)),
            posterior_mean_coef2: each(&|b, a, p| (1.0 - p) * (1.0 - b).sqrt() / (1.0 - a)),
        }
    }

    /// T.
    pub fn timesteps(&self) -> usize {
        self.betas.len()
    }
}

/// The subset of steps that DDIM visits, from low to high (it runs them from high to low).
#[derive(Debug, Clone)]
pub struct DdimSteps {
    /// Step indices into the schedule.
    pub timesteps: Vec<usize>,
    /// alpha-bar at each.
    pub alphas: Vec<f32>,
    /// alpha-bar at the one before; for the lowest it is alpha-bar of step 0, not 1 (pitfall B13).
    pub alphas_prev: Vec<f32>,
    /// sqrt(1 - alpha-bar).
    pub sqrt_one_minus_alphas: Vec<f32>,
    /// Standard deviation of the noise added at each.
    pub sigmas: Vec<f32>,
}

impl DdimSteps {
    /// `steps` of the schedule, evenly spaced, one later than multiples of the stride unless the stride is 1.
    pub fn new(schedule: &Schedule, steps: usize, eta: f64) -> Self {
        let t = schedule.timesteps();
        assert!((1..=t).contains(&steps), "{steps} DDIM steps of {t}");
        let stride = t / steps;
        let shift = usize::from(stride > 1);
        let timesteps: Vec<usize> = (0..t).step_by(stride).map(|s| s + shift).filter(|s| *s < t).collect();
        let bar = |s: usize| schedule.alphas_cumprod[s];
        let alphas: Vec<f32> = timesteps.iter().map(|s| bar(*s)).collect();
        let alphas_prev: Vec<f32> =
            std::iter::once(bar(0)).chain(alphas.iter().copied()).take(timesteps.len()).collect();
        let sigmas = alphas.iter().zip(&alphas_prev).map(|(a, p)| {
            let (a, p) = (f64::from(*a), f64::from(*p));
            (eta * ((1.0 - p) / (1.0 - a) * (1.0 - a / p)).sqrt()) as f32
        });
        Self {
            sigmas: sigmas.collect(),
            sqrt_one_minus_alphas: alphas.iter().map(|a| (1.0 - a).sqrt()).collect(),
            timesteps,
            alphas,
            alphas_prev,
        }
    }
}
