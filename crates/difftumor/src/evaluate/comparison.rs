//! Methods measured on the same cases, beside each other and tested in pairs (paper Tables 3 to 7).
//!
//! ```text
//! OUT/
//!   comparison.json   figures of each method, and every other method against the first
//!   methods.csv       one method, or one fold of it, a line
//!   tests.csv         one figure of one pair a line
//!   report.html       the same as a page
//! ```
mod page;
mod pairs;
mod read;
mod tables;

pub use pairs::{Pair, PairedMean, PairedShare};
pub use read::Named;

use super::segmentation::{CaseFigures, Settings, Summary};
use crate::batch::write_json;
use crate::error::{Error, Result};
use crate::report::output::Output;
use crate::report::page::REPORT;
use difftumor_ct::metrics::bootstrap::Bootstrap;
use read::Method;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

const COMPARISON: &str = "comparison.json";
const METHODS: &str = "methods.csv";
const TESTS: &str = "tests.csv";
const FILES: [&str; 4] = [COMPARISON, METHODS, TESTS, REPORT];

/// What `comparison.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// How all of them were measured.
    pub settings: Settings,
    /// How limits of differences are found.
    pub bootstrap: Bootstrap,
    /// Cases that every method has figures of: all that follows is over these alone.
    pub cases: Vec<String>,
    /// Cases that some methods have no figures of.
    pub left_out: Vec<LeftOut>,
    /// As given, the first is the one that the others are compared with.
    pub methods: Vec<MethodFigures>,
    /// Every method but the first against the first.
    pub pairs: Vec<Pair>,
}

/// A case that is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The case.
    pub case: String,
    /// The methods without figures of it.
    pub without: Vec<String>,
}

/// One method.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodFigures {
    /// As given.
    pub name: String,
    /// Over all cases that are compared.
    pub summary: Summary,
    /// Of each fold, where there are several.
    pub folds: Vec<Summary>,
}

/// Compares evaluations of the same truth. Those of one name are folds of one method: their cases are put together. The output
/// folder appears whole.
///
/// # Errors
/// When a folder holds no evaluation, two were measured with other settings or another truth, a case is in two folds, fewer than
/// two methods are named, they have no case in common, or the output cannot be written.
pub fn run(evaluations: &[Named], out: &Path, replace: bool, bootstrap: Bootstrap) -> Result<Comparison> {
    let output = Output::start(out, &FILES, replace)?;
    let methods = read::methods(evaluations)?;
    let comparison = compare(&methods, bootstrap)?;
    write_json(&output.folder().join(COMPARISON), &comparison)?;
    tables::write(output.folder(), &comparison)?;
    crate::report::page::write(output.folder(), &page::page(&comparison))?;
    output.finish()?;
    Ok(comparison)
}

fn compare(methods: &[Method], bootstrap: Bootstrap) -> Result<Comparison> {
    let all: BTreeSet<&str> = methods.iter().flat_map(|m| m.cases.keys()).map(String::as_str).collect();
    let without = |case: &str| -> Vec<String> {
        methods.iter().filter(|m| !m.cases.contains_key(case)).map(|m| m.name.clone()).collect()
    };
    let (cases, left_out): (Vec<&str>, Vec<&str>) = all.iter().partition(|case| without(case).is_empty());
    if cases.is_empty() {
        return Err(Error::Ct(difftumor_ct::Error::Argument {
            what: "evaluations to compare".into(),
            expected: "cases with figures in all of them".into(),
            found: "none".into(),
        }));
    }
    read::require_same_truth(methods, &cases)?;
    let summary = |figures: &[&CaseFigures]| Summary::new(figures, 0, &bootstrap);
    let figures = methods.iter().map(|method| {
        let of = |case: &&str| &method.cases[*case].figures;
        let folds = if method.folds > 1 { 0..method.folds } else { 0..0 };
        let of_fold = |fold| {
            let mine = cases.iter().filter(|case| method.cases[**case].fold == fold);
            summary(&mine.map(of).collect::<Vec<_>>())
        };
        MethodFigures {
            name: method.name.clone(),
            summary: summary(&cases.iter().map(of).collect::<Vec<_>>()),
            folds: folds.map(of_fold).collect(),
        }
    });
    Ok(Comparison {
        settings: methods[0].settings.clone(),
        bootstrap,
        methods: figures.collect(),
        pairs: methods[1..].iter().map(|other| Pair::new(&methods[0], other, &cases, &bootstrap)).collect(),
        left_out: left_out
            .iter()
            .map(|case| LeftOut { case: (*case).into(), without: without(case) })
            .collect(),
        cases: cases.iter().map(ToString::to_string).collect(),
    })
}
