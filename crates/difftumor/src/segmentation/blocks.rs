//! Layers and limits that the segmentation networks share.
use crate::autoencoder::config::check_range;
use crate::nn::norm::{Norm, NormActivation, NormConfig};
use crate::nn::{
    Conv3d, Conv3dConfig, ConvGeometry, ConvTranspose3d, ConvTranspose3dConfig, Padding, TransposedGeometry,
};
use burn::tensor::Device;
use difftumor_ct::{Error, Result};

/// LeakyReLU's slope in nnU-Net and Swin UNETR (MONAI's 0.01, spec/segmentation.md sections 2 and 3).
pub(super) const LEAKY_SLOPE: f32 = 0.01;
/// That LeakyReLU behind a norm.
pub(super) const LEAKY: NormActivation = NormActivation::LeakyRelu(LEAKY_SLOPE);

/// A kernel of 1 or 3 centred on its voxel with zeros beyond the border, or one of 2 that parts the volume (stride 2).
pub(super) fn conv(
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    bias: bool,
    device: &Device,
) -> Conv3d {
    let pad = [(kernel - 1) / 2; 3];
    let geometry = ConvGeometry {
        kernel: [kernel; 3],
        stride: [stride; 3],
        pad_before: pad,
        pad_after: pad,
        padding: Padding::Zero,
    };
    Conv3dConfig { channels, geometry, bias }.init(device)
}

/// Transposed convolution of kernel and stride 2 without bias: every voxel becomes 2³.
pub(super) fn doubling(channels: [usize; 2], device: &Device) -> ConvTranspose3d {
    let geometry =
        TransposedGeometry { kernel: [2; 3], stride: [2; 3], trim_before: [0; 3], padding: Padding::Zero };
    ConvTranspose3dConfig { channels, geometry, bias: false }.init(device)
}

/// InstanceNorm without weights, then the activation.
pub(super) fn instance_norm(channels: usize, activation: NormActivation, device: &Device) -> Norm {
    NormConfig::instance(channels, activation).init(device)
}

/// Checks channels at both ends of a network: those of the scan, and the classes.
pub(super) fn check_ends(inputs: usize, classes: usize) -> Result<()> {
    check_range("inputs", inputs, 1, 64)?;
    check_range("classes", classes, 2, 256)
}

/// Checks the channels of each level, from the finest on.
pub(super) fn check_levels(what: &str, channels: &[usize]) -> Result<()> {
    check_range(&format!("number of {what}"), channels.len(), 2, 8)?;
    channels.iter().try_for_each(|&c| check_range(what, c, 1, 4096))
}

/// Checks the sides of a patch for a network whose coarsest voxel is `unit` voxels wide. Fewer than two such voxels
/// along a side leave too little for instance norm: of one voxel it is 0 / 0.
pub(super) fn check_sides(sides: [usize; 3], unit: usize) -> Result<()> {
    if sides.iter().all(|n| n.is_multiple_of(unit) && *n >= 2 * unit) {
        return Ok(());
    }
    let expected = format!("each a multiple of {unit}, at least {}", 2 * unit);
    Err(Error::Argument { what: "sides of the patch".into(), expected, found: format!("{sides:?}") })
}
