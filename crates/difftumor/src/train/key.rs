//! What a prepared scan is recognised by: its files as they are now, and how it is prepared.
use crate::error::{Error, Result};
use difftumor_ct::io::dicom::SeriesPath;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// SHA-256 of everything that the scan follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) [u8; 32]);

/// What a scan is made from.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// Every setting that its preparation depends on, in words.
    pub how: String,
    /// Its files, and folders whose files it may be made from.
    pub files: Vec<&'a Path>,
}

impl Key {
    /// Files are told apart by path, size and time of their last change. To hash what is in them would mean to read a dataset
    /// at each start that the cache is there to spare.
    ///
    /// # Errors
    /// When a file is not there.
    pub(super) fn of(inputs: &Inputs<'_>) -> Result<Self> {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        add(env!("CARGO_PKG_VERSION"));
        add(&inputs.how);
        for path in &inputs.files {
            // One of the DICOM series of a folder: all files count, for the folder's headers say which are its slices.
            let series = SeriesPath::of(path);
            let path = series.as_ref().map_or(*path, |s| s.folder());
            if let Some(uid) = series.as_ref().and_then(|s| s.series_uid()) {
                add(uid);
            }
            let failed = |e| Error::io(path, "read")(e);
            add(&fs::canonicalize(path).map_err(failed)?.to_string_lossy());
            if path.is_dir() {
                let entries = fs::read_dir(path).map_err(Error::io(path, "read"))?;
                let mut files = entries
                    .map(|entry| entry.map(|e| e.path()))
                    .collect::<std::io::Result<Vec<_>>>()
                    .map_err(Error::io(path, "read"))?;
                files.sort();
                for file in files {
                    add(&file.to_string_lossy());
                    // Links that lead nowhere are for the reader of labels to tell.
                    add(&state(&file).unwrap_or_default());
                }
            } else {
                add(&state(path)?);
            }
        }
        Ok(Self(hash.finalize().into()))
    }

    /// In hexadecimal.
    pub(super) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Size and time of the last change.
fn state(file: &Path) -> Result<String> {
    let found = fs::metadata(file).map_err(Error::io(file, "read"))?;
    let changed = found.modified().map_err(Error::io(file, "read"))?;
    let changed = changed.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    Ok(format!("{} bytes, {changed} ns", found.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_key_follows_files_and_settings() {
        let dir = tempfile::tempdir().unwrap();
        let (ct, masks) = (dir.path().join("ct.nii"), dir.path().join("masks"));
        fs::create_dir(&masks).unwrap();
        let set = |path: &Path, text: &str, age_s: u64| {
            fs::write(path, text).unwrap();
            let time = SystemTime::now() - Duration::from_secs(age_s);
            File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        };
        set(&ct, "abc", 50);
        set(&masks.join("liver.nii"), "x", 50);
        let key = |how: &str| Key::of(&Inputs { how: how.into(), files: vec![&ct, &masks] }).unwrap();
        let first = key("1 mm");
        assert_eq!((key("1 mm"), first.hex().len()), (first, 64));
        assert_ne!(key("2 mm"), first);
        let mut seen = vec![first];
        for change in [
            &|| set(&ct, "abcd", 50) as (),
            &|| set(&ct, "abcd", 40),
            &|| set(&masks.join("liver.nii"), "y", 30),
            &|| set(&masks.join("tumor.nii"), "x", 50),
        ] as [&dyn Fn(); 4]
        {
            change();
            let now = key("1 mm");
            assert!(!seen.contains(&now));
            seen.push(now);
        }
        fs::remove_file(&ct).unwrap();
        let gone = Key::of(&Inputs { how: String::new(), files: vec![&ct] });
        assert!(gone.unwrap_err().to_string().contains("ct.nii"));
    }
}
