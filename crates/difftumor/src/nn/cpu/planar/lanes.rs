//! All slices at once: vectors of slices at one position.
use super::super::tile::{Shared, arch, block, written};
use super::Planar;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Output channels of a task: the rows of a register tile.
const ROWS: usize = 12;

impl Planar<'_> {
    /// Slices, widened to whole blocks.
    fn depth(&self) -> usize {
        self.slices.next_multiple_of(block())
    }

    /// Calls `f(phase, output (h, w))` for every output of a slice.
    fn each_output(&self, mut f: impl FnMut(usize, [usize; 2])) {
        let [oh, ow] = self.outputs;
        for phase in 0..self.phases.len() {
            for i in 0..oh * ow {
                f(phase, [i / ow, i % ow]);
            }
        }
    }

    /// The taps of one output that fall into the slice: (weight, first of the columns of their position).
    fn taps_at(&self, phase: usize, o: [usize; 2], taps: &mut Vec<(usize, usize)>) {
        taps.clear();
        for t in &self.phases[phase].taps {
            let at =
                |a: usize| (o[a] * self.stride).checked_add_signed(t.at[a]).filter(|i| *i < self.sides[a]);
            if let (Some(h), Some(w)) = (at(0), at(1)) {
                taps.push((t.weight, (h * self.sides[1] + w) * self.input.len() * self.depth()));
            }
        }
    }

    /// Multiplications for each pair of channels.
    pub(super) fn lanes_cost(&self) -> usize {
        let (mut taps, mut sum) = (vec![], 0);
        self.each_output(|phase, o| {
            self.taps_at(phase, o, &mut taps);
            sum += taps.len();
        });
        sum * self.depth()
    }

    pub(super) fn run_lanes(&self) -> Vec<f32> {
        let [oh, ow] = self.out_sides();
        let area = self.sides[0] * self.sides[1];
        let (channels, depth) = (self.input.len(), self.depth());
        // [position][channel][slice]: the terms of one tap follow each other.
        let mut x = vec![0f32; area * channels * depth];
        x.par_chunks_exact_mut(channels * depth).enumerate().for_each(|(p, to)| {
            for (line, from) in to.chunks_exact_mut(depth).zip(&self.input) {
                for (v, slice) in line.iter_mut().zip(from.chunks_exact(area)) {
                    *v = slice[p];
                }
            }
        });
        let (per_channel, tasks) = (self.slices * oh * ow, self.bias.len().div_ceil(ROWS));
        // SAFETY: the tasks share out all channels.
        unsafe {
            written(self.bias.len() * per_channel, |out| {
                (0..tasks).into_par_iter().for_each_init(Vec::new, |products, i| {
                    let rows = i * ROWS..((i + 1) * ROWS).min(self.bias.len());
                    arch().dispatch(Rows { conv: self, rows, x: &x, products, out });
                });
            })
        }
    }
}

/// Some output channels.
struct Rows<'a, 'b> {
    conv: &'b Planar<'a>,
    rows: Range<usize>,
    x: &'b [f32],
    products: &'b mut Vec<f32>,
    out: Shared,
}

impl WithSimd for Rows<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { conv: c, rows, x, products, out } = self;
        let ([_, full_w], depth) = (c.out_sides(), c.depth());
        let area = c.outputs[0] * c.outputs[1] * c.step * c.step;
        let per_channel = c.slices * area;
        // [channel][position][slice]
        let pitch = area * depth;
        products.resize(rows.len() * pitch, 0.0);
        let mut taps = vec![];
        for phase in 0..c.phases.len() {
            let origin = c.phases[phase].origin;
            for i in 0..c.outputs[0] * c.outputs[1] {
                let o = [i / c.outputs[1], i % c.outputs[1]];
                c.taps_at(phase, o, &mut taps);
                let at = (o[0] * c.step + origin[0]) * full_w + o[1] * c.step + origin[1];
                c.product(simd, rows.clone(), &taps, (x, depth), depth, (&mut products[at * depth..], pitch));
            }
        }
        for (o, from) in rows.zip(products.chunks_exact(pitch)) {
            for s in 0..c.slices {
                for p in 0..area {
                    let at = o * per_channel + s * area + p;
                    let v = from[p * depth + s] + c.bias[o] + c.residual.map_or(0.0, |r| r[at]);
                    // SAFETY: inside of the output; these channels belong to this task alone.
                    unsafe { out.at(at).write(v) };
                }
            }
        }
    }
}
