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

    /// Waits for this many turns ([`turns`]). Held by what draws and not by who asked, who may be gone by then.
    pub(super) async fn turn(&self, turns: u32) -> OwnedSemaphorePermit {
        self.turns.clone().acquire_many_owned(turns).await.expect("it is never closed")
    }

    /// What was drawn of the files as they are now, if it was. A failure is tried again: rights, for one, leave no trace in a file's time.
    pub(super) fn known(&self, index: usize, case: &Case) -> Option<Bytes> {
        let key = key(case);
        if let Some((of, Ok(png))) = self.drawn().get(&index)
            && *of == key
        {
            return Some(png.clone());
        }
        let png = Bytes::from(self.cache.read(&key)?);
        self.drawn().insert(index, (key, Ok(png.clone())));
        Some(png)
    }

    /// Draws it, unless that was done while its turn was waited for.
    pub(super) fn draw(&self, index: usize, case: &Case) -> Drawn {
        self.known(index, case).map_or_else(|| self.draw_anew(index, case), Ok)
    }

    fn draw_anew(&self, index: usize, case: &Case) -> Drawn {
        // The key first: files that change meanwhile are drawn again.
        let (key, drawn) = (key(case), png(case).map(Bytes::from));
        match &drawn {
            Ok(png) => self.cache.keep(&key, png),
            Err(problem) => tracing::warn!("no thumbnail of {:?}: {problem}", case.name),
        }
        self.drawn().insert(index, (key, drawn.clone()));
        drawn
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

/// How many of the turns a case's drawing takes: all of them where it takes much memory.
pub(super) fn turns(case: &Case) -> u32 {
    let is_large = matches!(case.source(Kind::Ct), Some(Source::File(path)) if voxels(&path) > LARGE_VOX);
    if is_large { THREADS } else { 1 }
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
    let ct = ct.to_volume().map_err(|e| words(ct.path(), &e))?;
    let tumors = image(case, Kind::Tumors)?;
    let tumors = tumors.map(|tumors| tumors.to_labels().map_err(|e| words(tumors.path(), &e))).transpose()?;
    Ok(draw(&ct, tumors.as_ref()).to_png())
}

fn image(case: &Case, kind: Kind) -> Result<Option<NiftiImage>, String> {
    match case.source(kind) {
        None => Ok(None),
        // Whoever made it of another format had room for it.
        Some(Source::Memory(bytes)) => {
            let name = Path::new(&case.name);
            NiftiImage::from_bytes(bytes.to_vec(), name).map(Some).map_err(|e| words(name, &e))
        }
        Some(Source::File(path)) => {
            let found = voxels(&path);
            if found > LARGEST_VOX {
                return Err(format!("expected at most {LARGEST_VOX} voxels for a thumbnail, found {found}"));
            }
            NiftiImage::read(&path).map(Some).map_err(|e| words(&path, &e))
        }
    }
}

/// An error without the file's folder, which is nobody's business on the network.
fn words(path: &Path, error: &difftumor_ct::Error) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    error.to_string().replace(&path.display().to_string(), &name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::case::Place;
    use difftumor_ct::io::nifti::Datatype;
    use difftumor_ct::{Affine, Image};
    use ndarray::Array3;

    #[test]
    fn large_scans_are_drawn_alone_and_larger_ones_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ct.nii.gz");
        let volume = Image { data: Array3::zeros((1, 1, 1)), affine: Affine::from_spacing_mm([1.0; 3]) };
        let mut bytes = NiftiImage::from_volume(&volume, Datatype::I16, "a").as_bytes().to_vec();
        let case = Case { name: "a".into(), place: Place::Folder(folder.path().into()) };
        for (slices, expected) in [(256_i16, (1, "length: ")), (257, (2, "length: ")), (1025, (2, "at most"))]
        {
            for (at, side) in [(42, 512_i16), (44, 512), (46, slices)] {
                bytes[at..at + 2].copy_from_slice(&side.to_le_bytes());
            }
            std::fs::write(&path, &bytes).unwrap();
            let said = png(&case).unwrap_err();
            assert!(said.contains(expected.1) && !said.contains(folder.path().to_str().unwrap()), "{said}");
            assert_eq!(turns(&case), expected.0, "{slices} slices");
        }
    }
}
