//! Growing and shrinking masks: by neighbourhoods as `scipy.ndimage.binary_erosion` / `binary_dilation`, and by mm.
use crate::components::Connectivity;
use crate::distance::squared_distance_mm2;
use crate::patch::bounding_box;
use ndarray::{Array3, Axis, s};
use rayon::prelude::*;

/// Squared distances this much above the squared radius (as a part of it) still count as within it, so that three
/// voxels of 0.7 mm are within 2.1 mm whatever the rounding.
const RADIUS_SLACK: f64 = 1e-9;

/// The voxels that a structuring element covers, relative to its centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    offsets: Vec<[isize; 3]>,
}

impl Element {
    /// The centre and its 6, 18 or 26 neighbours.
    pub fn neighbours(connectivity: Connectivity) -> Self {
        let mut cube = Self::cuboid([1; 3]);
        cube.offsets.retain(|o| o.iter().filter(|c| **c != 0).count() <= connectivity.axes());
        cube
    }

    /// A box reaching `half_vox` voxels from its centre: `[2, 2, 0]` is a 5×5 square in the x-y plane.
    pub fn cuboid(half_vox: [usize; 3]) -> Self {
        let [x, y, z] = half_vox.map(|h| -(h as isize)..=h as isize);
        let along_z = |x, y| z.clone().map(move |z| [x, y, z]);
        let offsets =
            x.flat_map(|x| y.clone().flat_map(move |y| along_z(x, y).collect::<Vec<_>>())).collect();
        Self { offsets }
    }
}

/// How to erode or dilate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How many times.
    pub iterations: usize,
    /// Whether voxels outside of the image count as inside the mask (scipy's `border_value`).
    pub border: bool,
}

impl Default for Options {
    /// Once, with nothing outside: scipy's defaults.
    fn default() -> Self {
        Self { iterations: 1, border: false }
    }
}

/// Keeps voxels whose whole element lies in the mask.
pub fn erode(mask: &Array3<bool>, element: &Element, options: Options) -> Array3<bool> {
    let mut out = mask.as_standard_layout().into_owned();
    for _ in 0..options.iterations {
        out = erode_once(&out, &element.offsets, options.border);
    }
    out
}

/// Adds the element around every voxel of the mask. The element is symmetric, so this is the erosion of the
/// mask's complement.
pub fn dilate(mask: &Array3<bool>, element: &Element, options: Options) -> Array3<bool> {
    let inverse = erode(&mask.mapv(|v| !v), element, Options { border: !options.border, ..options });
    inverse.mapv_into(|v| !v)
}

fn erode_once(mask: &Array3<bool>, offsets: &[[isize; 3]], border: bool) -> Array3<bool> {
    let (nx, ny, nz) = mask.dim();
    let voxels = mask.as_slice().expect("in C order");
    let mut out = Array3::from_elem(mask.dim(), true);
    let planes = out.as_slice_mut().expect("a new array is in C order").par_chunks_mut((ny * nz).max(1));
    planes.enumerate().for_each(|(x, plane)| {
        for (y, row) in plane.chunks_mut(nz.max(1)).enumerate() {
            for [dx, dy, dz] in offsets {
                let at = x
                    .checked_add_signed(*dx)
                    .filter(|v| *v < nx)
                    .zip(y.checked_add_signed(*dy).filter(|v| *v < ny));
                match at {
                    Some((x, y)) => and_shifted(row, &voxels[(x * ny + y) * nz..][..nz], *dz, border),
                    None if !border => row.fill(false),
                    None => {}
                }
            }
        }
    });
    out
}

/// `row[i] &= other[i + shift]`, with `border` beyond the ends.
fn and_shifted(row: &mut [bool], other: &[bool], shift: isize, border: bool) {
    let n = row.len();
    let steps = shift.unsigned_abs().min(n);
    let (inner, outer, from) = if shift >= 0 {
        (0..n - steps, n - steps..n, &other[steps..])
    } else {
        (steps..n, 0..steps, &other[..n - steps])
    };
    row[inner].iter_mut().zip(from).for_each(|(a, b)| *a &= *b);
    if !border {
        row[outer].fill(false);
    }
}

/// The mask and all voxels whose centres are at most `radius_mm` from the centre of one of its voxels.
///
/// # Panics
/// When a spacing or the radius is not finite, or the spacing not positive.
pub fn dilate_mm(mask: &Array3<bool>, spacing_mm: [f64; 3], radius_mm: f64) -> Array3<bool> {
    let Some(bounds) = bounding_box(mask) else {
        return mask.clone();
    };
    let shape = [mask.dim().0, mask.dim().1, mask.dim().2];
    // Nothing outside of this box is reached, so distances are wanted only here.
    let margin_vox = spacing_mm.map(|s| (radius_mm / s).ceil().max(0.0) as usize + 1);
    let within = bounds.grown(margin_vox, shape);
    let [x, y, z]: [_; 3] = std::array::from_fn(|a| within.start[a]..within.end[a]);
    let inverse = mask.slice(s![x.clone(), y.clone(), z.clone()]).mapv(|v| !v);
    let mut out = mask.clone();
    out.slice_mut(s![x, y, z]).assign(&near(&inverse, spacing_mm, radius_mm));
    out
}

/// The voxels of the mask whose centres are more than `radius_mm` from the centre of any voxel outside of it.
/// Nothing is assumed beyond the image's border, so a mask does not shrink from there.
///
/// # Panics
/// As [`dilate_mm`].
pub fn erode_mm(mask: &Array3<bool>, spacing_mm: [f64; 3], radius_mm: f64) -> Array3<bool> {
    near(mask, spacing_mm, radius_mm).mapv_into(|v| !v)
}

/// Voxels at most `radius_mm` from a voxel outside of `mask` (which are at 0).
fn near(mask: &Array3<bool>, spacing_mm: [f64; 3], radius_mm: f64) -> Array3<bool> {
    assert!(radius_mm.is_finite(), "radius {radius_mm} mm: expected a finite number");
    let limit_mm2 = radius_mm.max(0.0).powi(2) * (1.0 + RADIUS_SLACK);
    let mut out = Array3::from_elem(mask.dim(), true);
    if let Some((bounds, squared)) = squared_distance_mm2(mask, spacing_mm) {
        let [x, y, z]: [_; 3] = std::array::from_fn(|a| bounds.start[a]..bounds.end[a]);
        let mut view = out.slice_mut(s![x, y, z]);
        let planes =
            view.axis_iter_mut(Axis(0)).into_par_iter().zip(squared.axis_iter(Axis(0)).into_par_iter());
        planes.for_each(|(mut to, from)| to.zip_mut_with(&from, |v, d2| *v = *d2 <= limit_mm2));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Erosion and dilation from their definitions, once.
    fn brute(mask: &Array3<bool>, element: &Element, border: bool, all: bool) -> Array3<bool> {
        Array3::from_shape_fn(mask.dim(), |(x, y, z)| {
            let mut hits = element.offsets.iter().map(|o| {
                let at: [usize; 3] = std::array::from_fn(|a| [x, y, z][a].wrapping_add_signed(o[a]));
                mask.get(at).copied().unwrap_or(border)
            });
            if all { hits.all(|v| v) } else { hits.any(|v| v) }
        })
    }

    #[test]
    fn elements_have_as_many_voxels_as_their_names_say() {
        let count = |c| Element::neighbours(c).offsets.len();
        assert_eq!([Connectivity::Faces, Connectivity::Edges, Connectivity::Corners].map(count), [7, 19, 27]);
        assert_eq!(Element::cuboid([2, 2, 0]).offsets.len(), 25);
    }

    proptest! {
        #[test]
        fn morphology_equals_its_definition(
            shape in prop::array::uniform3(1_usize..7),
            bits in prop::collection::vec(0_u8..100, 216),
            threshold in 10_u8..100,
            half in prop::array::uniform3(0_usize..3),
            border in any::<bool>(),
        ) {
            let mut bits = bits.into_iter();
            let mask = Array3::from_shape_simple_fn(shape, || bits.next().unwrap() < threshold);
            let elements = [
                Element::neighbours(Connectivity::Faces),
                Element::neighbours(Connectivity::Edges),
                Element::neighbours(Connectivity::Corners),
                Element::cuboid(half),
            ];
            for element in &elements {
                for (f, all) in [(erode as fn(&_, &_, _) -> _, true), (dilate, false)] {
                    let once = brute(&mask, element, border, all);
                    let twice = brute(&once, element, border, all);
                    prop_assert_eq!(f(&mask, element, Options { iterations: 1, border }), once);
                    prop_assert_eq!(f(&mask, element, Options { iterations: 2, border }), twice);
                }
            }
        }

        #[test]
        fn morphology_by_mm_equals_its_definition(
            shape in prop::array::uniform3(1_usize..8),
            bits in prop::collection::vec(0_u8..100, 343),
            threshold in 0_u8..101,
            spacing_mm in prop::array::uniform3(0.4_f64..5.0),
            radius_mm in 0.0_f64..6.0,
        ) {
            let mut bits = bits.into_iter();
            let mask = Array3::from_shape_simple_fn(shape, || bits.next().unwrap() < threshold);
            let near = |value: bool| {
                let sites: Vec<_> = mask.indexed_iter().filter(|(_, v)| **v == value).map(|(at, _)| at).collect();
                Array3::from_shape_fn(mask.dim(), |(x, y, z)| {
                    sites.iter().any(|(a, b, c)| {
                        let d = [x.abs_diff(*a), y.abs_diff(*b), z.abs_diff(*c)];
                        (0..3).map(|i| (d[i] as f64 * spacing_mm[i]).powi(2)).sum::<f64>().sqrt() <= radius_mm
                    })
                })
            };
            prop_assert_eq!(dilate_mm(&mask, spacing_mm, radius_mm), near(true));
            prop_assert_eq!(erode_mm(&mask, spacing_mm, radius_mm), near(false).mapv(|v| !v));
        }
    }

    #[test]
    fn rounding_does_not_decide_what_is_within_the_radius() {
        let mut mask = Array3::from_elem((9, 1, 1), false);
        mask[[4, 0, 0]] = true;
        // 3 * 0.7 > 2.1 in f64.
        let grown = dilate_mm(&mask, [0.7, 1.0, 1.0], 2.1);
        assert_eq!(grown.iter().filter(|v| **v).count(), 7);
        assert_eq!(erode_mm(&grown, [0.7, 1.0, 1.0], 1.4).iter().filter(|v| **v).count(), 3);
        assert_eq!(
            erode_mm(&Array3::from_elem((3, 3, 3), true), [1.0; 3], 9.0),
            Array3::from_elem((3, 3, 3), true)
        );
    }
}
