//! Names and shapes of the tensors that each architecture consists of, computed from its config: what an imported file
//! must hold, and what a Run does hold. The names are the published ones; each component has its own names, without the
//! prefixes `denoise_fn.` and `vqgan.` that it gets inside a diffusion checkpoint.
//!
//! Buffers that are computed (the schedule, the rotary frequencies) are not part of these sets.
use crate::autoencoder::config::AutoencoderConfig;
use crate::autoencoder::perceptual::{LpipsConfig, VGG_STAGES};
use crate::diffusion::config::DiffusionConfig;
use crate::error::Difference;
use std::collections::BTreeMap;

/// Shapes by name.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// What only the training of the autoencoder needs: the discriminators and the perceptual loss.
pub const AUTOENCODER_TRAINING_PARTS: [&str; 3] =
    ["image_discriminator.", "video_discriminator.", "perceptual_model."];

/// Buckets of the relative position bias (authors' code; see the depth attention).
const POSITION_BUCKETS: usize = 32;

/// Compares by name and shape.
pub fn compare(expected: &Shapes, found: &Shapes) -> Difference {
    let not_in = |a: &Shapes, b: &Shapes| {
        a.iter().filter(|(name, _)| !b.contains_key(*name)).map(|(n, s)| (n.clone(), s.clone())).collect()
    };
    let wrong = |(name, shape): (&String, &Vec<usize>)| {
        let other = found.get(name).filter(|other| *other != shape)?;
        Some((name.clone(), shape.clone(), other.clone()))
    };
    Difference {
        missing: not_in(expected, found),
        extra: not_in(found, expected),
        wrong_shape: expected.iter().filter_map(wrong).collect(),
    }
}

/// Collects shapes.
#[derive(Default)]
struct Builder(Shapes);

impl Builder {
    fn tensor(&mut self, name: &str, shape: &[usize]) {
        self.0.insert(name.to_string(), shape.to_vec());
    }

    /// A layer with weight and bias; `[out, in, kernel…]`, and the bias has `bias` elements.
    fn layer(&mut self, name: &str, weight: &[usize], bias: usize) {
        self.tensor(&format!("{name}.weight"), weight);
        self.tensor(&format!("{name}.bias"), &[bias]);
    }

    fn norm(&mut self, name: &str, channels: usize) {
        self.layer(name, &[channels], channels);
    }
}

/// Encoder, decoder, the convolutions around the codebook, and the codebook with its averages: what inference and the
/// diffusion model need (154 tensors less the training parts).
pub fn autoencoder(config: &AutoencoderConfig) -> Shapes {
    let mut b = Builder::default();
    let cube = |out: usize, input: usize, side: usize| vec![out, input, side, side, side];
    let width = |level: usize| config.base_channels << level;
    let deepest = width(config.downsamplings);
    let residual = |b: &mut Builder, name: &str, channels: usize| {
        for i in 1..=2 {
            b.norm(&format!("{name}.norm{i}"), channels);
            b.layer(&format!("{name}.conv{i}.conv"), &cube(channels, channels, 3), channels);
        }
    };

    b.layer("encoder.conv_first.conv", &cube(width(0), config.input_channels, 3), width(0));
    for i in 0..config.downsamplings {
        let block = format!("encoder.conv_blocks.{i}");
        b.layer(&format!("{block}.down.conv"), &cube(width(i + 1), width(i), 4), width(i + 1));
        residual(&mut b, &format!("{block}.res"), width(i + 1));
    }
    b.norm("encoder.final_block.0", deepest);
    b.layer("pre_vq_conv.conv", &cube(config.latent_channels, deepest, 1), config.latent_channels);

    b.tensor("codebook.embeddings", &[config.codes, config.latent_channels]);
    b.tensor("codebook.z_avg", &[config.codes, config.latent_channels]);
    b.tensor("codebook.N", &[config.codes]);

    b.layer("post_vq_conv.conv", &cube(deepest, config.latent_channels, 1), deepest);
    b.norm("decoder.final_block.0", deepest);
    let mut channels = deepest;
    for i in 0..config.downsamplings {
        let (block, out) = (format!("decoder.conv_blocks.{i}"), width(config.downsamplings - i));
        b.layer(&format!("{block}.up.convt"), &cube(channels, out, 4), out); // transposed: [in, out, …]
        residual(&mut b, &format!("{block}.res1"), out);
        residual(&mut b, &format!("{block}.res2"), out);
        channels = out;
    }
    b.layer("decoder.conv_last.conv", &cube(config.input_channels, channels, 3), config.input_channels);
    b.0
}

/// VGG16 up to relu5_3 and LPIPS' heads, by the names that they have inside of an autoencoder's checkpoint.
pub fn perceptual(config: &LpipsConfig) -> Shapes {
    let mut b = Builder::default();
    let mut inputs = 3;
    for (i, convs) in VGG_STAGES.iter().enumerate() {
        for (layer, factor) in *convs {
            let outputs = config.width * factor;
            b.layer(&format!("net.slice{}.{layer}", i + 1), &[outputs, inputs, 3, 3], outputs);
            inputs = outputs;
        }
        b.tensor(&format!("lin{i}.model.1.weight"), &[1, inputs, 1, 1]);
    }
    b.0
}

/// The noise-predicting U-Net.
pub fn diffusion(config: &DiffusionConfig) -> Shapes {
    let mut b = Builder::default();
    let base = config.base_channels;
    let widths: Vec<usize> =
        std::iter::once(base).chain(config.multipliers.iter().map(|m| base * m)).collect();
    let stages = widths.len() - 1;
    let deepest = widths[stages];
    let time = 4 * base;
    let input = 2 * config.latent_channels + 1; // noisy latents, latents of the masked volume, mask

    b.tensor("time_rel_pos_bias.relative_attention_bias.weight", &[POSITION_BUCKETS, config.heads]);
    b.layer("init_conv", &[base, input, 1, 7, 7], base);
    b.sequence_attention(config, "init_temporal_attn", base);
    b.layer("time_mlp.1", &[time, base], time);
    b.layer("time_mlp.3", &[time, time], time);
    for i in 0..stages {
        let stage = format!("downs.{i}");
        b.unet_stage(config, &stage, (widths[i], widths[i + 1]), time);
        if i + 1 < stages {
            b.layer(&format!("{stage}.4"), &[widths[i + 1], widths[i + 1], 1, 4, 4], widths[i + 1]);
        }
    }
    b.residual("mid_block1", (deepest, deepest), Some(time));
    b.sequence_attention(config, "mid_spatial_attn", deepest);
    b.sequence_attention(config, "mid_temporal_attn", deepest);
    b.residual("mid_block2", (deepest, deepest), Some(time));
    for i in 0..stages {
        let (stage, out) = (format!("ups.{i}"), widths[stages - i - 1]);
        b.unet_stage(config, &stage, (2 * widths[stages - i], out), time);
        if i + 1 < stages {
            b.layer(&format!("{stage}.4"), &[out, out, 1, 4, 4], out);
        }
    }
    b.residual("final_conv.0", (2 * base, base), None);
    b.layer("final_conv.1", &[config.latent_channels, base, 1, 1, 1], config.latent_channels);
    b.0
}

impl Builder {
    /// Two residual blocks, slice attention and depth attention.
    fn unet_stage(
        &mut self,
        config: &DiffusionConfig,
        name: &str,
        (input, out): (usize, usize),
        time: usize,
    ) {
        let inner = config.heads * config.head_channels;
        self.residual(&format!("{name}.0"), (input, out), Some(time));
        self.residual(&format!("{name}.1"), (out, out), Some(time));
        self.tensor(&format!("{name}.2.fn.fn.to_qkv.weight"), &[3 * inner, out, 1, 1]);
        self.layer(&format!("{name}.2.fn.fn.to_out"), &[out, inner, 1, 1], out);
        self.tensor(&format!("{name}.2.fn.norm.gamma"), &[1, out, 1, 1, 1]);
        self.sequence_attention(config, &format!("{name}.3"), out);
    }

    /// Attention along the depth axis, or over a slice in the middle: linear layers without bias.
    fn sequence_attention(&mut self, config: &DiffusionConfig, name: &str, channels: usize) {
        let inner = config.heads * config.head_channels;
        self.tensor(&format!("{name}.fn.fn.fn.to_qkv.weight"), &[3 * inner, channels]);
        self.tensor(&format!("{name}.fn.fn.fn.to_out.weight"), &[channels, inner]);
        self.tensor(&format!("{name}.fn.norm.gamma"), &[1, channels, 1, 1, 1]);
    }

    fn residual(&mut self, name: &str, (input, out): (usize, usize), time: Option<usize>) {
        if let Some(time) = time {
            self.layer(&format!("{name}.mlp.1"), &[2 * out, time], 2 * out);
        }
        for (block, from) in [("block1", input), ("block2", out)] {
            self.layer(&format!("{name}.{block}.proj"), &[out, from, 1, 3, 3], out);
            self.norm(&format!("{name}.{block}.norm"), out);
        }
        if input != out {
            self.layer(&format!("{name}.res_conv"), &[out, input, 1, 1, 1], out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names and shapes that the published code's modules have.
    fn published() -> Shapes {
        let text = include_str!("../tests/fixtures/state_diffusion.json");
        serde_json::from_str(text).unwrap()
    }

    fn part(prefix: &str) -> Shapes {
        let strip =
            |(name, shape): (String, Vec<usize>)| Some((name.strip_prefix(prefix)?.to_string(), shape));
        published().into_iter().filter_map(strip).collect()
    }

    #[test]
    fn the_defaults_have_the_published_names_and_shapes() {
        let mut unet = part("denoise_fn.");
        unet.retain(|name, _| !name.ends_with("rotary_emb.freqs"));
        let difference = compare(&unet, &diffusion(&DiffusionConfig::default()));
        assert!(difference.is_empty(), "{difference}");

        let mut vqgan = part("vqgan.");
        vqgan.retain(|name, _| !AUTOENCODER_TRAINING_PARTS.iter().any(|part| name.starts_with(part)));
        let difference = compare(&vqgan, &autoencoder(&AutoencoderConfig::default()));
        assert!(difference.is_empty(), "{difference}");
    }

    #[test]
    fn differences_are_listed_by_name() {
        let shapes = |list: &[(&str, &[usize])]| -> Shapes {
            list.iter().map(|(n, s)| (n.to_string(), s.to_vec())).collect()
        };
        let text = compare(
            &shapes(&[("same", &[1]), ("gone", &[2, 3]), ("other", &[4])]),
            &shapes(&[("same", &[1]), ("new", &[]), ("other", &[5])]),
        )
        .to_string();
        for line in ["1 missing:", "gone [2, 3]", "1 extra:", "new []", "other: expected [4], found [5]"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
