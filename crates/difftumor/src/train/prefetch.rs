//! Batches made ahead by threads and handed over in order. What a batch holds depends on its number alone, so neither the
//! number of threads nor where a training was interrupted can change it.
use crate::error::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Batches `first..=last` in order.
pub struct Prefetch<T> {
    ready: Receiver<(u64, Result<T>)>,
    early: BTreeMap<u64, Result<T>>,
    next: u64,
    waited: Duration,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts `threads` threads that call `make` with each number once. At most twice as many batches are held.
    pub fn new(
        first: u64,
        last: u64,
        threads: usize,
        make: impl Fn(u64) -> Result<T> + Send + Sync + 'static,
    ) -> Self {
        let (send, ready) = sync_channel(threads);
        let counter = Arc::new(AtomicU64::new(first));
        let make = Arc::new(make);
        for _ in 0..threads {
            let (send, counter, make) = (send.clone(), counter.clone(), make.clone());
            thread::spawn(move || {
                loop {
                    let number = counter.fetch_add(1, Ordering::Relaxed);
                    // The receiver is gone when the training has ended.
                    if number > last || send.send((number, make(number))).is_err() {
                        return;
                    }
                }
            });
        }
        Self { ready, early: BTreeMap::new(), next: first, waited: Duration::ZERO }
    }

    /// The next batch.
    ///
    /// # Errors
    /// What `make` returned for it.
    ///
    /// # Panics
    /// After the last batch, and when a thread panicked.
    #[expect(clippy::should_implement_trait, reason = "it does not end with a None")]
    pub fn next(&mut self) -> Result<T> {
        let start = Instant::now();
        let batch = loop {
            if let Some(batch) = self.early.remove(&self.next) {
                break batch;
            }
            let (number, batch) = self.ready.recv().expect("a thread that makes batches ended early");
            self.early.insert(number, batch);
        };
        self.next += 1;
        self.waited += start.elapsed();
        batch
    }

    /// How long [`Prefetch::next`] has waited so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn batches_come_in_order_for_any_number_of_threads() {
        for threads in [1, 3] {
            let mut batches = Prefetch::new(5, 40, threads, |n| {
                thread::sleep(Duration::from_micros(n * 7919 % 300));
                if n == 9 { Err(Error::Exists { path: "x".into(), problem: "nine" }) } else { Ok(n) }
            });
            for n in 5..=40 {
                match batches.next() {
                    Ok(got) => assert_eq!(got, n),
                    Err(e) => assert!(n == 9 && e.to_string().contains("nine")),
                }
            }
            assert!(batches.waited() > Duration::ZERO);
        }
    }
}
