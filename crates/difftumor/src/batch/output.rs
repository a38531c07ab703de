//! One output folder: filled under a name of its own, then renamed.
use super::Existing;
use crate::dataset::patients::RECORD;
use crate::error::{Error, Result};
use difftumor_ct::io::write_atomically;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What an output follows from and what is in it: `record.json` in its folder.
pub(crate) trait OutputRecord: Serialize + DeserializeOwned {
    /// The files beside the record.
    fn files(&self) -> &[String];
}

/// Where an output goes.
pub(crate) struct Target {
    folder: PathBuf,
    /// The folder's temporary name.
    part: PathBuf,
    /// Where an output that is being replaced waits.
    old: PathBuf,
}

impl Target {
    pub(crate) fn new(folder: PathBuf) -> Self {
        // `.` and `..` have no name, and `a/.` has that of `a`: the canonical path always has one but for the root.
        let folder = fs::canonicalize(&folder).unwrap_or(folder);
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let beside = |extension: &str| folder.with_file_name(format!(".{name}.{extension}"));
        Self { part: beside("part"), old: beside("old"), folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// # Errors
    /// When there is a file, or a folder that is not empty.
    pub(crate) fn require_free(&self) -> Result<()> {
        if self.is_occupied()? {
            let problem = "there is something already; name another --out, keep what is done with --resume, or make it anew with --force";
            return Err(Error::Exists { path: self.folder.clone(), problem });
        }
        Ok(())
    }

    fn is_something_else(&self) -> Error {
        let problem = "the folder holds something that is no output of this program and is never replaced; name another --out";
        Error::Exists { path: self.folder.clone(), problem }
    }

    fn is_occupied(&self) -> Result<bool> {
        match fs::read_dir(&self.folder) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io(&self.folder, "write to the folder")(e)),
        }
    }

    /// Removes what a killed run has left of this output.
    pub(crate) fn remove_leftovers(&self) -> Result<()> {
        if !self.folder.exists() && self.old.join(RECORD).is_file() {
            // Killed between the two renames of a replacement: the old output is still the output.
            fs::rename(&self.old, &self.folder).map_err(Error::io(&self.old, "restore"))?;
        }
        remove(&self.part)?;
        remove(&self.old)
    }

    /// The record of a finished output; `None` if there is nothing.
    ///
    /// # Errors
    /// When something else is in the way, or a file of the output is gone.
    pub(crate) fn finished<R: OutputRecord>(&self) -> Result<Option<R>> {
        if !self.is_occupied()? {
            return Ok(None);
        }
        let path = self.folder.join(RECORD);
        if !path.is_file() {
            return Err(self.is_something_else());
        }
        let hint = "name another --out, or remove this folder";
        let text = fs::read_to_string(&path).map_err(Error::io(&path, "read"))?;
        let record: R = serde_json::from_str(&text).map_err(|e| {
            Error::format(&path, "record", "that of an output of this program", e.to_string(), hint)
        })?;
        match record.files().iter().find(|file| !self.folder.join(file).exists()) {
            Some(file) => {
                Err(Error::format(&self.folder, "output", format!("the file {file}"), "none", hint))
            }
            None => Ok(Some(record)),
        }
    }

    /// Lets `fill` write the files of the output into a folder and tell what they are; adds the record and gives the folder
    /// its name.
    ///
    /// # Errors
    /// When `fill` fails or something cannot be written. Nothing is left then.
    pub(crate) fn write<R: OutputRecord>(
        &self,
        existing: Existing,
        fill: impl FnOnce(&Path) -> Result<R>,
    ) -> Result<R> {
        let make = || {
            fs::create_dir_all(&self.part).map_err(Error::io(&self.part, "create"))?;
            let record = fill(&self.part)?;
            write_json(&self.part.join(RECORD), &record)?;
            self.put_in_place(existing)?;
            Ok(record)
        };
        let result = make();
        if result.is_err() {
            // The first error is the one to report.
            let _ = remove(&self.part);
        }
        result
    }

    /// Gives the filled folder its name. Only an output of this program is ever replaced.
    fn put_in_place(&self, existing: Existing) -> Result<()> {
        if self.is_occupied()? {
            if existing != Existing::Replace {
                return self.require_free();
            }
            if !self.folder.join(RECORD).is_file() {
                return Err(self.is_something_else());
            }
            fs::rename(&self.folder, &self.old).map_err(Error::io(&self.folder, "replace"))?;
        } else if self.folder.exists() {
            fs::remove_dir(&self.folder).map_err(Error::io(&self.folder, "replace"))?; // empty
        }
        fs::rename(&self.part, &self.folder).map_err(Error::io(&self.folder, "create"))?;
        remove(&self.old)
    }
}

/// Writes a record or a report.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).expect("it is made of texts and numbers");
    text.push('\n');
    Ok(write_atomically(path, |file| file.write_all(text.as_bytes()))?)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(folder, "remove")(e)),
        _ => Ok(()),
    }
}
