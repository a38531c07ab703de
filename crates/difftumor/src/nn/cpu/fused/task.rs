//! The tasks of a convolution: see `fused.rs`.
use super::lanes::{Sums, load, map_inputs, map_products, store};
use super::{Layer, split_run};
use crate::nn::cpu::channels_last::{ChannelsLast, Moments};
use crate::nn::cpu::minimal::{Axis, MOST};
use crate::nn::cpu::rows::Rows;
use crate::nn::cpu::tile::{Run, Shared, Strides, arch, block, block_rows};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

/// Tiles that go through a matrix product together: two or more full register tiles.
const TILES: usize = 24;
/// Elements of the ring: with the other buffers it has to fit a second-level cache of 1 to 2 MiB.
const RING: usize = 196_608;
/// Layers of tiles in a task: few enough for many threads, many enough that the planes read twice do not matter.
const LAYERS: usize = 8;

/// Sizes that all tasks share.
struct Plan<'a> {
    layer: &'a Layer,
    rows: &'a Rows<'a>,
    add: bool,
    start: [usize; 3],
    end: [usize; 3],
    /// Tiles along each axis.
    tiles: [usize; 3],
    /// Rows of tiles in a strip, and of those in a matrix product.
    strip: usize,
    batch: usize,
}

/// Buffers of one thread.
#[derive(Default)]
struct Scratch {
    /// A padded row of inputs.
    line: Vec<f32>,
    /// `[plane][row][W point][tile][channel]`.
    ring: Vec<f32>,
    /// `[W run][D point][H point][tile][channel]`.
    points: Vec<f32>,
    /// `[D product][H product][tile][block]`.
    products: Vec<f32>,
    /// `[tile][D output][H output][W product][channel]`.
    parts: Vec<f32>,
    zeros: Vec<f32>,
    sums: Sums,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

fn grow(v: &mut Vec<f32>, n: usize) {
    if v.len() < n {
        *v = vec![0.0; n];
    }
}

/// Runs a layer; see [`Layer::run`].
pub(super) fn convolve<D: Axis, H: Axis, W: Axis>(
    layer: &Layer,
    rows: &Rows,
    out: &mut ChannelsLast,
    add: bool,
) -> Moments {
    let [inputs, outputs] = layer.channels();
    assert!(rows.channels() == inputs && out.channels == outputs, "channels of a layer");
    let frame = out.frame;
    let sides = frame.sides();
    let tiles = [sides[0].div_ceil(D::OUTPUTS), sides[1].div_ceil(H::OUTPUTS), sides[2].div_ceil(W::OUTPUTS)];
    let row_len = tiles[2] * W::X_POINTS * inputs;
    let rows_in_ring = (RING / (D::INPUTS * row_len)).saturating_sub(H::INPUTS - H::STEP) / H::STEP;
    let batch = TILES.div_ceil(tiles[2]).min(tiles[1]);
    let strip = (rows_in_ring / batch).max(1) * batch;
    let plan = Plan { layer, rows, add, start: frame.start, end: frame.end, tiles, strip, batch };
    let strips = tiles[1].div_ceil(strip);
    assert!(out.data.len() >= frame.voxels() * outputs);
    let shared = Shared::new(&mut out.data);
    let parts: Vec<Moments> = (0..tiles[0].div_ceil(LAYERS) * strips)
        .into_par_iter()
        .map(|i| {
            SCRATCH.with_borrow_mut(|scratch| {
                let (layers, first) = (i / strips * LAYERS, i % strips * strip);
                let task = Task::<D, H, W> {
                    plan: &plan,
                    layers: layers..(layers + LAYERS).min(tiles[0]),
                    rows: first..(first + strip).min(tiles[1]),
                    scratch,
                    out: shared,
                    axes: PhantomData,
                };
                arch().dispatch(task)
            })
        })
        .collect();
    // In the order of the tasks, which follow from the sizes: the same for any number of threads.
    parts.iter().fold(Moments::default(), Moments::join)
}

struct Task<'a, D, H, W> {
    plan: &'a Plan<'a>,
    layers: Range<usize>,
    rows: Range<usize>,
    scratch: &'a mut Scratch,
    out: Shared,
    axes: PhantomData<(D, H, W)>,
}

impl<D: Axis, H: Axis, W: Axis> WithSimd for Task<'_, D, H, W> {
    type Output = Moments;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Moments {
        let Self { plan, layers, rows, scratch, out, .. } = self;
        let [inputs, outputs] = plan.layer.channels();
        let (across, width) = (plan.tiles[2], block());
        let tiles = plan.batch * across;
        let ring_rows = (plan.strip - 1) * H::STEP + H::INPUTS;
        let row_len = W::X_POINTS * across * inputs;
        grow(&mut scratch.line, ((across - 1) * W::STEP + W::INPUTS) * inputs);
        grow(&mut scratch.ring, D::INPUTS * ring_rows * row_len);
        grow(&mut scratch.points, W::RUNS * D::X_POINTS * H::X_POINTS * tiles * inputs);
        grow(&mut scratch.products, D::PRODUCTS * H::PRODUCTS * tiles * width);
        grow(&mut scratch.parts, tiles * D::OUTPUTS * H::OUTPUTS * W::PRODUCTS * outputs);
        grow(&mut scratch.zeros, width);
        scratch.sums.reset(outputs);
        for layer in layers.clone() {
            // Planes that the layer before did not leave in the ring.
            let known = if layer == layers.start { 0 } else { D::INPUTS - D::STEP };
            for plane in known..D::INPUTS {
                plan.gather::<S, D, H, W>(simd, layer, plane, &rows, scratch);
            }
            for first in rows.clone().step_by(plan.batch) {
                let batch = first..(first + plan.batch).min(rows.end);
                for product in 0..W::PRODUCTS {
                    plan.map_in::<S, D, H, W>(simd, layer, product, &batch, rows.start, scratch);
                    plan.multiply::<S, D, H, W>(simd, product, batch.len() * across, scratch);
                }
                plan.store::<S, D, H, W>(simd, layer, &batch, scratch, out);
            }
        }
        let s = &scratch.sums;
        Moments::from_sums(s.count, &s.shift, &s.sum, &s.square)
    }
}

impl Plan<'_> {
    /// Reads one plane of a strip and maps its rows along W.
    #[inline(always)]
    fn gather<S: Simd, D: Axis, H: Axis, W: Axis>(
        &self,
        simd: S,
        layer: usize,
        plane: usize,
        strip: &Range<usize>,
        scratch: &mut Scratch,
    ) {
        let (across, channels) = (self.tiles[2], self.layer.inputs);
        let ring_rows = (self.strip - 1) * H::STEP + H::INPUTS;
        let row_len = W::X_POINTS * across * channels;
        let d = D::first_input(self.start[0] + layer * D::OUTPUTS) + plane as isize;
        let h = H::first_input(self.start[1] + strip.start * H::OUTPUTS);
        let w = W::first_input(self.start[2]);
        let slot = (layer * D::STEP + plane) % D::INPUTS * ring_rows;
        let line = &mut scratch.line[..((across - 1) * W::STEP + W::INPUTS) * channels];
        for row in 0..(strip.len() - 1) * H::STEP + H::INPUTS {
            self.rows.read(simd, [d, h + row as isize, w], line);
            let to = &mut scratch.ring[(slot + row) * row_len..][..row_len];
            for t in 0..across {
                for c in (0..channels).step_by(S::F32_LANES) {
                    let mut x = [simd.splat_f32s(0.0); MOST];
                    // SAFETY: `line` holds the inputs of all tiles, `to` their points, in whole vectors of channels.
                    unsafe {
                        let from = line.as_ptr().add(t * W::STEP * channels + c);
                        for i in 0..W::INPUTS {
                            x[i] = load::<S>(from.add(i * channels));
                        }
                        let y = W::input(simd, x);
                        let to = to.as_mut_ptr().add(t * channels + c);
                        for i in 0..W::X_POINTS {
                            store::<S>(to.add(i * across * channels), y[i]);
                        }
                    }
                }
            }
        }
    }

    /// Maps the inputs of one W product along H and D.
    #[inline(always)]
    fn map_in<S: Simd, D: Axis, H: Axis, W: Axis>(
        &self,
        simd: S,
        layer: usize,
        product: usize,
        batch: &Range<usize>,
        strip_start: usize,
        scratch: &mut Scratch,
    ) {
        let (inputs, across) = (self.layer.inputs, self.tiles[2]);
        let (tiles, x_points) = (batch.len() * across, D::X_POINTS * H::X_POINTS);
        let ring_rows = (self.strip - 1) * H::STEP + H::INPUTS;
        let row_len = W::X_POINTS * across * inputs;
        let mut planes = [0; MOST];
        for (i, p) in planes.iter_mut().enumerate().take(D::INPUTS) {
            *p = (layer * D::STEP + i) % D::INPUTS * ring_rows * row_len;
        }
        for run in 0..W::RUNS {
            for row in 0..batch.len() {
                let from_row = (batch.start - strip_start + row) * H::STEP * row_len;
                let from_row = from_row + W::x_point(product, run) * across * inputs;
                let to_row = (run * x_points * tiles + row * across) * inputs;
                // The tiles of a row and their channels are contiguous on both sides.
                for c in (0..across * inputs).step_by(S::F32_LANES) {
                    // SAFETY: the ring holds all rows of the strip, `points` all points of the batch.
                    unsafe {
                        let from = scratch.ring.as_ptr().add(from_row + c);
                        let to = scratch.points.as_mut_ptr().add(to_row + c);
                        map_inputs::<S, D, H>(simd, from, &planes, row_len, to, tiles * inputs);
                    }
                }
            }
        }
    }

    /// Multiplies the points of one W product and maps the products back along D and H.
    #[inline(always)]
    fn multiply<S: Simd, D: Axis, H: Axis, W: Axis>(
        &self,
        simd: S,
        product: usize,
        tiles: usize,
        scratch: &mut Scratch,
    ) {
        let [inputs, outputs] = self.layer.channels();
        let (width, x_points) = (block(), D::X_POINTS * H::X_POINTS);
        let runs = D::RUNS * H::RUNS * W::RUNS;
        let weights = D::PRODUCTS * H::PRODUCTS * runs * inputs * width; // of a column block
        for b in 0..outputs / width {
            let w = &self.layer.weights[(product * (outputs / width) + b) * weights..][..weights];
            for p in 0..D::PRODUCTS * H::PRODUCTS {
                let strides = Strides { row: inputs, step: 1, w_row: width };
                // SAFETY: `points` holds `tiles` rows of each point, `products` as many rows of `width`.
                unsafe {
                    let (x, w) = (scratch.points.as_ptr(), w.as_ptr().add(p * runs * inputs * width));
                    let terms = |r: usize| {
                        (0..runs).map(move |run| {
                            let [rd, rh, rw] = split_run::<H, W>(run);
                            let point = D::x_point(p / H::PRODUCTS, rd) * H::X_POINTS
                                + H::x_point(p % H::PRODUCTS, rh);
                            let x = x.add(((rw * x_points + point) * tiles + r) * inputs);
                            Run { x, w: w.add(run * inputs * width), terms: inputs }
                        })
                    };
                    let to = scratch.products.as_mut_ptr().add(p * tiles * width);
                    block_rows(simd, tiles, terms, strides, scratch.zeros.as_ptr(), to, width);
                }
            }
            let (part, tile) = (W::PRODUCTS * outputs, D::OUTPUTS * H::OUTPUTS * W::PRODUCTS * outputs);
            for t in 0..tiles {
                for v in (0..width).step_by(S::F32_LANES) {
                    // SAFETY: as above; `parts` holds the outputs of all tiles.
                    unsafe {
                        let from = scratch.products.as_ptr().add(t * width + v);
                        let to = scratch.parts.as_mut_ptr().add(t * tile + product * outputs + b * width + v);
                        map_products::<S, D, H>(simd, from, tiles * width, to, part);
                    }
                }
            }
        }
    }

    /// Maps along W, adds bias and residual, stores the voxels that exist and sums them up.
    #[inline(always)]
    fn store<S: Simd, D: Axis, H: Axis, W: Axis>(
        &self,
        simd: S,
        layer: usize,
        batch: &Range<usize>,
        scratch: &mut Scratch,
        out: Shared,
    ) {
        let (outputs, across) = (self.layer.bias.len(), self.tiles[2]);
        let sides: [usize; 3] = std::array::from_fn(|a| self.end[a] - self.start[a]);
        let rows = D::OUTPUTS * H::OUTPUTS;
        for c in (0..outputs).step_by(S::F32_LANES) {
            // SAFETY: whole vectors of channels.
            let bias = unsafe { load::<S>(self.layer.bias.as_ptr().add(c)) };
            let mut sums: Option<[S::f32s; 3]> = None; // shift, sum, sum of squares
            if scratch.sums.count > 0.0 {
                // SAFETY: as above.
                let shift = unsafe { load::<S>(scratch.sums.shift.as_ptr().add(c)) };
                sums = Some([shift, simd.splat_f32s(0.0), simd.splat_f32s(0.0)]);
            }
            for i in 0..batch.len() * rows {
                // One row of outputs.
                let (d, h) = (layer * D::OUTPUTS + i % rows / H::OUTPUTS, batch.start + i / rows);
                let h = h * H::OUTPUTS + i % H::OUTPUTS;
                if d >= sides[0] || h >= sides[1] {
                    continue;
                }
                for t in 0..across {
                    let part = ((i / rows * across + t) * rows + i % rows) * W::PRODUCTS * outputs + c;
                    let mut m = [simd.splat_f32s(0.0); MOST];
                    for (p, m) in m.iter_mut().enumerate().take(W::PRODUCTS) {
                        // SAFETY: `multiply` filled the parts of this batch.
                        *m = unsafe { load::<S>(scratch.parts.as_ptr().add(part + p * outputs)) };
                    }
                    let y = W::output(simd, m);
                    for (j, y) in y.into_iter().enumerate().take(W::OUTPUTS.min(sides[2] - t * W::OUTPUTS)) {
                        let at = ((d * sides[1] + h) * sides[2] + t * W::OUTPUTS + j) * outputs + c;
                        let mut y = simd.add_f32s(y, bias);
                        // SAFETY: inside of the output (asserted by `convolve`), and this row is this task's alone.
                        unsafe {
                            if self.add {
                                y = simd.add_f32s(y, load::<S>(out.at(at)));
                            }
                            store::<S>(out.at(at), y);
                        }
                        let s = sums.get_or_insert([y, simd.splat_f32s(0.0), simd.splat_f32s(0.0)]);
                        let v = simd.sub_f32s(y, s[0]);
                        s[1] = simd.add_f32s(s[1], v);
                        s[2] = simd.mul_add_e_f32s(v, v, s[2]);
                    }
                }
            }
            let [shift, sum, square] = sums.expect("a batch begins inside of the output");
            scratch.sums.add::<S>(c, shift, sum, square);
        }
        let (d, h) = (layer * D::OUTPUTS, batch.start * H::OUTPUTS);
        let stored = D::OUTPUTS.min(sides[0] - d) * (batch.len() * H::OUTPUTS).min(sides[1] - h) * sides[2];
        scratch.sums.count += stored as f64;
    }
}
