//! Weights by name: fills a module from a name → tensor map, and reads a module into one.
//!
//! Names are the fields' path joined by dots, passed through a model's own `published` function, so that files keep
//! the names of the published checkpoints.
use crate::error::{Difference, Error, Result};
use crate::run::{Run, Tensors};
use crate::state_dict::{AUTOENCODER_TRAINING_PARTS, Shapes};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

struct Filler<'a, F> {
    path: Vec<String>,
    published: F,
    state: &'a mut Tensors,
    mismatch: Difference,
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
            self.mismatch.missing.push((name, param.val().dims().to_vec()));
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
pub fn fill<M: Module>(module: M, mut state: Tensors, published: impl Fn(&str) -> String) -> (M, Difference) {
    let mut filler = Filler { path: vec![], published, state: &mut state, mismatch: Difference::default() };
    let module = module.map(&mut filler);
    let mut mismatch = filler.mismatch;
    mismatch.extra = state.into_iter().map(|(name, (shape, _))| (name, shape)).collect();
    (module, mismatch)
}

struct Reader<F> {
    path: Vec<String>,
    published: F,
    state: Tensors,
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
pub fn read<M: Module>(module: &M, published: impl Fn(&str) -> String) -> Tensors {
    let mut reader = Reader { path: vec![], published, state: Tensors::new() };
    module.visit(&mut reader);
    reader.state
}

struct Shaper<F> {
    path: Vec<String>,
    published: F,
    shapes: Shapes,
}

impl<F: Fn(&str) -> String> ModuleVisitor for Shaper<F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Not the value's: that would draw millions of weights that nobody looks at.
        self.shapes.insert((self.published)(&self.path.join(".")), param.lazy_shape().dims::<D>().into());
    }
}

/// The shapes of a module's weights by published name.
pub fn shapes<M: Module>(module: &M, published: impl Fn(&str) -> String) -> Shapes {
    let mut shaper = Shaper { path: vec![], published, shapes: Shapes::new() };
    module.visit(&mut shaper);
    shaper.shapes
}

/// [`fill`] from the weights of a Run.
///
/// # Errors
/// When the weights cannot be read, or one does not fit: all that do not are listed.
pub fn fill_from_run<M: Module>(module: M, run: &Run, published: impl Fn(&str) -> String) -> Result<M> {
    let mut tensors = run.load_tensors()?;
    // Discriminators and the like may have been kept on import; they are models of their own.
    tensors.retain(|name, _| !AUTOENCODER_TRAINING_PARTS.iter().any(|part| name.starts_with(part)));
    let (module, difference) = fill(module, tensors, published);
    if difference.is_empty() {
        return Ok(module);
    }
    Err(Error::StateDict {
        path: run.dir().to_path_buf(),
        architecture: run.manifest().model.kind().into(),
        difference: Box::new(difference),
        hint: "import the checkpoint again".into(),
    })
}
