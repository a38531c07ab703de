//! Swin UNETR (the published code's own copy, spec/segmentation.md section 3; Hatamizadeh et al. 2022): a transformer of
//! shifted windows whose five results a convolutional decoder takes as skips.
//!
//! `[B, 1, D, H, W]` in [0, 1] of the HU window → logits `[B, 3, D, H, W]` (background, organ, tumor). The published code
//! has two errors that its weights were trained with; [`SwinVariant::Corrected`] is without them.
mod config;
mod decoder;
mod transformer;

pub use config::{SwinUnetrConfig, SwinVariant};

use super::blocks::conv;
use crate::nn::Conv3d;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use decoder::{Residual, Rise};
use transformer::Transformer;

/// The whole network; see [`SwinUnetr::published_name`] for the names in files.
#[derive(Module, Debug)]
pub struct SwinUnetr {
    transformer: Transformer,
    encoders: Vec<Residual>,
    decoders: Vec<Rise>,
    out: Conv3d,
}

/// Published names of the blocks on the skips, from the scan itself to the coarsest result. The fourth skip has none.
const ENCODERS: [&str; 5] = ["encoder1", "encoder2", "encoder3", "encoder4", "encoder10"];
/// Published names of the doublings, from the coarsest to the finest.
const DECODERS: [&str; 5] = ["decoder5", "decoder4", "decoder3", "decoder2", "decoder1"];

/// Published names of fields that have another.
const RENAMED: [(&str, &str); 9] = [
    ("transformer", "swinViT"),
    ("patch_embed", "patch_embed.proj"),
    ("attention", "attn"),
    ("fc1", "mlp.fc1"),
    ("fc2", "mlp.fc2"),
    ("conv1", "conv1.conv"),
    ("conv2", "conv2.conv"),
    ("conv3", "conv3.conv"),
    ("transp_conv", "transp_conv.conv"),
];

impl SwinUnetrConfig {
    /// A network with random weights.
    pub fn init(&self, device: &Device) -> SwinUnetr {
        let f = self.feature_size;
        let encoders = [[self.inputs, f], [f; 2], [2 * f; 2], [4 * f; 2], [16 * f; 2]];
        let decoders = [[16 * f, 8 * f], [8 * f, 4 * f], [4 * f, 2 * f], [2 * f, f], [f; 2]];
        SwinUnetr {
            transformer: Transformer::new(self, device),
            encoders: encoders.map(|channels| Residual::new(channels, device)).into(),
            decoders: decoders.map(|[below, out]| Rise::new(below, out, device)).into(),
            out: conv([f, self.classes], 1, 1, true, device),
        }
    }
}

impl SwinUnetr {
    /// Tensors of published files that the network does without: a norm that is never called.
    pub const UNUSED: &str = "swinViT.norm.";
    /// End of the names of the tables of relative positions, which follow from the window's side.
    pub const INDEX: &str = ".relative_position_index";

    /// `[B, 1, D, H, W]` → logits `[B, 3, D, H, W]`; for the sides see [`SwinUnetrConfig::check_sides`].
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let mut results = self.transformer.forward(x.clone());
        let mut next = || results.pop().expect("five results");
        let [encoders @ .., coarsest] = self.encoders.as_slice() else { unreachable!("made with five") };
        let y = self.decoders[0].forward(coarsest.forward(next()), next());
        // Each skip is made when it is needed: at full resolution it is the largest tensor of all.
        let y = (1..4).rev().zip(&self.decoders[1..]).fold(y, |y, (i, rise)| {
            let skip = encoders[i].forward(next());
            rise.forward(y, skip)
        });
        self.out.forward(self.decoders[4].forward(y, encoders[0].forward(x)))
    }

    /// The name in the published state dict of the parameter at a field path.
    pub fn published_name(path: &str) -> String {
        let number = |text: &str| text.parse::<usize>().expect("an index");
        let parts: Vec<&str> = path.split('.').collect();
        let (first, rest) = match parts.as_slice() {
            ["transformer", "stages", i, rest @ ..] => (format!("swinViT.layers{}.0", number(i) + 1), rest),
            ["encoders", i, rest @ ..] => (format!("{}.layer", ENCODERS[number(i)]), rest),
            ["decoders", i, rest @ ..] => (DECODERS[number(i)].to_string(), rest),
            ["out", rest @ ..] => ("out.conv.conv".to_string(), rest),
            [first, rest @ ..] => (renamed(first).to_string(), rest),
            [] => unreachable!("split gives one part at least"),
        };
        rest.iter().fold(first, |name, part| format!("{name}.{}", renamed(part)))
    }
}

fn renamed(field: &str) -> &str {
    RENAMED.iter().find(|(ours, _)| *ours == field).map_or(field, |(_, published)| published)
}
