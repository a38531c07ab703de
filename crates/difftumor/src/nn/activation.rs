//! Activations as differentiable operations, alone or after a residual addition.
use super::cpu::activation::{Function, activate as activate_cpu, activate_grad, slope_grad};
use super::cpu::tape::{Gradient, Operand, record};
use super::cpu::{self, Values};
use super::elementwise::add;
use burn::tensor::Tensor;
use burn::tensor::activation::{leaky_relu, silu};
use std::f64::consts::FRAC_1_SQRT_2;

/// An element-wise function at the end of a layer.
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack, for the length of a call")]
#[derive(Clone, Debug)]
pub enum Activation {
    /// x.
    None,
    /// x · sigmoid(x).
    Silu,
    /// x · Φ(x), exact.
    Gelu,
    /// x, and this slope times x below 0.
    LeakyRelu(f32),
    /// LeakyReLU with one learned slope, `[1]`.
    PRelu(Tensor<1>),
}

impl Activation {
    /// The kernels' function, and the operand of the learned slope; `None` where a learned slope lies on another
    /// device.
    pub(crate) fn operand(&self) -> Option<(Function, Operand)> {
        Some(match self {
            Self::None => (Function::Identity, Operand::absent()),
            Self::Silu => (Function::Silu, Operand::absent()),
            Self::Gelu => (Function::Gelu, Operand::absent()),
            Self::LeakyRelu(slope) => (Function::Leaky(*slope), Operand::absent()),
            Self::PRelu(slope) => {
                assert_eq!(slope.dims(), [1], "PReLU has one slope");
                let slope = Operand::of(slope)?;
                (Function::Leaky(slope.get()[0]), slope)
            }
        })
    }

    /// The kernels' function where no gradient is recorded for a slope.
    fn plain(&self) -> Option<Function> {
        match self {
            Self::PRelu(slope) => Some(Function::Leaky(cpu::values(slope)?.get()[0])),
            _ => Some(self.operand()?.0),
        }
    }

    /// The same in Burn's operations.
    pub(crate) fn apply_any<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::None => x,
            Self::Silu => silu(x),
            // Not Burn's: the gradient of that one is the tanh approximation's, 5e-4 off, on devices other than the CPU.
            Self::Gelu => x.clone() * ((x * FRAC_1_SQRT_2).erf() + 1.0) * 0.5,
            Self::LeakyRelu(slope) => leaky_relu(x, f64::from(*slope)),
            Self::PRelu(slope) => {
                let below = x.clone().lower_elem(0.0);
                x.clone().mask_where(below, x * slope.clone().reshape([1; D]))
            }
        }
    }
}

/// `activation(x)`.
pub fn activate<const D: usize>(x: Tensor<D>, activation: &Activation) -> Tensor<D> {
    if let (Some(operand), Some((function, slope))) = (Operand::of(&x), activation.operand()) {
        let out = activate_cpu(function, operand.get(), None);
        let kept: Values = operand.values();
        return record([operand, slope], out, x.dims(), move |g, [x_wanted, slope_wanted]| {
            [
                Gradient::when(x_wanted, || activate_grad(function, kept.get(), g)),
                Gradient::when(slope_wanted, || vec![slope_grad(kept.get(), g)]),
            ]
        });
    }
    activation.apply_any(x)
}

/// `activation(x + residual)`.
///
/// # Shapes
/// Both the same.
pub fn activate_add<const D: usize>(x: Tensor<D>, residual: Tensor<D>, activation: &Activation) -> Tensor<D> {
    assert_eq!(x.dims(), residual.dims(), "a residual of another shape");
    // Without gradients the sum is needed by nobody: one pass. With them it is what the derivative is taken at.
    if let (Some(a), Some(b), Some(function)) = (cpu::values(&x), cpu::values(&residual), activation.plain())
    {
        return cpu::tensor(activate_cpu(function, a.get(), Some(b.get())), x.dims());
    }
    activate(add(x, residual), activation)
}
