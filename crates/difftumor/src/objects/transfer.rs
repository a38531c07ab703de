//! Objects to this machine, files of this machine to a store, and objects that go.
use super::store::{self, Listed, Place, wait};
use crate::error::{Error, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutPayload, WriteMultipart};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Files that are on their way at one time.
const TRANSFERS: usize = 8;
/// Larger files go in parts of this size; the stores want 5 MiB at least.
const PART_BYTES: usize = 8 << 20;

/// Copies an object to the file `to`.
pub(super) fn get(place: &Place, to: &Path) -> Result<()> {
    wait(get_key(place, &place.key, to.into()))
}

/// Copies the objects of a list into the folder `to`.
pub(super) fn get_all(place: &Place, listed: &[Listed], to: &Path) -> Result<()> {
    for object in listed {
        let folder = to.join(&object.name);
        let folder = folder.parent().expect("it lies in a folder");
        fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    }
    let copies = listed.iter().map(|object| get_key(place, &object.key, to.join(&object.name)));
    let copies: Vec<_> = copies.map(Box::pin).collect();
    wait(stream::iter(copies).buffer_unordered(TRANSFERS).try_collect())
}

/// The names in a key were checked by the store's library: none is `..`, so nothing is written outside of the folder.
async fn get_key(place: &Place, key: &Key, to: PathBuf) -> Result<()> {
    let found = place.store.get(key).await.map_err(place.error("read"))?;
    let expected = found.meta.size;
    let mut bytes = found.into_stream();
    let mut file = File::create(&to).map_err(Error::io(&to, "create"))?;
    let mut written = 0;
    while let Some(part) = bytes.next().await {
        let part = part.map_err(place.error("read"))?;
        file.write_all(&part).map_err(Error::io(&to, "write"))?;
        written += part.len() as u64;
    }
    if written == expected {
        return Ok(());
    }
    let found = format!("{written}; the connection broke off, or the object has changed");
    Err(Error::format(&place.path, "bytes", expected.to_string(), found, "try again"))
}

/// Names of all objects below a key, with `/` between folders, sorted.
pub(crate) fn names_below(folder: &Path) -> Result<Vec<String>> {
    Ok(store::list(&Place::of(folder)?)?.into_iter().map(|object| object.name).collect())
}

/// Writes an object.
pub(crate) fn put(path: &Path, bytes: Vec<u8>) -> Result<()> {
    let place = Place::of(path)?;
    wait(place.store.put(&place.key, bytes.into())).map_err(place.error("write"))?;
    Ok(())
}

/// Copies a file of this machine to a store. The object appears whole.
fn upload(from: &Path, to: &Path) -> Result<()> {
    let place = Place::of(to)?;
    let mut file = File::open(from).map_err(Error::io(from, "read"))?;
    wait(async {
        let Some(first) = part_of(&mut file).map_err(Error::io(from, "read"))? else {
            place.store.put(&place.key, PutPayload::new()).await.map_err(place.error("write"))?;
            return Ok(());
        };
        if first.len() < PART_BYTES {
            place.store.put(&place.key, first.into()).await.map_err(place.error("write"))?;
            return Ok(());
        }
        let upload = place.store.put_multipart(&place.key).await.map_err(place.error("write"))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        upload.write(&first);
        loop {
            match part_of(&mut file) {
                Ok(None) => break,
                Ok(Some(part)) => {
                    upload.wait_for_capacity(TRANSFERS).await.map_err(place.error("write"))?;
                    upload.write(&part);
                }
                Err(e) => {
                    // Parts that are never joined cost their owner money; the first error is the one to report.
                    let _ = upload.abort().await;
                    return Err(Error::io(from, "read")(e));
                }
            }
        }
        upload.finish().await.map_err(place.error("write"))?;
        Ok(())
    })
}

/// The next part of a file; `None` at its end.
fn part_of(file: &mut File) -> std::io::Result<Option<Vec<u8>>> {
    let mut part = vec![];
    file.take(PART_BYTES as u64).read_to_end(&mut part)?;
    Ok((!part.is_empty()).then_some(part))
}

/// Removes an object; one that is not there is no error.
pub(crate) fn delete(path: &Path) -> Result<()> {
    let place = Place::of(path)?;
    match wait(place.store.delete(&place.key)) {
        Err(e) if !matches!(e, object_store::Error::NotFound { .. }) => Err(place.error("remove")(e)),
        _ => Ok(()),
    }
}

/// Removes all objects below a key.
pub(crate) fn delete_below(folder: &Path) -> Result<()> {
    names_below(folder)?.iter().try_for_each(|name| delete(&folder.join(name)))
}

/// Copies all files below a folder of this machine to a store, the one called `last` when all others are there.
pub(crate) fn upload_folder(from: &Path, to: &Path, last: &str) -> Result<()> {
    let mut names = vec![];
    files_below(from, "", &mut names)?;
    names.sort();
    let (ending, others): (Vec<_>, Vec<_>) = names.iter().partition(|name| *name == last);
    others.into_iter().chain(ending).try_for_each(|name| upload(&from.join(name), &to.join(name)))
}

fn files_below(folder: &Path, above: &str, names: &mut Vec<String>) -> Result<()> {
    for entry in super::entries(folder)? {
        let name = format!("{above}{}", entry.path.file_name().unwrap_or_default().to_string_lossy());
        if entry.is_folder { files_below(&entry.path, &format!("{name}/"), names)? } else { names.push(name) }
    }
    Ok(())
}
