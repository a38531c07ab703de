//! Predicted labels against the truth (paper 4.2; spec/segmentation.md section 6): overlap and surfaces of organ and tumors,
//! which tumors are found, and what is found where there is none.
//!
//! ```text
//! OUT/
//!   summary.json          settings, figures over all cases with their limits, figures of each case
//!   cases.csv             one case a line
//!   lesions.csv           one tumor of the truth a line
//!   false_positives.csv   one finding that touches no tumor a line
//!   froc.csv              one threshold of the probability of tumor a line, on demand
//!   groups.csv            one group of patients a line, with metadata
//!   report.html           all of it as a page, with plots and the worst cases in pictures
//! ```
//!
//! Of each case only sums are kept; its tumors and findings go to the tables as it is done.
mod case;
mod groups;
mod pictures;
mod predictions;
mod report;
mod summary;
mod tables;

pub use case::{CaseFigures, MaskFigures, Tumors};
pub use groups::{Group, Grouping, Groupings};
pub use summary::{FoundShares, MaskMeans, Mean, PatientShares, Share, Summary};

use crate::dataset::Dataset;
use crate::dataset::metadata::Metadata;
use crate::error::{Result, caught};
use crate::report::output::Output;
use crate::report::page;
use difftumor_ct::label::OrganSpec;
use difftumor_ct::metrics::bootstrap::Bootstrap;
use difftumor_ct::metrics::detection::DetectionOptions;
use difftumor_ct::metrics::froc::{Froc, FrocPoint};
use difftumor_ct::metrics::interval::CONFIDENCE;
use pictures::Worst;
use predictions::Predictions;
use report::BySize;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;
use tables::{FILES, Tables};
pub(super) use tables::{LESIONS, SUMMARY};

/// How predictions are measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Organ and tumors in the truth. Cysts count as organ.
    pub organ: OrganSpec,
    /// What the values of predictions mean. Its name does not matter.
    pub predicted: OrganSpec,
    /// Whether predicted tumors outside of the true organ count too. The published rule drops them.
    pub anywhere: bool,
    /// Whether a prediction on another grid is brought to that of the truth, by the nearest voxel; otherwise its case fails.
    pub resample: bool,
    /// Distance of surfaces that NSD takes for equal.
    pub tolerance_mm: f64,
    /// How tumors are told apart, found and sorted by size.
    pub detection: DetectionOptions,
    /// How limits of means, of shares of tumors and of false positives per scan are found.
    pub bootstrap: Bootstrap,
    /// Whether tumors are also detected at each of twenty thresholds of the probability of tumor, which must be there then.
    pub froc: bool,
}

/// What is known of the patients.
#[derive(Debug, Clone, Default)]
pub struct Patients {
    /// The table, if there is one.
    pub metadata: Option<Metadata>,
    /// Columns to group by; all when empty.
    pub by: Vec<String>,
}

/// Where predictions are, and where the figures go.
#[derive(Debug, Clone)]
pub struct Files {
    /// Holds `ID/labels.nii.gz`, `ID.nii.gz` or `ID.nii` for each case; for the only case also `labels.nii.gz`.
    pub predictions: PathBuf,
    /// The output folder.
    pub out: PathBuf,
    /// Whether figures that are there may be replaced.
    pub replace: bool,
}

/// The settings as they are written: all that the figures depend on besides the files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// This program's version.
    pub program_version: String,
    /// Organ and tumors in the truth.
    pub organ: String,
    /// What the values of predictions mean.
    pub predicted: String,
    /// Whether predicted tumors outside of the true organ count too.
    pub anywhere: bool,
    /// Whether predictions on other grids were brought to that of the truth.
    pub resample: bool,
    /// Distance of surfaces that NSD takes for equal.
    pub tolerance_mm: f64,
    /// How tumors are told apart, found and sorted by size.
    pub detection: DetectionOptions,
    /// How limits are found.
    pub bootstrap: Bootstrap,
    /// What limits cover.
    pub confidence: f64,
}

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The case's id.
    pub case: String,
    /// Why it has no figures.
    pub message: Option<String>,
    /// Its figures.
    pub figures: Option<CaseFigures>,
}

/// What `summary.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How predictions were measured.
    pub settings: Settings,
    /// Figures over all cases.
    pub summary: Summary,
    /// Figures by what is known of the patients.
    pub groups: Option<Groupings>,
    /// The FROC curve by threshold; empty unless asked for.
    pub froc: Vec<FrocPoint>,
    /// Names of predictions that belong to no case.
    pub without_case: Vec<String>,
    /// Every case, by id.
    pub cases: Vec<CaseReport>,
}

/// Measures every case. One that cannot be measured is told in the report and stops no other. The output folder appears whole.
/// `watch` is called with each case.
///
/// # Errors
/// When the options are impossible, the predictions' folder cannot be read, or the output folder is not empty (unless it holds
/// figures that may be replaced) or cannot be written.
pub fn run(
    dataset: &Dataset,
    files: &Files,
    options: &Options,
    patients: &Patients,
    watch: &dyn Fn(&CaseReport),
) -> Result<Evaluation> {
    options.check()?;
    let predictions = Predictions::new(&files.predictions, dataset)?;
    let output = Output::start(&files.out, &FILES, files.replace)?;
    let mut tables = Tables::create(output.folder())?;
    let (mut by_size, mut worst) = (BySize::default(), Worst::default());
    let mut froc = options.froc.then(Froc::twenty);
    let mut cases: Vec<CaseReport> =
        dataset.unusable.iter().map(|(id, error)| CaseReport::failed(id, error)).collect();
    cases.iter().for_each(watch);
    for source in &dataset.cases {
        let measured = caught(&source.id, || case::measure(source, &predictions, options, froc.as_mut()));
        let report = match measured {
            Ok((figures, detection)) => {
                tables.add(&source.id, &detection)?;
                by_size.add(&detection);
                worst.add(&source.id, &detection);
                CaseReport { case: source.id.clone(), message: None, figures: Some(figures) }
            }
            Err(error) => CaseReport::failed(&source.id, &error),
        };
        watch(&report);
        cases.push(report);
    }
    cases.sort_by(|a, b| a.case.cmp(&b.case));
    let named: Vec<(&str, &CaseFigures)> =
        cases.iter().filter_map(|case| Some((case.case.as_str(), case.figures.as_ref()?))).collect();
    let all: BTreeSet<&str> = cases.iter().map(|case| case.case.as_str()).collect();
    let groups = patients
        .metadata
        .as_ref()
        .map(|table| Groupings::new(table, &patients.by, &named, &all, &options.bootstrap));
    let figures: Vec<&CaseFigures> = named.iter().map(|(_, figures)| *figures).collect();
    let evaluation = Evaluation {
        settings: Settings::of(options),
        summary: Summary::new(&figures, cases.len() - figures.len(), &options.bootstrap),
        groups: groups.transpose()?,
        froc: froc.map_or(vec![], |froc| froc.points()),
        without_case: predictions.without_case.clone(),
        cases,
    };
    tables.finish(&evaluation)?;
    let pictures = worst.draw(&dataset.cases, &predictions, options);
    page::write(output.folder(), &report::report(&evaluation, &by_size, &pictures))?;
    output.finish()?;
    Ok(evaluation)
}

impl Options {
    /// Checks the options.
    ///
    /// # Errors
    /// [`difftumor_ct::Error::Argument`] when tumors have no value, the tolerance is negative or not finite, or a threshold is
    /// not within 0 to 1.
    pub fn check(&self) -> Result<()> {
        let bad = |what: &str, expected: &str, found: String| -> Result<()> {
            Err(difftumor_ct::Error::Argument { what: what.into(), expected: expected.into(), found }.into())
        };
        if self.organ.roles.as_ref().is_some_and(|roles| roles.tumor.is_empty()) {
            let expected = format!("the tumors' value too, as in {}:tumor=2", self.organ);
            return bad("organ of the truth", &expected, format!("'{}'", self.organ));
        }
        if self.predicted.roles.as_ref().is_none_or(|roles| roles.tumor.is_empty()) {
            let expected = "the values of organ and tumor, as in organ=1:tumor=2";
            return bad("values of predictions", expected, format!("'{}'", self.predicted));
        }
        if !(self.tolerance_mm.is_finite() && self.tolerance_mm >= 0.0) {
            return bad("tolerance in mm", "a number from 0 on", self.tolerance_mm.to_string());
        }
        Ok(self.detection.rule.check()?)
    }
}

impl Settings {
    fn of(options: &Options) -> Self {
        // Taken apart by name, so that a new option cannot be forgotten here.
        // The curve is beside the figures and changes none of them.
        let Options { organ, predicted, anywhere, resample, tolerance_mm, detection, bootstrap, froc: _ } =
            options;
        Self {
            program_version: env!("CARGO_PKG_VERSION").into(),
            organ: organ.to_string(),
            predicted: predicted.to_string(),
            anywhere: *anywhere,
            resample: *resample,
            tolerance_mm: *tolerance_mm,
            detection: *detection,
            bootstrap: *bootstrap,
            confidence: CONFIDENCE,
        }
    }
}

impl CaseReport {
    fn failed(case: &str, error: &crate::error::Error) -> Self {
        Self { case: case.into(), message: Some(error.to_string()), figures: None }
    }
}
