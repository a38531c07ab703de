//! The visual Turing test: real or synthetic? (Paper 4.1, Table 1.)
use super::share::{Share, binomial_p};
use super::{REAL, Read};
use crate::format::Key;
use serde::Serialize;
use std::collections::BTreeSet;

/// One reader's scores for one organ. Positives are real tumors, as in the paper.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turing {
    /// The organ; `None`: all.
    pub organ: Option<String>,
    /// Real tumors called real.
    pub sensitivity: Share,
    /// Synthetic tumors called synthetic.
    pub specificity: Share,
    /// Tumors called what they are.
    pub accuracy: Share,
    /// Probability of an accuracy at least as far from a half if the reader threw a coin ([`binomial_p`]).
    pub p_value: Option<f64>,
}

/// A row for each organ of the key, and one for all when there are several.
pub(super) fn rows(key: &Key, reads: &[Read<'_>]) -> Vec<Turing> {
    let organs: BTreeSet<&str> = key.items.values().map(|truth| truth.organ.as_str()).collect();
    let all = (organs.len() > 1).then_some(None);
    organs.into_iter().map(Some).chain(all).map(|organ| row(organ, reads)).collect()
}

fn row(organ: Option<&str>, reads: &[Read<'_>]) -> Turing {
    let of_organ = || reads.iter().filter(|read| organ.is_none_or(|organ| read.organ == organ));
    let count = |real: bool, right: bool| {
        let fits = |read: &&Read<'_>| (read.truth == REAL) == real && (read.truth == read.answer) == right;
        of_organ().filter(fits).count()
    };
    let (real_right, real_wrong) = (count(true, true), count(true, false));
    let (synthetic_right, synthetic_wrong) = (count(false, true), count(false, false));
    let (right, all) = (real_right + synthetic_right, of_organ().count());
    Turing {
        organ: organ.map(str::to_string),
        sensitivity: Share::of(real_right, real_right + real_wrong),
        specificity: Share::of(synthetic_right, synthetic_right + synthetic_wrong),
        accuracy: Share::of(right, all),
        p_value: binomial_p(right, all, 0.5),
    }
}
