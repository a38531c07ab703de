//! Crops with synthetic tumors that are used a few times each, for generators slower than the training.
//!
//! A fixed set made beforehand costs accuracy (43.5 against 52.9 DSC, spec/pitfalls.md B10), so the set is always renewed: crop
//! number `k` joins when `k · reuse` have been needed, and the oldest leaves. Which crop an item gets follows from its number and
//! its draws alone, so nothing depends on threads or time, and a resumed training sees the same ones. A thread of its own makes
//! them in their order, so that they are there when they are drawn; one that is not yet is made, or waited for.
use crate::error::Result;
use difftumor_ct::draws::Draws;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Crops that are made before they join.
const AHEAD: u64 = 2;

/// How many crops, and how often they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSettings {
    /// Crops that are held at most.
    pub size: u64,
    /// Times that a crop is used on average; 1 makes one for every item that needs one, as published.
    pub reuse: u64,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { size: 64, reuse: 1 }
    }
}

/// The crops that are held.
pub struct Pool<T> {
    settings: PoolSettings,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    held: BTreeMap<u64, Slot<T>>,
    /// The latest that has joined.
    newest: u64,
    /// Whether none is made ahead any more.
    closed: bool,
}

/// Locked while its crop is made.
type Slot<T> = Arc<Mutex<Option<Arc<T>>>>;

impl<T> Pool<T> {
    /// An empty one, for a training in which `needed` crops have been needed before.
    pub fn new(settings: PoolSettings, needed: u64) -> Self {
        let state = State { held: BTreeMap::new(), newest: needed / settings.reuse.max(1), closed: false };
        Self { settings, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Whether crops are used more than once.
    pub fn reuses(&self) -> bool {
        self.settings.reuse > 1
    }

    /// Number of the crop for an item before which `needed` have been needed.
    pub fn number(&self, needed: u64, draws: &mut impl Draws) -> u64 {
        let newest = needed / self.settings.reuse;
        {
            let mut state = self.lock();
            state.newest = state.newest.max(newest);
        }
        self.changed.notify_all();
        let alive = (newest + 1).min(self.settings.size);
        newest - draws.index(alive as usize) as u64
    }

    /// Crop `number`, made if it is not held.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get(&self, number: u64, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let slot = {
            let mut state = self.lock();
            let slot = state.held.entry(number).or_default().clone();
            let oldest = self.oldest(&state);
            state.held.retain(|held, _| *held >= oldest);
            slot
        };
        let mut crop = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match &*crop {
            Some(made) => Ok(made.clone()),
            None => Ok(crop.insert(Arc::new(make()?)).clone()),
        }
    }

    /// The crop to make after those before `number`, as soon as one is due; `None` when no more are.
    pub fn due(&self, number: u64) -> Option<u64> {
        let mut state = self.lock();
        loop {
            let number = number.max(self.oldest(&state));
            if state.closed {
                return None;
            }
            if number <= state.newest + AHEAD {
                return Some(number);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No more crops are made ahead.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The first that has not left.
    fn oldest(&self, state: &State<T>) -> u64 {
        (state.newest + 1).saturating_sub(self.settings.size)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use difftumor_ct::draws::Stream;
    use std::cell::Cell;

    #[test]
    fn crops_are_used_as_often_as_asked_for_and_renewed() {
        let pool = Pool::new(PoolSettings { size: 8, reuse: 5 }, 0);
        let made = Cell::new(0);
        let mut uses = BTreeMap::new();
        for n in 0..1000 {
            let number = pool.number(n, &mut Stream::new(1, n, "pool", 0));
            assert!(number <= n / 5 && number + 8 > n / 5);
            *uses.entry(number).or_insert(0) += 1;
            let got = pool.get(number, || {
                made.set(made.get() + 1);
                Ok(number)
            });
            assert_eq!(*got.unwrap(), number);
            assert!(pool.lock().held.len() <= 8);
        }
        // 200 crops; a few are never drawn: (7/8)^40 of them.
        assert!((190..=200).contains(&made.get()), "{}", made.get());
        assert_eq!(uses.values().sum::<i32>(), 1000);
    }

    #[test]
    fn crops_are_made_ahead_in_their_order_and_no_further() {
        let pool = Arc::new(Pool::new(PoolSettings { size: 4, reuse: 2 }, 100));
        // A training that goes on: 47 to 50 are in use, and two more are made.
        let mut next = 0;
        for expected in 47..=50 + AHEAD {
            let number = pool.due(next).unwrap();
            assert_eq!(number, expected);
            pool.get(number, || Ok(number)).unwrap();
            next = number + 1;
        }
        let maker = {
            let pool = pool.clone();
            std::thread::spawn(move || (pool.due(next), pool.due(next + 1)))
        };
        pool.number(102, &mut Stream::new(1, 0, "pool", 0));
        while pool.lock().newest != 51 {}
        std::thread::sleep(std::time::Duration::from_millis(5));
        pool.close();
        assert_eq!(maker.join().unwrap(), (Some(53), None));
    }

    #[test]
    fn a_failure_is_told_to_whoever_wants_the_crop() {
        let pool = Pool::new(PoolSettings { size: 4, reuse: 2 }, 0);
        let bad = || Err::<(), _>(Error::Exists { path: "x".into(), problem: "bad" });
        assert!(pool.get(0, bad).is_err() && pool.get(0, bad).is_err());
        assert!(pool.get(0, || Ok(())).is_ok());
    }
}
