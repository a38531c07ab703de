//! Crops with synthetic tumors that are used a few times each, for generators slower than the training.
//!
//! A fixed set made beforehand costs accuracy (43.5 against 52.9 DSC, spec/pitfalls.md B10), so the set is always renewed: crop
//! number `k` joins when item `k · reuse` is drawn, and the oldest leaves. Which crop an item gets follows from its number and
//! its draws alone, so nothing depends on threads or time, and a resumed training sees the same ones.
use crate::error::Result;
use difftumor_ct::draws::Draws;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How many crops, and how often they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSettings {
    /// Crops that are held at most.
    pub size: u64,
    /// Items for each new crop; 1 makes one for every item, as published.
    pub reuse: u64,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { size: 64, reuse: 1 }
    }
}

/// The crops that are held. A number whose crop is being made is waited for.
pub struct Pool<T> {
    settings: PoolSettings,
    held: Mutex<BTreeMap<u64, Arc<OnceLock<Arc<T>>>>>,
}

impl<T> Pool<T> {
    /// An empty one.
    pub fn new(settings: PoolSettings) -> Self {
        Self { settings, held: Mutex::default() }
    }

    /// Number of the crop that item `n` gets.
    pub fn number(&self, n: u64, draws: &mut impl Draws) -> u64 {
        if self.settings.reuse <= 1 {
            return n;
        }
        let newest = n / self.settings.reuse;
        let alive = (newest + 1).min(self.settings.size.max(1));
        newest - draws.index(alive as usize) as u64
    }

    /// Crop `number`, made if it is not held.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get(&self, number: u64, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        if self.settings.reuse <= 1 {
            return Ok(Arc::new(make()?));
        }
        let place = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let place = held.entry(number).or_default().clone();
            while held.len() as u64 > self.settings.size.max(1) {
                held.pop_first();
            }
            place
        };
        if let Some(made) = place.get() {
            return Ok(made.clone());
        }
        // Two threads that want the same one both make it, and keep one: rarer than a lock is long.
        let made = Arc::new(make()?);
        Ok(place.get_or_init(|| made).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use difftumor_ct::draws::Stream;
    use std::cell::Cell;

    #[test]
    fn crops_are_used_as_often_as_asked_for_and_renewed() {
        let pool = Pool::new(PoolSettings { size: 8, reuse: 5 });
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
        }
        // 200 crops; a few are never drawn: (7/8)^40 of them.
        assert!((190..=200).contains(&made.get()), "{}", made.get());
        assert_eq!(uses.values().sum::<i32>(), 1000);
    }

    #[test]
    fn one_for_each_item_holds_nothing() {
        let pool = Pool::new(PoolSettings { size: 8, reuse: 1 });
        let numbers: Vec<u64> = (0..4).map(|n| pool.number(n, &mut Stream::new(1, n, "pool", 0))).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        pool.get(0, || Ok(())).unwrap();
        assert!(pool.held.lock().unwrap().is_empty());
    }
}
