//! A table of features: a row a tumor, a column a number.
mod csv_file;

use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2, Axis};
use std::collections::{BTreeSet, HashSet};

/// Names that columns of features cannot have: those of a row's own columns in a file.
pub const RESERVED: [&str; 4] = ["id", "group", "patient", "stage"];

/// Whose features a row holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tumor {
    /// Its name, once in a table.
    pub id: String,
    /// What it is compared by: an organ, a source.
    pub group: String,
    /// The patient it is in. Patients are never torn apart.
    pub patient: String,
    /// Its stage, such as `early`. All rows of a table have one, or none has.
    pub stage: Option<String>,
}

/// Tumors and their features, all finite.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureTable {
    tumors: Vec<Tumor>,
    columns: Vec<String>,
    /// `[tumors, columns]`
    values: Array2<f64>,
}

/// An [`Error::Argument`].
pub(super) fn argument(
    what: impl Into<String>,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Error {
    Error::Argument { what: what.into(), expected: expected.into(), found: found.into() }
}

impl FeatureTable {
    /// A table of `values`, one row for each of `tumors` with a number for each of `columns`.
    ///
    /// # Errors
    /// [`Error::Argument`] that names the row and the column when there are no rows or columns, a row is longer or
    /// shorter than the header, a value is not finite, a name is empty or there twice, a column has a [`RESERVED`] name,
    /// or some tumors have a stage and others have none.
    pub fn new(tumors: Vec<Tumor>, columns: Vec<String>, values: Vec<Vec<f64>>) -> Result<Self> {
        check_columns(&columns)?;
        check_tumors(&tumors)?;
        if values.len() != tumors.len() {
            let expected = format!("{}, one for each tumor", tumors.len());
            return Err(argument("rows of features", expected, values.len().to_string()));
        }
        for (tumor, row) in tumors.iter().zip(&values) {
            if row.len() != columns.len() {
                let expected = format!("{}, one for each column", columns.len());
                return Err(argument(format!("features of '{}'", tumor.id), expected, row.len().to_string()));
            }
            if let Some((column, value)) = columns.iter().zip(row).find(|(_, value)| !value.is_finite()) {
                return Err(argument(
                    format!("feature '{column}' of '{}'", tumor.id),
                    "a finite number (leave out the tumor, or the column, where a feature is not defined)",
                    value.to_string(),
                ));
            }
        }
        let shape = (tumors.len(), columns.len());
        let values = Array2::from_shape_vec(shape, values.into_iter().flatten().collect())
            .expect("row lengths were checked");
        Ok(Self { tumors, columns, values })
    }

    /// Whose features the rows hold.
    pub fn tumors(&self) -> &[Tumor] {
        &self.tumors
    }

    /// Names of the features.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The features `[tumors, columns]`.
    pub fn values(&self) -> ArrayView2<'_, f64> {
        self.values.view()
    }

    /// The groups, sorted.
    pub fn groups(&self) -> Vec<String> {
        let groups: BTreeSet<&String> = self.tumors.iter().map(|t| &t.group).collect();
        groups.into_iter().cloned().collect()
    }

    /// The stages, sorted; none when tumors have none.
    pub fn stages(&self) -> Vec<String> {
        let stages: BTreeSet<&String> = self.tumors.iter().filter_map(|t| t.stage.as_ref()).collect();
        stages.into_iter().cloned().collect()
    }

    /// The rows of all tables, one after the other.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no table, one has other columns than the first, or two rows have one id.
    pub fn joined(tables: &[Self]) -> Result<Self> {
        let Some(first) = tables.first() else {
            return Err(argument("tables of features", "at least one", "none"));
        };
        if let Some((i, other)) = tables.iter().enumerate().find(|(_, t)| t.columns != first.columns) {
            let differs = |(a, b): &(&String, &String)| a != b;
            let found = first
                .columns
                .iter()
                .zip(&other.columns)
                .find(differs)
                .map_or(format!("{} columns", other.columns.len()), |(expected, found)| {
                    format!("'{found}' in place of '{expected}'")
                });
            let expected = format!("the {} of the first table, in its order", first.columns.len());
            return Err(argument(format!("columns of table {}", i + 1), expected, found));
        }
        let tumors = tables.iter().flat_map(|t| t.tumors.iter().cloned()).collect();
        let values = tables.iter().flat_map(|t| t.values.rows()).map(|row| row.to_vec()).collect();
        Self::new(tumors, first.columns.clone(), values)
    }

    /// The same with its columns in another order.
    ///
    /// # Errors
    /// [`Error::Argument`] when a column is not there.
    pub fn with_order(&self, columns: &[String]) -> Result<Self> {
        let place = |wanted: &String| {
            let found = self.columns.iter().position(|c| c == wanted);
            let missing =
                || argument("columns of features", format!("'{wanted}' too"), self.columns.join(", "));
            found.ok_or_else(missing)
        };
        Ok(self.with_columns(&columns.iter().map(place).collect::<Result<Vec<_>>>()?))
    }

    /// The columns whose names start with any of `prefixes` (`shape_`, `glcm_`), in the table's order.
    ///
    /// # Errors
    /// [`Error::Argument`] when a prefix fits no column.
    pub fn select_prefixes(&self, prefixes: &[&str]) -> Result<Self> {
        if let Some(idle) = prefixes.iter().find(|p| !self.columns.iter().any(|c| c.starts_with(**p))) {
            let expected = format!("the start of a column's name: {}", self.columns.join(", "));
            return Err(argument("prefix of columns", expected, format!("'{idle}'")));
        }
        let kept: Vec<usize> = (0..self.columns.len())
            .filter(|i| prefixes.iter().any(|prefix| self.columns[*i].starts_with(prefix)))
            .collect();
        if kept.is_empty() {
            return Err(argument("prefixes of columns", "at least one", "none"));
        }
        Ok(self.with_columns(&kept))
    }

    /// The rows for which `wanted` says so. `None` when there are none.
    pub fn filter(&self, wanted: impl Fn(&Tumor) -> bool) -> Option<Self> {
        let rows: Vec<usize> = (0..self.tumors.len()).filter(|i| wanted(&self.tumors[*i])).collect();
        (!rows.is_empty()).then(|| self.with_rows(&rows))
    }

    /// The rows `rows`, in that order.
    pub(super) fn with_rows(&self, rows: &[usize]) -> Self {
        Self {
            tumors: rows.iter().map(|r| self.tumors[*r].clone()).collect(),
            columns: self.columns.clone(),
            values: self.values.select(Axis(0), rows),
        }
    }

    /// The columns `columns`, in that order.
    pub(super) fn with_columns(&self, columns: &[usize]) -> Self {
        Self {
            tumors: self.tumors.clone(),
            columns: columns.iter().map(|c| self.columns[*c].clone()).collect(),
            values: self.values.select(Axis(1), columns),
        }
    }
}

fn check_columns(columns: &[String]) -> Result<()> {
    let mut seen = HashSet::new();
    for column in columns {
        let lower = column.to_lowercase();
        if column.trim().is_empty() || RESERVED.contains(&lower.as_str()) {
            let expected = format!("a name other than {}", RESERVED.join(", "));
            return Err(argument("name of a feature", expected, format!("'{column}'")));
        }
        if !seen.insert(column) {
            return Err(argument("names of features", "each once", format!("'{column}' twice")));
        }
    }
    if columns.is_empty() { Err(argument("features", "at least one", "none")) } else { Ok(()) }
}

fn check_tumors(tumors: &[Tumor]) -> Result<()> {
    let Some(first) = tumors.first() else { return Err(argument("tumors", "at least one", "none")) };
    let mut seen = HashSet::new();
    for (row, tumor) in tumors.iter().enumerate() {
        let texts = [("id", &tumor.id), ("group", &tumor.group), ("patient", &tumor.patient)];
        let stage = tumor.stage.iter().map(|stage| ("stage", stage));
        if let Some((name, _)) = texts.into_iter().chain(stage).find(|(_, text)| text.trim().is_empty()) {
            let what = format!("{name} of tumor {} ('{}')", row + 1, tumor.id);
            return Err(argument(what, "some text", "nothing"));
        }
        if tumor.stage.is_some() != first.stage.is_some() {
            let found = format!("'{}' differs from '{}'", tumor.id, first.id);
            return Err(argument("stages", "one for all tumors, or for none", found));
        }
        if !seen.insert(&tumor.id) {
            return Err(argument("ids of tumors", "each once", format!("'{}' twice", tumor.id)));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A tumor without stage; its patient is `p` and its id.
    pub(in crate::analysis) fn tumor(id: &str, group: &str) -> Tumor {
        Tumor { id: id.into(), group: group.into(), patient: format!("p{id}"), stage: None }
    }

    /// Asserts that two things are the same as JSON, but for a unit or two in the last place of numbers: by so much serde_json's
    /// reader may be off.
    pub(in crate::analysis) fn same_but_for_rounding(a: &impl serde::Serialize, b: &impl serde::Serialize) {
        use serde_json::Value;
        fn same(a: &Value, b: &Value) -> bool {
            match (a, b) {
                (Value::Number(a), Value::Number(b)) => {
                    let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
                    (a - b).abs() <= 4.0 * f64::EPSILON * b.abs()
                }
                (Value::Array(a), Value::Array(b)) => {
                    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
                }
                (Value::Object(a), Value::Object(b)) => {
                    a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
                }
                _ => a == b,
            }
        }
        let (a, b) = (serde_json::to_value(a).unwrap(), serde_json::to_value(b).unwrap());
        assert!(same(&a, &b), "{a}\n{b}");
    }

    #[test]
    fn tables_are_joined_when_their_columns_are_the_same() {
        let table = |id: &str, columns: &[&str], value: f64| {
            let values = vec![vec![value; columns.len()]];
            FeatureTable::new(vec![tumor(id, "liver")], names(columns), values).unwrap()
        };
        let (a, b) = (table("a", &["x", "y"], 1.0), table("b", &["x", "y"], 2.0));
        let both = FeatureTable::joined(&[a.clone(), b]).unwrap();
        assert_eq!((both.tumors().len(), both.values()[[0, 1]], both.values()[[1, 0]]), (2, 1.0, 2.0));
        let other = table("c", &["x", "z"], 3.0);
        let error = FeatureTable::joined(&[a.clone(), other]).unwrap_err().to_string();
        assert!(error.contains("columns of table 2") && error.contains("'z' in place of 'y'"), "{error}");
        assert!(FeatureTable::joined(&[a.clone(), a]).is_err());
        assert!(FeatureTable::joined(&[]).is_err());
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_string()).collect()
    }

    #[test]
    fn bad_tables_are_refused_by_row_and_column() {
        let two = || vec![tumor("a", "liver"), tumor("b", "kidney")];
        let good = || vec![vec![1.0, 2.0], vec![3.0, 4.0]];
        let columns = || names(&["shape_a", "glcm_b"]);
        assert!(FeatureTable::new(two(), columns(), good()).is_ok());
        let staged = |stage: &str| Tumor { stage: Some(stage.into()), ..tumor("c", "liver") };
        for (tumors, columns, values, message) in [
            (
                two(),
                columns(),
                vec![vec![1.0, 2.0], vec![3.0, f64::NAN]],
                "feature 'glcm_b' of 'b': expected a finite",
            ),
            (two(), columns(), vec![vec![f64::INFINITY, 2.0], vec![3.0, 1.0]], "feature 'shape_a' of 'a'"),
            (
                two(),
                columns(),
                vec![vec![1.0, 2.0], vec![3.0]],
                "features of 'b': expected 2, one for each column, found 1",
            ),
            (two(), columns(), vec![vec![1.0, 2.0]], "rows of features: expected 2"),
            (vec![tumor("a", "x"), tumor("a", "y")], columns(), good(), "'a' twice"),
            (two(), names(&["f", "f"]), good(), "'f' twice"),
            (two(), names(&["f", "Patient"]), good(), "'Patient'"),
            (two(), names(&[]), vec![vec![], vec![]], "features: expected at least one"),
            (vec![], columns(), vec![], "tumors: expected at least one"),
            (vec![tumor("a", "x"), tumor("b", " ")], columns(), good(), "group of tumor 2 ('b')"),
            (vec![tumor("a", "x"), staged("early")], columns(), good(), "'c' differs from 'a'"),
            (vec![staged("")], columns(), vec![vec![1.0, 2.0]], "stage of tumor 1"),
        ] {
            let error = FeatureTable::new(tumors, columns, values).unwrap_err().to_string();
            assert!(error.contains(message), "{error}: {message}");
        }
    }

    #[test]
    fn columns_are_selected_by_prefix() {
        let table = FeatureTable::new(
            vec![tumor("a", "liver")],
            names(&["shape_a", "glcm_b", "shape_c"]),
            vec![vec![1.0, 2.0, 3.0]],
        );
        let table = table.unwrap();
        let shapes = table.select_prefixes(&["shape_"]).unwrap();
        assert_eq!(
            (shapes.columns().join(" "), shapes.values().row(0).to_vec()),
            ("shape_a shape_c".into(), vec![1.0, 3.0])
        );
        let error = table.select_prefixes(&["shape_", "glrlm_"]).unwrap_err().to_string();
        assert!(error.contains("'glrlm_'") && error.contains("glcm_b"), "{error}");
        assert!(table.select_prefixes(&[]).is_err());
        assert!(table.filter(|t| t.group == "kidney").is_none());
    }
}
