//! A study while it is written: it takes its name when all of it is there, and leaves nothing behind when it is not.
use crate::error::Result;
use crate::problem::file;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// When all files of all studies were changed last: 2000-01-01. Volumes are written scan by scan, so their true times would tell which of
/// them belong together.
pub(super) const CHANGED: Duration = Duration::from_secs(946_684_800);

const HINT: &str = "see that the place can be written to and has room";

/// Removes what was written when it is dropped before [`Unfinished::finish`].
pub(super) struct Unfinished {
    folder: PathBuf,
    apart: Vec<PathBuf>,
    finished: bool,
}

impl Unfinished {
    /// Makes a temporary folder beside `out`.
    pub fn begin(out: &Path) -> Result<Self> {
        let mut name = std::ffi::OsString::from(".");
        name.push(out.file_name().unwrap_or_default());
        name.push(format!(".{}.part", std::process::id()));
        let folder = out.with_file_name(name);
        fs::create_dir(&folder).map_err(|error| file(&folder, error, HINT))?;
        Ok(Self { folder, apart: Vec::new(), finished: false })
    }

    /// The temporary folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file of the study.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(name);
        write_new(&path, bytes, false).map_err(|error| file(&path, error, HINT))
    }

    /// Writes a file outside of the study that the user alone may read.
    pub fn write_apart(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        let written = write_new(path, bytes, true);
        // What is there already is not ours to remove.
        if !matches!(&written, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
            self.apart.push(path.to_path_buf());
        }
        written.map_err(|error| file(path, error, HINT))
    }

    /// Gives all files one time, and the folder its name.
    pub fn finish(mut self, out: &Path) -> Result<()> {
        set_times(&self.folder).map_err(|error| file(&self.folder, error, HINT))?;
        // A folder takes the place of an empty one without a word.
        if out.symlink_metadata().is_ok() {
            return Err(file(out, "something was put there meanwhile", "make the study under another name"));
        }
        fs::rename(&self.folder, out).map_err(|error| file(out, error, HINT))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // The first error is the one that is reported.
            let _ = fs::remove_dir_all(&self.folder);
            self.apart.iter().for_each(|path| drop(fs::remove_file(path)));
        }
    }
}

/// Writes a file that must not be there, and flushes it to the disk.
fn write_new(path: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Sets the times of a folder and all in it; of the folder last, as each file in it counts as a change.
fn set_times(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { set_times(&path)? } else { set_time(&path)? }
    }
    set_time(folder)
}

fn set_time(path: &Path) -> io::Result<()> {
    let time = SystemTime::UNIX_EPOCH + CHANGED;
    File::open(path)?.set_times(FileTimes::new().set_accessed(time).set_modified(time))
}
