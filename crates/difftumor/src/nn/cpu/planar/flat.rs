//! One slice at a time: vectors of neighbouring positions of the padded slice.
use super::super::tile::{Shared, arch, block, written};
use super::{Phase, Planar};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

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
        // Zeros once for some slices: the padding stays.
        let scratch = || (vec![0f32; self.input.len() * layout.channel], vec![]);
        let len = self.bias.len() * self.slices * oh * ow;
        // SAFETY: the slices and phases share out all elements.
        unsafe {
            written(len, |out| {
                (0..self.slices).into_par_iter().with_min_len(3).for_each_init(
                    scratch,
                    |(x, products), slice| {
                        arch().dispatch(Slice { conv: self, layout: &layout, slice, x, products, out });
                    },
                );
            })
        }
    }

    /// Copies one slice of every channel to its places.
    #[inline(always)]
    fn fill<S: Simd>(&self, _: S, l: &Layout, slice: usize, x: &mut [f32]) {
        let [h, w] = self.sides;
        for (source, to) in self.input.iter().zip(x.chunks_exact_mut(l.channel)) {
            for (y, line) in source[slice * h * w..][..h * w].chunks_exact(w).enumerate() {
                let y = y + self.before[0];
                if self.stride == 1 {
                    let to = &mut to[self.place(l, y, self.before[1])..][..w];
                    // SAFETY: both have w elements, and every element of `to` is written by what it is given.
                    each_vector::<S>(w, |i| unsafe {
                        let v = line.as_ptr().add(i).cast::<S::f32s>().read_unaligned();
                        to.as_mut_ptr().add(i).cast::<S::f32s>().write_unaligned(v);
                    });
                    if w < S::F32_LANES {
                        to.copy_from_slice(line);
                    }
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

/// Calls `f` with the first element of vectors that cover `0..len`. The last one may overlap the one before it: rows of 24
/// would else spend half of their time on the last 8. None where not even one fits.
#[inline(always)]
fn each_vector<S: Simd>(len: usize, mut f: impl FnMut(usize)) {
    let Some(last) = len.checked_sub(S::F32_LANES) else { return };
    for i in (0..last).step_by(S::F32_LANES) {
        f(i);
    }
    f(last);
}

/// One slice.
struct Slice<'a, 'b> {
    conv: &'b Planar<'a>,
    layout: &'b Layout,
    slice: usize,
    x: &'b mut [f32],
    products: &'b mut Vec<f32>,
    out: Shared,
}

impl WithSimd for Slice<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { conv: c, layout: l, slice, x, products, out } = self;
        c.fill(simd, l, slice, x);
        for phase in &c.phases {
            c.phase(simd, l, phase, slice, x, products, out);
        }
    }
}

impl Planar<'_> {
    /// One phase of one slice.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // the buffers of one task, borrowed apart
    fn phase<S: Simd>(
        &self,
        simd: S,
        l: &Layout,
        phase: &Phase,
        slice: usize,
        x: &[f32],
        products: &mut Vec<f32>,
        out: Shared,
    ) {
        let c = self;
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
                unsafe { store(simd, line, *bias, c.residual.map(|r| &r[at..]), out.at(at), c.step) };
            }
        }
    }
}

/// `line + bias + residual`, to every `step`-th element from `to`. Only steps of 1 come with a residual.
///
/// # Safety
/// Those elements must be writable, and no other task may touch them.
#[inline(always)]
unsafe fn store<S: Simd>(
    simd: S,
    line: &[f32],
    bias: f32,
    residual: Option<&[f32]>,
    to: *mut f32,
    step: usize,
) {
    let residual = residual.map(|r| &r[..line.len()]);
    let added = simd.splat_f32s(bias);
    if step == 1 && line.len() >= S::F32_LANES {
        // SAFETY: vectors inside of `line` and the residual; the caller vouches for `to`.
        return each_vector::<S>(line.len(), |i| unsafe {
            let load = |p: &[f32]| p.as_ptr().add(i).cast::<S::f32s>().read_unaligned();
            let v = simd.add_f32s(load(line), added);
            let v = residual.map_or(v, |r| simd.add_f32s(v, load(r)));
            to.add(i).cast::<S::f32s>().write_unaligned(v);
        });
    }
    for (i, v) in line.iter().enumerate() {
        let v = v + bias + residual.map_or(0.0, |r| r[i]);
        // SAFETY: the caller vouches for the elements.
        unsafe { to.add(i * step).write(v) };
    }
}
