//! An output folder in an object store. Stores have no renaming of folders: the record goes up last, and an output without one is none.
//!
//! While files go up there is an object `.part` beside them, so that what a killed run has left is known as such. Replacing takes
//! the old record away first: killed in the middle, there is no output, and the next run makes it.
use super::{Place, Staging};
use crate::dataset::patients::RECORD;
use crate::error::{Error, Result};
use crate::objects;
use std::path::PathBuf;

const PART: &str = ".part";

pub(super) struct InStore {
    folder: PathBuf,
}

impl InStore {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn has(&self, name: &str) -> Result<bool> {
        objects::is_file(&self.folder.join(name))
    }
}

impl Place for InStore {
    fn is_occupied(&self) -> Result<bool> {
        Ok(!objects::names_below(&self.folder)?.is_empty())
    }

    fn remove_leftovers(&self) -> Result<()> {
        match (self.has(PART)?, self.has(RECORD)?) {
            (false, _) => Ok(()),
            // Killed after the last file, or before the first one of a replacement: the output is whole.
            (true, true) => objects::delete(&self.folder.join(PART)),
            (true, false) => objects::delete_below(&self.folder),
        }
    }

    fn record(&self) -> Result<Option<String>> {
        if !self.has(RECORD)? {
            return Ok(None);
        }
        let record = objects::fetch(&self.folder.join(RECORD))?;
        std::fs::read_to_string(record.path()).map(Some).map_err(Error::io(record.path(), "read"))
    }

    fn missing<'a>(&self, files: &'a [String]) -> Result<Option<&'a String>> {
        let names = objects::names_below(&self.folder)?;
        let is_there =
            |file: &String| names.iter().any(|name| name == file || name.starts_with(&format!("{file}/")));
        Ok(files.iter().find(|file| !is_there(file)))
    }

    fn staging(&self) -> Result<Staging> {
        let folder = tempfile::Builder::new().prefix("difftumor-").tempdir();
        Ok(Staging::Temporary(folder.map_err(Error::io(std::env::temp_dir(), "create a folder in"))?))
    }

    fn put_in_place(&self, staging: &Staging) -> Result<()> {
        objects::put(&self.folder.join(PART), vec![])?;
        objects::delete(&self.folder.join(RECORD))?;
        for old in objects::names_below(&self.folder)?.iter().filter(|name| *name != PART) {
            objects::delete(&self.folder.join(old))?;
        }
        objects::upload_folder(staging.path(), &self.folder, RECORD)?;
        objects::delete(&self.folder.join(PART))
    }
}
