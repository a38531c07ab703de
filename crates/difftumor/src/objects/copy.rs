//! Files of a store on this machine.
use super::store::{self, Place};
use super::{has_file_name, is_url, transfer};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A file or folder of this machine: the one that was asked for, or a copy of what a store holds, which goes when this is dropped.
#[derive(Debug)]
pub struct Local {
    asked: PathBuf,
    path: PathBuf,
    copy: Option<TempDir>,
}

/// The file or folder at `path`, copied to this machine if it is in a store.
///
/// # Errors
/// When it is in a store and not there, cannot be read, or the copy cannot be written.
pub fn fetch(path: &Path) -> Result<Local> {
    if !is_url(path) {
        return Ok(Local { asked: path.into(), path: path.into(), copy: None });
    }
    let place = Place::of(path)?;
    let folder = tempfile::Builder::new().prefix("difftumor-").tempdir();
    let folder = folder.map_err(Error::io(std::env::temp_dir(), "create a folder in"))?;
    let to = folder.path().join(place.name());
    // A key without an extension is a folder's or, if nothing is below it, a file's.
    let below = if has_file_name(path) { vec![] } else { store::list(&place)? };
    match &below[..] {
        [] => transfer::get(&place, &to)?,
        listed => transfer::get_all(&place, listed, &to)?,
    }
    Ok(Local { asked: path.into(), path: to, copy: Some(folder) })
}

impl Local {
    /// Where it lies on this machine.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error about the copy, as one about what was asked for.
    pub fn explain(&self, error: Error) -> Error {
        let Some(copy) = &self.copy else { return error };
        let (text, name) = (error.to_string(), copy.path().display().to_string());
        let above = self.asked.parent().unwrap_or(Path::new("")).display().to_string();
        if text.contains(&name) { Error::Copied { message: text.replace(&name, &above) } } else { error }
    }
}
