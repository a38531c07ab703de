//! Files that others wrote, read without trusting them.
use std::fs::File;
use std::io::{Error, Read, Result};
use std::path::Path;

/// The bytes of a file of at most `longest` bytes, however it grows meanwhile.
///
/// # Errors
/// Those of the system, and when it is longer or no file: opening a pipe would wait without end.
pub(crate) fn read(path: &Path, longest: u64) -> Result<Vec<u8>> {
    if !path.metadata()?.is_file() {
        return Err(Error::other("expected a file, found a folder, a pipe or a device"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        return Err(Error::other(format!("expected at most {longest} bytes, found more")));
    }
    Ok(bytes)
}
