//! How well a predicted mask agrees with the truth: voxels, surfaces, tumors.
//!
//! Masks without a voxel are answered, never guessed: every figure that is 0/0 is `None`, and each function tells
//! when. (The published evaluation lets such a nan into its means; who averages here has to decide.)
//!
//! | figure | where | both empty | one empty |
//! |---|---|---|---|
//! | DSC, IoU | [`overlap`] | `None` | 0 |
//! | NSD | [`surface`] | `None` | 0 |
//! | HD95, ASSD | [`surface`] | `None` | infinite |
//! | sensitivity of tumors | [`detection`], [`detection_summary`] | `None` | no truth: `None`; no prediction: 0 |
//!
//! Confidence limits over many patients: [`interval`] for shares of patients, [`bootstrap`] for all else. Two methods on the same
//! patients: [`paired`]. All thresholds: [`froc`].

pub mod bootstrap;
pub mod detection;
pub mod detection_summary;
mod dual_grid;
pub mod froc;
pub mod interval;
pub mod overlap;
pub mod paired;
pub mod surface;
mod surface_area;

use crate::error::{Error, Result};
use crate::volume::Mask;

/// The voxel size that both masks share.
///
/// # Errors
/// [`Error::GridMismatch`] when they do not lie on one grid, [`Error::Argument`] when the voxel size of the truth is
/// not positive and finite.
fn common_spacing_mm(truth: &Mask, prediction: &Mask) -> Result<[f64; 3]> {
    truth.grid().require_same("truth", &prediction.grid(), "prediction")?;
    let spacing_mm = truth.affine.spacing_mm();
    if spacing_mm.iter().all(|s| s.is_finite() && *s > 0.0) {
        return Ok(spacing_mm);
    }
    Err(Error::Argument {
        what: "voxel size of the truth in mm".into(),
        expected: "three numbers above 0".into(),
        found: format!("{spacing_mm:?}"),
    })
}
