//! Activations with their derivatives, alone or after an addition.
use super::buffer::{PIECE, filled};
use super::sum::{Sums, sum_pieces};
use super::tile::{arch, exp};
use pulp::{Simd, WithSimd};

/// An element-wise function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// x.
    Identity,
    /// x / (1 + e^-x).
    Silu,
    /// x · Φ(x) with the normal distribution's Φ (the exact form, not the tanh one).
    Gelu,
    /// x, and the slope times x below 0: LeakyReLU, and PReLU with one slope.
    Leaky(f32),
}

/// A [`Function`] known at compile time, so that loops over it vectorise.
pub(super) trait Formula: Copy {
    fn value(self, x: f32) -> f32;
    fn derivative(self, x: f32) -> f32;
}

#[derive(Clone, Copy)]
pub(super) struct Identity;
impl Formula for Identity {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn derivative(self, _: f32) -> f32 {
        1.0
    }
}

#[derive(Clone, Copy)]
pub(super) struct Silu;
impl Formula for Silu {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x / (1.0 + exp(-x))
    }
    #[inline(always)]
    fn derivative(self, x: f32) -> f32 {
        let s = 1.0 / (1.0 + exp(-x));
        s * (1.0 + x * (1.0 - s))
    }
}

#[derive(Clone, Copy)]
pub(super) struct Leaky(pub f32);
impl Formula for Leaky {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        if x < 0.0 { self.0 * x } else { x }
    }
    #[inline(always)]
    fn derivative(self, x: f32) -> f32 {
        // At 0 the slope, as PyTorch has it.
        if x > 0.0 { 1.0 } else { self.0 }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Gelu;
impl Formula for Gelu {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x * normal(x).0
    }
    #[inline(always)]
    fn derivative(self, x: f32) -> f32 {
        let (distribution, density) = normal(x);
        distribution + x * density
    }
}

/// Runs `$body` with `$name` bound to the [`Formula`] of a [`Function`].
macro_rules! with_formula {
    ($function:expr, $name:ident => $body:expr) => {
        match $function {
            crate::nn::cpu::activation::Function::Identity => {
                let $name = crate::nn::cpu::activation::Identity;
                $body
            }
            crate::nn::cpu::activation::Function::Silu => {
                let $name = crate::nn::cpu::activation::Silu;
                $body
            }
            crate::nn::cpu::activation::Function::Gelu => {
                let $name = crate::nn::cpu::activation::Gelu;
                $body
            }
            crate::nn::cpu::activation::Function::Leaky(slope) => {
                let $name = crate::nn::cpu::activation::Leaky(slope);
                $body
            }
        }
    };
}
pub(super) use with_formula;

#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut p = coefficients[0];
    for i in 1..N {
        p = p * x + coefficients[i];
    }
    p
}

/// The normal distribution Φ(x), to 1e-7, and its density (Cephes' polynomials of erf and erfc: `ndtrf.c`).
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    let z = x * std::f32::consts::FRAC_1_SQRT_2;
    // Beyond 9 the tail is below 1e-36: 0 to any sum, and smaller ones would be subnormal, which are slow.
    let a = z.abs().min(9.0);
    let gauss = exp(-a * a);
    let q = 1.0 / a.max(1.0);
    let q2 = q * q;
    let near = polynomial(
        q2,
        [
            2.326_82e-2,
            -1.387_039_4e-1,
            3.687_424_7e-1,
            -5.824_733e-1,
            6.210_004_6e-1,
            -4.944_515_3e-1,
            3.404_88e-1,
            -2.741_127e-1,
            5.638_259_4e-1,
        ],
    );
    let far = polynomial(
        q2,
        [
            -1.047_766_4e1,
            1.297_72e1,
            -7.495_518_7,
            2.921_019,
            -1.015_265_3,
            4.218_463_4e-1,
            -2.820_767_4e-1,
            5.641_895e-1,
        ],
    );
    let erfc = gauss * q * if a < 2.0 { near } else { far };
    let z2 = z * z;
    let small = z * polynomial(
        z2,
        [
            7.853_861_4e-5,
            -8.010_193_6e-4,
            5.188_327_7e-3,
            -2.685_381_2e-2,
            1.128_358_5e-1,
            -3.761_262_6e-1,
            std::f32::consts::FRAC_2_SQRT_PI,
        ],
    );
    let tail = 0.5 * erfc;
    let large = if z < 0.0 { tail } else { 1.0 - tail };
    let distribution = if a < 1.0 { 0.5 + 0.5 * small } else { large };
    (distribution, gauss * 0.398_942_3) // 1/√(2π)
}

struct Values<'a> {
    function: Function,
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    out: &'a mut [f32],
}
impl WithSimd for Values<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, residual, out, .. } = self;
        with_formula!(self.function, f => match residual {
            None => {
                for (o, x) in out.iter_mut().zip(x) {
                    *o = f.value(*x);
                }
            }
            Some(r) => {
                for ((o, x), r) in out.iter_mut().zip(x).zip(r) {
                    *o = f.value(*x + *r);
                }
            }
        });
    }
}

/// `function(x)`, or `function(x + residual)`.
pub fn activate(function: Function, x: &[f32], residual: Option<&[f32]>) -> Vec<f32> {
    assert!(residual.is_none_or(|r| r.len() == x.len()), "residual of another size");
    filled(1, x.len(), PIECE, |_, start, out| {
        let range = start..start + out.len();
        arch().dispatch(Values {
            function,
            x: &x[range.clone()],
            residual: residual.map(|r| &r[range]),
            out,
        });
    })
    .0
}

struct Gradients<'a> {
    function: Function,
    x: &'a [f32],
    gradient: &'a [f32],
    out: &'a mut [f32],
}
impl WithSimd for Gradients<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, gradient, out, .. } = self;
        with_formula!(self.function, f => for ((o, x), g) in out.iter_mut().zip(x).zip(gradient) {
            *o = f.derivative(*x) * g;
        });
    }
}

/// `function'(x)` times the result's gradient.
pub fn activate_grad(function: Function, x: &[f32], gradient: &[f32]) -> Vec<f32> {
    assert_eq!(x.len(), gradient.len());
    filled(1, x.len(), PIECE, |_, start, out| {
        let range = start..start + out.len();
        arch().dispatch(Gradients { function, x: &x[range.clone()], gradient: &gradient[range], out });
    })
    .0
}

/// The gradient for the slope of [`Function::Leaky`]: the sum of `x` times the result's gradient where `x < 0`.
pub fn slope_grad(x: &[f32], gradient: &[f32]) -> f32 {
    sum_pieces(x, gradient, Sums::Below) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Φ by Simpson's rule from 0 in f64, 4e-15 off.
    fn exact_normal(x: f64) -> f64 {
        let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let n = 2000;
        let h = x / f64::from(n);
        let weight = |i: i32| [2.0, 4.0][(i % 2) as usize];
        let inside: f64 = (1..n).map(|i| weight(i) * density(f64::from(i) * h)).sum();
        0.5 + h / 3.0 * (density(0.0) + inside + density(x))
    }

    #[test]
    fn the_normal_distribution_is_right_everywhere() {
        for i in -600..=600 {
            let x = i as f32 * 0.01;
            let (distribution, density) = normal(x);
            // Two steps of an f32 near 1.
            assert!((f64::from(distribution) - exact_normal(f64::from(x))).abs() < 1.2e-7, "{x}");
            let want = (-f64::from(x).powi(2) / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            assert!((f64::from(density) - want).abs() < 1.2e-7, "{x}");
        }
        assert!(normal(-40.0).0 < 1e-36 && normal(40.0).0 == 1.0);
    }

    #[test]
    fn derivatives_are_the_slopes_of_the_values() {
        for function in [Function::Identity, Function::Silu, Function::Gelu, Function::Leaky(0.3)] {
            let x: Vec<f32> = (-80..80).map(|i| i as f32 * 0.1 + 0.05).collect();
            let h = 1e-2;
            let shifted = |by: f32| activate(function, &x.iter().map(|v| v + by).collect::<Vec<_>>(), None);
            let slopes = activate_grad(function, &x, &vec![1.0; x.len()]);
            for ((up, down), slope) in shifted(h).iter().zip(shifted(-h)).zip(slopes) {
                // h² f'''/6 is below 2e-5; rounding of values up to 8 by 4e-7 over 2h gives 4e-5.
                assert!(((up - down) / (2.0 * h) - slope).abs() < 8e-5, "{function:?}");
            }
        }
    }
}
