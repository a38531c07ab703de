//! The folder of prepared scans, which several trainings may use at once: one file a scan, named by its key. What is in it can be
//! removed at any time; it is made anew when it is needed.
//!
//! The folder is bounded: before a file is written its room is made, under a lock, and taken at once (an empty file of its final
//! length). Those that have not been used for longest go. But what this training has used itself, or any other within the last hour,
//! stays: each pass takes the scans in another order, and of a set that does not fit most would else be thrown away right before
//! they are used again.
use super::key::Key;
use super::prepared::{self, Prepared};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Extension of a scan's file.
const EXTENSION: &str = "scan";
/// How a file is called until it is whole.
const TORN: &str = ".prepared-";
/// Locked while room is made and files get their names.
const LOCK: &str = ".lock";
/// What has been used since then may be in use by another training.
const RECENT: Duration = Duration::from_secs(3600);

/// The folder.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    limit_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Scans that this process has written or read through.
    used: BTreeSet<Key>,
    /// Whether it has been told that some do not fit.
    full: bool,
    /// Whether writing has failed: then no more is written.
    closed: bool,
}

/// Whether there is room for a file.
#[derive(Debug)]
enum Room {
    /// A file of its length, and its lock.
    Taken(tempfile::NamedTempFile),
    /// None, because so many bytes are in use.
    None(u64),
}

impl Store {
    /// The folder `dir`, which need not exist; of at most `limit_bytes`.
    pub(super) fn new(dir: PathBuf, limit_bytes: u64) -> Self {
        Self { dir, limit_bytes, state: Mutex::default() }
    }

    /// The scan of that key, if a file holds it. One that cannot be trusted is told and left to be replaced.
    pub(super) fn get(&self, key: &Key) -> Option<Prepared> {
        let path = self.path(key);
        let mut file = File::open(&path).ok()?;
        let check = !self.lock().used.contains(key);
        match prepared::open(&mut file, key, check) {
            Ok(scan) => {
                self.lock().used.insert(*key);
                touch(&path);
                Some(scan)
            }
            Err(problem) => {
                tracing::warn!("{} is not used: {problem}; it is made anew", path.display());
                None
            }
        }
    }

    /// Keeps a scan that is in memory, and gives it as it lies on the disk; as it is, if there is no room or something fails.
    pub(super) fn put(&self, key: &Key, scan: Prepared) -> Prepared {
        let Some(arrays) = scan.in_memory() else { return scan };
        if self.lock().closed {
            return scan;
        }
        let bytes = arrays.file_bytes();
        let written = self.room(bytes).and_then(|room| match room {
            Room::None(in_use) => {
                self.tell_full(bytes, in_use);
                Ok(false)
            }
            Room::Taken(mut file) => {
                prepared::write(file.as_file_mut(), key, arrays)?;
                file.as_file().sync_all()?;
                // Not while another lists the folder, which would find it under neither name.
                let _lock = self.folder_lock()?;
                file.persist(self.path(key))?;
                Ok(true)
            }
        });
        match written {
            Ok(false) => scan,
            Ok(true) => {
                self.lock().used.insert(*key);
                self.get(key).unwrap_or(scan)
            }
            Err(error) => {
                // Told once: several threads may come here.
                if !std::mem::replace(&mut self.lock().closed, true) {
                    let dir = self.dir.display();
                    tracing::warn!(
                        "{dir}: no more prepared scans are kept ({error}); those that are not there are prepared anew at \
                         each use; make room, or name another folder with --cache"
                    );
                }
                scan
            }
        }
    }

    fn tell_full(&self, bytes: u64, in_use: u64) {
        if !std::mem::replace(&mut self.lock().full, true) {
            let [bytes, in_use] = [bytes, in_use].map(|b| b as f64 / 1e9);
            tracing::warn!(
                "{}: {in_use:.2} GB of prepared scans are in use, and the next takes {bytes:.2} GB, more than --cache-gb allows; \
                 scans that do not fit are prepared anew at each use",
                self.dir.display()
            );
        }
    }

    /// Takes the room of a file.
    fn room(&self, bytes: u64) -> io::Result<Room> {
        fs::create_dir_all(&self.dir)?;
        let _lock = self.folder_lock()?;
        let used: BTreeSet<PathBuf> = self.lock().used.iter().map(|key| self.path(key)).collect();
        let (mut total, mut idle) = (0, vec![]);
        for file in files(&self.dir)? {
            total += file.bytes;
            if file.whole && file.unused_for > RECENT && !used.contains(&file.path) {
                idle.push(file);
            }
        }
        let spare: u64 = idle.iter().map(|file| file.bytes).sum();
        if (total - spare).saturating_add(bytes) > self.limit_bytes {
            return Ok(Room::None(total - spare));
        }
        idle.sort_by_key(|file| file.unused_for);
        while total.saturating_add(bytes) > self.limit_bytes {
            let Some(oldest) = idle.pop() else { return Ok(Room::None(total)) };
            // On some systems what another training has mapped cannot be removed.
            if fs::remove_file(&oldest.path).is_ok() {
                total -= oldest.bytes;
            }
        }
        // With the rights of any other file: a folder may be shared by several users.
        let file = tempfile::Builder::new().prefix(TORN).make_in(&self.dir, |path| File::create_new(path))?;
        let _ = file.as_file().lock();
        file.as_file().set_len(bytes)?;
        Ok(Room::Taken(file))
    }

    /// Until it is dropped.
    fn folder_lock(&self) -> io::Result<File> {
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(self.dir.join(LOCK))?;
        // Some network disks know no locks: there the bound may be passed by a file or two.
        let _ = lock.lock();
        Ok(lock)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(key.hex()).with_extension(EXTENSION)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file of the folder.
struct Kept {
    path: PathBuf,
    bytes: u64,
    unused_for: Duration,
    /// Whether it is a scan, and not one that is being written.
    whole: bool,
}

/// Scans and those that are being written. What a kill in the middle of writing has left is removed.
fn files(dir: &Path) -> io::Result<Vec<Kept>> {
    let mut kept = vec![];
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let torn = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(TORN));
        if !torn && path.extension().is_none_or(|e| e != EXTENSION) {
            continue;
        }
        if torn && is_orphan(&path) {
            let _ = fs::remove_file(&path);
            continue;
        }
        // What another training has removed just now is gone.
        let Ok(found) = fs::metadata(&path) else { continue };
        let unused_for = found.modified().ok().and_then(|t| SystemTime::now().duration_since(t).ok());
        kept.push(Kept {
            path,
            bytes: found.len(),
            unused_for: unused_for.unwrap_or_default(),
            whole: !torn,
        });
    }
    Ok(kept)
}

/// Whether nobody writes this file any more: who writes one holds its lock.
fn is_orphan(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Marks a file as used now; where that is not allowed it goes earlier, no more.
fn touch(path: &Path) {
    let _ = File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

#[cfg(test)]
mod tests {
    use super::super::prepared::Arrays;
    use super::*;
    use ndarray::Array3;

    const OLD: Duration = Duration::from_secs(2 * 3600);

    fn arrays(number: u8) -> Arrays {
        let image = Array3::from_elem((10, 10, 10), f32::from(number));
        Arrays { labels: None, image, lists: [vec![u32::from(number)], vec![]] }
    }

    fn key(number: u8) -> Key {
        Key([number; 32])
    }

    fn age(store: &Store, number: u8, by: Duration) {
        let file = File::options().append(true).open(store.path(&key(number))).unwrap();
        file.set_modified(SystemTime::now() - by).unwrap();
    }

    fn put(store: &Store, number: u8) -> bool {
        store.put(&key(number), arrays(number).into()).in_memory().is_none()
    }

    fn there(store: &Store) -> Vec<u8> {
        (0..20).filter(|n| store.path(&key(*n)).is_file()).collect()
    }

    /// A folder for so many scans.
    fn folder(dir: &Path, scans: u64) -> Store {
        Store::new(dir.join("prepared"), scans * arrays(0).file_bytes())
    }

    #[test]
    fn a_hit_is_what_was_put() {
        let dir = tempfile::tempdir().unwrap();
        let store = folder(dir.path(), 4);
        assert!(store.get(&key(1)).is_none());
        assert!(put(&store, 1));
        // Another process.
        let found = folder(dir.path(), 4).get(&key(1)).unwrap();
        assert_eq!((found.image()[[9, 9, 9]], found.list(0)), (1.0, &[1][..]));
    }

    #[test]
    fn the_least_recently_used_goes_but_nothing_that_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let earlier = folder(dir.path(), 3);
        for number in [1, 2, 3] {
            assert!(put(&earlier, number));
            age(&earlier, number, OLD + Duration::from_secs(u64::from(number)));
        }
        let now = folder(dir.path(), 3);
        // Used now, so that 2 is the oldest of the others.
        assert!(now.get(&key(3)).is_some());
        assert!(put(&now, 4));
        assert_eq!(there(&now), [1, 3, 4]);
        assert!(put(&now, 5));
        assert_eq!(there(&now), [3, 4, 5]);
        // Its own stay, as old as they are, and so do recent ones of others.
        age(&now, 3, OLD);
        assert!(!put(&now, 6) && !put(&folder(dir.path(), 2), 7));
        assert_eq!(there(&now), [3, 4, 5]);
        assert!(!put(&folder(&dir.path().join("none"), 0), 1));
    }

    #[test]
    fn damaged_files_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let store = folder(dir.path(), 3);
        assert!(put(&store, 1));
        let whole = fs::read(store.path(&key(1))).unwrap();
        for damaged in
            [&whole[..100], &whole[..whole.len() - 1], &[whole[..].to_vec(), vec![0]].concat(), b""]
        {
            fs::write(store.path(&key(1)), damaged).unwrap();
            let other = folder(dir.path(), 3);
            assert!(other.get(&key(1)).is_none());
            assert!(put(&other, 1));
            assert_eq!(fs::read(store.path(&key(1))).unwrap(), whole);
        }
    }

    #[test]
    fn what_a_kill_has_left_is_removed_and_what_is_being_written_counts() {
        let dir = tempfile::tempdir().unwrap();
        let store = folder(dir.path(), 2);
        assert!(put(&store, 1));
        let left = store.dir.join(".prepared-abc");
        fs::write(&left, vec![0; arrays(0).file_bytes() as usize]).unwrap();
        let writer = File::open(&left).unwrap();
        writer.lock().unwrap();
        assert!(!put(&store, 2) && left.exists());
        drop(writer);
        assert!(put(&store, 2) && !left.exists());
        // Nothing else is left, or touched.
        let names = fs::read_dir(&store.dir).unwrap().count();
        assert_eq!(names, 3, "two scans and the lock");
    }

    #[test]
    fn where_nothing_can_be_written_scans_stay_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let store = Store::new(file.join("prepared"), u64::MAX);
        assert!(!put(&store, 1) && !put(&store, 2));
        assert!(store.lock().closed && store.get(&key(1)).is_none());
    }

    #[test]
    fn several_writers_keep_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let kept: usize = std::thread::scope(|scope| {
            let start = |first: u8| {
                let store = folder(dir.path(), 5);
                move || (first..first + 4).filter(|n| put(&store, *n)).count()
            };
            let writers: Vec<_> = [0, 4, 8, 12].map(|first| scope.spawn(start(first))).into();
            writers.into_iter().map(|w| w.join().unwrap()).sum()
        });
        assert_eq!((kept, there(&folder(dir.path(), 5)).len()), (5, 5));
    }
}
