//! The output folder: filled under a name of its own, then renamed.
use crate::error::{Error, Result};
use crate::objects;
use crate::run::{put_in_place, temporary_for};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Names of all that an output folder may hold.
pub(crate) type Files = &'static [&'static str];

/// An output that is being made. Dropped before it is finished, it leaves nothing.
pub(crate) struct Output {
    out: PathBuf,
    files: Files,
    replace: bool,
    temporary: TempDir,
}

impl Output {
    /// # Errors
    /// When the place is taken, or nothing can be written beside it.
    pub(crate) fn start(out: &Path, files: Files, replace: bool) -> Result<Self> {
        // `.` has no parent to rename in; the canonical path has.
        let out = std::fs::canonicalize(out).unwrap_or_else(|_| out.into());
        require_free(&out, files, replace)?;
        let temporary = match objects::is_url(&out) {
            true => tempfile::tempdir().map_err(Error::io(std::env::temp_dir(), "create a folder in"))?,
            false => temporary_for(&out)?,
        };
        Ok(Self { out, files, replace, temporary })
    }

    /// Where the files are to be written.
    pub(crate) fn folder(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// When the place is taken or the folder cannot be renamed.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { out, files, replace, temporary } = self;
        require_free(&out, files, replace)?;
        if !objects::is_url(&out) {
            return put_in_place(temporary.path(), &out);
        }
        // The first file is the one that others look for: while it is missing, there are no figures.
        objects::delete_below(&out)?;
        objects::upload_folder(temporary.path(), &out, files[0])
    }
}

/// # Errors
/// When there is a file, or a folder with something that must stay: anything at all, or with `replace` anything else than this
/// program's figures.
fn require_free(out: &Path, files: Files, replace: bool) -> Result<()> {
    let names: Vec<OsString> = match objects::is_url(out) {
        true => objects::names_below(out)?.into_iter().map(OsString::from).collect(),
        false if !out.exists() => vec![],
        false => objects::entries(out)?.iter().filter_map(|e| Some(e.path.file_name()?.into())).collect(),
    };
    let exists = |problem| Err(Error::Exists { path: out.into(), problem });
    for name in names {
        if !files.iter().any(|file| name == *file) {
            return exists(
                "the folder holds something that is not of an evaluation and is never replaced; name another --out",
            );
        }
        if !replace {
            return exists(
                "the folder is not empty; name another --out, or replace what is there with --force",
            );
        }
    }
    Ok(())
}
