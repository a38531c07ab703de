//! `run.toml`: what a Run says of itself. Every key is known; an unknown one is an error.
use crate::autoencoder::config::AutoencoderConfig;
use crate::autoencoder::perceptual::LpipsConfig;
use crate::diffusion::config::DiffusionConfig;
use crate::segmentation::Backbone;
use crate::state_dict::{self, Shapes};
use serde::{Deserialize, Serialize};

/// What `run.toml` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the layout.
    pub format: u32,
    /// Under which terms the weights may be used and passed on.
    pub licence: String,
    /// The architecture.
    pub model: Model,
    /// What must be done to a CT before the model sees it.
    pub preprocessing: Preprocessing,
    /// The weights' file.
    pub weights: Weights,
    /// Where the weights come from, when they were imported.
    pub origin: Option<Origin>,
    /// How the weights were trained, when they were trained by this program.
    pub training: Option<Training>,
    /// The autoencoder that makes and reads the latents of a diffusion model.
    pub autoencoder: Option<AutoencoderLink>,
}

/// Kind of model and its resolved config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Model {
    /// CT to latents and back.
    Autoencoder(AutoencoderConfig),
    /// Latents of tumors.
    Diffusion(DiffusionConfig),
    /// What an autoencoder's reconstructions are compared by in training: VGG16 with LPIPS' heads.
    Perceptual(LpipsConfig),
    /// CT to background, organ and tumor.
    Segmentation(Backbone),
}

/// What must be done to a CT before the model sees it (paper E.1, authors' code).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// These two values in HU become -1 and 1, or 0 and 1 for a segmentation; values outside are clipped.
    pub window_hu: [f32; 2],
    /// Side of the isotropic voxels.
    pub spacing_mm: f64,
    /// Where the voxel axes point.
    pub axes: String,
}

impl Default for Preprocessing {
    fn default() -> Self {
        Self { window_hu: [-175.0, 250.0], spacing_mm: 1.0, axes: "RAS".into() }
    }
}

/// The weights' file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Its name in the Run directory.
    pub file: String,
    /// Its hash, in hexadecimal.
    pub sha256: String,
}

/// Where imported weights come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Name of the checkpoint file.
    pub file: String,
    /// Its hash, in hexadecimal.
    pub sha256: String,
    /// The state dict in it that was taken: `state_dict`, `ema`; empty for the outermost.
    pub section: String,
    /// Training step that the file gives.
    pub step: Option<i64>,
    /// Epoch of the training that the file gives.
    pub epoch: Option<i64>,
    /// What the file holds and the Run does not: names of tensors, or `PREFIX.* (N tensors)`.
    pub skipped: Vec<String>,
}

/// How weights were trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Steps made.
    pub step: u64,
    /// Whether these are the averaged weights.
    pub averaged: bool,
    /// The validation's metric and its value at this step.
    pub validation: Option<(String, f64)>,
    /// Side of the crops that a segmentation was trained on: norms over a whole window know no other.
    pub crop_vox: Option<usize>,
}

/// Names another Run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderLink {
    /// Its directory, relative to the one that names it.
    pub path: String,
    /// Hash of its weights.
    pub weights_sha256: String,
}

impl Model {
    /// The kind's name as in `run.toml`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Autoencoder(_) => "autoencoder",
            Self::Diffusion(_) => "diffusion",
            Self::Perceptual(_) => "perceptual",
            Self::Segmentation(_) => "segmentation",
        }
    }

    /// The tensors that the weights consist of.
    pub fn shapes(&self) -> Shapes {
        match self {
            Self::Autoencoder(config) => state_dict::autoencoder(config),
            Self::Diffusion(config) => state_dict::diffusion(config),
            Self::Perceptual(config) => state_dict::perceptual(config),
            Self::Segmentation(backbone) => backbone.shapes(),
        }
    }

    /// Checks that a model of these numbers can exist.
    pub(super) fn check(&self) -> difftumor_ct::Result<()> {
        match self {
            Self::Autoencoder(config) => config.check(),
            Self::Diffusion(config) => config.check(),
            Self::Perceptual(config) => config.check(),
            Self::Segmentation(backbone) => backbone.check(),
        }
    }
}
