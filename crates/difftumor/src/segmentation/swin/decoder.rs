//! The convolutional part of Swin UNETR: residual blocks on the skips and on the way up.
use crate::nn::activation::{Activation, activate};
use crate::nn::elementwise::cat_channels;
use crate::nn::norm::{Norm, NormActivation};
use crate::nn::{Conv3d, ConvTranspose3d};
use crate::segmentation::blocks::{LEAKY, LEAKY_SLOPE, conv, doubling, instance_norm};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// `LeakyReLU(norm(conv2(LeakyReLU(norm(conv1 x)))) + shortcut)`, where the shortcut of other channels is a normalised
/// 1³ convolution. No biases, no weights of norms.
#[derive(Module, Debug)]
pub(super) struct Residual {
    conv1: Conv3d,
    norm1: Norm,
    conv2: Conv3d,
    norm2: Norm,
    conv3: Option<Conv3d>,
}

/// One doubling: up-sampled channels first, then the skip.
#[derive(Module, Debug)]
pub(super) struct Rise {
    transp_conv: ConvTranspose3d,
    conv_block: Residual,
}

impl Residual {
    pub(super) fn new([a, b]: [usize; 2], device: &Device) -> Self {
        Self {
            conv1: conv([a, b], 3, 1, false, device),
            norm1: instance_norm(b, LEAKY, device),
            conv2: conv([b, b], 3, 1, false, device),
            norm2: instance_norm(b, NormActivation::None, device),
            conv3: (a != b).then(|| conv([a, b], 1, 1, false, device)),
        }
    }

    /// `[B, Ca, D, H, W]` → `[B, Cb, D, H, W]`.
    pub(super) fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let y = self.conv2.forward(self.norm1.forward(self.conv1.forward(x.clone())));
        let shortcut = match &self.conv3 {
            Some(conv) => self.norm2.forward(conv.forward(x)),
            None => x,
        };
        activate(self.norm2.forward_add(y, Some(shortcut)), &Activation::LeakyRelu(LEAKY_SLOPE))
    }
}

impl Rise {
    /// From `below` channels to `out`, which the skip has too.
    pub(super) fn new(below: usize, out: usize, device: &Device) -> Self {
        Self {
            transp_conv: doubling([below, out], device),
            conv_block: Residual::new([2 * out, out], device),
        }
    }

    /// `[B, below, D, H, W]` and a skip `[B, out, 2D, 2H, 2W]` → the latter's shape.
    pub(super) fn forward(&self, below: Tensor<5>, skip: Tensor<5>) -> Tensor<5> {
        self.conv_block.forward(cat_channels(self.transp_conv.forward(below), skip))
    }
}
