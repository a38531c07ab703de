//! The map from points to points: a profile for each direction.
use super::directions::{Directions, nodes};
use super::frame::{Frame, length};
use super::profile::{Profile, Shared};
use super::{Input, Options, Record, apply, limits};
use crate::error::Result;

/// The map itself: profiles by direction.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub frame: Frame,
    pub asked_mm3: Directions,
    pub reach_mm: Directions,
    /// `None`: no organ.
    pub surface_mm: Option<Directions>,
    pub shared: Shared,
}

/// Where an output point comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Origin {
    /// Outside of the zone.
    Unmoved,
    /// Nothing: the tumor alone is here.
    Hole,
    /// An offset from the centre in mm, and the Jacobian determinant there.
    Source([f64; 3], f64),
}

impl Field {
    /// The tables by direction for a tumor of `radius_mm`.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] when the scan is not finite near the tumor.
    pub(super) fn of(frame: &Frame, input: &Input<'_>, options: &Options, radius_mm: f64) -> Result<Self> {
        let tumor_mm3 = limits::tumor_mm3(frame, input.tumor);
        let free_mm = Directions(
            tumor_mm3.0.iter().map(|v| v.cbrt() + (options.reach_radii - 1.0) * radius_mm).collect(),
        );
        let most_mm = free_mm.0.iter().copied().fold(0.0, f64::max);
        apply::require_finite(input.scan, &frame.ball_box(most_mm))?;
        let border_mm = limits::border_mm(frame);
        let fixed_mm = limits::fixed_mm(frame, input.scan, input.tumor, options, most_mm);
        let limit_mm =
            free_mm.0.iter().zip(&border_mm.0).zip(&fixed_mm.0).map(|((a, b), c)| a.min(*b).min(*c));
        let surface_mm = input.organ.map(|organ| {
            limits::surface_mm(frame, organ, &tumor_mm3, most_mm / options.core_share).smoothed()
        });
        Ok(Self {
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

    /// The push in the direction of an offset.
    pub(super) fn profile(&self, offset_mm: [f64; 3]) -> Profile {
        let reach_mm3 = self.reach_mm.at(offset_mm).powi(3);
        let surface_mm3 = self.surface_mm.as_ref().map_or(f64::INFINITY, |s| s.at(offset_mm).powi(3));
        Profile::new(self.asked_mm3.at(offset_mm), reach_mm3, surface_mm3, self.shared)
    }

    /// Where the tissue at an offset goes.
    pub(super) fn forward(&self, offset_mm: [f64; 3]) -> [f64; 3] {
        let r = length(offset_mm);
        if r == 0.0 {
            return offset_mm;
        }
        let to = self.profile(offset_mm).forward(r.powi(3)).cbrt();
        offset_mm.map(|c| c * (to / r))
    }

    /// Where the tissue that ends at an offset came from.
    pub(super) fn origin(&self, offset_mm: [f64; 3]) -> Origin {
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

    /// Distance from the centre within which all that moves lies.
    pub(super) fn longest_reach_mm(&self) -> f64 {
        self.reach_mm.0.iter().copied().fold(0.0, f64::max)
    }

    /// The record without what [`super::Displacement`]'s survey of voxels fills in.
    pub(super) fn record(&self, options: &Options, radius_mm: f64, tumor_mm3: f64) -> Record {
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
