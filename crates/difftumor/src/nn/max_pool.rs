//! Max pooling inside slices.
use super::cpu::max_pool as kernels;
use super::cpu::tape::{Gradient, Operand, record};
use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

/// Maximum over 2×2 voxels; a last odd row or column is left out.
///
/// # Shapes
/// `[B, C, D, H, W]` → `[B, C, D, H / 2, W / 2]`.
pub fn max_pool_planar(x: Tensor<5>) -> Tensor<5> {
    let [b, c, d, h, w] = x.dims();
    let shape = [b, c, d, h / 2, w / 2];
    assert!(h >= 2 && w >= 2, "slices of {h} × {w} are too small to be pooled");
    if let Some(operand) = Operand::of(&x) {
        let out = kernels::max_pool(operand.get(), [h, w]);
        let kept = operand.values();
        return record([operand], out, shape, move |g, _| {
            [Gradient::Of(kernels::max_pool_grad(kept.get(), [h, w], g))]
        });
    }
    let options = MaxPoolOptions::new([2; 2]).with_stride([2; 2]);
    max_pool2d(x.reshape([b * c, d, h, w]), options).reshape(shape)
}
