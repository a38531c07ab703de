//! Files in and out. Every writer goes through [`write_atomically`]: a reader never sees half a file, and a
//! full disk or a killed process leaves the previous file as it was.
use crate::error::{Error, Result};
use nifti::NiftiImage;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub mod dicom;
mod gzip;
pub mod nifti;
pub mod nrrd;
mod problem;
mod terms;

/// Reads a scan: a `.nii` or `.nii.gz` file, an NRRD file (`.nrrd`, `.nhdr`), or a DICOM series of CT slices ([`dicom::SeriesPath`]). What
/// is odd about a series but does not change its voxels is told as a warning.
///
/// # Errors
/// As [`NiftiImage::read`], [`nrrd::read`] and [`dicom::Series::read`].
pub fn read_scan(path: &Path) -> Result<NiftiImage> {
    let Some(place) = dicom::SeriesPath::of(path) else {
        return if nrrd::is_nrrd(path) { nrrd::read(path) } else { NiftiImage::read(path) };
    };
    let series = dicom::Series::read(&place)?;
    series.warnings.iter().for_each(|warning| tracing::warn!("{}: {warning}", path.display()));
    if series.other_files > 0 {
        tracing::info!("{}: {} files are no DICOM images", path.display(), series.other_files);
    }
    Ok(series.image)
}

/// Whether [`read_scan`] takes `path` for one scan, and not for a folder that may hold several: anything but a folder, and a folder
/// with DICOM files and no NIfTI file in it.
pub fn is_one_scan(path: &Path) -> bool {
    !path.is_dir() || dicom::is_series(path)
}

/// Writes `path` by letting `fill` write a temporary file in the same folder, flushing it to the disk, and
/// renaming it. On any error the temporary file is removed and what was at `path` stays.
///
/// # Errors
/// [`Error::Io`] naming `path`: the folder is missing or read-only, the disk is full, or `fill` failed.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let temporary = temporary_beside(path)?;
    let result =
        OpenOptions::new().write(true).create(true).truncate(true).open(&temporary).and_then(|mut file| {
            fill(&mut file)?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        });
    result.map_err(|source| {
        // The first error is the one to report; the file may not even exist.
        let _ = fs::remove_file(&temporary);
        Error::Io { path: path.to_path_buf(), action: "write", source }
    })
}

/// Makes the folder `path` by letting `fill` write into a temporary folder beside it, and renaming that. On any error the temporary folder is
/// removed. An empty folder of that name is replaced; one with anything in it is left alone.
///
/// # Errors
/// [`Error::Argument`] when there is something at `path`; [`Error::Io`] when a folder cannot be made; those of `fill`.
pub fn write_folder_atomically<T>(path: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let is_empty = |path: &Path| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if path.symlink_metadata().is_ok() && !is_empty(path) {
        return Err(Error::Argument {
            what: "output folder".into(),
            expected: "a folder that is not there yet, or is empty".into(),
            found: path.display().to_string(),
        });
    }
    let temporary = temporary_beside(path)?;
    fs::create_dir(&temporary).map_err(Error::io(path, "create"))?;
    let result = fill(&temporary)
        .and_then(|value| fs::rename(&temporary, path).map(|()| value).map_err(Error::io(path, "create")));
    if result.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&temporary);
    }
    result
}

/// A name in the folder of `path` that no other writer of this machine uses: `.NAME.PID-COUNT.part`.
fn temporary_beside(path: &Path) -> Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| Error::Argument {
        what: "output file".into(),
        expected: "a path that ends in a file name".into(),
        found: path.display().to_string(),
    })?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{count}.part", std::process::id()));
    Ok(path.with_file_name(temporary))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_failed_write_keeps_the_old_file_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        write_atomically(&path, |f| f.write_all(b"old")).unwrap();
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let error = write_atomically(&path, |f| f.write_all(b"ne").and(Err(full()))).unwrap_err();
        assert!(matches!(error, Error::Io { action: "write", .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        write_atomically(&path, |f| f.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("series");
        let fill = |ok: bool| {
            move |folder: &Path| {
                write_atomically(&folder.join("a"), |f| f.write_all(b"a"))?;
                if ok { Ok(7) } else { write_atomically(&folder.join("no/b"), |_| Ok(())).map(|()| 0) }
            }
        };
        assert!(write_folder_atomically(&path, fill(false)).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(write_folder_atomically(&path, fill(true)).unwrap(), 7);
        assert_eq!(fs::read(path.join("a")).unwrap(), b"a");
        let again = write_folder_atomically(&path, fill(true)).unwrap_err().to_string();
        assert!(again.contains("not there yet, or is empty") && again.contains("series"), "{again}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_missing_or_read_only_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("no/such/folder/a.bin");
        assert!(
            write_atomically(&missing, |_| Ok(())).unwrap_err().to_string().contains("no/such/folder/a.bin")
        );
        let mut rights = fs::metadata(dir.path()).unwrap().permissions();
        rights.set_readonly(true);
        fs::set_permissions(dir.path(), rights).unwrap();
        if File::create(dir.path().join("probe")).is_ok() {
            println!("skipped: this user may write to read-only folders");
            return;
        }
        let error = write_atomically(&dir.path().join("a.bin"), |_| Ok(())).unwrap_err();
        assert!(matches!(error, Error::Io { action: "write", .. }), "{error}");
    }
}
