//! One output folder, on this machine or in an object store: filled somewhere else, then put in its place.
mod disk;
mod remote;

use crate::dataset::patients::RECORD;
use crate::error::{Error, Result};
use crate::objects;
use difftumor_ct::io::write_atomically;
use disk::OnDisk;
use remote::InStore;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What an output follows from and what is in it: `record.json` in its folder.
pub(crate) trait OutputRecord: Serialize + DeserializeOwned {
    /// The files beside the record.
    fn files(&self) -> &[String];
}

/// What an output folder does, wherever it lies.
trait Place: Send + Sync {
    /// Whether there is anything.
    fn is_occupied(&self) -> Result<bool>;

    /// Removes what a killed run has left of this output.
    fn remove_leftovers(&self) -> Result<()>;

    /// The text of the record; `None` if there is none.
    fn record(&self) -> Result<Option<String>>;

    /// The first of these files, or folders, that is not there.
    fn missing<'a>(&self, files: &'a [String]) -> Result<Option<&'a String>>;

    /// A folder of this machine to fill.
    fn staging(&self) -> Result<Staging>;

    /// Makes a filled folder the output. What is there is an output and is replaced.
    fn put_in_place(&self, staging: &Staging) -> Result<()>;
}

/// A folder that is being filled. Dropped, it leaves nothing.
enum Staging {
    /// Beside the place of the output, whose name it will get.
    Beside(PathBuf),
    /// Somewhere else.
    Temporary(TempDir),
}

/// Where an output goes.
pub(crate) struct Target {
    folder: PathBuf,
    place: Box<dyn Place>,
}

impl Target {
    pub(crate) fn new(folder: PathBuf) -> Self {
        if objects::is_url(&folder) {
            return Self { place: Box::new(InStore::new(folder.clone())), folder };
        }
        // `.` and `..` have no name, and `a/.` has that of `a`: the canonical path always has one but for the root.
        let folder = std::fs::canonicalize(&folder).unwrap_or(folder);
        Self { place: Box::new(OnDisk::new(folder.clone())), folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// # Errors
    /// When there is a file, or a folder that is not empty.
    pub(crate) fn require_free(&self) -> Result<()> {
        if self.place.is_occupied()? {
            let problem = "there is something already; name another --out, keep what is done with --resume, or make it anew with --force";
            return Err(Error::Exists { path: self.folder.clone(), problem });
        }
        Ok(())
    }

    /// Removes what a killed run has left of this output.
    pub(crate) fn remove_leftovers(&self) -> Result<()> {
        self.place.remove_leftovers()
    }

    /// The record of a finished output; `None` if there is nothing.
    ///
    /// # Errors
    /// When something else is in the way, or a file of the output is gone.
    pub(crate) fn finished<R: OutputRecord>(&self) -> Result<Option<R>> {
        let Some(text) = self.place.record()? else {
            return if self.place.is_occupied()? { Err(self.is_something_else()) } else { Ok(None) };
        };
        let hint = "name another --out, or remove this folder";
        let path = self.folder.join(RECORD);
        let record: R = serde_json::from_str(&text).map_err(|e| {
            Error::format(&path, "record", "that of an output of this program", e.to_string(), hint)
        })?;
        match self.place.missing(record.files())? {
            Some(file) => {
                Err(Error::format(&self.folder, "output", format!("the file {file}"), "none", hint))
            }
            None => Ok(Some(record)),
        }
    }

    /// Lets `fill` write the files of the output into a folder and tell what they are; adds the record and makes it the output, in
    /// place of one that is there if it `replaces`.
    ///
    /// # Errors
    /// When `fill` fails or something cannot be written. Nothing is left then.
    pub(crate) fn write<R: OutputRecord>(
        &self,
        replaces: bool,
        fill: impl FnOnce(&Path) -> Result<R>,
    ) -> Result<R> {
        let staging = self.place.staging()?;
        let record = fill(staging.path())?;
        write_json(&staging.path().join(RECORD), &record)?;
        // Only an output of this program is ever replaced.
        if !replaces {
            self.require_free()?;
        } else if self.place.is_occupied()? && self.place.record()?.is_none() {
            return Err(self.is_something_else());
        }
        self.place.put_in_place(&staging)?;
        Ok(record)
    }

    fn is_something_else(&self) -> Error {
        let problem = "the folder holds something that is no output of this program and is never replaced; name another --out";
        Error::Exists { path: self.folder.clone(), problem }
    }
}

impl Staging {
    fn path(&self) -> &Path {
        match self {
            Self::Beside(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Self::Beside(path) = self {
            // After a failure its error is the one to report; after a success there is nothing.
            let _ = disk::remove(path);
        }
    }
}

/// Writes a record or a report, on this machine or to a store.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).expect("it is made of texts and numbers");
    text.push('\n');
    if objects::is_url(path) {
        return objects::put(path, text.into_bytes());
    }
    Ok(write_atomically(path, |file| file.write_all(text.as_bytes()))?)
}
