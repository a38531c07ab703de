//! The segmentation networks beside their goldens: names in files, gradients against differences, items of a batch, sizes
//! that cannot be, and Swin UNETR without the published code's errors.

use crate::common::models::{gradients, with_rule_weights};
use crate::common::rule::{hash_sym, rule_value};
use burn::tensor::{Device, Tensor, TensorData};
use difftumor::nn::params;
use difftumor::nn::state::{fill, read};
use difftumor::run::Tensors;
use difftumor::segmentation::{
    Architecture, Backbone, DynUnetConfig, SegmentationNetwork, SwinUnetrConfig, SwinVariant, UnetConfig,
};
use difftumor::state_dict::{Shapes, compare};
use std::collections::{BTreeMap, BTreeSet};

fn published_shapes() -> BTreeMap<String, Shapes> {
    serde_json::from_str(include_str!("../fixtures/state_segmentation.json")).unwrap()
}

/// Swin UNETR of windows of 5 tokens: for sides of 64 they are padded at stages 1 to 3, and shrink at stage 4.
fn swin(variant: SwinVariant) -> SwinUnetrConfig {
    SwinUnetrConfig { feature_size: 4, heads: [1, 2, 2, 4], window: 5, variant, ..Default::default() }
}

/// Small networks with sides that differ where they may.
fn small() -> [(Backbone, [usize; 3]); 4] {
    [
        (Backbone::Unet(UnetConfig { widths: vec![4, 6, 8], ..Default::default() }), [8, 12, 16]),
        (Backbone::Nnunet(DynUnetConfig { filters: vec![4, 6, 8], ..Default::default() }), [8, 12, 16]),
        (Backbone::SwinUnetr(swin(SwinVariant::Published)), [64, 64, 96]),
        (Backbone::SwinUnetr(swin(SwinVariant::Corrected)), [64; 3]),
    ]
}

fn network(backbone: &Backbone, device: &Device) -> SegmentationNetwork {
    with_rule_weights(backbone.init(device), backbone.published_name())
}

fn scan(items: usize, [d, h, w]: [usize; 3], device: &Device) -> Tensor<5> {
    let shape = [items, 1, d, h, w];
    let values: Vec<f32> = hash_sym("scan", &shape).into_iter().map(|v| 0.5 * v + 0.5).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values(t: Tensor<5>) -> Vec<f32> {
    t.into_data().try_to_vec::<f32>().unwrap()
}

#[test]
fn the_defaults_have_the_published_names_and_shapes() {
    let mut published = published_shapes();
    for (architecture, key, tensors) in [
        (Architecture::Unet, "unet", 63),
        (Architecture::Nnunet, "nnunet", 24),
        (Architecture::SwinUnetr, "swin_unetr", 161 - 2 - 8),
    ] {
        let mut want = published.remove(key).unwrap();
        want.retain(|name, _| !architecture.ignores(name));
        let found = architecture.published().shapes();
        let difference = compare(&want, &found);
        assert!(difference.is_empty(), "{architecture}: {difference}");
        assert_eq!(found.len(), tensors);
    }
}

/// A flat state dict of published names fills a network, and nothing of it is left over.
#[test]
fn a_state_dict_fills_a_network() {
    for (backbone, _) in small() {
        let state: Tensors = backbone
            .shapes()
            .into_iter()
            .map(|(name, shape)| {
                let values = rule_value(&name, &shape).unwrap();
                (name, (shape, values))
            })
            .collect();
        let name = backbone.published_name();
        let (network, difference) = fill(backbone.init(&Device::flex()), state.clone(), name);
        assert!(difference.is_empty(), "{difference}");
        assert_eq!(read(&network, name), state);
    }
}

/// The part of a network that a tensor belongs to, which is stepped along at once. None for the transformer's stages: the
/// instance norms of the few voxels at the end make the loss so curved along their weights that differences in f32 do not
/// tell the slope; those gradients are compared with an f64 run instead (golden_segmentation.rs).
fn part(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["swinViT", "patch_embed" | "layers1" | "layers2" | "layers3" | "layers4", ..] => None,
        ["model", ..] => Some(name.matches("submodule").count().to_string()), // the U-Net's level
        [first, ..] => Some(first.to_string()),
        [] => unreachable!(),
    }
}

/// The slope along the gradient itself is its norm. Central differences in f32: kinks of LeakyReLU are crossed by some
/// voxels, and rounding; measured is at most 3e-3 of the norm.
#[test]
fn gradients_are_slopes() {
    const TOLERANCE: f64 = 1e-2;
    const STEP: f64 = 5e-5; // of the weights' own size
    for (backbone, sides) in small().into_iter().take(3) {
        let (what, name) = (format!("{backbone:?}"), backbone.published_name());
        let (plain, tracking) = (Device::flex(), Device::flex().autodiff());
        let recording = network(&backbone, &tracking);
        let y = recording.forward(scan(2, sides, &tracking));
        let shape = y.dims();
        let along = hash_sym("direction", &shape);
        let loss = (y * Tensor::from_data(TensorData::new(along.clone(), shape), &tracking)).sum();
        let found = gradients(&recording, &loss, name);
        assert_eq!(found.keys().collect::<Vec<_>>(), backbone.shapes().keys().collect::<Vec<_>>(), "{what}");
        for (tensor, gradient) in &found {
            assert!(gradient.iter().all(|v| v.is_finite()), "{what}: {tensor}");
            assert!(gradient.iter().any(|v| *v != 0.0), "{what}: {tensor} has no gradient");
        }
        let state = read(&network(&backbone, &plain), name);
        let parts: BTreeSet<String> = found.keys().filter_map(|n| part(n)).collect();
        for of in parts {
            let members = || found.iter().filter(|(n, _)| part(n).as_ref() == Some(&of));
            let square = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
            let norm = members().map(|(_, g)| square(g)).sum::<f64>().sqrt();
            let size = members().map(|(n, _)| square(&state[n].1)).sum::<f64>().sqrt();
            let at = |step: f64| {
                let moved = params::map(network(&backbone, &plain), |path, w| {
                    let tensor = name(path);
                    if part(&tensor).as_ref() != Some(&of) {
                        return w;
                    }
                    let gradient = &found[&tensor];
                    let gradient = TensorData::new(gradient.clone(), [gradient.len()]);
                    w + Tensor::<1>::from_data(gradient, &plain) * (step / norm)
                });
                let y = values(moved.forward(scan(2, sides, &plain)));
                y.iter().zip(&along).map(|(y, d)| f64::from(*y) * f64::from(*d)).sum::<f64>()
            };
            let step = STEP * size;
            let slope = (at(step) - at(-step)) / (2.0 * step);
            let error = (slope / norm - 1.0).abs();
            println!("{}, {of}: slope {slope:.5e}, off by {error:.1e}", backbone.architecture());
            assert!(error <= TOLERANCE, "{what}, {of}: slope {slope} along a gradient of {norm}");
        }
    }
}

/// Any number of threads gives the same bits. Every item of a batch is computed as if it were alone, but for rounding: sums
/// over tokens are cut into tiles by the number of all rows (measured 4e-6).
#[test]
fn threads_and_other_items_do_not_matter() {
    let device = Device::flex();
    for (backbone, sides @ [d, h, w]) in small() {
        let (network, x) = (network(&backbone, &device), scan(2, sides, &device));
        let item = |i: usize| x.clone().slice([i..i + 1, 0..1, 0..d, 0..h, 0..w]);
        let with_threads = |n: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| values(network.forward(x.clone())))
        };
        let together = with_threads(3);
        assert!(together == with_threads(1), "{}", backbone.architecture());
        assert_eq!(together.len(), 2 * 3 * d * h * w);
        let alone = (0..2).flat_map(|i| values(network.forward(item(i))));
        let largest = together.iter().zip(alone).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        println!("{}: alone and in a batch differ by {largest:.1e}", backbone.architecture());
        assert!(largest <= 2e-5, "{}: {largest}", backbone.architecture());
    }
}

/// The same weights give other logits.
#[test]
fn the_corrected_swin_differs_from_the_published_one() {
    let device = Device::flex();
    let run = |variant| {
        let backbone = Backbone::SwinUnetr(swin(variant));
        values(network(&backbone, &device).forward(scan(1, [64; 3], &device)))
    };
    let (published, corrected) = (run(SwinVariant::Published), run(SwinVariant::Corrected));
    let largest = published.iter().zip(&corrected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(largest > 1e-2, "{largest}");
    let offsets: BTreeSet<[usize; 3]> = SwinVariant::Corrected.merged().into();
    assert_eq!(offsets.len(), 8);
    let offsets: BTreeSet<[usize; 3]> = SwinVariant::Published.merged().into();
    assert_eq!(offsets.len(), 6);
}

#[test]
fn sides_that_a_network_cannot_take_are_told() {
    for (architecture, unit) in
        [(Architecture::Unet, 16), (Architecture::Nnunet, 16), (Architecture::SwinUnetr, 32)]
    {
        let backbone = architecture.published();
        backbone.check_sides([96; 3]).unwrap();
        backbone.check_sides([2 * unit, 3 * unit, 4 * unit]).unwrap();
        for sides in [[unit, 96, 96], [96, 96, 100], [96, 0, 96], [0; 3]] {
            let text = backbone.check_sides(sides).unwrap_err().to_string();
            for word in [format!("{sides:?}"), format!("a multiple of {unit}, at least {}", 2 * unit)] {
                assert!(text.contains(&word), "{text}");
            }
        }
    }
    assert!(Architecture::SwinUnetr.published().check_sides([80, 96, 96]).is_err());
    Architecture::Unet.published().check_sides([80, 96, 96]).unwrap();
}

#[test]
fn sizes_that_cannot_be_are_told() {
    let parse = |text: &str| toml::from_str::<Backbone>(text);
    for architecture in Architecture::ALL {
        let backbone = architecture.published();
        backbone.check().unwrap();
        let text = toml::to_string(&backbone).unwrap();
        assert_eq!(parse(&text).unwrap(), backbone, "{text}");
    }
    assert_eq!(parse("backbone = \"swin_unetr\"").unwrap(), Architecture::SwinUnetr.published());
    for (text, word) in [
        ("backbone = \"unet\"\nwidths = [16]", "number of widths: expected 2 to 8, found 1"),
        ("backbone = \"nnunet\"\nfilters = [32, 0]", "filters: expected 1 to 4096, found 0"),
        ("backbone = \"nnunet\"\nclasses = 1", "classes: expected 2 to 256, found 1"),
        ("backbone = \"swin_unetr\"\nheads = [3, 5, 12, 24]", "heads of stage 2"),
        ("backbone = \"swin_unetr\"\ndepths = [2, 0, 2, 2]", "depths: expected 1 to 64, found 0"),
        ("backbone = \"swin_unetr\"\nwindow = 1", "window: expected 2 to 16, found 1"),
        ("backbone = \"swin_unetr\"\ninputs = 0", "inputs"),
    ] {
        let error = parse(text).unwrap().check().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    for text in [
        "backbone = \"segresnet\"",
        "widths = [16, 32]",
        "backbone = \"unet\"\nfilters = [32, 64]",
        "backbone = \"swin_unetr\"\nheads = [3, 6]",
        "backbone = \"swin_unetr\"\nvariant = \"fixed\"",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}
