//! PyTorch's format before 1.6 (`_use_new_zipfile_serialization=False`): five pickles in a row (a magic number, the
//! protocol version, what the writing machine was, the object, the storage keys), then for each key in turn the number
//! of its elements (i64) and the elements.
use super::pickle::{self, MAX_PICKLE_BYTES};
use super::storage::{Extent, Storages};
use super::value::{Dtype, Tree, Value};
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The first pickle of such a file: PROTO, LONG1 of ten bytes, the magic number 0x1950a86a20f9469cfc6c, STOP.
pub(super) const MAGIC: [u8; 14] =
    [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Reads the pickles and finds the storages.
pub(super) fn read(path: &Path) -> Result<(Tree, Storages)> {
    let mut file = File::open(path).map_err(Error::io(path, "read"))?;
    let mut head = vec![];
    (&mut file).take(MAX_PICKLE_BYTES as u64).read_to_end(&mut head).map_err(Error::io(path, "read"))?;
    let mut at = 0;
    let mut next = |what: &str| {
        let (tree, taken) = pickle::parse(&head[at..])
            .map_err(|found| damaged(path, &format!("pickle of the {what}"), "a sound pickle", found))?;
        at += taken;
        Ok::<_, Error>(tree)
    };
    next("magic number")?;
    next("protocol version")?;
    let system = next("writing machine")?;
    let object = next("object")?;
    let keys = next("storage keys")?;

    let extents = storages(path, &mut file, at as u64, &object, &keys)?;
    let big_endian = system.find(&["little_endian"]) == Some(&Value::Bool(false));
    Ok((object, Storages { extents, big_endian }))
}

fn storages(
    path: &Path,
    file: &mut File,
    mut at: u64,
    object: &Tree,
    keys: &Tree,
) -> Result<HashMap<String, Extent>> {
    let length = file.metadata().map_err(Error::io(path, "read"))?.len();
    let element_types: HashMap<&str, Option<Dtype>> = object
        .values
        .iter()
        .filter_map(|value| match value {
            Value::Storage { key, dtype, .. } => Some((&**key, *dtype)),
            _ => None,
        })
        .collect();
    let Value::List(keys_in_order) = keys.get(keys.root()) else {
        return Err(damaged(path, "storage keys", "a list", "something else".into()));
    };
    let mut extents = HashMap::new();
    for id in keys_in_order {
        let Value::Str(key) = keys.get(*id) else {
            return Err(damaged(path, "storage keys", "strings", "something else".into()));
        };
        let what = format!("storage '{key}'");
        let Some(Some(dtype)) = element_types.get(&**key) else {
            // its size in the file is unknown, so nothing behind it could be found
            return Err(damaged(path, &what, "a known element type", "none".into()));
        };
        let mut count = [0; 8];
        file.seek(SeekFrom::Start(at)).map_err(Error::io(path, "read"))?;
        file.read_exact(&mut count).map_err(|e| damaged(path, &what, "its length", e.to_string()))?;
        let count = i64::from_le_bytes(count);
        let bytes = u64::try_from(count).ok().and_then(|n| n.checked_mul(dtype.bytes() as u64));
        let end = bytes.and_then(|bytes| at.checked_add(8)?.checked_add(bytes));
        let (Some(bytes), Some(end)) = (bytes, end.filter(|&end| end <= length)) else {
            let found = format!("{count} elements in a file of {length} bytes");
            return Err(damaged(path, &what, "elements inside the file", found));
        };
        extents.insert(key.to_string(), Extent::plain(at + 8, bytes));
        at = end;
    }
    Ok(extents)
}

fn damaged(path: &Path, what: &str, expected: &str, found: String) -> Error {
    Error::format(path, what, expected, found, "the file is damaged or cut short: get it again")
}
