//! Weights by name: fills a module from a name → tensor map, and reads a module into one.
//!
//! Names are the fields' path joined by dots, passed through a model's own `published` function, so that files keep
//! the names of the published checkpoints.
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use std::collections::BTreeMap;

/// Tensors by name: shape and values in C order.
pub type StateDict = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// What did not fit when a module was filled.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Names that the module has and the map has not.
    pub missing: Vec<String>,
    /// Names that the map has and the module has not.
    pub extra: Vec<String>,
    /// Name, expected shape, found shape.
    pub wrong_shape: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    /// Whether everything fitted.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.wrong_shape.is_empty()
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wrong: Vec<String> = self
            .wrong_shape
            .iter()
            .map(|(n, want, got)| format!("{n} {got:?} instead of {want:?}"))
            .collect();
        for (what, list) in [("missing", &self.missing), ("extra", &self.extra), ("wrong shape", &wrong)] {
            if !list.is_empty() {
                write!(f, "{what} ({}): {}; ", list.len(), list.join(", "))?;
            }
        }
        Ok(())
    }
}

struct Filler<'a, F> {
    path: Vec<String>,
    published: F,
    state: &'a mut StateDict,
    mismatch: Mismatch,
}

impl<F: Fn(&str) -> String> ModuleMapper for Filler<'_, F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = (self.published)(&self.path.join("."));
        let Some((shape, values)) = self.state.remove(&name) else {
            self.mismatch.missing.push(name);
            return param;
        };
        param.map(|old| {
            let want = old.dims();
            // A LayerNorm weight may be stored as [1, C, 1, 1, 1]: sides of 1 do not count.
            let bare = |s: &[usize]| s.iter().copied().filter(|n| *n != 1).collect::<Vec<_>>();
            if bare(&shape) != bare(&want) || shape.iter().product::<usize>() != values.len() {
                self.mismatch.wrong_shape.push((name, want.to_vec(), shape));
                return old;
            }
            let grad = old.is_require_grad();
            Tensor::from_data(TensorData::new(values, want), &old.device()).set_require_grad(grad)
        })
    }
}

/// Fills `module` from `state`. `published` turns a field path into the name in the map. Nothing that does not fit
/// is dropped silently: it is listed.
pub fn fill<M: Module>(module: M, mut state: StateDict, published: impl Fn(&str) -> String) -> (M, Mismatch) {
    let mut filler = Filler { path: vec![], published, state: &mut state, mismatch: Mismatch::default() };
    let module = module.map(&mut filler);
    let mut mismatch = filler.mismatch;
    mismatch.extra = state.into_keys().collect();
    (module, mismatch)
}

struct Reader<F> {
    path: Vec<String>,
    published: F,
    state: StateDict,
}

impl<F: Fn(&str) -> String> ModuleVisitor for Reader<F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let t = param.val();
        let shape = t.dims().to_vec();
        let values = t.into_data().convert::<f32>().try_to_vec::<f32>().expect("a float tensor");
        self.state.insert((self.published)(&self.path.join(".")), (shape, values));
    }
}

/// All weights of a module by published name.
pub fn read<M: Module>(module: &M, published: impl Fn(&str) -> String) -> StateDict {
    let mut reader = Reader { path: vec![], published, state: StateDict::new() };
    module.visit(&mut reader);
    reader.state
}
