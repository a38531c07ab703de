//! `x + Attention(LayerNorm(x))` along the depth or within slices, fused on the CPU with its gradients.
use super::conv3d::{per_item, uniform};
use super::cpu::Values;
pub use super::cpu::attention::Axis;
use super::cpu::attention::{Kind, Weights, attention};
use super::cpu::attention_grad::attention_gradients;
use super::cpu::tape::{Gradient, Operand, record};
use burn::module::{Initializer, Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};

/// How the members of a sequence see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionKind {
    /// Softmax attention.
    Softmax,
    /// Linear attention: softmax of q over channels and of k over positions.
    Linear,
}

/// Makes an [`Attention`].
#[derive(Clone, Copy, Debug)]
pub struct AttentionConfig {
    /// Channels of x.
    pub channels: usize,
    /// Number of heads.
    pub heads: usize,
    /// Channels of one head.
    pub head_channels: usize,
    /// Along which axis the sequences run.
    pub axis: Axis,
    /// Softmax or linear.
    pub kind: AttentionKind,
    /// Whether the output projection has a bias.
    pub out_bias: bool,
}

/// Position information for softmax attention along an axis of length n.
#[derive(Clone, Debug)]
pub struct Positions {
    /// cos and sin of each position's rotary angles, `[n, head_channels / 2]`.
    pub rotary: (Tensor<2>, Tensor<2>),
    /// Added to the scaled products, `[heads, query, key]`.
    pub bias: Tensor<3>,
}

/// Pre-normalised attention with its residual.
#[derive(Module, Debug)]
pub struct Attention {
    /// LayerNorm weight `[C]`.
    pub gamma: Param<Tensor<1>>,
    /// `[3 * heads * head_channels, C]`, no bias.
    pub to_qkv: Param<Tensor<2>>,
    /// `[C, heads * head_channels]`.
    pub to_out: Param<Tensor<2>>,
    /// `[C]`.
    pub out_bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    config: Settings,
}

/// The part of the configuration that the forward pass needs.
#[derive(Clone, Copy, Debug)]
struct Settings {
    heads: usize,
    head_channels: usize,
    axis: Axis,
    kind: AttentionKind,
}

impl AttentionConfig {
    /// A layer with random weights.
    pub fn init(&self, device: &Device) -> Attention {
        let (c, inner) = (self.channels, self.heads * self.head_channels);
        Attention {
            gamma: Initializer::Ones.init([c], device),
            to_qkv: uniform(c).init([3 * inner, c], device),
            to_out: uniform(inner).init([c, inner], device),
            out_bias: self.out_bias.then(|| uniform(inner).init([c], device)),
            config: Settings {
                heads: self.heads,
                head_channels: self.head_channels,
                axis: self.axis,
                kind: self.kind,
            },
        }
    }
}

impl Attention {
    /// `[B, C, F, H, W]` → the same. `positions` only with softmax attention.
    pub fn forward(&self, x: Tensor<5>, positions: Option<&Positions>) -> Tensor<5> {
        match self.forward_cpu(&x, positions) {
            Some(y) => y,
            None => self.forward_any(x, positions),
        }
    }

    /// `None` unless all tensors lie on the CPU.
    fn forward_cpu(&self, x: &Tensor<5>, positions: Option<&Positions>) -> Option<Tensor<5>> {
        let positions = positions.filter(|_| self.config.kind == AttentionKind::Softmax);
        let operands = [
            Operand::of(x)?,
            Operand::of(&self.gamma.val())?,
            Operand::of(&self.to_qkv.val())?,
            Operand::of(&self.to_out.val())?,
            self.out_bias.as_ref().map_or_else(|| Some(Operand::absent()), |b| Operand::of(&b.val()))?,
            positions.map_or_else(|| Some(Operand::absent()), |p| Operand::of(&p.bias))?,
        ];
        let rotary = match positions {
            Some(p) => Some((Operand::of(&p.rotary.0)?.values(), Operand::of(&p.rotary.1)?.values())),
            None => None,
        };
        let saved = Saved {
            operands: operands.each_ref().map(Operand::values),
            rotary,
            out_bias: self.out_bias.is_some(),
            config: self.config,
            dims: x.dims(),
        };
        let y = saved.forward();
        Some(record(operands, y, x.dims(), move |grad, _| saved.gradients(grad)))
    }

    /// The same in Burn's operations, for tensors that do not lie on the CPU.
    pub fn forward_any(&self, x: Tensor<5>, positions: Option<&Positions>) -> Tensor<5> {
        let s = &self.config;
        let [b, c, f, h, w] = x.dims();
        let (var, mean) = x.clone().var_mean_bias(1);
        let y = (x.clone() - mean) / (var + 1e-5).sqrt() * self.gamma.val().reshape([1, c, 1, 1, 1]);
        // [sequences, length, C]
        let (order, n, len): ([isize; 5], _, _) = match s.axis {
            Axis::Depth => ([0, 3, 4, 2, 1], b * h * w, f),
            Axis::Slice => ([0, 2, 3, 4, 1], b * f, h * w),
        };
        let rows = y.permute(order).reshape([n * len, c]);
        let inner = s.heads * s.head_channels;
        let qkv = rows.matmul(self.to_qkv.val().transpose()).reshape([n, len, 3, s.heads, s.head_channels]);
        let part = |i: usize| {
            qkv.clone()
                .slice([0..n, 0..len, i..i + 1])
                .reshape([n, len, s.heads, s.head_channels])
                .swap_dims(1, 2)
        };
        let (q, k, v) = (part(0), part(1), part(2)); // [n, heads, len, head_channels]
        let scale = (s.head_channels as f64).powf(-0.5);
        let attended = match s.kind {
            AttentionKind::Linear => {
                let q = softmax(q, 3) * scale;
                let k = softmax(k, 2);
                q.matmul(k.swap_dims(2, 3).matmul(v))
            }
            AttentionKind::Softmax => {
                let (mut q, mut k) = (q * scale, k);
                let mut bias = None;
                if let Some(p) = positions {
                    (q, k) = (rotate(q, &p.rotary), rotate(k, &p.rotary));
                    bias = Some(p.bias.clone().unsqueeze::<4>());
                }
                let scores = q.matmul(k.swap_dims(2, 3));
                let scores = match bias {
                    Some(b) => scores + b,
                    None => scores,
                };
                softmax(scores, 3).matmul(v)
            }
        };
        let rows = attended.swap_dims(1, 2).reshape([n * len, inner]).matmul(self.to_out.val().transpose());
        let rows = match &self.out_bias {
            Some(b) => rows + b.val().unsqueeze(),
            None => rows,
        };
        let y = match s.axis {
            Axis::Depth => rows.reshape([b, h, w, f, c]).permute([0, 4, 3, 1, 2]),
            Axis::Slice => rows.reshape([b, f, h, w, c]).permute([0, 4, 1, 2, 3]),
        }; // [B, C, F, H, W]
        x + y
    }
}

/// What the kernels need, in the forward pass and again in the backward pass.
struct Saved {
    /// x, gamma, to_qkv, to_out, out_bias, bias of the scores; the last two may be absent.
    operands: [Values; 6],
    /// Given with the bias of the scores, or not at all.
    rotary: Option<(Values, Values)>,
    out_bias: bool,
    config: Settings,
    dims: [usize; 5],
}

impl Saved {
    fn weights(&self) -> (Weights<'_>, Kind<'_>) {
        let [_, gamma, to_qkv, to_out, out_bias, bias] = self.operands.each_ref().map(Values::get);
        let weights = Weights {
            gamma,
            to_qkv,
            to_out,
            out_bias: self.out_bias.then_some(out_bias),
            heads: self.config.heads,
            head_channels: self.config.head_channels,
        };
        let kind = match self.config.kind {
            AttentionKind::Linear => Kind::Linear,
            AttentionKind::Softmax => Kind::Softmax {
                rotary: self.rotary.as_ref().map(|(cos, sin)| (cos.get(), sin.get())),
                bias: self.rotary.is_some().then_some(bias),
            },
        };
        (weights, kind)
    }

    fn forward(&self) -> Vec<f32> {
        let [b, c, f, h, w] = self.dims;
        let (weights, kind) = self.weights();
        per_item(b, self.operands[0].get(), c * f * h * w, |_, item| {
            attention(item, c, f, h * w, self.config.axis, &weights, &kind)
        })
    }

    fn gradients(&self, grad: &[f32]) -> [Gradient; 6] {
        let [_, c, f, h, w] = self.dims;
        let (weights, kind) = self.weights();
        let x = self.operands[0].get();
        let found = attention_gradients(x, grad, [c, f, h * w], self.config.axis, &weights, &kind);
        [
            Gradient::Of(found.x),
            Gradient::Of(found.gamma),
            Gradient::Of(found.to_qkv),
            Gradient::Of(found.to_out),
            Gradient::when(self.out_bias, || found.out_bias),
            Gradient::when(self.rotary.is_some(), || found.bias),
        ]
    }
}

/// Interleaved pairs (2j, 2j+1): (a, b) → (a cos − b sin, b cos + a sin). `x` `[n, heads, len, head_channels]`.
pub fn rotate(x: Tensor<4>, (cos, sin): &(Tensor<2>, Tensor<2>)) -> Tensor<4> {
    let [n, heads, len, c] = x.dims();
    let pairs = x.reshape([n, heads, len, c / 2, 2]);
    let half = |i: usize| pairs.clone().slice([0..n, 0..heads, 0..len, 0..c / 2, i..i + 1]);
    let angles = |t: &Tensor<2>| t.clone().reshape([1, 1, len, c / 2, 1]);
    let (a, b, cos, sin) = (half(0), half(1), angles(cos), angles(sin));
    let even = a.clone() * cos.clone() - b.clone() * sin.clone();
    let odd = b * cos + a * sin;
    Tensor::cat(vec![even, odd], 4).reshape([n, heads, len, c])
}
