//! Scores a study: what readers answered against the key.
//!
//! A tumor that is shown twice counts once, as it was answered the first time; the second time tells how far a reader agrees with
//! themselves. Of an answer that was changed, the last counts.
//!
//! Limits are those of 95 %: exact ones of Clopper and Pearson for shares, and those of large samples for kappas. Answers of several readers
//! to one tumor are not independent, so what is pooled over readers has no limits.
//!
//! Source: paper 2 (1), 4.1, Fig. 2, Table 1.
mod agreement;
mod check;
mod files;
mod kappa;
mod organs;
mod page;
mod plot;
mod share;
mod table;
mod times;
mod turing;

pub use agreement::{Again, Agreement, Pair};
pub use files::{read_key, read_links, read_study};
pub use kappa::{Cohen, Fleiss};
pub use organs::Confusion;
pub use page::html;
pub use share::{Share, binomial_p};
pub use table::csv;
pub use times::{Spread, Times};
pub use turing::Turing;

use crate::error::Result;
use crate::format::{Answer, Key, Kind, Readers, Study, Truth};
use difftumor_ct::metrics::interval::CONFIDENCE;
use serde::Serialize;
use std::collections::BTreeMap;

/// All that a study's answers tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// The study's title.
    pub title: String,
    /// What readers were asked.
    pub kind: Kind,
    /// SHA-256 of `study.json`.
    pub study_sha256: String,
    /// How many different tumors were shown.
    pub tumors: usize,
    /// How many of them were shown twice.
    pub repeats: usize,
    /// What all limits cover.
    pub confidence: f64,
    /// Each reader's, in the study's order.
    pub readers: Vec<ReaderScores>,
    /// Organ recognition: the answers of all readers.
    pub pooled: Option<Confusion>,
    /// How far readers agree with one another.
    pub agreement: Agreement,
}

/// One reader's scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReaderScores {
    /// The reader's name.
    pub reader: String,
    /// Tumors answered, repeats not counted.
    pub answered: usize,
    /// Tumors not answered.
    pub unanswered: usize,
    /// Visual Turing test: a row for each organ, and one for all when there are several.
    pub turing: Vec<Turing>,
    /// Organ recognition.
    pub confusion: Option<Confusion>,
    /// How far the reader agrees with themselves.
    pub again: Again,
    /// Reading times.
    pub times: Times,
}

/// Scores a study. `study_sha256` is the SHA-256 of the file that `study` was read from ([`read_study`] gives it).
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the key is another study's or does not fit its items, when an answer is of a reader or
/// item that is not there or none of the choices, or when a revision is there twice.
pub fn score(
    study: &Study,
    study_sha256: &str,
    readers: &Readers,
    key: &Key,
    answers: &[Answer],
) -> Result<Scores> {
    check::key(study, study_sha256, key)?;
    check::readers(readers, key)?;
    let sheets = check::answers(study, readers, answers)?;
    let first_showings = key.items.values().filter(|truth| truth.repeats.is_none()).count();
    let first: Vec<Vec<Read<'_>>> = sheets.iter().map(|sheet| first_reads(study.kind, key, sheet)).collect();
    let scores =
        readers.readers.iter().zip(&sheets).zip(&first).map(|((reader, sheet), first)| ReaderScores {
            reader: reader.name.clone(),
            answered: first.len(),
            unanswered: first_showings - first.len(),
            turing: match study.kind {
                Kind::VisualTuring => turing::rows(key, first),
                Kind::OrganRecognition => Vec::new(),
            },
            confusion: (study.kind == Kind::OrganRecognition)
                .then(|| Confusion::of_reader(&study.choices, first)),
            again: Again::of(&study.choices, key, sheet),
            times: Times::of(study, key, sheet),
        });
    Ok(Scores {
        title: study.title.clone(),
        kind: study.kind,
        study_sha256: study_sha256.into(),
        tumors: first_showings,
        repeats: key.items.len() - first_showings,
        confidence: CONFIDENCE,
        readers: scores.collect(),
        pooled: (study.kind == Kind::OrganRecognition).then(|| Confusion::pooled(&study.choices, &first)),
        agreement: Agreement::of(study, readers, &first),
    })
}

/// What one reader answered last, by item.
type Sheet<'a> = BTreeMap<&'a str, &'a Answer>;

/// One answer to a tumor's first showing.
struct Read<'a> {
    item: &'a str,
    organ: &'a str,
    /// The choice that is true.
    truth: &'a str,
    /// The choice that was made.
    answer: &'a str,
}

/// A reader's answers to first showings, by item.
fn first_reads<'a>(kind: Kind, key: &'a Key, sheet: &Sheet<'a>) -> Vec<Read<'a>> {
    let read = |(item, answer): (&&'a str, &&'a Answer)| {
        let truth = &key.items[*item];
        let read =
            Read { item, organ: &truth.organ, truth: true_choice(kind, truth), answer: &answer.answer };
        truth.repeats.is_none().then_some(read)
    };
    sheet.iter().filter_map(read).collect()
}

/// The answer that would be right.
fn true_choice(kind: Kind, truth: &Truth) -> &str {
    match kind {
        Kind::OrganRecognition => &truth.organ,
        Kind::VisualTuring if truth.synthetic => SYNTHETIC,
        Kind::VisualTuring => REAL,
    }
}

/// The choices of a visual Turing test.
const REAL: &str = "real";
const SYNTHETIC: &str = "synthetic";

/// The place of an answer among the choices.
///
/// # Panics
/// When it is none of them: answers are checked first.
fn place(choices: &[String], answer: &str) -> usize {
    choices.iter().position(|choice| choice == answer).expect("answers and truths are among the choices")
}

#[cfg(test)]
mod tests;
