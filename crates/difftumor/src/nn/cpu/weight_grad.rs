//! Weight gradient of a convolution: `dW[o][i][t] = Σ_pos g[o][pos] · x[i][pos·stride + t]`.
//!
//! Both tensors lie channels-last, so for one (kd, kh) this is a matrix product whose sum runs along image rows: the
//! kw × channels neighbours in `x` (contiguous) times the channels of `g`. The sums of one register tile stay in
//! registers over a few image rows, which stay in the first-level cache.
use super::conv::{Padded, pad_channels_last};
use super::tile::{Shared, arch, block};
use crate::nn::Padding;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Positions that one pass of a register tile sums at least: loading and storing the tile is 2 % of that.
const POSITIONS: usize = 96;
/// Bound on the partial sums of all pieces together, in elements (64 MB).
const PARTIALS: usize = 16 << 20;
/// Pieces of the sum over positions: a fixed number, so that the result does not depend on the number of threads.
const PIECES: usize = 16;
/// Below this many channels of `g` its channels become the tile's rows, and those of `x` its vectors.
const FEW: usize = 8;

/// The convolution whose weights are meant.
pub(super) struct Shape {
    pub kernel: [usize; 3],
    pub stride: [usize; 3],
    /// Channels of `x` and of `g`.
    pub channels: [usize; 2],
    /// Sides of `g`.
    pub outputs: [usize; 3],
}

/// One factor of the product: what is read at the first term, and how far apart the terms lie.
#[derive(Clone, Copy)]
struct Factor {
    at: *const f32,
    step: usize,
}

/// `acc[r][v] += Σ rows[r] · columns[v]` over all `runs` of `terms` terms.
///
/// # Safety
/// Both factors must be readable at all terms, and `acc` writable at `R` rows of `CV` vectors, `acc_row` apart.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const CV: usize>(
    simd: S,
    runs: impl Iterator<Item = (Factor, Factor)>,
    terms: usize,
    acc: *mut f32,
    acc_row: usize,
) {
    let lanes = S::F32_LANES;
    // SAFETY: the caller vouches for all addresses.
    unsafe {
        let mut sums = [[simd.splat_f32s(0.0); CV]; R];
        for (rows, columns) in runs {
            let (mut x, mut w) = (rows.at, columns.at);
            for _ in 0..terms {
                let mut wv = [simd.splat_f32s(0.0); CV];
                for v in 0..CV {
                    wv[v] = w.add(v * lanes).cast::<S::f32s>().read_unaligned();
                }
                for r in 0..R {
                    let a = simd.splat_f32s(*x.add(r));
                    for v in 0..CV {
                        sums[r][v] = simd.mul_add_e_f32s(a, wv[v], sums[r][v]);
                    }
                }
                x = x.wrapping_add(rows.step);
                w = w.wrapping_add(columns.step);
            }
        }
        for r in 0..R {
            for v in 0..CV {
                let p = acc.add(r * acc_row + v * lanes).cast::<S::f32s>();
                p.write_unaligned(simd.add_f32s(p.read_unaligned(), sums[r][v]));
            }
        }
    }
}

/// All rows of a product whose columns are `CV` vectors; see [`tile`]. `runs(r)` begins at row `r`.
///
/// # Safety
/// As for [`tile`], for all `rows`.
#[inline(always)]
unsafe fn rows<S: Simd, const CV: usize, I: Iterator<Item = (Factor, Factor)>>(
    simd: S,
    rows: usize,
    runs: impl Fn(usize) -> I,
    terms: usize,
    acc: *mut f32,
    acc_row: usize,
) {
    // Heights that fill the registers with sums: 32 registers with AVX-512 and NEON, 16 otherwise.
    let wide = S::REGISTER_COUNT >= 32;
    let mut r = 0;
    while r < rows {
        // SAFETY: passed on from the caller; each tile covers rows below `rows` only.
        unsafe {
            let to = acc.add(r * acc_row);
            r += match rows - r {
                24.. if wide && CV == 1 => {
                    tile::<S, 24, CV>(simd, runs(r), terms, to, acc_row);
                    24
                }
                12.. if wide || CV == 1 => {
                    tile::<S, 12, CV>(simd, runs(r), terms, to, acc_row);
                    12
                }
                6.. => {
                    tile::<S, 6, CV>(simd, runs(r), terms, to, acc_row);
                    6
                }
                3.. => {
                    tile::<S, 3, CV>(simd, runs(r), terms, to, acc_row);
                    3
                }
                _ => {
                    tile::<S, 1, CV>(simd, runs(r), terms, to, acc_row);
                    1
                }
            };
        }
    }
}

/// The sums of some planes of one item for one kd.
struct Piece<'a> {
    shape: &'a Shape,
    x: &'a Padded,
    g: &'a Padded,
    planes: std::ops::Range<usize>,
    kd: usize,
    /// `[kh][rows][columns]`, added to.
    acc: &'a mut [f32],
    /// Rows and columns (widened to whole vectors) of the product for one (kd, kh).
    size: (usize, usize),
}

impl WithSimd for Piece<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, x, g, planes, kd, acc, size: (height, width) } = self;
        let [_, oh, ow] = shape.outputs;
        let lanes = S::F32_LANES;
        let chunk = POSITIONS.div_ceil(ow).min(oh);
        assert!(acc.len() == shape.kernel[1] * height * width && width.is_multiple_of(lanes));
        let swapped = is_swapped(shape);
        for d in planes {
            for first in (0..oh).step_by(chunk) {
                let lines = chunk.min(oh - first);
                for kh in 0..shape.kernel[1] {
                    let sums = &mut acc[kh * height * width..][..height * width];
                    let mut column = 0;
                    while column < width {
                        let runs = |row: usize| {
                            (first..first + lines).map(move |h| {
                                let (in_x, in_g) = if swapped { (column, row) } else { (row, column) };
                                let at_x = (d * shape.stride[0] + kd) * x.plane
                                    + (h * shape.stride[1] + kh) * x.row
                                    + in_x;
                                let at_g = d * g.plane + h * g.row + in_g;
                                let from_x = Factor {
                                    at: x.data.as_ptr().wrapping_add(at_x),
                                    step: shape.stride[2] * x.channels,
                                };
                                let from_g =
                                    Factor { at: g.data.as_ptr().wrapping_add(at_g), step: g.channels };
                                if swapped { (from_g, from_x) } else { (from_x, from_g) }
                            })
                        };
                        // SAFETY: `x` is padded for every tap of every output and ends with a spare block, `g` has
                        // whole vectors of channels; `sums` holds `height` rows of `width`.
                        unsafe {
                            let to = sums.as_mut_ptr().add(column);
                            if width - column >= 2 * lanes {
                                rows::<S, 2, _>(simd, height, runs, ow, to, width);
                                column += 2 * lanes;
                            } else {
                                rows::<S, 1, _>(simd, height, runs, ow, to, width);
                                column += lanes;
                            }
                        }
                    }
                }
            }
        }
    }
}

fn is_swapped(shape: &Shape) -> bool {
    shape.channels[1] < FEW && shape.kernel[2] * shape.channels[0] > shape.channels[1]
}

fn lanes() -> usize {
    block() / super::tile::COLUMN_VECTORS
}

/// `g` `[Co, ...]` of one item, ready for [`weight_gradient`], with `rim` voxels of edge padding.
pub(super) fn gradient_item(g: &[f32], channels: usize, n: [usize; 3], rim: [usize; 3]) -> Padded {
    pad_channels_last(g, channels, channels.next_multiple_of(lanes()), n, rim, rim, Padding::Edge)
}

/// Sum over all items of a batch, `[Co, Ci, kd, kh, kw]`. Each item gives `x` with all the padding that its taps
/// reach, and `g` from [`gradient_item`].
pub(super) fn weight_gradient(
    items: usize,
    item: impl Fn(usize) -> (Padded, Padded),
    shape: &Shape,
) -> Vec<f32> {
    let [ci, co] = shape.channels;
    let [kd, kh, kw] = shape.kernel;
    let swapped = is_swapped(shape);
    let (height, width) = if swapped { (co, kw * ci) } else { (kw * ci, co) };
    let width = width.next_multiple_of(lanes());
    let per_kd = kh * height * width;
    let planes = shape.outputs[0];
    let pieces = (PARTIALS / (kd * per_kd)).clamp(1, PIECES).min(planes);
    let mut partial = vec![0f32; pieces * kd * per_kd];
    for i in 0..items {
        let (mut x, g) = item(i);
        // The last vectors of the last row may be read beyond its end.
        x.data.resize(x.data.len() + block(), 0.0);
        partial.par_chunks_mut(per_kd).enumerate().for_each(|(t, acc)| {
            let (piece, kd) = (t / kd, t % kd);
            let planes = planes * piece / pieces..planes * (piece + 1) / pieces;
            let size = (height, width);
            arch().dispatch(Piece { shape, x: &x, g: &g, planes, kd, acc, size });
        });
    }
    let mut out = vec![0f32; co * ci * kd * kh * kw];
    let shared = Shared::new(&mut out);
    (0..kd * kh).into_par_iter().for_each(|k| {
        let mut sum = vec![0f32; height * width];
        for p in partial.chunks_exact(kd * per_kd) {
            for (s, v) in sum.iter_mut().zip(&p[k * height * width..]) {
                *s += v;
            }
        }
        for o in 0..co {
            for w in 0..kw {
                for i in 0..ci {
                    let (row, column) = if swapped { (o, w * ci + i) } else { (w * ci + i, o) };
                    let at = ((o * ci + i) * kd * kh + k) * kw + w;
                    // SAFETY: inside of `out`; the taps of `k` belong to this task alone.
                    unsafe { *shared.at(at) = sum[row * width + column] };
                }
            }
        }
    });
    out
}
