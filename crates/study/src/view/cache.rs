//! Thumbnails kept for the next time: in the folder of the system for such things, one PNG for each key.
use super::picture::SIDE;
use difftumor_ct::io::write_atomically;
use std::fs::DirBuilder;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

/// Largest PNG taken from the cache, in bytes: twice one that does not compress.
const LARGEST_PNG: u64 = 160 << 10;

/// A folder of PNGs, or none to keep them in.
#[derive(Debug)]
pub(super) struct Cache(pub(super) Option<PathBuf>);

impl Default for Cache {
    /// `difftumor/thumbnails` in the user's folder of caches.
    fn default() -> Self {
        let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let caches = folder("XDG_CACHE_HOME")
            .or_else(|| folder("LOCALAPPDATA"))
            .or_else(|| folder("HOME").map(|home| home.join(".cache")));
        Self(caches.map(|caches| caches.join("difftumor").join("thumbnails")))
    }
}

impl Cache {
    fn path(&self, key: &str) -> Option<PathBuf> {
        Some(self.0.as_ref()?.join(format!("{key}.png")))
    }

    /// What was kept, if it is whole.
    pub(super) fn read(&self, key: &str) -> Option<Vec<u8>> {
        let bytes = crate::bounded::read(&self.path(key)?, LARGEST_PNG).ok()?;
        is_whole(&bytes).then_some(bytes)
    }

    /// A cache that cannot be written is none: the picture is there all the same.
    pub(super) fn keep(&self, key: &str, png: &[u8]) {
        let Some(path) = self.path(key) else { return };
        let written = make_folder(path.parent().expect("a file in a folder"))
            .map_err(difftumor_ct::Error::io(&path, "create"))
            .and_then(|()| write_atomically(&path, |file| file.write_all(png)));
        if let Err(error) = written {
            tracing::debug!("a thumbnail is not kept: {error}");
        }
    }
}

/// For this user alone: what it holds are pictures of patients.
fn make_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// A PNG of a thumbnail's size whose pixels can all be read.
fn is_whole(bytes: &[u8]) -> bool {
    let Ok(mut reader) = png::Decoder::new(Cursor::new(bytes)).read_info() else { return false };
    let size = [reader.info().width, reader.info().height];
    if size.iter().any(|side| *side as usize > SIDE) {
        return false;
    }
    let mut pixels = vec![0; reader.output_buffer_size().unwrap_or(0)];
    reader.next_frame(&mut pixels).and_then(|_| reader.finish()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::picture::Picture;

    #[test]
    fn whole_ones_come_back_and_damaged_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache(Some(folder.path().join("new/folder")));
        let png = |side: usize| Picture { width: side, height: side, rgb: vec![7; 3 * side * side] }.to_png();
        let good = png(SIDE);
        assert_eq!(cache.read("a"), None);
        cache.keep("a", &good);
        assert_eq!(cache.read("a").as_deref(), Some(&good[..]));
        let path = folder.path().join("new/folder/a.png");
        for bad in
            [&good[..good.len() / 2], &good[..8], b"", &png(SIDE + 1), &vec![0; LARGEST_PNG as usize + 1]]
        {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(cache.read("a"), None, "{} bytes", bad.len());
        }
        cache.keep("a", &good);
        assert!(cache.read("a").is_some());
        // Nowhere to keep it is no error.
        Cache(None).keep("a", &good);
        Cache(Some(path)).keep("a", &good);
    }

    #[cfg(unix)]
    #[test]
    fn other_users_cannot_look_into_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        Cache(Some(kept.clone())).keep("a", b"x");
        assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}
