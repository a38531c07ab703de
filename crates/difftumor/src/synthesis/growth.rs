//! The same tumor at several sizes: an early tumor and what becomes of it.
//!
//! The place is found for the largest. A smaller one is the same body, scaled around its centre, with its edge drawn at the same
//! share of what its size allows; it is painted from the same draws on the same box, so its texture, or the noise that a model begins
//! with, is the same at every point. Source: none; the paper has no series.
use super::proposal::{Proposal, edge_range_vox};
use crate::error::Result;
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::tumor_mask::fit::OrganSite;
use difftumor_ct::tumor_mask::sizes_mm::EllipsoidMm;
use difftumor_ct::tumor_mask::smooth::draw_shape;

/// What all sizes of a tumor have in common.
#[derive(Clone)]
pub(super) struct Growing {
    /// Of the largest.
    pub(super) ellipsoid: EllipsoidMm,
    /// Where the draws of its surface begin.
    pub(super) lumps: Stream,
    /// Its centre, in the site's voxels.
    pub(super) centre_vox: [i64; 3],
    /// Where the draw of its edge begins.
    pub(super) edge: Stream,
}

impl Growing {
    /// The tumor `largest` when it has, or had, this longest axis; `None` when none of that lies inside of the organ.
    pub(super) fn at(
        &self,
        largest: &Proposal,
        place: &OrganSite,
        longest_mm: f64,
    ) -> Result<Option<Proposal>> {
        let scale = longest_mm / self.ellipsoid.axes_mm[0];
        let ellipsoid =
            EllipsoidMm { axes_mm: self.ellipsoid.axes_mm.map(|axis| axis * scale), ..self.ellipsoid };
        let shape = draw_shape(&ellipsoid, 1.0, &mut self.lumps.clone())?;
        let start = std::array::from_fn(|a| self.centre_vox[a] - shape.centre_vox[a]);
        let placed = place.clip(&shape.mask, start);
        if placed.mask.is_empty() {
            return Ok(None);
        }
        let (low, high) = edge_range_vox(&placed);
        let edge_sigma_vox = self.edge.clone().uniform(low, high);
        Ok(Some(largest.with(placed, edge_sigma_vox)))
    }
}
