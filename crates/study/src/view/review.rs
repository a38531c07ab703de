//! Verdicts on synthesized cases: `review.json` in the dataset's folder, read by `synthesize --accepted`.
//!
//! A verdict holds for the record it was given on (by SHA-256): a case that is synthesized anew has to be reviewed anew.
//! Whole after every verdict: written beside and renamed. Two viewers on one dataset see each other's verdicts.
use super::lock::Lock;
use crate::bounded;
use crate::error::Result;
use crate::problem::file;
use difftumor_ct::io::write_atomically;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// What `format` says.
pub const FORMAT: &str = "difftumor review 1";

/// The file's name.
pub const FILE: &str = "review.json";

/// Longest note, in characters.
pub const LONGEST_NOTE: usize = 2000;

/// Longest `review.json`, in bytes: ten thousand cases with notes of 2000 characters.
const LONGEST_FILE: u64 = 64 << 20;

/// A dataset's verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// [`FORMAT`].
    pub format: String,
    /// By the name of the case's folder.
    pub cases: BTreeMap<String, Reviewed>,
}

/// A verdict on one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reviewed {
    /// Whether it may be used.
    pub verdict: Verdict,
    /// Why; may be empty.
    pub note: String,
    /// SHA-256 of the `record.json` that the verdict is on.
    pub record_sha256: String,
    /// When it was given.
    pub at_unix_ms: u64,
}

/// Whether a case may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may.
    Accepted,
    /// It may not.
    Rejected,
}

/// What a review says of a case as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// There is no verdict.
    Open,
    /// The verdict is on a record that is no longer there.
    Outdated,
    /// Accepted.
    Accepted,
    /// Rejected.
    Rejected,
}

impl Default for Review {
    /// No verdicts.
    fn default() -> Self {
        Self { format: FORMAT.into(), cases: BTreeMap::new() }
    }
}

impl Review {
    /// What is said of the case in the folder of this name, whose `record.json` has this SHA-256.
    pub fn state(&self, case: &str, record_sha256: &str) -> State {
        match self.cases.get(case) {
            None => State::Open,
            Some(reviewed) if reviewed.record_sha256 != record_sha256 => State::Outdated,
            Some(Reviewed { verdict: Verdict::Accepted, .. }) => State::Accepted,
            Some(Reviewed { verdict: Verdict::Rejected, .. }) => State::Rejected,
        }
    }
}

/// The review of a dataset's folder; one without verdicts where there is no file yet.
///
/// # Errors
/// [`Error::File`](crate::Error::File) when the file cannot be read or is no review.
pub fn read(folder: &Path) -> Result<Review> {
    let path = folder.join(FILE);
    let hint = "put back the file that the viewer wrote, or move it away and review anew";
    let bytes = match bounded::read(&path, LONGEST_FILE) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Review::default()),
        Err(error) => return Err(file(&path, error, hint)),
        Ok(bytes) => bytes,
    };
    let review: Review = serde_json::from_slice(&bytes)
        .map_err(|e| file(&path, format!("expected '{FORMAT}', found: {e}"), hint))?;
    if review.format != FORMAT {
        return Err(file(&path, format!("expected '{FORMAT}', found '{}'", review.format), hint));
    }
    Ok(review)
}

/// Adds or replaces the verdict on one case; the others stay as the file has them now. Other viewers wait meanwhile.
pub(super) fn put(folder: &Path, case: &str, reviewed: Reviewed) -> Result<()> {
    let _lock = Lock::take(folder)?;
    let mut review = read(folder)?;
    review.cases.insert(case.into(), reviewed);
    let mut text = serde_json::to_vec_pretty(&review).expect("texts and numbers");
    text.push(b'\n');
    if text.len() as u64 > LONGEST_FILE {
        let problem = format!("expected at most {LONGEST_FILE} bytes, would have {}", text.len());
        return Err(file(&folder.join(FILE), problem, "write shorter notes, or divide the dataset"));
    }
    Ok(write_atomically(&folder.join(FILE), |file| file.write_all(&text))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reviewed(verdict: Verdict) -> Reviewed {
        Reviewed { verdict, note: "ein \"Ödem\"\n?".into(), record_sha256: "ab".into(), at_unix_ms: 1 }
    }

    #[test]
    fn verdicts_are_reread_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), Review::default());
        put(folder.path(), "a", reviewed(Verdict::Accepted)).unwrap();
        put(folder.path(), "b", reviewed(Verdict::Rejected)).unwrap();
        let review = read(folder.path()).unwrap();
        assert_eq!(review.cases["a"], reviewed(Verdict::Accepted));
        let states =
            [("a", "ab"), ("a", "cd"), ("b", "ab"), ("c", "ab")].map(|(c, sha)| review.state(c, sha));
        assert_eq!(states, [State::Accepted, State::Outdated, State::Rejected, State::Open]);
        put(folder.path(), "a", reviewed(Verdict::Rejected)).unwrap();
        assert_eq!(read(folder.path()).unwrap().state("a", "ab"), State::Rejected);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_no_review_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        for bad in [
            "",
            "{",
            r#"{"format": "difftumor review 2", "cases": {}}"#,
            r#"{"format": "difftumor review 1"}"#,
        ] {
            std::fs::write(&path, bad).unwrap();
            let said = read(folder.path()).unwrap_err().to_string();
            assert!(said.contains("review.json") && said.contains("difftumor review 1"), "{said}");
            assert!(put(folder.path(), "a", reviewed(Verdict::Accepted)).is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), bad);
        }
    }
}
