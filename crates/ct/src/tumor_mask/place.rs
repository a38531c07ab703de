//! The published choice of a tumor's centre: a slice by its height in the organ, then a voxel of that slice.
//!
//! Source: the authors' code. The original tries for ever when no slice has a voxel left (a thin liver, eroded) and
//! raises an exception for an empty organ; here the tries are bounded and an empty organ is a typed error.
use crate::draws::Draws;
use crate::error::{Error, Result};
use ndarray::{Array3, ArrayView2, Axis};

/// Heights in the organ's z range (0 first slice, 1 last) by number of tries: the last row holds for the rest.
const HEIGHTS: [(usize, (f64, f64)); 4] =
    [(11, (0.3, 0.7)), (21, (0.2, 0.8)), (31, (0.1, 0.9)), (usize::MAX, (0.0, 1.0))];

/// Tries before the fallback. 31 use narrower ranges; with the 69 others an organ with usable voxels in a tenth of
/// its slices is missed with probability 0.9^69 < 0.001.
const TRIES: usize = 100;

/// Half the side of the square that erodes a slice: 5x5.
const EROSION_RADIUS: usize = 2;

/// Draws a centre in the organ `[x, y, z]`. With `erode`, slices are first eroded in-plane by a 5x5 square, outside
/// of the image counting as organ. When no try finds a voxel the centre is any voxel of the organ, un-eroded.
///
/// # Errors
/// [`Error::Placement`] when the organ has no voxel.
pub fn draw_centre(
    organ: &Array3<bool>,
    organ_name: &str,
    erode: bool,
    draws: &mut impl Draws,
) -> Result<[usize; 3]> {
    let (start, end) = z_range(organ).ok_or_else(|| no_voxels(organ_name))?;
    for attempt in 1..=TRIES {
        let (_, (low, high)) =
            HEIGHTS.into_iter().find(|(last, _)| attempt <= *last).expect("the last row holds");
        let z = (draws.uniform(low, high) * (end - start) as f64).round_ties_even() as usize + start;
        let slice = organ.index_axis(Axis(2), z);
        let candidates = slice_voxels(slice, erode);
        if !candidates.is_empty() {
            let [x, y] = candidates[draws.index(candidates.len())];
            return Ok([x, y, z]);
        }
    }
    let n = organ.iter().filter(|v| **v).count();
    let chosen = draws.index(n);
    let ((x, y, z), _) = organ.indexed_iter().filter(|(_, v)| **v).nth(chosen).expect("chosen < n");
    Ok([x, y, z])
}

/// The centre of the organ's bounding box, rounded half to even: where large pancreas tumors go.
///
/// # Errors
/// [`Error::Placement`] when the organ has no voxel.
pub fn bounding_box_centre(organ: &Array3<bool>, organ_name: &str) -> Result<[usize; 3]> {
    let bounds = bounds(organ).ok_or_else(|| no_voxels(organ_name))?;
    Ok(bounds.map(|(first, last)| (0.5 * (last - first) as f64).round_ties_even() as usize + first))
}

/// First and last index with a voxel, per axis. `None` for an empty mask.
pub fn bounds(mask: &Array3<bool>) -> Option<[(usize, usize); 3]> {
    let (nx, ny, nz) = mask.dim();
    let mut used = [vec![false; nx], vec![false; ny], vec![false; nz]];
    for (x, plane) in mask.outer_iter().enumerate() {
        for (y, row) in plane.outer_iter().enumerate() {
            let mut any = false;
            for (seen, voxel) in used[2].iter_mut().zip(row) {
                *seen |= *voxel;
                any |= *voxel;
            }
            used[1][y] |= any;
            used[0][x] |= any;
        }
    }
    let range = |u: &[bool]| Some((u.iter().position(|v| *v)?, u.iter().rposition(|v| *v)?));
    Some([range(&used[0])?, range(&used[1])?, range(&used[2])?])
}

fn z_range(organ: &Array3<bool>) -> Option<(usize, usize)> {
    bounds(organ).map(|b| b[2])
}

pub(super) fn no_voxels(organ: &str) -> Error {
    Error::Placement {
        organ: organ.into(),
        reason: "its mask has 0 voxels".into(),
        hint: "check the organ's label value, and that the crop contains the organ".into(),
    }
}

/// The slice's voxels, row by row.
fn slice_voxels(slice: ArrayView2<bool>, erode: bool) -> Vec<[usize; 2]> {
    let chosen = |slice: ArrayView2<bool>| {
        slice.indexed_iter().filter(|(_, v)| **v).map(|((x, y), _)| [x, y]).collect::<Vec<_>>()
    };
    if erode { chosen(erode_slice(slice).view()) } else { chosen(slice) }
}

/// Erosion by a 5x5 square. Voxels outside of the slice count as organ, so nothing is eroded at the image border.
pub fn erode_slice(slice: ArrayView2<bool>) -> ndarray::Array2<bool> {
    let mut out = slice.to_owned();
    for axis in [Axis(0), Axis(1)] {
        for mut lane in out.lanes_mut(axis) {
            let line = lane.to_vec();
            for (i, v) in lane.iter_mut().enumerate() {
                let around = i.saturating_sub(EROSION_RADIUS)..(i + EROSION_RADIUS + 1).min(line.len());
                *v = line[around].iter().all(|inside| *inside);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Stream;

    #[test]
    fn an_empty_organ_is_an_error_that_says_so() {
        let empty = Array3::from_elem((8, 8, 8), false);
        let error =
            draw_centre(&empty, "liver", true, &mut Stream::new(0, 0, "", 0)).unwrap_err().to_string();
        assert!(error.contains("liver") && error.contains("0 voxels"), "{error}");
        assert!(bounding_box_centre(&empty, "pancreas").is_err());
    }

    #[test]
    fn a_liver_that_erodes_away_still_gets_a_centre() {
        // A column 4 voxels wide: the 5x5 erosion leaves nothing of any slice.
        let thin = Array3::from_shape_fn((30, 30, 30), |(x, y, z)| {
            (10..14).contains(&x) && (10..14).contains(&y) && z > 3
        });
        for tumor in 0..20 {
            let centre = draw_centre(&thin, "liver", true, &mut Stream::new(0, 0, "thin", tumor)).unwrap();
            assert!(thin[centre]);
        }
    }

    #[test]
    fn centres_lie_in_the_middle_slices_of_a_solid_organ() {
        let organ = Array3::from_elem((20, 20, 101), true);
        for tumor in 0..200 {
            let [_, _, z] =
                draw_centre(&organ, "kidney", false, &mut Stream::new(0, 0, "solid", tumor)).unwrap();
            assert!((30..=70).contains(&z));
        }
    }

    #[test]
    fn a_gap_between_two_kidneys_is_skipped() {
        let organ = Array3::from_shape_fn((20, 20, 100), |(_, _, z)| !(5..95).contains(&z));
        for tumor in 0..50 {
            let centre = draw_centre(&organ, "kidney", false, &mut Stream::new(0, 0, "two", tumor)).unwrap();
            assert!(organ[centre]);
        }
    }
}
