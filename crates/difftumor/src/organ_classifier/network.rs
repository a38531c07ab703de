//! ResNet (He et al. 2016) and DenseNet (Huang et al. 2017) in three dimensions: `[B, 1, D, H, W]` in [0, 1] → features `[B, F]` and
//! logits `[B, classes]`.
//!
//! Group norms in place of batch norms, since batches are small, and SiLU in place of ReLU: both as in the rest of this program. A residual
//! is added after the activation. DenseNet's transitions halve by a convolution of stride 2, and its layers have no bottlenecks.
use crate::nn::elementwise::cat_channels;
use crate::nn::{Conv3d, Conv3dConfig, ConvGeometry, GroupNorm, Linear, Padding};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Channels of a norm's group.
const GROUP: usize = 4;
/// Channels of ResNet's first stage; each stage doubles them.
const RESNET_WIDTH: usize = 16;
/// Stages of two blocks each, as ResNet-18's.
const RESNET_STAGES: usize = 4;
/// Channels that a layer of DenseNet adds.
const GROWTH: usize = 12;
/// Layers of each of DenseNet's blocks.
const DENSE_LAYERS: [usize; 3] = [4, 4, 4];
const EPS: f64 = 1e-5;

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Residual blocks.
    Resnet,
    /// Dense blocks.
    Densenet,
}

impl Architecture {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Resnet, Self::Densenet];

    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resnet => "ResNet",
            Self::Densenet => "DenseNet",
        }
    }

    /// A network with random weights.
    pub fn init(self, classes: usize, device: &Device) -> OrganNetwork {
        let (body, features) = match self {
            Self::Resnet => Resnet::new(device),
            Self::Densenet => Densenet::new(device),
        };
        OrganNetwork { body, head: Linear::new(features, classes, device) }
    }
}

/// A network: what it sees, and what it makes of that.
#[derive(Module, Debug)]
pub struct OrganNetwork {
    body: Body,
    head: Linear,
}

#[derive(Module, Debug)]
enum Body {
    Resnet(Resnet),
    Densenet(Densenet),
}

#[derive(Module, Debug)]
struct Resnet {
    stem: Conv3d,
    stem_norm: GroupNorm,
    blocks: Vec<Block>,
}

/// `silu(norm(conv(silu(norm(conv(x)))))) + shortcut(x)`.
#[derive(Module, Debug)]
struct Block {
    conv_0: Conv3d,
    norm_0: GroupNorm,
    conv_1: Conv3d,
    norm_1: GroupNorm,
    shortcut: Option<Conv3d>,
}

#[derive(Module, Debug)]
struct Densenet {
    stem: Conv3d,
    blocks: Vec<Dense>,
    last_norm: GroupNorm,
}

/// Layers that see all that is before them, then a transition to half the sides.
#[derive(Module, Debug)]
struct Dense {
    layers: Vec<Layer>,
    transition: Option<Layer>,
}

/// `conv(silu(norm(x)))`.
#[derive(Module, Debug)]
struct Layer {
    norm: GroupNorm,
    conv: Conv3d,
}

fn conv(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv3d {
    let geometry = ConvGeometry::same([kernel; 3], [stride; 3], Padding::Zero);
    Conv3dConfig { channels, geometry, bias: false }.init(device)
}

fn norm(channels: usize, device: &Device) -> GroupNorm {
    GroupNorm::new(channels, channels / GROUP, EPS, device)
}

impl OrganNetwork {
    /// Features behind the last layer, means over space: `[B, F]`.
    pub fn features(&self, x: Tensor<5>) -> Tensor<2> {
        let x = match &self.body {
            Body::Resnet(body) => body.forward(x),
            Body::Densenet(body) => body.forward(x),
        };
        let [b, c, d, h, w] = x.dims();
        x.reshape([b, c, d * h * w]).mean_dim(2).reshape([b, c])
    }

    /// Logits `[B, classes]`.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<2> {
        self.head.forward(self.features(x))
    }
}

impl Resnet {
    fn new(device: &Device) -> (Body, usize) {
        let width = |stage: usize| RESNET_WIDTH << stage;
        let mut blocks = vec![];
        for stage in 0..RESNET_STAGES {
            let (before, stride) = if stage == 0 { (width(0), 1) } else { (width(stage - 1), 2) };
            blocks.push(Block::new([before, width(stage)], stride, device));
            blocks.push(Block::new([width(stage); 2], 1, device));
        }
        let stem = conv([1, width(0)], 4, 2, device);
        let body = Self { stem, stem_norm: norm(width(0), device), blocks };
        (Body::Resnet(body), width(RESNET_STAGES - 1))
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = self.stem_norm.forward_silu(self.stem.forward(x));
        self.blocks.iter().fold(x, |x, block| block.forward(x))
    }
}

impl Block {
    fn new([a, b]: [usize; 2], stride: usize, device: &Device) -> Self {
        let halving = stride == 2;
        Self {
            conv_0: conv([a, b], if halving { 4 } else { 3 }, stride, device),
            norm_0: norm(b, device),
            conv_1: conv([b, b], 3, 1, device),
            norm_1: norm(b, device),
            shortcut: halving.then(|| conv([a, b], 2, 2, device)),
        }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let y = self.norm_0.forward_silu(self.conv_0.forward(x.clone()));
        let shortcut =
            self.shortcut.as_ref().map_or_else(|| x.clone(), |shortcut| shortcut.forward(x.clone()));
        self.norm_1.forward_silu_add(self.conv_1.forward(y), shortcut)
    }
}

impl Densenet {
    fn new(device: &Device) -> (Body, usize) {
        let mut channels = 2 * GROWTH;
        let stem = conv([1, channels], 4, 2, device);
        let mut blocks = vec![];
        for (i, layers) in DENSE_LAYERS.into_iter().enumerate() {
            let layer = |j: usize| Layer::new([channels + j * GROWTH, GROWTH], 3, 1, device);
            let layers_of_block = (0..layers).map(layer).collect();
            channels += layers * GROWTH;
            // Half of them, in whole groups.
            let halved = channels / 2 / GROUP * GROUP;
            let last = i + 1 == DENSE_LAYERS.len();
            let transition = (!last).then(|| Layer::new([channels, halved], 2, 2, device));
            blocks.push(Dense { layers: layers_of_block, transition });
            channels = if last { channels } else { halved };
        }
        (Body::Densenet(Self { stem, blocks, last_norm: norm(channels, device) }), channels)
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = self.blocks.iter().fold(self.stem.forward(x), |x, block| block.forward(x));
        self.last_norm.forward_silu(x)
    }
}

impl Dense {
    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = self.layers.iter().fold(x, |x, layer| cat_channels(x.clone(), layer.forward(x)));
        match &self.transition {
            Some(transition) => transition.forward(x),
            None => x,
        }
    }
}

impl Layer {
    fn new([a, b]: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Self {
        Self { norm: norm(a, device), conv: conv([a, b], kernel, stride, device) }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.conv.forward(self.norm.forward_silu(x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_see_crops_of_48_and_others() {
        let device = Device::flex();
        for (architecture, features) in [(Architecture::Resnet, 128), (Architecture::Densenet, 88)] {
            let network = architecture.init(3, &device);
            for side in [16, 48] {
                let x = Tensor::<5>::ones([2, 1, side, side, side], &device);
                assert_eq!(network.features(x.clone()).dims(), [2, features], "{architecture:?}");
                assert_eq!(network.forward(x).dims(), [2, 3]);
            }
        }
    }
}
