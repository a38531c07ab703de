//! Datasets with a folder for each case.
use super::super::patients::RECORD;
use super::{Parts, entries};
use crate::error::Result;
use std::path::{Path, PathBuf};

/// Inside of a case's folder.
struct Inside {
    ct: &'static str,
    labels: &'static str,
    /// What must be there too.
    also: Option<&'static str>,
    organ: Option<&'static str>,
}

const KITS: Inside = Inside {
    ct: "imaging.nii.gz",
    labels: "segmentation.nii.gz",
    also: None,
    organ: Some("kidney=1:tumor=2:cyst=3"),
};
const MASKS: Inside = Inside { ct: "ct.nii.gz", labels: "segmentations", also: None, organ: None };
const OUTPUTS: Inside = Inside { ct: "ct.nii.gz", labels: "labels.nii.gz", also: Some(RECORD), organ: None };

pub(super) fn kits(folder: &Path) -> Result<Option<Parts>> {
    KITS.read(folder)
}

pub(super) fn masks(folder: &Path) -> Result<Option<Parts>> {
    MASKS.read(folder)
}

pub(super) fn outputs(folder: &Path) -> Result<Option<Parts>> {
    OUTPUTS.read(folder)
}

impl Inside {
    /// The folders that hold a scan of this name; `None` when none of them has labels, too.
    fn read(&self, folder: &Path) -> Result<Option<Parts>> {
        let mut cases: Vec<(String, PathBuf, Option<PathBuf>)> = vec![];
        for case in entries(folder)? {
            let ct = case.join(self.ct);
            if ct.is_file() && self.also.is_none_or(|file| case.join(file).is_file()) {
                let id = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let labels = case.join(self.labels);
                cases.push((id, ct, labels.exists().then_some(labels)));
            }
        }
        let fits = cases.iter().any(|(_, _, labels)| labels.is_some());
        let organ = self.organ.map(String::from);
        Ok(fits.then(|| Parts { cases, organ, ..Parts::default() }))
    }
}
