//! ResNet (He et al. 2016) and DenseNet (Huang et al. 2017) in three dimensions: `[B, 1, D, H, W]` in [0, 1] → features `[B, F]` and
//! logits `[B, classes]`.
//!
//! SiLU in place of ReLU; a residual is added after the activation. DenseNet's transitions halve by a convolution of stride 2, and its layers
//! have no bottlenecks. Batch norms, as published, and not the group norms of this program's other networks: those would take a crop's
//! brightness away, so that two tumors that differ in HU alone would be the same.
use crate::nn::batch_norm::{BatchNorm, ChannelStatistics};
use crate::nn::elementwise::{add, cat_channels};
use crate::nn::{Activation, Conv3d, Conv3dConfig, ConvGeometry, Linear, Padding};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Channels of ResNet's first stage; each stage doubles them.
const RESNET_WIDTH: usize = 16;
/// Stages of two blocks each, as ResNet-18's.
const RESNET_STAGES: usize = 4;
/// Channels that a layer of DenseNet adds.
const GROWTH: usize = 12;
/// Layers of each of DenseNet's blocks.
const DENSE_LAYERS: [usize; 3] = [4, 4, 4];

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
            Self::Resnet => Resnet::body(device),
            Self::Densenet => Densenet::body(device),
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
    stem_norm: BatchNorm,
    blocks: Vec<Block>,
}

/// `silu(norm(conv(silu(norm(conv(x)))))) + shortcut(x)`.
#[derive(Module, Debug)]
struct Block {
    conv_0: Conv3d,
    norm_0: BatchNorm,
    conv_1: Conv3d,
    norm_1: BatchNorm,
    shortcut: Option<Conv3d>,
}

#[derive(Module, Debug)]
struct Densenet {
    stem: Conv3d,
    blocks: Vec<Dense>,
    last_norm: BatchNorm,
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
    norm: BatchNorm,
    conv: Conv3d,
}

fn conv(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv3d {
    let geometry = ConvGeometry::same([kernel; 3], [stride; 3], Padding::Zero);
    Conv3dConfig { channels, geometry, bias: false }.init(device)
}

/// What norms normalise by.
enum By<'a> {
    /// The batch; what it shows of each norm, in their order.
    Batch(&'a mut Vec<ChannelStatistics>),
    /// Their running statistics.
    Running,
}

impl By<'_> {
    /// `silu(norm(x))`.
    fn activated(&mut self, norm: &BatchNorm, x: Tensor<5>) -> Tensor<5> {
        match self {
            Self::Running => norm.forward_running(x, Activation::Silu),
            Self::Batch(seen) => {
                let (y, statistics) = norm.forward(x, Activation::Silu);
                seen.push(statistics);
                y
            }
        }
    }
}

/// The next norm's statistics.
type Seen<'a> = std::slice::Iter<'a, ChannelStatistics>;

fn fold_in(norm: BatchNorm, seen: &mut Seen) -> BatchNorm {
    norm.fold_in(seen.next().expect("statistics of every norm"))
}

impl OrganNetwork {
    /// Features behind the last layer, means over space: `[B, F]`. By running statistics.
    pub fn features(&self, x: Tensor<5>) -> Tensor<2> {
        self.pooled(x, &mut By::Running)
    }

    /// Logits `[B, classes]`. By running statistics.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<2> {
        self.head.forward(self.features(x))
    }

    /// Logits in training, and what the batch shows of each norm, for [`OrganNetwork::fold_in`].
    pub fn forward_training(&self, x: Tensor<5>) -> (Tensor<2>, Vec<ChannelStatistics>) {
        let mut seen = vec![];
        let pooled = self.pooled(x, &mut By::Batch(&mut seen));
        (self.head.forward(pooled), seen)
    }

    /// The network with its norms' running statistics moved towards those of a batch.
    pub fn fold_in(self, seen: &[ChannelStatistics]) -> Self {
        let mut seen = seen.iter();
        let body = match self.body {
            Body::Resnet(body) => Body::Resnet(body.fold_in(&mut seen)),
            Body::Densenet(body) => Body::Densenet(body.fold_in(&mut seen)),
        };
        Self { body, ..self }
    }

    fn pooled(&self, x: Tensor<5>, by: &mut By) -> Tensor<2> {
        let x = match &self.body {
            Body::Resnet(body) => body.forward(x, by),
            Body::Densenet(body) => body.forward(x, by),
        };
        let [b, c, d, h, w] = x.dims();
        x.reshape([b, c, d * h * w]).mean_dim(2).reshape([b, c])
    }
}

impl Resnet {
    /// With its number of features.
    fn body(device: &Device) -> (Body, usize) {
        let width = |stage: usize| RESNET_WIDTH << stage;
        let mut blocks = vec![];
        for stage in 0..RESNET_STAGES {
            let (before, stride) = if stage == 0 { (width(0), 1) } else { (width(stage - 1), 2) };
            blocks.push(Block::new([before, width(stage)], stride, device));
            blocks.push(Block::new([width(stage); 2], 1, device));
        }
        let stem = conv([1, width(0)], 4, 2, device);
        let body = Self { stem, stem_norm: BatchNorm::new(width(0), device), blocks };
        (Body::Resnet(body), width(RESNET_STAGES - 1))
    }

    fn forward(&self, x: Tensor<5>, by: &mut By) -> Tensor<5> {
        let x = by.activated(&self.stem_norm, self.stem.forward(x));
        self.blocks.iter().fold(x, |x, block| block.forward(x, by))
    }

    fn fold_in(self, seen: &mut Seen) -> Self {
        let stem_norm = fold_in(self.stem_norm, seen);
        let blocks = self.blocks.into_iter().map(|block| block.fold_in(seen)).collect();
        Self { stem_norm, blocks, ..self }
    }
}

impl Block {
    fn new([a, b]: [usize; 2], stride: usize, device: &Device) -> Self {
        let halving = stride == 2;
        Self {
            conv_0: conv([a, b], if halving { 4 } else { 3 }, stride, device),
            norm_0: BatchNorm::new(b, device),
            conv_1: conv([b, b], 3, 1, device),
            norm_1: BatchNorm::new(b, device),
            shortcut: halving.then(|| conv([a, b], 2, 2, device)),
        }
    }

    fn forward(&self, x: Tensor<5>, by: &mut By) -> Tensor<5> {
        let y = by.activated(&self.norm_0, self.conv_0.forward(x.clone()));
        let y = by.activated(&self.norm_1, self.conv_1.forward(y));
        add(y, self.shortcut.as_ref().map_or_else(|| x.clone(), |shortcut| shortcut.forward(x.clone())))
    }

    fn fold_in(self, seen: &mut Seen) -> Self {
        let (norm_0, norm_1) = (fold_in(self.norm_0, seen), fold_in(self.norm_1, seen));
        Self { norm_0, norm_1, ..self }
    }
}

impl Densenet {
    /// With its number of features.
    fn body(device: &Device) -> (Body, usize) {
        let mut channels = 2 * GROWTH;
        let stem = conv([1, channels], 4, 2, device);
        let mut blocks = vec![];
        for (i, layers) in DENSE_LAYERS.into_iter().enumerate() {
            let layer = |j: usize| Layer::new([channels + j * GROWTH, GROWTH], 3, 1, device);
            let layers_of_block = (0..layers).map(layer).collect();
            channels += layers * GROWTH;
            let halved = channels / 2;
            let last = i + 1 == DENSE_LAYERS.len();
            let transition = (!last).then(|| Layer::new([channels, halved], 2, 2, device));
            blocks.push(Dense { layers: layers_of_block, transition });
            channels = if last { channels } else { halved };
        }
        (Body::Densenet(Self { stem, blocks, last_norm: BatchNorm::new(channels, device) }), channels)
    }

    fn forward(&self, x: Tensor<5>, by: &mut By) -> Tensor<5> {
        let x = self.blocks.iter().fold(self.stem.forward(x), |x, block| block.forward(x, by));
        by.activated(&self.last_norm, x)
    }

    fn fold_in(self, seen: &mut Seen) -> Self {
        let blocks = self.blocks.into_iter().map(|block| block.fold_in(seen)).collect();
        Self { blocks, last_norm: fold_in(self.last_norm, seen), ..self }
    }
}

impl Dense {
    fn forward(&self, x: Tensor<5>, by: &mut By) -> Tensor<5> {
        let mut x = x;
        for layer in &self.layers {
            let more = layer.forward(x.clone(), by);
            x = cat_channels(x, more);
        }
        match &self.transition {
            Some(transition) => transition.forward(x, by),
            None => x,
        }
    }

    fn fold_in(self, seen: &mut Seen) -> Self {
        let layers = self.layers.into_iter().map(|layer| layer.fold_in(seen)).collect();
        let transition = self.transition.map(|transition| transition.fold_in(seen));
        Self { layers, transition }
    }
}

impl Layer {
    fn new([a, b]: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Self {
        Self { norm: BatchNorm::new(a, device), conv: conv([a, b], kernel, stride, device) }
    }

    fn forward(&self, x: Tensor<5>, by: &mut By) -> Tensor<5> {
        self.conv.forward(by.activated(&self.norm, x))
    }

    fn fold_in(self, seen: &mut Seen) -> Self {
        Self { norm: fold_in(self.norm, seen), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_see_crops_of_48_and_others() {
        let device = Device::flex();
        for (architecture, features) in [(Architecture::Resnet, 128), (Architecture::Densenet, 90)] {
            let network = architecture.init(3, &device);
            for side in [16, 48] {
                let x = Tensor::<5>::ones([2, 1, side, side, side], &device);
                assert_eq!(network.features(x.clone()).dims(), [2, features], "{architecture:?}");
                assert_eq!(network.forward(x).dims(), [2, 3]);
            }
        }
    }
}
