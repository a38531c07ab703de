//! In which order a reader sees the items.
//!
//! Each reader has an order of their own, so that neither tiredness nor learning falls on the same items for all. Tumors that are shown
//! twice come in the first third and again in the last: at least a third of the study lies between, and the first time is known.
use super::{Entry, shuffle};
use difftumor_ct::draws::Stream;
use std::collections::BTreeSet;

/// Ids of all entries (sorted by id) in the order of `reader`.
///
/// # Panics
/// When more than a third of the entries are repeats.
pub(super) fn order(entries: &[Entry], seed: u64, reader: &str) -> Vec<String> {
    let pairs: Vec<(&str, &str)> =
        entries.iter().filter_map(|entry| Some((entry.repeats.as_deref()?, entry.id.as_str()))).collect();
    let (all, third) = (entries.len(), entries.len() / 3);
    assert!(pairs.len() <= third, "{} repeats among {all} entries", pairs.len());
    let mut draws = Stream::new(seed, 0, &format!("order of {reader}"), 0);
    let mut early: Vec<usize> = (0..third).collect();
    let mut late: Vec<usize> = (all - third..all).collect();
    shuffle(&mut early, &mut draws);
    shuffle(&mut late, &mut draws);
    let mut slots: Vec<Option<&str>> = vec![None; all];
    for (&(first, again), (early, late)) in pairs.iter().zip(early.into_iter().zip(late)) {
        (slots[early], slots[late]) = (Some(first), Some(again));
    }
    let paired: BTreeSet<&str> = pairs.iter().flat_map(|(first, again)| [*first, *again]).collect();
    let ids = entries.iter().map(|entry| entry.id.as_str());
    let mut others: Vec<&str> = ids.filter(|id| !paired.contains(id)).collect();
    shuffle(&mut others, &mut draws);
    let mut others = others.into_iter();
    let filled = slots.into_iter().map(|slot| slot.or_else(|| others.next()).expect("a slot for each entry"));
    filled.map(str::to_string).collect()
}
