//! Object stores: `s3://BUCKET/KEY`, `gs://BUCKET/KEY` and `az://CONTAINER/KEY` in place of paths, wherever `synthesize`, `segment` and
//! `evaluate` read or write.
//!
//! What is read is copied to a folder of its own in the system's temporary folder (`TMPDIR`) and goes with the value that holds it,
//! so at any time there are only the scans that are worked on. What is written is made in such a folder and uploaded when it is whole.
//! A folder is all objects below a key. Credentials and endpoints come from the environment, as the stores' own programs take them
//! (docs/scale.md).
mod copy;
mod store;
mod transfer;

pub use copy::{Local, fetch};
pub(crate) use transfer::{delete, delete_below, names_below, put, upload_folder};

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use store::Place;

const SCHEMES: [&str; 3] = ["s3://", "gs://", "az://"];
/// Names that are one file's; any other may be a folder's.
const FILES: [&str; 8] = [".nii.gz", ".nii", ".nrrd", ".nhdr", ".dcm", ".csv", ".json", ".toml"];

/// What lies directly in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The folder's path and the entry's name.
    pub path: PathBuf,
    /// Whether it is a folder too.
    pub is_folder: bool,
}

/// Whether a path is an object store's and not of this machine.
pub fn is_url(path: &Path) -> bool {
    path.to_str().is_some_and(|text| SCHEMES.iter().any(|scheme| text.starts_with(scheme)))
}

/// `name` in `folder`, unless it is itself the address of an object or an absolute path.
pub fn join(folder: &Path, name: &str) -> PathBuf {
    if is_url(Path::new(name)) { name.into() } else { folder.join(name) }
}

/// Whether a path is that of a file, which is there, on this machine or in a store.
///
/// # Errors
/// When a store cannot be asked.
pub fn is_file(path: &Path) -> Result<bool> {
    if is_url(path) { store::exists(&Place::of(path)?) } else { Ok(path.is_file()) }
}

/// Whether a path may be that of a folder: on this machine it is one, in a store its name is none of a file.
pub fn is_folder(path: &Path) -> bool {
    if is_url(path) { !has_file_name(path) } else { path.is_dir() }
}

/// What lies directly in a folder, by name. A folder of a store that holds nothing is none.
///
/// # Errors
/// When the folder is not there or cannot be read.
pub fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let mut entries = vec![];
    if is_url(folder) {
        entries = store::entries(&Place::of(folder)?)?;
        if entries.is_empty() {
            return Err(store::not_found(folder));
        }
    } else {
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder, "read"))? {
            let path = entry.map_err(Error::io(folder, "read"))?.path();
            entries.push(Entry { is_folder: path.is_dir(), path });
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// Whether a path is taken for one scan, and not for a folder that may hold several: on this machine as
/// [`difftumor_ct::io::is_one_scan`]; in a store a file, or a folder with files none of which is itself a scan, and without folders.
///
/// # Errors
/// When a store cannot be asked.
pub fn is_one_scan(path: &Path) -> Result<bool> {
    if !is_url(path) {
        return Ok(difftumor_ct::io::is_one_scan(path));
    }
    if has_file_name(path) {
        return Ok(true);
    }
    // A folder that is not there is told when it is read, as one scan of many.
    let entries = store::entries(&Place::of(path)?)?;
    Ok(entries.iter().all(|entry| !entry.is_folder && !is_image(&entry.path)))
}

/// Whether a folder is taken for a DICOM series.
///
/// # Errors
/// When a store cannot be asked.
pub(crate) fn is_series(folder: &Path) -> Result<bool> {
    if is_url(folder) { is_one_scan(folder) } else { Ok(difftumor_ct::io::dicom::is_series(folder)) }
}

fn has_file_name(path: &Path) -> bool {
    ends_with_any(path, &FILES)
}

fn is_image(path: &Path) -> bool {
    ends_with_any(path, &FILES[..4])
}

fn ends_with_any(path: &Path, endings: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_paths() {
        for (text, expected) in [
            ("s3://bucket/a.nii.gz", true),
            ("gs://b", true),
            ("az://container/x", true),
            ("https://host/a", false),
            ("/s3://a", false),
            ("s3/a.nii", false),
        ] {
            assert_eq!(is_url(Path::new(text)), expected, "{text}");
        }
    }

    #[test]
    fn names_in_a_table_may_be_addresses_themselves() {
        let folder = Path::new("s3://bucket/data");
        assert_eq!(join(folder, "ct/a.nii.gz"), Path::new("s3://bucket/data/ct/a.nii.gz"));
        assert_eq!(join(folder, "gs://other/a.nii"), Path::new("gs://other/a.nii"));
        assert_eq!(join(Path::new("/data"), "s3://b/a.nii").to_str(), Some("s3://b/a.nii"));
        assert_eq!(join(folder, "/local/a.nii"), Path::new("/local/a.nii"));
    }

    #[test]
    fn addresses_without_a_bucket_or_with_odd_names_are_refused() {
        for (text, says) in [
            ("s3:///a", "BUCKET"),
            ("gs://", "BUCKET"),
            ("s3://bucket/a/../b", "'..'"),
            ("s3://bucket/a//b", "empty"),
        ] {
            let error = is_file(Path::new(text)).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(text), "{text}: {error}");
        }
    }
}
