//! The segmentation networks against tensors recorded from the published implementation (spec/goldens.md): an f64 run
//! of the published code differs from its f32 goldens by less than 1e-5; suggested is 1e-4.

use crate::common::golden::goldens;
use crate::common::models::{device, gradients, with_rule_weights};
use crate::common::rule::hash_sym;
use burn::tensor::{Device, Int, Tensor, TensorData};
use difftumor::segmentation::{
    Architecture, Backbone, DynUnetConfig, SegmentationNetwork, SwinUnetrConfig, SwinVariant, dice_ce,
};

const NETWORK: f32 = 1e-4;

fn t5(values: &[f32], shape: [usize; 5], device: &Device) -> Tensor<5> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// A network in its published sizes with the rule's weights, filled by the published names.
fn published(architecture: Architecture, device: &Device) -> SegmentationNetwork {
    let backbone = architecture.published();
    with_rule_weights(backbone.init(device), backbone.published_name())
}

/// The golden files of a network: an input of 32³ that is stored, and others by rule.
fn compare(architecture: Architecture, file: &str, by_rule: &[(&str, &str, [usize; 3])]) {
    let device = device();
    for g in goldens(file, &[]) {
        let network = published(architecture, &device);
        let run = |x: &[f32], shape: [usize; 5]| {
            network.forward(t5(x, shape, &device)).into_data().try_to_vec::<f32>().unwrap()
        };
        if let Some((shape, x)) = g.find("x32") {
            g.compare("out32", &run(x, shape.try_into().unwrap()), NETWORK);
        }
        for (input, out, [d, h, w]) in by_rule {
            let strided: Vec<&str> = g.names().filter(|n| n.starts_with(&format!("{out}_strided"))).collect();
            let Some(strided) = strided.first() else { continue };
            let x = hash_sym(&format!("golden/seg/{input}"), &[1, 1, *d, *h, *w]);
            let x: Vec<f32> = x.into_iter().map(|v| 0.5 * v + 0.5).collect();
            let y = run(&x, [1, 1, *d, *h, *w]);
            g.compare_strided(strided, &y, [1, 3, *d, *h, *w], NETWORK);
            g.compare_stats(&format!("{out}_stats"), &y, NETWORK);
        }
        g.done();
    }
}

#[test]
fn golden_seg_unet() {
    compare(Architecture::Unet, "seg_unet", &[("unet64", "out64", [64; 3])]);
}

#[test]
fn golden_seg_nnunet() {
    compare(Architecture::Nnunet, "seg_nnunet", &[("nnunet64", "out64", [64; 3])]);
}

/// 96³ has windows that shrink to 6 tokens, and both windows of 7 that do not divide an axis and masks.
#[test]
fn golden_seg_swinunetr() {
    let inputs = [
        ("swinunetr64", "out64", [64; 3]),
        ("swinunetrnc", "outnc", [64, 96, 64]),
        ("swinunetr96", "out96", [96; 3]),
    ];
    compare(Architecture::SwinUnetr, "seg_swinunetr", &inputs);
}

/// Gradients of one training step against an f64 run of the same network in PyTorch: `want` holds, of each tensor, the
/// norm and the product with numbers computed from its name. `tolerance` is of a tensor's norm.
fn gradients_agree(backbone: &Backbone, shape: [usize; 5], want: &serde_json::Value, tolerance: f64) {
    let device = device().autodiff();
    let name = backbone.published_name();
    let network = with_rule_weights(backbone.init(&device), name);
    let x = t5(&hash_sym("x", &shape), shape, &device);
    let [items, _, d, h, w] = shape;
    let labels = hash_sym("labels", &[items * d * h * w]);
    let labels: Vec<i64> = labels.iter().map(|v| (v * 1.5 + 1.5) as i64).collect();
    let labels = Tensor::<4, Int>::from_data(TensorData::new(labels, [items, d, h, w]), &device);
    let loss = dice_ce(network.forward(x), labels);
    assert!((f64::from(loss.clone().into_scalar::<f32>()) - want["loss"].as_f64().unwrap()).abs() < 1e-5);
    let gradients = gradients(&network, &loss, name);
    assert_eq!(gradients.len() + 1, want.as_object().unwrap().len(), "tensors and the loss");
    let norm = |name: &str| want[name][0].as_f64().unwrap();
    let largest = gradients.keys().map(|n| norm(n)).fold(0.0, f64::max);
    let mut worst = (0.0, String::new());
    for (name, found) in &gradients {
        let found_norm = found.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let products = found.iter().zip(hash_sym(name, &[found.len()]));
        let product = products.map(|(g, s)| f64::from(*g) * f64::from(s)).sum::<f64>();
        // Biases before a norm have no gradient but rounding: measured against the others'.
        let scale = norm(name) + 1e-3 * largest;
        let off =
            (found_norm - norm(name)).abs().max((product - want[name][1].as_f64().unwrap()).abs()) / scale;
        assert!(off.is_finite(), "{name}: norm {found_norm}, product {product}");
        if off > worst.0 {
            worst = (off, name.clone());
        }
    }
    println!("{}: {} gradients, worst {worst:?}", backbone.architecture(), gradients.len());
    assert!(worst.0 < tolerance, "{}: {worst:?}", backbone.architecture());
}

fn fixture(name: &str) -> serde_json::Value {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// `reference/unet_gradients.py`. PyTorch's own f32 run is up to 5e-5 away from it, Burn's CPU operations 4e-3.
#[test]
fn unet_gradients_agree() {
    let backbone = Architecture::Unet.published();
    gradients_agree(&backbone, [2, 1, 32, 32, 48], &fixture("unet_gradients"), 5e-5);
}

/// `reference/segmentation_gradients.py`. PyTorch's own f32 run is up to 2e-6 away from it.
#[test]
fn nnunet_gradients_agree() {
    let backbone = Backbone::Nnunet(DynUnetConfig { filters: vec![4, 6, 8], ..Default::default() });
    gradients_agree(&backbone, [2, 1, 16, 32, 24], &fixture("segmentation_gradients")["nnunet"], 1e-5);
}

/// The same, with and without the published code's errors: windows that are padded, shifted, and shrink. PyTorch's own f32
/// run is up to 6e-5 away, these kernels 3e-6.
#[test]
fn swin_unetr_gradients_agree() {
    let want = fixture("segmentation_gradients");
    for (variant, key) in
        [(SwinVariant::Published, "swin_published"), (SwinVariant::Corrected, "swin_corrected")]
    {
        let sizes = SwinUnetrConfig { feature_size: 4, heads: [1, 2, 2, 4], window: 5, ..Default::default() };
        let backbone = Backbone::SwinUnetr(SwinUnetrConfig { variant, ..sizes });
        gradients_agree(&backbone, [1, 1, 64, 64, 96], &want[key], 2e-5);
    }
}
