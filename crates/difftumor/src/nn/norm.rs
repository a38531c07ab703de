//! GroupNorm and InstanceNorm with what follows them (affine, FiLM scale-shift, activation) as one operation.
use super::activation::Activation;
use super::cpu::Values;
use super::cpu::activation::Function;
use super::cpu::normalise::{Moments, Normalise};
use super::cpu::tape::{Gradient, Operand, record};
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

/// What [`normalise`] does.
#[derive(Clone, Debug)]
pub struct Normalisation {
    /// Groups of channels that are normalised together; as many as channels for InstanceNorm.
    pub groups: usize,
    /// Added to the (biased) variance.
    pub eps: f64,
    /// Whether there is a normalisation at all, and not only what follows it.
    pub measured: bool,
    /// Weight and bias of each channel, `[C]`.
    pub affine: Option<(Tensor<1>, Tensor<1>)>,
    /// FiLM scale and shift, `[B, C]`: `y * (scale + 1) + shift`.
    pub film: Option<(Tensor<2>, Tensor<2>)>,
    /// After those.
    pub activation: Activation,
    /// Added at the end, of x's shape.
    pub residual: Option<Tensor<5>>,
}

/// The normalised `x`, `[B, C, D, H, W]`.
pub fn normalise(x: Tensor<5>, n: &Normalisation) -> Tensor<5> {
    by_kernel(&x, n).map_or_else(|| normalise_any(x, n), |(y, _)| y)
}

/// [`normalise`], with mean and biased variance of each group of each item.
pub fn normalise_measured(x: Tensor<5>, n: &Normalisation) -> (Tensor<5>, Vec<[f64; 2]>) {
    if let Some((y, moments)) = by_kernel(&x, n) {
        let variance = |m: &Moments| m.inverse.powi(-2) - n.eps;
        return (y, moments.iter().map(|m| [m.mean, variance(m)]).collect());
    }
    let [b, c, d, h, w] = x.dims();
    let rows = x.clone().detach().reshape([b * n.groups, c / n.groups * d * h * w]);
    let (variance, mean) = rows.var_mean_bias(1);
    let host = |t: Tensor<2>| t.into_data().convert::<f64>().try_to_vec::<f64>().expect("a float tensor");
    let moments = host(mean).into_iter().zip(host(variance)).map(|(m, v)| [m, v]).collect();
    (normalise_any(x, n), moments)
}

fn by_kernel(x: &Tensor<5>, n: &Normalisation) -> Option<(Tensor<5>, Vec<Moments>)> {
    let [b, c, ..] = x.dims();
    assert!(n.residual.as_ref().is_none_or(|r| r.dims() == x.dims()), "a residual of another shape");
    assert!(c.is_multiple_of(n.groups), "{c} channels in {} groups", n.groups);
    if let Some((weight, bias)) = &n.affine {
        assert_eq!([weight.dims(), bias.dims()], [[c]; 2], "affine of {c} channels");
    }
    if let Some((scale, shift)) = &n.film {
        assert_eq!([scale.dims(), shift.dims()], [[b, c]; 2], "scale and shift of {b} × {c} channels");
    }
    let (kernel, operands) = Kernel::of(x, n)?;
    Some(kernel.run(operands, n.residual.is_some(), x.dims()))
}

/// All values that the kernels take, for the forward and the backward pass.
struct Kernel {
    x: Values,
    affine: Option<(Values, Values)>,
    film: Option<(Values, Values)>,
    function: Function,
    sides: [usize; 2], // channels, elements of one
    groups: usize,
    eps: f64,
    measured: bool,
}

impl Kernel {
    fn of(x: &Tensor<5>, n: &Normalisation) -> Option<(Self, [Operand; 7])> {
        type Found = ([Operand; 2], Option<(Values, Values)>);
        fn pair<const D: usize>(tensors: &Option<(Tensor<D>, Tensor<D>)>) -> Option<Found> {
            let Some((a, b)) = tensors else { return Some(([Operand::absent(), Operand::absent()], None)) };
            let (a, b) = (Operand::of(a)?, Operand::of(b)?);
            let values = (a.values(), b.values());
            Some(([a, b], Some(values)))
        }
        let [_, c, d, h, w] = x.dims();
        let x = Operand::of(x)?;
        let ([weight, bias], affine) = pair(&n.affine)?;
        let ([scale, shift], film) = pair(&n.film)?;
        let (function, slope) = n.activation.operand()?;
        let residual = n.residual.as_ref().map_or_else(|| Some(Operand::absent()), Operand::of)?;
        let kernel = Self {
            x: x.values(),
            affine,
            film,
            function,
            sides: [c, d * h * w],
            groups: n.groups,
            eps: n.eps,
            measured: n.measured,
        };
        Some((kernel, [x, weight, bias, scale, shift, slope, residual]))
    }

    fn normalise(&self) -> Normalise<'_> {
        fn pair(values: &Option<(Values, Values)>) -> Option<(&[f32], &[f32])> {
            values.as_ref().map(|(a, b)| (a.get(), b.get()))
        }
        Normalise {
            channels: self.sides[0],
            volume: self.sides[1],
            groups: self.groups,
            eps: self.eps,
            measured: self.measured,
            affine: pair(&self.affine),
            scale_shift: pair(&self.film),
            function: self.function,
        }
    }

    fn run(self, operands: [Operand; 7], has_residual: bool, shape: [usize; 5]) -> (Tensor<5>, Vec<Moments>) {
        let residual = has_residual.then_some(operands[6].get());
        let (out, moments) = self.normalise().forward(self.x.get(), residual);
        let kept = moments.clone();
        let y = record(operands, out, shape, move |g, wanted| {
            let found = self.normalise().gradients(self.x.get(), &kept, g, wanted[0]);
            [
                Gradient::when(wanted[0], || found.x),
                Gradient::when(wanted[1], || found.weight),
                Gradient::when(wanted[2], || found.bias),
                Gradient::when(wanted[3], || found.scale),
                Gradient::when(wanted[4], || found.shift),
                Gradient::when(wanted[5], || vec![found.slope]),
                Gradient::Same,
            ]
        });
        (y, moments)
    }
}

/// The same in Burn's operations.
fn normalise_any(x: Tensor<5>, n: &Normalisation) -> Tensor<5> {
    let [b, c, d, h, w] = x.dims();
    let mut y = x;
    if n.measured {
        let rows = y.reshape([b * n.groups, c / n.groups * d * h * w]);
        let (var, mean) = rows.clone().var_mean_bias(1);
        y = ((rows - mean) / (var + n.eps).sqrt()).reshape([b, c, d, h, w]); // [B, C, D, H, W]
    }
    if let Some((weight, bias)) = &n.affine {
        let per_channel = |t: &Tensor<1>| t.clone().reshape([1, c, 1, 1, 1]);
        y = y * per_channel(weight) + per_channel(bias);
    }
    if let Some((scale, shift)) = &n.film {
        let per_channel = |t: Tensor<2>| t.reshape([b, c, 1, 1, 1]);
        y = y * per_channel(scale.clone() + 1.0) + per_channel(shift.clone());
    }
    let y = n.activation.apply_any(y);
    match &n.residual {
        Some(residual) => y + residual.clone(),
        None => y,
    }
}

/// The activation of a [`Norm`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NormActivation {
    /// None.
    None,
    /// SiLU.
    Silu,
    /// LeakyReLU with this slope.
    LeakyRelu(f32),
    /// One learned slope that begins with this.
    PRelu(f32),
}

/// Makes a [`Norm`].
#[derive(Clone, Copy, Debug)]
pub struct NormConfig {
    /// Channels of x.
    pub channels: usize,
    /// Groups of channels that are normalised together; as many as channels for InstanceNorm.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// Whether each channel has a weight and a bias.
    pub affine: bool,
    /// At the end.
    pub activation: NormActivation,
}

impl NormConfig {
    /// InstanceNorm without parameters, eps 1e-5, as the segmentation networks have it.
    pub fn instance(channels: usize, activation: NormActivation) -> Self {
        Self { channels, groups: channels, eps: 1e-5, affine: false, activation }
    }

    /// A layer that changes nothing after the normalisation but by its activation.
    pub fn init(&self, device: &Device) -> Norm {
        let (c, groups) = (self.channels, self.groups);
        assert!(c.is_multiple_of(groups), "{c} channels in {groups} groups");
        Norm {
            weight: self.affine.then(|| Initializer::Ones.init([c], device)),
            bias: self.affine.then(|| Initializer::Zeros.init([c], device)),
            slope: match self.activation {
                NormActivation::PRelu(slope) => {
                    Some(Initializer::Constant { value: slope.into() }.init([1], device))
                }
                _ => None,
            },
            config: *self,
        }
    }
}

/// GroupNorm or InstanceNorm with an activation.
#[derive(Module, Debug)]
pub struct Norm {
    /// `[C]`.
    pub weight: Option<Param<Tensor<1>>>,
    /// `[C]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// PReLU's slope, `[1]`.
    pub slope: Option<Param<Tensor<1>>>,
    #[module(skip)]
    config: NormConfig,
}

impl Norm {
    /// `[B, C, D, H, W]` → the same.
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.forward_add(x, None)
    }

    /// `activation(norm(x)) + residual`.
    pub fn forward_add(&self, x: Tensor<5>, residual: Option<Tensor<5>>) -> Tensor<5> {
        let affine = self.weight.as_ref().zip(self.bias.as_ref()).map(|(w, b)| (w.val(), b.val()));
        let activation = match (self.config.activation, &self.slope) {
            (_, Some(slope)) => Activation::PRelu(slope.val()),
            (NormActivation::Silu, _) => Activation::Silu,
            (NormActivation::LeakyRelu(slope), _) => Activation::LeakyRelu(slope),
            (NormActivation::None | NormActivation::PRelu(_), None) => Activation::None,
        };
        let (groups, eps) = (self.config.groups, self.config.eps);
        normalise(x, &Normalisation { groups, eps, measured: true, affine, film: None, activation, residual })
    }
}
