//! Exponential moving average of a module's weights: what the diffusion model is sampled with.
//!
//! Ho et al., "Denoising diffusion probabilistic models", NeurIPS 2020, appendix B.
use super::cpu::{self, ValuesMut, adam::blend};
use super::optim::{from_values, values};
use super::params;
use crate::error::Difference;
use crate::run::Tensors;
use burn::module::Module;
use burn::tensor::Tensor;
use std::collections::BTreeMap;

/// Averaged weights by parameter name.
#[derive(Clone, Debug)]
pub struct Ema {
    shadow: BTreeMap<String, (Vec<usize>, Tensor<1>)>,
}

impl Ema {
    /// The module's weights of now.
    pub fn new<M: Module>(module: &M) -> Self {
        let mut shadow = BTreeMap::new();
        params::visit(module, |name, shape, value| {
            shadow.insert(name, (shape, value));
        });
        Self { shadow }
    }

    /// `shadow = decay * shadow + (1 - decay) * weight`, for a module with the same parameters.
    pub fn update<M: Module>(&mut self, module: &M, decay: f64) {
        params::visit(module, |name, shape, value| {
            let (other, shadow) = self.shadow.remove(&name).expect("the parameters of Ema::new");
            assert_eq!(shape, other, "{name}");
            self.shadow.insert(name, (shape, average(decay, shadow, value)));
        });
    }

    /// The module with the averaged weights.
    pub fn apply<M: Module>(&self, module: M) -> M {
        params::map(module, |name, _| self.shadow[name].1.clone())
    }

    /// The averaged weights by name.
    pub fn state(&self) -> Tensors {
        self.shadow.iter().map(|(name, (shape, v))| (name.clone(), (shape.clone(), values(v)))).collect()
    }

    /// Averages that go on from saved ones. Whatever does not fit the module is listed, and begins with the module's
    /// weights.
    pub fn restore<M: Module>(module: &M, mut state: Tensors) -> (Self, Difference) {
        let mut ema = Self::new(module);
        let mut mismatch = Difference::default();
        for (name, (shape, value)) in &mut ema.shadow {
            match state.remove(name) {
                None => mismatch.missing.push((name.clone(), shape.clone())),
                Some((other, _)) if other != *shape => {
                    mismatch.wrong_shape.push((name.clone(), shape.clone(), other));
                }
                Some((_, saved)) => *value = from_values(saved, &value.device()),
            }
        }
        mismatch.extra = state.into_iter().map(|(name, (shape, _))| (name, shape)).collect();
        (ema, mismatch)
    }
}

fn average(decay: f64, shadow: Tensor<1>, value: Tensor<1>) -> Tensor<1> {
    let Some(v) = cpu::values(&value) else { return average_any(decay, shadow, value) };
    let mut shadow = ValuesMut::of(shadow).expect("averages on the weights' device");
    blend(decay, shadow.get(), v.get());
    shadow.tensor()
}

/// The same in Burn's operations.
fn average_any(decay: f64, shadow: Tensor<1>, value: Tensor<1>) -> Tensor<1> {
    shadow * decay + value * (1.0 - decay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn both_paths_agree() {
        let of = |f: fn(f32) -> f32| {
            from_values((0..40_003).map(|i| f(i as f32 * 0.37)).collect(), &Device::flex())
        };
        let [fast, slow] = [average, average_any].map(|a| a(0.995, of(f32::sin), of(f32::cos)));
        // The same operations on numbers of size 1.
        assert!((fast - slow).abs().max().into_scalar::<f32>() < 2e-7);
    }
}
