//! One training step of each model at tiny sizes: loss, gradients and Adam on the device that `DIFFTUMOR_DEVICE` names
//! (`just check-gpu`), else by Burn's operations on the CPU, against the same step by this project's CPU kernels.
//!
//! Burn's operations run on the CPU where gradient checkpointing is asked for, which the kernels do not know.

use crate::common::models::{gradients, with_rule_weights};
use crate::common::rule::hash_sym;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use difftumor::autoencoder::objective::reconstruct;
use difftumor::autoencoder::{Autoencoder, AutoencoderConfig};
use difftumor::diffusion::objective::{Objective, denoising_loss};
use difftumor::diffusion::{DiffusionConfig, Schedule, Unet3d};
use difftumor::nn::optim::AdamConfig;
use difftumor::nn::state::read;
use difftumor::segmentation::{Backbone, DynUnetConfig, SwinUnetrConfig, SwinVariant, UnetConfig, dice_ce};
use std::collections::BTreeMap;

/// Losses are means of numbers of size 1 to 10 in f32.
const LOSS: f32 = 1e-5;
/// Of a tensor's largest gradient, plus `NOISE` of the model's largest: the sums run over thousands of f32 products in
/// another order. (Measured: 1.3e-6, on lavapipe as on the CPU.)
const GRADIENT: f32 = 2e-5;
/// The same where two images of 64³ pass LeakyReLU at full resolution: of millions of values some lie within rounding of its bend, and one
/// that falls on the other side there changes the gradients of its block. (Measured with five images: 5e-7 without, 7e-6 to
/// 3.4e-5 with such a value.)
const GRADIENT_WITH_BENDS: f32 = 2e-4;
/// Biases before a norm have no gradient but the rounding of others'.
const NOISE: f32 = 1e-5;
const RATE: f64 = 1e-3;
/// A step of 1e-3 on weights of up to 2, whose neighbours in f32 are 2.4e-7 apart.
const WEIGHT: f32 = 5e-7;

fn device() -> Device {
    match std::env::var_os("DIFFTUMOR_DEVICE") {
        Some(_) => crate::common::models::device().autodiff(),
        None => Device::flex().autodiff().gradient_checkpointing(),
    }
}

fn random(key: &str, shape: [usize; 5], device: &Device) -> Tensor<5> {
    Tensor::from_data(TensorData::new(hash_sym(key, &shape), shape), device)
}

fn largest(v: &[f32]) -> f32 {
    v.iter().fold(0f32, |m, v| if v.is_nan() { f32::NAN } else { m.max(v.abs()) })
}

/// The loss and its gradients by published name.
type Step = (f32, BTreeMap<String, Vec<f32>>);

/// One step of a model by `make` on a device; Adam's result must be what its formula makes of the gradients.
fn step<M: Module>(
    model: M,
    published: impl Fn(&str) -> String + Copy,
    loss: impl Fn(&M) -> Tensor<1>,
) -> Step {
    let model = with_rule_weights(model, published);
    let before = read(&model, published);
    let value = loss(&model);
    let found = gradients(&model, &value, published);
    let again = GradientsParams::from_grads(loss(&model).backward(), &model);
    let after = read(&AdamConfig::default().init().step(model, again, RATE), published);
    for (name, (_, old)) in &before {
        let none = vec![0.0; old.len()];
        let gradient = found.get(name).unwrap_or(&none);
        for ((old, g), new) in old.iter().zip(gradient).zip(&after[name].1) {
            // The first step's moments are the gradient and its square.
            let want = f64::from(*old) - RATE * f64::from(*g) / (f64::from(g.abs()) + 1e-8);
            assert!((new - want as f32).abs() <= WEIGHT, "{name}: {new} instead of {want}, gradient {g}");
        }
    }
    (value.into_scalar::<f32>(), found)
}

fn compare(what: &str, gradient: f32, run: impl Fn(&Device) -> Step) {
    let ((loss, found), (want_loss, want)) = (run(&device()), run(&Device::flex().autodiff()));
    assert!(found.keys().eq(want.keys()), "{what}: gradients of other parameters");
    let model_largest = want.values().map(|v| largest(v)).fold(0f32, f32::max);
    let mut worst = (0f32, "");
    for (name, want) in &want {
        let difference: Vec<f32> = found[name].iter().zip(want).map(|(a, b)| a - b).collect();
        let error = largest(&difference) / (largest(want) + NOISE / GRADIENT * model_largest);
        if error.is_nan() || error > worst.0 {
            worst = (error, name);
        }
    }
    println!(
        "{what}: loss {loss} against {want_loss}; {} gradients, worst {:.1e} of the largest ({})",
        want.len(),
        worst.0,
        worst.1
    );
    assert!((loss - want_loss).abs() <= LOSS, "{what}: loss {loss} instead of {want_loss}");
    assert!(worst.0 <= gradient, "{what}: {worst:?}");
}

#[test]
fn autoencoder_step() {
    let config = AutoencoderConfig { codes: 64, ..Default::default() };
    compare("autoencoder", GRADIENT, |device| {
        let x = random("scan", [2, 1, 8, 12, 16], device);
        step(config.init(device), Autoencoder::published_name, |m| {
            let r = reconstruct(m, x.clone());
            // The gradient of |a - b| is a sign: nearer than devices agree (1e-5), one voxel would change all gradients.
            let nearest = (r.image - x.clone()).abs().min().into_scalar::<f32>();
            assert!(nearest > 5e-5, "a voxel at {nearest} of its target: take another image");
            r.reconstruction + r.commitment
        })
    });
}

#[test]
fn diffusion_step() {
    let config = DiffusionConfig { multipliers: vec![1, 2], ..Default::default() };
    let schedule = Schedule::cosine(config.timesteps);
    compare("diffusion", GRADIENT, |device| {
        let [z, noise] = ["latents", "noise"].map(|key| random(key, [2, 8, 3, 4, 6], device));
        let condition = random("condition", [2, 9, 3, 4, 6], device);
        step(config.init(device), Unet3d::published_name, |m| {
            denoising_loss(
                m,
                Objective::PUBLISHED,
                &schedule,
                z.clone(),
                condition.clone(),
                &[1, 3],
                noise.clone(),
            )
        })
    });
}

/// A step of each network; Swin UNETR with windows that are padded (stages 1 to 3), shifted, and shrink (stage 4).
/// (Not with fewer channels: LayerNorm of two is nearly a sign, which rounding turns over.)
#[test]
fn segmentation_step() {
    let swin = |variant| {
        let sizes = SwinUnetrConfig { feature_size: 4, heads: [1, 2, 2, 4], window: 5, ..Default::default() };
        Backbone::SwinUnetr(SwinUnetrConfig { variant, ..sizes })
    };
    for (backbone, sides, gradient) in [
        (
            Backbone::Unet(UnetConfig { widths: vec![16, 32, 64], ..Default::default() }),
            [8, 12, 16],
            GRADIENT,
        ),
        (
            Backbone::Nnunet(DynUnetConfig { filters: vec![16, 32, 64], ..Default::default() }),
            [8, 12, 16],
            GRADIENT,
        ),
        (swin(SwinVariant::Published), [64, 64, 96], GRADIENT_WITH_BENDS),
        (swin(SwinVariant::Corrected), [64, 64, 64], GRADIENT_WITH_BENDS),
    ] {
        let [d, h, w] = sides;
        let shape = [2, d, h, w];
        let labels: Vec<i64> = hash_sym("labels", &shape).iter().map(|v| (v * 1.5 + 1.5) as i64).collect();
        compare(backbone.architecture().name(), gradient, |device| {
            let x = random("scan", [2, 1, d, h, w], device);
            let labels = Tensor::<4, Int>::from_data(TensorData::new(labels.clone(), shape), device);
            step(backbone.init(device), backbone.published_name(), |m| {
                dice_ce(m.forward(x.clone()), labels.clone())
            })
        });
    }
}
