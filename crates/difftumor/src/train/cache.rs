//! Scans that are prepared once: from a folder of prepared ones, or made anew and kept there. Which scan a batch gets depends on
//! the files alone, and not on what is kept.
//!
//! A scan is in memory, or mapped, while a batch is cut from it, and the latest one somewhat longer. Of mapped files the system
//! keeps as much in memory as it can spare, for all trainings together, and takes it back when it is needed elsewhere.
use super::TrainingPlace;
pub use super::key::Inputs;
use super::key::Key;
use super::prepared::{Arrays, Prepared};
use super::store::Store;
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A kind of scan that trainings are made of.
pub trait Scan: Sized + Send + Sync {
    /// Where one comes from.
    type Source: Send + Sync;
    /// Its name.
    fn name(source: &Self::Source) -> &str;
    /// Everything that [`Scan::prepare`] depends on.
    fn inputs(source: &Self::Source) -> Inputs<'_>;
    /// Makes it ready.
    ///
    /// # Errors
    /// When it cannot be used.
    fn prepare(source: &Self::Source) -> Result<Arrays>;
    /// What is made ready, with its name.
    fn new(source: &Self::Source, prepared: Prepared) -> Self;
}

/// Scans by number.
pub struct Cache<T: Scan> {
    scans: Vec<Place<T>>,
    store: Option<Arc<Store>>,
    latest: Mutex<Option<Arc<T>>>,
    /// Scans that cannot be used, and were told.
    told: Mutex<BTreeSet<usize>>,
    /// Those of them that are not read again: the disk of others may come back.
    bad: Mutex<BTreeSet<usize>>,
}

struct Place<T: Scan> {
    source: T::Source,
    /// Locked while it is made ready, so that nobody else makes it too.
    in_use: Mutex<Weak<T>>,
}

/// The folder of prepared scans of one training, for all its [`Cache`]s.
#[derive(Debug, Clone)]
pub struct Folder(Option<Arc<Store>>);

impl Folder {
    /// That of a training; none when it may hold nothing.
    pub fn of(place: &TrainingPlace) -> Self {
        let bytes = place.cache_bytes;
        Self((bytes > 0).then(|| Arc::new(Store::new(place.prepared(), bytes))))
    }
}

impl<T: Scan> Cache<T> {
    /// A cache of the scans.
    pub fn new(sources: impl IntoIterator<Item = T::Source>, folder: &Folder) -> Self {
        let place = |source| Place { source, in_use: Mutex::default() };
        Self {
            scans: sources.into_iter().map(place).collect(),
            store: folder.0.clone(),
            latest: Mutex::default(),
            told: Mutex::default(),
            bad: Mutex::default(),
        }
    }

    /// Number of scans.
    pub fn len(&self) -> usize {
        self.scans.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.scans.is_empty()
    }

    /// Where scan number `index` comes from.
    pub fn source(&self, index: usize) -> &T::Source {
        &self.scans[index].source
    }

    /// The first usable scan of `order`, which begins with the one that is wanted.
    ///
    /// # Errors
    /// The last scan's error, when none can be used.
    pub fn first_usable(&self, order: impl Iterator<Item = usize>) -> Result<Arc<T>> {
        let mut last = None;
        for index in order {
            if let Some(scan) = self.usable(index) {
                return Ok(scan);
            }
            last = Some(index);
        }
        let (expected, found) = ("at least one".into(), "none".into());
        let none = difftumor_ct::Error::Argument { what: "scans".into(), expected, found };
        last.map_or(Err(none.into()), |index| self.get(index))
    }

    /// Scan number `index`. `None` when it cannot be used, which is told once.
    pub fn usable(&self, index: usize) -> Option<Arc<T>> {
        if lock(&self.bad).contains(&index) {
            return None;
        }
        match self.get(index) {
            Ok(scan) => Some(scan),
            Err(error) => {
                if !matches!(error, Error::Ct(difftumor_ct::Error::Io { .. })) {
                    lock(&self.bad).insert(index);
                }
                if lock(&self.told).insert(index) {
                    tracing::warn!("{} is left out: {error}", T::name(self.source(index)));
                }
                None
            }
        }
    }

    /// Scan number `index`.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn get(&self, index: usize) -> Result<Arc<T>> {
        let place = &self.scans[index];
        let scan = {
            let mut in_use = lock(&place.in_use);
            match in_use.upgrade() {
                Some(scan) => scan,
                None => {
                    let scan = Arc::new(T::new(&place.source, self.prepared(&place.source)?));
                    *in_use = Arc::downgrade(&scan);
                    scan
                }
            }
        };
        *lock(&self.latest) = Some(scan.clone());
        Ok(scan)
    }

    fn prepared(&self, source: &T::Source) -> Result<Prepared> {
        let Some(store) = &self.store else { return Ok(T::prepare(source)?.into()) };
        let key = Key::of(&T::inputs(source))?;
        if let Some(scan) = store.get(&key) {
            return Ok(scan);
        }
        let made: Prepared = T::prepare(source)?.into();
        // Of a file that changed while it was read nobody knows what was read.
        Ok(if Key::of(&T::inputs(source))? == key { store.put(&key, made) } else { made })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A file of a few numbers, and how often it was made ready.
    struct Source {
        file: PathBuf,
        made: Arc<AtomicUsize>,
    }

    struct Numbers(Prepared);

    impl Scan for Numbers {
        type Source = Source;
        fn name(source: &Source) -> &str {
            source.file.file_name().unwrap().to_str().unwrap()
        }
        fn inputs(source: &Source) -> Inputs<'_> {
            Inputs { how: "numbers".into(), files: vec![&source.file] }
        }
        fn prepare(source: &Source) -> Result<Arrays> {
            source.made.fetch_add(1, Ordering::Relaxed);
            let text = std::fs::read_to_string(&source.file).map_err(Error::io(&source.file, "read"))?;
            let bad = |_| Error::format(&source.file, "numbers", "a number", text.clone(), "none");
            let image = Array3::from_elem((2, 3, 4), text.parse::<f32>().map_err(bad)?);
            Ok(Arrays { image, labels: None, lists: [vec![], vec![]] })
        }
        fn new(_: &Source, prepared: Prepared) -> Self {
            Self(prepared)
        }
    }

    fn folder(dir: &Path, bytes: u64) -> Folder {
        Folder((bytes > 0).then(|| Arc::new(Store::new(dir.join("prepared"), bytes))))
    }

    fn cache(dir: &Path, numbers: &[&str], bytes: u64) -> (Cache<Numbers>, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let source = |(i, text): (usize, &&str)| {
            let file = dir.join(format!("{i}.txt"));
            if std::fs::read_to_string(&file).ok().as_deref() != Some(text) {
                std::fs::write(&file, text).unwrap();
            }
            Source { file, made: made.clone() }
        };
        (Cache::new(numbers.iter().enumerate().map(source), &folder(dir, bytes)), made)
    }

    fn value(scan: &Numbers) -> f32 {
        scan.0.image()[[1, 2, 3]]
    }

    #[test]
    fn a_scan_is_made_once_for_all_and_anew_when_its_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (first, made) = cache(dir.path(), &["1", "2"], 10_000);
        for i in [0, 1, 0, 1] {
            assert_eq!(value(&first.get(i).unwrap()), 1.0 + i as f32);
        }
        assert_eq!(made.load(Ordering::Relaxed), 2);
        let (second, made) = cache(dir.path(), &["1", "23"], 10_000);
        assert_eq!([0, 1].map(|i| value(&second.get(i).unwrap())), [1.0, 23.0]);
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn without_room_only_what_is_in_use_is_held() {
        let dir = tempfile::tempdir().unwrap();
        for bytes in [0, 100] {
            let (cache, made) = cache(dir.path(), &["1", "2", "3"], bytes);
            let in_use = cache.get(0).unwrap();
            for i in [0, 1, 1, 2, 1, 0] {
                assert_eq!(value(&cache.get(i).unwrap()), 1.0 + i as f32);
            }
            // 0 is in use all the time, 1 went for 2.
            assert_eq!(made.load(Ordering::Relaxed), 4);
            drop(in_use);
            assert!(cache.scans[1].in_use.lock().unwrap().upgrade().is_none());
        }
        let kept = std::fs::read_dir(dir.path().join("prepared")).unwrap().count();
        assert_eq!(kept, 1, "the lock alone");
    }

    #[test]
    fn bad_scans_are_passed_over_and_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, made) = cache(dir.path(), &["bad", "2"], 10_000);
        for _ in 0..3 {
            assert_eq!(value(&cache.first_usable([0, 1].into_iter()).unwrap()), 2.0);
        }
        assert_eq!(made.load(Ordering::Relaxed), 2);
        let told = |order: &[usize]| cache.first_usable(order.iter().copied()).err().unwrap().to_string();
        assert!(told(&[0]).contains("0.txt") && told(&[]).contains("at least one"));
        // A disk that is away for a while.
        std::fs::rename(dir.path().join("1.txt"), dir.path().join("away")).unwrap();
        *cache.latest.lock().unwrap() = None;
        assert!(cache.usable(1).is_none());
        std::fs::rename(dir.path().join("away"), dir.path().join("1.txt")).unwrap();
        assert!(cache.usable(1).is_some());
    }

    #[test]
    fn threads_that_want_the_same_scan_make_it_once() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, made) = cache(dir.path(), &["7"], 0);
        std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| cache.get(0).unwrap()));
            assert!(threads.into_iter().all(|t| value(&t.join().unwrap()) == 7.0));
        });
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }
}
