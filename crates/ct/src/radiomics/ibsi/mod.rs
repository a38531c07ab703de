//! Features as the Image Biomarker Standardisation Initiative defines them (IBSI-1: Zwanenburg et al. 2020, arXiv:1612.07003), under the
//! tags of its table of reference values.
//!
//! What differs from PyRadiomics: the new grid is aligned at the image's centre and the mask interpolated; intensities are rounded;
//! voxels outside of a range or three standard deviations are left out; bins start at the range's lower end; kurtosis of a normal
//! distribution is 0; and matrices are counted by slice or whole, averaged or merged. The formulas are the same.
mod bins;
mod tags;

use super::levels::Levels;
use super::roi::{Roi, region_error};
use super::settings::Interpolator;
use crate::error::{Error, Result};
use crate::grid::MAX_VOXELS;
use crate::patch::bounding_box;
use crate::resample::{Outside, cubic, linear};
use crate::volume::{Affine, Grid, Mask, Volume};

pub use bins::Bins;
pub use tags::{features, intensity_features, shape_features, texture_features};

/// How an image is prepared. The default changes nothing; levels are the intensities themselves (the digital phantom).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Processing {
    /// New voxel size along x, y, z, 0 keeps the old one; and how the image is interpolated ([`Interpolator::Nearest`] is refused).
    pub resampling: Option<([f64; 3], Interpolator)>,
    /// Intensities to keep, both ends included.
    pub range_hu: Option<[f64; 2]>,
    /// Intensities to keep, in standard deviations on both sides of the region's mean.
    pub outliers_sd: Option<f64>,
    /// Grey levels.
    pub bins: Bins,
    /// Whether textures are those of slices (2D and 2.5D) or of the volume (3D).
    pub by_slice: bool,
}

/// A region ready to be measured.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Intensities and the mask of those that are kept.
    pub intensity: Roi,
    /// The mask's shape, whatever the intensities.
    pub shape: ndarray::Array3<bool>,
    /// Grey levels of the former.
    pub levels: Levels,
    /// As asked for.
    pub by_slice: bool,
}

/// Interpolates, re-segments and discretises.
///
/// # Errors
/// [`Error::GridMismatch`] when the grids differ; [`Error::Region`] when no voxel is left or one is not finite; [`Error::Argument`] for a
/// processing that cannot be.
pub fn prepare(image: &Volume, mask: &Mask, processing: &Processing) -> Result<Prepared> {
    processing.bins.validate()?;
    image.grid().require_same("image", &mask.grid(), "mask")?;
    let (image, mask) = match processing.resampling {
        None => (image.clone(), mask.clone()),
        Some((spacing_mm, interpolator)) => resampled(image, mask, spacing_mm, interpolator)?,
    };
    let hint = "check the mask and the new voxel size";
    let part = bounding_box(&mask.data).ok_or_else(|| region_error("it has no voxel", hint))?;
    let spacing_mm = image.affine.spacing_mm();
    let whole = Roi { values: image.data.mapv(f64::from), mask: mask.data, spacing_mm }.crop(&part);
    whole.require_finite()?;
    let shape = whole.mask.clone();
    let intensity = resegmented(whole, processing)?;
    let values = intensity.region_values();
    let levels = processing.bins.levels(&values)?;
    let levels = Levels::new(&intensity.mask, &levels, 1)?;
    Ok(Prepared { intensity, shape, levels, by_slice: processing.by_slice })
}

/// Image and mask on the new grid; intensities are whole numbers again.
fn resampled(
    image: &Volume,
    mask: &Mask,
    spacing_mm: [f64; 3],
    interpolator: Interpolator,
) -> Result<(Volume, Mask)> {
    let to = centred_grid(&image.grid(), spacing_mm)?;
    let mut values = match interpolator {
        Interpolator::Linear => linear(image, &to, Outside::Edge)?,
        Interpolator::BSpline => cubic(image, &to, Outside::Edge)?,
        Interpolator::Nearest => {
            return Err(Error::Argument {
                what: "interpolator".into(),
                expected: "Linear or BSpline".into(),
                found: "Nearest".into(),
            });
        }
    };
    values.data.mapv_inplace(f32::round);
    let shares = Volume { data: mask.data.mapv(|inside| f32::from(u8::from(inside))), affine: mask.affine };
    let shares = linear(&shares, &to, Outside::Edge)?;
    Ok((values, Mask { data: shares.data.mapv(|share| share >= 0.5), affine: shares.affine }))
}

/// The grid with voxels of `spacing_mm` around the same centre (IBSI-1, section 2.4).
fn centred_grid(grid: &Grid, spacing_mm: [f64; 3]) -> Result<Grid> {
    let old_mm = grid.affine.spacing_mm();
    let valid = spacing_mm.iter().all(|s| s.is_finite() && *s >= 0.0);
    let new_mm: [f64; 3] =
        std::array::from_fn(|a| if spacing_mm[a] == 0.0 { old_mm[a] } else { spacing_mm[a] });
    let sides: [f64; 3] = std::array::from_fn(|a| (grid.shape[a] as f64 * old_mm[a] / new_mm[a]).ceil());
    if !valid || sides.iter().product::<f64>() > MAX_VOXELS as f64 {
        return Err(Error::Argument {
            what: "new voxel size in mm".into(),
            expected: format!("numbers of 0 or more, and an image of at most {MAX_VOXELS} voxels"),
            found: format!("{spacing_mm:?}, {sides:?} voxels"),
        });
    }
    let origin = std::array::from_fn(|a| {
        0.5 * ((grid.shape[a] as f64 - 1.0) - (sides[a] - 1.0) * new_mm[a] / old_mm[a])
    });
    let at = grid.affine.apply(origin);
    let mut affine: Affine = grid.affine;
    for r in 0..3 {
        (0..3).for_each(|c| affine.0[r][c] *= new_mm[c] / old_mm[c]);
        affine.0[r][3] = at[r];
    }
    Ok(Grid { shape: sides.map(|s| s as usize), affine })
}

/// Without the voxels out of range and outliers, both judged by the whole region.
fn resegmented(mut roi: Roi, processing: &Processing) -> Result<Roi> {
    let values = roi.region_values();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let [mut low, mut high] = processing.range_hu.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
    if let Some(sds) = processing.outliers_sd {
        (low, high) = (low.max(mean - sds * deviation), high.min(mean + sds * deviation));
    }
    ndarray::Zip::from(&mut roi.mask)
        .and(&roi.values)
        .for_each(|inside, value| *inside &= *value >= low && *value <= high);
    if roi.mask.iter().any(|inside| *inside) {
        return Ok(roi);
    }
    let problem = format!("none of {} voxels lies within {low} to {high}", values.len());
    Err(region_error(problem, "widen the range"))
}
