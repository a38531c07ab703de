//! Weight gradient of a convolution: `dW[o][i][t] = Σ_pos g[o][pos] · x[i][pos·stride + t]`.
//!
//! Both tensors lie channels-last, so for one (kd, kh) this is a matrix product whose sum runs along image rows: the
//! kw × channels neighbours in `x` (contiguous) times the channels of `g`. The sums of one register tile stay in
//! registers over a few image rows, which stay in the first-level cache.
use super::conv::{Padded, pad_channels_last};
use super::tile::{COLUMN_VECTORS, Shared, arch, block, lanes};
use crate::nn::Padding;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Positions that one pass of a register tile sums at least: loading and storing the tile is 4 % of that, and
/// the rows of both factors fit the first-level cache.
const POSITIONS: usize = 48;
/// Bound on the partial sums of all pieces together, in elements (64 MB).
const PARTIALS: usize = 16 << 20;
/// Most pieces of the sum over positions. Their number follows from the size alone, so that the result does not depend
/// on the number of threads.
const PIECES: usize = 16;
/// Positions of a piece at least: below, clearing and joining the partial sums costs more than it spreads.
const PIECE: usize = 2048;
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

/// The sums of some image rows of one item for one kd and one block of columns.
struct Piece<'a> {
    shape: &'a Shape,
    x: &'a Padded,
    g: &'a Padded,
    /// Rows of the output, counted through all planes.
    lines: std::ops::Range<usize>,
    kd: usize,
    /// First column, and vectors of columns from there on.
    column: usize,
    vectors: usize,
    /// `[kh][rows][block]`, added to.
    acc: &'a mut [f32],
    /// Rows of the product for one (kd, kh).
    height: usize,
}

impl WithSimd for Piece<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, x, g, lines, kd, column, vectors, acc, height } = self;
        let [_, oh, ow] = shape.outputs;
        let width = block();
        assert!(acc.len() == shape.kernel[1] * height * width && (1..=2).contains(&vectors));
        let swapped = is_swapped(shape);
        for first in lines.clone().step_by(POSITIONS.div_ceil(ow)) {
            let last = (first + POSITIONS.div_ceil(ow)).min(lines.end);
            for kh in 0..shape.kernel[1] {
                let sums = &mut acc[kh * height * width..][..height * width];
                let runs = |row: usize| {
                    (first..last).map(move |line| {
                        let (d, h) = (line / oh, line % oh);
                        let (in_x, in_g) = if swapped { (column, row) } else { (row, column) };
                        let at_x =
                            (d * shape.stride[0] + kd) * x.plane + (h * shape.stride[1] + kh) * x.row + in_x;
                        let at_g = d * g.plane + h * g.row + in_g;
                        let from_x = Factor {
                            at: x.data.as_ptr().wrapping_add(at_x),
                            step: shape.stride[2] * x.channels,
                        };
                        let from_g = Factor { at: g.data.as_ptr().wrapping_add(at_g), step: g.channels };
                        if swapped { (from_g, from_x) } else { (from_x, from_g) }
                    })
                };
                // SAFETY: `x` is padded for every tap of every output and ends with a spare block, `g` has whole
                // vectors of channels; `sums` holds `height` rows of a block.
                unsafe {
                    if vectors == 2 {
                        rows::<S, 2, _>(simd, height, runs, ow, sums.as_mut_ptr(), width);
                    } else {
                        rows::<S, 1, _>(simd, height, runs, ow, sums.as_mut_ptr(), width);
                    }
                }
            }
        }
    }
}

fn is_swapped(shape: &Shape) -> bool {
    shape.channels[1] < FEW && shape.kernel[2] * shape.channels[0] > shape.channels[1]
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
    let (height, columns) = if swapped { (co, kw * ci) } else { (kw * ci, co) };
    let (width, vectors) = (block(), columns.div_ceil(lanes()));
    let blocks = vectors.div_ceil(COLUMN_VECTORS);
    // Partial sums are `[piece][kd][block of columns][kh][row][column]`.
    let per_task = kh * height * width;
    let per_piece = kd * blocks * per_task;
    let lines = shape.outputs[0] * shape.outputs[1];
    let most = (lines * shape.outputs[2] / PIECE).clamp(1, PIECES).min(lines);
    let pieces = (PARTIALS / per_piece).clamp(1, most);
    let mut partial = vec![0f32; pieces * per_piece];
    for i in 0..items {
        let (mut x, g) = item(i);
        // The last vectors of the last row may be read beyond its end.
        x.data.resize(x.data.len() + block(), 0.0);
        partial.par_chunks_mut(per_task).enumerate().for_each(|(t, acc)| {
            let (piece, kd, b) = (t / (kd * blocks), t / blocks % kd, t % blocks);
            let lines = lines * piece / pieces..lines * (piece + 1) / pieces;
            let (column, vectors) = (b * width, COLUMN_VECTORS.min(vectors - b * COLUMN_VECTORS));
            arch().dispatch(Piece { shape, x: &x, g: &g, lines, kd, column, vectors, acc, height });
        });
    }
    let mut out = vec![0f32; co * ci * kd * kh * kw];
    let shared = Shared::new(&mut out);
    (0..kd * blocks * kh).into_par_iter().for_each(|k| {
        let (d, b, h) = (k / (blocks * kh), k / kh % blocks, k % kh);
        let mut sum = vec![0f32; height * width];
        for p in partial.chunks_exact(per_piece) {
            for (s, v) in sum.iter_mut().zip(&p[k * height * width..]) {
                *s += v;
            }
        }
        for (row, line) in sum.chunks_exact(width).enumerate() {
            for (c, v) in line.iter().enumerate().take(columns - (b * width).min(columns)) {
                let column = b * width + c;
                let (o, at_x) = if swapped { (row, column) } else { (column, row) };
                let at = (((o * ci + at_x % ci) * kd + d) * kh + h) * kw + at_x / ci;
                // SAFETY: inside of `out`; (d, h) of these columns belongs to this task alone.
                unsafe { *shared.at(at) = *v };
            }
        }
    });
    out
}
