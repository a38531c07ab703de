//! Whose a case is: scans of one patient, and synthetic copies of them, must not be trained and measured on at the same time.
//!
//! A synthetic case is one with a `record.json` of `difftumor synthesize` beside its scan. Its patient is, by the first of these
//! that is there: the table's column `patient`; the patient of the case that it was made from, which is known by the SHA-256 of its
//! scan, wherever and under whatever name that now lies, or else by its id; the id of that case. A real case's patient is
//! that of the column, or its own id.
use super::{CaseSource, SourceFile, source};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Name of the file beside a scan or labels that this program made, which tells what of.
pub const RECORD: &str = "record.json";

/// Where a case comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Whose it is: equal for all cases of one patient.
    pub patient: String,
    /// Whether its tumors were painted by this program.
    pub synthetic: bool,
}

/// What is needed of a synthetic case's record.
#[derive(Debug, Deserialize)]
struct Made {
    case: String,
    /// Tells it from the record of a segmentation.
    #[serde(rename = "copy")]
    _copy: u64,
    sources: Vec<SourceFile>,
    files: Vec<String>,
}

impl Made {
    /// The record beside a scan, if it tells of that scan. Other programs' files of that name are none.
    fn beside(ct: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(ct.parent()?.join(RECORD)).ok()?;
        let made: Self = serde_json::from_str(&text).ok()?;
        let name = ct.file_name()?.to_str()?;
        made.files.iter().any(|file| file == name).then_some(made)
    }

    fn scan_sha256(&self) -> Option<&str> {
        self.sources.iter().find(|s| s.role == "ct").map(|s| s.sha256.as_str())
    }
}

/// The origin of each case. Scans are hashed only where a synthetic case must be traced; one that cannot be read is no source.
pub fn origins(cases: &[CaseSource]) -> Vec<Origin> {
    let made: Vec<Option<Made>> = cases.iter().map(|c| Made::beside(&c.ct)).collect();
    let traced = cases.iter().zip(&made).any(|(c, m)| m.is_some() && c.patient.is_none());
    let by_hash: BTreeMap<String, usize> = match traced {
        true => cases
            .iter()
            .enumerate()
            .filter_map(|(i, c)| Some((source("ct", &c.ct).ok()?.sha256, i)))
            .collect(),
        false => BTreeMap::new(),
    };
    let by_id: BTreeMap<&str, usize> = cases.iter().enumerate().map(|(i, c)| (c.id.as_str(), i)).collect();
    let patient = |start: usize| -> String {
        // A copy of a copy of …: each step goes to another case, so that a circle of records ends too.
        let (mut at, mut seen) = (start, BTreeSet::from([start]));
        loop {
            let case = &cases[at];
            if let Some(patient) = &case.patient {
                return patient.clone();
            }
            let Some(made) = &made[at] else { return case.id.clone() };
            let source = made.scan_sha256().and_then(|hash| by_hash.get(hash));
            match source.or_else(|| by_id.get(made.case.as_str())) {
                Some(next) if seen.insert(*next) => at = *next,
                _ => return made.case.clone(),
            }
        }
    };
    (0..cases.len()).map(|i| Origin { patient: patient(i), synthetic: made[i].is_some() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::sha256_file;
    use std::path::PathBuf;

    fn scan(dir: &Path, name: &str, content: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn case(id: &str, ct: PathBuf, patient: Option<&str>) -> CaseSource {
        CaseSource { id: id.into(), labels: ct.clone(), ct, patient: patient.map(String::from) }
    }

    /// A synthetic scan of `case`, whose own scan had this hash.
    fn copy(dir: &Path, id: &str, of: &str, sha256: &str) -> CaseSource {
        let ct = scan(dir, &format!("{id}/ct.nii.gz"), id);
        let record = serde_json::json!({
            "case": of, "copy": 1, "files": ["ct.nii.gz"],
            "sources": [{"role": "ct", "file": "x.nii.gz", "sha256": sha256}],
        });
        scan(dir, &format!("{id}/record.json"), &record.to_string());
        case(id, ct, None)
    }

    #[test]
    fn copies_belong_to_the_patient_that_they_were_made_of() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let first = case("a", scan(dir, "a.nii.gz", "scan a"), None);
        let named = case("b", scan(dir, "b.nii.gz", "scan b"), Some("Mrs B"));
        let (of_first, of_named) = (sha256_file(&first.ct).unwrap(), sha256_file(&named.ct).unwrap());
        // Its source has another name now, which the hash tells; another's source is gone, but its id is there.
        let by_hash = copy(dir, "c", "old_name_of_b", &of_named);
        let by_id = copy(dir, "d", "a", "0");
        let again = copy(dir, "e", "c", &sha256_file(&by_hash.ct).unwrap());
        let elsewhere = copy(dir, "f", "not_in_the_table", "1");
        let both = copy(dir, "g", "b", &of_first);
        let mut said = copy(dir, "h", "a", "0");
        said.patient = Some("somebody".into());
        let found = origins(&[first, named, by_hash, by_id, again, elsewhere, both, said]);
        let patients: Vec<(&str, bool)> = found.iter().map(|o| (o.patient.as_str(), o.synthetic)).collect();
        let expected = [
            ("a", false),
            ("Mrs B", false),
            ("Mrs B", true),
            ("a", true),
            ("Mrs B", true),
            ("not_in_the_table", true),
            ("a", true), // the hash is surer than the name
            ("somebody", true),
        ];
        assert_eq!(patients, expected);
    }

    #[test]
    fn other_records_and_circles_are_harmless() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let segmented = case("a", scan(dir, "a/ct.nii.gz", "a"), None);
        scan(dir, "a/record.json", r#"{"case": "z", "files": ["labels.nii.gz"], "sources": []}"#);
        let other = case("b", scan(dir, "b/ct.nii.gz", "b"), None);
        scan(dir, "b/record.json", "[1, 2");
        let gone = case("c", dir.join("gone.nii.gz"), None);
        let circle = [copy(dir, "d", "e", "0"), copy(dir, "e", "d", "0")];
        let found = origins(&[&[segmented, other, gone][..], &circle].concat());
        assert_eq!(found.iter().map(|o| o.synthetic).collect::<Vec<_>>(), [false, false, false, true, true]);
        assert_eq!(found[..3].iter().map(|o| o.patient.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
