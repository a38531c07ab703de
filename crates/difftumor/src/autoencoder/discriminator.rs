//! Tells real images from reconstructions, patch by patch (paper Eq. 2 and 3; Isola et al. 2017; spec/autoencoder.md
//! section 5). One works on slices, one on volumes.
use crate::nn::activation::Activation;
use crate::nn::batch_norm::{BatchNorm, ChannelStatistics};
use crate::nn::{Conv3d, Conv3dConfig, ConvGeometry, Padding, activation::activate};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Of every activation (authors' code).
const SLOPE: f32 = 0.2;
/// Stages; the last one gives the logits.
const STAGES: usize = 5;
/// Stages that halve the sides.
const HALVING: usize = 3;

/// Architecture of a discriminator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PatchDiscriminatorConfig {
    /// For slices, not volumes.
    pub planar: bool,
    /// Channels of the first stage, doubled by each of the next three: 64, authors' code.
    pub width: usize,
}

impl Default for PatchDiscriminatorConfig {
    fn default() -> Self {
        Self { planar: false, width: 64 }
    }
}

/// Five stages of convolution, BatchNorm (not in the first and last) and LeakyReLU (not in the last).
#[derive(Module, Debug)]
pub struct PatchDiscriminator {
    stages: Vec<Stage>,
    #[module(skip)]
    planar: bool,
}

#[derive(Module, Debug)]
struct Stage {
    conv: Conv3d,
    norm: Option<BatchNorm>,
}

/// What a forward pass showed of the batch: one entry for each stage with a BatchNorm.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchStatistics(pub Vec<ChannelStatistics>);

impl PatchDiscriminatorConfig {
    /// For slices, as published.
    pub fn slices() -> Self {
        Self { planar: true, ..Self::default() }
    }

    /// A discriminator with random weights.
    pub fn init(&self, device: &Device) -> PatchDiscriminator {
        let channels = |stage: usize| match stage {
            0 => 1,
            STAGES => 1,
            _ => self.width << (stage - 1),
        };
        let stage = |i: usize| {
            let stride = if i < HALVING { 2 } else { 1 };
            // Inside slices the depth axis holds the batch.
            let side = |value, alone| if self.planar { [alone, value, value] } else { [value; 3] };
            let geometry = ConvGeometry {
                kernel: side(4, 1),
                stride: side(stride, 1),
                pad_before: side(2, 0),
                pad_after: side(2, 0),
                padding: Padding::Zero,
            };
            let channels = [channels(i), channels(i + 1)];
            let conv = Conv3dConfig { channels, geometry, bias: true }.init(device);
            let has_norm = (1..STAGES - 1).contains(&i);
            Stage { conv, norm: has_norm.then(|| BatchNorm::new(channels[1], device)) }
        };
        PatchDiscriminator { stages: (0..STAGES).map(stage).collect(), planar: self.planar }
    }
}

impl PatchDiscriminator {
    /// The outputs of all five stages, of which the last are the logits, and the batch's statistics.
    ///
    /// # Shapes
    /// Volumes: `[B, 1, D, H, W]` → `[B, C, D', H', W']`. Slices: `[B, 1, 1, H, W]` → `[1, C, B, H', W']`, the batch
    /// along the depth.
    pub fn forward(&self, x: Tensor<5>) -> (Vec<Tensor<5>>, BatchStatistics) {
        let [b, c, d, h, w] = x.dims();
        assert!(c == 1 && (!self.planar || d == 1), "{:?} is no batch of images of one channel", x.dims());
        let mut x = if self.planar { x.reshape([1, 1, b, h, w]) } else { x };
        let (mut outputs, mut statistics) = (Vec::with_capacity(STAGES), vec![]);
        for (i, stage) in self.stages.iter().enumerate() {
            x = stage.conv.forward(x);
            match &stage.norm {
                Some(norm) => {
                    let (y, of_batch) = norm.forward(x, Activation::LeakyRelu(SLOPE));
                    statistics.push(of_batch);
                    x = y;
                }
                None if i + 1 < STAGES => x = activate(x, &Activation::LeakyRelu(SLOPE)),
                None => {}
            }
            outputs.push(x.clone());
        }
        (outputs, BatchStatistics(statistics))
    }

    /// The discriminator with its running statistics moved towards those of a batch.
    pub fn fold_in(mut self, batch: &BatchStatistics) -> Self {
        let mut of_batch = batch.0.iter();
        for stage in &mut self.stages {
            let next = |norm: BatchNorm| norm.fold_in(of_batch.next().expect("statistics of every stage"));
            stage.norm = stage.norm.take().map(next);
        }
        self
    }

    /// The name in the published state dict (without `image_discriminator.`) of the parameter at a field path.
    pub fn published_name(path: &str) -> String {
        let inner = path.strip_prefix("stages.").unwrap_or(path);
        format!("model{}", inner.replacen(".conv.", ".0.", 1).replacen(".norm.", ".1.", 1))
    }
}
