//! Mean differences with their gradients in one pass each; sums in f64.
use super::cpu::elementwise::difference_grad;
use super::cpu::sum::{Sums, sum_pieces};
use super::cpu::tape::{Gradient, Operand, record};
use burn::tensor::Tensor;

/// The mean of `|a - b|` over all elements (gradient 0 where they are equal), `[1]`.
pub fn mean_absolute_error<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<1> {
    mean_error(&a, &b, false).unwrap_or_else(|| (a - b).abs().mean())
}

/// The mean of `(a - b)²` over all elements, `[1]`.
pub fn mean_squared_error<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<1> {
    mean_error(&a, &b, true).unwrap_or_else(|| {
        let d = a - b;
        (d.clone() * d).mean()
    })
}

fn mean_error<const D: usize>(a: &Tensor<D>, b: &Tensor<D>, squared: bool) -> Option<Tensor<1>> {
    assert_eq!(a.dims(), b.dims(), "an error between two shapes");
    let (x, y) = (Operand::of(a)?, Operand::of(b)?);
    let n = x.get().len() as f64;
    let what = if squared { Sums::Square } else { Sums::Distance };
    let mean = sum_pieces(x.get(), y.get(), what) / n;
    let (kept_x, kept_y) = (x.values(), y.values());
    Some(record([x, y], vec![mean as f32], [1], move |g, wanted| {
        let factor = (f64::from(g[0]) / n) as f32;
        let of = |wanted: bool, factor: f32| {
            Gradient::when(wanted, || difference_grad(kept_x.get(), kept_y.get(), squared, factor))
        };
        [of(wanted[0], factor), of(wanted[1], -factor)]
    }))
}
