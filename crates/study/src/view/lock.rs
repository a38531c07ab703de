//! One writer of a dataset's review at a time, among all viewers on it: a file that is locked, and is there only while it is held.
use crate::error::Result;
use crate::problem::file;
use same_file::Handle;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The locked file. Nothing is written to it.
const FILE: &str = ".review.lock";

/// How long to wait for another viewer, which takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// The right to write a dataset's review, until it is dropped. However the program ends, the system frees it; what a killed one leaves is an
/// empty file that the next one uses and removes.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Waits for it.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) when the folder cannot be written or its disk cannot lock, or another viewer has held it for 10 s.
    pub(super) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let began = Instant::now();
        loop {
            match Self::attempt(&path) {
                Ok(Some(file)) => return Ok(Self { path, _file: file }),
                Ok(None) if began.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                Ok(None) => {
                    let problem = format!("another viewer has held it for {} s", PATIENCE.as_secs());
                    return Err(file(&path, problem, "end that viewer"));
                }
                Err(error) => {
                    let hint =
                        "let the viewer write into the dataset's folder, on a disk that can lock files";
                    return Err(file(&path, error, hint));
                }
            }
        }
    }

    /// None while another has it.
    fn attempt(path: &Path) -> io::Result<Option<File>> {
        // A link would lead to a file that is not ours, a pipe would be waited for without end.
        match path.symlink_metadata() {
            Ok(found) if !found.is_file() => {
                return Err(io::Error::other("expected a file, found a link or a pipe"));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Who had it before may have removed it between our opening and locking: then a third one locks another file of this name.
        let locked = Handle::from_file(file.try_clone()?)?;
        match Handle::from_path(path) {
            Ok(there) => Ok((there == locked).then_some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Lock {
    /// Removed while it is still locked: whoever waits finds that it is gone, and makes it anew.
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!("{} stays: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn one_holds_it_at_a_time_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, count) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _lock = Lock::take(folder.path()).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "alone");
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 400);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // What a killed viewer left.
        std::fs::write(folder.path().join(FILE), "").unwrap();
        drop(Lock::take(folder.path()).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_of_that_name_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, folder.path().join(FILE)).unwrap();
        let said = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(said.contains(FILE) && said.contains("found a link"), "{said}");
        assert!(!elsewhere.exists());
    }
}
