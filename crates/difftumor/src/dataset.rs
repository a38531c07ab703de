//! Which cases are there, and one of them in memory: from paths to [`Case`].
//!
//! A dataset is one scan with its labels, a table (`cases.csv`), or two folders whose files belong together by name. Where
//! labels are not needed: [`Scans`].
//!
//! Paper: none; section 3.3 takes healthy scans with an organ mask each as given.
use crate::error::{Error, Result};
use crate::objects::Local;
use crate::run::{sha256, sha256_file};
use crate::synthesis::Case;
use difftumor_ct::io::dicom::{Series, SeriesPath};
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::label::OrganSpec;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

mod folders;
pub mod layouts;
pub mod lists;
pub mod metadata;
pub mod patients;
mod scans;
pub mod splits;
mod table;

pub use scans::{ScanSource, Scans};

/// Where a case's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseSource {
    /// Names the case in output folders, records and the random streams.
    pub id: String,
    /// The scan: `.nii`, `.nii.gz`, or a DICOM series ([`difftumor_ct::io::read_scan`]); a path of this machine or an object
    /// store's address ([`crate::objects`]), as all paths of a dataset.
    pub ct: PathBuf,
    /// A label file, or a folder with one mask an organ.
    pub labels: PathBuf,
    /// Whose it is, where the table says so ([`patients`]).
    pub patient: Option<String>,
}

/// The cases to work on.
#[derive(Debug, Default)]
pub struct Dataset {
    /// Those with a scan and labels, sorted by id. Ids are unique.
    pub cases: Vec<CaseSource>,
    /// Ids of cases that lack one of the two, with what is wrong.
    pub unusable: Vec<(String, Error)>,
    /// Whether it was given as one scan, and not as a table or folder that may hold any number.
    pub single: bool,
}

/// A file, or a DICOM series, that a case was read from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceFile {
    /// `ct` or `labels`.
    pub role: String,
    /// The file's or the series' folder's name, without what it lies in: datasets move.
    pub file: String,
    /// SHA-256 of its bytes, in hexadecimal; of a DICOM series, of a line `UID sha256` for each of its files, sorted by UID.
    pub sha256: String,
}

/// A case in memory.
#[derive(Debug)]
pub struct LoadedCase {
    /// The scan as it is stored.
    pub image: NiftiImage,
    /// The same in HU, with its organs.
    pub case: Case,
    /// The files it came from.
    pub sources: Vec<SourceFile>,
    /// What looks wrong but is possible.
    pub warnings: Vec<String>,
    /// Where the scan lies on this machine, as long as this is held.
    pub scan: Local,
}

impl Dataset {
    /// One scan with its labels. Its id is the scan's file name without extension.
    ///
    /// # Errors
    /// When the file's name cannot name a case.
    pub fn single(ct: &Path, labels: &Path) -> Result<Self> {
        let case = CaseSource { id: scans::id_of(ct)?, ct: ct.into(), labels: labels.into(), patient: None };
        Ok(Self { cases: vec![case], single: true, ..Self::default() })
    }

    /// A table with the columns `id`, `ct` and `labels`, and maybe `patient`; others are ignored. Paths are relative to the table's folder.
    ///
    /// # Errors
    /// When it cannot be read, lacks a column, or an id is empty, doubled or no name for a folder (with its line).
    pub fn table(path: &Path) -> Result<Self> {
        Ok(Self::sorted(table::read(path)?, vec![]))
    }

    /// A folder of scans (files, and folders of a DICOM series each), and one of label files (or of folders of masks) with the same names. nnU-Net's `_0000` at the
    /// end of a scan's name does not count.
    ///
    /// # Errors
    /// When a folder cannot be read or holds no scan. A scan without labels, labels without a scan, and two files of
    /// one name are not errors here but unusable cases.
    pub fn folders(ct: &Path, labels: &Path) -> Result<Self> {
        let (cases, unusable) = folders::pair(ct, labels)?;
        Ok(Self::sorted(cases, unusable))
    }

    /// The scans of a folder, sorted by name.
    ///
    /// # Errors
    /// When it cannot be read or holds no scan.
    pub fn scans(folder: &Path) -> Result<Vec<PathBuf>> {
        folders::scans(folder)
    }

    fn sorted(mut cases: Vec<CaseSource>, unusable: Vec<(String, Error)>) -> Self {
        cases.sort_by(|a, b| a.id.cmp(&b.id));
        Self { cases, unusable, single: false }
    }
}

impl CaseSource {
    /// Reads the scan and its organs.
    ///
    /// # Errors
    /// When a file is unreadable or damaged, the scan has voxels that are not finite, an organ is not there, is empty or
    /// could be more than one thing, or the labels lie on another grid.
    pub fn load(&self, organs: &[OrganSpec]) -> Result<LoadedCase> {
        ScanSource::from(self.clone()).load(organs)
    }

    /// The files of `sources`, as they are now: what [`CaseSource::load`] would find if the same files were chosen.
    ///
    /// # Errors
    /// When one is gone or cannot be read.
    pub fn hash_again(&self, sources: &[SourceFile]) -> Result<Vec<SourceFile>> {
        ScanSource::from(self.clone()).hash_again(sources)
    }
}

fn source(role: &str, path: &Path) -> Result<SourceFile> {
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let sha256 = match SeriesPath::of(path) {
        Some(series) => series_sha256(&series)?,
        None => sha256_file(path)?,
    };
    Ok(SourceFile { role: role.into(), file, sha256 })
}

/// The hash of a DICOM series: SHA-256 of the lines `UID HASH` of its slices, sorted by SOP instance UID, where HASH is the SHA-256 of
/// the slice's file in hexadecimal. Files' names do not count, nor do files that are no slices of the series.
fn series_sha256(series: &SeriesPath) -> Result<String> {
    let mut lines = String::new();
    for (uid, file) in Series::files(series)? {
        lines += &format!("{uid} {}\n", sha256_file(&file)?);
    }
    Ok(sha256(lines.as_bytes()))
}

/// An id names a folder, and nothing outside of the output folder.
fn check_id(id: &str) -> Result<(), String> {
    let problem = match id {
        "" => "an empty one",
        _ if id.contains(['/', '\\']) => "one with a path separator",
        _ if id.contains("..") => "one with '..'",
        _ if id.starts_with('.') => "one that begins with a dot",
        _ if id.chars().any(char::is_control) => "one with a control character",
        _ => return Ok(()),
    };
    Err(format!("{problem} ({id:?})"))
}

fn argument(what: &str, expected: &str, found: &str) -> Error {
    difftumor_ct::Error::Argument { what: what.into(), expected: expected.into(), found: found.into() }.into()
}
