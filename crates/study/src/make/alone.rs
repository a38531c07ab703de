//! What organ recognition shows: a tumor and a thin rim around it, all else removed (paper 2 (1), Fig. 2).
//!
//! Crops are uniform: cubes of one size with voxels of 1 mm, the tumor in the middle, mirrored at random along each axis so that the side of
//! the body and the way a tumor points tell nothing.
//!
//! What was removed is air (-1024 HU), for all. A value among those of tissue would let the rim vanish in some organs and stand out in
//! others, and one taken from the rims themselves would tell what they are like.
use super::context::{RANGE_HU, whole_hu};
use super::survey::Tumor;
use crate::error::Result;
use crate::problem::argument;
use difftumor_ct::distance::distance_mm;
use difftumor_ct::patch::{Fill, VoxelBox, crop};
use difftumor_ct::resample::{Outside, cubic, linear};
use difftumor_ct::{Affine, Grid, Volume};
use ndarray::Axis;

/// Smallest side of the cubes. Odd, so that there is a voxel in the middle.
const SMALLEST_SIDE_VOX: usize = 65;

/// Largest side: a cube of 256 mm holds any tumor of the abdomen, and takes 33 MB.
const LARGEST_SIDE_VOX: usize = 257;

/// Voxels of a scan kept around what is resampled. A cubic spline made from a part differs from that of the whole by 0.27 to the power of
/// the distance from the part's border: here by less than 0.1 HU.
const MARGIN_VOX: usize = 8;

/// Why a tumor cannot be shown. `None`: it can.
pub(super) fn why_not(tumor: &Tumor, rim_mm: f64) -> Option<String> {
    let largest_mm = LARGEST_SIDE_VOX - 1;
    (needed_vox(tumor, rim_mm) > LARGEST_SIDE_VOX as f64)
        .then(|| format!("does not fit in {largest_mm} mm with its rim"))
}

/// Side that a tumor needs, with a voxel of air at each end.
fn needed_vox(tumor: &Tumor, rim_mm: f64) -> f64 {
    (tumor.extent_mm().into_iter().fold(0.0, f64::max) + 2.0 * rim_mm).ceil() + 3.0
}

/// The side of all cubes: that of the largest tumor, or [`SMALLEST_SIDE_VOX`].
pub(super) fn side_vox<'a>(tumors: impl Iterator<Item = &'a Tumor>, rim_mm: f64) -> usize {
    // `why_not` keeps it below LARGEST_SIDE_VOX.
    let largest = tumors.map(|tumor| needed_vox(tumor, rim_mm) as usize).max().unwrap_or(0);
    largest.max(SMALLEST_SIDE_VOX) | 1
}

/// Cuts a tumor and its rim out of its scan (RAS). Gives a cube in whole HU, and its middle.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the tumor is so thin that it vanishes at 1 mm; [`Error::Ct`](crate::Error::Ct) when the
/// voxel size cannot be used.
pub(super) fn cut(
    scan: &Volume,
    tumor: &Tumor,
    side_vox: usize,
    rim_mm: f64,
    mirrored: [bool; 3],
) -> Result<(Volume, [f64; 3])> {
    let (inside, hu) = resampled(scan, tumor, side_vox, rim_mm)?;
    if !inside.iter().any(|inside| *inside) {
        let found =
            format!("one of {:.1} mm in voxels of {:.3?} mm", tumor.equivalent_diameter_mm, tumor.spacing_mm);
        return Err(argument("a tumor to show at 1 mm", "one that is thick enough", found));
    }
    // Distances are to the nearest voxel outside of a mask: outside of the tumor's outside is the tumor.
    let outside = inside.mapv(|inside| !inside);
    let from_tumor_mm = distance_mm(&outside, [1.0; 3]);
    let mut data = ndarray::Zip::from(&hu).and(&from_tumor_mm).map_collect(|hu, distance_mm| {
        if f64::from(*distance_mm) <= rim_mm { whole_hu(*hu) } else { RANGE_HU[0] }
    });
    for axis in (0..3).filter(|axis| mirrored[*axis]) {
        data.invert_axis(Axis(axis));
    }
    let data = data.as_standard_layout().into_owned();
    Ok((Volume { data, affine: Affine::from_spacing_mm([1.0; 3]) }, [(side_vox / 2) as f64; 3]))
}

/// The tumor's mask and HU on a cube with voxels of 1 mm, in whose middle lies that of the tumor's box.
fn resampled(
    scan: &Volume,
    tumor: &Tumor,
    side_vox: usize,
    rim_mm: f64,
) -> Result<(ndarray::Array3<bool>, ndarray::Array3<f32>)> {
    let spacing_mm = tumor.spacing_mm;
    let (nx, ny, nz) = tumor.mask.dim();
    let box_shape = [nx, ny, nz];
    // World: the scan's voxel axes in mm, with no tilt.
    let untilted = Grid { shape: tumor.scan_shape, affine: Affine::from_spacing_mm(spacing_mm) };
    let mut cube = Affine::from_spacing_mm([1.0; 3]);
    for a in 0..3 {
        let middle_vox = tumor.start_vox[a] as f64 + (box_shape[a] as f64 - 1.0) / 2.0;
        cube.0[a][3] = middle_vox * spacing_mm[a] - (side_vox / 2) as f64;
    }
    let cube = Grid { shape: [side_vox; 3], affine: cube };

    let own =
        VoxelBox { start: tumor.start_vox, end: std::array::from_fn(|a| tumor.start_vox[a] + box_shape[a]) };
    let around = own.grown(spacing_mm.map(|s| (rim_mm / s).ceil() as usize + MARGIN_VOX), tumor.scan_shape);
    let start = around.start.map(|s| s as i64);
    let part = Volume {
        data: crop(&scan.data, start, around.shape(), Fill::Edge),
        affine: untilted.crop(start, around.shape()).affine,
    };
    let hu = cubic(&part, &cube, Outside::Constant(RANGE_HU[0]))?;

    // One voxel of outside on each side, for the mask to fall off in.
    let shape = box_shape.map(|side| side + 2);
    let soft = tumor.mask.mapv(|inside| f32::from(u8::from(inside)));
    let soft = Volume {
        data: crop(&soft, [-1; 3], shape, Fill::Constant(0.0)),
        affine: untilted.crop(tumor.start_vox.map(|s| s as i64 - 1), shape).affine,
    };
    let inside = linear(&soft, &cube, Outside::Constant(0.0))?;
    Ok((inside.data.mapv(|share| share >= 0.5), hu.data))
}
