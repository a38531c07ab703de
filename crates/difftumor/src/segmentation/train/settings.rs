//! Settings of a segmentation model's training (paper App. E.2; spec/segmentation.md section 4, synthesis.md section 1).
use super::augment::Augmentation;
use super::items::SegmentationCrops;
use super::order::HealthyShare;
use super::pool::PoolSettings;
use crate::error::Result;
use crate::nn::optim::{AdamConfig, WeightDecay};
use crate::segmentation::Backbone;
use crate::segmentation::backbone::Architecture;
use crate::synthesis::SizeChoice;
use crate::train::learning_rate::LearningRate;
use crate::train::{Output, require};
use difftumor_ct::tumor_mask::size::Size;
use serde::{Deserialize, Serialize};

/// Every number of the training. The default is the paper's, or the authors' code's where the paper is silent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentationTraining {
    /// Everything that is drawn follows from it.
    pub seed: u64,
    /// Optimiser steps: 200,000, about 2000 epochs of the paper's 211 liver scans.
    pub steps: u64,
    /// Crops in each step: 2 (paper E.2).
    pub batch: usize,
    /// Crops that go through the network at one time; gradients are summed.
    pub at_once: usize,
    /// β of AdamW: 0.9 and 0.999 (PyTorch's).
    pub betas: [f64; 2],
    /// Weight decay of AdamW: 1e-5, authors' code.
    pub weight_decay: f64,
    /// The learning rate: 2e-4 (paper E.2), after a warm-up of 1/20 of the steps falling along a cosine (authors' code: 100 of
    /// 2000 epochs).
    pub learning_rate: LearningRate,
    /// Which network.
    pub model: Backbone,
    /// How often healthy cases are drawn: `"listed"`, each as often as an annotated one (published: one list of all real training
    /// scans and all healthy ones), or the share of items that are theirs.
    pub healthy_share: HealthyShare,
    /// How crops are drawn.
    pub crops: SegmentationCrops,
    /// How crops are changed: `paper`, `code` or `off`.
    pub augmentation: Augmentation,
    /// What healthy crops get.
    pub synthesis: SyntheticShare,
    /// Overlap of the windows in validations: 0.5, authors' code.
    pub validation_overlap: f64,
    /// What is written, and how often.
    pub output: Output,
}

/// Which healthy crops get tumors, and which ones (spec/synthesis.md section 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyntheticShare {
    /// Share of healthy crops that get tumors: 1/2, authors' code; 0 trains without synthetic tumors.
    pub share: f64,
    /// What paints them: `diffusion`, or `handcrafted`, which is faster.
    pub method: PaintedBy,
    /// `mixed` (published: 80 % tiny or small, 10 % medium, 10 % large), `early`, `tiny`, `small`, `medium` or `large`.
    pub size: SizeSetting,
    /// Crops that are used more than once.
    pub pool: PoolSettings,
}

/// See [`SyntheticShare::method`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaintedBy {
    /// Diffusion models.
    Diffusion,
    /// The rules of Hu et al. 2023.
    Handcrafted,
}

/// See [`SyntheticShare::size`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names say it
pub enum SizeSetting {
    Mixed,
    Early,
    Tiny,
    Small,
    Medium,
    Large,
}

impl From<SizeSetting> for SizeChoice {
    fn from(size: SizeSetting) -> Self {
        match size {
            SizeSetting::Mixed => Self::Mixed,
            SizeSetting::Early => Self::Early,
            SizeSetting::Tiny => Self::Class(Size::Tiny),
            SizeSetting::Small => Self::Class(Size::Small),
            SizeSetting::Medium => Self::Class(Size::Medium),
            SizeSetting::Large => Self::Class(Size::Large),
        }
    }
}

impl Default for SyntheticShare {
    fn default() -> Self {
        Self {
            share: 0.5,
            method: PaintedBy::Diffusion,
            size: SizeSetting::Mixed,
            pool: PoolSettings::default(),
        }
    }
}

impl Default for SegmentationTraining {
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 200_000,
            batch: 2,
            at_once: 1,
            betas: [0.9, 0.999],
            weight_decay: 1e-5,
            learning_rate: LearningRate { rate: 2e-4, warmup_steps: 10_000, decay_steps: 190_000 },
            model: Architecture::Unet.published(),
            healthy_share: HealthyShare::default(),
            crops: SegmentationCrops::default(),
            augmentation: Augmentation::Paper,
            synthesis: SyntheticShare::default(),
            validation_overlap: 0.5,
            output: Output::default(),
        }
    }
}

impl SegmentationTraining {
    /// Checks numbers that would make a training impossible.
    ///
    /// # Errors
    /// Names the first that is out of its range.
    pub fn check(&self) -> Result<()> {
        self.model.check()?;
        let side = self.crops.side_vox;
        let share = |v: f64| (0.0..=1.0).contains(&v);
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
            (
                self.weight_decay >= 0.0 && self.weight_decay < 1.0,
                "weight_decay",
                "0 to below 1",
                self.weight_decay.to_string(),
            ),
            (
                share(self.crops.foreground_share),
                "crops.foreground_share",
                "0 to 1",
                self.crops.foreground_share.to_string(),
            ),
            (
                !matches!(self.healthy_share, HealthyShare::Share(s) if !share(s)),
                "healthy_share",
                "0 to 1, or \"listed\"",
                format!("{:?}", self.healthy_share),
            ),
            (share(self.synthesis.share), "synthesis.share", "0 to 1", self.synthesis.share.to_string()),
            (
                self.synthesis.pool.size > 0 && self.synthesis.pool.reuse > 0,
                "synthesis.pool",
                "size and reuse of at least 1",
                format!("{} and {}", self.synthesis.pool.size, self.synthesis.pool.reuse),
            ),
            (
                (0.0..1.0).contains(&self.validation_overlap),
                "validation_overlap",
                "0 to below 1",
                self.validation_overlap.to_string(),
            ),
        ];
        for (holds, what, expected, found) in rules {
            require(holds, what, expected, found)?;
        }
        self.model.check_sides([side; 3])?;
        self.output.check()
    }

    pub(super) fn adam(&self) -> AdamConfig {
        AdamConfig {
            betas: self.betas,
            weight_decay: WeightDecay::Decoupled(self.weight_decay),
            ..AdamConfig::default()
        }
    }
}
