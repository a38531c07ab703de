//! The noise-predicting U-Net (paper 3.2; spec/diffusion.md section 2).
//!
//! Tensors are `[B, C, F, H, W]` with F the depth. Convolutions work inside slices and only H and W shrink; attention
//! along F is what joins the slices.
use super::DiffusionConfig;
use crate::error::Result;
use crate::nn::activation::{Activation, activate};
use crate::nn::attention::{Axis, Positions};
use crate::nn::joined::join;
use crate::nn::state::fill_from_run;
use crate::nn::{
    Attention, AttentionConfig, AttentionKind, Conv3d, Conv3dConfig, ConvGeometry, ConvTranspose3d,
    ConvTranspose3dConfig, GroupNorm, Linear, Padding, TransposedGeometry,
};
use crate::run::Run;
use burn::module::{Initializer, Module, Param};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Buckets and reach of the relative position bias (T5's, bidirectional).
const POSITION_BUCKETS: usize = 32;
const POSITION_REACH: f64 = 32.0;
const NORM_EPS: f64 = 1e-5;

/// The U-Net. [`Unet3d::published_name`] maps its fields to the published names.
#[derive(Module, Debug)]
pub struct Unet3d {
    position_bias: Param<Tensor<2>>,
    init_conv: Conv3d,
    init_depth: Attention,
    time_1: Linear,
    time_2: Linear,
    downs: Vec<Stage>,
    mid_1: ResBlock,
    mid_slice: Attention,
    mid_depth: Attention,
    mid_2: ResBlock,
    ups: Vec<Stage>,
    final_res: ResBlock,
    final_conv: Conv3d,
    #[module(skip)]
    base_channels: usize,
    #[module(skip)]
    head_channels: usize,
}

/// One level on the way down or up.
#[derive(Module, Debug)]
struct Stage {
    res_1: ResBlock,
    res_2: ResBlock,
    slice: Attention,
    depth: Attention,
    down: Option<Conv3d>,
    up: Option<ConvTranspose3d>,
}

/// conv, norm, scale-shift by time, SiLU; conv, norm, SiLU; plus the input.
#[derive(Module, Debug)]
struct ResBlock {
    time: Option<Linear>,
    conv_1: Conv3d,
    norm_1: GroupNorm,
    conv_2: Conv3d,
    norm_2: GroupNorm,
    shortcut: Option<Conv3d>,
}

fn in_slice(channels: [usize; 2], kernel: usize, device: &Device) -> Conv3d {
    let geometry = ConvGeometry::same([1, kernel, kernel], [1; 3], Padding::Zero);
    Conv3dConfig { channels, geometry, bias: true }.init(device)
}

impl ResBlock {
    fn new([from, to]: [usize; 2], time: Option<usize>, groups: usize, device: &Device) -> Self {
        Self {
            time: time.map(|t| Linear::new(t, 2 * to, device)),
            conv_1: in_slice([from, to], 3, device),
            norm_1: GroupNorm::new(to, groups, NORM_EPS, device),
            conv_2: in_slice([to, to], 3, device),
            norm_2: GroupNorm::new(to, groups, NORM_EPS, device),
            shortcut: (from != to).then(|| in_slice([from, to], 1, device)),
        }
    }

    /// `x` comes in parts, to be joined along the channels; `time` is SiLU of the time embedding, `[B, 96]`.
    fn forward(&self, x: &[Tensor<5>], time: &Tensor<2>) -> Tensor<5> {
        let film = self.time.as_ref().map(|linear| {
            let both = linear.forward(time.clone());
            let parts = both.chunk(2, 1);
            (parts[0].clone(), parts[1].clone())
        });
        let y = self.norm_1.forward_film_silu(self.conv_1.forward_joined(x, None), film);
        let y = self.conv_2.forward(y);
        match (&self.shortcut, x) {
            (Some(conv), _) => conv.forward_joined(x, Some(self.norm_2.forward_silu(y))),
            (None, [x]) => self.norm_2.forward_silu_add(y, x.clone()),
            (None, _) => self.norm_2.forward_silu_add(y, join(x)),
        }
    }
}

impl DiffusionConfig {
    /// A U-Net with random weights.
    pub fn init(&self, device: &Device) -> Unet3d {
        let base = self.base_channels;
        let time = 4 * base;
        let attention = |channels, axis, kind| {
            AttentionConfig {
                channels,
                heads: self.heads,
                head_channels: self.head_channels,
                axis,
                kind,
                out_bias: kind == AttentionKind::Linear,
            }
            .init(device)
        };
        let depth = |c| attention(c, Axis::Depth, AttentionKind::Softmax);
        let res =
            |channels, timed: bool| ResBlock::new(channels, timed.then_some(time), self.norm_groups, device);
        let stage = |[from, to]: [usize; 2], down, up| Stage {
            res_1: res([from, to], true),
            res_2: res([to, to], true),
            slice: attention(to, Axis::Slice, AttentionKind::Linear),
            depth: depth(to),
            down,
            up,
        };
        let widths: Vec<usize> =
            std::iter::once(base).chain(self.multipliers.iter().map(|m| m * base)).collect();
        let (levels, top) = (self.multipliers.len(), *widths.last().expect("at least the base"));
        let shrink = |c| {
            Conv3dConfig {
                channels: [c, c],
                geometry: ConvGeometry::same([1, 4, 4], [1, 2, 2], Padding::Zero),
                bias: true,
            }
            .init(device)
        };
        let grow = |c| {
            ConvTranspose3dConfig {
                channels: [c, c],
                geometry: TransposedGeometry::doubling([false, true, true], Padding::Zero),
                bias: true,
            }
            .init(device)
        };
        Unet3d {
            position_bias: Initializer::Normal { mean: 0.0, std: 1.0 }
                .init([POSITION_BUCKETS, self.heads], device),
            init_conv: in_slice([2 * self.latent_channels + 1, base], 7, device),
            init_depth: depth(base),
            time_1: Linear::new(base, time, device),
            time_2: Linear::new(time, time, device),
            downs: (0..levels)
                .map(|i| {
                    stage([widths[i], widths[i + 1]], (i + 1 < levels).then(|| shrink(widths[i + 1])), None)
                })
                .collect(),
            mid_1: res([top, top], true),
            mid_slice: attention(top, Axis::Slice, AttentionKind::Softmax),
            mid_depth: depth(top),
            mid_2: res([top, top], true),
            ups: (0..levels)
                .rev()
                .map(|i| stage([2 * widths[i + 1], widths[i]], None, (i > 0).then(|| grow(widths[i]))))
                .collect(),
            final_res: res([2 * base, base], false),
            final_conv: in_slice([base, self.latent_channels], 1, device),
            base_channels: base,
            head_channels: self.head_channels,
        }
    }
}

impl Unet3d {
    /// Predicted noise, `[B, 8, F, H, W]`, of `x` `[B, 8, F, H, W]` at steps `t` (one for each item) under the
    /// condition `[B, 9, F, H, W]`. H and W must be multiples of 8 (of 2^(levels-1)).
    pub fn forward(&self, x: Tensor<5>, t: &[usize], condition: Tensor<5>) -> Tensor<5> {
        let device = x.device();
        let [_, _, f, h, w] = x.dims();
        let unit = 1 << (self.downs.len() - 1);
        assert!(h % unit == 0 && w % unit == 0, "H {h} and W {w} must be multiples of {unit}");
        let time = silu(self.time_embedding(t, &device));
        let positions = self.positions(f, &device);
        let mut x = self.init_conv.forward_joined(&[x, condition], None);
        let first = x.clone();
        x = self.init_depth.forward(x, Some(&positions));
        let mut skips = Vec::new();
        for stage in &self.downs {
            x = stage.blocks(&[x], &time, &positions);
            skips.push(x.clone());
            if let Some(down) = &stage.down {
                x = down.forward(x);
            }
        }
        x = self.mid_1.forward(&[x], &time);
        x = self.mid_slice.forward(x, None);
        x = self.mid_depth.forward(x, Some(&positions));
        x = self.mid_2.forward(&[x], &time);
        for stage in &self.ups {
            let skip = skips.pop().expect("one skip for each stage");
            x = stage.blocks(&[x, skip], &time, &positions);
            if let Some(up) = &stage.up {
                x = up.forward(x);
            }
        }
        let x = self.final_res.forward(&[x, first], &time);
        self.final_conv.forward(x)
    }

    /// `[B, 96]`: sinusoids of the raw step, linear, GELU, linear.
    pub fn time_embedding(&self, t: &[usize], device: &Device) -> Tensor<2> {
        let half = self.base_channels / 2;
        let mut values = Vec::with_capacity(t.len() * 2 * half);
        for t in t {
            let angle = |j: usize| *t as f64 * (-(j as f64) * 10000f64.ln() / (half as f64 - 1.0)).exp();
            values.extend((0..half).map(|j| angle(j).sin() as f32));
            values.extend((0..half).map(|j| angle(j).cos() as f32));
        }
        let x = Tensor::from_data(TensorData::new(values, [t.len(), 2 * half]), device);
        self.time_2.forward(activate(self.time_1.forward(x), &Activation::Gelu))
    }

    /// Rotary angles and relative position bias of a depth of `n`, shared by every depth attention.
    pub fn positions(&self, n: usize, device: &Device) -> Positions {
        let pairs = self.head_channels / 2;
        let angle = |i: usize| {
            let (position, j) = ((i / pairs) as f64, (i % pairs) as f64);
            position * 10000f64.powf(-2.0 * j / self.head_channels as f64)
        };
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = (0..n * pairs).map(|i| f(angle(i)) as f32).collect();
            Tensor::<2>::from_data(TensorData::new(values, [n, pairs]), device)
        };
        let buckets: Vec<i64> = (0..n * n).map(|i| bucket((i / n) as i64 - (i % n) as i64) as i64).collect();
        let buckets = Tensor::<1, Int>::from_data(TensorData::new(buckets, [n * n]), device);
        let heads = self.position_bias.val().dims()[1];
        let bias = self.position_bias.val().transpose().select(1, buckets).reshape([heads, n, n]);
        Positions { rotary: (table(f64::cos), table(f64::sin)), bias }
    }

    /// The name in the published state dict (without `denoise_fn.`) of the parameter at a field path of [`Unet3d`].
    pub fn published_name(path: &str) -> String {
        let linear_attention = path.contains("s.") && path.contains(".slice.");
        let inner = if linear_attention { "fn.fn" } else { "fn.fn.fn" };
        let segment = |s: &str| -> String {
            match s {
                "position_bias" => "time_rel_pos_bias.relative_attention_bias.weight",
                "init_depth" => "init_temporal_attn",
                "time_1" => "time_mlp.1",
                "time_2" => "time_mlp.3",
                "res_1" => "0",
                "res_2" => "1",
                "slice" => "2",
                "depth" => "3",
                "down" | "up" => "4",
                "mid_1" => "mid_block1",
                "mid_2" => "mid_block2",
                "mid_slice" => "mid_spatial_attn",
                "mid_depth" => "mid_temporal_attn",
                "final_res" => "final_conv.0",
                "final_conv" => "final_conv.1",
                "time" => "mlp.1",
                "conv_1" => "block1.proj",
                "norm_1" => "block1.norm",
                "conv_2" => "block2.proj",
                "norm_2" => "block2.norm",
                "shortcut" => "res_conv",
                "gamma" => "fn.norm.gamma",
                "to_qkv" => return format!("{inner}.to_qkv.weight"),
                "to_out" => return format!("{inner}.to_out.weight"),
                "out_bias" => return format!("{inner}.to_out.bias"),
                other => other,
            }
            .into()
        };
        path.split('.').map(segment).collect::<Vec<String>>().join(".")
    }
}

impl Stage {
    fn blocks(&self, x: &[Tensor<5>], time: &Tensor<2>, positions: &Positions) -> Tensor<5> {
        let x = self.res_2.forward(&[self.res_1.forward(x, time)], time);
        self.depth.forward(self.slice.forward(x, None), Some(positions))
    }
}

/// Bucket of the distance query − key: exact below 8, then logarithmic up to `POSITION_REACH`, the upper half for
/// keys after the query.
pub fn bucket(distance: i64) -> usize {
    let half = POSITION_BUCKETS / 2;
    let exact = half / 2;
    let n = distance.unsigned_abs() as usize;
    let side = if distance < 0 { half } else { 0 };
    side + if n < exact {
        n
    } else {
        // f32, as the published code: the truncation must fall on the same side.
        let ratio = (n as f32 / exact as f32).ln() / (POSITION_REACH / exact as f64).ln() as f32;
        (exact + (ratio * (half - exact) as f32) as usize).min(half - 1)
    }
}

impl Unet3d {
    /// The U-Net of a Run.
    ///
    /// # Errors
    /// When the Run holds another kind of model, or its weights are not what its description says.
    pub fn open(run: &Run, device: &Device) -> Result<Self> {
        let model = run.diffusion_config()?.init(device);
        fill_from_run(model, run, Self::published_name)
    }
}
