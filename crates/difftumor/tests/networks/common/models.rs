//! Models with the weight rule's numbers, on the device that the environment names.
use super::rule::rule_value;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Gradients, Tensor};
use difftumor::nn::params;
use difftumor::nn::state::{fill, read};
use difftumor::run::Tensors;
use std::collections::BTreeMap;

/// The CPU, or the device that `DIFFTUMOR_DEVICE` names (as `--device`).
pub fn device() -> Device {
    let name = std::env::var("DIFFTUMOR_DEVICE").unwrap_or("cpu".into());
    difftumor::device::parse(&name).unwrap_or_else(|e| panic!("{e}"))
}

/// A model with the weight rule's numbers; `published` as for [`fill`].
pub fn with_rule_weights<M: Module>(model: M, published: impl Fn(&str) -> String + Copy) -> M {
    let state: Tensors = read(&model, published)
        .into_iter()
        .map(|(name, (shape, _))| {
            let values = rule_value(&name, &shape).unwrap();
            (name, (shape, values))
        })
        .collect();
    let (model, mismatch) = fill(model, state, published);
    assert!(mismatch.is_empty(), "{mismatch}");
    model
}

/// The gradients of a loss by published name.
pub fn gradients<M: Module>(
    model: &M,
    loss: &Tensor<1>,
    published: impl Fn(&str) -> String,
) -> BTreeMap<String, Vec<f32>> {
    let found = params::gradients(model, GradientsParams::from_grads(loss.backward(), model));
    let values = |g: Tensor<1>| g.into_data().convert::<f32>().try_to_vec::<f32>().unwrap();
    found.into_iter().map(|(path, g)| (published(&path), values(g))).collect()
}

struct Reader<'a, F> {
    path: Vec<String>,
    published: F,
    gradients: &'a Gradients,
    found: Tensors,
}

impl<F: Fn(&str) -> String> ModuleVisitor for Reader<'_, F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(t) = param.val().grad(self.gradients) {
            let shape = t.dims().to_vec();
            let values = t.into_data().convert::<f32>().try_to_vec::<f32>().unwrap();
            self.found.insert((self.published)(&self.path.join(".")), (shape, values));
        }
    }
}

/// One module's share of the gradients of a loss of several, with shapes; weights that got none are left out.
pub fn gradients_of<M: Module>(
    module: &M,
    gradients: &Gradients,
    published: impl Fn(&str) -> String,
) -> Tensors {
    let mut reader = Reader { path: vec![], published, gradients, found: Tensors::new() };
    module.visit(&mut reader);
    reader.found
}
