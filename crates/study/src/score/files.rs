//! Reads a study's files.
use crate::digest::sha256;
use crate::error::Result;
use crate::format::{Key, Links, Readers, Study};
use crate::problem::file;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Longest file that is read: far more than a study of 100,000 items has.
const LONGEST_BYTES: u64 = 1 << 28;

/// Reads `study.json` and `readers.json` of a study's folder; also gives the SHA-256 of the former, to which the key is bound.
///
/// # Errors
/// [`Error::File`](crate::Error::File) when one cannot be read or is not what it should be.
pub fn read_study(folder: &Path) -> Result<(Study, String, Readers)> {
    let (study, bytes) = read_json(&folder.join("study.json"))?;
    let (readers, _) = read_json(&folder.join("readers.json"))?;
    Ok((study, sha256(bytes), readers))
}

/// Reads a key.
///
/// # Errors
/// [`Error::File`](crate::Error::File) when it cannot be read or is no key.
pub fn read_key(path: &Path) -> Result<Key> {
    read_json(path).map(|(key, _)| key)
}

/// Reads the readers' links.
///
/// # Errors
/// [`Error::File`](crate::Error::File) when they cannot be read or are none.
pub fn read_links(path: &Path) -> Result<Links> {
    read_json(path).map(|(links, _)| links)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<(T, Vec<u8>)> {
    let hint = "give what `study make` wrote, unchanged";
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|source| source.take(LONGEST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| file(path, format!("it cannot be read: {error}"), hint))?;
    if bytes.len() as u64 > LONGEST_BYTES {
        return Err(file(path, format!("it has more than {LONGEST_BYTES} bytes"), hint));
    }
    let value = serde_json::from_slice(&bytes).map_err(|error| file(path, error, hint))?;
    Ok((value, bytes))
}
