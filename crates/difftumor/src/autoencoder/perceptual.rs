//! Perceptual distance of image slices: how far apart the features that a fixed network sees in them point (Zhang et
//! al. 2018; paper Eq. 1; spec/autoencoder.md section 5).
//!
//! The network is VGG16 with LPIPS' heads, whose weights the user imports, or one of random convolutions that is drawn
//! from a seed ([`super::random_features`]). Slices lie along the depth axis, `[1, C, slices, H, W]`.
use super::config::check_range;
use super::random_features::RandomFeatures;
use crate::error::{Difference, Error, Result};
use crate::nn::activation::{Activation, activate};
use crate::nn::feature_distance::feature_distance;
use crate::nn::max_pool::max_pool_planar;
use crate::nn::state::fill;
use crate::nn::{Conv3d, Conv3dConfig, ConvGeometry, Padding};
use crate::run::{Model, Run, Tensors};
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// LPIPS' input: `(x - shift) / scale` for each of the three channels that VGG16 takes.
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];
/// Added to the features' lengths by LPIPS.
const EPS: f32 = 1e-10;
/// Convolutions of VGG16 up to relu5_3: index in torchvision's `features` and output channels in units of the first's, by
/// stage. Between two stages the sides are halved.
pub const VGG_STAGES: [&[(usize, usize)]; 5] = [
    &[(0, 1), (2, 1)],
    &[(5, 2), (7, 2)],
    &[(10, 4), (12, 4), (14, 4)],
    &[(17, 8), (19, 8), (21, 8)],
    &[(24, 8), (26, 8), (28, 8)],
];
/// Where an autoencoder's checkpoint keeps the network.
const PART: &str = "perceptual_model.";
/// LPIPS' input scaling in such files, which is always the above.
const SCALING: &str = "scaling_layer.";

/// Which perceptual distance a training uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PerceptualConfig {
    /// None.
    Off,
    /// Random convolutions, which need no weights.
    RandomFeatures(RandomFeatures),
    /// VGG16 with LPIPS' heads, as published.
    Lpips {
        /// A Run of kind `perceptual`, or one of an autoencoder that was imported with its training parts.
        weights: PathBuf,
    },
}

impl Default for PerceptualConfig {
    fn default() -> Self {
        Self::RandomFeatures(RandomFeatures::default())
    }
}

impl PerceptualConfig {
    /// The distance, if there is one.
    ///
    /// # Errors
    /// When the weights cannot be opened, or a number is out of its range.
    pub fn open(&self, device: &Device) -> Result<Option<Perceptual>> {
        Ok(match self {
            Self::Off => None,
            Self::RandomFeatures(config) => {
                config.check()?;
                Some(config.init(device))
            }
            Self::Lpips { weights } => Some(Perceptual::open(&Run::open(weights)?, device)?),
        })
    }
}

/// Architecture of VGG16 with LPIPS' heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LpipsConfig {
    /// Channels of the first stage: 64, as published; the others have 2, 4, 8 and 8 times as many.
    pub width: usize,
}

impl Default for LpipsConfig {
    fn default() -> Self {
        Self { width: 64 }
    }
}

impl LpipsConfig {
    /// Checks that such a network can exist.
    ///
    /// # Errors
    /// When the width is out of its range.
    pub fn check(&self) -> difftumor_ct::Result<()> {
        check_range("width", self.width, 1, 1024)
    }

    /// A distance with random weights.
    pub fn init(&self, device: &Device) -> Perceptual {
        let mut inputs = 3;
        let mut conv = |(_, factor): &(usize, usize)| {
            let outputs = factor * self.width;
            [std::mem::replace(&mut inputs, outputs), outputs]
        };
        let stages: Vec<Vec<[usize; 2]>> =
            VGG_STAGES.iter().map(|convs| convs.iter().map(&mut conv).collect()).collect();
        Perceptual::new(&stages, Input { shift: SHIFT.to_vec(), scale: SCALE.to_vec() }, EPS, device)
    }
}

/// How the image becomes the network's input: `(x - shift) / scale` for each channel.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub shift: Vec<f32>,
    pub scale: Vec<f32>,
}

/// A fixed network and the weights of its features in the distance.
#[derive(Module, Debug)]
pub struct Perceptual {
    pub(super) stages: Vec<Stage>,
    /// One weight for each channel of each stage's last features.
    pub(super) heads: Vec<Param<Tensor<1>>>,
    #[module(skip)]
    input: Input,
    #[module(skip)]
    eps: f32,
}

/// 3×3 convolutions inside slices, each with ReLU.
#[derive(Module, Debug)]
pub(super) struct Stage {
    pub convs: Vec<Conv3d>,
}

impl Perceptual {
    /// A network of the given channels, frozen, with random weights and heads of 1.
    pub(super) fn new(stages: &[Vec<[usize; 2]>], input: Input, eps: f32, device: &Device) -> Self {
        let geometry = ConvGeometry::same([1, 3, 3], [1; 3], Padding::Zero);
        let conv =
            |channels: &[usize; 2]| Conv3dConfig { channels: *channels, geometry, bias: true }.init(device);
        let head = |convs: &Vec<[usize; 2]>| {
            Initializer::Ones.init([convs.last().expect("a convolution in each stage")[1]], device)
        };
        Self {
            stages: stages.iter().map(|convs| Stage { convs: convs.iter().map(conv).collect() }).collect(),
            heads: stages.iter().map(head).collect(),
            input,
            eps,
        }
        .no_grad()
    }

    /// The weights of a Run of kind `perceptual`, or the part of an autoencoder's that was kept on import.
    ///
    /// # Errors
    /// When the Run holds another kind of model, or not these weights.
    pub fn open(run: &Run, device: &Device) -> Result<Self> {
        let (config, mut tensors) = match &run.manifest().model {
            Model::Perceptual(config) => (*config, run.load_tensors()?),
            Model::Autoencoder(_) => (LpipsConfig::default(), run.load_part(PART)?),
            other => return Err(run.wrong_kind("perceptual", other.kind())),
        };
        tensors.retain(|name, _| !name.starts_with(SCALING));
        let (perceptual, difference) = config.init(device).filled(tensors);
        if difference.is_empty() {
            return Ok(perceptual);
        }
        Err(Error::StateDict {
            path: run.dir().to_path_buf(),
            architecture: "perceptual network".into(),
            difference: Box::new(difference),
            hint: "import VGG16 with LPIPS' heads, or an autoencoder with --keep-training-parts".into(),
        })
    }

    /// The same with other weights, by [`Perceptual::published_name`], and what did not fit.
    pub fn filled(self, tensors: Tensors) -> (Self, Difference) {
        fill(self, tensors, Self::published_name)
    }

    /// Sides of a slice must not be smaller than this.
    pub fn smallest_side(&self) -> usize {
        1 << (self.stages.len() - 1)
    }

    /// The distance of slices, meaned over them, `[1]`. Its gradient goes to `image` alone.
    ///
    /// # Shapes
    /// Both `[B, 1, 1, H, W]`.
    pub fn distance(&self, image: Tensor<5>, target: Tensor<5>) -> Tensor<1> {
        assert_eq!(image.dims(), target.dims(), "slices of two sides");
        let (a, b) = (self.features(image), self.features(target.detach()));
        let of_stage = |((a, b), head): ((Tensor<5>, Tensor<5>), &Param<Tensor<1>>)| {
            feature_distance(a, b, head.val(), self.eps)
        };
        a.into_iter().zip(b).zip(&self.heads).map(of_stage).reduce(|a, b| a + b).expect("a stage")
    }

    /// The last features of each stage, `[1, C, B, H', W']`.
    fn features(&self, slices: Tensor<5>) -> Vec<Tensor<5>> {
        let [b, c, d, h, w] = slices.dims();
        let smallest = self.smallest_side();
        assert!(c == 1 && d == 1, "{:?} are no slices of one channel", slices.dims());
        assert!(h.min(w) >= smallest, "slices of {h} × {w}, the network needs {smallest}");
        let mut x = self.scaled(slices.reshape([1, 1, b, h, w])); // [1, C, B, H, W]
        let mut features = Vec::with_capacity(self.stages.len());
        for (i, stage) in self.stages.iter().enumerate() {
            x = if i > 0 { max_pool_planar(x) } else { x };
            for conv in &stage.convs {
                x = activate(conv.forward(x), &Activation::LeakyRelu(0.0));
            }
            features.push(x.clone());
        }
        features
    }

    fn scaled(&self, x: Tensor<5>) -> Tensor<5> {
        let device = x.device();
        let per_channel = |values: &[f32]| {
            Tensor::<5>::from_data(TensorData::new(values.to_vec(), [1, values.len(), 1, 1, 1]), &device)
        };
        (x - per_channel(&self.input.shift)) / per_channel(&self.input.scale)
    }

    /// The name in LPIPS' state dict of the parameter at a field path, for VGG16: `stages.1.convs.0.weight` →
    /// `net.slice2.5.weight`, `heads.0` → `lin0.model.1.weight`.
    pub fn published_name(path: &str) -> String {
        let parts: Vec<&str> = path.split('.').collect();
        let number = |i: usize| parts[i].parse::<usize>().expect("an index");
        match parts[0] {
            "heads" => format!("lin{}.model.1.weight", parts[1]),
            _ => {
                let (stage, conv) = (number(1), number(3));
                format!("net.slice{}.{}.{}", stage + 1, VGG_STAGES[stage][conv].0, parts[4])
            }
        }
    }
}
