//! What is known of patients besides their scans (age, sex, site, phase, …): a table with the column `id` and any others.
use super::table::plain;
use crate::error::{Error, Result};
use crate::objects::fetch;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Rows by case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    path: PathBuf,
    /// Names of the columns besides `id`, in the table's order, in small letters.
    pub columns: Vec<String>,
    rows: BTreeMap<String, Vec<String>>,
}

impl Metadata {
    /// Reads a comma-separated table.
    ///
    /// # Errors
    /// When it cannot be read, has no column `id` or no other, names a column twice, or an id is empty or doubled (with its line).
    pub fn read(path: &Path) -> Result<Self> {
        let local = fetch(path)?;
        let file = std::fs::File::open(local.path()).map_err(Error::io(path, "read"))?;
        let hint = "the first line names the columns: id, as in the table of cases, and what is known of each (age, sex, …)";
        let bad =
            |what: String, expected: &str, found: String| Error::format(path, what, expected, found, hint);
        let broken = |e: csv::Error| bad("table".into(), "comma-separated values in UTF-8", e.to_string());
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
        let header: Vec<String> = reader.headers().map_err(broken)?.iter().map(plain).collect();
        if let Some(name) = header.iter().find(|name| header.iter().filter(|other| other == name).count() > 1)
        {
            return Err(bad("header".into(), "each column once", format!("'{name}' several times")));
        }
        let id_at = header.iter().position(|name| name == "id");
        let Some(id_at) = id_at.filter(|_| header.len() > 1) else {
            return Err(bad("header".into(), "the column id and another", header.join(",")));
        };
        let columns = header.iter().enumerate().filter(|(i, _)| *i != id_at).map(|(_, name)| name.clone());
        let mut table = Self { path: path.into(), columns: columns.collect(), rows: BTreeMap::new() };
        for record in reader.records() {
            let record = record.map_err(broken)?;
            let line = record.position().map_or(0, csv::Position::line);
            let id = record[id_at].to_string();
            if id.is_empty() || table.rows.contains_key(&id) {
                let found = if id.is_empty() { "an empty one".into() } else { format!("'{id}' again") };
                return Err(bad(format!("line {line}: id"), "each id once", found));
            }
            let values = record.iter().enumerate().filter(|(i, _)| *i != id_at).map(|(_, v)| v.to_string());
            table.rows.insert(id, values.collect());
        }
        Ok(table)
    }

    /// The values of a column by case. Cases whose value is empty have none.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn column(&self, name: &str) -> Result<BTreeMap<&str, &str>> {
        let at = self.columns.iter().position(|column| column == &plain(name)).ok_or_else(|| {
            Error::format(
                &self.path,
                "columns",
                format!("'{name}'"),
                self.columns.join(", "),
                "name one of these",
            )
        })?;
        let values = self.rows.iter().map(|(id, values)| (id.as_str(), values[at].as_str()));
        Ok(values.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The cases that have a row.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Metadata, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("patients.csv");
        std::fs::write(&path, text).unwrap();
        Metadata::read(&path).map_err(|e| e.to_string())
    }

    #[test]
    fn columns_are_found_by_name() {
        let table = read("\u{feff}Sex, id ,Age\nF,a,61\n,b,40\nM,c,\n").unwrap();
        assert_eq!(table.columns, ["sex", "age"]);
        assert_eq!(table.column("SEX").unwrap(), BTreeMap::from([("a", "F"), ("c", "M")]));
        assert_eq!(table.column("age").unwrap(), BTreeMap::from([("a", "61"), ("b", "40")]));
        assert_eq!(table.ids().collect::<Vec<_>>(), ["a", "b", "c"]);
        let error = table.column("site").unwrap_err().to_string();
        assert!(error.contains("expected 'site', found sex, age"), "{error}");
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, says) in [
            ("", "the column id and another"),
            ("id\na\n", "found id"),
            ("case,age\na,3\n", "found case,age"),
            ("id,age,Age\na,3,4\n", "'age' several times"),
            ("id,age\na,3\na,4\n", "line 3: id: expected each id once, found 'a' again"),
            ("id,age\n,3\n", "line 2: id"),
            ("id,age\na\n", "line: 2"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says) && error.contains("patients.csv"), "{text:?}: {error}");
        }
    }
}
