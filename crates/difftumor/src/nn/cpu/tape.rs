//! Kernels as differentiable operations: values in, values and a rule for the gradients out.
//!
//! Works on Burn's autodiff primitives directly, so that one function per kernel serves tensors that record
//! gradients and those that do not. Tensors on other devices give no [`Operand`], and take Burn's operations.
use super::{Values, tensor};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;
use std::sync::Arc;

/// A tensor with its place in the graph.
type Node = FloatTensor<Autodiff<Flex>>;

/// A CPU tensor as a kernel sees it: contiguous values, and its place in the graph if gradients are recorded.
pub struct Operand {
    values: Values,
    node: Option<Node>,
}

impl Operand {
    /// `None` for tensors that do not lie on the CPU device, or are on one with gradient checkpointing, which the
    /// kernels do not know (tests reach Burn's operations that way).
    pub fn of<const D: usize>(x: &Tensor<D>) -> Option<Self> {
        if let Ok(plain) = x.clone().try_into_primitive::<Flex>() {
            return Some(Self { values: Values::of(plain), node: None });
        }
        let node = x.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
        Some(Self { values: Values::of(node.primitive().clone()), node: Some(node) })
    }

    /// Values that no gradient is wanted for.
    pub fn constant(values: Vec<f32>) -> Self {
        let n = values.len();
        Self { values: Values::of(FlexTensor::from_data(TensorData::new(values, [n]))), node: None }
    }

    /// Stands for what a layer does not have, so that its gradients keep their places; without elements.
    pub fn absent() -> Self {
        Self::constant(vec![])
    }

    /// The elements in C order.
    pub fn get(&self) -> &[f32] {
        self.values.get()
    }

    /// Whether a gradient is wanted for it.
    pub fn is_tracked(&self) -> bool {
        self.node.as_ref().is_some_and(Node::is_tracked)
    }

    /// The values, shared: what a gradient rule keeps. (A rule that kept the operand would keep the graph alive.)
    pub fn values(&self) -> Values {
        self.values.clone()
    }
}

/// The gradient for one operand.
pub enum Gradient {
    /// Not wanted, or none.
    None,
    /// The result's gradient itself.
    Same,
    /// Its values, in C order of the operand.
    Of(Vec<f32>),
}

impl Gradient {
    /// The values that `f` computes, if wanted.
    pub fn when(wanted: bool, f: impl FnOnce() -> Vec<f32>) -> Self {
        if wanted { Self::Of(f()) } else { Self::None }
    }
}

/// From the result's gradient, and which operands want theirs, to the gradients of all operands.
type Rule<const N: usize> = Arc<dyn Fn(&[f32], [bool; N]) -> [Gradient; N] + Send + Sync>;

#[derive(Clone)]
struct Recorded<const N: usize> {
    rule: Rule<N>,
    shapes: [Vec<usize>; N],
}

impl<const N: usize> std::fmt::Debug for Recorded<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").field("shapes", &self.shapes).finish()
    }
}

#[derive(Debug)]
struct Kernel;

impl<const N: usize> Backward<Flex, N> for Kernel {
    type State = Recorded<N>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let out = Values::of(grads.consume::<Flex>(&ops.node));
        let wanted = std::array::from_fn(|i| ops.parents[i].is_some());
        let found = (ops.state.rule)(out.get(), wanted);
        for ((parent, gradient), shape) in ops.parents.into_iter().zip(found).zip(ops.state.shapes) {
            let Some(parent) = parent else { continue };
            let value = match gradient {
                Gradient::None => panic!("no gradient for an operand of shape {shape:?} that wants one"),
                Gradient::Same => out.0.clone(),
                Gradient::Of(v) => {
                    assert_eq!(v.len(), shape.iter().product::<usize>(), "gradient for shape {shape:?}");
                    FlexTensor::from_data(TensorData::new(v, shape))
                }
            };
            grads.register::<Flex>(parent.id, value);
        }
    }
}

/// The tensor of a kernel's result `out`. `rule` runs in the backward pass, and is dropped at once where no operand
/// wants a gradient.
pub fn record<const N: usize, const D: usize>(
    operands: [Operand; N],
    out: Vec<f32>,
    shape: [usize; D],
    rule: impl Fn(&[f32], [bool; N]) -> [Gradient; N] + Send + Sync + 'static,
) -> Tensor<D> {
    if operands.iter().all(|o| o.node.is_none()) {
        return tensor(out, shape);
    }
    let out = FlexTensor::from_data(TensorData::new(out, shape));
    let shapes = std::array::from_fn(|i| operands[i].values.shape());
    let nodes = operands.map(|o| o.node.unwrap_or_else(|| Node::new(o.values.0)).node());
    let prepared = Kernel.prepare::<NoCheckpointing>(nodes).compute_bound().stateful();
    Tensor::from_primitive::<Autodiff<Flex>>(match prepared {
        OpsKind::Tracked(p) => p.finish(Recorded { rule: Arc::new(rule), shapes }, out),
        OpsKind::UnTracked(p) => p.finish(out),
    })
}
