//! Maximum over 2×2 voxels inside slices, and its gradient.
use super::buffer::filled;
use rayon::prelude::*;

/// Planes of one task in the backward pass at least, in elements.
const MIN_TASK: usize = 1 << 13;

/// Position in a plane of sides `_ × w` of the largest of the four voxels of output (i, j); the first of equals.
#[inline(always)]
fn largest(plane: &[f32], w: usize, i: usize, j: usize) -> usize {
    let first = 2 * i * w + 2 * j;
    let mut best = first;
    for at in [first + 1, first + w, first + w + 1] {
        if plane[at] > plane[best] {
            best = at;
        }
    }
    best
}

/// `x` planes of sides `h × w` → planes of sides `h / 2 × w / 2`, rounded down.
pub fn max_pool(x: &[f32], [h, w]: [usize; 2]) -> Vec<f32> {
    assert!(h >= 2 && w >= 2 && x.len().is_multiple_of(h * w), "planes of {h} × {w}");
    let (oh, ow) = (h / 2, w / 2);
    let planes = x.len() / (h * w);
    let (out, _) = filled(planes * oh, ow, ow, |line, _, out| {
        let top = &x[line / oh * h * w + line % oh * 2 * w..][..2 * w];
        let (top, bottom) = top.split_at(w);
        for ((o, a), b) in out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
            *o = a[0].max(a[1]).max(b[0].max(b[1]));
        }
    });
    out
}

/// Gradient of [`max_pool`]: that of each result goes to the first of its largest voxels.
pub fn max_pool_grad(x: &[f32], [h, w]: [usize; 2], gradient: &[f32]) -> Vec<f32> {
    let (oh, ow) = (h / 2, w / 2);
    assert_eq!(gradient.len() * h * w, x.len() * oh * ow, "a gradient for each result");
    let mut out = vec![0f32; x.len()];
    out.par_chunks_mut(h * w)
        .zip(x.par_chunks(h * w))
        .zip(gradient.par_chunks(oh * ow))
        .with_min_len(MIN_TASK.div_ceil(h * w))
        .for_each(|((out, x), gradient)| {
            for (k, g) in gradient.iter().enumerate() {
                out[largest(x, w, k / ow, k % ow)] = *g;
            }
        });
    out
}
