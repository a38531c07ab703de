//! The residual U-Net (MONAI's `UNet` as the published code configures it; spec/segmentation.md section 1).
//!
//! Every level halves the sides with a residual unit and comes back with a transposed convolution; `[B, 1, D, H, W]`
//! in [0, 1] of the HU window → logits `[B, 3, D, H, W]` (background, organ, tumor).
use crate::nn::activation::Activation;
use crate::nn::elementwise::cat_channels;
use crate::nn::norm::{Normalisation, normalise};
use crate::nn::{
    Conv3d, Conv3dConfig, ConvGeometry, ConvTranspose3d, ConvTranspose3dConfig, Padding, TransposedGeometry,
};
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

const NORM_EPS: f64 = 1e-5;

/// Sizes of a [`Unet`].
#[derive(Clone, Debug, PartialEq, Eq)]
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
    up_slope: Param<Tensor<1>>,
    last: Conv3d,
    last_slope: Option<Param<Tensor<1>>>,
}

/// `residual(x) + unit_1(unit_0(x))`; a unit is a convolution, InstanceNorm and PReLU.
#[derive(Module, Debug)]
struct Residual {
    conv_0: Conv3d,
    slope_0: Param<Tensor<1>>,
    conv_1: Conv3d,
    slope_1: Param<Tensor<1>>,
    residual: Conv3d,
}

/// Kernel k with half of it as padding on each side, zeros beyond the border.
fn conv(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv3d {
    let pad = [kernel / 2; 3];
    let geometry = ConvGeometry {
        kernel: [kernel; 3],
        stride: [stride; 3],
        pad_before: pad,
        pad_after: pad,
        padding: Padding::Zero,
    };
    Conv3dConfig { channels, geometry, bias: true }.init(device)
}

/// PyTorch's first slope of a PReLU.
fn slope(device: &Device) -> Param<Tensor<1>> {
    Initializer::Constant { value: 0.25 }.init([1], device)
}

/// InstanceNorm without weights, then PReLU, then what is added.
fn norm_act(x: Tensor<5>, slope: &Param<Tensor<1>>, residual: Option<Tensor<5>>) -> Tensor<5> {
    let groups = x.dims()[1];
    let activation = Activation::PRelu(slope.val());
    normalise(x, &Normalisation { groups, eps: NORM_EPS, affine: None, film: None, activation, residual })
}

impl Residual {
    fn new([a, b]: [usize; 2], stride: usize, device: &Device) -> Self {
        Self {
            conv_0: conv([a, b], 3, stride, device),
            slope_0: slope(device),
            conv_1: conv([b, b], 3, 1, device),
            slope_1: slope(device),
            residual: conv([a, b], if stride == 1 { 1 } else { 3 }, stride, device),
        }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let y = norm_act(self.conv_0.forward(x.clone()), &self.slope_0, None);
        let y = norm_act(self.conv_1.forward(y), &self.slope_1, None);
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
            up_slope: slope(device),
            last: conv([out, out], 3, 1, device),
            last_slope: (!top).then(|| slope(device)),
        }
    }

    fn rise(&self, skip: Tensor<5>, below: Tensor<5>) -> Tensor<5> {
        let x = norm_act(self.up.forward(cat_channels(skip, below)), &self.up_slope, None);
        match &self.last_slope {
            Some(slope) => norm_act(self.last.forward(x.clone()), slope, Some(x)),
            None => self.last.forward_add(x.clone(), Some(x)),
        }
    }
}

impl UnetConfig {
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
                "slope_0" => "conv.unit0.adn.A.weight".into(),
                "slope_1" => "conv.unit1.adn.A.weight".into(),
                other => format!("{other}.{}", rest[1]),
            };
            let tail = match rest[0] {
                "down" => format!("0.{}", residual(&rest[1..])),
                "up" => format!("2.0.conv.{}", rest[1]),
                "up_slope" => "2.0.adn.A.weight".into(),
                "last" => format!("2.1.conv.unit0.conv.{}", rest[1]),
                "last_slope" => "2.1.conv.unit0.adn.A.weight".into(),
                _ => residual(rest),
            };
            format!("model.{}{tail}", "1.submodule.".repeat(depth))
        }
    }
}
