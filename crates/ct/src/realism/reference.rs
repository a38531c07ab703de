//! Ranges of figures of real tumors, for tumors of some sizes.
use super::limits::{LIMITS, Side};
use super::{FIGURES, Figures};
use crate::analysis::ranges::{FEWEST, ReferenceRanges};
use crate::analysis::table::{FeatureTable, Tumor};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Ranges that hold for tumors of some sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Longest axes in mm of the tumors it holds for: above the first, up to the second (none: however long).
    pub longest_axis_mm: (f64, Option<f64>),
    /// The ranges.
    pub ranges: ReferenceRanges,
}

impl Reference {
    /// The range of one figure from its values of real tumors.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are fewer than [`FEWEST`] values, or one that is not finite.
    pub fn of(
        figure: &str,
        values: &[f64],
        longest_axis_mm: (f64, Option<f64>),
        source: &str,
    ) -> Result<Self> {
        let tumor = |i: usize| Tumor {
            id: format!("tumor {i}"),
            group: source.into(),
            patient: format!("tumor {i}"),
            stage: None,
        };
        let tumors = (0..values.len()).map(tumor).collect();
        let rows = values.iter().map(|v| vec![*v]).collect();
        let table = FeatureTable::new(tumors, vec![figure.into()], rows)?;
        Ok(Self { longest_axis_mm, ranges: ReferenceRanges::of(&table, source)? })
    }

    /// Ranges of all figures that at least [`FEWEST`] of the tumors have; none of those that have a fixed upper limit: of shares that
    /// are mostly 0 the range of a few tumors says nothing.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are fewer tumors.
    pub(super) fn of_all(tumors: &[Figures], source: &str) -> Result<Vec<Self>> {
        if tumors.len() < FEWEST {
            return Err(Error::Argument {
                what: "real tumors for ranges".into(),
                expected: format!("at least {FEWEST}"),
                found: tumors.len().to_string(),
            });
        }
        let fixed = |name: &str| LIMITS.iter().any(|l| l.figure == name && l.side == Side::Above);
        let figures = FIGURES.iter().filter(|figure| !fixed(figure.name));
        let values = figures.map(|f| (f.name, tumors.iter().filter_map(f.value).collect::<Vec<f64>>()));
        let enough = values.filter(|(_, values)| values.len() >= FEWEST);
        enough.map(|(name, values)| Self::of(name, &values, (0.0, None), source)).collect()
    }

    /// Whether it is to be asked about a tumor of that longest axis.
    pub(super) fn holds_for(&self, longest_axis_mm: f64) -> bool {
        let (above, up_to) = self.longest_axis_mm;
        longest_axis_mm > above && up_to.is_none_or(|most| longest_axis_mm <= most)
    }
}
