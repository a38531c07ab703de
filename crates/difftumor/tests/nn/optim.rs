//! Adam, AdamW and averaged weights: against PyTorch 2.11, and saved in the middle.
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use difftumor::nn::Linear;
use difftumor::nn::ema::Ema;
use difftumor::nn::optim::{Adam, AdamConfig, WeightDecay};
use difftumor::nn::state::{fill, read};
use difftumor::run::Tensors;

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Weight `[2, 3]` and bias `[2]` with values cos(0.9 i).
fn model(device: &Device) -> Linear {
    let of = |range: std::ops::Range<usize>| range.map(|i| (0.9 * i as f64).cos() as f32).collect::<Vec<_>>();
    let state =
        Tensors::from([("weight".into(), (vec![2, 3], of(0..6))), ("bias".into(), (vec![2], of(6..8)))]);
    let (model, mismatch) = fill(Linear::new(3, 2, device), state, |n| n.into());
    assert!(mismatch.is_empty(), "{mismatch}");
    model
}

/// One step with gradients sin(1.3 i + 0.7 t) and learning rate 0.01 (t + 1).
fn step(optimizer: &mut Adam, model: Linear, t: usize) -> Linear {
    let device = model.weight.val().device();
    let g: Vec<f32> = (0..8).map(|i| (1.3 * i as f64 + 0.7 * t as f64).sin() as f32).collect();
    let weight = tensor(g[..6].to_vec(), [2, 3], &device);
    let bias = tensor(g[6..].to_vec(), [2], &device);
    let b = model.bias.as_ref().expect("a bias").val();
    let loss = (model.weight.val() * weight).sum() + (b * bias).sum();
    let gradients = GradientsParams::from_grads(loss.backward(), &model);
    optimizer.step(model, gradients, 0.01 * (t + 1) as f64)
}

fn all(model: &Linear) -> Vec<f32> {
    let state = read(model, |n| n.into());
    [&state["weight"].1[..], &state["bias"].1[..]].concat()
}

/// torch.optim.Adam and AdamW (foreach=False) and clip_grad_norm_ of PyTorch 2.11, five steps.
#[test]
fn five_steps_are_those_of_pytorch() {
    let cases = [
        (
            WeightDecay::Coupled(0.0),
            None,
            [
                0.880340457,
                0.527879417,
                -0.175651968,
                -0.777953625,
                -0.876791,
                -0.346824855,
                0.558645248,
                1.08096993,
            ],
        ),
        (
            WeightDecay::Coupled(0.1),
            None,
            [
                0.864874005,
                0.522522807,
                -0.171677753,
                -0.774141073,
                -0.862575948,
                -0.345752895,
                0.551844358,
                1.06455791,
            ],
        ),
        (
            WeightDecay::Decoupled(0.1),
            None,
            [
                0.866011262,
                0.519366384,
                -0.172233298,
                -0.765295684,
                -0.86388284,
                -0.342888027,
                0.549881995,
                1.065853119,
            ],
        ),
        (
            WeightDecay::Decoupled(0.1),
            Some(0.5),
            [
                0.865516365,
                0.519561946,
                -0.174642473,
                -0.765988529,
                -0.860790014,
                -0.343418032,
                0.54921937,
                1.064783692,
            ],
        ),
    ];
    for device in [Device::flex().autodiff(), Device::flex().autodiff().gradient_checkpointing()] {
        for (weight_decay, max_norm, want) in cases {
            let mut optimizer =
                AdamConfig { betas: [0.9, 0.99], weight_decay, max_norm, ..AdamConfig::default() }.init();
            let model = (0..5).fold(model(&device), |m, t| step(&mut optimizer, m, t));
            for (found, want) in all(&model).iter().zip(want) {
                // Five steps with a handful of roundings of 6e-8 each.
                assert!((f64::from(*found) - want).abs() < 5e-7, "{weight_decay:?}: {found} for {want}");
            }
        }
    }
}

#[test]
fn a_restored_optimizer_goes_on_as_if_nothing_happened() {
    let device = Device::flex().autodiff();
    let config = AdamConfig { weight_decay: WeightDecay::Decoupled(0.1), ..AdamConfig::default() };
    let mut through = config.init();
    let whole = (0..4).fold(model(&device), |m, t| step(&mut through, m, t));

    let mut first = config.init();
    let half = (0..2).fold(model(&device), |m, t| step(&mut first, m, t));
    let (weights, state) = (read(&half, |n| n.into()), first.state());
    assert_eq!(state["weight.step"], (vec![1], vec![2.0]));
    assert_eq!(state["weight.exp_avg"].0, [2, 3]);
    assert_eq!(state.len(), 6);
    let (resumed, _) = fill(Linear::new(3, 2, &device), weights, |n| n.into());
    let (mut second, mismatch) = Adam::restore(config, &resumed, state.clone());
    assert!(mismatch.is_empty(), "{mismatch}");
    let resumed = (2..4).fold(resumed, |m, t| step(&mut second, m, t));
    assert_eq!(all(&resumed), all(&whole));
    assert_eq!(second.state(), through.state());

    let mut bad = state;
    bad.insert("other.step".into(), (vec![1], vec![2.0]));
    bad.remove("bias.exp_avg");
    bad.insert("weight.exp_avg".into(), (vec![3], vec![0.0; 3]));
    let (_, mismatch) = Adam::restore(config, &resumed, bad);
    assert_eq!(mismatch.extra, [("other.step".into(), vec![1])]);
    assert_eq!(mismatch.missing, [("bias.exp_avg".into(), vec![2])]);
    assert_eq!(mismatch.wrong_shape, [("weight.exp_avg".into(), vec![2, 3], vec![3])]);
}

/// A parameter that the loss does not depend on stays, and has no state.
#[test]
fn a_parameter_without_gradient_stays() {
    let device = Device::flex().autodiff();
    let old = model(&device);
    let loss = (old.weight.val() * 2.0).sum();
    let gradients = GradientsParams::from_grads(loss.backward(), &old);
    let mut optimizer = AdamConfig::default().init();
    let before = all(&old);
    let kept = old.clone();
    let new = optimizer.step(old, gradients, 0.1);
    assert_eq!(all(&new)[6..], before[6..]);
    // The first step of Adam is lr times the gradient's sign (1 - ε).
    assert!(all(&new)[..6].iter().zip(&before).all(|(a, b)| (b - a - 0.1).abs() < 1e-6));
    assert_eq!(
        optimizer.state().keys().collect::<Vec<_>>(),
        ["weight.exp_avg", "weight.exp_avg_sq", "weight.step"]
    );
    assert_eq!(all(&kept), before, "another handle of the module is not changed");
    assert!(new.weight.val().is_require_grad());
}

#[test]
fn averages_follow_the_weights() {
    let device = Device::flex().autodiff();
    let old = model(&device);
    let before = all(&old);
    let mut ema = Ema::new(&old);
    let mut optimizer = AdamConfig::default().init();
    let mut module = old;
    let mut want: Vec<f64> = before.iter().map(|v| f64::from(*v)).collect();
    for t in 0..4 {
        module = step(&mut optimizer, module, t);
        ema.update(&module, 0.9);
        for (w, v) in want.iter_mut().zip(all(&module)) {
            *w = 0.9 * *w + 0.1 * f64::from(v);
        }
    }
    let averaged = all(&ema.apply(module.clone()));
    // Four steps of two roundings of numbers up to 1.
    assert!(averaged.iter().zip(&want).all(|(a, b)| (f64::from(*a) - b).abs() < 5e-7));
    assert!(ema.apply(module.clone().valid()).weight.val().dims() == [2, 3]);

    let (mut again, mismatch) = Ema::restore(&module, ema.state());
    assert!(mismatch.is_empty(), "{mismatch}");
    again.update(&module, 0.9);
    ema.update(&module, 0.9);
    assert_eq!(again.state(), ema.state());
    let (_, mismatch) = Ema::restore(&module, Tensors::from([("weight".into(), (vec![6], vec![0.0; 6]))]));
    assert_eq!((mismatch.missing.len(), mismatch.wrong_shape.len()), (1, 1));
}
