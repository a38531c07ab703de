//! Which source voxels make up a target voxel, and with what weights.
use super::coordinates::{in_field, snap};
use ndarray::Array3;
use rayon::prelude::*;

/// The interpolating function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kernel {
    /// Straight lines between voxels.
    Linear,
    /// Cubic B-spline over spline coefficients.
    Cubic,
}

impl Kernel {
    /// Calls `each(index, weight)` for the voxels of a line of `n` that make up the value at `position`; beyond the
    /// outermost centres the value at the edge.
    fn taps(self, position: f64, n: usize, mut each: impl FnMut(usize, f64)) {
        let position = snap(position).clamp(0.0, (n - 1) as f64);
        let low = position.floor();
        let (t, low) = (position - low, low as usize);
        match self {
            Self::Linear if t == 0.0 => each(low, 1.0),
            Self::Linear => {
                each(low, 1.0 - t);
                each(low + 1, t);
            }
            Self::Cubic => {
                let (t2, t3, u) = (t * t, t * t * t, 1.0 - t);
                let weights = [
                    u * u * u / 6.0,
                    (3.0 * t3 - 6.0 * t2 + 4.0) / 6.0,
                    (-3.0 * t3 + 3.0 * t2 + 3.0 * t + 1.0) / 6.0,
                    t3 / 6.0,
                ];
                for (k, w) in weights.into_iter().enumerate() {
                    each(mirror(low as isize + k as isize - 1, n), w);
                }
            }
        }
    }
}

/// Index of position `i` on a line of `n` voxels continued by mirroring at the edge voxels' centres.
fn mirror(i: isize, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let last = n as isize - 1;
    let m = i.rem_euclid(2 * last);
    (if m <= last { m } else { 2 * last - m }) as usize
}

/// For every index of one target axis, the weights of voxels along the source axis that it follows.
pub(super) struct Weights {
    /// Where each target index begins in `taps`; one more entry at the end.
    begin: Vec<usize>,
    /// Source index and weight.
    taps: Vec<(usize, f64)>,
    /// Part of the samples that lie in the source's field, per target index.
    inside: Vec<f64>,
}

impl Weights {
    /// Weights for `len` target voxels, each the mean of `samples` positions spread evenly over the voxel, on a
    /// source line of `n`. With `drop_outside`, samples outside of the field have no weight.
    pub(super) fn new(
        position: impl Fn(f64) -> f64,
        len: usize,
        samples: usize,
        n: usize,
        kernel: Kernel,
        drop_outside: bool,
    ) -> Self {
        let mut weights = Self { begin: vec![0], taps: Vec::new(), inside: Vec::with_capacity(len) };
        // A line met at whole positions only is copied: both kernels interpolate.
        let whole = |i: usize| snap(position(i as f64)).fract() == 0.0;
        let kernel = if samples == 1 && (0..len).all(whole) { Kernel::Linear } else { kernel };
        for i in 0..len {
            let begin = weights.taps.len();
            let mut inside = 0_usize;
            for k in 0..samples {
                let at = position(i as f64 + (k as f64 + 0.5) / samples as f64 - 0.5);
                if drop_outside && !in_field(at, n) {
                    continue;
                }
                inside += 1;
                kernel.taps(at, n, |index, w| {
                    match weights.taps[begin..].iter_mut().find(|(known, _)| *known == index) {
                        Some((_, sum)) => *sum += w,
                        None => weights.taps.push((index, w)),
                    }
                });
            }
            if samples > 1 {
                weights.taps[begin..].iter_mut().for_each(|(_, w)| *w /= samples as f64);
            }
            weights.begin.push(weights.taps.len());
            weights.inside.push(inside as f64 / samples as f64);
        }
        weights
    }

    /// Whether every target voxel is one source voxel (or outside).
    pub(super) fn only_copies(&self) -> bool {
        self.taps.iter().all(|(_, w)| *w == 1.0)
    }

    fn len(&self) -> usize {
        self.inside.len()
    }

    fn at(&self, i: usize) -> &[(usize, f64)] {
        &self.taps[self.begin[i]..self.begin[i + 1]]
    }
}

/// All target voxels as weighted sums, in the source's order of axes. With a constant, the part of the samples
/// outside of the field counts with that value.
pub(super) fn weighted_sums<T: Copy + Into<f64> + Sync>(
    src: &Array3<T>,
    weights: &[Weights; 3],
    constant: Option<f64>,
) -> Array3<f32> {
    let src = src.as_standard_layout();
    let voxels = src.as_slice().expect("in C order");
    let (_, sy, sz) = src.dim();
    let [wx, wy, wz] = weights;
    let mut out = Array3::zeros((wx.len(), wy.len(), wz.len()));
    let plane_len = (wy.len() * wz.len()).max(1);
    let planes = out.as_slice_mut().expect("a new array is in C order").par_chunks_mut(plane_len);
    planes.enumerate().for_each_init(
        || vec![0.0_f64; sz],
        |row, (x, plane)| {
            for (y, out) in plane.chunks_mut(wz.len().max(1)).enumerate() {
                combine_rows(row, voxels, sy, wx.at(x), wy.at(y));
                let inside = wx.inside[x] * wy.inside[y];
                for (z, v) in out.iter_mut().enumerate() {
                    let mut sum = dot(row, wz.at(z));
                    let part = inside * wz.inside[z];
                    if let Some(value) = constant
                        && part < 1.0
                    {
                        sum += value * (1.0 - part);
                    }
                    *v = sum as f32;
                }
            }
        },
    );
    out
}

/// `row = sum of wx * wy * (the source row at x, y)`. The first product is stored and not added to zero, which
/// would turn -0 into +0.
fn combine_rows<T: Copy + Into<f64>>(
    row: &mut [f64],
    voxels: &[T],
    sy: usize,
    xs: &[(usize, f64)],
    ys: &[(usize, f64)],
) {
    let sz = row.len();
    let mut first = true;
    for (x, wx) in xs {
        for (y, wy) in ys {
            let w = wx * wy;
            let from = &voxels[(x * sy + y) * sz..][..sz];
            if first {
                row.iter_mut().zip(from).for_each(|(r, v)| *r = w * (*v).into());
            } else {
                row.iter_mut().zip(from).for_each(|(r, v)| *r += w * (*v).into());
            }
            first = false;
        }
    }
    if first {
        row.fill(0.0);
    }
}

fn dot(row: &[f64], taps: &[(usize, f64)]) -> f64 {
    match taps {
        [] => 0.0,
        [(i, w)] => row[*i] * w,
        [(i, w), (j, v)] => row[*i] * w + row[*j] * v,
        more => more.iter().map(|(i, w)| row[*i] * w).sum(),
    }
}

/// Up to four voxels of one line and their weights.
#[derive(Default)]
struct Stencil {
    taps: [(usize, f64); 4],
    len: usize,
}

impl Stencil {
    fn new(position: f64, n: usize, kernel: Kernel) -> Self {
        let mut stencil = Self::default();
        kernel.taps(position, n, |index, w| {
            stencil.taps[stencil.len] = (index, w);
            stencil.len += 1;
        });
        stencil
    }

    fn taps(&self) -> &[(usize, f64)] {
        &self.taps[..self.len]
    }
}

/// The value at any position, of voxels in C order.
pub(super) fn sample_at<T: Copy + Into<f64>>(
    voxels: &[T],
    n: [usize; 3],
    position: [f64; 3],
    kernel: Kernel,
) -> f64 {
    let [xs, ys, zs]: [_; 3] = std::array::from_fn(|a| Stencil::new(position[a], n[a], kernel));
    let mut sum = 0.0;
    for (x, wx) in xs.taps() {
        for (y, wy) in ys.taps() {
            let row = &voxels[(x * n[1] + y) * n[2]..][..n[2]];
            let along_z: f64 = zs.taps().iter().map(|(z, wz)| wz * row[*z].into()).sum();
            sum += wx * wy * along_z;
        }
    }
    sum
}
