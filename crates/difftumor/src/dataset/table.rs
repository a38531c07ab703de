//! `cases.csv`: one case a line, columns `id`, `ct`, (where they are needed) `labels`, and maybe `patient`, in any order.
use super::{CaseSource, ScanSource, check_id};
use crate::error::{Error, Result};
use crate::objects::{fetch, join};
use std::collections::HashMap;
use std::path::Path;

/// Reads the table; the cases are in its order.
pub(super) fn read(path: &Path) -> Result<Vec<CaseSource>> {
    let rows = rows(path, ["id", "ct", "labels"])?.into_iter();
    let folder = path.parent().unwrap_or(Path::new(""));
    let case = |Row { values: [id, ct, labels], patient }: Row<3>| CaseSource {
        id,
        ct: join(folder, &ct),
        labels: join(folder, &labels),
        patient,
    };
    Ok(rows.map(case).collect())
}

/// The same of a table that need not have labels.
pub(super) fn read_scans(path: &Path) -> Result<Vec<ScanSource>> {
    let rows = rows(path, ["id", "ct"])?.into_iter();
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(rows
        .map(|Row { values: [id, ct], .. }| ScanSource { id, ct: join(folder, &ct), labels: None })
        .collect())
}

/// One line.
struct Row<const N: usize> {
    /// Of the columns that must be there; none is empty.
    values: [String; N],
    /// Of the column `patient`, if there is one and something in it.
    patient: Option<String>,
}

/// The lines of a table with these columns, the first of which is the id.
fn rows<const N: usize>(path: &Path, columns: [&str; N]) -> Result<Vec<Row<N>>> {
    let local = fetch(path)?;
    let file = std::fs::File::open(local.path()).map_err(Error::io(path, "read"))?;
    let hint = format!(
        "the first line must name the columns {}; paths are relative to this file",
        columns.join(", ")
    );
    let bad = |what: String, expected: &str, found: String| Error::format(path, what, expected, found, &hint);
    let broken = |e: csv::Error| bad("table".into(), "comma-separated values in UTF-8", e.to_string());
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let header: Vec<String> = reader.headers().map_err(broken)?.iter().map(plain).collect();
    let place = |column: &str| {
        let mut found = header.iter().enumerate().filter(|(_, name)| *name == column);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => {
                let expected = format!("one column '{column}'");
                Err(bad("header".into(), &expected, format!("several, in {}", header.join(","))))
            }
            (first, _) => Ok(first.map(|(i, _)| i)),
        }
    };
    let mut places = [0; N];
    for (to, column) in places.iter_mut().zip(columns) {
        let none = || {
            bad("header".into(), &format!("one column '{column}'"), format!("none, in {}", header.join(",")))
        };
        *to = place(column)?.ok_or_else(none)?;
    }
    let patient = place("patient")?;
    let mut rows = vec![];
    let mut line_of: HashMap<String, u64> = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        let values = places.map(|i| record[i].to_string());
        let id = &values[0];
        check_id(id).map_err(|found| bad(format!("line {line}: id"), "a name for a folder", found))?;
        if let Some((column, _)) = columns.iter().zip(&values).find(|(_, value)| value.is_empty()) {
            return Err(bad(format!("line {line}: {column}"), "a path", "nothing".into()));
        }
        if let Some(first) = line_of.insert(id.clone(), line) {
            let found = format!("'{id}' again, which line {first} has already");
            return Err(bad(format!("line {line}: id"), "each id once", found));
        }
        let patient = patient.map(|i| record[i].to_string()).filter(|name| !name.is_empty());
        rows.push(Row { values, patient });
    }
    if rows.is_empty() {
        return Err(bad("table".into(), "at least one case", "none".into()));
    }
    Ok(rows)
}

/// Spreadsheets write a byte order mark before the first column.
pub(super) fn plain(name: &str) -> String {
    name.trim_start_matches('\u{feff}').trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<CaseSource>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cases.csv");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|e| e.to_string()).map(|mut cases| {
            for case in &mut cases {
                case.ct = case.ct.strip_prefix(dir.path()).unwrap_or(&case.ct).into();
            }
            cases
        })
    }

    #[test]
    fn columns_may_have_any_order_and_company() {
        let cases =
            read_text("\u{feff}labels, patient ,CT,id\nl/a.nii,40,a.nii,a\n/abs/l,,/abs/b.nii, b c \n")
                .unwrap();
        assert_eq!((cases[0].id.as_str(), cases[0].ct.as_path()), ("a", Path::new("a.nii")));
        assert!(cases[0].labels.ends_with("l/a.nii") && cases[0].labels.is_absolute());
        assert_eq!((cases[1].id.as_str(), cases[1].labels.as_path()), ("b c", Path::new("/abs/l")));
        assert_eq!(cases.iter().map(|c| c.patient.as_deref()).collect::<Vec<_>>(), [Some("40"), None]);
    }

    #[test]
    fn scans_need_no_labels() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scans.csv");
        std::fs::write(&path, "ct,id\na.nii,a\n").unwrap();
        let scans = read_scans(&path).unwrap();
        assert_eq!(scans, [ScanSource { id: "a".into(), ct: dir.path().join("a.nii"), labels: None }]);
        std::fs::write(&path, "id,labels\na,b\n").unwrap();
        assert!(read_scans(&path).unwrap_err().to_string().contains("one column 'ct'"));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, says) in [
            ("id,ct,labels\n", "at least one case"),
            ("", "one column 'id'"),
            ("id,ct\na,b\n", "one column 'labels', found none, in id,ct"),
            ("id,ct,ct,labels\na,b,c,d\n", "found several"),
            ("id,ct,labels,patient,patient\na,b,c,d,e\n", "one column 'patient', found several"),
            (
                "id,ct,labels\na,1,2\nb,1,2\na,1,2\n",
                "line 4: id: expected each id once, found 'a' again, which line 2",
            ),
            ("id,ct,labels\na,1,2\n,1,2\n", "line 3: id"),
            ("id,ct,labels\na/b,1,2\n", "path separator"),
            ("id,ct,labels\na\\b,1,2\n", "path separator"),
            ("id,ct,labels\n..,1,2\n", "'..'"),
            ("id,ct,labels\n.a,1,2\n", "begins with a dot"),
            ("id,ct,labels\na,,2\n", "line 2: ct: expected a path"),
            ("id,ct,labels\na,1\n", "line: 2"),
        ] {
            let error = read_text(text).unwrap_err();
            assert!(error.contains(says) && error.contains("cases.csv"), "{text:?}: {error}");
        }
    }
}
