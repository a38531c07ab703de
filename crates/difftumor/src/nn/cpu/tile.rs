//! The one inner loop of all CPU kernels: a register tile of a matrix product.
//!
//! `out[r][n] = start[n] + sum_k x[r*row + k*step] * w[k*w_row + n]` for `R` rows and `CV` vectors of columns.
//! Convolutions call it with channels-last input, where the taps of one row are contiguous in `k`.
//! Vectors come from `pulp`, which picks AVX-512, AVX2+FMA, NEON or scalar code at run time.
use pulp::{Arch, Simd, WithSimd};
use std::sync::OnceLock;

/// Vectors of columns in a tile: two keep both FMA ports busy for every broadcast of an `x`.
pub const COLUMN_VECTORS: usize = 2;

/// The variable that picks another vector unit than the widest: `avx2` (x86-64 only) or `scalar`. It is read once, and
/// there for tests: on a wide machine they can run the kernels of narrower ones.
pub const SIMD_VARIABLE: &str = "DIFFTUMOR_SIMD";

/// The machine's vector unit, detected once; see [`SIMD_VARIABLE`].
pub fn arch() -> Arch {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    *ARCH.get_or_init(|| match std::env::var(SIMD_VARIABLE) {
        Err(_) => Arch::new(),
        Ok(name) => {
            named_arch(&name).unwrap_or_else(|| panic!("{SIMD_VARIABLE}={name}: not on this machine"))
        }
    })
}

fn named_arch(name: &str) -> Option<Arch> {
    match name {
        "scalar" => Some(Arch::Scalar),
        #[cfg(target_arch = "x86_64")]
        "avx2" => pulp::x86::V3::try_new().map(Arch::V3),
        _ => None,
    }
}

struct Lanes;
impl WithSimd for Lanes {
    type Output = usize;
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// Elements of a vector on this machine (16 with AVX-512, 8 with AVX2, 4 with NEON).
pub fn lanes() -> usize {
    arch().dispatch(Lanes)
}

/// Columns of a full tile on this machine (32 with AVX-512, 16 with AVX2, 8 with NEON).
pub fn block() -> usize {
    lanes() * COLUMN_VECTORS
}

/// One run of contiguous or strided `k` terms of a product.
#[derive(Clone, Copy)]
pub struct Run {
    /// First element of row 0.
    pub x: *const f32,
    /// First row of weights.
    pub w: *const f32,
    /// Number of terms.
    pub terms: usize,
}

/// Strides of a tile, in elements.
#[derive(Clone, Copy)]
pub struct Strides {
    /// From one row of `x` to the next.
    pub row: usize,
    /// From one term of `x` to the next.
    pub step: usize,
    /// From one row of weights to the next.
    pub w_row: usize,
}

/// Adds the product of all `runs` to `start` and stores `R × CV` vectors at `out`, rows `out_row` apart.
///
/// # Safety
/// Every address that the formula above reaches, widened to whole vectors of columns, must be readable
/// (`x`, `w`, `start`) or writable (`out`).
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const CV: usize>(
    simd: S,
    runs: impl Iterator<Item = Run>,
    s: Strides,
    start: *const f32,
    out: *mut f32,
    out_row: usize,
) {
    // SAFETY: the caller vouches for all addresses.
    unsafe {
        let lanes = S::F32_LANES;
        let load = |p: *const f32| p.cast::<S::f32s>().read_unaligned();
        let mut acc = [[simd.splat_f32s(0.0); CV]; R];
        for v in 0..CV {
            let b = load(start.add(v * lanes));
            for r in 0..R {
                acc[r][v] = b;
            }
        }
        for run in runs {
            let (mut x, mut w) = (run.x, run.w);
            for _ in 0..run.terms {
                let mut wv = [simd.splat_f32s(0.0); CV];
                for v in 0..CV {
                    wv[v] = load(w.add(v * lanes));
                }
                for r in 0..R {
                    let a = simd.splat_f32s(*x.add(r * s.row));
                    for v in 0..CV {
                        acc[r][v] = simd.mul_add_e_f32s(a, wv[v], acc[r][v]);
                    }
                }
                x = x.add(s.step);
                w = w.add(s.w_row);
            }
        }
        for r in 0..R {
            for v in 0..CV {
                out.add(r * out_row + v * lanes).cast::<S::f32s>().write_unaligned(acc[r][v]);
            }
        }
    }
}

/// `rows` rows of one block of [`block()`] columns; see `tile`. `runs(row)` gives the runs for the tile that
/// begins at that row.
///
/// # Safety
/// As for `tile`, for rows `0..rows`.
#[inline(always)]
pub unsafe fn block_rows<S: Simd, I: Iterator<Item = Run>>(
    simd: S,
    rows: usize,
    runs: impl Fn(usize) -> I,
    s: Strides,
    start: *const f32,
    out: *mut f32,
    out_row: usize,
) {
    // SAFETY: passed on from the caller.
    unsafe { rows_of::<S, COLUMN_VECTORS, I>(simd, rows, runs, s, start, out, out_row) }
}

/// [`block_rows`] for one vector of columns: where there are no more, a second one would be multiplied for nothing.
///
/// # Safety
/// As for `tile`, for rows `0..rows`.
#[inline(always)]
pub unsafe fn vector_rows<S: Simd, I: Iterator<Item = Run>>(
    simd: S,
    rows: usize,
    runs: impl Fn(usize) -> I,
    s: Strides,
    start: *const f32,
    out: *mut f32,
    out_row: usize,
) {
    // SAFETY: passed on from the caller.
    unsafe { rows_of::<S, 1, I>(simd, rows, runs, s, start, out, out_row) }
}

/// # Safety
/// As for `tile`, for rows `0..rows`.
#[inline(always)]
unsafe fn rows_of<S: Simd, const V: usize, I: Iterator<Item = Run>>(
    simd: S,
    rows: usize,
    runs: impl Fn(usize) -> I,
    s: Strides,
    start: *const f32,
    out: *mut f32,
    out_row: usize,
) {
    let mut r = 0;
    // Tile heights: AVX-512 and NEON have 32 registers (12*2 sums + 2 weights + 1 broadcast), AVX2 has 16.
    let tall = S::REGISTER_COUNT >= 32 || V == 1;
    while r < rows {
        let left = rows - r;
        // SAFETY: passed on from the caller; each tile covers rows below `rows` only.
        unsafe {
            let o = out.add(r * out_row);
            r += match left {
                12.. if tall => {
                    tile::<S, 12, V>(simd, runs(r), s, start, o, out_row);
                    12
                }
                // 32 rows, those of a head: 12 + 12 + 8. Fewer than four rows leave the multipliers waiting.
                8.. if tall => {
                    tile::<S, 8, V>(simd, runs(r), s, start, o, out_row);
                    8
                }
                6.. => {
                    tile::<S, 6, V>(simd, runs(r), s, start, o, out_row);
                    6
                }
                4.. => {
                    tile::<S, 4, V>(simd, runs(r), s, start, o, out_row);
                    4
                }
                2.. => {
                    tile::<S, 2, V>(simd, runs(r), s, start, o, out_row);
                    2
                }
                _ => {
                    tile::<S, 1, V>(simd, runs(r), s, start, o, out_row);
                    1
                }
            };
        }
    }
}

/// A pointer that rayon tasks may share; each task writes its own elements.
#[derive(Clone, Copy)]
pub struct Shared(*mut f32);
// SAFETY: only used for writes to disjoint elements, which the kernels arrange by output row or position.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Shares the elements of `v` for disjoint writes.
    pub fn new(v: &mut [f32]) -> Self {
        Self(v.as_mut_ptr())
    }
    /// The address of element `i`.
    ///
    /// # Safety
    /// `i` must lie inside the slice given to [`Shared::new`], and no two tasks may write the same element.
    pub unsafe fn at(self, i: usize) -> *mut f32 {
        // SAFETY: the caller keeps `i` inside.
        unsafe { self.0.add(i) }
    }
}

/// A vector of `n` elements that `fill` writes. Zeroing results first cost one thread 3 % of a U-Net call.
///
/// # Safety
/// `fill` must write every element, and read none before.
pub unsafe fn written(n: usize, fill: impl FnOnce(Shared)) -> Vec<f32> {
    let mut v = Vec::<f32>::with_capacity(n);
    fill(Shared(v.as_mut_ptr()));
    // SAFETY: the capacity is n, and the caller vouches for the elements.
    unsafe { v.set_len(n) };
    v
}

/// e^x to about 2 units in the last place, in plain arithmetic that vectorises (Cephes' polynomial).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + 12_582_912.0; // 1.5 * 2^23: the integer part lands in the low bits
    let k = shifted - 12_582_912.0;
    let r = x - k * 0.693_359_4 + k * 2.121_944_4e-4; // ln 2 in two parts
    let mut p = 1.987_569_2e-4f32;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
        p = p * r + c;
    }
    let e = p * r * r + r + 1.0;
    e * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// e^x of a vector of numbers up to 0, as a softmax has them: to 2e-7 of 1. [`exp`] with fewer operations, for
/// these are a fifth of the time of linear attention.
#[inline(always)]
pub fn exp_negative<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let c = |v: f32| simd.splat_f32s(v);
    let x = simd.max_f32s(x, c(-80.0));
    let shifted = simd.mul_add_e_f32s(x, c(std::f32::consts::LOG2_E), c(12_582_912.0));
    let k = simd.sub_f32s(shifted, c(12_582_912.0));
    let r = simd.mul_add_e_f32s(k, c(-std::f32::consts::LN_2), x);
    let mut p = c(1.987_569_2e-4);
    for term in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5, 1.0, 1.0] {
        p = simd.mul_add_e_f32s(p, r, c(term));
    }
    let bits = simd.add_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(127));
    let power = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23)));
    simd.mul_f32s(p, power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_matches_the_standard_one() {
        for i in -8700..8800 {
            let x = i as f32 * 0.01;
            let want = f64::from(x).exp();
            // f32 has a relative step of 1.2e-7; two of them.
            assert!((f64::from(exp(x)) / want - 1.0).abs() < 2.5e-7, "exp({x})");
        }
    }

    #[test]
    fn exp_of_negative_numbers_serves_a_softmax() {
        struct Exp<'a>(&'a mut [f32]);
        impl WithSimd for Exp<'_> {
            type Output = ();
            fn with_simd<S: Simd>(self, simd: S) {
                let (vectors, rest) = S::as_mut_simd_f32s(self.0);
                assert!(rest.is_empty());
                for v in vectors {
                    *v = exp_negative(simd, *v);
                }
            }
        }
        let x: Vec<f32> = (0..8000).map(|i| i as f32 * -0.01).collect();
        let mut y = x.clone();
        arch().dispatch(Exp(&mut y));
        for (x, y) in x.iter().zip(y) {
            let want = f64::from(*x).exp();
            // Steps of f32 are at most 6e-8 below 1; relative to itself the result may lose k * 2e-9 of x = -k ln 2 too,
            // without the fused product on machines that have none another 2^-24 of x.
            assert!((f64::from(y) - want).abs() < 2e-7, "exp({x})");
            assert!((f64::from(y) / want - 1.0).abs() < 5e-6, "exp({x})");
        }
    }
}
