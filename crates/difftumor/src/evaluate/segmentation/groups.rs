//! Cases by what is known of the patients (paper Fig. 4: age and sex): one summary for each value of a column.
use super::case::CaseFigures;
use super::summary::Summary;
use crate::dataset::metadata::Metadata;
use crate::error::Result;
use difftumor_ct::metrics::bootstrap::Bootstrap;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A column with more different values than this is put into ranges (numbers) or not used (names).
const MOST_VALUES: usize = 8;
/// The group of cases without a row or a value.
const NOT_GIVEN: &str = "not given";

/// Summaries by a column of the metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grouping {
    /// The column.
    pub column: String,
    /// By value, names by alphabet and numbers by size; cases without a value are last. None of them is empty.
    pub groups: Vec<Group>,
}

/// The cases with one value, or with one in a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The value; of a range, `60 to 69` for whole numbers and `0.5 to below 1` for others.
    pub value: String,
    /// Its cases' figures.
    pub summary: Summary,
}

/// What the metadata gives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Groupings {
    /// A summary for each value of each column.
    pub columns: Vec<Grouping>,
    /// Columns that are not used, with the reason.
    pub unused: BTreeMap<String, String>,
    /// Cases with figures but no row: in each grouping with those whose value is not given.
    pub cases_without_row: Vec<String>,
    /// Rows that belong to no case.
    pub rows_without_case: Vec<String>,
}

impl Groupings {
    /// Groups cases. `all` are the ids of all cases, those without figures too; `by` names the columns (all of them when empty).
    ///
    /// # Errors
    /// When a column is not there.
    pub(super) fn new(
        metadata: &Metadata,
        by: &[String],
        cases: &[(&str, &CaseFigures)],
        all: &BTreeSet<&str>,
        bootstrap: &Bootstrap,
    ) -> Result<Self> {
        let rows: BTreeSet<&str> = metadata.ids().collect();
        let mut groupings = Self {
            cases_without_row: cases
                .iter()
                .filter(|(id, _)| !rows.contains(id))
                .map(|(id, _)| (*id).into())
                .collect(),
            rows_without_case: rows.iter().filter(|id| !all.contains(*id)).map(|id| (*id).into()).collect(),
            ..Self::default()
        };
        for column in if by.is_empty() { &metadata.columns } else { by } {
            let values = metadata.column(column)?;
            let of_cases: Vec<Option<&str>> = cases.iter().map(|(id, _)| values.get(id).copied()).collect();
            match Scale::of(of_cases.iter().flatten().copied()) {
                Ok(scale) => {
                    let groups = scale.group(cases.iter().map(|(_, figures)| *figures).zip(of_cases));
                    let summed = groups.into_iter().map(|(value, figures)| Group {
                        value,
                        summary: Summary::new(&figures, 0, bootstrap),
                    });
                    groupings.columns.push(Grouping { column: column.clone(), groups: summed.collect() });
                }
                Err(reason) => {
                    groupings.unused.insert(column.clone(), reason);
                }
            }
        }
        Ok(groupings)
    }
}

/// How a column's values make groups.
#[derive(Debug, PartialEq)]
enum Scale {
    Names,
    /// Each number is a group.
    Numbers,
    /// Ranges from multiples of a width on.
    Ranges {
        width: f64,
        whole: bool,
    },
}

impl Scale {
    /// # Errors
    /// The reason why the values make no groups.
    fn of<'a>(values: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let distinct: BTreeSet<&str> = values.collect();
        let numbers: Option<Vec<f64>> = distinct.iter().map(|v| number(v)).collect();
        match numbers {
            _ if distinct.is_empty() => Err("it has no value for any case".into()),
            None if distinct.len() > MOST_VALUES => {
                Err(format!("it has {} different values, more than {MOST_VALUES}", distinct.len()))
            }
            None => Ok(Self::Names),
            Some(_) if distinct.len() <= MOST_VALUES => Ok(Self::Numbers),
            Some(numbers) => {
                let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
                let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let fits = |width: &f64| (high / width).floor() - (low / width).floor() < MOST_VALUES as f64;
                let widths = (-12..=12).flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10_f64.powi(e)));
                let width = widths.into_iter().find(fits).ok_or("its numbers are too far apart")?;
                Ok(Self::Ranges { width, whole: width >= 1.0 && numbers.iter().all(|n| n.fract() == 0.0) })
            }
        }
    }

    /// Groups in order.
    fn group<'a, T>(&self, cases: impl Iterator<Item = (T, Option<&'a str>)>) -> Vec<(String, Vec<T>)> {
        // By place first: numbers are not in the alphabet's order.
        let mut groups: BTreeMap<(i64, String), Vec<T>> = BTreeMap::new();
        for (case, value) in cases {
            groups
                .entry(value.map_or((i64::MAX, NOT_GIVEN.into()), |v| self.place(v)))
                .or_default()
                .push(case);
        }
        groups.into_iter().map(|((_, value), cases)| (value, cases)).collect()
    }

    fn place(&self, value: &str) -> (i64, String) {
        let number = || number(value).expect("all values were numbers");
        match self {
            Self::Names => (0, value.into()),
            // Few numbers, so that their place among a million steps is enough to sort them.
            Self::Numbers => ((number() * 1e6).round() as i64, value.into()),
            Self::Ranges { width, whole } => {
                let step = (number() / width).floor();
                let (from, to) = (step * width, (step + 1.0) * width);
                let name = match whole {
                    true if *width == 1.0 => format!("{from}"),
                    true => format!("{from} to {}", to - 1.0),
                    false => format!("{} to below {}", short(from), short(to)),
                };
                (step as i64, name)
            }
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|v: &f64| v.is_finite())
}

/// Without the digits that a product in binary numbers adds.
fn short(value: f64) -> String {
    let text = format!("{value:.12}");
    text.trim_end_matches('0').trim_end_matches('.').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(values: &[&str]) -> Result<Vec<(String, usize)>, String> {
        let scale = Scale::of(values.iter().copied().filter(|v| !v.is_empty()))?;
        let cases = values.iter().map(|v| ((), Some(*v).filter(|v| !v.is_empty())));
        Ok(scale.group(cases).into_iter().map(|(name, cases)| (name, cases.len())).collect())
    }

    fn named(groups: &[(&str, usize)]) -> Result<Vec<(String, usize)>, String> {
        Ok(groups.iter().map(|(name, n)| ((*name).to_string(), *n)).collect())
    }

    #[test]
    fn names_and_few_numbers_are_groups() {
        assert_eq!(groups(&["M", "F", "", "M"]), named(&[("F", 1), ("M", 2), ("not given", 1)]));
        assert_eq!(groups(&["10", "9", "1.5", "9"]), named(&[("1.5", 1), ("9", 2), ("10", 1)]));
    }

    #[test]
    fn many_numbers_make_ranges() {
        let ages = ["23", "29", "30", "39", "41", "55", "61", "70", "79", "80", ""];
        let expected = [
            ("20 to 29", 2),
            ("30 to 39", 2),
            ("40 to 49", 1),
            ("50 to 59", 1),
            ("60 to 69", 1),
            ("70 to 79", 2),
            ("80 to 89", 1),
            ("not given", 1),
        ];
        assert_eq!(groups(&ages), named(&expected));
        let thick = ["0.5", "0.7", "0.8", "1.25", "1.5", "2", "2.5", "3", "5"];
        let expected = [
            ("0 to below 1", 3),
            ("1 to below 2", 2),
            ("2 to below 3", 2),
            ("3 to below 4", 1),
            ("5 to below 6", 1),
        ];
        assert_eq!(groups(&thick), named(&expected));
        let small = ["-0.05", "0", "0.05", "0.1", "0.15", "0.2", "0.25", "0.3", "0.31"];
        assert_eq!(groups(&small).unwrap()[0], ("-0.05 to below 0".to_string(), 1));
    }

    #[test]
    fn what_makes_no_groups_is_told() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        assert!(groups(&names).unwrap_err().contains("9 different values, more than 8"));
        assert!(groups(&["", ""]).unwrap_err().contains("no value"));
        // One word among numbers makes all of them names.
        assert!(groups(&["1", "2", "3", "4", "5", "6", "7", "8", "unknown"]).is_err());
    }
}
