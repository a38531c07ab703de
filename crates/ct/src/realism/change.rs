//! What became of the scan outside of the tumor.
use super::site::{Site, count};
use ndarray::Zip;
use serde::Serialize;

/// Up to here is the edge…
const EDGE_MM: f64 = 4.0;
/// …and the near surroundings.
const NEAR_MM: f32 = 10.0;
/// Nothing should change from here on.
const FAR_MM: f32 = 15.0;
/// A voxel is changed beyond the rounding to whole HU.
pub(super) const CHANGED_HU: f32 = 1.0;

/// Change of the scan outside of the tumor, within [`super::MARGIN_MM`] of its box.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Change {
    /// Mean absolute change of the voxels up to 10 mm outside of the border; none when there are none.
    pub near_hu: Option<f64>,
    /// Sum of absolute changes more than 4 mm (more than a voxel, where that is larger) outside of the border over that everywhere; none
    /// when nothing changed. Nearer is the tumor's edge: of a tumor of 6 mm more lies there than within.
    pub outside_share: Option<f64>,
    /// Voxels more than 15 mm from the tumor that changed by more than 1 HU, as a share of the tumor's voxels.
    pub far_share: f64,
}

/// `None` without the scan before.
pub(super) fn measure(site: &Site) -> Option<Change> {
    let change = site.change_hu.as_ref()?;
    let edge_mm = site.spacing_mm.iter().copied().fold(EDGE_MM, f64::max) as f32;
    let (mut near, mut near_voxels, mut outside, mut all, mut far) = (0.0, 0_usize, 0.0, 0.0, 0_usize);
    Zip::from(change).and(&site.signed_mm).and(&site.inside).for_each(|c, d, inside| {
        let size = f64::from(c.abs());
        all += size;
        if *inside {
            return;
        }
        outside += if *d > edge_mm { size } else { 0.0 };
        if *d <= NEAR_MM {
            near += size;
            near_voxels += 1;
        }
        far += usize::from(*d > FAR_MM && c.abs() > CHANGED_HU);
    });
    Some(Change {
        near_hu: (near_voxels > 0).then(|| near / near_voxels as f64),
        outside_share: (all > 0.0).then(|| outside / all),
        far_share: far as f64 / count(&site.inside) as f64,
    })
}
