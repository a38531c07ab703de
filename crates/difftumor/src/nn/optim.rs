//! Adam and AdamW (PyTorch's formulas), with clipping of the gradients' global norm and a state that can be saved.
//!
//! Kingma and Ba, "Adam", ICLR 2015, algorithm 1; Loshchilov and Hutter, "Decoupled weight decay regularization",
//! ICLR 2019, algorithm 2. Burn's optimisers take nine passes over the memory, on one thread, for what is one here.
use super::cpu::adam::{AdamStep, adam_step};
use super::cpu::sum::{Sums, sum_pieces};
use super::cpu::{self, ValuesMut};
use super::params;
use crate::error::Difference;
use crate::run::Tensors;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use std::collections::BTreeMap;

/// Where the weight decay acts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightDecay {
    /// Added to the gradient, times the parameter (Adam).
    Coupled(f64),
    /// The parameter shrinks by it times the learning rate (AdamW).
    Decoupled(f64),
}

/// Makes an [`Adam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// β₁ and β₂.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// None is `Coupled(0.0)`.
    pub weight_decay: WeightDecay,
    /// Gradients are scaled down to this norm over all parameters.
    pub max_norm: Option<f64>,
}

impl Default for AdamConfig {
    /// PyTorch's Adam: β 0.9 and 0.999, ε 1e-8, no weight decay, no clipping.
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, weight_decay: WeightDecay::Coupled(0.0), max_norm: None }
    }
}

impl AdamConfig {
    /// An optimiser that has made no step.
    pub fn init(self) -> Adam {
        Adam { config: self, state: BTreeMap::new() }
    }

    fn step(&self, time: u64, lr: f64, gradient_factor: f64) -> AdamStep {
        let [b1, b2] = self.betas;
        // Exponents beyond i32 give 0 either way.
        let power = |b: f64| b.powi(i32::try_from(time).unwrap_or(i32::MAX));
        let (coupled, keep) = match self.weight_decay {
            WeightDecay::Coupled(d) => (d, 1.0),
            WeightDecay::Decoupled(d) => (0.0, 1.0 - lr * d),
        };
        AdamStep {
            betas: [b1 as f32, b2 as f32],
            rest: [(1.0 - b1) as f32, (1.0 - b2) as f32],
            gradient_factor: gradient_factor as f32,
            coupled_decay: coupled as f32,
            keep: keep as f32,
            step_size: (lr / (1.0 - power(b1))) as f32,
            root_correction: (1.0 / (1.0 - power(b2)).sqrt()) as f32,
            eps: self.eps as f32,
        }
    }
}

/// State of one parameter.
#[derive(Clone, Debug)]
struct State {
    time: u64,
    shape: Vec<usize>,
    first: Tensor<1>,
    second: Tensor<1>,
}

/// Names of a state's tensors after the parameter's name, as PyTorch has them.
const PARTS: [&str; 3] = ["step", "exp_avg", "exp_avg_sq"];

/// Adam or AdamW over the parameters of one module; the state goes by their names.
#[derive(Clone, Debug)]
pub struct Adam {
    config: AdamConfig,
    state: BTreeMap<String, State>,
}

impl Adam {
    /// The module after one step with learning rate `lr`. Parameters without a gradient stay as they are.
    pub fn step<M: Module>(&mut self, module: M, gradients: GradientsParams, lr: f64) -> M {
        let shapes = params::shapes(&module);
        let mut gradients = params::gradients(&module, gradients);
        let factor = match self.config.max_norm {
            None => 1.0,
            // PyTorch's clip_grad_norm_.
            Some(most) => (most / (norm(gradients.values()) + 1e-6)).min(1.0),
        };
        params::map(module, |name, param| {
            let Some(gradient) = gradients.remove(name) else { return param };
            let State { time, shape, first, second } = self.state.remove(name).unwrap_or_else(|| State {
                time: 0,
                shape: shapes[name].clone(),
                first: gradient.zeros_like(),
                second: gradient.zeros_like(),
            });
            let step = self.config.step(time + 1, lr, factor);
            let [param, first, second] = update(&step, [param, first, second], gradient);
            self.state.insert(name.into(), State { time: time + 1, shape, first, second });
            param
        })
    }

    /// The state by name: `<parameter>.step` `[1]`, and the moments `.exp_avg` and `.exp_avg_sq` in its shape.
    pub fn state(&self) -> Tensors {
        let mut all = Tensors::new();
        for (name, state) in &self.state {
            let mut insert = |part: &str, shape: &[usize], values| {
                all.insert(format!("{name}.{part}"), (shape.to_vec(), values));
            };
            insert(PARTS[0], &[1], vec![state.time as f32]); // exact below 2^24 steps
            insert(PARTS[1], &state.shape, values(&state.first));
            insert(PARTS[2], &state.shape, values(&state.second));
        }
        all
    }

    /// An optimiser that goes on from a saved state of the same module. A parameter with no tensor in `state` never
    /// had a gradient, and begins anew; whatever else does not fit is listed and left out.
    pub fn restore<M: Module>(config: AdamConfig, module: &M, mut state: Tensors) -> (Self, Difference) {
        let mut optimizer = config.init();
        let mut mismatch = Difference::default();
        params::visit(module, |name, shape, param| {
            let names = PARTS.map(|part| format!("{name}.{part}"));
            if names.iter().all(|n| !state.contains_key(n)) {
                return;
            }
            let wanted = [vec![1], shape.clone(), shape.clone()];
            let found: Vec<Vec<f32>> = names
                .into_iter()
                .zip(wanted)
                .filter_map(|(name, shape)| match state.remove(&name) {
                    None => {
                        mismatch.missing.push((name, shape));
                        None
                    }
                    Some((other, values)) if other != shape => {
                        mismatch.wrong_shape.push((name, shape, other));
                        drop(values);
                        None
                    }
                    Some((_, values)) => Some(values),
                })
                .collect();
            let Ok([time, first, second]) = <[Vec<f32>; 3]>::try_from(found) else { return };
            let device = param.device();
            let moments = [first, second].map(|m| from_values(m, &device));
            let [first, second] = moments;
            optimizer.state.insert(name, State { time: time[0] as u64, shape, first, second });
        });
        mismatch.extra = state.into_iter().map(|(name, (shape, _))| (name, shape)).collect();
        (optimizer, mismatch)
    }
}

pub(super) fn values(x: &Tensor<1>) -> Vec<f32> {
    x.to_data().convert::<f32>().try_to_vec::<f32>().expect("a float tensor")
}

pub(super) fn from_values(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}

/// √ Σ x² over all tensors, summed in f64 in a fixed order.
fn norm<'a>(tensors: impl Iterator<Item = &'a Tensor<1>>) -> f64 {
    let square = |x: &Tensor<1>| match cpu::values(x) {
        Some(v) => sum_pieces(v.get(), v.get(), Sums::Product),
        None => values(&(x.clone() * x.clone()).sum())[0].into(),
    };
    tensors.map(square).sum::<f64>().sqrt()
}

/// Parameter and moments after one step.
fn update(step: &AdamStep, old: [Tensor<1>; 3], gradient: Tensor<1>) -> [Tensor<1>; 3] {
    let Some(g) = cpu::values(&gradient) else { return update_any(step, old, gradient) };
    let mut new = old.map(|t| ValuesMut::of(t).expect("parameters and state on the gradient's device"));
    let [param, first, second] = &mut new;
    adam_step(*step, param.get(), g.get(), first.get(), second.get());
    new.map(ValuesMut::tensor)
}

/// The same in Burn's operations.
fn update_any(s: &AdamStep, [param, first, second]: [Tensor<1>; 3], gradient: Tensor<1>) -> [Tensor<1>; 3] {
    let g = gradient * s.gradient_factor + param.clone() * s.coupled_decay;
    let first = first * s.betas[0] + g.clone() * s.rest[0];
    let second = second * s.betas[1] + g.clone() * g * s.rest[1];
    let change = first.clone() / (second.clone().sqrt() * s.root_correction + s.eps);
    [param * s.keep - change * s.step_size, first, second]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The path of other devices, which no test machine has, gives what the kernel gives.
    #[test]
    fn both_paths_agree() {
        let device = Device::flex();
        let of = |f: fn(f32) -> f32| {
            from_values((0..40_003).map(|i| f(i as f32 * 0.37)).collect::<Vec<_>>(), &device)
        };
        let old = || [of(f32::sin), of(f32::cos), of(|x| x.sin().powi(2))];
        let config = AdamConfig { weight_decay: WeightDecay::Decoupled(0.1), ..AdamConfig::default() };
        for weight_decay in [WeightDecay::Coupled(0.1), config.weight_decay] {
            let step = AdamConfig { weight_decay, ..config }.step(3, 0.01, 0.5);
            let (fast, slow) = (update(&step, old(), of(f32::cos)), update_any(&step, old(), of(f32::cos)));
            for (a, b) in fast.iter().zip(&slow) {
                // The same operations on numbers of size 1, in the same order but for one association.
                assert!((a.clone() - b.clone()).abs().max().into_scalar::<f32>() < 3e-7);
            }
        }
    }
}
