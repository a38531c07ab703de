//! PyTorch's zip format (1.6 and later): `NAME/data.pkl`, `NAME/byteorder`, and one entry `NAME/data/KEY` per storage.
use super::pickle::MAX_PICKLE_BYTES;
use super::storage::{Extent, Storages};
use crate::error::{Error, Result};
use ::zip::{CompressionMethod, ZipArchive};
use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Reads the archive's directory: the bytes of the pickle, and where the storages lie.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, Storages)> {
    let mut extents = directory(path)?;
    let pickle_name = extents
        .keys()
        .filter(|name| *name == "data.pkl" || name.ends_with("/data.pkl"))
        .min_by_key(|name| name.len())
        .cloned()
        .ok_or_else(|| {
            let names: Vec<_> = extents.keys().take(5).cloned().collect();
            let hint = "name a file that torch.save wrote";
            Error::format(
                path,
                "zip archive",
                "an entry data.pkl",
                format!("entries such as {names:?}"),
                hint,
            )
        })?;
    let pickle = extents[&pickle_name];
    if pickle.bytes > MAX_PICKLE_BYTES as u64 {
        let expected = format!("at most {MAX_PICKLE_BYTES} bytes");
        let hint = "this is not a checkpoint of weights";
        return Err(Error::format(path, pickle_name, expected, format!("{} bytes", pickle.bytes), hint));
    }
    let root = pickle_name.strip_suffix("data.pkl").expect("chosen by this ending").to_string();
    let big_endian = match extents.get(&format!("{root}byteorder")) {
        None => false, // files before PyTorch 2.1 do not say; little endian then
        Some(entry) if entry.bytes > 16 => return Err(bad_byteorder(path, format!("{} bytes", entry.bytes))),
        Some(entry) => match entry.read(path, "byteorder")?.as_slice() {
            b"little" => false,
            b"big" => true,
            other => return Err(bad_byteorder(path, String::from_utf8_lossy(other).into())),
        },
    };
    let bytes = pickle.read(path, &pickle_name)?;
    let folder = format!("{root}data/");
    extents = extents
        .into_iter()
        .filter_map(|(name, extent)| Some((name.strip_prefix(&folder)?.to_string(), extent)))
        .collect();
    Ok((bytes, Storages { extents, big_endian }))
}

fn bad_byteorder(path: &Path, found: String) -> Error {
    Error::format(path, "byteorder", "'little' or 'big'", found, "the file is damaged: get it again")
}

/// Every entry by name.
fn directory(path: &Path) -> Result<HashMap<String, Extent>> {
    let damaged = |found: String| {
        let hint = "the file is damaged or cut short: get it again";
        Error::format(path, "zip archive", "a sound directory", found, hint)
    };
    let file = File::open(path).map_err(Error::io(path, "read"))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(e.to_string()))?;
    let mut extents = HashMap::with_capacity(archive.len());
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(|e| damaged(e.to_string()))?;
        let name = entry.name().map_err(|e| damaged(e.to_string()))?.into_owned();
        let deflated = match entry.compression() {
            CompressionMethod::Stored => false,
            CompressionMethod::Deflated => true,
            other => return Err(damaged(format!("entry '{name}' compressed by {other}"))),
        };
        let at = entry.data_start().ok_or_else(|| damaged(format!("entry '{name}' without data")))?;
        let extent = Extent {
            at,
            stored: entry.compressed_size(),
            bytes: entry.size(),
            deflated,
            crc32: Some(entry.crc32()),
        };
        extents.insert(name, extent);
    }
    Ok(extents)
}
