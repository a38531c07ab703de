//! Which file is the prediction of which case.
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::objects::{self, Entry};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What `difftumor segment` calls its labels.
const LABELS: &str = "labels.nii.gz";
/// What it calls the probability of tumor.
const PROBABILITY: &str = "tumor_probability.nii.gz";

/// A folder of predictions.
pub(super) struct Predictions {
    folder: PathBuf,
    /// Whether there is one case, whose labels may lie right in the folder.
    single: bool,
    /// Names of predictions that belong to no case, sorted.
    pub(super) without_case: Vec<String>,
}

impl Predictions {
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn new(folder: &Path, dataset: &Dataset) -> Result<Self> {
        let unusable = dataset.unusable.iter().map(|(id, _)| id.as_str());
        let ids: BTreeSet<&str> = dataset.cases.iter().map(|case| case.id.as_str()).chain(unusable).collect();
        let single = ids.len() == 1;
        let mut without_case = BTreeSet::new();
        for entry in objects::entries(folder)? {
            if let Some(id) = id_of(&entry)?
                && !ids.contains(id.as_str())
                && !(single && entry.path.ends_with(LABELS))
            {
                without_case.insert(id);
            }
        }
        Ok(Self { folder: folder.into(), single, without_case: without_case.into_iter().collect() })
    }

    /// The prediction of a case.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(super) fn of(&self, id: &str) -> Result<PathBuf> {
        let mut names = vec![format!("{id}/{LABELS}"), format!("{id}.nii.gz"), format!("{id}.nii")];
        // The only case may be called `labels`, too.
        if self.single && id != "labels" {
            names.push(LABELS.into());
        }
        self.one_of(id, "prediction", &names, "segment this case too, or leave it out of the table")
    }

    /// The map of a case's probability of tumor.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(super) fn probability_of(&self, id: &str) -> Result<PathBuf> {
        let mut names = vec![format!("{id}/{PROBABILITY}"), format!("{id}_{PROBABILITY}")];
        if self.single {
            names.push(PROBABILITY.into());
        }
        self.one_of(id, "probability of tumor", &names, "write it with `segment --probabilities`")
    }

    fn one_of(&self, id: &str, what: &str, names: &[String], missing: &str) -> Result<PathBuf> {
        let mut found = vec![];
        for name in names {
            if objects::is_file(&self.folder.join(name))? {
                found.push(name.as_str());
            }
        }
        let problem = |found: &str, hint: &str| {
            let expected = format!("one of {}", names.join(", "));
            Err(Error::format(&self.folder, format!("{what} of '{id}'"), expected, found, hint))
        };
        match found[..] {
            [name] => Ok(self.folder.join(name)),
            [] => problem("none", missing),
            _ => problem(&found.join(" and "), "remove what is not meant"),
        }
    }
}

/// The id of a folder with labels, or of a label file; `None` for anything else.
fn id_of(entry: &Entry) -> Result<Option<String>> {
    let name = entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.ends_with(PROBABILITY) {
        return Ok(None);
    }
    let stem = match entry.is_folder {
        true => objects::is_file(&entry.path.join(LABELS))?.then_some(name.as_str()),
        false => [".nii.gz", ".nii"].into_iter().find_map(|extension| name.strip_suffix(extension)),
    };
    Ok(stem.filter(|stem| !stem.starts_with('.')).map(String::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::CaseSource;

    /// Predictions of these ids, in a folder with these files.
    fn predictions(dir: &Path, ids: &[&str], files: &[&str]) -> Predictions {
        for file in files {
            let path = dir.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let case =
            |id: &&str| CaseSource { id: (*id).into(), ct: "".into(), labels: "".into(), patient: None };
        Predictions::new(dir, &Dataset { cases: ids.iter().map(case).collect(), ..Dataset::default() })
            .unwrap()
    }

    #[test]
    fn every_place_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a/labels.nii.gz", "b.nii.gz", "c.nii", "d.nii", "d.nii.gz", "x.nii", "y/labels.nii.gz"];
        let found = predictions(dir.path(), &["a", "b", "c", "d", "e"], &files);
        for (id, file) in [("a", "a/labels.nii.gz"), ("b", "b.nii.gz"), ("c", "c.nii")] {
            assert_eq!(found.of(id).unwrap(), dir.path().join(file));
        }
        let two = found.of("d").unwrap_err().to_string();
        assert!(two.contains("found d.nii.gz and d.nii;"), "{two}");
        let none = found.of("e").unwrap_err().to_string();
        assert!(none.contains("'e': expected one of e/labels.nii.gz, e.nii.gz, e.nii, found none"), "{none}");
        assert_eq!(found.without_case, ["x", "y"]);
    }

    #[test]
    fn the_only_case_may_lie_in_the_folder_itself() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["labels.nii.gz", "record.json", ".hidden.nii", "notes/labels.txt"];
        let found = predictions(dir.path(), &["a"], &files);
        assert_eq!(found.of("a").unwrap(), dir.path().join("labels.nii.gz"));
        assert!(found.without_case.is_empty());
        let found = predictions(dir.path(), &["a", "b"], &files);
        assert!(found.of("a").is_err());
        assert_eq!(found.without_case, ["labels"]);
        assert_eq!(
            predictions(dir.path(), &["labels"], &files).of("labels").unwrap(),
            dir.path().join("labels.nii.gz")
        );
    }
}
