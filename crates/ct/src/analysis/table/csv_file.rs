//! [`FeatureTable`] as a CSV file: `id,group,patient`, then `stage` where tumors have one, then the features.
use super::{FeatureTable, RESERVED, Tumor};
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// Columns of text that every file has.
const TEXTS: usize = 3;

impl FeatureTable {
    /// Reads a file. The header's first columns are `id,group,patient` and, where tumors have one, `stage`; all others are
    /// features.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Format`] with the line when it is no such table, or is none as
    /// [`FeatureTable::new`] wants it.
    pub fn read_csv(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(Error::io(path, "read"))?;
        Self::from_csv(file, path)
    }

    /// The same from any source; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`FeatureTable::read_csv`].
    pub fn from_csv(source: impl Read, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        // Lengths of rows are checked here, for a message with the line.
        let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(source);
        let header = reader.headers().map_err(|e| unreadable(path, e))?.clone();
        let (texts, columns) = split_header(path, &header)?;
        let (mut tumors, mut values) = (Vec::new(), Vec::new());
        for record in reader.records() {
            let record = record.map_err(|e| unreadable(path, e))?;
            let line = record.position().map_or(0, csv::Position::line);
            if record.len() != header.len() {
                return Err(wrong(
                    path,
                    format!("line {line}"),
                    format!("{} values, as the header", header.len()),
                    record.len().to_string(),
                    "fill in or take out what is too many or too few",
                ));
            }
            let text = |i: usize| record[i].to_string();
            let stage = (texts > TEXTS).then(|| text(TEXTS));
            let numbers = columns.iter().zip(record.iter().skip(texts));
            let row: Result<Vec<f64>> =
                numbers.map(|(column, cell)| number(path, line, &record[0], column, cell)).collect();
            tumors.push(Tumor { id: text(0), group: text(1), patient: text(2), stage });
            values.push(row?);
        }
        Self::new(tumors, columns, values).map_err(|error| match error {
            Error::Argument { what, expected, found } => {
                wrong(path, what, expected, found, "correct the table")
            }
            other => other,
        })
    }

    /// Writes a file that [`FeatureTable::read_csv`] reads back bit for bit.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let file = File::create(path).map_err(Error::io(path, "create"))?;
        self.to_csv(file).map_err(Error::io(path, "write"))
    }

    /// The same into any sink.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn to_csv(&self, sink: impl Write) -> std::io::Result<()> {
        let mut writer = csv::Writer::from_writer(sink);
        let texts = TEXTS + usize::from(self.tumors[0].stage.is_some());
        writer
            .write_record(RESERVED[..texts].iter().copied().chain(self.columns.iter().map(String::as_str)))?;
        for (tumor, row) in self.tumors.iter().zip(self.values.rows()) {
            let texts = [&tumor.id, &tumor.group, &tumor.patient].into_iter().chain(&tumor.stage).cloned();
            // The shortest digits that give the same number again.
            writer.write_record(texts.chain(row.iter().map(|value| format!("{value:?}"))))?;
        }
        writer.flush()
    }
}

/// Number of columns of text, and the names of features.
fn split_header(path: &Path, header: &csv::StringRecord) -> Result<(usize, Vec<String>)> {
    // Spreadsheet programs start a file with a byte order mark.
    let mut names: Vec<String> =
        header.iter().map(|name| name.trim_start_matches('\u{feff}').into()).collect();
    let as_expected = names.len() >= TEXTS && names.iter().zip(&RESERVED[..TEXTS]).all(|(n, r)| n == r);
    if !as_expected {
        return Err(wrong(
            path,
            "header".into(),
            format!("{}, optionally {}, and features", RESERVED[..TEXTS].join(","), RESERVED[TEXTS]),
            format!("'{}'", names.iter().take(4).cloned().collect::<Vec<_>>().join(",")),
            "rename or reorder the first columns",
        ));
    }
    let texts = TEXTS + usize::from(names.get(TEXTS).is_some_and(|name| name == RESERVED[TEXTS]));
    Ok((texts, names.split_off(texts)))
}

fn number(path: &Path, line: u64, id: &str, column: &str, cell: &str) -> Result<f64> {
    let value: Option<f64> = cell.parse().ok();
    value.filter(|value| value.is_finite()).ok_or_else(|| {
        wrong(
            path,
            format!("line {line} ('{id}'), column '{column}'"),
            "a finite number".into(),
            if cell.is_empty() { "nothing".into() } else { format!("'{cell}'") },
            "columns after id, group, patient and stage are features: take out columns of text, and tumors or columns \
             with features that are not defined",
        )
    })
}

fn unreadable(path: &Path, error: csv::Error) -> Error {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::Io { path: path.to_path_buf(), action: "read", source },
        _ => wrong(path, "text".into(), "CSV in UTF-8".into(), text, "save the table as CSV in UTF-8"),
    }
}

fn wrong(path: &Path, what: String, expected: String, found: String, hint: &str) -> Error {
    Error::Format { path: path.to_path_buf(), what, expected, found, hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FeatureTable> {
        FeatureTable::from_csv(text.as_bytes(), "t.csv")
    }

    #[test]
    fn files_are_read_and_written_bit_for_bit() {
        let text = "\u{feff}id,group,patient,stage,shape_a,glcm_b\nt1,liver,p1,early,0.1,-3e-300\n\"t,2\",kidney,p 2,late,1,2.5\n";
        let table = read(text).unwrap();
        assert_eq!(table.columns(), ["shape_a", "glcm_b"]);
        assert_eq!(table.tumors()[1].id, "t,2");
        assert_eq!(
            (table.stages(), table.groups()),
            (vec!["early".into(), "late".into()], vec!["kidney".into(), "liver".into()])
        );
        assert_eq!(table.values()[[0, 1]], -3e-300);
        let odd = 0.1 + 0.2;
        let table = FeatureTable::new(
            table.tumors().to_vec(),
            table.columns().to_vec(),
            vec![vec![odd, f64::MIN_POSITIVE], vec![-0.0, 1.0 / 3.0]],
        );
        let table = table.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        table.write_csv(&path).unwrap();
        let again = FeatureTable::read_csv(&path).unwrap();
        let bits = |t: &FeatureTable| t.values().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!((bits(&again), again.tumors()), (bits(&table), table.tumors()));
        assert!(matches!(FeatureTable::read_csv(folder.path().join("none.csv")), Err(Error::Io { .. })));
    }

    #[test]
    fn bad_files_are_refused_by_line_and_column() {
        for (text, message) in [
            (
                "id,group,patient,a\nt1,liver,p1,nan\n",
                "line 2 ('t1'), column 'a': expected a finite number, found 'nan'",
            ),
            ("id,group,patient,a\nt1,liver,p1,1\nt2,liver,p1,inf\n", "line 3 ('t2')"),
            (
                "id,group,patient,scanner,a\nt1,liver,p1,GE,1\n",
                "column 'scanner': expected a finite number, found 'GE'; columns after",
            ),
            ("id,group,patient,a\nt1,liver,p1,\n", "found nothing"),
            ("id,group,patient,a\nt1,liver,p1\n", "line 2: expected 4 values, as the header, found 3"),
            ("id,group,patient,a\nt1,liver,p1,1\nt1,liver,p1,2\n", "'t1' twice"),
            ("id,organ,patient,a\nt1,liver,p1,1\n", "header: expected id,group,patient"),
            ("id,group,patient\nt1,liver,p1\n", "features: expected at least one"),
            ("id,group,patient,a\n", "tumors: expected at least one"),
            ("", "header"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with("t.csv") && error.contains(message), "{error}: {message}");
        }
        let error = FeatureTable::from_csv(&b"id,group,patient,a\n\xff,x,y,1\n"[..], "t.csv").unwrap_err();
        assert!(error.to_string().contains("UTF-8"), "{error}");
    }
}
