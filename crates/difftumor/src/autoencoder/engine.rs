//! The autoencoder without gradients on the CPU: activations stay channels-last from layer to layer, and norms, SiLU,
//! padding and residuals are part of the convolutions (`nn/cpu/fused.rs`).
//!
//! Two buffers of the largest activations are alive at a time, where layer by layer there were five.
use crate::nn::cpu::channels_last::{ChannelsLast, Frame, Moments, Pool};
use crate::nn::cpu::fused::{Kind, Layer};
use crate::nn::cpu::minimal::WIDEST_TILE;
use crate::nn::cpu::narrow::{norm_silu_narrow, to_image, widen};
use crate::nn::cpu::rows::{ImageConv, Rows, fills_blocks};
use crate::nn::cpu::{self, Values};
use crate::nn::{Conv3d, ConvTranspose3d, GroupNorm};
use burn::tensor::Tensor;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

const BIASED: &str = "every convolution of the autoencoder has a bias";

/// A layer's parameters in the order in which engines take them.
#[derive(Default)]
pub(super) struct Parameters(Vec<Values>);

impl Parameters {
    /// Appends a weight and a bias; `None` when they are not on the plain CPU device.
    fn push<const D: usize>(&mut self, weight: Tensor<D>, bias: Tensor<1>) -> Option<()> {
        self.0.extend([cpu::values(&weight)?, cpu::values(&bias)?]);
        Some(())
    }
    pub(super) fn conv(&mut self, layer: &Conv3d) -> Option<()> {
        self.push(layer.weight.val(), layer.bias.as_ref().expect(BIASED).val())
    }
    pub(super) fn up(&mut self, layer: &ConvTranspose3d) -> Option<()> {
        self.push(layer.weight.val(), layer.bias.as_ref().expect(BIASED).val())
    }
    pub(super) fn norm(&mut self, layer: &GroupNorm) -> Option<()> {
        self.push(layer.weight.val(), layer.bias.val())
    }
}

/// Reads [`Parameters`] in their order.
struct Reader<'a>(std::slice::Iter<'a, Values>);

impl<'a> Reader<'a> {
    fn next(&mut self) -> [&'a [f32]; 2] {
        let mut values = || self.0.next().expect("as many parameters as layers").get();
        [values(), values()]
    }
    fn layer(&mut self, kind: Kind) -> Layer {
        let [weight, bias] = self.next();
        Layer::new(kind, weight, bias)
    }
    fn narrow(&mut self) -> Narrow {
        let [weight, bias] = self.next();
        Narrow { weight: weight.to_vec(), bias: bias.to_vec() }
    }
    fn norm(&mut self, form: NormForm) -> Norm {
        let [weight, bias] = self.next();
        Norm { form, weight: weight.to_vec(), bias: bias.to_vec() }
    }
    fn res(&mut self, form: NormForm) -> Res {
        Res {
            norm1: self.norm(form),
            conv1: self.layer(Kind::Same),
            norm2: self.norm(form),
            conv2: self.layer(Kind::Same),
        }
    }
}

/// Groups and epsilon of every norm. 0 groups: nothing is normalised, weight and bias alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NormForm {
    pub groups: usize,
    pub eps: f64,
}

struct Norm {
    form: NormForm,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Norm {
    fn of(&self, moments: &Moments) -> [Vec<f32>; 2] {
        if self.form.groups == 0 {
            return [self.weight.clone(), self.bias.clone()];
        }
        moments.group_norm(self.form.groups, self.form.eps, &self.weight, &self.bias)
    }
}

/// A convolution with few channels on one side.
struct Narrow {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// `x + conv2(silu(norm2(conv1(silu(norm1 x)))))`.
struct Res {
    norm1: Norm,
    conv1: Layer,
    norm2: Norm,
    conv2: Layer,
}

impl Res {
    /// In place; `moments` are those of `x`, the result's are returned.
    fn run(&self, x: &mut ChannelsLast, moments: &Moments, pool: &Pool) -> Moments {
        let (y, norm) = self.first_half(x, moments, pool);
        let moments = self.conv2.run(&Rows::Normalised(&y, &norm), x, true);
        pool.give(y);
        moments
    }

    /// What `conv2` reads: its input and norm.
    fn first_half(&self, x: &ChannelsLast, moments: &Moments, pool: &Pool) -> (ChannelsLast, [Vec<f32>; 2]) {
        let mut y = pool.take(x.channels, x.frame);
        let moments = self.conv1.run(&Rows::Normalised(x, &self.norm1.of(moments)), &mut y, false);
        (y, self.norm2.of(&moments))
    }

    /// The result in the box `frame` alone.
    fn run_box(&self, x: ChannelsLast, moments: &Moments, frame: Frame, pool: &Pool) -> ChannelsLast {
        let (y, norm) = self.first_half(&x, moments, pool);
        let mut out = x.cut(frame);
        self.conv2.run(&Rows::Normalised(&y, &norm), &mut out, true);
        pool.give(y);
        out
    }
}

/// Image → latents.
pub(super) struct EncoderEngine {
    first: Narrow,
    blocks: Vec<(Layer, Res)>,
    norm: Norm,
    last: Narrow,
}

impl EncoderEngine {
    /// Parameters in the order of the encoder's layers, then those of the convolution to latents.
    fn new(parameters: &Parameters, levels: usize, form: NormForm) -> Self {
        let mut read = Reader(parameters.0.iter());
        Self {
            first: read.narrow(),
            blocks: (0..levels).map(|_| (read.layer(Kind::Down), read.res(form))).collect(),
            norm: read.norm(form),
            last: read.narrow(),
        }
    }

    /// `[D, H, W]` → `[latent channels, D', H', W']`.
    pub(super) fn run(&self, image: &[f32], sides: [usize; 3]) -> Vec<f32> {
        let pool = Pool::default();
        let first = ImageConv::new(image, sides, &self.first.weight, &self.first.bias);
        let mut below: Option<(ChannelsLast, Moments)> = None;
        let mut frame = Frame::whole(sides);
        for (down, res) in &self.blocks {
            frame = Frame::whole(frame.volume.map(|n| n / 2));
            let mut x = pool.take(down.channels()[1], frame);
            let moments = match below {
                None => down.run(&Rows::Image(&first), &mut x, false),
                Some((y, _)) => {
                    let moments = down.run(&Rows::Plain(&y), &mut x, false);
                    pool.give(y);
                    moments
                }
            };
            let moments = res.run(&mut x, &moments, &pool);
            below = Some((x, moments));
        }
        let (x, moments) = below.expect("at least one level");
        norm_silu_narrow(&x, &self.norm.of(&moments), &self.last.weight, &self.last.bias)
    }
}

/// Latents that are codes → image.
pub(super) struct DecoderEngine {
    first: Narrow,
    norm: Norm,
    blocks: Vec<(Layer, [Res; 2])>,
    last: Narrow,
}

impl DecoderEngine {
    /// Parameters of the convolution from latents, then in the order of the decoder's layers.
    fn new(parameters: &Parameters, levels: usize, form: NormForm) -> Self {
        let mut read = Reader(parameters.0.iter());
        Self {
            first: read.narrow(),
            norm: read.norm(form),
            blocks: (0..levels).map(|_| (read.layer(Kind::Up), [read.res(form), read.res(form)])).collect(),
            last: read.narrow(),
        }
    }

    /// `[latent channels, d, h, w]` → `[D, H, W]` of the box `frame` of the image: to the bit what a whole decode has
    /// there, because norms are those of the whole image. Only the layers behind the last norm are spared.
    ///
    /// Norms from a part of the image would spare more and cannot be had: on three crops of the example scan, with the
    /// golden weights, moments of an eighth of the voxels of the last level (every other 4³ block on each axis) changed
    /// tumors by up to 9 to 32 HU, and half of the voxels still by 0.8 to 70 HU (`tests/networks/sampled_norms.rs`).
    pub(super) fn run(&self, z: &[f32], sides: [usize; 3], frame: Frame) -> Vec<f32> {
        let pool = Pool::default();
        let mut x = pool.take(self.first.bias.len(), Frame::whole(sides));
        let moments = widen(z, &self.first.weight, &self.first.bias, &mut x);
        let mut norm = Some(self.norm.of(&moments));
        for (i, (up, [res1, res2])) in self.blocks.iter().enumerate() {
            // Too small for this level: 56 MB at 96³.
            pool.forget();
            let mut y = pool.take(up.channels()[1], Frame::whole(x.frame.volume.map(|n| 2 * n)));
            let moments = match norm.take() {
                Some(norm) => up.run(&Rows::Normalised(&x, &norm), &mut y, false),
                None => up.run(&Rows::Plain(&x), &mut y, false),
            };
            x = y;
            pool.forget(); // the level below's last activations: 28 MB at 96³
            let moments = res1.run(&mut x, &moments, &pool);
            let needed = frame.grown(1).aligned(WIDEST_TILE);
            if i + 1 == self.blocks.len() && needed != x.frame {
                x = res2.run_box(x, &moments, needed, &pool);
            } else {
                res2.run(&mut x, &moments, &pool);
            }
        }
        to_image(&x, &self.last.weight, self.last.bias[0], frame)
    }
}

/// What an engine is made from.
pub(super) trait Engine: Sized {
    fn build(parameters: &Parameters, levels: usize, form: NormForm) -> Self;
}
impl Engine for EncoderEngine {
    fn build(parameters: &Parameters, levels: usize, form: NormForm) -> Self {
        Self::new(parameters, levels, form)
    }
}
impl Engine for DecoderEngine {
    fn build(parameters: &Parameters, levels: usize, form: NormForm) -> Self {
        Self::new(parameters, levels, form)
    }
}

/// Whether engines can take layers of these channels: those of the image, and of every level from the image's on.
pub(super) fn applies(image: usize, levels: &[usize]) -> bool {
    // 16 fills the vectors of every machine.
    image == 1 && levels[0].is_multiple_of(16) && levels[1..].iter().all(|c| fills_blocks(*c))
}

/// The engine of the parameters that it was last asked for: mapping the weights costs as much as a twentieth of a decode.
/// It keeps those parameters, so that equal addresses mean equal parameters.
pub(super) struct Cache<E>(Mutex<Option<(Parameters, Arc<E>)>>);

impl<E: Engine> Cache<E> {
    pub(super) fn get(&self, parameters: Parameters, levels: usize, form: NormForm) -> Arc<E> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |a: &Parameters| {
            let address = |v: &Values| (v.get().as_ptr(), v.get().len());
            a.0.iter().map(address).eq(parameters.0.iter().map(address))
        };
        match &*held {
            Some((of, engine)) if same(of) => engine.clone(),
            _ => {
                let engine = Arc::new(E::build(&parameters, levels, form));
                *held = Some((parameters, engine.clone()));
                engine
            }
        }
    }
}

impl<E> Default for Cache<E> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

/// A copy of a model starts without: its weights may become others.
impl<E> Clone for Cache<E> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<E> fmt::Debug for Cache<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}
