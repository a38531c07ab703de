//! Thumbnails: drawn two at a time, and kept: in memory, and in a cache for the next time. Never in the dataset.
use super::cache::Cache;
use super::case::{Case, Kind, Source};
use super::head::shape_vox;
use super::picture::draw;
use crate::digest::sha256;
use axum::body::Bytes;
use difftumor_ct::io::nifti::NiftiImage;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How pictures are drawn: another number where that changes, so that those of old are not shown.
const DRAWING: u32 = 1;

/// Drawn at one time. Each takes up to 7 bytes a voxel meanwhile.
const THREADS: u32 = 2;

/// Voxels of a scan above which it is drawn alone: 512 × 512 × 256, half a gigabyte.
const LARGE_VOX: u64 = 1 << 26;

/// Most voxels of a scan that is drawn: 512 × 512 × 1024, two gigabytes.
const LARGEST_VOX: u64 = 1 << 28;

/// A PNG, or why there is none, in words.
type Drawn = Result<Bytes, String>;

#[derive(Debug)]
pub(super) struct Thumbnails {
    turns: Arc<Semaphore>,
    /// By case: what it was drawn of, and what came of it.
    drawn: Mutex<HashMap<usize, (String, Drawn)>>,
    cache: Cache,
}

impl Thumbnails {
    pub(super) fn new(cache: Cache) -> Self {
        Self { turns: Arc::new(Semaphore::new(THREADS as usize)), drawn: Mutex::default(), cache }
    }

    /// Waits until this case may be drawn. Held by what draws and not by who asked, who may be gone by then.
    pub(super) async fn turn(&self, case: &Case) -> OwnedSemaphorePermit {
        let is_large = matches!(case.source(Kind::Ct), Some(Source::File(path)) if voxels(&path) > LARGE_VOX);
        let turns = self.turns.clone().acquire_many_owned(if is_large { THREADS } else { 1 });
        turns.await.expect("it is never closed")
    }

    /// What was drawn of the files as they are now, if it was.
    pub(super) fn known(&self, index: usize, case: &Case) -> Option<Drawn> {
        let key = key(case);
        if let Some((of, drawn)) = self.drawn().get(&index)
            && *of == key
        {
            return Some(drawn.clone());
        }
        let png = Bytes::from(self.cache.read(&key)?);
        self.drawn().insert(index, (key, Ok(png.clone())));
        Some(Ok(png))
    }

    /// Draws it, unless that was done while its turn was waited for.
    pub(super) fn draw(&self, index: usize, case: &Case) -> Drawn {
        self.known(index, case).unwrap_or_else(|| {
            let (key, drawn) = (key(case), png(case).map(Bytes::from));
            match &drawn {
                Ok(png) => self.cache.keep(&key, png),
                Err(problem) => tracing::warn!("no thumbnail of {:?}: {problem}", case.name),
            }
            self.drawn().insert(index, (key, drawn.clone()));
            drawn
        })
    }

    /// Why the files as they are now could not be drawn, if that was tried.
    pub(super) fn problem(&self, index: usize, case: &Case) -> Option<String> {
        let (of, problem) = match self.drawn().get(&index)? {
            (of, Err(problem)) => (of.clone(), problem.clone()),
            (_, Ok(_)) => return None,
        };
        (of == key(case)).then_some(problem)
    }

    /// Nothing in it is ever half done.
    fn drawn(&self) -> MutexGuard<'_, HashMap<usize, (String, Drawn)>> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of path, size and time of what it is drawn of.
fn key(case: &Case) -> String {
    let mut hash = Sha256::new();
    hash.update(DRAWING.to_le_bytes());
    for kind in [Kind::Ct, Kind::Tumors] {
        match case.source(kind) {
            Some(Source::File(path)) => {
                let path = path.canonicalize().unwrap_or(path);
                let (length, nanoseconds) = path.metadata().map_or((0, 0), |m| {
                    let time = m.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
                    (m.len(), time.map_or(0, |t| t.as_nanos()))
                });
                hash.update(path.as_os_str().as_encoded_bytes());
                // No path has a zero in it.
                hash.update([0]);
                hash.update(length.to_le_bytes());
                hash.update(nanoseconds.to_le_bytes());
            }
            Some(Source::Memory(bytes)) => hash.update(sha256(&bytes)),
            None => hash.update("none"),
        }
    }
    crate::digest::hexadecimal(&hash.finalize())
}

fn voxels(path: &Path) -> u64 {
    shape_vox(path)
        .map_or(0, |shape| shape.iter().fold(1, |product: u64, side| product.saturating_mul(*side)))
}

fn png(case: &Case) -> Result<Vec<u8>, String> {
    let ct = image(case, Kind::Ct)?.ok_or("ct.nii.gz is missing")?;
    let ct = ct.to_volume().map_err(|e| words(case, &e))?;
    let tumors = image(case, Kind::Tumors)?;
    let tumors = tumors.map(|tumors| tumors.to_labels().map_err(|e| words(case, &e))).transpose()?;
    Ok(draw(&ct, tumors.as_ref()).to_png())
}

fn image(case: &Case, kind: Kind) -> Result<Option<NiftiImage>, String> {
    let image = match case.source(kind) {
        None => return Ok(None),
        Some(Source::Memory(bytes)) => NiftiImage::from_bytes(bytes.to_vec(), &case.name),
        Some(Source::File(path)) => {
            let found = voxels(&path);
            if found > LARGEST_VOX {
                return Err(format!("expected at most {LARGEST_VOX} voxels for a thumbnail, found {found}"));
            }
            NiftiImage::read(path)
        }
    };
    image.map(Some).map_err(|e| words(case, &e))
}

/// An error without the folder's path: it is nobody's business on the network.
fn words(case: &Case, error: &difftumor_ct::Error) -> String {
    let text = error.to_string();
    case.folder().map_or(text.clone(), |folder| text.replace(&format!("{}/", folder.display()), ""))
}
