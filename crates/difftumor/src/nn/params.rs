//! A module's float parameters by name, flattened: what optimisers and averages of weights work on.
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use std::collections::BTreeMap;

struct Visitor<F> {
    path: Vec<String>,
    see: F,
}

impl<F: FnMut(String, Vec<usize>, Tensor<1>)> ModuleVisitor for Visitor<F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val().without_autodiff();
        (self.see)(self.path.join("."), value.dims().to_vec(), flat(value));
    }
}

/// Shows `see` the name, shape and values of every parameter, outside of autodiff.
pub fn visit<M: Module>(module: &M, see: impl FnMut(String, Vec<usize>, Tensor<1>)) {
    module.visit(&mut Visitor { path: vec![], see });
}

/// Draws every parameter that has not been drawn yet. Burn does so when a parameter is first looked at: its values would then
/// depend on what was drawn before, and a lazy parameter whose clone was frozen by `no_grad` never gets a gradient.
pub fn draw<M: Module>(module: &M) {
    visit(module, |_, _, _| ());
}

/// The shape of every parameter by name.
pub fn shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::new();
    visit(module, |name, shape, _| {
        shapes.insert(name, shape);
    });
    shapes
}

struct GradientVisitor<'a> {
    path: Vec<String>,
    gradients: &'a mut GradientsParams,
    found: BTreeMap<String, Tensor<1>>,
}

impl ModuleVisitor for GradientVisitor<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.found.insert(self.path.join("."), flat(gradient.without_autodiff()));
        }
    }
}

/// The gradients of a module's parameters by name; parameters that the loss does not depend on have none.
pub fn gradients<M: Module>(module: &M, mut gradients: GradientsParams) -> BTreeMap<String, Tensor<1>> {
    let mut visitor = GradientVisitor { path: vec![], gradients: &mut gradients, found: BTreeMap::new() };
    module.visit(&mut visitor);
    visitor.found
}

struct Mapper<F> {
    path: Vec<String>,
    change: F,
}

impl<F: FnMut(&str, Tensor<1>) -> Tensor<1>> ModuleMapper for Mapper<F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (name, change) = (self.path.join("."), &mut self.change);
        param.map(|old| {
            let (shape, recorded) = (old.dims(), old.is_require_grad());
            let strategy = old.gradient_checkpointing_strategy();
            let new = change(&name, flat(old.without_autodiff())).reshape(shape);
            // Back to where the parameter was, with the strategy that its operations must share.
            match strategy {
                None => new,
                Some(s) => {
                    Tensor::from_inner(new).with_gradient_checkpointing_strategy(s).set_require_grad(recorded)
                }
            }
        })
    }
}

/// The module with every parameter's values replaced by what `change` makes of them, of the same number.
pub fn map<M: Module>(module: M, change: impl FnMut(&str, Tensor<1>) -> Tensor<1>) -> M {
    module.map(&mut Mapper { path: vec![], change })
}

fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let n: usize = x.dims().iter().product();
    x.reshape([n])
}
