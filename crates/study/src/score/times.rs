//! How long readers looked. All answers count, those to repeats too; of a changed answer the last revision's time.
use super::{Sheet, true_choice};
use crate::format::{Key, Study};
use serde::Serialize;

/// One reader's reading times.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Times {
    /// All answers.
    pub all: Spread,
    /// By what the tumors are, in the order of the study's choices.
    pub by_truth: Vec<(String, Spread)>,
}

/// Reading times of some answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// How many.
    pub answers: usize,
    /// Their sum.
    pub total_s: f64,
    /// Lower quartile, median and upper quartile, between neighbours in proportion (type 7 of Hyndman and Fan 1996). `None` without answers.
    pub quartiles_s: Option<[f64; 3]>,
}

impl Times {
    pub(super) fn of(study: &Study, key: &Key, sheet: &Sheet<'_>) -> Self {
        let times_ms = |truth: Option<&str>| -> Vec<u64> {
            let is_meant =
                |item: &str| truth.is_none_or(|truth| true_choice(study.kind, &key.items[item]) == truth);
            sheet.iter().filter(|(item, _)| is_meant(item)).map(|(_, answer)| answer.reading_ms).collect()
        };
        let by_truth = study.choices.iter().map(|truth| (truth.clone(), Spread::of(times_ms(Some(truth)))));
        Self { all: Spread::of(times_ms(None)), by_truth: by_truth.collect() }
    }
}

impl Spread {
    fn of(mut times_ms: Vec<u64>) -> Self {
        times_ms.sort_unstable();
        let last = times_ms.len().saturating_sub(1);
        let quantile = |share: f64| {
            let at = share * last as f64;
            let (below, part) = (at.floor() as usize, at.fract());
            let (low, high) = (times_ms[below] as f64, times_ms[(below + 1).min(last)] as f64);
            (low + part * (high - low)) / 1000.0
        };
        Self {
            answers: times_ms.len(),
            // As f64: the sum of what a damaged file holds must not overflow.
            total_s: times_ms.iter().map(|ms| *ms as f64).sum::<f64>() / 1000.0,
            quartiles_s: (!times_ms.is_empty()).then(|| [0.25, 0.5, 0.75].map(quantile)),
        }
    }
}
