//! A data set to a file.
use super::elements::Object;
use crate::error::{Error, Result};
use crate::io::write_atomically;
use dicom_object::FileMetaTableBuilder;
use std::io::{self, Write};
use std::path::Path;

const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";

/// Writes a DICOM file; it appears whole or not at all.
pub(super) fn write(object: Object, path: &Path) -> Result<()> {
    let meta = FileMetaTableBuilder::new().transfer_syntax(EXPLICIT_LITTLE_ENDIAN);
    let failed = |source: io::Error| Error::Io { path: path.to_path_buf(), action: "write", source };
    let file = object.with_meta(meta).map_err(|error| failed(io::Error::other(error)))?;
    let mut bytes = vec![];
    file.write_all(&mut bytes).map_err(|error| failed(io::Error::other(error)))?;
    write_atomically(path, |file| file.write_all(&bytes))
}
