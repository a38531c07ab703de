//! Cutting, padding and pasting boxes of voxels, and where a mask lies.
//!
//! Boxes are given by the voxel that becomes voxel 0 and a shape; they may reach outside of the image.
use crate::volume::Image;
use ndarray::{Array1, Array2, Array3, ArrayView1, Axis, s};
use rayon::prelude::*;

/// What voxels outside of the image hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill<T> {
    /// This value.
    Constant(T),
    /// The nearest voxel of the image.
    Edge,
    /// The smallest value of the image along the axes on which the position is outside: numpy's `minimum` mode, with
    /// which MONAI pads scans in the paper's pipeline. Only beyond a corner is it the minimum of the whole image.
    Minimum,
}

/// A box of voxels, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoxelBox {
    /// The lowest corner.
    pub start: [usize; 3],
    /// One beyond the highest corner.
    pub end: [usize; 3],
}

impl VoxelBox {
    /// Number of voxels along each axis.
    pub fn shape(&self) -> [usize; 3] {
        std::array::from_fn(|a| self.end[a] - self.start[a])
    }

    /// The box grown by `margin_vox` on every side, but not beyond an image of `shape`.
    pub fn grown(&self, margin_vox: [usize; 3], shape: [usize; 3]) -> Self {
        Self {
            start: std::array::from_fn(|a| self.start[a].saturating_sub(margin_vox[a])),
            end: std::array::from_fn(|a| self.end[a].saturating_add(margin_vox[a]).min(shape[a])),
        }
    }

    /// The smallest box that holds both.
    pub fn union(&self, other: &Self) -> Self {
        Self {
            start: std::array::from_fn(|a| self.start[a].min(other.start[a])),
            end: std::array::from_fn(|a| self.end[a].max(other.end[a])),
        }
    }
}

/// The part of an array that starts at voxel `start` and has the given shape.
///
/// # Panics
/// When the array has no voxels to take a value from (with [`Fill::Edge`] and [`Fill::Minimum`]).
pub fn crop<T>(data: &Array3<T>, start: [i64; 3], shape: [usize; 3], fill: Fill<T>) -> Array3<T>
where
    T: Copy + PartialOrd + Send + Sync,
{
    match fill {
        Fill::Constant(value) => {
            let mut out = Array3::from_elem(shape, value);
            paste(&mut out, data, start.map(|v| v.saturating_neg()));
            out
        }
        Fill::Edge => crop_edge(data, start, shape),
        Fill::Minimum => crop_minimum(data, start, shape),
    }
}

/// Position of voxel `i` of a crop in the array's line of `n`: an index, or outside.
fn inside(start: i64, i: usize, n: usize) -> Option<usize> {
    usize::try_from(start.saturating_add(i as i64)).ok().filter(|at| *at < n)
}

fn crop_edge<T: Copy + Send + Sync>(data: &Array3<T>, start: [i64; 3], shape: [usize; 3]) -> Array3<T> {
    let n = [data.dim().0, data.dim().1, data.dim().2];
    let mut out = Array3::from_elem(shape, *data.first().expect("an empty array has no edge"));
    let at = |a: usize, i: usize| start[a].saturating_add(i as i64).clamp(0, n[a] as i64 - 1) as usize;
    out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(x, mut plane)| {
        for ((y, z), v) in plane.indexed_iter_mut() {
            *v = data[[at(0, x), at(1, y), at(2, z)]];
        }
    });
    out
}

fn crop_minimum<T>(data: &Array3<T>, start: [i64; 3], shape: [usize; 3]) -> Array3<T>
where
    T: Copy + PartialOrd + Send + Sync,
{
    let (nx, ny, nz) = data.dim();
    let mut out = Array3::from_elem(shape, *data.first().expect("an empty array has no minimum"));
    // The plane beyond either end of x, only worked out when the crop reaches there.
    let beyond = (0..shape[0])
        .any(|x| inside(start[0], x, nx).is_none())
        .then(|| Array2::from_shape_fn((ny, nz), |(y, z)| minimum(data.slice(s![.., y, z]))));
    out.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(x, mut plane)| {
        let from = match (inside(start[0], x, nx), &beyond) {
            (Some(x), _) => data.index_axis(Axis(0), x),
            (None, Some(minima)) => minima.view(),
            (None, None) => unreachable!("a position outside was announced above"),
        };
        for (y, mut row) in plane.outer_iter_mut().enumerate() {
            let line = match inside(start[1], y, ny) {
                Some(y) => from.row(y).to_owned(),
                None => Array1::from_shape_fn(nz, |z| minimum(from.column(z))),
            };
            let end = minimum(line.view());
            for (z, v) in row.iter_mut().enumerate() {
                *v = inside(start[2], z, nz).map_or(end, |z| line[z]);
            }
        }
    });
    out
}

/// The smallest value of a line that is not empty.
fn minimum<T: Copy + PartialOrd>(line: ArrayView1<'_, T>) -> T {
    line.iter().fold(line[0], |least, v| if *v < least { *v } else { least })
}

/// [`crop`] of an image; every voxel keeps its world position.
pub fn crop_image<T>(image: &Image<T>, start: [i64; 3], shape: [usize; 3], fill: Fill<T>) -> Image<T>
where
    T: Copy + PartialOrd + Send + Sync,
{
    Image { data: crop(&image.data, start, shape, fill), affine: image.grid().crop(start, shape).affine }
}

/// The start (zero or negative) and shape of the box that MONAI's `SpatialPad(method="symmetric")` makes of an image
/// of `shape`: sides below `at_least` grow to it, with `(at_least - side) / 2` voxels (rounded down) in front.
pub fn spatial_pad_box(shape: [usize; 3], at_least: [usize; 3]) -> ([i64; 3], [usize; 3]) {
    let start = std::array::from_fn(|a| -((at_least[a].saturating_sub(shape[a]) / 2) as i64));
    (start, std::array::from_fn(|a| shape[a].max(at_least[a])))
}

/// Pads an image to sides of `at_least` voxels, see [`spatial_pad_box`].
pub fn spatial_pad<T>(image: &Image<T>, at_least: [usize; 3], fill: Fill<T>) -> Image<T>
where
    T: Copy + PartialOrd + Send + Sync,
{
    let (start, shape) = spatial_pad_box(image.grid().shape, at_least);
    crop_image(image, start, shape, fill)
}

/// Writes `patch` into `data` with its voxel 0 at `start`; what falls outside is dropped.
pub fn paste<T: Copy>(data: &mut Array3<T>, patch: &Array3<T>, start: [i64; 3]) {
    let (n, m) = (data.dim(), patch.dim());
    let (n, m) = ([n.0, n.1, n.2], [m.0, m.1, m.2]);
    // Both ends in the target, per axis; an i128 cannot overflow here.
    let low: [i128; 3] = start.map(|s| i128::from(s).max(0));
    let high: [i128; 3] = std::array::from_fn(|a| (i128::from(start[a]) + m[a] as i128).min(n[a] as i128));
    if (0..3).any(|a| low[a] >= high[a]) {
        return;
    }
    let to: [_; 3] = std::array::from_fn(|a| low[a] as usize..high[a] as usize);
    let from: [_; 3] = std::array::from_fn(|a| {
        let offset = -i128::from(start[a]);
        (low[a] + offset) as usize..(high[a] + offset) as usize
    });
    let [x, y, z] = from;
    let source = patch.slice(s![x, y, z]);
    let [x, y, z] = to;
    data.slice_mut(s![x, y, z]).assign(&source);
}

/// The smallest box that holds all voxels of a mask. `None` when the mask is empty.
pub fn bounding_box(mask: &Array3<bool>) -> Option<VoxelBox> {
    let planes = mask.axis_iter(Axis(0)).into_par_iter().enumerate();
    let boxes = planes.filter_map(|(x, plane)| {
        let mut found: Option<VoxelBox> = None;
        for (y, row) in plane.outer_iter().enumerate() {
            // Most rows are empty: without a way out early this is a few vector instructions.
            if !row.iter().fold(false, |any, v| any | *v) {
                continue;
            }
            let first = row.iter().position(|v| *v).expect("some voxel of the row is inside");
            let last = row.iter().rposition(|v| *v).expect("a first voxel is there, so a last one is");
            let here = VoxelBox { start: [x, y, first], end: [x + 1, y + 1, last + 1] };
            found = Some(found.map_or(here, |b| b.union(&here)));
        }
        found
    });
    boxes.reduce_with(|a, b| a.union(&b))
}

/// Mean voxel position of a mask. `None` when the mask is empty.
pub fn centre_of_mass_vox(mask: &Array3<bool>) -> Option<[f64; 3]> {
    // Sums of indices are whole numbers, so the order of the threads cannot matter.
    let planes = mask.axis_iter(Axis(0)).into_par_iter().enumerate();
    let sums = planes.map(|(x, plane)| {
        let mut sums = [0_u64; 4];
        for ((y, z), _) in plane.indexed_iter().filter(|(_, inside)| **inside) {
            for (sum, v) in sums.iter_mut().zip([x, y, z, 1]) {
                *sum += v as u64;
            }
        }
        sums
    });
    let [x, y, z, count] = sums.reduce(|| [0; 4], |a, b| std::array::from_fn(|i| a[i] + b[i]));
    (count > 0).then(|| [x, y, z].map(|sum| sum as f64 / count as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;

    fn numbered(dim: (usize, usize, usize)) -> Array3<f32> {
        Array3::from_shape_fn(dim, |(x, y, z)| 1.0 + (x * 100 + y * 10 + z) as f32)
    }

    #[test]
    fn crops_reach_outside_with_every_fill() {
        let data = numbered((3, 4, 5)).mapv(|v| v * 37.0 % 101.0);
        for start in [[-2_i64, 1, 3], [0, 0, 0], [2, -1, -7], [9, 9, 9], [i64::MIN, 0, i64::MAX]] {
            let shape = [4, 3, 6];
            for fill in [Fill::Constant(-5.0), Fill::Edge, Fill::Minimum] {
                let out = crop(&data, start, shape, fill);
                assert_eq!(out.dim(), (4, 3, 6));
                for ((x, y, z), v) in out.indexed_iter() {
                    let at = [x, y, z].map(|i| i as i128);
                    let at: [i128; 3] = std::array::from_fn(|a| at[a] + i128::from(start[a]));
                    let nearest: [usize; 3] = std::array::from_fn(|a| at[a].clamp(0, [2, 3, 4][a]) as usize);
                    let inside = (0..3).all(|a| nearest[a] as i128 == at[a]);
                    let expected = match fill {
                        _ if inside => data[nearest],
                        Fill::Constant(c) => c,
                        Fill::Edge => data[nearest],
                        Fill::Minimum => data
                            .indexed_iter()
                            .filter(|((x, y, z), _)| {
                                let same =
                                    |a: usize, i: usize| nearest[a] as i128 != at[a] || nearest[a] == i;
                                same(0, *x) && same(1, *y) && same(2, *z)
                            })
                            .map(|(_, v)| *v)
                            .fold(f32::INFINITY, f32::min),
                    };
                    assert_eq!(*v, expected, "{start:?} {fill:?}");
                }
            }
        }
    }

    #[test]
    fn padding_is_symmetric_and_keeps_world_positions() {
        assert_eq!(spatial_pad_box([15, 14, 30], [24; 3]), ([-4, -5, 0], [24, 24, 30]));
        let image = Image { data: numbered((3, 4, 5)), affine: Affine::from_spacing_mm([2.0, 1.0, 1.0]) };
        let padded = spatial_pad(&image, [6, 4, 6], Fill::Constant(0.0));
        assert_eq!(padded.data.dim(), (6, 4, 6));
        assert_eq!(padded.data[[1, 0, 0]], image.data[[0, 0, 0]]);
        assert_eq!(padded.affine.apply([1.0, 0.0, 0.0]), [0.0; 3]);
        let back = crop_image(&padded, [1, 0, 0], [3, 4, 5], Fill::Edge);
        assert_eq!(back, image);
    }

    #[test]
    fn pasting_a_crop_back_changes_nothing() {
        let data = numbered((3, 4, 5));
        for start in [[-1, 2, 0], [2, 3, 4], [-9, 0, 0]] {
            let mut copy = data.clone();
            paste(&mut copy, &crop(&data, start, [4, 4, 4], Fill::Constant(0.0)), start);
            assert_eq!(copy, data);
        }
        let mut copy = data.clone();
        paste(&mut copy, &Array3::from_elem((2, 2, 2), 0.0), [2, -1, 4]);
        assert_eq!(copy.iter().filter(|v| **v == 0.0).count(), 1);
        assert_eq!(copy[[2, 0, 4]], 0.0);
    }

    #[test]
    fn boxes_and_centres_of_masks() {
        let mut mask = Array3::from_elem((5, 6, 7), false);
        assert_eq!(bounding_box(&mask), None);
        assert_eq!(centre_of_mass_vox(&mask), None);
        mask[[1, 5, 2]] = true;
        mask[[4, 2, 2]] = true;
        mask[[4, 2, 6]] = true;
        let found = bounding_box(&mask).unwrap();
        assert_eq!(found, VoxelBox { start: [1, 2, 2], end: [5, 6, 7] });
        assert_eq!(found.shape(), [4, 4, 5]);
        assert_eq!(found.grown([2, 1, 9], [5, 6, 7]), VoxelBox { start: [0, 1, 0], end: [5, 6, 7] });
        // (1+4+4)/3, (5+2+2)/3, (2+2+6)/3
        assert_eq!(centre_of_mass_vox(&mask), Some([3.0, 3.0, 10.0 / 3.0]));
    }
}
