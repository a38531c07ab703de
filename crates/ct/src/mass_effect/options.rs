//! How much is pushed and how far: the values that a person sets.
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

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
