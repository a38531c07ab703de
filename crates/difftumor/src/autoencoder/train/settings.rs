//! Settings of the autoencoder's training (paper App. E.2; spec/autoencoder.md section 6).
use crate::autoencoder::AutoencoderConfig;
use crate::autoencoder::codebook_update::CodebookUpdate;
use crate::autoencoder::gan::GanWeights;
use crate::autoencoder::perceptual::PerceptualConfig;
use crate::error::Result;
use crate::nn::optim::AdamConfig;
use crate::train::crops::CropSettings;
use crate::train::learning_rate::LearningRate;
use crate::train::{Output, require};
use serde::{Deserialize, Serialize};

/// Every number of the training. The default is the paper's, or the authors' code's where the paper is silent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoencoderTraining {
    /// Everything that is drawn follows from it: 1234, authors' code.
    pub seed: u64,
    /// Optimiser steps: 200,000 (paper E.2).
    pub steps: u64,
    /// Largest norm of all gradients together: 1, authors' code. Larger ones are scaled down.
    pub max_gradient_norm: f64,
    /// β of Adam: 0.9 and 0.999 (paper E.2; the authors' code has 0.5 and 0.9).
    pub betas: [f64; 2],
    /// Decay of the averaged weights. Ours: the published autoencoder has no average.
    pub ema_decay: f64,
    /// The learning rate: 3e-4 (paper E.2).
    pub learning_rate: LearningRate,
    /// The step from which latents are replaced by codes, which are latents of that step's batch at first. 1, authors'
    /// code. Later ones let the encoder settle: with batches much smaller than the codebook, codes that start with the
    /// encoder lose its latents within tens of steps (their perplexity fell to 7).
    pub quantise_from_step: u64,
    /// The architecture.
    pub model: AutoencoderConfig,
    /// How crops are drawn.
    pub crops: CropSettings,
    /// How codes follow the latents.
    pub codebook: CodebookUpdate,
    /// Weights of the loss's further terms.
    pub weights: GanWeights,
    /// The perceptual distance. Published: LPIPS, whose weights must be imported.
    pub perceptual: PerceptualConfig,
    /// The networks that tell scans from reconstructions.
    pub discriminators: DiscriminatorSettings,
    /// What is written, and how often.
    pub output: Output,
}

/// The networks that tell scans from reconstructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiscriminatorSettings {
    /// Whether there are any.
    pub enabled: bool,
    /// Channels of their first stage: 64, authors' code.
    pub width: usize,
    /// Steps made before they begin: 5000 (authors' code, whose 10,000 count the steps of both optimisers).
    pub start_step: u64,
}

impl Default for DiscriminatorSettings {
    fn default() -> Self {
        Self { enabled: true, width: 64, start_step: 5000 }
    }
}

impl Default for AutoencoderTraining {
    fn default() -> Self {
        Self {
            seed: 1234,
            steps: 200_000,
            max_gradient_norm: 1.0,
            betas: [0.9, 0.999],
            ema_decay: 0.999,
            learning_rate: LearningRate::default(),
            quantise_from_step: 1,
            model: AutoencoderConfig::default(),
            crops: CropSettings::default(),
            codebook: CodebookUpdate::default(),
            weights: GanWeights::default(),
            perceptual: PerceptualConfig::default(),
            discriminators: DiscriminatorSettings::default(),
            output: Output::default(),
        }
    }
}

impl AutoencoderTraining {
    /// Checks numbers that would make a training impossible.
    ///
    /// # Errors
    /// Names the first that is out of its range.
    pub fn check(&self) -> Result<()> {
        self.model.check()?;
        let unit = 1 << self.model.downsamplings;
        let side = self.crops.side_vox;
        let rate = self.learning_rate.rate;
        let fits = side > 0 && side.is_multiple_of(unit) && side <= 512;
        let rules = [
            (fits, "crops.side_vox", format!("a multiple of {unit} up to 512"), side.to_string()),
            (self.discriminators.width > 0, "discriminators.width", "at least 1".into(), "0".into()),
            (self.crops.scans > 0, "crops.scans", "at least 1".into(), "0".into()),
            (self.crops.per_scan > 0, "crops.per_scan", "at least 1".into(), "0".into()),
            (
                (0.0..1.0).contains(&self.ema_decay),
                "ema_decay",
                "0 to below 1".into(),
                self.ema_decay.to_string(),
            ),
            (rate > 0.0, "learning_rate.rate", "above 0".into(), rate.to_string()),
            (
                self.max_gradient_norm > 0.0,
                "max_gradient_norm",
                "above 0".into(),
                self.max_gradient_norm.to_string(),
            ),
        ];
        for (holds, what, expected, found) in rules {
            require(holds, what, &expected, found)?;
        }
        self.output.check()
    }

    pub(super) fn adam(&self) -> AdamConfig {
        AdamConfig { betas: self.betas, max_norm: Some(self.max_gradient_norm), ..AdamConfig::default() }
    }
}
