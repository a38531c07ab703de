//! HU windows: from Hounsfield units to the ranges that networks take, and back.
//!
//! The arithmetic is MONAI's `ScaleIntensityRange(clip=True)` in f32, operation by operation, so that results equal
//! the authors' pipeline to the last bit.
use crate::error::{Error, Result};

/// A range of Hounsfield units that is mapped linearly; values outside are clipped.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Bounds")]
pub struct HuWindow {
    /// Becomes 0 (or -1).
    pub min_hu: f32,
    /// Becomes 1.
    pub max_hu: f32,
}

/// A window as a file gives it: not yet known to be one.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    min_hu: f32,
    max_hu: f32,
}

impl TryFrom<Bounds> for HuWindow {
    type Error = Error;

    fn try_from(bounds: Bounds) -> Result<Self> {
        Self::new(bounds.min_hu, bounds.max_hu)
    }
}

impl Default for HuWindow {
    /// -175 to 250 HU: the paper's window for all abdominal organs (E.2).
    fn default() -> Self {
        Self { min_hu: -175.0, max_hu: 250.0 }
    }
}

impl HuWindow {
    /// A window of positive width.
    ///
    /// # Errors
    /// [`Error::Argument`] when a bound is not finite or `min_hu` is not below `max_hu`.
    pub fn new(min_hu: f32, max_hu: f32) -> Result<Self> {
        if min_hu.is_finite() && max_hu.is_finite() && min_hu < max_hu {
            return Ok(Self { min_hu, max_hu });
        }
        Err(Error::Argument {
            what: "HU window".into(),
            expected: "two finite numbers, the lower one first".into(),
            found: format!("{min_hu} to {max_hu}"),
        })
    }

    fn width_hu(&self) -> f32 {
        self.max_hu - self.min_hu
    }

    /// HU to [0, 1], clipped. What segmentation networks take.
    pub fn to_unit(&self, hu: f32) -> f32 {
        ((hu - self.min_hu) / self.width_hu()).clamp(0.0, 1.0)
    }

    /// HU to [-1, 1], clipped. What the autoencoder takes.
    pub fn to_signed(&self, hu: f32) -> f32 {
        ((hu - self.min_hu) / self.width_hu() * 2.0 - 1.0).clamp(-1.0, 1.0)
    }

    /// [0, 1] to HU: undoes [`Self::to_unit`] inside the window. Does not clip.
    pub fn from_unit(&self, unit: f32) -> f32 {
        unit * self.width_hu() + self.min_hu
    }

    /// [-1, 1] to HU: undoes [`Self::to_signed`] inside the window. Does not clip.
    pub fn from_signed(&self, signed: f32) -> f32 {
        self.from_unit((signed + 1.0) * 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_window_maps_its_ends_and_middle() {
        let w = HuWindow::default();
        assert_eq!([-3024.0, -175.0, 37.5, 250.0, 3000.0].map(|v| w.to_unit(v)), [0.0, 0.0, 0.5, 1.0, 1.0]);
        assert_eq!(
            [-3024.0, -175.0, 37.5, 250.0, 3000.0].map(|v| w.to_signed(v)),
            [-1.0, -1.0, 0.0, 1.0, 1.0]
        );
        assert_eq!([0.0, 0.5, 1.0].map(|v| w.from_unit(v)), [-175.0, 37.5, 250.0]);
        assert_eq!([-1.0, 0.0, 1.0].map(|v| w.from_signed(v)), [-175.0, 37.5, 250.0]);
    }

    #[test]
    fn whole_hu_inside_the_window_come_back() {
        let w = HuWindow::default();
        for hu in -175..=250_i16 {
            let hu = f32::from(hu);
            // Three f32 roundings at size 425: 1e-4 HU is above them, and far below the unit of a CT.
            assert!((w.from_unit(w.to_unit(hu)) - hu).abs() < 1e-4);
            assert!((w.from_signed(w.to_signed(hu)) - hu).abs() < 1e-4);
        }
    }

    #[test]
    fn a_window_must_have_a_width() {
        for (a, b) in [(5.0, 5.0), (6.0, 5.0), (f32::NAN, 1.0), (0.0, f32::INFINITY)] {
            assert!(HuWindow::new(a, b).unwrap_err().to_string().contains("lower one first"));
        }
        assert_eq!(HuWindow::new(-175.0, 250.0).unwrap(), HuWindow::default());
        let read = |text: &str| serde_json::from_str::<HuWindow>(text).map_err(|e| e.to_string());
        assert_eq!(read(r#"{"min_hu": -175, "max_hu": 250}"#), Ok(HuWindow::default()));
        assert!(read(r#"{"min_hu": 5, "max_hu": 5}"#).unwrap_err().contains("lower one first"));
        assert!(read(r#"{"min_hu": 5, "max_hu": 6, "unit": "HU"}"#).unwrap_err().contains("unknown field"));
    }
}
