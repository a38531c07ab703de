//! The CPU kernels against Burn's own operations (taken by tensors that record gradients with checkpointing, which the
//! kernels do not know), at odd sizes, more than one item and every kernel shape in use.
//!
//! Tolerance 2e-5 of the largest value: f32 sums of up to 4096 products in another order.
use burn::tensor::{Device, Distribution, GradientCheckpointingStrategy, Tensor};
use difftumor::nn::attention::{Axis, Positions};
use difftumor::nn::state::{fill, read};
use difftumor::nn::*;
use difftumor::run::Tensors;

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.3, 1.0), &Device::flex())
}

fn assert_close<const D: usize>(fast: Tensor<D>, reference: Tensor<D>, what: &str) {
    assert_eq!(fast.dims(), reference.dims(), "{what}");
    let a = fast.to_data().try_to_vec::<f32>().unwrap();
    let b = reference.to_data().try_to_vec::<f32>().unwrap();
    let largest = b.iter().fold(1f32, |m, v| m.max(v.abs()));
    let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(worst <= 2e-5 * largest, "{what}: {worst} of {largest}");
}

/// The same weights on another device.
fn twin<M: burn::module::Module>(model: &M, other: M) -> M {
    let state: Tensors = read(model, |n| n.into());
    let (twin, mismatch) = fill(other, state, |n| n.into());
    assert!(mismatch.is_empty(), "{mismatch}");
    twin
}

/// Where no CPU kernel runs.
fn recording() -> Device {
    Device::flex().autodiff().gradient_checkpointing()
}

fn to_slow<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.autodiff().with_gradient_checkpointing_strategy(GradientCheckpointingStrategy::Balanced)
}

#[test]
fn convolutions_agree() {
    let cases = [
        ([1, 16], [3, 3, 3], [1, 1, 1]),
        ([16, 32], [4, 4, 4], [2, 2, 2]),
        ([32, 33], [3, 3, 3], [1, 1, 1]),
        ([5, 7], [1, 1, 1], [1, 1, 1]),
        ([17, 24], [1, 7, 7], [1, 1, 1]),
        ([24, 48], [1, 3, 3], [1, 1, 1]),
        ([24, 24], [1, 4, 4], [1, 2, 2]),
        ([3, 3], [2, 2, 2], [1, 1, 1]),
        ([32, 1], [3, 3, 3], [1, 1, 1]),
        ([6, 1], [1, 3, 3], [1, 2, 2]),
    ];
    for (channels, kernel, stride) in cases {
        for padding in [Padding::Zero, Padding::Edge] {
            let config = Conv3dConfig { channels, geometry: ConvGeometry::same(kernel, stride, padding) };
            let fast = config.init(&Device::flex());
            let slow = twin(&fast, config.init(&recording()));
            for sides in [[6, 10, 14], [4, 6, 26]] {
                let x = random([2, channels[0], sides[0], sides[1], sides[2]]);
                let what = format!("{channels:?} {kernel:?} {stride:?} {padding:?} {sides:?}");
                let y = slow.forward(to_slow(x.clone())).inner();
                let residual = random(y.dims());
                let with_residual =
                    slow.forward_add(to_slow(x.clone()), Some(to_slow(residual.clone()))).inner();
                assert_close(fast.forward(x.clone()), y, &what);
                assert_close(fast.forward_add(x, Some(residual)), with_residual, &what);
            }
        }
    }
}

/// Enough outputs and channels for Winograd's way, odd sides and channels that fill no vector.
#[test]
fn large_convolutions_agree() {
    for (channels, kernel) in [([17, 35], [3, 3, 3]), ([24, 24], [1, 3, 3]), ([33, 16], [3, 3, 3])] {
        for padding in [Padding::Zero, Padding::Edge] {
            let config = Conv3dConfig { channels, geometry: ConvGeometry::same(kernel, [1; 3], padding) };
            let fast = config.init(&Device::flex());
            let slow = twin(&fast, config.init(&recording()));
            for sides in [[17, 15, 19], [14, 20, 16], [6, 31, 23]] {
                let x = random([2, channels[0], sides[0], sides[1], sides[2]]);
                let what = format!("{channels:?} {kernel:?} {padding:?} {sides:?}");
                let residual = random([2, channels[1], sides[0], sides[1], sides[2]]);
                let want = slow.forward_add(to_slow(x.clone()), Some(to_slow(residual.clone()))).inner();
                assert_close(fast.forward_add(x, Some(residual)), want, &what);
            }
        }
    }
}

#[test]
fn transposed_convolutions_agree() {
    for doubled in [[true; 3], [false, true, true]] {
        for padding in [Padding::Zero, Padding::Edge] {
            let config = ConvTranspose3dConfig { channels: [10, 35], doubled, padding };
            let fast = config.init(&Device::flex());
            let slow = twin(&fast, config.init(&recording()));
            let x = random([2, 10, 3, 5, 7]);
            let want = slow.forward(to_slow(x.clone())).inner();
            assert_close(fast.forward(x), want, &format!("{doubled:?} {padding:?}"));
        }
    }
}

#[test]
fn attentions_agree() {
    let cases = [
        (Axis::Depth, AttentionKind::Softmax),
        (Axis::Slice, AttentionKind::Softmax),
        (Axis::Slice, AttentionKind::Linear),
    ];
    for (axis, kind) in cases {
        let config = AttentionConfig {
            channels: 20,
            heads: 3,
            head_channels: 12,
            axis,
            kind,
            out_bias: kind == AttentionKind::Linear,
        };
        let fast = config.init(&Device::flex());
        let slow = twin(&fast, config.init(&recording()));
        let x = random([2, 20, 7, 5, 9]);
        let with_positions = axis == Axis::Depth;
        let p = Positions { rotary: (random([7, 6]), random([7, 6])), bias: random([3, 7, 7]) };
        let q = Positions {
            rotary: (to_slow(p.rotary.0.clone()), to_slow(p.rotary.1.clone())),
            bias: to_slow(p.bias.clone()),
        };
        let want = slow.forward(to_slow(x.clone()), with_positions.then_some(&q)).inner();
        assert_close(fast.forward(x, with_positions.then_some(&p)), want, &format!("{axis:?} {kind:?}"));
    }
}

#[test]
fn nearest_codes_agree_and_the_first_of_equals_wins() {
    // 37 codes: not a multiple of the vector width; code 5 stands again as 20.
    let codes = random([37, 8]);
    let codes = codes.clone().slice_assign([20..21, 0..8], codes.slice([5..6, 0..8]));
    let rows = Tensor::cat(vec![random([1501, 8]), codes.clone().slice([20..21, 0..8])], 0);
    let fast = nearest::nearest(rows.clone(), codes.clone()).into_data();
    let slow = nearest::nearest(to_slow(rows), to_slow(codes)).into_data();
    assert_eq!(fast.clone().convert::<i64>(), slow.convert::<i64>());
    assert_eq!(*fast.convert::<i64>().try_to_vec::<i64>().unwrap().last().unwrap(), 5);
}
