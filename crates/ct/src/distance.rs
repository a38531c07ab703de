//! Exact Euclidean distances in mm from every voxel of a mask to the nearest voxel outside it.
//!
//! The meaning is `scipy.ndimage.distance_transform_edt(mask, sampling=spacing_mm)`. The method is the lower envelope
//! of parabolas, one axis after the other (Felzenszwalb & Huttenlocher 2012). Squared distances are kept in f64: each
//! is the sum of three products, and the envelope only selects among candidates, so a result is off by a few parts in
//! 10^16; for whole-numbered spacings it is exact.
use crate::patch::{VoxelBox, bounding_box};
use ndarray::{Array3, ArrayView1, ArrayViewMut1, Axis, s};
use rayon::prelude::*;

/// Distance in mm of each voxel centre of the mask to the nearest centre outside the mask; 0 outside.
///
/// Only voxels of the array count: beyond its border nothing is assumed. So an empty mask gives 0 everywhere, and a
/// mask that fills the array gives infinity everywhere.
///
/// # Panics
/// When a spacing is not positive and finite.
pub fn distance_mm(mask: &Array3<bool>, spacing_mm: [f64; 3]) -> Array3<f32> {
    let mut out = Array3::zeros(mask.dim());
    let Some((bounds, squared)) = squared_distance_mm2(mask, spacing_mm) else {
        return out;
    };
    let [x, y, z]: [_; 3] = std::array::from_fn(|a| bounds.start[a]..bounds.end[a]);
    let mut part = out.slice_mut(s![x, y, z]);
    let planes = part.axis_iter_mut(Axis(0)).into_par_iter().zip(squared.axis_iter(Axis(0)).into_par_iter());
    planes.for_each(|(mut to, from)| to.zip_mut_with(&from, |d, d2| *d = d2.sqrt() as f32));
    out
}

/// Squared distances in mm² inside a box that holds the mask; outside of the box they are 0. `None` when the mask is
/// empty.
///
/// The box is the mask's bounding box and one voxel around it (where the image goes on). Nothing is lost: a voxel
/// outside of the box, moved onto the box along each axis, lies outside of the mask too, and is closer.
pub(crate) fn squared_distance_mm2(
    mask: &Array3<bool>,
    spacing_mm: [f64; 3],
) -> Option<(VoxelBox, Array3<f64>)> {
    assert!(spacing_mm.iter().all(|s| s.is_finite() && *s > 0.0), "spacing {spacing_mm:?}: expected above 0");
    let (nx, ny, nz) = mask.dim();
    let bounds = bounding_box(mask)?.grown([1; 3], [nx, ny, nz]);
    let [x, y, z]: [_; 3] = std::array::from_fn(|a| bounds.start[a]..bounds.end[a]);
    let mask = mask.slice(s![x, y, z]);
    let mut squared = Array3::zeros(mask.dim());
    squared.axis_iter_mut(Axis(0)).into_par_iter().zip(mask.axis_iter(Axis(0)).into_par_iter()).for_each(
        |(mut plane, mask)| {
            for (out, inside) in plane.outer_iter_mut().zip(mask.outer_iter()) {
                first_axis(out, inside, spacing_mm[2]);
            }
        },
    );
    for axis in [1, 0] {
        // Planes that hold whole lines of this axis.
        let across = 1 - axis;
        squared.axis_iter_mut(Axis(across)).into_par_iter().for_each_init(
            Envelope::default,
            |work, mut plane| {
                for line in plane.lanes_mut(Axis(0)) {
                    work.lower(line, spacing_mm[axis]);
                }
            },
        );
    }
    Some((bounds, squared))
}

/// Squared distances along one line: two sweeps that count voxels.
fn first_axis(mut out: ArrayViewMut1<'_, f64>, inside: ArrayView1<'_, bool>, spacing_mm: f64) {
    let n = inside.len();
    let mut since = f64::INFINITY;
    for i in 0..n {
        since = if inside[i] { since + 1.0 } else { 0.0 };
        out[i] = since;
    }
    since = f64::INFINITY;
    for i in (0..n).rev() {
        since = if inside[i] { since + 1.0 } else { 0.0 };
        let distance_mm = out[i].min(since) * spacing_mm;
        out[i] = distance_mm * distance_mm;
    }
}

/// Working memory for the lower envelope of one line.
#[derive(Default)]
pub(crate) struct Envelope {
    heights: Vec<f64>,
    /// Positions of the parabolas that form the envelope, and where each takes over from the one before.
    sites: Vec<(usize, f64)>,
}

impl Envelope {
    /// Replaces `f(q)` by the minimum over p of `((q - p) spacing)^2 + f(p)`.
    pub(crate) fn lower(&mut self, mut line: ArrayViewMut1<'_, f64>, spacing_mm: f64) {
        let Self { heights, sites } = self;
        heights.clear();
        heights.extend(line.iter().copied());
        if heights.iter().all(|h| *h == 0.0) {
            return; // a line outside of the mask: most lines of a box around an organ's corner
        }
        let s2 = spacing_mm * spacing_mm;
        sites.clear();
        for (p, h) in heights.iter().enumerate().filter(|(_, h)| h.is_finite()) {
            let mut from = f64::NEG_INFINITY;
            while let Some((q, q_from)) = sites.last() {
                // Where the parabola at p becomes lower than the one at q.
                let (p, q, hq) = (p as f64, *q as f64, heights[*q]);
                from = 0.5 * ((h - hq) / (s2 * (p - q)) + p + q);
                if from > *q_from {
                    break;
                }
                sites.pop();
                from = f64::NEG_INFINITY;
            }
            sites.push((p, from));
        }
        if sites.is_empty() {
            return; // no voxel outside of the mask yet: stays infinite
        }
        let mut k = 0;
        for (q, out) in line.iter_mut().enumerate() {
            while k + 1 < sites.len() && sites[k + 1].1 < q as f64 {
                k += 1;
            }
            let p = sites[k].0;
            let along_mm = q.abs_diff(p) as f64 * spacing_mm;
            *out = along_mm * along_mm + heights[p];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn brute(mask: &Array3<bool>, spacing_mm: [f64; 3]) -> Array3<f64> {
        let background: Vec<_> =
            mask.indexed_iter().filter(|(_, inside)| !**inside).map(|(at, _)| at).collect();
        Array3::from_shape_fn(mask.dim(), |(x, y, z)| {
            let distance = |(a, b, c): &(usize, usize, usize)| {
                let d = [x.abs_diff(*a), y.abs_diff(*b), z.abs_diff(*c)];
                (0..3).map(|i| (d[i] as f64 * spacing_mm[i]).powi(2)).sum::<f64>().sqrt()
            };
            background.iter().map(distance).fold(f64::INFINITY, f64::min)
        })
    }

    proptest! {
        #[test]
        fn distances_equal_the_definition(
            shape in prop::array::uniform3(1_usize..8),
            bits in prop::collection::vec(0_u8..100, 343),
            threshold in 0_u8..101,
            spacing_mm in prop::array::uniform3(0.3_f64..6.0),
        ) {
            let mut bits = bits.into_iter();
            let mask = Array3::from_shape_simple_fn(shape, || bits.next().unwrap() < threshold);
            let (found, expected) = (distance_mm(&mask, spacing_mm), brute(&mask, spacing_mm));
            for (a, b) in found.iter().zip(&expected) {
                // Equal up to the rounding to f32.
                prop_assert!(f64::from(*a) == *b || (f64::from(*a) / b - 1.0).abs() < 1e-7, "{} {}", a, b);
            }
        }

        #[test]
        fn whole_spacings_are_exact(
            bits in prop::collection::vec(0_u8..100, 9 * 6 * 11),
            spacing in prop::array::uniform3(1_u8..6),
        ) {
            let mask = Array3::from_shape_vec((9, 6, 11), bits.into_iter().map(|v| v < 97).collect()).unwrap();
            let spacing_mm = spacing.map(f64::from);
            let found = distance_mm(&mask, spacing_mm);
            prop_assert_eq!(found, brute(&mask, spacing_mm).mapv(|v| v as f32));
        }
    }

    #[test]
    fn empty_full_and_bordering_masks() {
        let empty = Array3::from_elem((3, 4, 5), false);
        assert!(distance_mm(&empty, [1.0; 3]).iter().all(|d| *d == 0.0));
        let mut full = Array3::from_elem((3, 4, 5), true);
        assert!(distance_mm(&full, [1.0; 3]).iter().all(|d| *d == f32::INFINITY));
        assert_eq!(distance_mm(&Array3::from_elem((0, 4, 5), true), [1.0; 3]).len(), 0);
        // The border of the array is not background: the farthest corner sees the one voxel outside.
        full[[0, 0, 0]] = false;
        assert_eq!(distance_mm(&full, [1.0, 2.0, 0.5])[[2, 3, 4]], (4.0_f32 + 36.0 + 4.0).sqrt());
    }
}
