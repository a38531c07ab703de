//! Vectors of channels: loads and stores, the maps of a tile along D and H, and sums for moments.
//!
//! No closures around vectors here and in `task.rs`: one that the compiler does not inline is compiled without the vector
//! unit's instructions, and a whole convolution then took 1.4 times as long.
use crate::nn::cpu::minimal::{Axis, MOST, MOST_OUTPUTS};
use pulp::Simd;

/// Sums for the moments of a task's outputs: f64 over stretches of f32.
#[derive(Default)]
pub(super) struct Sums {
    pub count: f64,
    pub shift: Vec<f32>,
    pub sum: Vec<f64>,
    pub square: Vec<f64>,
}

impl Sums {
    pub fn reset(&mut self, channels: usize) {
        self.count = 0.0;
        self.shift = vec![0.0; channels];
        self.sum = vec![0.0; channels];
        self.square = vec![0.0; channels];
    }

    #[inline(always)]
    pub fn add<S: Simd>(&mut self, c: usize, shift: S::f32s, sum: S::f32s, square: S::f32s) {
        let n = c..c + S::F32_LANES;
        let as_floats = |v: S::f32s| -> [f32; 16] {
            let mut out = [0f32; 16];
            // SAFETY: no vector unit of pulp has more than 16 lanes of f32.
            unsafe { store::<S>(out.as_mut_ptr(), v) };
            out
        };
        self.shift[n.clone()].copy_from_slice(&as_floats(shift)[..S::F32_LANES]);
        for (a, v) in self.sum[n.clone()].iter_mut().zip(as_floats(sum)) {
            *a += f64::from(v);
        }
        for (a, v) in self.square[n].iter_mut().zip(as_floats(square)) {
            *a += f64::from(v);
        }
    }
}

/// # Safety
/// A whole vector must be readable at `p`.
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(p: *const f32) -> S::f32s {
    // SAFETY: the caller's.
    unsafe { p.cast::<S::f32s>().read_unaligned() }
}

/// # Safety
/// A whole vector must be writable at `p`.
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(p: *mut f32, v: S::f32s) {
    // SAFETY: the caller's.
    unsafe { p.cast::<S::f32s>().write_unaligned(v) }
}

/// Inputs of one tile (mapped along W already) to points along H and D: one vector of channels.
///
/// # Safety
/// `from + planes[d] + h * row` must be readable for the tile's inputs, `to + p * point` writable for its points.
#[inline(always)]
pub(super) unsafe fn map_inputs<S: Simd, D: Axis, H: Axis>(
    simd: S,
    from: *const f32,
    planes: &[usize; MOST],
    row: usize,
    to: *mut f32,
    point: usize,
) {
    let mut t = [[simd.splat_f32s(0.0); MOST]; MOST];
    for d in 0..D::INPUTS {
        let mut x = [simd.splat_f32s(0.0); MOST];
        for h in 0..H::INPUTS {
            // SAFETY: the caller's.
            x[h] = unsafe { load::<S>(from.add(planes[d] + h * row)) };
        }
        t[d] = H::input(simd, x);
    }
    for h in 0..H::X_POINTS {
        let mut x = [simd.splat_f32s(0.0); MOST];
        for d in 0..D::INPUTS {
            x[d] = t[d][h];
        }
        let y = D::input(simd, x);
        for d in 0..D::X_POINTS {
            // SAFETY: the caller's.
            unsafe { store::<S>(to.add((d * H::X_POINTS + h) * point), y[d]) };
        }
    }
}

/// Products of one tile to outputs along H and D: one vector of channels.
///
/// # Safety
/// `from + p * product` must be readable for the tile's products, `to + o * output` writable for its outputs.
#[inline(always)]
pub(super) unsafe fn map_products<S: Simd, D: Axis, H: Axis>(
    simd: S,
    from: *const f32,
    product: usize,
    to: *mut f32,
    output: usize,
) {
    let mut t = [[simd.splat_f32s(0.0); MOST_OUTPUTS]; MOST];
    for d in 0..D::PRODUCTS {
        let mut m = [simd.splat_f32s(0.0); MOST];
        for h in 0..H::PRODUCTS {
            // SAFETY: the caller's.
            m[h] = unsafe { load::<S>(from.add((d * H::PRODUCTS + h) * product)) };
        }
        t[d] = H::output(simd, m);
    }
    for h in 0..H::OUTPUTS {
        let mut m = [simd.splat_f32s(0.0); MOST];
        for d in 0..D::PRODUCTS {
            m[d] = t[d][h];
        }
        let y = D::output(simd, m);
        for d in 0..D::OUTPUTS {
            // SAFETY: the caller's.
            unsafe { store::<S>(to.add((d * H::OUTPUTS + h) * output), y[d]) };
        }
    }
}
