//! The encoder of Swin UNETR: patches become tokens, which attend to each other within windows and are merged (Liu et
//! al. 2021, sections 3.1 and 3.2, in three dimensions).
use super::config::{STAGES, SwinUnetrConfig, SwinVariant};
use crate::nn::activation::{Activation, activate};
use crate::nn::elementwise::add;
use crate::nn::layer_norm::layer_norm;
use crate::nn::{Conv3d, LayerNorm, Linear, WindowAttention, WindowAttentionConfig};
use crate::segmentation::blocks::conv;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// Of every LayerNorm (PyTorch's default).
const EPS: f64 = 1e-5;
/// Hidden channels of a block's perceptron as a multiple of its own (authors' code).
const MLP_RATIO: usize = 4;

/// Patches of 2³ voxels to tokens, then four stages of blocks, each with a merging at its end.
#[derive(Module, Debug)]
pub(super) struct Transformer {
    patch_embed: Conv3d,
    stages: Vec<Stage>,
}

#[derive(Module, Debug)]
struct Stage {
    blocks: Vec<Block>,
    downsample: Merging,
}

/// x + attention(norm x), then x + perceptron(norm x).
#[derive(Module, Debug)]
struct Block {
    norm1: LayerNorm,
    attention: WindowAttention,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

/// Eight tokens to one of twice the channels.
#[derive(Module, Debug)]
struct Merging {
    norm: LayerNorm,
    reduction: Linear,
    #[module(skip)]
    variant: SwinVariant,
}

impl Block {
    fn new(config: &SwinUnetrConfig, stage: usize, number: usize, device: &Device) -> Self {
        let channels = config.width(stage);
        let attention = WindowAttentionConfig {
            channels,
            heads: config.heads[stage],
            window: config.window,
            shift: if number.is_multiple_of(2) { 0 } else { config.window / 2 },
            index: config.variant.index(),
        };
        Self {
            norm1: LayerNorm::new(channels, EPS, device),
            attention: attention.init(device),
            norm2: LayerNorm::new(channels, EPS, device),
            fc1: Linear::new(channels, MLP_RATIO * channels, device),
            fc2: Linear::new(MLP_RATIO * channels, channels, device),
        }
    }

    /// Tokens `[B, D, H, W, C]` → the same.
    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let x = add(x.clone(), self.attention.forward(self.norm1.forward(x)));
        let dims @ [b, d, h, w, c] = x.dims();
        let rows = self.norm2.forward(x.clone()).reshape([b * d * h * w, c]);
        let y = self.fc2.forward(activate(self.fc1.forward(rows), &Activation::Gelu));
        add(x, y.reshape(dims))
    }
}

impl Merging {
    fn new(channels: usize, variant: SwinVariant, device: &Device) -> Self {
        Self {
            norm: LayerNorm::new(8 * channels, EPS, device),
            reduction: Linear::without_bias(8 * channels, 2 * channels, device),
            variant,
        }
    }

    /// Tokens `[B, D, H, W, C]` → `[B, D / 2, H / 2, W / 2, 2 C]`.
    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let [b, d, h, w, c] = x.dims();
        let rows = self.norm.forward(merged(x, self.variant));
        self.reduction.forward(rows).reshape([b, d / 2, h / 2, w / 2, 2 * c])
    }
}

/// Tokens `[B, D, H, W, C]` with even sides → rows `[B * D/2 * H/2 * W/2, 8 C]` of the tokens that merging joins.
fn merged(x: Tensor<5>, variant: SwinVariant) -> Tensor<2> {
    let [b, d, h, w, c] = x.dims();
    assert!([d, h, w].iter().all(|n| n.is_multiple_of(2)), "merging of {d} × {h} × {w} tokens");
    let [slices, h, w] = [b * d / 2, h / 2, w / 2];
    let pairs = x.reshape([slices, 2, h, 2, w, 2 * c]);
    let part = |[i, j, k]: [usize; 3]| {
        let ranges = [0..slices, i..i + 1, 0..h, j..j + 1, 0..w, k * c..(k + 1) * c];
        pairs.clone().slice(ranges).reshape([slices * h * w, c])
    };
    Tensor::cat(variant.merged().map(part).into(), 1) // [rows, 8 C]
}

impl Transformer {
    pub(super) fn new(config: &SwinUnetrConfig, device: &Device) -> Self {
        let stage = |i: usize| Stage {
            blocks: (0..config.depths[i]).map(|n| Block::new(config, i, n, device)).collect(),
            downsample: Merging::new(config.width(i), config.variant, device),
        };
        Self {
            patch_embed: conv([config.inputs, config.feature_size], 2, 2, true, device),
            stages: (0..STAGES).map(stage).collect(),
        }
    }

    /// `[B, 1, D, H, W]` → the patch embedding `[B, C, D/2, H/2, W/2]` and each stage's result, of twice the channels and
    /// half the sides of the one before, all normalised over the channels (without weights).
    pub(super) fn forward(&self, x: Tensor<5>) -> Vec<Tensor<5>> {
        let volume = |tokens: &Tensor<5>| layer_norm(tokens.clone(), None, EPS).permute([0, 4, 1, 2, 3]);
        let mut x = self.patch_embed.forward(x).permute([0, 2, 3, 4, 1]);
        let mut results = vec![volume(&x)];
        for stage in &self.stages {
            x = stage.blocks.iter().fold(x, |x, block| block.forward(x));
            x = stage.downsample.forward(x);
            results.push(volume(&x));
        }
        results
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use std::collections::BTreeSet;

    /// Tokens with their own number in place of channels: each row holds the eight that it merges.
    fn tokens_of_rows(sides: [usize; 4], variant: SwinVariant) -> Vec<Vec<usize>> {
        let [b, d, h, w] = sides;
        let numbers: Vec<f32> = (0..b * d * h * w).map(|i| i as f32).collect();
        let x = Tensor::from_data(TensorData::new(numbers, [b, d, h, w, 1]), &Device::flex());
        let rows = merged(x, variant).into_data().try_to_vec::<f32>().unwrap();
        rows.chunks_exact(8).map(|row| row.iter().map(|v| *v as usize).collect()).collect()
    }

    #[test]
    fn the_corrected_merging_takes_every_token_once_and_neighbours_only() {
        let [b, d, h, w] = [2, 4, 2, 6];
        let rows = tokens_of_rows([b, d, h, w], SwinVariant::Corrected);
        let all: Vec<usize> = rows.iter().flatten().copied().collect();
        assert_eq!(all.len(), b * d * h * w);
        assert_eq!(all.iter().copied().collect::<BTreeSet<_>>().len(), all.len());
        for (n, row) in rows.iter().enumerate() {
            let place = |t: usize| [t / (d * h * w), t / (h * w) % d / 2, t / w % h / 2, t % w / 2];
            let want = [n / (d / 2 * 3), n / 3 % (d / 2), 0, n % 3]; // one row of tokens in h, three in w
            assert!(row.iter().all(|t| place(*t) == want), "{n}: {row:?}");
        }
    }

    /// 2³ tokens: number 4 d + 2 h + w. 110 and 011 are missing, 010 and 001 come twice.
    #[test]
    fn the_published_merging_forgets_two_of_eight() {
        assert_eq!(tokens_of_rows([1, 2, 2, 2], SwinVariant::Published), [[0, 4, 2, 1, 5, 2, 1, 7]]);
        assert_eq!(tokens_of_rows([1, 2, 2, 2], SwinVariant::Corrected), [[0, 4, 2, 1, 5, 6, 3, 7]]);
    }
}
