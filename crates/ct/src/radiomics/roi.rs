//! The region that is measured: a box of voxels, which of them belong to it, and checks of both.
use super::settings::{ResegmentMode, Resegmentation, Settings};
use crate::error::{Error, Result};
use crate::patch::{VoxelBox, bounding_box};
use ndarray::{Array3, s};

/// A box of an image with its region.
#[derive(Debug, Clone)]
pub struct Roi {
    /// Intensities `[x, y, z]`.
    pub values: Array3<f64>,
    /// The region, of the same shape.
    pub mask: Array3<bool>,
    /// Voxel size.
    pub spacing_mm: [f64; 3],
}

pub(super) fn region_error(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::Region { problem: problem.into(), hint: hint.into() }
}

impl Roi {
    /// Intensities of the region, in C order.
    pub fn region_values(&self) -> Vec<f64> {
        let voxels = self.values.iter().zip(&self.mask);
        voxels.filter(|(_, inside)| **inside).map(|(value, _)| *value).collect()
    }

    pub(super) fn crop(&self, part: &VoxelBox) -> Self {
        let [x, y, z] = [0, 1, 2].map(|a| part.start[a]..part.end[a]);
        Self {
            values: self.values.slice(s![x.clone(), y.clone(), z.clone()]).to_owned(),
            mask: self.mask.slice(s![x, y, z]).to_owned(),
            spacing_mm: self.spacing_mm,
        }
    }

    /// The box around the region, when it is large enough.
    pub(super) fn checked_box(&self, settings: &Settings) -> Result<VoxelBox> {
        let Some(part) = bounding_box(&self.mask) else {
            let hint = "use smaller voxels, or a mask of more than a sliver";
            return Err(region_error("no voxel is left after resampling", hint));
        };
        let extent = part.shape();
        let (dimensions, minimum) =
            (extent.iter().filter(|side| **side > 1).count(), settings.minimum_roi_dimensions);
        if dimensions < minimum.max(usize::from(minimum > 0)) {
            return Err(region_error(
                format!(
                    "it reaches over {dimensions} axes ({extent:?} voxels), at least {minimum} are required"
                ),
                "lower minimumROIDimensions, resample to smaller voxels, or leave this region out",
            ));
        }
        let voxels = self.mask.iter().filter(|inside| **inside).count();
        if let Some(minimum) = settings.minimum_roi_size_vox.filter(|minimum| voxels <= *minimum) {
            return Err(region_error(
                format!("it has {voxels} voxels, more than {minimum} are required"),
                "lower minimumROISize or leave this region out",
            ));
        }
        Ok(part)
    }

    /// Intensities must be numbers.
    pub(super) fn require_finite(&self) -> Result<()> {
        let bad = self.region_values().iter().filter(|value| !value.is_finite()).count();
        if bad == 0 {
            return Ok(());
        }
        Err(region_error(
            format!("{bad} of its voxels are NaN or infinite"),
            "repair the image, or take these voxels out of the mask (when resampling, with a margin)",
        ))
    }

    /// The region without voxels whose intensity is out of bounds.
    pub(super) fn resegmented(&self, by: &Resegmentation) -> Result<Self> {
        let values = self.region_values();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let unit = |bound: f64| match by.mode {
            ResegmentMode::Absolute => bound,
            ResegmentMode::Relative => values.iter().copied().fold(f64::NEG_INFINITY, f64::max) * bound,
            ResegmentMode::Sigma => {
                let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
                mean + variance.sqrt() * bound
            }
        };
        let (low, high) = (unit(by.low), by.high.map_or(f64::INFINITY, unit));
        let mut kept = self.clone();
        ndarray::Zip::from(&mut kept.mask)
            .and(&self.values)
            .for_each(|inside, value| *inside &= (low..=high).contains(value));
        let left = kept.mask.iter().filter(|inside| **inside).count();
        if left <= 1 {
            return Err(region_error(
                format!("resegmentRange leaves {left} of {} voxels ({low} to {high})", values.len()),
                "widen resegmentRange",
            ));
        }
        Ok(kept)
    }
}
