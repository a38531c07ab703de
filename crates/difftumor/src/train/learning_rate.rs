//! The learning rate of each step.
use serde::{Deserialize, Serialize};

/// Linear warm-up, then constant, then half a cosine down to zero over the last steps. The default is constant, as in the
/// paper and the authors' code (whose milestones are reached only at the very end; spec/autoencoder.md section 6).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearningRate {
    /// The constant part: 3e-4 for the autoencoder, 1e-4 for the diffusion model (paper E.2).
    pub rate: f64,
    /// Steps in which it rises from zero. None in the paper.
    pub warmup_steps: u64,
    /// Last steps, in which it falls to zero. None in the paper.
    pub decay_steps: u64,
}

impl Default for LearningRate {
    fn default() -> Self {
        Self { rate: 3e-4, warmup_steps: 0, decay_steps: 0 }
    }
}

impl LearningRate {
    /// The rate of step `step` (from 1) out of `steps`.
    pub fn at(&self, step: u64, steps: u64) -> f64 {
        let rise = if step < self.warmup_steps { step as f64 / self.warmup_steps as f64 } else { 1.0 };
        let left = (steps + 1).saturating_sub(step) as f64;
        let fall = match self.decay_steps {
            0 => 1.0,
            n => 0.5 - 0.5 * (std::f64::consts::PI * (left / (n + 1) as f64).min(1.0)).cos(),
        };
        self.rate * rise * fall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_stays_and_falls() {
        let rate = LearningRate { rate: 2.0, warmup_steps: 4, decay_steps: 3 };
        let at = |step| rate.at(step, 10);
        assert_eq!([at(1), at(2), at(4), at(7)], [0.5, 1.0, 2.0, 2.0]);
        // left = 3, 2, 1 of 4 quarter turns: 1 - cos(3π/4), 1 - cos(π/2), 1 - cos(π/4)
        let half = std::f64::consts::FRAC_1_SQRT_2;
        for (step, want) in [(8, 1.0 + half), (9, 1.0), (10, 1.0 - half)] {
            assert!((at(step) - want).abs() < 1e-12, "{step}: {}", at(step));
        }
        assert_eq!(LearningRate::default().at(1, 1), 3e-4);
    }
}
