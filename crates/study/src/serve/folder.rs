//! The study's folder as the server holds it: checked when opened, and found unchanged at every request.
use super::check::{check_readers, check_study, hex};
use crate::bounded;
use crate::error::{Error, Result};
use crate::format::{FORMAT, Readers, Study};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Longest `study.json` or `readers.json`, in bytes: more than a hundred thousand items.
const LONGEST_JSON: u64 = 32 << 20;

/// Largest volume, in bytes: 100 times a crop of 96³ voxels.
const LARGEST_VOLUME: u64 = 512 << 20;

/// The server's lock. Nothing is written to it.
const LOCK: &str = ".lock";

/// An open study. No second server can open it while this one lives.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    pub(super) study: Study,
    pub(super) readers: Readers,
    /// SHA-256 of `study.json`, in hexadecimal.
    pub(super) study_sha256: String,
    readers_sha256: String,
    /// Index into `study.items`.
    by_id: BTreeMap<String, usize>,
    /// Held for as long as the server runs; the system frees it however the server ends.
    _lock: File,
}

impl Folder {
    /// Reads and checks everything: formats, ids, orders, and each volume's SHA-256.
    ///
    /// # Errors
    /// [`Error::File`] that names the file, what was expected, what was found and what to do.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let lock = lock(root)?;
        let (study, study_sha256): (Study, _) = read_json(&root.join("study.json"))?;
        let (readers, readers_sha256): (Readers, _) = read_json(&root.join("readers.json"))?;
        check_study(&study).map_err(|problem| remade(&root.join("study.json"), &problem))?;
        check_readers(&readers, &study).map_err(|problem| remade(&root.join("readers.json"), &problem))?;
        let by_id = study.items.iter().enumerate().map(|(i, item)| (item.id.clone(), i)).collect();
        let folder =
            Self { root: root.into(), study, readers, study_sha256, readers_sha256, by_id, _lock: lock };
        for item in &folder.study.items {
            folder.volume(&item.id)?;
        }
        Ok(folder)
    }

    /// Whether the study has an item with this id.
    pub(super) fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// That `study.json` and `readers.json` are those that were opened.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        for (name, sha256) in [("study.json", &self.study_sha256), ("readers.json", &self.readers_sha256)] {
            let path = self.root.join(name);
            let found = hex(&Sha256::digest(read(&path, LONGEST_JSON)?));
            if found != *sha256 {
                return Err(changed(&path, sha256, &found));
            }
        }
        Ok(())
    }

    /// The bytes of an item's volume, which are those that `study.json` tells.
    ///
    /// # Panics
    /// When the study has no such item.
    pub(super) fn volume(&self, id: &str) -> Result<Vec<u8>> {
        let item = &self.study.items[self.by_id[id]];
        let path = self.root.join("volumes").join(format!("{}.nii.gz", item.id));
        let bytes = read(&path, LARGEST_VOLUME)?;
        let found = hex(&Sha256::digest(&bytes));
        if found != item.sha256 {
            return Err(changed(&path, &item.sha256, &found));
        }
        Ok(bytes)
    }
}

fn lock(root: &Path) -> Result<File> {
    let path = root.join(LOCK);
    if !root.is_dir() {
        return Err(error(
            root,
            "expected the folder of a study, found none".into(),
            "give the folder that holds study.json",
        ));
    }
    let open = File::options().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(|e| {
        error(&path, format!("cannot be made: {e}"), "let the server write into the study's folder")
    })?;
    file.try_lock().map_err(|e| match e {
        std::fs::TryLockError::WouldBlock => {
            error(root, "another server has this study".into(), "use that one, or end it first")
        }
        std::fs::TryLockError::Error(e) => {
            error(&path, format!("cannot be locked: {e}"), "move the study to a disk that can lock files")
        }
    })?;
    Ok(file)
}

fn read(path: &Path, at_most: u64) -> Result<Vec<u8>> {
    bounded::read(path, at_most)
        .map_err(|e| remade(path, &format!("expected a file of the study, found: {e}")))
}

/// The value and the SHA-256 of its file.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<(T, String)> {
    let bytes = read(path, LONGEST_JSON)?;
    let value = serde_json::from_slice(&bytes)
        .map_err(|e| remade(path, &format!("expected '{FORMAT}', found: {e}")))?;
    Ok((value, hex(&Sha256::digest(&bytes))))
}

fn changed(path: &Path, expected: &str, found: &str) -> Error {
    let problem = format!("the study's folder has changed: expected SHA-256 {expected}, found {found}");
    error(path, problem, "put the folder back as it was made and start the server again")
}

fn remade(path: &Path, problem: &str) -> Error {
    error(path, problem.into(), "make the study anew, or put its folder back as it was made")
}

fn error(path: &Path, problem: String, hint: &str) -> Error {
    Error::File { path: path.into(), problem, hint: hint.into() }
}
