//! Where a series is: `FOLDER`, or `FOLDER#SERIES-UID` where a folder holds several.
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Between folder and UID. Shells take it as it is inside of a word.
const SEPARATOR: char = '#';

/// Bytes before the letters "DICM".
pub(super) const PREAMBLE_BYTES: usize = 128;
pub(super) const MAGIC: &[u8] = b"DICM";

/// A folder, and which of its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesPath {
    path: PathBuf,
    folder: PathBuf,
    series_uid: Option<String>,
}

impl SeriesPath {
    /// A path that is a folder, or a folder with `#` and a series' UID behind it; `None` for any other, such as a file.
    pub fn of(path: &Path) -> Option<Self> {
        if path.is_dir() {
            return Some(Self { path: path.into(), folder: path.into(), series_uid: None });
        }
        let (folder, uid) = path.to_str()?.rsplit_once(SEPARATOR)?;
        let is_uid = !uid.is_empty() && uid.chars().all(|c| c.is_ascii_digit() || c == '.');
        (is_uid && !path.exists() && Path::new(folder).is_dir()).then(|| Self {
            path: path.into(),
            folder: folder.into(),
            series_uid: Some(uid.into()),
        })
    }

    /// As it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that holds the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The series' UID, if one was named.
    pub fn series_uid(&self) -> Option<&str> {
        self.series_uid.as_deref()
    }
}

/// Whether `folder` holds a DICOM file and no NIfTI file.
pub fn is_series(folder: &Path) -> bool {
    let files = files(folder).unwrap_or_default();
    let is_nifti = |path: &PathBuf| {
        let name = path.to_string_lossy().to_lowercase();
        name.ends_with(".nii") || name.ends_with(".nii.gz")
    };
    !files.iter().any(is_nifti) && files.iter().any(|path| has_magic(path).unwrap_or(false))
}

/// The folder's files, sorted by name; hidden ones and folders do not count.
pub(super) fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = vec![];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with('.') && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file says of itself that it is DICOM.
pub(super) fn has_magic(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::with_capacity(PREAMBLE_BYTES + MAGIC.len());
    File::open(path)?.take((PREAMBLE_BYTES + MAGIC.len()) as u64).read_to_end(&mut head)?;
    Ok(head.get(PREAMBLE_BYTES..) == Some(MAGIC))
}
