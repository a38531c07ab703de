//! What the perceptual distance and the discriminators are made of: pooling, slices, distances of features and BatchNorm,
//! against Burn's own operations and against f64 references, at odd sizes and more than one item.
//!
//! Tolerances as in `nn_gradients_norm`: 5e-6 against Burn (both round in f32), 4e-6 against f64.

use crate::gradients::{against_burn, against_differences, assert_close, numbers};
use burn::tensor::{Device, Tensor, TensorData};
use difftumor::nn::BatchNorm;
use difftumor::nn::activation::Activation;
use difftumor::nn::feature_distance::feature_distance;
use difftumor::nn::max_pool::max_pool_planar;
use difftumor::nn::slices::slices;

const AGAINST_BURN: f64 = 5e-6;
const AGAINST_F64: f64 = 4e-6;

fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let n = x.dims().iter().product::<usize>();
    x.reshape([n])
}

#[test]
fn max_pooling() {
    for shape in [[2, 3, 2, 5, 7], [1, 17, 3, 2, 2], [1, 4, 1, 33, 40]] {
        let op = |t: &[Tensor<1>]| flat(max_pool_planar(t[0].clone().reshape(shape)));
        let [b, c, d, h, w] = shape;
        let inputs = vec![numbers(b * c * d * h * w, 5)];
        against_burn(&op, &inputs, &[true], AGAINST_BURN, "max pooling");
        let naive = |t: &[Vec<f64>]| {
            let at = |p: usize, i: usize, j: usize| t[0][(p * h + i) * w + j];
            let largest = |k: usize| {
                let (p, i, j) = (k / (h / 2 * (w / 2)), k / (w / 2) % (h / 2), k % (w / 2));
                [(0, 0), (0, 1), (1, 0), (1, 1)]
                    .map(|(y, x)| at(p, 2 * i + y, 2 * j + x))
                    .into_iter()
                    .fold(f64::MIN, f64::max)
            };
            (0..b * c * d * (h / 2) * (w / 2)).map(largest).collect()
        };
        against_differences(&op, &naive, &inputs, AGAINST_F64, "max pooling");
    }
}

#[test]
fn the_first_of_equal_voxels_gets_the_gradient() {
    let x = Tensor::<5>::zeros([1, 1, 1, 2, 4], &Device::flex().autodiff()).require_grad();
    let gradients = max_pool_planar(x.clone()).sum().backward();
    let dx = x.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
    assert_eq!(dx, [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn slices_of_all_planes() {
    let shape = [2, 2, 3, 4, 5];
    for (axis, at) in [(2, [2, 0]), (3, [1, 3]), (4, [4, 4])] {
        let op = |t: &[Tensor<1>]| flat(slices(t[0].clone().reshape(shape), axis, &at));
        against_burn(&op, &[numbers(240, 2)], &[true], 0.0, "slices");
        let naive = |t: &[Vec<f64>]| {
            let mut out = vec![];
            for (i, v) in t[0].iter().enumerate() {
                let position = [i / 120, i / 60 % 2, i / 20 % 3, i / 5 % 4, i % 5];
                if position[axis] == at[position[0]] {
                    out.push(*v);
                }
            }
            out
        };
        against_differences(&op, &naive, &[numbers(240, 2)], AGAINST_F64, "slices");
    }
}

#[test]
fn distances_of_features() {
    // One, and several stretches of positions; channels that fill no vector.
    for (shape, eps) in [([2, 3, 1, 5, 7], 1e-10), ([1, 33, 3, 9, 11], 0.5)] {
        let [b, c, d, h, w] = shape;
        let (n, volume) = (b * c * d * h * w, d * h * w);
        let inputs = vec![numbers(n, 7), numbers(n, 8), numbers(c, 9)];
        let op = |t: &[Tensor<1>]| {
            let of = |t: &Tensor<1>| t.clone().reshape(shape);
            feature_distance(of(&t[0]), of(&t[1]), t[2].clone(), eps)
        };
        against_burn(&op, &inputs, &[true, false, false], AGAINST_BURN, "distance");
        let (target, weight) = (inputs[1].clone(), inputs[2].clone());
        let fixed = |t: &[Tensor<1>]| {
            let constant =
                |v: &[f32]| Tensor::<1>::from_data(TensorData::new(v.to_vec(), [v.len()]), &t[0].device());
            op(&[t[0].clone(), constant(&target), constant(&weight)])
        };
        let naive = |t: &[Vec<f64>]| {
            let mut total = 0.0;
            for k in 0..b * volume {
                let at = |i: usize| (k / volume * c + i) * volume + k % volume;
                let length = |of: &dyn Fn(usize) -> f64| {
                    (0..c).map(|i| of(i).powi(2)).sum::<f64>().sqrt() + f64::from(eps)
                };
                let (p, q) = (|i: usize| t[0][at(i)], |i: usize| f64::from(target[at(i)]));
                let (lp, lq) = (length(&p), length(&q));
                total += (0..c).map(|i| f64::from(weight[i]) * (p(i) / lp - q(i) / lq).powi(2)).sum::<f64>();
            }
            vec![total / (b * volume) as f64]
        };
        against_differences(&fixed, &naive, &inputs[..1], AGAINST_F64, "distance");
    }
}

#[test]
fn a_feature_of_length_zero_gets_no_gradient() {
    let device = Device::flex().autodiff();
    let a = Tensor::<5>::zeros([1, 3, 1, 2, 2], &device).require_grad();
    let distance = feature_distance(a.clone(), a.clone().detach() + 1.0, Tensor::ones([3], &device), 1e-10);
    let gradients = distance.clone().backward();
    // Three channels of 1/√3 against 0: 1, to a few roundings.
    assert!((distance.into_scalar::<f32>() - 1.0).abs() < 1e-6);
    assert!(a.grad(&gradients).unwrap().abs().max().into_scalar::<f32>() == 0.0);
}

#[test]
fn batch_norm() {
    for shape in [[3, 4, 2, 3, 5], [1, 3, 4, 5, 7]] {
        let [b, c, d, h, w] = shape;
        let (n, volume) = (b * c * d * h * w, d * h * w);
        let layer = |t: &[Tensor<1>]| {
            let mut norm = BatchNorm::new(c, &t[0].device());
            norm.weight = burn::module::Param::from_tensor(t[1].clone());
            norm.bias = burn::module::Param::from_tensor(t[2].clone());
            norm.forward(t[0].clone().reshape(shape), Activation::LeakyRelu(0.2))
        };
        let op = |t: &[Tensor<1>]| flat(layer(t).0);
        let inputs = vec![numbers(n, 1), numbers(c, 2), numbers(c, 3)];
        against_burn(&op, &inputs, &[true; 3], AGAINST_BURN, "BatchNorm");
        let moments = |x: &[f64]| -> Vec<[f64; 2]> {
            let of_channel = |k: usize| (0..n).filter(move |i| i / volume % c == k);
            let count = (b * volume) as f64;
            let mean = |k: usize| of_channel(k).map(|i| x[i]).sum::<f64>() / count;
            let variance = |k: usize, m: f64| of_channel(k).map(|i| (x[i] - m).powi(2)).sum::<f64>() / count;
            (0..c).map(|k| [mean(k), variance(k, mean(k))]).collect()
        };
        let naive = |t: &[Vec<f64>]| {
            let m = moments(&t[0]);
            let y = |i: usize| {
                let k = i / volume % c;
                let u = (t[0][i] - m[k][0]) / (m[k][1] + 1e-5).sqrt() * t[1][k] + t[2][k];
                if u < 0.0 { 0.2 * u } else { u }
            };
            (0..n).map(y).collect()
        };
        against_differences(&op, &naive, &inputs, AGAINST_F64, "BatchNorm");

        let exact: Vec<f64> = inputs[0].iter().map(|v| f64::from(*v)).collect();
        let count = (b * volume) as f64;
        let (mean, variance): (Vec<f64>, Vec<f64>) =
            moments(&exact).into_iter().map(|[m, v]| (m, v * count / (count - 1.0))).unzip();
        for device in [Device::flex().autodiff(), crate::gradients::fallback()] {
            let leaves: Vec<Tensor<1>> = inputs
                .iter()
                .map(|v| Tensor::from_data(TensorData::new(v.clone(), [v.len()]), &device))
                .collect();
            let found = layer(&leaves).1;
            assert_close(&found.mean, &mean, AGAINST_F64, "mean");
            assert_close(&found.variance, &variance, AGAINST_F64, "variance");
            let norm = BatchNorm::new(c, &device).fold_in(&found);
            let values = |t: Tensor<1>| t.into_data().try_to_vec::<f32>().unwrap();
            let tenth: Vec<f64> = mean.iter().map(|m| 0.1 * m).collect();
            assert_close(&values(norm.running_mean.val()), &tenth, AGAINST_F64, "running mean");
            let moved: Vec<f64> = variance.iter().map(|v| 0.9 + 0.1 * v).collect();
            assert_close(&values(norm.running_var.val()), &moved, AGAINST_F64, "running variance");
        }
    }
}
