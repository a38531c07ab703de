//! Do readers agree with one another, and with themselves?
use super::kappa::{Cohen, Fleiss};
use super::share::Share;
use super::{Read, Sheet, place};
use crate::format::{Key, Readers, Study};
use serde::Serialize;
use std::collections::BTreeMap;

/// Agreement between readers, on first showings. Readers without any answer are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// Each two readers, on what both answered.
    pub pairs: Vec<Pair>,
    /// All readers, on what all answered. `None` with fewer than two readers, or when no item was answered by all.
    pub all: Option<Fleiss>,
}

/// Two readers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// Their names.
    pub readers: [String; 2],
    /// `None` when there is no item that both answered.
    pub cohen: Option<Cohen>,
}

/// A reader's agreement with themselves, on what they answered both times.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Again {
    /// Repeats answered alike.
    pub equal: Share,
    /// `None` when no repeat was answered.
    pub cohen: Option<Cohen>,
}

impl Agreement {
    /// `reads` are in the readers' order.
    pub(super) fn of(study: &Study, readers: &Readers, reads: &[Vec<Read<'_>>]) -> Self {
        let by_item = |reads: &Vec<Read<'_>>| -> BTreeMap<String, usize> {
            reads.iter().map(|read| (read.item.to_string(), place(&study.choices, read.answer))).collect()
        };
        let named = readers.readers.iter().map(|reader| reader.name.as_str()).zip(reads.iter().map(by_item));
        let active: Vec<(&str, BTreeMap<String, usize>)> =
            named.filter(|(_, reads)| !reads.is_empty()).collect();
        let k = study.choices.len();
        let mut pairs = Vec::new();
        for (i, (a, a_reads)) in active.iter().enumerate() {
            for (b, b_reads) in &active[i + 1..] {
                let both = a_reads.iter().filter_map(|(item, a)| Some((*a, *b_reads.get(item)?)));
                pairs.push(Pair {
                    readers: [a.to_string(), b.to_string()],
                    cohen: Cohen::of(&table(k, both)),
                });
            }
        }
        Self { pairs, all: Fleiss::of(&counts(k, &active)) }
    }
}

/// How many readers gave each item each answer, for items that all answered.
fn counts(k: usize, readers: &[(&str, BTreeMap<String, usize>)]) -> Vec<Vec<usize>> {
    let Some(((_, first), others)) = readers.split_first() else {
        return Vec::new();
    };
    let by_all = first.iter().filter(|(item, _)| others.iter().all(|(_, reads)| reads.contains_key(*item)));
    by_all
        .map(|(item, _)| {
            let mut row = vec![0; k];
            readers.iter().for_each(|(_, reads)| row[reads[item]] += 1);
            row
        })
        .collect()
}

impl Again {
    pub(super) fn of(choices: &[String], key: &Key, sheet: &Sheet<'_>) -> Self {
        let twice = key.items.iter().filter_map(|(id, truth)| {
            let (first, again) = (sheet.get(truth.repeats.as_deref()?)?, sheet.get(id.as_str())?);
            Some((place(choices, &first.answer), place(choices, &again.answer)))
        });
        let pairs: Vec<(usize, usize)> = twice.collect();
        let equal = pairs.iter().filter(|(first, again)| first == again).count();
        Self {
            equal: Share::of(equal, pairs.len()),
            cohen: Cohen::of(&table(choices.len(), pairs.into_iter())),
        }
    }
}

/// A square table of pairs of answers.
fn table(k: usize, pairs: impl Iterator<Item = (usize, usize)>) -> Vec<Vec<usize>> {
    let mut table = vec![vec![0; k]; k];
    pairs.for_each(|(a, b)| table[a][b] += 1);
    table
}
