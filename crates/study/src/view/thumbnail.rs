//! Thumbnails: drawn two at a time, and kept: in memory, and in the user's cache folder for the next time. Never in the dataset.
use super::case::{Case, Kind, Source};
use super::picture::{Picture, draw};
use crate::digest::sha256;
use crate::error::Result;
use crate::problem::argument;
use axum::body::Bytes;
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::io::write_atomically;
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// How pictures are drawn: another number where that changes, so that those of old are not shown.
const DRAWING: u32 = 1;

/// Drawn at one time: a scan of 512 × 512 × 300 takes half a gigabyte meanwhile.
const THREADS: usize = 2;

/// Largest PNG taken from the cache, in bytes: twice one that does not compress.
const LARGEST_PNG: u64 = 160 << 10;

#[derive(Debug)]
pub(super) struct Thumbnails {
    turns: Semaphore,
    /// By case: what it was drawn of, and the PNG.
    drawn: Mutex<HashMap<usize, (String, Bytes)>>,
    cache: Option<PathBuf>,
}

impl Default for Thumbnails {
    fn default() -> Self {
        Self { turns: Semaphore::new(THREADS), drawn: Mutex::default(), cache: cache_folder() }
    }
}

impl Thumbnails {
    /// Waits until one more may be drawn.
    pub(super) async fn turn(&self) -> std::result::Result<SemaphorePermit<'_>, AcquireError> {
        self.turns.acquire().await
    }

    /// A case's PNG.
    ///
    /// # Errors
    /// Those of reading its scan and its tumors.
    pub(super) fn of(&self, index: usize, case: &Case) -> Result<Bytes> {
        let key = key(case);
        let drawn = || self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, png)) = drawn().get(&index)
            && *of == key
        {
            return Ok(png.clone());
        }
        let kept = self.cache.as_ref().map(|cache| cache.join(format!("{key}.png")));
        let png = match kept.as_ref().and_then(read_png) {
            Some(png) => png,
            None => {
                let png = encode(&picture(case)?);
                if let Some(path) = &kept {
                    keep(path, &png);
                }
                png
            }
        };
        let png = Bytes::from(png);
        drawn().insert(index, (key, png.clone()));
        Ok(png)
    }
}

/// `difftumor/thumbnails` in the folder of the system for such things.
fn cache_folder() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = folder("XDG_CACHE_HOME")
        .or_else(|| folder("LOCALAPPDATA"))
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
    Some(caches.join("difftumor").join("thumbnails"))
}

/// Of path, size and time of what it is drawn of.
fn key(case: &Case) -> String {
    let part = |kind| match case.source(kind) {
        Some(Source::File(path)) => {
            let path = path.canonicalize().unwrap_or(path);
            let (length, nanoseconds) = path.metadata().map_or((0, 0), |m| {
                let time = m.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
                (m.len(), time.map_or(0, |t| t.as_nanos()))
            });
            format!("{}\n{length}\n{nanoseconds}\n", path.display())
        }
        Some(Source::Memory(bytes)) => sha256(&bytes),
        None => "none\n".into(),
    };
    sha256(format!("{DRAWING}\n{}{}", part(Kind::Ct), part(Kind::Tumors)))
}

fn read_png(path: &PathBuf) -> Option<Vec<u8>> {
    let length = path.metadata().ok()?.len();
    if length > LARGEST_PNG {
        return None;
    }
    std::fs::read(path).ok().filter(|bytes| bytes.starts_with(b"\x89PNG\r\n\x1a\n"))
}

/// A cache that cannot be written is none: the picture is there all the same.
fn keep(path: &std::path::Path, png: &[u8]) {
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .map_err(difftumor_ct::Error::io(path, "create"))
        .and_then(|()| write_atomically(path, |file| file.write_all(png)));
    if let Err(error) = written {
        tracing::debug!("a thumbnail is not kept: {error}");
    }
}

fn picture(case: &Case) -> Result<Picture> {
    let image = |kind| match case.source(kind) {
        Some(Source::File(path)) => NiftiImage::read(path).map(Some),
        Some(Source::Memory(bytes)) => NiftiImage::from_bytes(bytes.to_vec(), &case.name).map(Some),
        None => Ok(None),
    };
    let ct = image(Kind::Ct)?.ok_or_else(|| argument(&case.name, "a scan", "none"))?.to_volume()?;
    let tumors = image(Kind::Tumors)?.map(|tumors| tumors.to_labels()).transpose()?;
    Ok(draw(&ct, tumors.as_ref()))
}

fn encode(picture: &Picture) -> Vec<u8> {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, picture.width as u32, picture.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("a header in memory");
    writer.write_image_data(&picture.rgb).expect("as many pixels as the header says");
    writer.finish().expect("an end in memory");
    bytes
}
