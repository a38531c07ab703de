//! One slice of each item of a batch of volumes.
use super::cpu::tape::{Gradient, Operand, record};
use burn::tensor::Tensor;

/// Slice `indices[b]` of item b across `axis`: 2, 3 or 4 for D, H, W.
///
/// # Shapes
/// `[B, C, D, H, W]` → `[B, C, 1, H, W]`, `[B, C, 1, D, W]` or `[B, C, 1, D, H]`.
pub fn slices(x: Tensor<5>, axis: usize, indices: &[usize]) -> Tensor<5> {
    let n = x.dims();
    assert!(
        (2..5).contains(&axis) && indices.len() == n[0],
        "axis {axis}, {} of {} items",
        indices.len(),
        n[0]
    );
    assert!(indices.iter().all(|i| *i < n[axis]), "slices {indices:?} of {}", n[axis]);
    let rest: Vec<usize> = (2..5).filter(|a| *a != axis).map(|a| n[a]).collect();
    let shape = [n[0], n[1], 1, rest[0], rest[1]];
    if let Some(operand) = Operand::of(&x) {
        let (indices, whole) = (indices.to_vec(), operand.get().len());
        let out = elements(n, axis, &indices).map(|i| operand.get()[i]).collect();
        return record([operand], out, shape, move |g, _| {
            let mut dx = vec![0f32; whole];
            elements(n, axis, &indices).zip(g).for_each(|(i, g)| dx[i] = *g);
            [Gradient::Of(dx)]
        });
    }
    let item = |(b, i): (usize, &usize)| {
        x.clone().slice_dim(0, b..b + 1).slice_dim(axis, *i..i + 1).reshape([1, n[1], 1, rest[0], rest[1]])
    };
    Tensor::cat(indices.iter().enumerate().map(item).collect(), 0)
}

/// Where the elements of the slices lie in the volumes, in the slices' order.
fn elements([b, c, d, h, w]: [usize; 5], axis: usize, indices: &[usize]) -> impl Iterator<Item = usize> + '_ {
    let strides = [h * w, w, 1];
    let axes: Vec<usize> = (0..3).filter(|a| *a != axis - 2).collect();
    let sides = axes.iter().map(|a| [d, h, w][*a]).collect::<Vec<_>>();
    (0..b * c).flat_map(move |plane| {
        let first = plane * d * h * w + indices[plane / c] * strides[axis - 2];
        let (outer, inner) = (strides[axes[0]], strides[axes[1]]);
        let (rows, columns) = (sides[0], sides[1]);
        (0..rows * columns).map(move |k| first + k / columns * outer + k % columns * inner)
    })
}
