//! Settings of the diffusion model's training (paper App. E.2; spec/diffusion.md section 6).
use crate::diffusion::DiffusionConfig;
use crate::diffusion::objective::Objective;
use crate::error::Result;
use crate::nn::optim::AdamConfig;
use crate::train::learning_rate::LearningRate;
use crate::train::tumors::TumorCropSettings;
use crate::train::{Output, require};
use serde::{Deserialize, Serialize};

/// Every number of the training. The default is the paper's, or the authors' code's where the paper is silent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiffusionTraining {
    /// Everything that is drawn follows from it. The authors' code sets none.
    pub seed: u64,
    /// Optimiser steps: 60,000 (paper E.2).
    pub steps: u64,
    /// Crops in each step: 10 (paper E.2).
    pub batch: usize,
    /// Crops that go through the network at one time; gradients are summed. 1 needs the least memory, and on a CPU more is
    /// not faster.
    pub at_once: usize,
    /// β of Adam: 0.9 and 0.999 (paper E.2).
    pub betas: [f64; 2],
    /// The learning rate: 1e-4 (paper E.2).
    pub learning_rate: LearningRate,
    /// The averaged weights, which are used.
    pub ema: EmaSettings,
    /// How much more the tumor's error counts than its few latents would; see [`Objective::tumor_weight`]. Published: 0.
    pub tumor_weight: f64,
    /// Architecture, schedule and sampler. `timesteps` is 4 for early tumors and 200 for larger ones.
    pub model: DiffusionConfig,
    /// How crops are drawn.
    pub crops: TumorCropSettings,
    /// What is written, and how often.
    pub output: Output,
}

/// How weights are averaged (authors' code; the paper is silent).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmaSettings {
    /// What the average keeps: 0.995.
    pub decay: f64,
    /// Steps between updates: 10.
    pub every: u64,
    /// Until then the average is the model itself: 2000.
    pub start_step: u64,
}

impl Default for EmaSettings {
    fn default() -> Self {
        Self { decay: 0.995, every: 10, start_step: 2000 }
    }
}

impl Default for DiffusionTraining {
    fn default() -> Self {
        Self {
            seed: 1234,
            steps: 60_000,
            batch: 10,
            at_once: 1,
            betas: [0.9, 0.999],
            learning_rate: LearningRate { rate: 1e-4, ..LearningRate::default() },
            ema: EmaSettings::default(),
            tumor_weight: 0.0,
            model: DiffusionConfig::default(),
            crops: TumorCropSettings::default(),
            output: Output::default(),
        }
    }
}

impl DiffusionTraining {
    /// Checks numbers that would make a training impossible, alone or with the autoencoder's.
    ///
    /// # Errors
    /// Names the first that is out of its range.
    pub fn check(&self) -> Result<()> {
        self.model.check()?;
        let e = &self.ema;
        let rules = [
            (self.batch > 0, "batch", "at least 1", self.batch.to_string()),
            (
                self.at_once > 0 && self.at_once <= self.batch,
                "at_once",
                "1 to batch",
                self.at_once.to_string(),
            ),
            (
                self.learning_rate.rate > 0.0,
                "learning_rate.rate",
                "above 0",
                self.learning_rate.rate.to_string(),
            ),
            ((0.0..1.0).contains(&e.decay), "ema.decay", "0 to below 1", e.decay.to_string()),
            (
                (0.0..=1e3).contains(&self.tumor_weight),
                "tumor_weight",
                "0 to 1000",
                self.tumor_weight.to_string(),
            ),
            (e.every > 0, "ema.every", "at least 1", e.every.to_string()),
            (
                (1..=512).contains(&self.crops.side_vox),
                "crops.side_vox",
                "1 to 512",
                self.crops.side_vox.to_string(),
            ),
        ];
        for (holds, what, expected, found) in rules {
            require(holds, what, expected, found)?;
        }
        self.output.check()
    }

    /// Checks what must fit the autoencoder.
    pub(super) fn check_with(&self, latent_channels: usize, downsamplings: usize) -> Result<()> {
        let found = self.model.latent_channels;
        let expected = format!("{latent_channels}, the autoencoder's");
        require(found == latent_channels, "model.latent_channels", &expected, found.to_string())?;
        let unit = 1 << (downsamplings + self.model.multipliers.len() - 1);
        let side = self.crops.side_vox;
        let expected = format!("a multiple of {unit}, which autoencoder and U-Net divide by");
        require(side.is_multiple_of(unit), "crops.side_vox", &expected, side.to_string())
    }

    pub(super) fn objective(&self) -> Objective {
        Objective { predicts: self.model.predicts, tumor_weight: self.tumor_weight }
    }

    pub(super) fn adam(&self) -> AdamConfig {
        AdamConfig { betas: self.betas, ..AdamConfig::default() }
    }
}
