//! Losses and gradients of the networks against tensors recorded from the published implementation
//! (spec/goldens.md): the gradients run through every kernel's backward pass.
//!
//! Tolerance: relative 2e-5 of a tensor's largest gradient. Gradients sum thousands of f32 products in another order,
//! and the L1 loss's gradient is a sign, so that predictions near their target count fully.

use crate::common::golden::{Golden, goldens};
use crate::common::models::{gradients, with_rule_weights};
use burn::tensor::{Device, Int, Tensor, TensorData};
use difftumor::diffusion::objective::{Objective, denoising_loss, diffuse};
use difftumor::diffusion::{DiffusionConfig, Schedule, Unet3d};
use difftumor::segmentation::dice_ce;
use std::collections::BTreeMap;

const LOSS: f32 = 1e-5;
const GRADIENT: f64 = 2e-5;

/// The device under test, recording gradients.
fn device() -> Device {
    crate::common::models::device().autodiff()
}

fn t5(g: &Golden, name: &str) -> Tensor<5> {
    t5_on(g, name, &device())
}

fn t5_on(g: &Golden, name: &str, device: &Device) -> Tensor<5> {
    let (shape, values) = g.get(name);
    let shape: [usize; 5] = shape.try_into().unwrap();
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn norm(v: &[f32]) -> f64 {
    v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

/// Full gradients where the file has them, and the norms of all others.
fn compare_gradients(g: &Golden, ours: &BTreeMap<String, Vec<f32>>) {
    let norms: serde_json::Value = serde_json::from_str(&g.meta["grad_norms"]).unwrap();
    let norms = norms.as_object().unwrap();
    let largest_norm = norms.values().filter_map(serde_json::Value::as_f64).fold(0.0, f64::max);
    let mut worst = (0.0, String::new());
    for (name, values) in ours {
        if let Some((_, want)) = g.find(&format!("grad.{name}")) {
            let largest = want.iter().fold(0f32, |m, v| m.max(v.abs()));
            g.compare(&format!("grad.{name}"), values, (GRADIENT * f64::from(largest)) as f32);
        }
        let Some(want) = norms.get(name).and_then(serde_json::Value::as_f64) else { continue };
        // Where a gradient is zero but for rounding (a bias before a norm), its norm is noise of the others'.
        let difference = (norm(values) - want).abs() / (want + 1e-6 * largest_norm);
        if difference > worst.0 {
            worst = (difference, name.clone());
        }
    }
    let compared = ours.keys().filter(|n| norms.contains_key(*n)).count();
    println!(
        "golden {}: {compared} gradient norms, largest relative difference {:.1e} ({})",
        g.name, worst.0, worst.1
    );
    assert!(compared > 0 && worst.0 <= GRADIENT, "{worst:?}");
}

#[test]
fn golden_diffusion_loss() {
    for g in goldens("diffusion_loss", &[]) {
        let unet = with_rule_weights(DiffusionConfig::default().init(&device()), Unet3d::published_name);
        let schedule = Schedule::cosine(DiffusionConfig::default().timesteps);
        let t: Vec<usize> = g.get("t").1.iter().map(|t| *t as usize).collect();
        let (z0, noise, cond) = (t5(&g, "z0"), t5(&g, "noise"), t5(&g, "cond"));
        let x = diffuse(&schedule, z0.clone(), noise.clone(), &t);
        g.compare("x_t", &x.inner().into_data().try_to_vec::<f32>().unwrap(), 1e-6);
        let loss = denoising_loss(&unet, Objective::PUBLISHED, &schedule, z0, cond, &t, noise);
        g.compare("loss_l1", &[loss.clone().into_scalar::<f32>()], LOSS);
        compare_gradients(&g, &gradients(&unet, &loss, Unet3d::published_name));
        g.done();
    }
}

#[test]
fn golden_seg_losses_dice_and_cross_entropy() {
    for g in goldens("seg_losses", &[]) {
        let (shape, labels) = g.get("label");
        let [b, _, d, h, w] = <[usize; 5]>::try_from(shape).unwrap();
        let labels: Vec<i64> = labels.iter().map(|v| *v as i64).collect();
        let run = |device: Device| {
            let labels = Tensor::<4, Int>::from_data(TensorData::new(labels.clone(), [b, d, h, w]), &device);
            let logits = t5_on(&g, "logits", &device).require_grad();
            let loss = dice_ce(logits.clone(), labels);
            let gradient = logits.grad(&loss.backward()).unwrap();
            (loss.into_scalar::<f32>(), gradient.into_data().try_to_vec::<f32>().unwrap())
        };
        // Gradients are up to 1e-3; f32 rounding of their terms is 1e-10.
        // The kernels do not know gradient checkpointing: Burn's operations run.
        for (loss, gradient) in [run(device()), run(device().gradient_checkpointing())] {
            g.compare("dicece", &[loss], LOSS);
            g.compare("grad", &gradient, 1e-8);
        }
        g.done();
    }
}
