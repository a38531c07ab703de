//! Does one tumor look like any real one? Ranges of features of real tumors, and where a value lies in them.
//!
//! The paper's F.2 tells what goes wrong: flat, strip-like and sickle-shaped tumors, and densities as of fat or fluid. Such a
//! tumor has a feature that next to no real one has.
use super::table::{FeatureTable, argument};
use crate::error::Result;
use crate::metrics::bootstrap::quantile;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Fewest tumors that make a range.
pub const FEWEST: usize = 5;

/// From this number of tumors on, one lies beyond the 1st or 99th percentile, and the 5th or 95th.
const ENOUGH: [(usize, [f64; 2]); 2] = [(100, [0.01, 0.99]), (20, [0.05, 0.95])];

/// Ranges of all features of a set of real tumors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceRanges {
    /// Where the tumors are from.
    pub source: String,
    /// Number of tumors.
    pub tumors: usize,
    /// One for each feature.
    pub ranges: Vec<Range>,
}

/// The range of one feature, in its own unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The feature.
    pub feature: String,
    /// Median.
    pub median: f64,
    /// Where a value passes.
    pub usual: Limits,
    /// Where a value fails beyond.
    pub possible: Limits,
}

/// A range's ends, and what they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// What the ends are.
    pub kind: Kind,
}

/// What the ends of a range are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Percentiles, linear between values (type 7 of Hyndman & Fan 1996): 5 and 95 of [`Range::usual`], 1 and 99 of
    /// [`Range::possible`].
    Percentiles,
    /// Smallest and largest value: for [`Range::usual`] of fewer than 20 tumors.
    Extremes,
    /// Those, widened by the distance of neighbours if all were evenly spread, (largest - smallest) / (tumors - 1): that far beyond
    /// the extremes of a sample lie the ends of a uniform distribution on average. For [`Range::possible`] of fewer than 100 tumors.
    WidenedExtremes,
}

/// How like real tumors a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Within the usual range.
    Pass,
    /// Beyond the usual, within the possible range.
    Warn,
    /// Beyond the possible range.
    Fail,
}

/// What is to be said of a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The feature.
    pub feature: String,
    /// The value.
    pub value: f64,
    /// How like real tumors it is.
    pub grade: Grade,
    /// Why, in words.
    pub reason: String,
}

impl ReferenceRanges {
    /// Of the tumors of `table`, which are from `source` (a sentence for reports: dataset, selection).
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when there are fewer than [`FEWEST`].
    pub fn of(table: &FeatureTable, source: &str) -> Result<Self> {
        let tumors = table.tumors().len();
        if tumors < FEWEST {
            return Err(argument("real tumors for ranges", format!("at least {FEWEST}"), tumors.to_string()));
        }
        let values = table.values();
        let columns = table.columns().iter().zip(values.columns());
        let ranges = columns.map(|(feature, values)| Range::of(feature, values.to_vec())).collect();
        Ok(Self { source: source.into(), tumors, ranges })
    }

    /// Judges one value of a feature.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when there is no range of the feature, or the value is not finite.
    pub fn judge(&self, feature: &str, value: f64) -> Result<Verdict> {
        let range = self.ranges.iter().find(|range| range.feature == feature).ok_or_else(|| {
            let names: Vec<&str> = self.ranges.iter().map(|r| r.feature.as_str()).collect();
            argument("feature to judge", format!("one of {}", names.join(", ")), format!("'{feature}'"))
        })?;
        if !value.is_finite() {
            return Err(argument(format!("feature '{feature}'"), "a finite number", value.to_string()));
        }
        Ok(range.judge(value, self.tumors))
    }
}

impl Range {
    fn of(feature: &str, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (least, most) = (values[0], values[values.len() - 1]);
        let margin = (most - least) / (values.len() - 1) as f64;
        let percentiles = |[low, high]: [f64; 2]| Limits {
            low: quantile(&values, low),
            high: quantile(&values, high),
            kind: Kind::Percentiles,
        };
        let [possible, usual] =
            ENOUGH.map(|(enough, shares)| (values.len() >= enough).then(|| percentiles(shares)));
        let widened = Limits { low: least - margin, high: most + margin, kind: Kind::WidenedExtremes };
        Self {
            feature: feature.into(),
            median: quantile(&values, 0.5),
            usual: usual.unwrap_or(Limits { low: least, high: most, kind: Kind::Extremes }),
            possible: possible.unwrap_or(widened),
        }
    }

    fn judge(&self, value: f64, tumors: usize) -> Verdict {
        let grade = match (self.usual.beyond(value), self.possible.beyond(value)) {
            (None, _) => Grade::Pass,
            (_, None) => Grade::Warn,
            _ => Grade::Fail,
        };
        let (limits, percent) = if grade == Grade::Fail { (&self.possible, 99) } else { (&self.usual, 95) };
        let among = limits.kind.words(percent, tumors);
        let Limits { low, high, .. } = limits;
        let side = limits.beyond(value);
        let place = side.map_or("within", Side::words);
        let whom = if side.is_none() { among.within } else { among.beyond };
        let reason = format!(
            "{} {} is {place} {whom} ({} to {}{})",
            self.feature,
            Short(value),
            Short(*low),
            Short(*high),
            among.note,
        );
        Verdict { feature: self.feature.clone(), value, grade, reason }
    }
}

/// On which side of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Below,
    Above,
}

impl Side {
    fn words(self) -> &'static str {
        match self {
            Self::Below => "below",
            Self::Above => "above",
        }
    }
}

impl Limits {
    fn beyond(&self, value: f64) -> Option<Side> {
        if value < self.low {
            return Some(Side::Below);
        }
        (value > self.high).then_some(Side::Above)
    }
}

/// Which tumors a range is of.
struct Words {
    within: String,
    beyond: String,
    note: &'static str,
}

impl Kind {
    /// `percent`: of the tumors that lie above the lower end.
    fn words(self, percent: u32, tumors: usize) -> Words {
        let all = format!("all {tumors} real tumors");
        match self {
            Self::Percentiles => Words {
                within: format!("the middle {} % of {tumors} real tumors", 2 * percent - 100),
                beyond: format!("{percent} % of {tumors} real tumors"),
                note: "",
            },
            Self::Extremes => Words {
                within: format!("the range of {all}"),
                beyond: all,
                note: "; too few for percentiles",
            },
            Self::WidenedExtremes => Words {
                within: format!("the widened range of {all}"),
                beyond: all,
                note: " with a margin, as they are too few for percentiles",
            },
        }
    }
}

/// Three digits that count, all digits before the point.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size != 0.0 && !(1e-3..1e6).contains(&size) {
            return write!(f, "{:.2e}", self.0);
        }
        let before = if size < 1.0 { 0 } else { size.log10() as usize + 1 };
        write!(f, "{:.*}", 3_usize.saturating_sub(before.max(1)), self.0)
    }
}

#[cfg(test)]
mod tests;
