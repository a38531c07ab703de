//! The verdict: figures against ranges of real tumors, and against fixed rules.
use super::limits::{LIMITS, Limit, Side};
use super::names::{FIGURES, Figure};
use super::{Figures, reference::Reference};
use crate::analysis::ranges::{Grade, Range};
use crate::error::{Error, Result};
use crate::io::write_atomically;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// How far a figure may be off by chance, in standard deviations.
const CHANCE_SD: f64 = 2.0;

/// What tumors are judged by, besides the fixed rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Ranges of figures of real tumors.
    pub ranges: Vec<Reference>,
}

/// What is to be said of a tumor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The worst of the checks.
    pub grade: Grade,
    /// All checks, the worst first.
    pub checks: Vec<Check>,
}

/// One figure against one range or rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The figure's name.
    pub figure: &'static str,
    /// Its value.
    pub value: f64,
    /// It passes from here on; none where there is no lower end.
    pub low: Option<f64>,
    /// It passes up to here; none where there is no upper end.
    pub high: Option<f64>,
    /// How like a real tumor it is.
    pub grade: Grade,
    /// Why, in words; what was found first, then what it was compared with.
    pub reason: String,
}

impl Gate {
    /// The ranges that come with the program: shapes of kidney tumors (KiTS19: proportions of 227 by class of longest axis,
    /// surfaces and thicknesses of 40), texture and slices of 28 soft-tissue sarcomas (TCIA). There are none of HU, which depend on organ and contrast phase: use [`Gate::fitted`] for those.
    pub fn built_in() -> Self {
        serde_json::from_str(include_str!("reference.json")).expect("a file of this crate, read by its tests")
    }

    /// Ranges of a user's own real tumors, `source` being a few words for reports. A figure that fewer than
    /// [`crate::analysis::ranges::FEWEST`] of them have gets no range.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] when there are fewer tumors than that.
    pub fn fitted(tumors: &[Figures], source: &str) -> Result<Self> {
        Reference::of_all(tumors, source).map(|ranges| Self { ranges })
    }

    /// Reads what [`Gate::write`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Format`] when it holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
        let wrong = |what: &str, found: String| Error::Format {
            path: path.to_path_buf(),
            what: what.into(),
            expected: "ranges of real tumors as JSON".into(),
            found,
            hint: "write it anew from a table of real tumors: difftumor analyze realism --write-ranges"
                .into(),
        };
        let gate: Self = serde_json::from_str(&text).map_err(|e| wrong("content", e.to_string()))?;
        let ranges = || gate.ranges.iter().flat_map(|r| &r.ranges.ranges);
        let known = |name: &str| FIGURES.iter().any(|figure| figure.name == name);
        if let Some(range) = ranges().find(|range| !known(&range.feature)) {
            return Err(wrong("figure", format!("'{}', which is not measured", range.feature)));
        }
        let in_order = |r: &Range| r.possible.low <= r.possible.high && r.usual.low <= r.usual.high;
        match ranges().find(|range| !in_order(range)) {
            Some(range) => Err(wrong("limits", format!("{range:?}, not in order"))),
            None => Ok(gate),
        }
    }

    /// Writes the ranges as JSON.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("names and numbers can be written");
        write_atomically(path, |file| writeln!(file, "{text}"))
    }

    /// The range that a tumor of that longest axis has of a figure, if there is one, and where the range is from.
    pub fn range(&self, figure: &str, longest_axis_mm: f64) -> Option<(&Range, &str)> {
        let references = self.ranges.iter().filter(|r| r.holds_for(longest_axis_mm));
        let mut all = references.flat_map(|r| r.ranges.ranges.iter().map(|range| (range, &*r.ranges.source)));
        all.find(|(range, _)| range.feature == figure)
    }

    /// Where its ranges are from, each source once.
    pub fn sources(&self) -> Vec<&str> {
        let mut sources: Vec<&str> = self.ranges.iter().map(|r| &*r.ranges.source).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// Judges a tumor. Figures that could not be measured, and those without range or rule, are not judged.
    pub fn judge(&self, figures: &Figures) -> Verdict {
        let mut checks = vec![];
        for figure in &FIGURES {
            let Some(value) = (figure.value)(figures) else { continue };
            let longest_mm = figures.shape.longest_axis_mm;
            let ranges = self.ranges.iter().filter(|reference| reference.holds_for(longest_mm));
            let of_ranges = ranges.flat_map(|r| r.ranges.ranges.iter().map(move |range| (r, range)));
            for (reference, range) in of_ranges.filter(|(_, range)| range.feature == figure.name) {
                checks.extend(against_range(figure, figures, value, reference, range));
            }
            let limits = LIMITS.iter().filter(|limit| limit.figure == figure.name);
            checks.extend(limits.map(|limit| against_limit(figure, figures, value, limit)));
        }
        checks.sort_by_key(|check| std::cmp::Reverse(check.grade));
        Verdict { grade: checks.first().map_or(Grade::Pass, |check| check.grade), checks }
    }
}

/// `None` when the range was read from a file and does not know its own figure's value as a number.
fn against_range(
    figure: &'static Figure,
    figures: &Figures,
    value: f64,
    reference: &Reference,
    range: &Range,
) -> Option<Check> {
    // What lies within chance of the range gets the benefit of the doubt.
    let doubt = 1.0 + CHANCE_SD * (figure.spread)(figures).unwrap_or(0.0);
    let judged = match value {
        v if v < range.usual.low => (v * doubt).min(range.usual.low),
        v if v > range.usual.high => (v / doubt).max(range.usual.high),
        v => v,
    };
    let verdict = reference.ranges.judge(&range.feature, judged).ok()?;
    let say = if value < range.usual.low { figure.too_small } else { figure.too_large };
    // A side that nothing is said of is nothing to object to.
    let (grade, words) = match say {
        Some(say) if verdict.grade != Grade::Pass => (verdict.grade, say(figures) + ": "),
        _ => (Grade::Pass, String::new()),
    };
    let reason = match (verdict.grade, grade) {
        (Grade::Pass, _) | (_, Grade::Warn | Grade::Fail) => {
            let chance = if judged == value {
                String::new()
            } else {
                let percent = 100.0 * (doubt - 1.0) / CHANCE_SD;
                format!(" (of the measured {value:.2}: the organ itself differs by {percent:.0} %)")
            };
            format!("{words}{}{chance}; {}", verdict.reason, reference.ranges.source)
        }
        _ => format!("{} {value:.3} is on the harmless side of real tumors", figure.name),
    };
    Some(Check {
        figure: figure.name,
        value,
        low: figure.too_small.map(|_| range.usual.low),
        high: figure.too_large.map(|_| range.usual.high),
        grade,
        reason,
    })
}

fn against_limit(figure: &'static Figure, figures: &Figures, value: f64, limit: &Limit) -> Check {
    let (beyond, say, [low, high]): (fn(&f64, &f64) -> bool, _, _) = match limit.side {
        Side::Below => (f64::lt, figure.too_small, [Some(limit.warn), None]),
        Side::Above => (f64::gt, figure.too_large, [None, Some(limit.warn)]),
    };
    let grade = match (beyond(&value, &limit.fail), beyond(&value, &limit.warn)) {
        (true, _) => Grade::Fail,
        (_, true) => Grade::Warn,
        _ => Grade::Pass,
    };
    let words = say.filter(|_| grade != Grade::Pass).map_or(String::new(), |say| say(figures) + ": ");
    let side = if limit.side == Side::Below { "at least" } else { "at most" };
    let unit = if figure.unit.is_empty() { String::new() } else { format!(" {}", figure.unit) };
    let reason =
        format!("{words}{} is {value:.3}{unit}, should be {side} {}; {}", figure.name, limit.warn, limit.why);
    Check { figure: figure.name, value, low, high, grade, reason }
}
