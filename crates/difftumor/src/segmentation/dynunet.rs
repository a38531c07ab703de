//! nnU-Net's plain U-Net (MONAI's `DynUNet` as the published code configures it; spec/segmentation.md section 2).
//!
//! Five levels of two convolutions each. The published code gives the norm as a plain name, so it has no weights; deep
//! supervision is off. `[B, 1, D, H, W]` in [0, 1] of the HU window → logits `[B, 3, D, H, W]`.
use super::blocks::{
    LEAKY, LEAKY_SLOPE, check_ends, check_levels, check_sides, conv, doubling, instance_norm,
};
use crate::nn::elementwise::cat_channels;
use crate::nn::{Conv3d, ConvTranspose3d, Norm};
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Sizes of a [`DynUnet`]. The default is the published model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DynUnetConfig {
    /// Channels of each level: 32, 64, 128, 256, 320 (authors' code; the paper is silent).
    pub filters: Vec<usize>,
    /// Channels of the scan: 1.
    pub inputs: usize,
    /// Background, organ, tumor: 3.
    pub classes: usize,
}

impl Default for DynUnetConfig {
    fn default() -> Self {
        Self { filters: vec![32, 64, 128, 256, 320], inputs: 1, classes: 3 }
    }
}

/// The whole network; see [`DynUnet::published_name`] for the names in files.
#[derive(Module, Debug)]
pub struct DynUnet {
    input_block: Block,
    downsamples: Vec<Block>,
    bottleneck: Block,
    upsamples: Vec<Rise>,
    output_block: Conv3d,
}

/// Twice a convolution, InstanceNorm and LeakyReLU.
#[derive(Module, Debug)]
struct Block {
    conv1: Conv3d,
    conv2: Conv3d,
    norm: Norm,
}

/// One doubling: up-sampled channels first, then the skip.
#[derive(Module, Debug)]
struct Rise {
    transp_conv: ConvTranspose3d,
    conv_block: Block,
}

/// Kaiming's normal distribution for a LeakyReLU of slope 0.01, as `DynUNet` begins with for every convolution; its
/// fan-in is what PyTorch takes for one: of a transposed convolution, the elements of one input channel.
fn kaiming(weight: &Param<Tensor<5>>, device: &Device) -> Param<Tensor<5>> {
    let shape: [usize; 5] = weight.lazy_shape().dims();
    let fan_in: usize = shape[1..].iter().product();
    let std = (2.0 / ((1.0 + f64::from(LEAKY_SLOPE).powi(2)) * fan_in as f64)).sqrt();
    Initializer::Normal { mean: 0.0, std }.init(shape, device)
}

impl Block {
    fn new([a, b]: [usize; 2], stride: usize, device: &Device) -> Self {
        let layer = |channels, stride| {
            let mut conv = conv(channels, 3, stride, false, device);
            conv.weight = kaiming(&conv.weight, device);
            conv
        };
        let norm = instance_norm(b, LEAKY, device);
        Self { conv1: layer([a, b], stride), conv2: layer([b, b], 1), norm }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = self.norm.forward(self.conv1.forward(x));
        self.norm.forward(self.conv2.forward(x))
    }
}

impl Rise {
    fn new([below, out]: [usize; 2], device: &Device) -> Self {
        let mut transp_conv = doubling([below, out], device);
        transp_conv.weight = kaiming(&transp_conv.weight, device);
        Self { transp_conv, conv_block: Block::new([2 * out, out], 1, device) }
    }

    fn forward(&self, below: Tensor<5>, skip: Tensor<5>) -> Tensor<5> {
        self.conv_block.forward(cat_channels(self.transp_conv.forward(below), skip))
    }
}

impl DynUnetConfig {
    /// Checks that a network of these numbers can exist.
    ///
    /// # Errors
    /// Names the first number that is out of its range.
    pub fn check(&self) -> difftumor_ct::Result<()> {
        check_levels("filters", &self.filters)?;
        check_ends(self.inputs, self.classes)
    }

    /// Checks that the network can take patches of these sides: multiples of 16 from 32 on.
    ///
    /// # Errors
    /// Says which sides it takes.
    pub fn check_sides(&self, sides: [usize; 3]) -> difftumor_ct::Result<()> {
        check_sides(sides, 1 << (self.filters.len() - 1))
    }

    /// A network with random weights.
    pub fn init(&self, device: &Device) -> DynUnet {
        let f = &self.filters;
        let n = f.len() - 1;
        let mut output_block = conv([f[0], self.classes], 1, 1, true, device);
        output_block.weight = kaiming(&output_block.weight, device);
        output_block.bias = Some(Initializer::Zeros.init([self.classes], device));
        DynUnet {
            input_block: Block::new([self.inputs, f[0]], 1, device),
            downsamples: (1..n).map(|i| Block::new([f[i - 1], f[i]], 2, device)).collect(),
            bottleneck: Block::new([f[n - 1], f[n]], 2, device),
            upsamples: (0..n).rev().map(|i| Rise::new([f[i + 1], f[i]], device)).collect(),
            output_block,
        }
    }
}

impl DynUnet {
    /// Beginning of the names by which published files repeat nearly every tensor: the same ones once more.
    pub const ALIASES: &str = "skip_layers.";

    /// `[B, 1, D, H, W]` → logits `[B, 3, D, H, W]`; for the sides see [`DynUnetConfig::check_sides`].
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let mut skips = vec![self.input_block.forward(x)];
        for block in &self.downsamples {
            let x = skips[skips.len() - 1].clone();
            skips.push(block.forward(x));
        }
        let mut x = self.bottleneck.forward(skips[skips.len() - 1].clone());
        for rise in &self.upsamples {
            x = rise.forward(x, skips.pop().expect("one skip for each level"));
        }
        self.output_block.forward(x)
    }

    /// The name in the published state dict of the parameter at a field path: MONAI's blocks wrap every convolution.
    pub fn published_name(path: &str) -> String {
        let (layer, parameter) = path.rsplit_once('.').expect("a layer's parameter");
        let wrapper = if layer == "output_block" { "conv.conv" } else { "conv" };
        format!("{layer}.{wrapper}.{parameter}")
    }
}
