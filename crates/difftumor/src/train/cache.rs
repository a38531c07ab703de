//! Prepared scans in memory, as far as it reaches. Which scan a batch gets depends on the files alone, and not on what is in
//! memory.
use crate::error::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Makes scan number `i` ready.
type Prepare<T> = Box<dyn Fn(usize) -> Result<T> + Send + Sync>;

/// Something that takes memory.
pub trait Sized {
    /// How much, in bytes.
    fn bytes(&self) -> usize;
}

/// Prepared scans; the most recently used stay.
pub struct Cache<T> {
    names: Vec<String>,
    prepare: Prepare<T>,
    limit_bytes: usize,
    held: Mutex<Held<T>>,
}

struct Held<T> {
    /// When each was used last.
    scans: BTreeMap<usize, (u64, Arc<T>)>,
    bytes: usize,
    clock: u64,
    told: BTreeSet<usize>,
}

impl<T: Sized> Cache<T> {
    /// A cache of at most `limit_bytes` (but of one scan at least) of what `prepare` makes of the scans' numbers.
    pub fn new(
        names: Vec<String>,
        limit_bytes: usize,
        prepare: impl Fn(usize) -> Result<T> + Send + Sync + 'static,
    ) -> Self {
        let held = Held { scans: BTreeMap::new(), bytes: 0, clock: 0, told: BTreeSet::new() };
        Self { names, prepare: Box::new(prepare), limit_bytes, held: Mutex::new(held) }
    }

    /// Number of scans.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The first usable scan of `order`, which begins with the one that is wanted. One that cannot be used is
    /// told once.
    ///
    /// # Errors
    /// The last scan's error, when none can be used.
    pub fn first_usable(&self, order: impl Iterator<Item = usize>) -> Result<Arc<T>> {
        let mut last = None;
        for index in order {
            match self.get(index) {
                Ok(scan) => return Ok(scan),
                Err(error) => {
                    if self.lock().told.insert(index) {
                        tracing::warn!("{} is left out: {error}", self.names[index]);
                    }
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            let (expected, found) = ("at least one".into(), "none".into());
            difftumor_ct::Error::Argument { what: "scans".into(), expected, found }.into()
        }))
    }

    /// Scan number `index`.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn get(&self, index: usize) -> Result<Arc<T>> {
        {
            let mut held = self.lock();
            held.clock += 1;
            let clock = held.clock;
            if let Some((used, scan)) = held.scans.get_mut(&index) {
                *used = clock;
                return Ok(scan.clone());
            }
        }
        // Not under the lock: several threads read several scans.
        let scan = Arc::new((self.prepare)(index)?);
        let mut held = self.lock();
        let clock = held.clock;
        if held.scans.insert(index, (clock, scan.clone())).is_none() {
            held.bytes += scan.bytes();
        }
        while held.bytes > self.limit_bytes && held.scans.len() > 1 {
            let others = held.scans.iter().filter(|(i, _)| **i != index);
            let oldest = others.min_by_key(|(_, (used, _))| *used).map(|(i, _)| *i);
            let Some((_, old)) = oldest.and_then(|i| held.scans.remove(&i)) else { break };
            held.bytes -= old.bytes();
        }
        Ok(scan)
    }

    fn lock(&self) -> MutexGuard<'_, Held<T>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Scan(usize);
    impl Sized for Scan {
        fn bytes(&self) -> usize {
            10
        }
    }

    #[test]
    fn the_least_recently_used_goes_and_bad_ones_are_passed_over() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let cache = Cache::new((0..4).map(|i| i.to_string()).collect(), 25, move |i| {
            count.fetch_add(1, Ordering::Relaxed);
            match i {
                3 => Err(Error::Exists { path: "three".into(), problem: "is bad" }),
                _ => Ok(Scan(i)),
            }
        });
        for i in [0, 1, 0, 2, 0] {
            assert_eq!(cache.get(i).unwrap().0, i);
        }
        assert_eq!(made.load(Ordering::Relaxed), 3); // 1 went for 2
        cache.get(1).unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 4);
        assert_eq!(cache.first_usable([3, 1].into_iter()).unwrap().0, 1);
        assert!(cache.first_usable([3].into_iter()).is_err_and(|e| e.to_string().contains("three")));
        assert!(cache.first_usable([].into_iter()).is_err());
    }
}
