//! Normalisations, activations, additions, linear layers and losses: kernels with gradients against Burn's own
//! operations and against f64 references, at odd sizes and more than one item.
//!
//! Tolerances are parts of the largest value. 5e-6 against Burn: both round in f32, and Burn sums up to 3000 terms
//! in f32 in another order (found: 1.2e-6). 4e-6 against f64: roundings of 6e-8, in sums that partly cancel (found:
//! 1.1e-6).

use crate::gradients::{against_burn, against_differences, assert_close, numbers, run};
use burn::tensor::Tensor;
use difftumor::nn::activation::{Activation, activate, activate_add};
use difftumor::nn::elementwise::{add, cat_channels};
use difftumor::nn::layer_norm::{channel_layer_norm, layer_norm};
use difftumor::nn::linear::linear;
use difftumor::nn::loss::{mean_absolute_error, mean_squared_error};
use difftumor::nn::norm::{Normalisation, normalise};

const AGAINST_BURN: f64 = 5e-6;
const AGAINST_F64: f64 = 4e-6;

fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let n = x.dims().iter().product::<usize>();
    x.reshape([n])
}

/// A normalisation with every kind of parameter, as an operation on [x, weight, bias, scale, shift, slope, residual].
struct Case {
    shape: [usize; 5],
    /// 0: nothing is normalised.
    groups: usize,
    affine: bool,
    film: bool,
    activation: Activation,
}

const SILU: Activation = Activation::Silu;

impl Case {
    fn op(&self, t: &[Tensor<1>]) -> Tensor<1> {
        let [b, c, ..] = self.shape;
        let of_item = |t: &Tensor<1>| t.clone().reshape([b, c]);
        let n = Normalisation {
            groups: if self.groups > 0 { self.groups } else { c },
            eps: 1e-5,
            measured: self.groups > 0,
            affine: self.affine.then(|| (t[1].clone(), t[2].clone())),
            film: self.film.then(|| (of_item(&t[3]), of_item(&t[4]))),
            activation: match self.activation {
                Activation::PRelu(_) => Activation::PRelu(t[5].clone()),
                ref other => other.clone(),
            },
            residual: self.residual().then(|| t[6].clone().reshape(self.shape)),
        };
        flat(normalise(t[0].clone().reshape(self.shape), &n))
    }

    fn inputs(&self, mean: f32) -> Vec<Vec<f32>> {
        let [b, c, d, h, w] = self.shape;
        let mut all: Vec<Vec<f32>> = [b * c * d * h * w, c, c, b * c, b * c, 1, b * c * d * h * w]
            .into_iter()
            .enumerate()
            .map(|(i, n)| numbers(n, i as u64 + 3))
            .collect();
        all[0].iter_mut().for_each(|v| *v += mean);
        all[5][0] = 0.2;
        all
    }

    /// Half of the cases have one.
    fn residual(&self) -> bool {
        self.affine != self.film
    }

    fn wanted(&self) -> [bool; 7] {
        let slope = matches!(self.activation, Activation::PRelu(_));
        [true, self.affine, self.affine, self.film, self.film, slope, self.residual()]
    }

    fn naive(&self, t: &[Vec<f64>]) -> Vec<f64> {
        let [b, c, d, h, w] = self.shape;
        let (volume, per_group) = (d * h * w, c / self.groups.max(1));
        let mut out = t[0].clone();
        for group in out.chunks_mut(per_group * volume).take_while(|_| self.groups > 0) {
            let n = group.len() as f64;
            let mean = group.iter().sum::<f64>() / n;
            let var = group.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            group.iter_mut().for_each(|v| *v = (*v - mean) / (var + 1e-5).sqrt());
        }
        for i in 0..b * c {
            for v in &mut out[i * volume..(i + 1) * volume] {
                if self.affine {
                    *v = *v * t[1][i % c] + t[2][i % c];
                }
                if self.film {
                    *v = *v * (t[3][i] + 1.0) + t[4][i];
                }
                *v = exact(&self.activation, *v, t[5][0]);
            }
        }
        if self.residual() {
            out.iter_mut().zip(&t[6]).for_each(|(v, r)| *v += r);
        }
        out
    }
}

fn exact(activation: &Activation, x: f64, slope: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => x * normal(x),
        Activation::LeakyRelu(slope) => {
            if x < 0.0 {
                f64::from(*slope) * x
            } else {
                x
            }
        }
        Activation::PRelu(_) => {
            if x < 0.0 {
                slope * x
            } else {
                x
            }
        }
    }
}

/// Φ(x) by Simpson's rule with 400 steps, 1e-13 off.
fn normal(x: f64) -> f64 {
    let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let h = x / 400.0;
    let inner: f64 = (1..400).map(|i| [2.0, 4.0][i % 2] * density(i as f64 * h)).sum();
    0.5 + h / 3.0 * (density(0.0) + inner + density(x))
}

fn prelu() -> Activation {
    Activation::PRelu(Tensor::zeros([1], &burn::tensor::Device::flex()))
}

#[test]
fn normalisations_agree() {
    let cases = [
        Case { shape: [2, 12, 3, 5, 7], groups: 4, affine: true, film: true, activation: SILU },
        Case { shape: [2, 12, 3, 5, 7], groups: 0, affine: true, film: true, activation: SILU },
        Case { shape: [1, 3, 41, 43, 47], groups: 0, affine: true, film: false, activation: SILU },
        Case { shape: [3, 6, 4, 3, 9], groups: 2, affine: true, film: false, activation: Activation::None },
        Case { shape: [2, 5, 3, 5, 7], groups: 5, affine: false, film: false, activation: prelu() },
        Case { shape: [2, 5, 7, 5, 7], groups: 5, affine: true, film: true, activation: prelu() },
        Case {
            shape: [2, 7, 5, 3, 11],
            groups: 7,
            affine: false,
            film: false,
            activation: Activation::LeakyRelu(0.01),
        },
        Case { shape: [2, 4, 1, 2, 3], groups: 1, affine: false, film: true, activation: Activation::Gelu },
    ];
    for (i, case) in cases.iter().enumerate() {
        // A mean far from 0: the variance must not cancel.
        for mean in [0.0, 20.0] {
            let what = format!("normalisation {i} around {mean}");
            // An x of 20 is rounded by 1e-6, 20 times as much as one of 1 (found: 3e-6).
            let tolerance = if mean > 0.0 { 2e-5 } else { AGAINST_BURN };
            against_burn(&|t| case.op(t), &case.inputs(mean), &case.wanted(), tolerance, &what);
        }
    }
}

#[test]
fn normalisations_follow_the_differences() {
    for activation in [Activation::None, SILU, Activation::LeakyRelu(0.01), prelu()] {
        for (groups, affine, film) in [(2, true, true), (4, false, false), (4, true, false), (1, false, true)]
        {
            let case = Case { shape: [2, 4, 2, 3, 3], groups, affine, film, activation: activation.clone() };
            let what = format!("{activation:?} {groups} {affine} {film}");
            // Parameters that the case does not use have no gradient: their inputs take no part.
            let inputs: Vec<Vec<f32>> = case.inputs(0.3);
            let used = case.wanted();
            let chosen: Vec<Vec<f32>> =
                inputs.iter().zip(used).filter(|(_, u)| *u).map(|(v, _)| v.clone()).collect();
            let op = |t: &[Tensor<1>]| {
                let mut given = t.iter().cloned();
                let all: Vec<Tensor<1>> = used
                    .iter()
                    .map(|u| if *u { given.next().unwrap() } else { Tensor::zeros([1], &t[0].device()) })
                    .collect();
                case.op(&all)
            };
            let naive = |t: &[Vec<f64>]| {
                let mut given = t.iter().cloned();
                let all: Vec<Vec<f64>> =
                    used.iter().map(|u| if *u { given.next().unwrap() } else { vec![0.0] }).collect();
                case.naive(&all)
            };
            against_differences(&op, &naive, &chosen, AGAINST_F64, &what);
        }
    }
}

/// Groups too large for the cache are summed in pieces, and so are channels where x wants no gradient.
#[test]
fn large_groups_agree() {
    let case = Case { shape: [1, 2, 41, 43, 47], groups: 1, affine: true, film: true, activation: prelu() };
    let mut inputs = case.inputs(0.5);
    against_burn(&|t| case.op(t), &inputs, &case.wanted(), AGAINST_BURN, "large group");
    // A weight of 0 for the first channel: only the other one moves the moments' gradients.
    inputs[1][0] = 0.0;
    let wanted = [false, true, true, true, true, true, false];
    let (_, all) = run(&|t| case.op(t), &inputs, &case.wanted(), &burn::tensor::Device::flex().autodiff());
    let (_, some) = run(&|t| case.op(t), &inputs, &wanted, &burn::tensor::Device::flex().autodiff());
    assert_eq!(all[1..], some[..], "the parameters' gradients do not depend on x's being wanted");
}

#[test]
fn activations_agree() {
    let n = 3 * 16_384 + 77;
    for activation in [Activation::None, SILU, Activation::Gelu, Activation::LeakyRelu(0.01), prelu()] {
        let of = |t: &Tensor<1>| match activation {
            Activation::PRelu(_) => Activation::PRelu(t.clone()),
            ref other => other.clone(),
        };
        let alone = |t: &[Tensor<1>]| activate(t[0].clone(), &of(&t[2]));
        let after_sum = |t: &[Tensor<1>]| activate_add(t[0].clone(), t[1].clone(), &of(&t[2]));
        let learned = matches!(activation, Activation::PRelu(_));
        let wide: Vec<f32> = numbers(n, 5).iter().map(|v| v * 6.0).collect();
        let inputs = [wide, numbers(n, 6), vec![0.25]];
        let what = format!("{activation:?}");
        against_burn(&alone, &inputs, &[true, false, learned], AGAINST_BURN, &what);
        against_burn(&after_sum, &inputs, &[true, true, learned], AGAINST_BURN, &what);

        let few = [numbers(40, 7), numbers(40, 8), vec![0.25]].map(|v| v.iter().map(|v| v * 3.0).collect());
        let naive = |t: &[Vec<f64>]| -> Vec<f64> {
            let slope = if learned { t[2][0] } else { 0.0 };
            t[0].iter().zip(&t[1]).map(|(x, r)| exact(&activation, x + r, slope)).collect()
        };
        let count = if learned { 3 } else { 2 };
        let after_sum = |t: &[Tensor<1>]| {
            let slope = if learned { t[2].clone() } else { t[0].clone() };
            activate_add(t[0].clone(), t[1].clone(), &of(&slope))
        };
        against_differences(&after_sum, &naive, &few[..count], AGAINST_F64, &what);
    }
}

#[test]
fn layer_norms_agree() {
    for (rows, c) in [(37, 48), (1003, 33), (5, 1537), (2, 3)] {
        for affine in [true, false] {
            let op = |t: &[Tensor<1>]| {
                let affine = affine.then(|| (t[1].clone(), t[2].clone()));
                flat(layer_norm(t[0].clone().reshape([1, rows, c]), affine, 1e-5))
            };
            let x: Vec<f32> = numbers(rows * c, 11).iter().map(|v| v * 2.0 + 3.0).collect();
            let inputs = [x, numbers(c, 12), numbers(c, 13)];
            against_burn(&op, &inputs, &[true, affine, affine], AGAINST_BURN, &format!("rows {rows} × {c}"));
        }
    }
    for (b, c, d, h, w) in [(2, 13, 3, 5, 7), (1, 64, 2, 3, 5), (2, 5, 13, 17, 19)] {
        for weighted in [true, false] {
            let op = |t: &[Tensor<1>]| {
                let x = t[0].clone().reshape([b, c, d, h, w]);
                flat(channel_layer_norm(x, weighted.then(|| t[1].clone()), 1e-5))
            };
            let x: Vec<f32> = numbers(b * c * d * h * w, 14).iter().map(|v| v + 2.0).collect();
            let what = format!("channels {c} of {d} × {h} × {w}");
            against_burn(&op, &[x, numbers(c, 15)], &[true, weighted], AGAINST_BURN, &what);
        }
    }
}

/// LayerNorm of rows in f64; rows of channels-first volumes are gathered by the callers.
fn naive_rows(x: &[f64], c: usize) -> Vec<f64> {
    x.chunks(c)
        .flat_map(|row| {
            let mean = row.iter().sum::<f64>() / c as f64;
            let var = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / c as f64;
            row.iter().map(move |v| (v - mean) / (var + 1e-5).sqrt()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn layer_norms_follow_the_differences() {
    let (rows, c) = (5, 19);
    let op = |t: &[Tensor<1>]| {
        let affine = Some((t[1].clone(), t[2].clone()));
        flat(layer_norm(t[0].clone().reshape([rows, c]), affine, 1e-5))
    };
    let naive = |t: &[Vec<f64>]| -> Vec<f64> {
        naive_rows(&t[0], c).iter().enumerate().map(|(i, v)| v * t[1][i % c] + t[2][i % c]).collect()
    };
    let inputs = [numbers(rows * c, 21), numbers(c, 22), numbers(c, 23)];
    against_differences(&op, &naive, &inputs, AGAINST_F64, "rows");

    let (b, c, volume) = (2, 6, 2 * 3 * 3);
    let op = |t: &[Tensor<1>]| {
        flat(channel_layer_norm(t[0].clone().reshape([b, c, 2, 3, 3]), Some(t[1].clone()), 1e-5))
    };
    let naive = |t: &[Vec<f64>]| -> Vec<f64> {
        let at = |i: usize| (i / (c * volume), i / volume % c, i % volume);
        let mut rows = vec![0.0; b * c * volume];
        for (i, v) in t[0].iter().enumerate() {
            let (item, channel, voxel) = at(i);
            rows[(item * volume + voxel) * c + channel] = *v;
        }
        let rows = naive_rows(&rows, c);
        (0..rows.len())
            .map(|i| {
                let (item, channel, voxel) = at(i);
                rows[(item * volume + voxel) * c + channel] * t[1][channel]
            })
            .collect()
    };
    let inputs = [numbers(b * c * volume, 24), numbers(c, 25)];
    against_differences(&op, &naive, &inputs, AGAINST_F64, "channels");
}

#[test]
fn additions_and_concatenations_agree() {
    let (a, b) = ([2usize, 3, 17, 19, 31], [2usize, 5, 17, 19, 31]);
    let sizes = [a, b].map(|s| s.iter().product::<usize>());
    let joined = |t: &[Tensor<1>]| flat(cat_channels(t[0].clone().reshape(a), t[1].clone().reshape(b)));
    let inputs = sizes.map(|n| numbers(n, n as u64));
    // Copies, but that the result's gradient comes through a product by both ways.
    against_burn(&joined, &inputs, &[true, true], 1e-7, "both joined");
    against_burn(&joined, &inputs, &[false, true], 1e-7, "one joined");
    let sum = |t: &[Tensor<1>]| add(add(t[0].clone(), t[1].clone()), t[0].clone());
    let inputs = [numbers(40_001, 31), numbers(40_001, 32)];
    against_burn(&sum, &inputs, &[true, true], 2e-7, "sum");
}

#[test]
fn linear_layers_agree() {
    // Outputs and inputs that fill no vector, one row, and rows of more than one part.
    for (rows, inputs, outputs) in [(1, 24, 96), (37, 48, 192), (300, 33, 7), (50, 1, 1), (17_000, 5, 3)] {
        for bias in [true, false] {
            let op = |t: &[Tensor<1>]| {
                let weight = t[1].clone().reshape([outputs, inputs]);
                flat(linear(t[0].clone().reshape([rows, inputs]), weight, bias.then(|| t[2].clone())))
            };
            let given = [numbers(rows * inputs, 41), numbers(outputs * inputs, 42), numbers(outputs, 43)];
            let what = format!("{rows} × {inputs} → {outputs}");
            // Sums over 17000 rows, which Burn does in f32, lose more (found: 5e-6).
            let tolerance = if rows > 10_000 { 2e-5 } else { AGAINST_BURN };
            against_burn(&op, &given, &[true, true, bias], tolerance, &what);
        }
    }
    let (rows, inputs, outputs) = (7, 5, 9);
    let op = |t: &[Tensor<1>]| {
        let weight = t[1].clone().reshape([outputs, inputs]);
        flat(linear(t[0].clone().reshape([rows, inputs]), weight, Some(t[2].clone())))
    };
    let naive = |t: &[Vec<f64>]| -> Vec<f64> {
        let dot = |r: usize, o: usize| {
            (0..inputs).map(|i| t[0][r * inputs + i] * t[1][o * inputs + i]).sum::<f64>() + t[2][o]
        };
        (0..rows * outputs).map(|k| dot(k / outputs, k % outputs)).collect()
    };
    let given = [numbers(rows * inputs, 44), numbers(outputs * inputs, 45), numbers(outputs, 46)];
    against_differences(&op, &naive, &given, AGAINST_F64, "linear");
}

#[test]
fn errors_agree() {
    for n in [1, 77, 100_003] {
        let inputs = [numbers(n, 51), numbers(n, 52)];
        let absolute = |t: &[Tensor<1>]| mean_absolute_error(t[0].clone(), t[1].clone());
        let squared = |t: &[Tensor<1>]| mean_squared_error(t[0].clone(), t[1].clone());
        let mean = |f: fn(f64) -> f64| {
            move |t: &[Vec<f64>]| -> Vec<f64> {
                let sum: f64 = t[0].iter().zip(&t[1]).map(|(a, b)| f(a - b)).sum();
                vec![sum / t[0].len() as f64]
            }
        };
        for (op, naive) in [
            (&absolute as crate::gradients::Op, mean(f64::abs)),
            (&squared as crate::gradients::Op, mean(|d| d * d)),
        ] {
            against_burn(op, &inputs, &[true, true], AGAINST_BURN, &format!("error of {n}"));
            if n < 100 {
                against_differences(op, &naive, &inputs, AGAINST_F64, &format!("error of {n}"));
            } else {
                let exact: Vec<Vec<f64>> =
                    inputs.iter().map(|v| v.iter().map(|v| f64::from(*v)).collect()).collect();
                let device = burn::tensor::Device::flex().autodiff();
                let found = run(op, &inputs, &[true, true], &device).0;
                assert_close(&found, &naive(&exact), 1e-7, "a long mean has no error but its last rounding");
            }
        }
    }
    // Equal values: no slope.
    let same = [vec![0.5; 9], vec![0.5; 9]];
    let op = |t: &[Tensor<1>]| mean_absolute_error(t[0].clone(), t[1].clone());
    let (_, found) = run(&op, &same, &[true, true], &burn::tensor::Device::flex().autodiff());
    assert_eq!(found, [vec![0.0; 9], vec![0.0; 9]]);
}
