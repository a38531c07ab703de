//! The residual U-Net (MONAI's `UNet` as the published code configures it; spec/segmentation.md section 1).
//!
//! Every level halves the sides with a residual unit and comes back with a transposed convolution; `[B, 1, D, H, W]`
//! in [0, 1] of the HU window → logits `[B, 3, D, H, W]` (background, organ, tumor).
use super::blocks::{check_ends, check_levels, check_sides, conv, instance_norm};
use crate::nn::elementwise::cat_channels;
use crate::nn::norm::{Norm, NormActivation};
use crate::nn::{Conv3d, ConvTranspose3d, ConvTranspose3dConfig, Padding, TransposedGeometry};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Sizes of a [`Unet`]. The default is the published model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnetConfig {
    /// Channels of each level: 16, 32, 64, 128, 256 (authors' code; the paper is silent).
    pub widths: Vec<usize>,
    /// Channels of the scan: 1.
    pub inputs: usize,
    /// Background, organ, tumor: 3.
    pub classes: usize,
}

impl Default for UnetConfig {
    fn default() -> Self {
        Self { widths: vec![16, 32, 64, 128, 256], inputs: 1, classes: 3 }
    }
}

/// The whole network; see [`Unet::published_name`] for the names in files.
#[derive(Module, Debug)]
pub struct Unet {
    levels: Vec<Level>,
    bottom: Residual,
}

/// One halving and its way back.
#[derive(Module, Debug)]
struct Level {
    down: Residual,
    up: ConvTranspose3d,
    up_norm: Norm,
    last: Conv3d,
    last_norm: Option<Norm>,
}

/// `residual(x) + unit_1(unit_0(x))`; a unit is a convolution, InstanceNorm and PReLU.
#[derive(Module, Debug)]
struct Residual {
    conv_0: Conv3d,
    norm_0: Norm,
    conv_1: Conv3d,
    norm_1: Norm,
    residual: Conv3d,
}

/// InstanceNorm without weights, then PReLU with PyTorch's first slope.
fn norm(channels: usize, device: &Device) -> Norm {
    instance_norm(channels, NormActivation::PRelu(0.25), device)
}

impl Residual {
    fn new([a, b]: [usize; 2], stride: usize, device: &Device) -> Self {
        Self {
            conv_0: conv([a, b], 3, stride, true, device),
            norm_0: norm(b, device),
            conv_1: conv([b, b], 3, 1, true, device),
            norm_1: norm(b, device),
            residual: conv([a, b], if stride == 1 { 1 } else { 3 }, stride, true, device),
        }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let y = self.norm_0.forward(self.conv_0.forward(x.clone()));
        let y = self.norm_1.forward(self.conv_1.forward(y));
        self.residual.forward_add(x, Some(y))
    }
}

impl Level {
    /// `joined` channels come back from below, `out` go up; the uppermost level (`top`) ends with a bare convolution.
    fn new([a, b]: [usize; 2], joined: usize, out: usize, top: bool, device: &Device) -> Self {
        let geometry = TransposedGeometry {
            kernel: [3; 3],
            stride: [2; 3],
            trim_before: [1; 3],
            padding: Padding::Zero,
        };
        Self {
            down: Residual::new([a, b], 2, device),
            up: ConvTranspose3dConfig { channels: [joined, out], geometry, bias: true }.init(device),
            up_norm: norm(out, device),
            last: conv([out, out], 3, 1, true, device),
            last_norm: (!top).then(|| norm(out, device)),
        }
    }

    fn rise(&self, skip: Tensor<5>, below: Tensor<5>) -> Tensor<5> {
        let x = self.up_norm.forward(self.up.forward(cat_channels(skip, below)));
        match &self.last_norm {
            Some(norm) => norm.forward_add(self.last.forward(x.clone()), Some(x)),
            None => self.last.forward_add(x.clone(), Some(x)),
        }
    }
}

impl UnetConfig {
    /// Checks that a network of these numbers can exist.
    ///
    /// # Errors
    /// Names the first number that is out of its range.
    pub fn check(&self) -> difftumor_ct::Result<()> {
        check_levels("widths", &self.widths)?;
        check_ends(self.inputs, self.classes)
    }

    /// Checks that the network can take patches of these sides: multiples of 16 from 32 on.
    ///
    /// # Errors
    /// Says which sides it takes.
    pub fn check_sides(&self, sides: [usize; 3]) -> difftumor_ct::Result<()> {
        check_sides(sides, 1 << (self.widths.len() - 1))
    }

    /// A network with random weights.
    pub fn init(&self, device: &Device) -> Unet {
        let w = &self.widths;
        let n = w.len() - 1;
        let input = |i: usize| if i == 0 { self.inputs } else { w[i - 1] };
        let level = |i: usize| {
            // The level below hands up as many channels as it got; the bottom hands up its own.
            let below = if i + 1 == n { w[n] } else { w[i] };
            let out = if i == 0 { self.classes } else { w[i - 1] };
            Level::new([input(i), w[i]], w[i] + below, out, i == 0, device)
        };
        Unet { levels: (0..n).map(level).collect(), bottom: Residual::new([input(n), w[n]], 1, device) }
    }
}

impl Unet {
    /// `[B, 1, D, H, W]` → logits `[B, 3, D, H, W]`. Sides must be multiples of 2^levels (16), and more than that:
    /// instance norm needs more than one voxel.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let unit = 1 << self.levels.len();
        let dims = x.dims();
        assert!(dims[2..].iter().all(|n| n % unit == 0), "sides {dims:?} must be multiples of {unit}");
        let mut skips = vec![];
        let mut x = x;
        for level in &self.levels {
            x = level.down.forward(x);
            skips.push(x.clone());
        }
        x = self.bottom.forward(x);
        for level in self.levels.iter().rev() {
            x = level.rise(skips.pop().expect("one skip for each level"), x);
        }
        x
    }

    /// The name in the published state dict of the parameter at a field path of a [`Unet`] with `levels` halvings.
    pub fn published_name(levels: usize) -> impl Fn(&str) -> String + Copy {
        move |path| {
            let parts: Vec<&str> = path.split('.').collect();
            let (depth, rest) = match parts[0] {
                "levels" => (parts[1].parse().expect("a level's number"), &parts[2..]),
                _ => (levels, &parts[1..]),
            };
            let residual = |rest: &[&str]| match rest[0] {
                "conv_0" => format!("conv.unit0.conv.{}", rest[1]),
                "conv_1" => format!("conv.unit1.conv.{}", rest[1]),
                "norm_0" => "conv.unit0.adn.A.weight".into(),
                "norm_1" => "conv.unit1.adn.A.weight".into(),
                other => format!("{other}.{}", rest[1]),
            };
            let tail = match rest[0] {
                "down" => format!("0.{}", residual(&rest[1..])),
                "up" => format!("2.0.conv.{}", rest[1]),
                "up_norm" => "2.0.adn.A.weight".into(),
                "last" => format!("2.1.conv.unit0.conv.{}", rest[1]),
                "last_norm" => "2.1.conv.unit0.adn.A.weight".into(),
                _ => residual(rest),
            };
            format!("model.{}{tail}", "1.submodule.".repeat(depth))
        }
    }
}
