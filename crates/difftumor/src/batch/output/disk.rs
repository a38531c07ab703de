//! An output folder on this machine: filled under a name of its own, then renamed.
use super::{Place, Staging};
use crate::dataset::patients::RECORD;
use crate::error::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

pub(super) struct OnDisk {
    folder: PathBuf,
    /// The folder's temporary name.
    part: PathBuf,
    /// Where an output that is being replaced waits.
    old: PathBuf,
}

impl OnDisk {
    pub(super) fn new(folder: PathBuf) -> Self {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let beside = |extension: &str| folder.with_file_name(format!(".{name}.{extension}"));
        Self { part: beside("part"), old: beside("old"), folder }
    }
}

impl Place for OnDisk {
    fn is_occupied(&self) -> Result<bool> {
        match fs::read_dir(&self.folder) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io(&self.folder, "write to the folder")(e)),
        }
    }

    fn remove_leftovers(&self) -> Result<()> {
        if !self.folder.exists() && self.old.join(RECORD).is_file() {
            // Killed between the two renames of a replacement: the old output is still the output.
            fs::rename(&self.old, &self.folder).map_err(Error::io(&self.old, "restore"))?;
        }
        remove(&self.part)?;
        remove(&self.old)
    }

    fn record(&self) -> Result<Option<String>> {
        let path = self.folder.join(RECORD);
        if !path.is_file() {
            return Ok(None);
        }
        fs::read_to_string(&path).map(Some).map_err(Error::io(&path, "read"))
    }

    fn missing<'a>(&self, files: &'a [String]) -> Result<Option<&'a String>> {
        Ok(files.iter().find(|file| !self.folder.join(file).exists()))
    }

    fn staging(&self) -> Result<Staging> {
        fs::create_dir_all(&self.part).map_err(Error::io(&self.part, "create"))?;
        Ok(Staging::Beside(self.part.clone()))
    }

    fn put_in_place(&self, staging: &Staging) -> Result<()> {
        if self.is_occupied()? {
            fs::rename(&self.folder, &self.old).map_err(Error::io(&self.folder, "replace"))?;
        } else if self.folder.exists() {
            fs::remove_dir(&self.folder).map_err(Error::io(&self.folder, "replace"))?; // empty
        }
        fs::rename(staging.path(), &self.folder).map_err(Error::io(&self.folder, "create"))?;
        remove(&self.old)
    }
}

pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(folder, "remove")(e)),
        _ => Ok(()),
    }
}
