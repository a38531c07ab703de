//! From an image and a mask to the region that is measured: grids, normalisation, resampling.
//!
//! As PyRadiomics 3.0.1 (`imageoperations`), but only the part of the image around the region is looked at.
use super::roi::{Roi, region_error};
use super::settings::{Interpolator, Normalization, Resampling, Settings};
use crate::error::{Error, Result};
use crate::patch::{Fill, VoxelBox, bounding_box, crop, crop_image};
use crate::resample::{Outside, cubic, linear, nearest};
use crate::volume::{Affine, Grid, Image, Mask, Volume};
use ndarray::Array3;
use rayon::prelude::*;

/// Voxels around a region that its B-spline is computed from. A voxel this far away counts 3e-12 of its value.
const SPLINE_MARGIN_VOX: i64 = 20;

/// Brings image and mask onto one grid, normalises and resamples them, and cuts out the region's surroundings.
pub(super) fn prepare(image: &Volume, mask: &Mask, settings: &Settings) -> Result<Roi> {
    let grid = image.grid();
    if image.data.is_empty() || grid.affine.inverse().is_none() {
        return Err(Error::Argument {
            what: "image to measure".into(),
            expected: "voxels, and an affine that can be inverted".into(),
            found: format!("shape {:?}, affine {:?}", grid.shape, grid.affine.0),
        });
    }
    let scale = settings.normalization.map(|n| Scale::of(image, n)).transpose()?;
    let (mask, part) = on_grid(&grid, mask, settings)?;
    let resampling =
        settings.resampling.and_then(|r| target(&grid, &part, &r).map(|to| (to, r.interpolator)));
    let (mut values, mask, spacing_mm) = match resampling {
        None => (cut(image, &part), mask.data, grid.affine.spacing_mm()),
        Some((to, interpolator)) => {
            let to = to?;
            let values = resampled(image, &to, interpolator, scale)?;
            let mask = nearest(&mask, &to, Outside::Constant(false))?;
            (values.mapv(f64::from), mask.data, to.affine.spacing_mm())
        }
    };
    if let Some(scale) = scale {
        values.mapv_inplace(|v| scale.apply(v));
    } else if settings.integer_image && resampling_changes(&settings.resampling) {
        values.mapv_inplace(f64::trunc);
    }
    let roi = Roi { values, mask, spacing_mm };
    roi.require_finite()?;
    Ok(roi)
}

fn resampling_changes(resampling: &Option<Resampling>) -> bool {
    resampling.is_some_and(|r| r.interpolator != Interpolator::Nearest)
}

fn cut(image: &Volume, part: &VoxelBox) -> Array3<f64> {
    crop(&image.data, part.start.map(|s| s as i64), part.shape(), Fill::Edge).mapv(f64::from)
}

/// The part of the mask that holds the region, on the image's grid, and where in the image that is.
fn on_grid(grid: &Grid, mask: &Mask, settings: &Settings) -> Result<(Mask, VoxelBox)> {
    let same = match settings.geometry_tolerance_vox {
        None => grid.require_same("image", &mask.grid(), "mask"),
        Some(tolerance) => within(grid, &mask.grid(), tolerance),
    };
    let empty = || region_error("it has no voxel", "check the label value and that the mask is not empty");
    let part = bounding_box(&mask.data).ok_or_else(empty)?;
    let start = part.start.map(|s| s as i64);
    if same.is_ok() {
        let data = crop(&mask.data, start, part.shape(), Fill::Constant(false));
        return Ok((Mask { data, affine: grid.crop(start, part.shape()).affine }, part));
    }
    if !settings.correct_mask {
        return Err(same.expect_err("not the same"));
    }
    require_inside(grid, &mask.grid(), &part)?;
    let place = grid.covering_box(&mask.grid(), &part, 1)?;
    let onto = grid.crop(place.start.map(|s| s as i64), place.shape());
    let moved = nearest(mask, &onto, Outside::Constant(false))?;
    let inner = bounding_box(&moved.data).ok_or_else(empty)?;
    let shift = |corner: [usize; 3]| std::array::from_fn(|a| corner[a] + place.start[a]);
    let whole = VoxelBox { start: shift(inner.start), end: shift(inner.end) };
    Ok((crop_image(&moved, inner.start.map(|s| s as i64), inner.shape(), Fill::Constant(false)), whole))
}

fn within(grid: &Grid, other: &Grid, tolerance_vox: f64) -> Result<()> {
    let smallest_mm = grid.affine.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
    let off_mm = grid.corner_distance_mm(&other.affine);
    if grid.shape == other.shape && off_mm <= tolerance_vox * smallest_mm {
        return Ok(());
    }
    Err(Error::GridMismatch {
        a: "image".into(),
        b: "mask".into(),
        difference: format!(
            "shape {:?} against {:?}, corners up to {off_mm} mm apart, geometryTolerance {tolerance_vox} voxels",
            grid.shape, other.shape
        ),
    })
}

/// A region of another grid must lie inside of the image, but for a thousandth of a voxel.
fn require_inside(grid: &Grid, other: &Grid, part: &VoxelBox) -> Result<()> {
    let to_voxel = grid.affine.inverse().expect("checked before").compose(&other.affine);
    for corner in 0..8 {
        let at = std::array::from_fn(|a| {
            (if corner >> a & 1 == 0 { part.start[a] } else { part.end[a] }) as f64 - 0.5
        });
        let p = to_voxel.apply(at);
        let outside = |a: usize| !(-0.501..=grid.shape[a] as f64 - 0.499).contains(&p[a]);
        if (0..3).any(outside) {
            return Err(region_error(
                format!("it reaches outside of the image, to voxel {p:.1?} of {:?}", grid.shape),
                "check that image and mask are of the same scan",
            ));
        }
    }
    Ok(())
}

/// The new grid, which is aligned with the corner of the old one. `None` when the voxels have that size already.
fn target(grid: &Grid, part: &VoxelBox, resampling: &Resampling) -> Option<Result<Grid>> {
    let old_mm = grid.affine.spacing_mm();
    let new_mm: [f64; 3] = std::array::from_fn(|a| {
        let asked = resampling.spacing_mm[a];
        // Header rounding must not start a resampling onto what is the same size.
        let keeps = asked == 0.0 || part.shape()[a] == 1;
        if keeps { old_mm[a] } else { asked }
    });
    if (0..3).all(|a| (old_mm[a] - new_mm[a]).abs() <= 1e-8 + 1e-5 * new_mm[a]) {
        return None;
    }
    let ratio: [f64; 3] = std::array::from_fn(|a| old_mm[a] / new_mm[a]);
    // Every new voxel whose centre, at `(k + 0.5) / ratio - 0.5`, can lie in the region.
    let low: [f64; 3] = std::array::from_fn(|a| (part.start[a] as f64 * ratio[a] - 0.5).floor().max(0.0));
    let last: [f64; 3] = std::array::from_fn(|a| {
        let end = (part.end[a] as f64 * ratio[a] - 0.5).ceil();
        end.min((grid.shape[a] as f64 * ratio[a]).ceil() - 1.0)
    });
    let sides: [f64; 3] = std::array::from_fn(|a| (last[a] - low[a] + 1.0).max(1.0));
    if sides.iter().product::<f64>() > f64::from(u32::MAX) {
        return Some(Err(Error::Argument {
            what: "resampledPixelSpacing".into(),
            expected: "a region below 2^32 voxels".into(),
            found: format!("{sides:?} voxels of {new_mm:?} mm; use larger ones"),
        }));
    }
    let origin = std::array::from_fn(|a| 0.5 * (new_mm[a] / old_mm[a] - 1.0) + low[a] / ratio[a]);
    let mut affine: Affine = grid.affine;
    let at = grid.affine.apply(origin);
    for r in 0..3 {
        (0..3).for_each(|c| affine.0[r][c] /= ratio[c]);
        affine.0[r][3] = at[r];
    }
    Some(Ok(Grid { shape: sides.map(|s| s as usize), affine }))
}

/// The image on the new grid. B-splines are continued beyond the image's border by mirroring, as in ITK.
fn resampled(
    image: &Volume,
    to: &Grid,
    interpolator: Interpolator,
    scale: Option<Scale>,
) -> Result<Array3<f32>> {
    let grid = image.grid();
    let all = VoxelBox { start: [0; 3], end: to.shape };
    let place = grid.covering_box(to, &all, 0)?;
    let start = place.start.map(|s| s as i64 - SPLINE_MARGIN_VOX);
    let shape = place.shape().map(|side| side + 2 * SPLINE_MARGIN_VOX as usize);
    let fold = |axis: usize, at: usize| {
        let last = grid.shape[axis] as i64 - 1;
        if last == 0 {
            return 0;
        }
        let turned = (start[axis] + at as i64).rem_euclid(2 * last);
        turned.min(2 * last - turned) as usize
    };
    let clip = |v: f32| scale.map_or(v, |scale| scale.clip(v));
    let [xs, ys, zs] = [0, 1, 2].map(|a| (0..shape[a]).map(|at| fold(a, at)).collect::<Vec<_>>());
    let data = Array3::from_shape_fn(shape, |(x, y, z)| clip(image.data[[xs[x], ys[y], zs[z]]]));
    let around = Image { data, affine: grid.crop(start, shape).affine };
    let values = match interpolator {
        Interpolator::BSpline => cubic(&around, to, Outside::Edge),
        Interpolator::Linear => linear(&around, to, Outside::Edge),
        Interpolator::Nearest => nearest(&around, to, Outside::Edge),
    };
    Ok(values?.data)
}

/// Normalisation, once the image's mean and standard deviation are known.
#[derive(Debug, Clone, Copy)]
struct Scale {
    mean: f64,
    deviation: f64,
    by: Normalization,
}

impl Scale {
    fn of(image: &Volume, by: Normalization) -> Result<Self> {
        let n = image.data.len() as f64;
        let voxels = image.data.as_standard_layout();
        let voxels = voxels.as_slice().expect("in C order");
        let mean = sum_of(voxels, |v| v) / n;
        // As ITK: divided by one less than the number of voxels.
        let deviation = (sum_of(voxels, |v| (v - mean).powi(2)) / (n - 1.0)).sqrt();
        if deviation.is_finite() && deviation > 0.0 {
            return Ok(Self { mean, deviation, by });
        }
        Err(Error::Argument {
            what: "image to normalize".into(),
            expected: "finite voxels that are not all alike".into(),
            found: format!("mean {mean}, standard deviation {deviation}"),
        })
    }

    fn apply(self, value: f64) -> f64 {
        self.clipped((value - self.mean) / self.deviation) * self.by.scale
    }

    fn clipped(self, sds: f64) -> f64 {
        // Not `clamp`, which panics without a finite bound given wrongly; NaN stays NaN.
        self.by.outliers_sd.map_or(sds, |bound| sds.min(bound).max(-bound))
    }

    /// Outliers are cut before an interpolation could spread them.
    fn clip(self, value: f32) -> f32 {
        match self.by.outliers_sd {
            None => value,
            Some(bound) => {
                let reach = bound * self.deviation;
                f64::from(value).min(self.mean + reach).max(self.mean - reach) as f32
            }
        }
    }
}

/// In pieces of fixed size, so that the number of threads does not matter.
fn sum_of(voxels: &[f32], f: impl Fn(f64) -> f64 + Sync) -> f64 {
    let pieces: Vec<f64> =
        voxels.par_chunks(4096).map(|piece| piece.iter().map(|v| f(f64::from(*v))).sum()).collect();
    pieces.iter().sum()
}
