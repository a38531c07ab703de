//! One slice at a time: vectors of neighbouring positions of the padded slice.
use super::super::tile::{Shared, arch, block, written};
use super::Planar;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// A padded slice in `stride²` planes, so that positions `stride` apart are neighbours: `[plane][row][pitch]`.
/// With stride 1 the zeros between two rows serve as the padding of both.
struct Layout {
    pitch: usize,
    plane: usize,
    /// Elements of one channel.
    channel: usize,
}

impl Planar<'_> {
    fn layout(&self) -> Layout {
        let [h, w]: [usize; 2] = std::array::from_fn(|a| self.before[a] + self.sides[a] + self.after[a]);
        let pitch = match self.stride {
            1 => self.sides[1] + self.before[1].max(self.after[1]),
            s => w.div_ceil(s),
        };
        let plane = h.div_ceil(self.stride) * pitch;
        // The last columns, widened to a block, read past the last tap.
        let past = self.before[1] + self.after[1] + block();
        Layout { pitch, plane, channel: ((self.stride * self.stride * plane + past).div_ceil(16) | 1) * 16 }
    }

    /// Where the padded position (h, w), in voxels from the first padding, lies in its channel.
    fn place(&self, l: &Layout, h: usize, w: usize) -> usize {
        let s = self.stride;
        (h % s * s + w % s) * l.plane + h / s * l.pitch + w / s
    }

    /// Columns of the products of one slice.
    fn columns(&self, l: &Layout) -> usize {
        (self.outputs[0] - 1) * l.pitch + self.outputs[1]
    }

    /// Multiplications for each pair of channels.
    pub(super) fn flat_cost(&self) -> usize {
        self.slices * self.columns(&self.layout()).next_multiple_of(block()) * self.taps_in_weight()
    }

    pub(super) fn run_flat(&self) -> Vec<f32> {
        let [oh, ow] = self.out_sides();
        let layout = self.layout();
        // Zeros once for each thread: the padding stays.
        let scratch = || (vec![0f32; self.input.len() * layout.channel], vec![]);
        let len = self.bias.len() * self.slices * oh * ow;
        // SAFETY: the slices and phases share out all elements.
        unsafe {
            written(len, |out| {
                (0..self.slices).into_par_iter().for_each_init(scratch, |(x, products), slice| {
                    self.fill(&layout, slice, x);
                    for phase in 0..self.phases.len() {
                        arch().dispatch(Slice {
                            conv: self,
                            layout: &layout,
                            slice,
                            phase,
                            x,
                            products,
                            out,
                        });
                    }
                });
            })
        }
    }

    /// Copies one slice of every channel to its places.
    fn fill(&self, l: &Layout, slice: usize, x: &mut [f32]) {
        let [h, w] = self.sides;
        for (source, to) in self.input.iter().zip(x.chunks_exact_mut(l.channel)) {
            for (y, line) in source[slice * h * w..][..h * w].chunks_exact(w).enumerate() {
                let y = y + self.before[0];
                if self.stride == 1 {
                    to[self.place(l, y, self.before[1])..][..w].copy_from_slice(line);
                    continue;
                }
                for first in 0..self.stride.min(w) {
                    let to = &mut to[self.place(l, y, first + self.before[1])..];
                    for (t, v) in to.iter_mut().zip(line[first..].iter().step_by(self.stride)) {
                        *t = *v;
                    }
                }
            }
        }
    }
}

/// One phase of one slice.
struct Slice<'a, 'b> {
    conv: &'b Planar<'a>,
    layout: &'b Layout,
    slice: usize,
    phase: usize,
    x: &'b [f32],
    products: &'b mut Vec<f32>,
    out: Shared,
}

impl WithSimd for Slice<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { conv: c, layout: l, slice, phase, x, products, out } = self;
        let phase = &c.phases[phase];
        let columns = c.columns(l);
        let pitch = columns.next_multiple_of(block());
        let channels = c.bias.len();
        products.resize(channels * pitch, 0.0);
        let taps: Vec<(usize, usize)> = phase
            .taps
            .iter()
            .map(|t| {
                let padded = |a: usize| (t.at[a] + c.before[a] as isize) as usize;
                (t.weight, c.place(l, padded(0), padded(1)))
            })
            .collect();
        c.product(simd, 0..channels, &taps, (x, l.channel), columns, (products, pitch));
        let ([oh, ow], [full_h, full_w]) = (c.outputs, c.out_sides());
        for (o, (row, bias)) in products.chunks_exact(pitch).zip(c.bias).enumerate() {
            let start = (o * c.slices + slice) * full_h * full_w;
            for y in 0..oh {
                let line = &row[y * l.pitch..][..ow];
                let at = start + (y * c.step + phase.origin[0]) * full_w + phase.origin[1];
                // SAFETY: inside of the output; each slice and phase has outputs of its own.
                unsafe { store(line, *bias, c.residual.map(|r| &r[at..]), out.at(at), c.step) };
            }
        }
    }
}

/// `line + bias + residual`, to every `step`-th element from `to`.
///
/// # Safety
/// Those elements must be writable, and no other task may touch them.
#[inline(always)]
unsafe fn store(line: &[f32], bias: f32, residual: Option<&[f32]>, to: *mut f32, step: usize) {
    // SAFETY: the caller vouches for the elements.
    let every = |n: usize| unsafe { std::slice::from_raw_parts_mut(to.cast::<MaybeUninit<f32>>(), n) };
    match residual {
        Some(r) => {
            // Transposed convolutions, the ones with a step, have none.
            for ((t, v), r) in every(line.len()).iter_mut().zip(line).zip(r) {
                t.write(v + bias + r);
            }
        }
        None if step == 1 => {
            for (t, v) in every(line.len()).iter_mut().zip(line) {
                t.write(v + bias);
            }
        }
        None => {
            let span = (line.len() - 1) * step + 1;
            for (t, v) in every(span).iter_mut().step_by(step).zip(line) {
                t.write(v + bias);
            }
        }
    }
}
