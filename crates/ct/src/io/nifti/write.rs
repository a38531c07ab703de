//! To a file: `.nii` as it is, `.nii.gz` as one gzip member.
use super::NiftiImage;
use crate::error::{Error, Result};
use crate::io::{gzip, write_atomically};
use std::io::Write;
use std::path::Path;

impl NiftiImage {
    /// Writes the image; the name says whether it is compressed. The file appears whole or not at all, and equal
    /// images give equal files.
    ///
    /// # Errors
    /// [`Error::Argument`] when the name ends in neither `.nii` nor `.nii.gz`; [`Error::Io`] when it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let name = path.to_string_lossy().to_lowercase();
        if name.ends_with(".nii.gz") {
            let compressed = gzip::deflate(&self.bytes);
            write_atomically(path, |file| file.write_all(&compressed))
        } else if name.ends_with(".nii") {
            write_atomically(path, |file| file.write_all(&self.bytes))
        } else {
            Err(Error::Argument {
                what: "name of a NIfTI file".into(),
                expected: "a name that ends in .nii or .nii.gz".into(),
                found: path.display().to_string(),
            })
        }
    }
}
