//! Mass effect: tissue that was where a tumor will be is pushed outwards, before the tumor is painted.
//!
//! The push is radial from the tumor's centre and works on r³ ([`profile`]): incompressible near the tumor
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
mod limits;
mod profile;
#[cfg(test)]
mod tests;

pub use apply::{Moved, VolumesMm3};

use crate::error::{Error, Result};
use crate::measure::measure;
use crate::patch::VoxelBox;
use crate::volume::{Mask, Volume};
use directions::{Directions, nodes};
use limits::{Frame, length};
use ndarray::{Array3, Axis};
use profile::{Profile, Shared};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

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

/// How much is pushed, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Share of the tumor's volume that pushes, above 0 to 1; the rest replaces tissue. Real tumors lie between those that
    /// infiltrate (0.3) and those with a capsule (0.9).
    pub strength: f64,
    /// Tumors of a smaller equivalent diameter are refused: at 20 mm the tissue at the surface moves by 1.7 mm, two voxels;
    /// below, it is hard to see.
    pub min_diameter_mm: f64,
    /// The push ends this many equivalent radii from the centre (measured from the tumor's surface: this less 1).
    pub reach_radii: f64,
    /// The push begins to fade at this share of the radius where it ends; within, volume is kept exactly.
    pub core_share: f64,
    /// Share of the push that is left beyond the organ's surface: neighbours give way, but not as the organ does.
    pub outside_share: f64,
    /// Largest loss of volume of any piece of tissue, above 0 and below 1.
    pub compression: f64,
    /// Connected regions above this do not move: bone.
    pub bone_above_hu: f32,
    /// Connected regions below this do not move: lung and air.
    pub air_below_hu: f32,
    /// Smaller regions of bone or air move with the tissue (calcifications, bubbles).
    pub fixed_above_mm3: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            strength: 0.6,
            min_diameter_mm: 20.0,
            reach_radii: 2.5,
            core_share: 0.6,
            outside_share: 0.7,
            compression: 0.35,
            bone_above_hu: 250.0,
            air_below_hu: -400.0,
            fixed_above_mm3: 1000.0,
        }
    }
}

impl Options {
    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Argument`] for the first one that is out of its range.
    pub fn check(&self) -> Result<()> {
        let above_0 = f64::MIN_POSITIVE;
        let below_1 = 1.0 - f64::EPSILON;
        let ranges = [
            ("strength", self.strength, above_0, 1.0),
            ("min_diameter_mm", self.min_diameter_mm, 0.0, 1000.0),
            ("reach_radii", self.reach_radii, 1.2, 10.0),
            ("core_share", self.core_share, above_0, 0.95),
            ("outside_share", self.outside_share, 0.0, 1.0),
            ("compression", self.compression, above_0, below_1),
            ("bone_above_hu", f64::from(self.bone_above_hu), -1000.0, f64::from(f32::MAX)),
            ("air_below_hu", f64::from(self.air_below_hu), f64::from(f32::MIN), 0.0),
            ("fixed_above_mm3", self.fixed_above_mm3, 0.0, f64::MAX),
        ];
        for (name, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(Error::Argument {
                    what: format!("{name} of the mass effect"),
                    expected: format!("a number within {low:.3} to {high:.3}"),
                    found: value.to_string(),
                });
            }
        }
        Ok(())
    }
}

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

/// Where tissue goes. Points in RAS+ mm.
#[derive(Debug, Clone)]
pub struct Displacement {
    field: Field,
    bounds: VoxelBox,
    tumor: Array3<bool>,
    record: Record,
}

/// The map itself: profiles by direction.
#[derive(Debug, Clone)]
struct Field {
    frame: Frame,
    asked_mm3: Directions,
    reach_mm: Directions,
    /// `None`: no organ.
    surface_mm: Option<Directions>,
    shared: Shared,
}

/// Where an output point comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Origin {
    /// Outside of the zone.
    Unmoved,
    /// Nothing: the tumor alone is here.
    Hole,
    /// An offset from the centre in mm, and the Jacobian determinant there.
    Source([f64; 3], f64),
}

impl Field {
    fn profile(&self, offset_mm: [f64; 3]) -> Profile {
        let reach_mm3 = self.reach_mm.at(offset_mm).powi(3);
        let surface_mm3 = self.surface_mm.as_ref().map_or(f64::INFINITY, |s| s.at(offset_mm).powi(3));
        Profile::new(self.asked_mm3.at(offset_mm), reach_mm3, surface_mm3, self.shared)
    }

    fn forward(&self, offset_mm: [f64; 3]) -> [f64; 3] {
        let r = length(offset_mm);
        if r == 0.0 {
            return offset_mm;
        }
        let to = self.profile(offset_mm).forward(r.powi(3)).cbrt();
        offset_mm.map(|c| c * (to / r))
    }

    fn origin(&self, offset_mm: [f64; 3]) -> Origin {
        let (r, profile) = (length(offset_mm), self.profile(offset_mm));
        let v = r.powi(3);
        if !profile.reaches(v) {
            return Origin::Unmoved;
        }
        if profile.is_hole(v) || r == 0.0 {
            return Origin::Hole;
        }
        let from = profile.backward(v);
        Origin::Source(offset_mm.map(|c| c * (from.cbrt() / r)), profile.jacobian(from))
    }
}

impl Displacement {
    /// The push of a tumor of `input` on the tissue around it.
    ///
    /// # Errors
    /// [`Error::Argument`] for options out of range, a singular affine or a scan with values that are not finite near the tumor;
    /// [`Error::GridMismatch`] when the images do not lie on one grid; [`Error::Region`] when the tumor is empty or smaller than
    /// `min_diameter_mm`.
    pub fn of(input: &Input<'_>, options: &Options) -> Result<Self> {
        options.check()?;
        let grid = input.scan.grid();
        grid.require_same("scan", &input.tumor.grid(), "tumor")?;
        if let Some(organ) = input.organ {
            grid.require_same("scan", &organ.grid(), "organ")?;
        }
        let (frame, radius_mm, volume_mm3) = frame_of(input.tumor, options)?;
        let field = field_of(&frame, input, options, radius_mm)?;
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

impl Field {
    fn longest_reach_mm(&self) -> f64 {
        self.reach_mm.0.iter().copied().fold(0.0, f64::max)
    }

    /// The record without what [`Displacement::survey`] fills in.
    fn record(&self, options: &Options, radius_mm: f64, tumor_mm3: f64) -> Record {
        let pushed: f64 = nodes().iter().map(|(d, angle)| self.profile(*d).push_mm3 * angle / 3.0).sum();
        Record {
            centre_mm: self.frame.centre_mm,
            radius_mm,
            strength_asked: options.strength,
            strength_used: pushed / tumor_mm3,
            reach_mm: [
                self.reach_mm.0.iter().copied().fold(f64::INFINITY, f64::min),
                self.longest_reach_mm(),
            ],
            largest_displacement_mm: 0.0,
            jacobian: [1.0; 2],
            tumor_mm3,
            hole_mm3: 0.0,
            zone_mm3: 0.0,
        }
    }
}

/// Where the tumor is, its equivalent radius in mm and its volume in mm³.
fn frame_of(tumor: &Mask, options: &Options) -> Result<(Frame, f64, f64)> {
    let voxel_from_world = tumor.affine.inverse().ok_or_else(|| Error::Argument {
        what: "affine of the tumor".into(),
        expected: "an invertible matrix".into(),
        found: format!("{:?}", tumor.affine.0),
    })?;
    let refused = |problem: String, hint: &str| Error::Region { problem, hint: hint.into() };
    let measured = measure(&tumor.data, tumor.affine.spacing_mm())
        .ok_or_else(|| refused("the tumor's mask is empty".into(), "give a mask with a tumor"))?;
    // A sheared grid's voxel is smaller than the product of its sides.
    let volume_mm3 = measured.voxels as f64 * tumor.affine.determinant().abs();
    let radius_mm = (volume_mm3 / (4.0 / 3.0 * std::f64::consts::PI)).cbrt();
    if measured.voxels < 2 || 2.0 * radius_mm < options.min_diameter_mm {
        return Err(refused(
            format!(
                "a tumor of {} voxels, {:.1} mm across, pushes nothing that could be seen (least: 2 voxels, {} mm)",
                measured.voxels,
                2.0 * radius_mm,
                options.min_diameter_mm
            ),
            "paint it without a mass effect, or lower min_diameter_mm",
        ));
    }
    let mean = measured.centroid_vox;
    let inside = limits::nearest(tumor, mean).is_some_and(|at| tumor.data[at]);
    let centre = if inside { mean } else { closest_voxel(tumor, mean) };
    let centre_mm = tumor.affine.apply(centre);
    let shape = tumor.grid().shape;
    Ok((Frame { centre_mm, world_from_voxel: tumor.affine, voxel_from_world, shape }, radius_mm, volume_mm3))
}

/// The voxel of a mask that is closest to a voxel position: the centre of a crescent lies in it.
fn closest_voxel(mask: &Mask, to: [f64; 3]) -> [f64; 3] {
    let target = mask.affine.apply(to);
    let distance = |v: &[f64; 3]| {
        let p = mask.affine.apply(*v);
        length(std::array::from_fn(|a| p[a] - target[a]))
    };
    let voxels = mask.data.indexed_iter().filter(|(_, inside)| **inside);
    voxels
        .map(|((x, y, z), _)| [x, y, z].map(|v| v as f64))
        .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        .expect("a mask that was measured has a voxel")
}

/// The tables by direction.
fn field_of(frame: &Frame, input: &Input<'_>, options: &Options, radius_mm: f64) -> Result<Field> {
    let tumor_mm3 = limits::tumor_mm3(frame, input.tumor);
    let free_mm =
        Directions(tumor_mm3.0.iter().map(|v| v.cbrt() + (options.reach_radii - 1.0) * radius_mm).collect());
    let most_mm = free_mm.0.iter().copied().fold(0.0, f64::max);
    apply::require_finite(input.scan, &frame.ball_box(most_mm))?;
    let border_mm = limits::border_mm(frame);
    let fixed_mm = limits::fixed_mm(frame, input.scan, input.tumor, options, most_mm);
    let limit_mm = free_mm.0.iter().zip(&border_mm.0).zip(&fixed_mm.0).map(|((a, b), c)| a.min(*b).min(*c));
    let surface_mm = input
        .organ
        .map(|organ| limits::surface_mm(frame, organ, &tumor_mm3, most_mm / options.core_share).smoothed());
    Ok(Field {
        frame: *frame,
        asked_mm3: Directions(tumor_mm3.0.iter().map(|v| v * options.strength).collect()),
        reach_mm: Directions(limit_mm.collect()).lowered().smoothed(),
        surface_mm,
        shared: Shared {
            core_share: options.core_share,
            outside: options.outside_share,
            compression: options.compression,
        },
    })
}
