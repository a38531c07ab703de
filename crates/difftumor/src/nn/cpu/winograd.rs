//! Stride-1 convolutions with kernels 3×3×3 and 1×3×3 by Winograd's minimal filtering F(2, 3) on each axis of kernel 3:
//! two outputs cost 4 products instead of 6, so 2×2×2 outputs cost 64 instead of 216 (Lavin & Gray 2016).
//!
//! Exact but for rounding: sums of at most 64 terms with factors 1/2. Tiles of one row go together: their inputs are
//! transformed to `[point][tile][channel]`, each point is a matrix product, and the products are transformed back.
use super::conv::{Padded, pad_channels_last};
use super::tile::{COLUMN_VECTORS, Run, Shared, Strides, arch, block, block_rows, lanes};
use crate::nn::ConvGeometry;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Tiles that go together: enough rows for the matrix products, few enough for the second-level cache.
const TILES: usize = 48;
/// Points of a 3-D tile: 4 inputs on each axis.
const MOST_POINTS: usize = 64;

/// Whether this way is open and pays: both channel counts fill vectors, and there are enough outputs for the
/// transformed weights to be worth it.
pub fn applies(g: &ConvGeometry, in_channels: usize, out_channels: usize, outputs: [usize; 3]) -> bool {
    let kernel = matches!(g.kernel, [3, 3, 3] | [1, 3, 3]);
    let positions: usize = outputs.iter().product();
    kernel
        && g.stride == [1; 3]
        && in_channels >= 16
        && out_channels > lanes()
        && positions >= 4096
        && outputs[2] >= 8
}

/// Kernel weights at the points: `[column block][point][input channel][block]`.
fn transform_weights(weight: &[f32], in_channels: usize, out_channels: usize, deep: bool) -> Vec<f32> {
    let (width, points) = (block(), if deep { 64 } else { 16 });
    let taps = if deep { 27 } else { 9 };
    let mut out = vec![0f32; out_channels.div_ceil(width) * points * in_channels * width];
    let shared = Shared::new(&mut out);
    (0..out_channels).into_par_iter().for_each(|o| {
        for i in 0..in_channels {
            let w = &weight[(o * in_channels + i) * taps..][..taps];
            let values = kernel_points(w, deep);
            for (p, v) in values.iter().take(points).enumerate() {
                let at = ((o / width * points + p) * in_channels + i) * width + o % width;
                // SAFETY: inside of `out`; column `o % width` of its block belongs to this task alone.
                unsafe { *shared.at(at) = *v };
            }
        }
    });
    out
}

/// G g Gᵀ on each axis of kernel 3.
fn kernel_points(w: &[f32], deep: bool) -> [f32; MOST_POINTS] {
    let line = |g: [f32; 3]| [g[0], (g[0] + g[1] + g[2]) * 0.5, (g[0] - g[1] + g[2]) * 0.5, g[2]];
    let slices = if deep { 3 } else { 1 };
    let mut planes = [[0f32; 16]; 3];
    for d in 0..slices {
        let mut rows = [[0f32; 4]; 3];
        for h in 0..3 {
            let at = (d * 3 + h) * 3;
            rows[h] = line([w[at], w[at + 1], w[at + 2]]);
        }
        for x in 0..4 {
            for (y, v) in line([rows[0][x], rows[1][x], rows[2][x]]).into_iter().enumerate() {
                planes[d][y * 4 + x] = v;
            }
        }
    }
    let mut out = [0f32; MOST_POINTS];
    for p in 0..16 {
        if deep {
            for (z, v) in line([planes[0][p], planes[1][p], planes[2][p]]).into_iter().enumerate() {
                out[z * 16 + p] = v;
            }
        } else {
            out[p] = planes[0][p];
        }
    }
    out
}

/// What all tasks share.
struct Plan<'a> {
    input: Padded,
    weights: Vec<f32>,
    bias: &'a [f32], // padded to whole blocks
    in_channels: usize,
    out_channels: usize,
    outputs: [usize; 3],
    deep: bool,
    /// Tiles along w, and rows of tiles along h in a task.
    across: usize,
    down: usize,
    residual: Option<&'a [f32]>,
}

/// Buffers of one thread.
#[derive(Default)]
struct Scratch {
    points: Vec<f32>,
    products: Vec<f32>,
    rows: Vec<f32>,
}

/// Convolution of one item; see [`super::conv::conv3d`].
pub fn conv3d(
    x: &[f32],
    n: [usize; 3],
    weight: &[f32],
    bias: &[f32],
    out_channels: usize,
    g: &ConvGeometry,
    residual: Option<&[f32]>,
) -> Vec<f32> {
    let deep = g.kernel[0] == 3;
    let taps = if deep { 27 } else { 9 };
    let in_channels = weight.len() / (out_channels * taps);
    let outputs = g.output_shape(n);
    // A last tile may reach one voxel past the outputs; what it reads there is thrown away.
    let mut after = g.pad_after;
    for a in 0..3 {
        after[a] += if g.kernel[a] == 3 { outputs[a] % 2 } else { 0 };
    }
    let lanes = block() / COLUMN_VECTORS;
    let across = outputs[2].div_ceil(2);
    let plan = Plan {
        input: pad_channels_last(
            x,
            in_channels,
            in_channels.next_multiple_of(lanes),
            n,
            g.pad_before,
            after,
            g.padding,
        ),
        weights: transform_weights(weight, in_channels, out_channels, deep),
        bias,
        in_channels,
        out_channels,
        outputs,
        deep,
        across,
        down: (TILES / across).clamp(1, outputs[1].div_ceil(2)),
        residual,
    };
    let mut out = vec![0f32; out_channels * outputs.iter().product::<usize>()];
    let shared = Shared::new(&mut out);
    let layers = if deep { outputs[0].div_ceil(2) } else { outputs[0] };
    let groups = outputs[1].div_ceil(2).div_ceil(plan.down);
    (0..layers * groups).into_par_iter().for_each_init(Scratch::default, |scratch, i| {
        let task =
            Task { plan: &plan, layer: i / groups, first: i % groups * plan.down, scratch, out: shared };
        arch().dispatch(task);
    });
    out
}

/// The tiles of some rows of one layer.
struct Task<'a> {
    plan: &'a Plan<'a>,
    layer: usize,
    first: usize,
    scratch: &'a mut Scratch,
    out: Shared,
}

impl WithSimd for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, layer, first, scratch, out } = self;
        let down = plan.down.min(plan.outputs[1].div_ceil(2) - first);
        let (tiles, width) = (down * plan.across, block());
        let (points, depth) = if plan.deep { (64, 2) } else { (16, 1) };
        scratch.points.resize(points * tiles * plan.input.channels, 0.0);
        scratch.products.resize(points * tiles * width, 0.0);
        scratch.rows.resize(depth * 2 * down * 2 * plan.across * width, 0.0);
        for t in 0..tiles {
            let at = layer * depth * plan.input.plane
                + (first + t / plan.across) * 2 * plan.input.row
                + t % plan.across * 2 * plan.input.channels;
            for c in (0..plan.input.channels).step_by(S::F32_LANES) {
                // SAFETY: `pad_channels_last` made room for every tile (see `conv3d`), with whole vectors of channels.
                unsafe {
                    let to = scratch.points.as_mut_ptr().add(t * plan.input.channels + c);
                    let from = plan.input.data.as_ptr().add(at + c);
                    let step = (plan.input.plane, plan.input.row, plan.input.channels);
                    input_points(simd, from, step, to, tiles * plan.input.channels, plan.deep);
                }
            }
        }
        let zeros = vec![0f32; width];
        for (b, bias) in plan.bias.chunks_exact(width).enumerate() {
            for p in 0..points {
                let w =
                    &plan.weights[(b * points + p) * plan.in_channels * width..][..plan.in_channels * width];
                let strides = Strides { row: plan.input.channels, step: 1, w_row: width };
                // SAFETY: `points` holds `tiles` rows of this point, `products` room for as many rows of `width`.
                unsafe {
                    let x = scratch.points.as_ptr().add(p * tiles * plan.input.channels);
                    let to = scratch.products.as_mut_ptr().add(p * tiles * width);
                    let run = |r: usize| {
                        let x = x.add(r * plan.input.channels);
                        std::iter::once(Run { x, w: w.as_ptr(), terms: plan.in_channels })
                    };
                    block_rows(simd, tiles, run, strides, zeros.as_ptr(), to, width);
                }
            }
            for t in 0..tiles {
                for v in (0..width).step_by(S::F32_LANES) {
                    // Rows of outputs: [depth][2 * down][2 * across][width].
                    let line = 2 * plan.across * width;
                    let at = t / plan.across * 2 * line + t % plan.across * 2 * width + v;
                    // SAFETY: one tile's 2×2 (×2) outputs lie inside of `rows`, its points inside of `products`.
                    unsafe {
                        let from = scratch.products.as_ptr().add(t * width + v);
                        let to = scratch.rows.as_mut_ptr().add(at);
                        let bias = bias.as_ptr().add(v).cast::<S::f32s>().read_unaligned();
                        let step = (2 * down * line, line, width);
                        output_values(simd, from, tiles * width, bias, to, step, plan.deep);
                    }
                }
            }
            plan.store(layer * depth, first * 2, down * 2, b, &scratch.rows, out);
        }
    }
}

impl Plan<'_> {
    /// Moves rows of outputs of one column block to their channels.
    #[inline(always)]
    fn store(&self, first_d: usize, first_h: usize, rows: usize, b: usize, from: &[f32], out: Shared) {
        let [od, oh, ow] = self.outputs;
        let (width, line) = (block(), 2 * self.across * block());
        let volume = od * oh * ow;
        for (i, row) in from.chunks_exact(line).enumerate() {
            let (d, h) = (first_d + i / rows, first_h + i % rows);
            if d >= od || h >= oh {
                continue;
            }
            for o in 0..width.min(self.out_channels - b * width) {
                let at = (b * width + o) * volume + (d * oh + h) * ow;
                for w in 0..ow {
                    let v = row[w * width + o] + self.residual.map_or(0.0, |r| r[at + w]);
                    // SAFETY: inside of the output; these rows belong to this task alone.
                    unsafe { *out.at(at + w) = v };
                }
            }
        }
    }
}

/// Bᵀ d B on each axis: one vector of channels of one tile.
///
/// # Safety
/// `from` must allow reads at all 4×4 (×4) voxels of the tile, `to` writes at all points.
#[inline(always)]
unsafe fn input_points<S: Simd>(
    simd: S,
    from: *const f32,
    (plane, row, voxel): (usize, usize, usize),
    to: *mut f32,
    point: usize,
    deep: bool,
) {
    let line = |d: [S::f32s; 4]| {
        [
            simd.sub_f32s(d[0], d[2]),
            simd.add_f32s(d[1], d[2]),
            simd.sub_f32s(d[2], d[1]),
            simd.sub_f32s(d[1], d[3]),
        ]
    };
    let mut t = [simd.splat_f32s(0.0); MOST_POINTS];
    for z in 0..if deep { 4 } else { 1 } {
        for y in 0..4 {
            // SAFETY: the caller vouches for the tile.
            let read = |x: usize| unsafe {
                from.add(z * plane + y * row + x * voxel).cast::<S::f32s>().read_unaligned()
            };
            let v = line([read(0), read(1), read(2), read(3)]);
            t[z * 16 + y * 4..][..4].copy_from_slice(&v);
        }
        for x in 0..4 {
            let at = |y: usize| z * 16 + y * 4 + x;
            let v = line([t[at(0)], t[at(1)], t[at(2)], t[at(3)]]);
            for y in 0..4 {
                t[at(y)] = v[y];
            }
        }
    }
    // SAFETY: the caller vouches for the points.
    let write = |p: usize, v: S::f32s| unsafe { to.add(p * point).cast::<S::f32s>().write_unaligned(v) };
    for i in 0..16 {
        if deep {
            for (z, v) in line([t[i], t[16 + i], t[32 + i], t[48 + i]]).into_iter().enumerate() {
                write(z * 16 + i, v);
            }
        } else {
            write(i, t[i]);
        }
    }
}

/// Aᵀ m A on each axis, plus the bias: one vector of output channels of one tile.
///
/// # Safety
/// `from` must allow reads at all points, `to` writes at all 2×2 (×2) outputs.
#[inline(always)]
unsafe fn output_values<S: Simd>(
    simd: S,
    from: *const f32,
    point: usize,
    bias: S::f32s,
    to: *mut f32,
    (plane, row, voxel): (usize, usize, usize),
    deep: bool,
) {
    let line = |m: [S::f32s; 4]| {
        let (sum, difference) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
        [simd.add_f32s(m[0], sum), simd.sub_f32s(difference, m[3])]
    };
    // SAFETY: the caller vouches for the points.
    let read = |p: usize| unsafe { from.add(p * point).cast::<S::f32s>().read_unaligned() };
    let mut t = [[simd.splat_f32s(0.0); 16]; 2];
    for i in 0..16 {
        if deep {
            [t[0][i], t[1][i]] = line([read(i), read(16 + i), read(32 + i), read(48 + i)]);
        } else {
            t[0][i] = read(i);
        }
    }
    for (z, t) in t.iter().enumerate().take(if deep { 2 } else { 1 }) {
        let mut halves = [[simd.splat_f32s(0.0); 4]; 2];
        for x in 0..4 {
            [halves[0][x], halves[1][x]] = line([t[x], t[4 + x], t[8 + x], t[12 + x]]);
        }
        for (y, h) in halves.iter().enumerate() {
            for (x, v) in line(*h).into_iter().enumerate() {
                // SAFETY: the caller vouches for the outputs.
                unsafe {
                    let to = to.add(z * plane + y * row + x * voxel).cast::<S::f32s>();
                    to.write_unaligned(simd.add_f32s(v, bias));
                }
            }
        }
    }
}
