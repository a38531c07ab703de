//! Encoder, quantiser and decoder (paper 3.1; spec/autoencoder.md sections 1 to 4).
//!
//! Images `[B, 1, D, H, W]` in [-1, 1] (window −175..250 HU), latents `[B, 8, D/4, H/4, W/4]`.
use super::engine::{Cache, DecoderEngine, EncoderEngine, NormForm, Parameters, applies};
use super::{AutoencoderConfig, Codebook};
use crate::error::Result;
use crate::nn::cpu;
use crate::nn::cpu::channels_last::Frame;
use crate::nn::state::fill_from_run;
use crate::nn::{
    Conv3d, Conv3dConfig, ConvGeometry, ConvTranspose3d, ConvTranspose3dConfig, GroupNorm, Padding,
    TransposedGeometry,
};
use crate::run::Run;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

const NORM_EPS: f64 = 1e-6;

/// The whole autoencoder. Field names follow the published state dict; see [`Autoencoder::published_name`].
#[derive(Module, Debug)]
pub struct Autoencoder {
    encoder: Encoder,
    decoder: Decoder,
    pre_vq_conv: Conv3d,
    post_vq_conv: Conv3d,
    pub(super) codebook: Codebook,
    #[module(skip)]
    form: Form,
    #[module(skip)]
    encoder_engine: Cache<EncoderEngine>,
    #[module(skip)]
    decoder_engine: Cache<DecoderEngine>,
}

/// What the engines need to know of the architecture.
#[derive(Clone, Copy, Debug)]
struct Form {
    levels: usize,
    norm: NormForm,
    /// Whether they can take its layers.
    applies: bool,
}

#[derive(Module, Debug)]
struct Encoder {
    conv_first: Conv3d,
    conv_blocks: Vec<EncoderBlock>,
    final_block: GroupNorm,
}

#[derive(Module, Debug)]
struct EncoderBlock {
    down: Conv3d,
    res: ResBlock,
}

#[derive(Module, Debug)]
struct Decoder {
    final_block: GroupNorm,
    conv_blocks: Vec<DecoderBlock>,
    conv_last: Conv3d,
}

#[derive(Module, Debug)]
struct DecoderBlock {
    up: ConvTranspose3d,
    res1: ResBlock,
    res2: ResBlock,
}

/// `x + conv(silu(norm(conv(silu(norm x)))))`.
#[derive(Module, Debug)]
struct ResBlock {
    norm1: GroupNorm,
    conv1: Conv3d,
    norm2: GroupNorm,
    conv2: Conv3d,
}

/// A "same-pad" convolution: total padding kernel − stride by edge replication.
fn conv(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv3d {
    Conv3dConfig {
        channels,
        geometry: ConvGeometry::same([kernel; 3], [stride; 3], Padding::Edge),
        bias: true,
    }
    .init(device)
}

impl ResBlock {
    fn new(c: usize, groups: usize, device: &Device) -> Self {
        Self {
            norm1: GroupNorm::new(c, groups, NORM_EPS, device),
            conv1: conv([c, c], 3, 1, device),
            norm2: GroupNorm::new(c, groups, NORM_EPS, device),
            conv2: conv([c, c], 3, 1, device),
        }
    }

    fn parameters(&self, to: &mut Parameters) -> Option<()> {
        to.norm(&self.norm1)?;
        to.conv(&self.conv1)?;
        to.norm(&self.norm2)?;
        to.conv(&self.conv2)
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let y = self.conv1.forward(self.norm1.forward_silu(x.clone()));
        self.conv2.forward_add(self.norm2.forward_silu(y), Some(x))
    }
}

impl Encoder {
    fn parameters(&self, to: &mut Parameters) -> Option<()> {
        to.conv(&self.conv_first)?;
        for block in &self.conv_blocks {
            to.conv(&block.down)?;
            block.res.parameters(to)?;
        }
        to.norm(&self.final_block)
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let mut x = self.conv_first.forward(x);
        for block in &self.conv_blocks {
            x = block.res.forward(block.down.forward(x));
        }
        self.final_block.forward_silu(x)
    }
}

impl Decoder {
    fn parameters(&self, to: &mut Parameters) -> Option<()> {
        to.norm(&self.final_block)?;
        for block in &self.conv_blocks {
            to.up(&block.up)?;
            block.res1.parameters(to)?;
            block.res2.parameters(to)?;
        }
        to.conv(&self.conv_last)
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let mut x = self.final_block.forward_silu(x);
        for block in &self.conv_blocks {
            x = block.res2.forward(block.res1.forward(block.up.forward(x)));
        }
        self.conv_last.forward(x)
    }
}

impl AutoencoderConfig {
    /// An autoencoder with random weights.
    pub fn init(&self, device: &Device) -> Autoencoder {
        let (base, groups, levels) = (self.base_channels, self.norm_groups, self.downsamplings);
        let top = base << levels;
        let encoder = Encoder {
            conv_first: conv([self.input_channels, base], 3, 1, device),
            conv_blocks: (0..levels)
                .map(|i| EncoderBlock {
                    down: conv([base << i, base << (i + 1)], 4, 2, device),
                    res: ResBlock::new(base << (i + 1), groups, device),
                })
                .collect(),
            final_block: GroupNorm::new(top, groups, NORM_EPS, device),
        };
        let mut inputs = top;
        let conv_blocks = (0..levels)
            .map(|i| {
                let outputs = base << (levels - i);
                let channels = [std::mem::replace(&mut inputs, outputs), outputs];
                DecoderBlock {
                    up: ConvTranspose3dConfig {
                        channels,
                        geometry: TransposedGeometry::doubling([true; 3], Padding::Edge),
                        bias: true,
                    }
                    .init(device),
                    res1: ResBlock::new(outputs, groups, device),
                    res2: ResBlock::new(outputs, groups, device),
                }
            })
            .collect();
        Autoencoder {
            encoder,
            decoder: Decoder {
                final_block: GroupNorm::new(top, groups, NORM_EPS, device),
                conv_blocks,
                conv_last: conv([inputs, self.input_channels], 3, 1, device),
            },
            pre_vq_conv: conv([top, self.latent_channels], 1, 1, device),
            post_vq_conv: conv([self.latent_channels, top], 1, 1, device),
            codebook: Codebook::new(self.codes, self.latent_channels, device),
            form: Form {
                levels,
                norm: NormForm { groups, eps: NORM_EPS },
                applies: applies(self.input_channels, &(0..=levels).map(|i| base << i).collect::<Vec<_>>()),
            },
            encoder_engine: Cache::default(),
            decoder_engine: Cache::default(),
        }
    }
}

/// By how many latents on each side a voxel of the image depends on latents, when no norm sees the whole image.
fn decoder_reach(levels: usize) -> usize {
    // Voxels of each level, from the image on: the last convolution; then two blocks of two convolutions, and a
    // transposed convolution, which reaches one beyond half of what it must give.
    (0..levels).fold(1_usize, |reach, _| (reach + 4).div_ceil(2) + 1)
}

/// Sides of the image that latents stand for.
fn image_sides(z: &Tensor<5>, levels: usize) -> [usize; 3] {
    let [_, _, d, h, w] = z.dims();
    [d, h, w].map(|n| n << levels)
}

impl Autoencoder {
    /// What sides of images must be multiples of, which is also the side in voxels of what one code stands for: 4.
    pub fn unit_vox(&self) -> usize {
        1 << self.form.levels
    }

    /// Unquantised latents, `[B, 1, D, H, W]` → `[B, 8, D/4, H/4, W/4]`. Every side must be a multiple of 4.
    pub fn encode(&self, x: Tensor<5>) -> Tensor<5> {
        let unit = self.unit_vox();
        let dims = x.dims();
        assert!(dims[2..].iter().all(|n| n % unit == 0), "sides {dims:?} must be multiples of {unit}");
        self.encode_plain(&x).unwrap_or_else(|| self.pre_vq_conv.forward(self.encoder.forward(x)))
    }

    /// [`Autoencoder::encode`] by the engine, where it can.
    fn encode_plain(&self, x: &Tensor<5>) -> Option<Tensor<5>> {
        let image = cpu::values(x).filter(|_| self.form.applies)?;
        let mut parameters = Parameters::default();
        self.encoder.parameters(&mut parameters)?;
        parameters.conv(&self.pre_vq_conv)?;
        let engine = self.encoder_engine.get(parameters, self.form.levels, self.form.norm);
        let [b, _, d, h, w] = x.dims();
        let z: Vec<f32> =
            image.get().chunks_exact(d * h * w).flat_map(|item| engine.run(item, [d, h, w])).collect();
        let [d, h, w] = [d, h, w].map(|n| n >> self.form.levels);
        let channels = z.len() / (b * d * h * w);
        Some(cpu::tensor(z, [b, channels, d, h, w]))
    }

    /// Nearest codes of latents, in (B, D, H, W) order.
    pub fn indices(&self, z: Tensor<5>) -> Tensor<1, Int> {
        self.codebook.indices(z)
    }

    /// The latents that `indices` stand for, `[B, C, D, H, W]` with `sides = [B, D, H, W]`.
    pub fn lookup(&self, indices: Tensor<1, Int>, sides: [usize; 4]) -> Tensor<5> {
        self.codebook.lookup(indices, sides)
    }

    /// Image of latents that are codes already, `[B, 8, d, h, w]` → `[B, 1, 4d, 4h, 4w]`; not limited to [-1, 1].
    pub fn decode_quantised(&self, z: Tensor<5>) -> Tensor<5> {
        let sides = image_sides(&z, self.form.levels);
        self.decode_plain(&z, Frame::whole(sides))
            .unwrap_or_else(|| self.decoder.forward(self.post_vq_conv.forward(z)))
    }

    /// The box `frame` of [`Autoencoder::decode_quantised`] by the engine, where it can.
    fn decode_plain(&self, z: &Tensor<5>, frame: Frame) -> Option<Tensor<5>> {
        let latents = cpu::values(z).filter(|_| self.form.applies)?;
        let mut parameters = Parameters::default();
        parameters.conv(&self.post_vq_conv)?;
        self.decoder.parameters(&mut parameters)?;
        let engine = self.decoder_engine.get(parameters, self.form.levels, self.form.norm);
        let [b, c, d, h, w] = z.dims();
        let items = latents.get().chunks_exact(c * d * h * w);
        let image: Vec<f32> = items.flat_map(|item| engine.run(item, [d, h, w], frame)).collect();
        let [d, h, w] = frame.sides();
        Some(cpu::tensor(image, [b, 1, d, h, w]))
    }

    /// Image of any latents: they are replaced by their nearest codes first, as in sampling.
    pub fn decode(&self, z: Tensor<5>) -> Tensor<5> {
        let [b, _, d, h, w] = z.dims();
        self.decode_quantised(self.lookup(self.indices(z), [b, d, h, w]))
    }

    /// The voxels `start..end` (D, H, W) of [`Autoencoder::decode`], for less. Without norms over the image only the latents
    /// that the box depends on are decoded (equal up to rounding); with them, only what follows the last norm is limited to
    /// the box (equal to the bit).
    ///
    /// # Shapes
    /// `[B, 8, d, h, w]` → `[B, 1, D', H', W']` with the box's sides.
    pub fn decode_within(&self, z: Tensor<5>, start: [usize; 3], end: [usize; 3]) -> Tensor<5> {
        let volume = image_sides(&z, self.form.levels);
        assert!((0..3).all(|a| start[a] < end[a] && end[a] <= volume[a]), "{start:?}..{end:?} of {volume:?}");
        let (z, start, end) = match self.form.norm.groups {
            0 => self.latents_of(z, start, end),
            _ => (z, start, end),
        };
        let volume = image_sides(&z, self.form.levels);
        let [b, _, d, h, w] = z.dims();
        let z = self.lookup(self.indices(z), [b, d, h, w]);
        self.decode_plain(&z, Frame { volume, start, end }).unwrap_or_else(|| {
            let [d, h, w] = [0, 1, 2].map(|a| start[a]..end[a]);
            self.decode_quantised(z).slice([0..b, 0..1, d, h, w])
        })
    }

    /// The latents that the voxels `start..end` depend on when no norm sees the whole image, and the box in their image.
    fn latents_of(
        &self,
        z: Tensor<5>,
        start: [usize; 3],
        end: [usize; 3],
    ) -> (Tensor<5>, [usize; 3], [usize; 3]) {
        let (unit, margin) = (self.unit_vox(), decoder_reach(self.form.levels));
        let [b, c, d, h, w] = z.dims();
        let first = start.map(|v| (v / unit).saturating_sub(margin));
        let last: [usize; 3] = std::array::from_fn(|a| (end[a].div_ceil(unit) + margin).min([d, h, w][a]));
        let [d, h, w] = [0, 1, 2].map(|a| first[a]..last[a]);
        let moved = |v: [usize; 3]| std::array::from_fn(|a| v[a] - unit * first[a]);
        (z.slice([0..b, 0..c, d, h, w]), moved(start), moved(end))
    }

    /// The codebook.
    pub fn codebook(&self) -> &Codebook {
        &self.codebook
    }

    /// The name in the published state dict of the parameter at a field path of [`Autoencoder`].
    pub fn published_name(path: &str) -> String {
        let segment = |s: &str| match s {
            "conv_first" | "down" | "conv1" | "conv2" | "conv_last" | "pre_vq_conv" | "post_vq_conv" => {
                format!("{s}.conv")
            }
            "up" => "up.convt".into(),
            "final_block" => "final_block.0".into(),
            "n" => "N".into(),
            other => other.into(),
        };
        path.split('.').map(segment).collect::<Vec<String>>().join(".")
    }
}

impl Autoencoder {
    /// The autoencoder of a Run.
    ///
    /// # Errors
    /// When the Run holds another kind of model, or its weights are not what its description says.
    pub fn open(run: &Run, device: &Device) -> Result<Self> {
        let model = run.autoencoder_config()?.init(device);
        fill_from_run(model, run, Self::published_name)
    }
}
