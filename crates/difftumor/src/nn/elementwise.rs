//! Additions and concatenations of large tensors as differentiable operations.
//!
//! Burn's CPU backend runs these on one thread, and its gradient of a concatenation copies twice.
use super::cpu::elementwise as kernels;
use super::cpu::tape::{Gradient, Operand, record};
use burn::tensor::Tensor;

/// `a + b`.
///
/// # Shapes
/// Both the same; nothing is broadcast.
pub fn add<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    assert_eq!(a.dims(), b.dims(), "add does not broadcast");
    if let (Some(x), Some(y)) = (Operand::of(&a), Operand::of(&b)) {
        let out = kernels::add(x.get(), y.get());
        return record([x, y], out, a.dims(), |_, _| [Gradient::Same, Gradient::Same]);
    }
    a + b
}

/// `a` and `b` behind each other along the channels.
///
/// # Shapes
/// `[B, Ca, ...]` and `[B, Cb, ...]` → `[B, Ca + Cb, ...]`.
pub fn cat_channels<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let (sides, other) = (a.dims(), b.dims());
    assert!(
        sides[0] == other[0] && sides[2..] == other[2..],
        "channels of {sides:?} and {other:?} cannot be put together"
    );
    if let (Some(x), Some(y)) = (Operand::of(&a), Operand::of(&b)) {
        let items = sides[0];
        let out = kernels::concat(x.get(), y.get(), items);
        let (n, m) = (x.get().len() / items, y.get().len() / items);
        let mut shape = sides;
        shape[1] += other[1];
        return record([x, y], out, shape, move |g, [a_wanted, b_wanted]| {
            let part = |wanted, first, len| Gradient::when(wanted, || kernels::part(g, items, first, len));
            [part(a_wanted, 0, n), part(b_wanted, n, m)]
        });
    }
    Tensor::cat(vec![a, b], 1)
}
