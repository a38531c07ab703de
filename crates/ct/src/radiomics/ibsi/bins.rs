//! Grey levels after IBSI-1, section 2.7.
use crate::error::{Error, Result};
use crate::radiomics::levels::HIGHEST_LEVEL;

/// How intensities become grey levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bins {
    /// Bins of a fixed size.
    Width {
        /// Their width.
        width_hu: f64,
        /// Where the first one starts: the lower end of the range.
        from_hu: f64,
    },
    /// A fixed number of bins from the region's lowest to its highest intensity.
    Count(u32),
}

impl Default for Bins {
    /// Whole intensities from 1 are levels.
    fn default() -> Self {
        Self::Width { width_hu: 1.0, from_hu: 1.0 }
    }
}

impl Bins {
    pub(super) fn validate(&self) -> Result<()> {
        let (fits, expected) = match self {
            Self::Width { width_hu, from_hu } => (
                width_hu.is_finite() && *width_hu > 0.0 && from_hu.is_finite(),
                "a width above 0 from a finite start",
            ),
            Self::Count(count) => ((1..=HIGHEST_LEVEL).contains(count), "1 to 65536 bins"),
        };
        if fits {
            return Ok(());
        }
        Err(Error::Argument { what: "bins".into(), expected: expected.into(), found: format!("{self:?}") })
    }

    /// Levels from 1 of values, of which there is at least one.
    pub(super) fn levels(&self, values: &[f64]) -> Result<Vec<u32>> {
        let minimum = values.iter().copied().fold(f64::INFINITY, f64::min);
        let maximum = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match *self {
            Self::Width { from_hu, .. } if minimum < from_hu => Err(Error::Argument {
                what: "start of the first bin".into(),
                expected: format!("at most the lowest intensity, {minimum}"),
                found: format!("{from_hu}; restrict the range of intensities to it"),
            }),
            Self::Width { width_hu, from_hu } => {
                let level = |v: &f64| (((v - from_hu) / width_hu).floor() as u32).min(HIGHEST_LEVEL) + 1;
                Ok(values.iter().map(level).collect())
            }
            Self::Count(_) if minimum == maximum => Ok(vec![1; values.len()]),
            Self::Count(count) => {
                let share = |v: f64| f64::from(count) * (v - minimum) / (maximum - minimum);
                Ok(values.iter().map(|v| (share(*v).floor() as u32 + 1).min(count)).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_start_where_they_are_told() {
        let bins = Bins::Width { width_hu: 25.0, from_hu: -500.0 };
        assert_eq!(bins.levels(&[-500.0, -475.1, -475.0, 400.0]).unwrap(), [1, 1, 2, 37]);
        assert!(bins.levels(&[-501.0]).unwrap_err().to_string().contains("-501"));
        assert_eq!(Bins::Count(4).levels(&[0.0, 2.4, 2.5, 10.0]).unwrap(), [1, 1, 2, 4]);
        assert_eq!(Bins::Count(4).levels(&[3.0]).unwrap(), [1]);
        assert!(Bins::Count(0).validate().is_err());
    }
}
