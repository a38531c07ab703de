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

/// The same weights on a device that records gradients, so that no CPU kernel runs.
fn twin<M: burn::module::Module>(model: &M, other: M) -> M {
    let state: Tensors = read(model, |n| n.into());
    let (twin, mismatch) = fill(other, state, |n| n.into());
    assert!(mismatch.is_empty(), "{mismatch}");
    twin
}

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
            let config =
                Conv3dConfig { channels, geometry: ConvGeometry::same(kernel, stride, padding), bias: true };
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

/// Convolutions inside slices: wide rows (one slice at a time) and narrow ones down to a single position (all slices at
/// once, more of them than a vector holds), with odd channels and sides, and strides that leave a rest.
#[test]
fn convolutions_in_slices_agree() {
    let cases = [
        ([17, 24], 7, 1),
        ([24, 24], 3, 1),
        ([35, 13], 3, 1),
        ([48, 8], 1, 1),
        ([24, 20], 4, 2),
        ([9, 12], 2, 1),
        ([5, 7], 2, 2),
    ];
    for (channels, kernel, stride) in cases {
        let geometry = ConvGeometry::same([1, kernel, kernel], [1, stride, stride], Padding::Zero);
        let config = Conv3dConfig { channels, geometry, bias: true };
        let fast = config.init(&Device::flex());
        let slow = twin(&fast, config.init(&recording()));
        for sides in [[3, 24, 24], [24, 3, 3], [35, 1, 1], [5, 12, 12], [2, 9, 31], [17, 2, 5]] {
            let x = random([2, channels[0], sides[0], sides[1], sides[2]]);
            let [h, w] = [sides[1], sides[2]];
            if h % stride + w % stride > 0 {
                continue; // leaves voxels out, or all of them: not a shape of these networks
            }
            let what = format!("{channels:?} {kernel} {stride} {sides:?}");
            let y = slow.forward(to_slow(x.clone())).inner();
            let residual = random(y.dims());
            assert_close(fast.forward(x.clone()), y.clone(), &what);
            assert_close(fast.forward_add(x, Some(residual.clone())), y + residual, &what);
        }
    }
    let config = ConvTranspose3dConfig {
        channels: [11, 26],
        geometry: TransposedGeometry::doubling([false, true, true], Padding::Zero),
        bias: true,
    };
    let fast = config.init(&Device::flex());
    let slow = twin(&fast, config.init(&recording()));
    for sides in [[24, 3, 3], [3, 13, 12], [37, 1, 2], [2, 5, 21]] {
        let x = random([2, 11, sides[0], sides[1], sides[2]]);
        assert_close(fast.forward(x.clone()), slow.forward(to_slow(x)).inner(), &format!("{sides:?}"));
    }
}

/// Parts in place of one tensor, for a kernel that takes them as they are and for one that joins them first.
#[test]
fn joined_convolutions_agree() {
    for kernel in [[1, 3, 3], [3, 3, 3]] {
        let geometry = ConvGeometry::same(kernel, [1; 3], Padding::Zero);
        let config = Conv3dConfig { channels: [12, 19], geometry, bias: true };
        let fast = config.init(&Device::flex());
        let slow = twin(&fast, config.init(&recording()));
        for batch in [1, 3] {
            let parts = [random([batch, 5, 4, 6, 9]), random([batch, 7, 4, 6, 9])];
            let residual = random([batch, 19, 4, 6, 9]);
            let want = slow.forward(to_slow(Tensor::cat(parts.to_vec(), 1))).inner() + residual.clone();
            let what = format!("{kernel:?} {batch}");
            let recorded = parts.clone().map(to_slow);
            let on_burn = slow.forward_joined(&recorded, Some(to_slow(residual.clone()))).inner();
            assert_close(on_burn, want.clone(), &what);
            assert_close(fast.forward_joined(&parts, Some(residual)), want, &what);
        }
    }
}

/// Enough outputs and channels for Winograd's way, odd sides and channels that fill no vector.
#[test]
fn large_convolutions_agree() {
    for (channels, kernel) in [([17, 35], [3, 3, 3]), ([24, 24], [1, 3, 3]), ([33, 16], [3, 3, 3])] {
        for padding in [Padding::Zero, Padding::Edge] {
            let config =
                Conv3dConfig { channels, geometry: ConvGeometry::same(kernel, [1; 3], padding), bias: true };
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
            let config = ConvTranspose3dConfig {
                channels: [10, 35],
                geometry: TransposedGeometry::doubling(doubled, padding),
                bias: true,
            };
            let fast = config.init(&Device::flex());
            let slow = twin(&fast, config.init(&recording()));
            let x = random([2, 10, 3, 5, 7]);
            let want = slow.forward(to_slow(x.clone())).inner();
            assert_close(fast.forward(x), want, &format!("{doubled:?} {padding:?}"));
        }
    }
}

#[test]
fn group_norms_agree() {
    for (c, groups) in [(32, 32), (64, 32), (24, 8)] {
        let fast = GroupNorm::new(c, groups, 1e-5, &Device::flex());
        let slow = GroupNorm::new(c, groups, 1e-5, &recording());
        // A mean far from zero: the variance must not cancel.
        let x = random([2, c, 3, 5, 7]) + 50.0;
        let (s, t) = (random([2, c]), random([2, c]));
        let film = Some((to_slow(s.clone()), to_slow(t.clone())));
        assert_close(fast.forward_silu(x.clone()), slow.forward_silu(to_slow(x.clone())).inner(), "silu");
        let want = slow.forward_film_silu(to_slow(x.clone()), film).inner();
        assert_close(fast.forward_film_silu(x.clone(), Some((s, t))), want, "film");
        let residual = random(x.dims());
        let want = slow.forward_silu_add(to_slow(x.clone()), to_slow(residual.clone())).inner();
        assert_close(fast.forward_silu_add(x, residual), want, "residual");
    }
}

/// Sequences of one member, fewer sequences than a vector has lanes, more and not a multiple; channels below and above
/// those of a head (values folded into the output projection, or not); a head that fills no vector.
#[test]
fn attentions_agree() {
    let kinds = [
        (Axis::Depth, AttentionKind::Softmax),
        (Axis::Slice, AttentionKind::Softmax),
        (Axis::Slice, AttentionKind::Linear),
    ];
    for (axis, kind) in kinds {
        for (channels, heads, head_channels) in [(20, 3, 12), (24, 8, 32), (67, 2, 32), (5, 1, 6)] {
            let out_bias = kind == AttentionKind::Linear;
            let config = AttentionConfig { channels, heads, head_channels, axis, kind, out_bias };
            let fast = config.init(&Device::flex());
            let slow = twin(&fast, config.init(&recording()));
            for [f, h, w] in [[7, 5, 9], [24, 3, 3], [1, 1, 1], [26, 6, 6], [3, 12, 11]] {
                let x = random([2, channels, f, h, w]);
                let with_positions = axis == Axis::Depth;
                let angles = || random([f, head_channels / 2]);
                let p = Positions { rotary: (angles(), angles()), bias: random([heads, f, f]) };
                let q = Positions {
                    rotary: (to_slow(p.rotary.0.clone()), to_slow(p.rotary.1.clone())),
                    bias: to_slow(p.bias.clone()),
                };
                let want = slow.forward(to_slow(x.clone()), with_positions.then_some(&q)).inner();
                let what = format!("{axis:?} {kind:?} {channels} {heads} {head_channels} {:?}", [f, h, w]);
                assert_close(fast.forward(x, with_positions.then_some(&p)), want, &what);
            }
        }
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

/// Bit for bit: no sum is shared out by the number of threads.
#[test]
fn the_number_of_threads_does_not_matter() {
    let unet = difftumor::diffusion::DiffusionConfig::default().init(&Device::flex());
    let (x, condition) = (random([2, 8, 5, 24, 16]), random([2, 9, 5, 24, 16]));
    let with_threads = |n: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| unet.forward(x.clone(), &[3, 1], condition.clone()).into_data())
    };
    assert_eq!(with_threads(1), with_threads(3));
}

/// The tests of this file once more with the kernels of narrower vector units, each in a process of its own (the unit is
/// chosen once).
#[cfg(target_arch = "x86_64")]
#[test]
fn every_vector_unit_agrees() {
    use difftumor::nn::cpu::tile::SIMD_VARIABLE;
    for unit in ["avx2", "scalar"] {
        if unit == "avx2" && !std::arch::is_x86_feature_detected!("avx2") {
            continue;
        }
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["paths::", "--skip", "every_vector_unit_agrees"])
            .env(SIMD_VARIABLE, unit)
            .output()
            .unwrap();
        assert!(output.status.success(), "{unit}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
