//! How far apart two images' features point (Zhang et al. 2018, Eq. 1), as one operation.
use super::cpu::feature_distance::Features;
use super::cpu::tape::{Gradient, Operand, record};
use burn::tensor::Tensor;

/// The mean over items and voxels of `Σ_c w_c (a_c / (|a| + eps) - b_c / (|b| + eps))²`, `[1]`. The gradient goes to `a`
/// alone.
///
/// # Shapes
/// `a` and `b` `[B, C, D, H, W]`, `weight` `[C]`.
pub fn feature_distance(a: Tensor<5>, b: Tensor<5>, weight: Tensor<1>, eps: f32) -> Tensor<1> {
    let [items, c, d, h, w] = a.dims();
    assert_eq!(a.dims(), b.dims(), "features of two sides");
    assert_eq!(weight.dims(), [c], "a weight for each channel");
    let positions = d * h * w;
    if let (Some(a), Some(b), Some(weight)) = (Operand::of(&a), Operand::of(&b), Operand::of(&weight)) {
        let n = (items * positions) as f64;
        let (kept_a, kept_b, kept_weight) = (a.values(), b.values(), weight.values());
        let features = Features { a: a.get(), b: b.get(), weight: weight.get(), positions, eps };
        let (total, lengths) = features.distance();
        return record([a], vec![(total / n) as f32], [1], move |g, _| {
            let (a, b, weight) = (kept_a.get(), kept_b.get(), kept_weight.get());
            let features = Features { a, b, weight, positions, eps };
            [Gradient::Of(features.gradient(&lengths, (f64::from(g[0]) / n) as f32))]
        });
    }
    let unit = |x: Tensor<5>| {
        let length = (x.clone() * x.clone()).sum_dim(1).sqrt();
        x / (length + f64::from(eps))
    };
    let difference = unit(a) - unit(b.detach());
    let weighted = difference.clone() * difference * weight.detach().reshape([1, c, 1, 1, 1]);
    weighted.sum_dim(1).mean()
}
