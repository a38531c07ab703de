//! Mass effect: tissue that was where a tumor will be is pushed outwards, before the tumor is painted.
//!
//! The push is radial from the tumor's centre and works on r³ (profile.rs): incompressible near the tumor
//! (`r'³ = r³ + s R³`, R the tumor's radius in that direction), fading to nothing at its reach, at bone, air and the scan's
//! border, and damped beyond the organ's surface, so that the surface bulges. Tissue is never folded: the Jacobian determinant
//! is within `1 - compression` and 1 everywhere. Where the limits leave too little room, less is pushed, direction by
//! direction, and [`Record::strength_used`] tells how much.
//!
//! The inner part of the tumor has no source (a hole of `strength` times its volume, which the tumor fills): scans get the median of
//! the tissue that was there, labels what the caller names. Something that ran exactly through the centre is spread over the hole's
//! surface, thinner than a voxel; all else bends around. A tumor inside the lung pushes nothing: air does not move.

mod apply;
mod directions;
mod field;
mod frame;
mod limits;
mod options;
mod profile;
mod record;
#[cfg(test)]
mod tests;

pub use apply::{Moved, VolumesMm3};
pub use options::Options;
pub use record::Record;

use crate::error::Result;
use crate::patch::VoxelBox;
use crate::volume::{Mask, Volume};
use field::{Field, Origin};
use frame::{Frame, length};
use ndarray::{Array3, Axis};
use rayon::prelude::*;

/// What pushes what.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The scan, before the tumor is painted.
    pub scan: &'a Volume,
    /// Where the tumor will be.
    pub tumor: &'a Mask,
    /// The organ around it. Without one, the push is not damped at a surface.
    pub organ: Option<&'a Mask>,
}

/// Where tissue goes. Points in RAS+ mm.
#[derive(Debug, Clone)]
pub struct Displacement {
    field: Field,
    bounds: VoxelBox,
    tumor: Array3<bool>,
    record: Record,
}

impl Displacement {
    /// The push of a tumor of `input` on the tissue around it.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for options out of range, a singular affine or a scan with values that are not finite near the tumor;
    /// [`crate::Error::GridMismatch`] when the images do not lie on one grid; [`crate::Error::Region`] when the tumor is empty or smaller than
    /// `min_diameter_mm`.
    pub fn of(input: &Input<'_>, options: &Options) -> Result<Self> {
        options.check()?;
        let grid = input.scan.grid();
        grid.require_same("scan", &input.tumor.grid(), "tumor")?;
        if let Some(organ) = input.organ {
            grid.require_same("scan", &organ.grid(), "organ")?;
        }
        let (frame, radius_mm, volume_mm3) = Frame::of(input.tumor, options)?;
        let field = Field::of(&frame, input, options, radius_mm)?;
        let bounds = frame.ball_box(field.longest_reach_mm());
        let mut out = Self {
            record: field.record(options, radius_mm, volume_mm3),
            field,
            bounds,
            tumor: input.tumor.data.clone(),
        };
        out.survey();
        Ok(out)
    }

    /// Where the tissue at a point (RAS+ mm) goes. The centre itself, which goes everywhere, is given back.
    pub fn forward_mm(&self, point_mm: [f64; 3]) -> [f64; 3] {
        let centre = self.field.frame.centre_mm;
        let to = self.field.forward(std::array::from_fn(|a| point_mm[a] - centre[a]));
        std::array::from_fn(|a| centre[a] + to[a])
    }

    /// Where the tissue that is at a point (RAS+ mm) afterwards came from. `None` where there is none: inside of the tumor.
    pub fn backward_mm(&self, point_mm: [f64; 3]) -> Option<[f64; 3]> {
        let centre = self.field.frame.centre_mm;
        match self.field.origin(std::array::from_fn(|a| point_mm[a] - centre[a])) {
            Origin::Unmoved => Some(point_mm),
            Origin::Hole => None,
            Origin::Source(from, _) => Some(std::array::from_fn(|a| centre[a] + from[a])),
        }
    }

    /// What was done.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The voxels that are changed, the hole included. All others stay as they are.
    pub fn zone(&self) -> Array3<bool> {
        let mut zone = Array3::from_elem(self.tumor.dim(), false);
        self.for_origins(&mut zone, |_, to, origin| *to = origin != Origin::Unmoved);
        zone
    }

    /// Calls `set` for every voxel of the zone's box, planes in parallel.
    fn for_origins<T: Send + Sync>(
        &self,
        data: &mut Array3<T>,
        set: impl Fn([usize; 3], &mut T, Origin) + Sync,
    ) {
        let VoxelBox { start, end } = self.bounds;
        data.axis_iter_mut(Axis(0))
            .into_par_iter()
            .enumerate()
            .skip(start[0])
            .take(end[0] - start[0])
            .for_each(|(x, mut plane)| {
                for (y, z) in (start[1]..end[1]).flat_map(|y| (start[2]..end[2]).map(move |z| (y, z))) {
                    let offset_mm = self.field.frame.offset_mm([x, y, z].map(|v| v as f64));
                    set([x, y, z], &mut plane[[y, z]], self.field.origin(offset_mm));
                }
            });
    }

    /// Fills in what the record says about voxels.
    fn survey(&mut self) {
        let VoxelBox { start, end } = self.bounds;
        let planes: Vec<[f64; 5]> = (start[0]..end[0])
            .into_par_iter()
            .map(|x| {
                // Hole, zone, longest way, smallest and largest determinant.
                let mut sums = [0.0, 0.0, 0.0, 1.0_f64, 1.0_f64];
                for (y, z) in (start[1]..end[1]).flat_map(|y| (start[2]..end[2]).map(move |z| (y, z))) {
                    let offset_mm = self.field.frame.offset_mm([x, y, z].map(|v| v as f64));
                    let origin = self.field.origin(offset_mm);
                    sums[0] += f64::from(u8::from(origin == Origin::Hole));
                    sums[1] += f64::from(u8::from(origin != Origin::Unmoved));
                    if let Origin::Source(from, jacobian) = origin {
                        sums[3] = sums[3].min(jacobian);
                        sums[4] = sums[4].max(jacobian);
                        if !self.tumor[[x, y, z]] {
                            sums[2] = sums[2].max(length(offset_mm) - length(from));
                        }
                    }
                }
                sums
            })
            .collect();
        let voxel_mm3 = self.field.frame.world_from_voxel.determinant().abs();
        let record = &mut self.record;
        for [hole, zone, way, low, high] in planes {
            record.hole_mm3 += hole * voxel_mm3;
            record.zone_mm3 += zone * voxel_mm3;
            record.largest_displacement_mm = record.largest_displacement_mm.max(way);
            record.jacobian = [record.jacobian[0].min(low), record.jacobian[1].max(high)];
        }
    }
}
