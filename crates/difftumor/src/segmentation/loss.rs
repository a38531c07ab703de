//! Dice plus cross entropy (spec/segmentation.md section 4, the published code's `DiceCE`).
use crate::nn::cpu::dice_ce::{self, EPSILON};
use crate::nn::cpu::tape::{Gradient, Operand, record};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// The mean over items and classes (the background counts) of one minus Dice with squared denominator, plus the mean
/// cross entropy.
///
/// # Shapes
/// `logits` `[B, classes, D, H, W]`, `labels` `[B, D, H, W]` in `0..classes` → `[1]`.
///
/// # Panics
/// When a label is no class (checked on the CPU only).
pub fn dice_ce(logits: Tensor<5>, labels: Tensor<4, Int>) -> Tensor<1> {
    let [b, classes, d, h, w] = logits.dims();
    assert_eq!(labels.dims(), [b, d, h, w], "labels against logits {:?}", logits.dims());
    let Some(operand) = Operand::of(&logits) else { return dice_ce_any(logits, labels) };
    let labels = labels.into_data().convert::<u8>().try_to_vec::<u8>().expect("labels fit a byte");
    let (loss, sums) = dice_ce::loss(operand.get(), &labels, b, classes);
    let kept = operand.values();
    record([operand], vec![loss], [1], move |scale, _| {
        [Gradient::Of(dice_ce::gradient(kept.get(), &labels, b, &sums, scale[0]))]
    })
}

/// The same in Burn's operations.
fn dice_ce_any(logits: Tensor<5>, labels: Tensor<4, Int>) -> Tensor<1> {
    let [b, classes, d, h, w] = logits.dims();
    let truth = labels.reshape([b, 1, d, h, w]);
    let truth: Vec<Tensor<5>> = (0..classes).map(|c| truth.clone().equal_elem(c as i64).float()).collect();
    let truth = Tensor::cat(truth, 1);
    let log_p = log_softmax(logits, 1);
    let p = log_p.clone().exp();
    let sum = |t: Tensor<5>| t.reshape([b * classes, d * h * w]).sum_dim(1);
    let both = sum(p.clone() * truth.clone());
    let total = sum(p.powi_scalar(2)) + sum(truth.clone());
    let dice = both * 2.0 / (total + EPSILON);
    let entropy = (log_p * truth).sum() / (b * d * h * w) as f64;
    (dice * -1.0 + 1.0).mean() - entropy
}
