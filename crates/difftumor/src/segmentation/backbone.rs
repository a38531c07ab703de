//! The three segmentation networks as one: what training, import and inference choose from.
use super::{DynUnet, DynUnetConfig, SwinUnetr, SwinUnetrConfig, Unet, UnetConfig};
use crate::error::Result;
use crate::nn::state::{fill_from_run, shapes};
use crate::run::Run;
use crate::state_dict::Shapes;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A segmentation network and its sizes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "backbone", rename_all = "snake_case")]
pub enum Backbone {
    /// MONAI's residual U-Net.
    Unet(UnetConfig),
    /// nnU-Net (MONAI's `DynUNet`).
    Nnunet(DynUnetConfig),
    /// Swin UNETR.
    SwinUnetr(SwinUnetrConfig),
}

/// Which of the networks, without sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// MONAI's residual U-Net.
    Unet,
    /// nnU-Net (MONAI's `DynUNet`).
    Nnunet,
    /// Swin UNETR.
    SwinUnetr,
}

/// Any of the networks, with weights.
#[expect(clippy::large_enum_variant, reason = "one for the length of a run; its weights are elsewhere")]
#[derive(Module, Debug)]
pub enum SegmentationNetwork {
    /// MONAI's residual U-Net.
    Unet(Unet),
    /// nnU-Net (MONAI's `DynUNet`).
    Nnunet(DynUnet),
    /// Swin UNETR.
    SwinUnetr(SwinUnetr),
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Unet, Self::Nnunet, Self::SwinUnetr];

    /// The network's usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unet => "U-Net",
            Self::Nnunet => "nnU-Net",
            Self::SwinUnetr => "Swin UNETR",
        }
    }

    /// The published sizes.
    pub fn published(self) -> Backbone {
        match self {
            Self::Unet => Backbone::Unet(UnetConfig::default()),
            Self::Nnunet => Backbone::Nnunet(DynUnetConfig::default()),
            Self::SwinUnetr => Backbone::SwinUnetr(SwinUnetrConfig::default()),
        }
    }

    /// Whether a tensor of a published file is not needed: another name of one that is, a buffer that follows from the sizes,
    /// or a layer that is never called.
    pub fn ignores(self, name: &str) -> bool {
        match self {
            Self::Unet => false,
            Self::Nnunet => name.starts_with(DynUnet::ALIASES),
            Self::SwinUnetr => name.starts_with(SwinUnetr::UNUSED) || name.ends_with(SwinUnetr::INDEX),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Backbone {
    /// Which of the networks.
    pub fn architecture(&self) -> Architecture {
        match self {
            Self::Unet(_) => Architecture::Unet,
            Self::Nnunet(_) => Architecture::Nnunet,
            Self::SwinUnetr(_) => Architecture::SwinUnetr,
        }
    }

    /// Checks that a network of these numbers can exist.
    ///
    /// # Errors
    /// Names the first number that is out of its range.
    pub fn check(&self) -> difftumor_ct::Result<()> {
        match self {
            Self::Unet(config) => config.check(),
            Self::Nnunet(config) => config.check(),
            Self::SwinUnetr(config) => config.check(),
        }
    }

    /// Checks that the network can take patches of these sides (96³ as published).
    ///
    /// # Errors
    /// Says which sides it takes.
    pub fn check_sides(&self, sides: [usize; 3]) -> difftumor_ct::Result<()> {
        match self {
            Self::Unet(config) => config.check_sides(sides),
            Self::Nnunet(config) => config.check_sides(sides),
            Self::SwinUnetr(config) => config.check_sides(sides),
        }
    }

    /// A network with random weights.
    pub fn init(&self, device: &Device) -> SegmentationNetwork {
        match self {
            Self::Unet(config) => SegmentationNetwork::Unet(config.init(device)),
            Self::Nnunet(config) => SegmentationNetwork::Nnunet(config.init(device)),
            Self::SwinUnetr(config) => SegmentationNetwork::SwinUnetr(config.init(device)),
        }
    }

    /// From the path of a field of a [`SegmentationNetwork`] of these sizes to the name in published state dicts.
    pub fn published_name(&self) -> impl Fn(&str) -> String + Copy + use<> {
        let architecture = self.architecture();
        let halvings = match self {
            Self::Unet(config) => config.widths.len() - 1,
            _ => 0, // no name depends on it
        };
        move |path| {
            let (_, path) = path.split_once('.').expect("the network's variant, then its fields");
            match architecture {
                Architecture::Unet => Unet::published_name(halvings)(path),
                Architecture::Nnunet => DynUnet::published_name(path),
                Architecture::SwinUnetr => SwinUnetr::published_name(path),
            }
        }
    }

    /// Names and shapes of the weights.
    pub fn shapes(&self) -> Shapes {
        shapes(&self.init(&Device::flex()), self.published_name())
    }
}

impl SegmentationNetwork {
    /// The network of a Run.
    ///
    /// # Errors
    /// When the Run holds another kind of model, or its weights are not what its description says.
    pub fn open(run: &Run, device: &Device) -> Result<Self> {
        let backbone = run.segmentation_backbone()?;
        fill_from_run(backbone.init(device), run, backbone.published_name())
    }

    /// `[B, 1, D, H, W]` in [0, 1] of the HU window → logits `[B, 3, D, H, W]` (background, organ, tumor). For the sides see
    /// [`Backbone::check_sides`].
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        match self {
            Self::Unet(network) => network.forward(x),
            Self::Nnunet(network) => network.forward(x),
            Self::SwinUnetr(network) => network.forward(x),
        }
    }
}
