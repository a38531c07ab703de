//! The segmentation networks against tensors recorded from the published implementation (spec/goldens.md): an f64 run
//! of the published code differs from its f32 goldens by less than 1e-5; suggested is 1e-4.
#[path = "common/golden.rs"]
mod golden;
#[path = "common/models.rs"]
mod models;
#[path = "common/rule.rs"]
mod rule;

use burn::tensor::{Device, Int, Tensor, TensorData};
use difftumor::segmentation::{Architecture, SegmentationNetwork, Unet, UnetConfig, dice_ce};
use golden::goldens;
use models::{device, gradients, with_rule_weights};
use rule::hash_sym;

const NETWORK: f32 = 1e-4;

fn unet(device: &Device) -> Unet {
    with_rule_weights(UnetConfig::default().init(device), Unet::published_name(4))
}

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

/// Gradients of one training step against an f64 run of the same network in PyTorch (`reference/unet_gradients.py`).
/// Tolerance 5e-5: PyTorch's own f32 run is up to 5e-5 away from it, Burn's CPU operations 4e-3.
#[test]
fn unet_gradients_agree() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/unet_gradients.json");
    let want: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let device = device().autodiff();
    let model = unet(&device);
    let x = t5(&hash_sym("x", &[2, 1, 32, 32, 48]), [2, 1, 32, 32, 48], &device);
    let labels: Vec<i64> =
        hash_sym("labels", &[2 * 32 * 32 * 48]).iter().map(|v| (v * 1.5 + 1.5) as i64).collect();
    let labels = Tensor::<4, Int>::from_data(TensorData::new(labels, [2, 32, 32, 48]), &device);
    let loss = dice_ce(model.forward(x), labels);
    assert!((f64::from(loss.clone().into_scalar::<f32>()) - want["loss"].as_f64().unwrap()).abs() < 1e-5);
    let gradients = gradients(&model, &loss, Unet::published_name(4));
    assert_eq!(gradients.len(), 63);
    let norm = |name: &str| want[name][0].as_f64().unwrap();
    let largest = gradients.keys().map(|n| norm(n)).fold(0.0, f64::max);
    for (name, found) in &gradients {
        let found_norm = found.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let products =
            found.iter().zip(hash_sym(name, &[found.len()])).map(|(g, s)| f64::from(*g) * f64::from(s));
        // Biases before a norm have no gradient but rounding: measured against the others'.
        let scale = 5e-5 * (norm(name) + 1e-3 * largest);
        let product = want[name][1].as_f64().unwrap();
        assert!((found_norm - norm(name)).abs() < scale, "{name}: norm {found_norm}");
        assert!((products.sum::<f64>() - product).abs() < scale, "{name}: against {product}");
    }
}
