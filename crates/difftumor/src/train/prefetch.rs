//! Batches made ahead by threads and handed over in order. What a batch holds depends on its number alone, so neither the
//! number of threads nor where a training was interrupted can change it.
use crate::error::{Result, caught};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Batches that are made ahead, the ones in work included: enough that one that takes long (its scan must be prepared, a model
/// paints its tumors) finds the others ready.
const AHEAD: u64 = 8;

/// Batches `first..=last` in order.
pub struct Prefetch<T> {
    shared: Arc<Shared<T>>,
    last: u64,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    /// The batch that is begun next.
    next: u64,
    /// The batch that is taken next.
    wanted: u64,
    ready: BTreeMap<u64, Result<T>>,
    /// Whether nobody takes any more.
    closed: bool,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts `threads` threads that call `make` with each number once. No more than eight batches, or one for each thread, are
    /// held and made at a time, however long one of them takes.
    pub fn new(
        first: u64,
        last: u64,
        threads: usize,
        make: impl Fn(u64) -> Result<T> + Send + Sync + 'static,
    ) -> Self {
        let state = State { next: first, wanted: first, ready: BTreeMap::new(), closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let (make, ahead) = (Arc::new(make), AHEAD.max(threads as u64));
        for _ in 0..threads {
            let (shared, make) = (shared.clone(), make.clone());
            thread::spawn(move || {
                while let Some(number) = shared.begin(last, ahead) {
                    let batch = caught(&format!("batch {number}"), || make(number));
                    shared.lock().ready.insert(number, batch);
                    shared.changed.notify_all();
                }
            });
        }
        Self { shared, last }
    }

    /// The next batch.
    ///
    /// # Errors
    /// What `make` returned for it, or that it panicked.
    ///
    /// # Panics
    /// After the last batch.
    pub fn take(&mut self) -> Result<T> {
        let mut state = self.shared.lock();
        assert!(state.wanted <= self.last, "{} batches were all taken", self.last);
        loop {
            let wanted = state.wanted;
            if let Some(batch) = state.ready.remove(&wanted) {
                state.wanted += 1;
                self.shared.changed.notify_all();
                return batch;
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Shared<T> {
    /// The batch to make next, as soon as one is due; `None` when there is none left to make.
    fn begin(&self, last: u64, ahead: u64) -> Option<u64> {
        let mut state = self.lock();
        while !state.closed && state.next <= last && state.next >= state.wanted + ahead {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let number = state.next;
        state.next += 1;
        (!state.closed && number <= last).then_some(number)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::time::Duration;

    #[test]
    fn batches_come_in_order_for_any_number_of_threads() {
        for threads in [1, 3] {
            let mut batches = Prefetch::new(5, 40, threads, |n| {
                thread::sleep(Duration::from_micros(n * 7919 % 300));
                if n == 9 { Err(Error::Exists { path: "x".into(), problem: "nine" }) } else { Ok(n) }
            });
            for n in 5..=40 {
                match batches.take() {
                    Ok(got) => assert_eq!(got, n),
                    Err(e) => assert!(n == 9 && e.to_string().contains("nine")),
                }
            }
        }
    }

    #[test]
    fn one_slow_batch_does_not_make_the_others_pile_up() {
        let begun = Arc::new(Mutex::new(vec![]));
        let seen = begun.clone();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let mut batches = Prefetch::new(1, 100, 3, move |n| {
            seen.lock().unwrap().push(n);
            if n == 1 {
                wait.lock().unwrap().recv().unwrap();
            }
            Ok(n)
        });
        // All that may be begun will be, sooner or later.
        while begun.lock().unwrap().len() < AHEAD as usize {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(20));
        assert_eq!(begun.lock().unwrap().len(), AHEAD as usize);
        go.send(()).unwrap();
        assert!((1..=100).all(|n| batches.take().unwrap() == n));
    }

    #[test]
    fn a_panic_is_an_error_of_its_batch() {
        let mut batches = Prefetch::new(1, 3, 2, |n| if n == 2 { panic!("two") } else { Ok(n) });
        assert_eq!(batches.take().unwrap(), 1);
        let error = batches.take().unwrap_err().to_string();
        assert!(error.contains("batch 2") && error.contains("two"), "{error}");
        assert_eq!(batches.take().unwrap(), 3);
    }
}
