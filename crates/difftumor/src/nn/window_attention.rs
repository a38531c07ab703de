//! Attention within shifted windows of a volume of tokens (Swin UNETR), fused on the CPU with its gradients.
use super::cpu::Values;
use super::cpu::tape::{Gradient, Operand, record};
use super::cpu::window_attention::{WindowWeights, window_attention};
use super::cpu::window_attention_grad::window_gradients;
pub use super::cpu::window_attention_layout::{RelativeIndex, Windows};
use super::linear::Linear;
use burn::module::{Initializer, Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Makes a [`WindowAttention`].
#[derive(Clone, Copy, Debug)]
pub struct WindowAttentionConfig {
    /// Channels of a token.
    pub channels: usize,
    /// Number of heads.
    pub heads: usize,
    /// Side of a window (published: 7). Along a shorter axis it shrinks to the axis.
    pub window: usize,
    /// How far windows are shifted (published: 3 in every second block, else 0).
    pub shift: usize,
    /// Which relative positions shrunk windows take.
    pub index: RelativeIndex,
}

/// Multi-head attention within windows, with a bias by relative position. Neither norm nor residual.
#[derive(Module, Debug)]
pub struct WindowAttention {
    /// `[3 * C, C]` and bias.
    pub qkv: Linear,
    /// `[C, C]` and bias.
    pub proj: Linear,
    /// `[(2 * window - 1)³, heads]`.
    pub relative_position_bias_table: Param<Tensor<2>>,
    #[module(skip)]
    config: Settings,
}

/// The part of the configuration that the forward pass needs.
#[derive(Clone, Copy, Debug)]
struct Settings {
    heads: usize,
    window: usize,
    shift: usize,
    index: RelativeIndex,
}

impl WindowAttentionConfig {
    /// A layer with random weights.
    pub fn init(&self, device: &Device) -> WindowAttention {
        let c = self.channels;
        assert!(c.is_multiple_of(self.heads), "{c} channels in {} heads", self.heads);
        let entries = (2 * self.window - 1).pow(3);
        WindowAttention {
            qkv: Linear::new(c, 3 * c, device),
            proj: Linear::new(c, c, device),
            relative_position_bias_table: Initializer::Normal { mean: 0.0, std: 0.02 }
                .init([entries, self.heads], device),
            config: Settings { heads: self.heads, window: self.window, shift: self.shift, index: self.index },
        }
    }
}

impl WindowAttention {
    /// Tokens `[B, D, H, W, C]` → the same.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        match self.forward_cpu(&x) {
            Some(y) => y,
            None => self.forward_any(x),
        }
    }

    fn windows(&self, [_, d, h, w, _]: [usize; 5]) -> (Windows, Vec<usize>) {
        let windows = Windows::new([d, h, w], self.config.window, self.config.shift);
        (windows, windows.relative_index(self.config.window, self.config.index))
    }

    /// `None` unless all tensors lie on the CPU.
    fn forward_cpu(&self, x: &Tensor<5>) -> Option<Tensor<5>> {
        let operands = [
            Operand::of(x)?,
            Operand::of(&self.qkv.weight.val())?,
            Operand::of(&self.qkv.bias.as_ref().expect("made with a bias").val())?,
            Operand::of(&self.proj.weight.val())?,
            Operand::of(&self.proj.bias.as_ref().expect("made with a bias").val())?,
            Operand::of(&self.relative_position_bias_table.val())?,
        ];
        let (windows, index) = self.windows(x.dims());
        let saved = Saved {
            operands: operands.each_ref().map(Operand::values),
            windows,
            index,
            heads: self.config.heads,
            volume: x.dims()[1..4].iter().product(),
        };
        let y = saved.forward();
        Some(record(operands, y, x.dims(), move |grad, _| saved.gradients(grad)))
    }

    /// The same in Burn's operations, for tensors that do not lie on the CPU.
    pub fn forward_any(&self, x: Tensor<5>) -> Tensor<5> {
        let (device, dims) = (x.device(), x.dims());
        let [b, d, h, w, c] = dims;
        let (windows, index) = self.windows(dims);
        let (count, n, volume, heads) = (windows.count(), windows.tokens(), d * h * w, self.config.heads);
        let hc = c / heads;
        let ints = |v: Vec<i64>| {
            let len = v.len();
            Tensor::<1, Int>::from_data(TensorData::new(v, [len]), &device)
        };
        // The token behind the last one is the padding's zero.
        let sources: Vec<usize> =
            (0..count).flat_map(|i| windows.sources(i)).map(|s| s.unwrap_or(volume)).collect();
        let mut back = vec![0i64; volume];
        for (at, source) in sources.iter().enumerate().filter(|(_, s)| **s < volume) {
            back[*source] = at as i64;
        }
        let tokens = Tensor::cat(vec![x.reshape([b, volume, c]), Tensor::zeros([b, 1, c], &device)], 1);
        let tokens = tokens.select(1, ints(sources.iter().map(|s| *s as i64).collect()));
        let qkv = self.qkv.forward(tokens.reshape([b * count * n, c]));
        let qkv = qkv.reshape([b * count, n, 3, heads * hc]);
        let part = |i: usize| {
            let part = qkv.clone().slice([0..b * count, 0..n, i..i + 1]).reshape([b, count, n, heads, hc]);
            part.swap_dims(2, 3) // [b, count, heads, n, hc]
        };
        let (q, k, v) = (part(0) * (hc as f64).powf(-0.5), part(1), part(2));
        let table = self.relative_position_bias_table.val();
        let bias = table.select(0, ints(index.iter().map(|i| *i as i64).collect()));
        let bias = bias.reshape([1, 1, n, n, heads]).permute([0, 1, 4, 2, 3]);
        let mut scores = q.matmul(k.swap_dims(3, 4)) + bias;
        if windows.masked() {
            let regions: Vec<f32> = (0..count).flat_map(|i| windows.regions(i)).collect();
            let regions = Tensor::<1>::from_data(TensorData::new(regions, [count * n]), &device);
            let other = regions.clone().reshape([1, count, 1, n, 1]) - regions.reshape([1, count, 1, 1, n]);
            scores = scores + other.not_equal_elem(0.0).float() * -100.0;
        }
        let y = softmax(scores, 4).matmul(v).swap_dims(2, 3).reshape([b * count * n, c]);
        self.proj.forward(y).reshape([b, count * n, c]).select(1, ints(back)).reshape(dims) // [B, D, H, W, C]
    }
}

/// What the kernels need, in the forward pass and again in the backward pass.
struct Saved {
    /// x, qkv and its bias, proj and its bias, table.
    operands: [Values; 6],
    windows: Windows,
    index: Vec<usize>,
    heads: usize,
    volume: usize,
}

impl Saved {
    fn weights(&self) -> WindowWeights<'_> {
        let [_, qkv, qkv_bias, proj, proj_bias, table] = self.operands.each_ref().map(Values::get);
        WindowWeights { qkv, qkv_bias, proj, proj_bias, table, index: &self.index, heads: self.heads }
    }

    fn forward(&self) -> Vec<f32> {
        window_attention(self.operands[0].get(), self.windows, self.volume, self.weights())
    }

    fn gradients(&self, grad: &[f32]) -> [Gradient; 6] {
        let x = self.operands[0].get();
        let found = window_gradients(x, grad, self.windows, self.volume, self.weights());
        [found.x, found.qkv, found.qkv_bias, found.proj, found.proj_bias, found.table].map(Gradient::Of)
    }
}
