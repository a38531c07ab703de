//! One step of Adam or AdamW over parameter, gradient and both moments in one pass.
use super::tile::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Elements of a task.
const PIECE: usize = 1 << 14;

/// The numbers of one step, computed in f64 beforehand.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// β₁ and β₂.
    pub betas: [f32; 2],
    /// 1 - β₁ and 1 - β₂.
    pub rest: [f32; 2],
    /// The gradient is multiplied with this first (clipping).
    pub gradient_factor: f32,
    /// Added to the gradient, times the parameter (Adam's weight decay).
    pub coupled_decay: f32,
    /// The parameter is multiplied with this (1 - lr · AdamW's weight decay).
    pub keep: f32,
    /// lr / (1 - β₁ᵗ).
    pub step_size: f32,
    /// 1 / √(1 - β₂ᵗ).
    pub root_correction: f32,
    /// ε.
    pub eps: f32,
}

struct Piece<'a> {
    step: AdamStep,
    param: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}
impl WithSimd for Piece<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let s = self.step;
        let moments = self.first.iter_mut().zip(self.second);
        for ((p, g), (m, v)) in self.param.iter_mut().zip(self.gradient).zip(moments) {
            let g = g * s.gradient_factor + s.coupled_decay * *p;
            *m = *m * s.betas[0] + g * s.rest[0];
            *v = *v * s.betas[1] + g * g * s.rest[1];
            *p = *p * s.keep - s.step_size * (*m / (v.sqrt() * s.root_correction + s.eps));
        }
    }
}

/// Changes `param` and both moments, of the same length as `gradient`, in place.
pub fn adam_step(step: AdamStep, param: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
    let n = param.len();
    assert!(gradient.len() == n && first.len() == n && second.len() == n);
    param
        .par_chunks_mut(PIECE)
        .zip(gradient.par_chunks(PIECE))
        .zip(first.par_chunks_mut(PIECE).zip(second.par_chunks_mut(PIECE)))
        .for_each(|((param, gradient), (first, second))| {
            arch().dispatch(Piece { step, param, gradient, first, second });
        });
}

struct Blend<'a> {
    decay: f32,
    rest: f32,
    shadow: &'a mut [f32],
    value: &'a [f32],
}
impl WithSimd for Blend<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (s, v) in self.shadow.iter_mut().zip(self.value) {
            *s = *s * self.decay + v * self.rest;
        }
    }
}

/// `shadow = decay · shadow + (1 - decay) · value`.
pub fn blend(decay: f64, shadow: &mut [f32], value: &[f32]) {
    assert_eq!(shadow.len(), value.len());
    shadow.par_chunks_mut(PIECE).zip(value.par_chunks(PIECE)).for_each(|(shadow, value)| {
        arch().dispatch(Blend { decay: decay as f32, rest: (1.0 - decay) as f32, shadow, value });
    });
}
