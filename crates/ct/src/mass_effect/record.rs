//! What a push did, in numbers.
use serde::{Deserialize, Serialize};

/// What was done, for a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The tumor's centre, RAS+ mm.
    pub centre_mm: [f64; 3],
    /// Radius of the ball of the tumor's volume.
    pub radius_mm: f64,
    /// Share of the tumor's volume that was to push.
    pub strength_asked: f64,
    /// Share that does push, after the limits.
    pub strength_used: f64,
    /// Where the push ends: the shortest and the longest distance from the centre.
    pub reach_mm: [f64; 2],
    /// Longest way of tissue that ends outside of the tumor.
    pub largest_displacement_mm: f64,
    /// Smallest and largest Jacobian determinant at the zone's voxels (their sources).
    pub jacobian: [f64; 2],
    /// The tumor's volume.
    pub tumor_mm3: f64,
    /// Volume of the voxels without a source.
    pub hole_mm3: f64,
    /// Volume of the voxels that the push reaches, the hole included.
    pub zone_mm3: f64,
}
