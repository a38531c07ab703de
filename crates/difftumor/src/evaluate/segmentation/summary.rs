//! Figures over all cases, with 95 % confidence limits.
//!
//! Shares of patients are shares of independent units, so their limits are exact ([`Interval::of_share`]). Means, shares of
//! tumors and false positives per scan are resampled by patients ([`Bootstrap::interval`]).
use super::case::{CaseFigures, MaskFigures, Tumors};
use difftumor_ct::metrics::bootstrap::{Bootstrap, Term};
use difftumor_ct::metrics::detection::Stage;
use difftumor_ct::metrics::detection_summary::Found;
use difftumor_ct::metrics::interval::Interval;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Figures over all cases. One case is one patient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Cases with figures.
    pub cases: usize,
    /// Cases without: in no figure.
    pub failed: usize,
    /// Cases with a tumor in the truth.
    pub cases_with_tumors: usize,
    /// Of the organ, over all cases.
    pub organ: MaskMeans,
    /// Of tumors, over cases with tumors in the truth. (In others DSC and NSD are 0/0, or 0 for a false alarm: of those tell
    /// the specificity and the false positives.)
    pub tumor: MaskMeans,
    /// Tumors that are found.
    pub found: FoundShares,
    /// Patients by what they have and what is predicted.
    pub patients: PatientShares,
    /// Findings that touch no tumor.
    pub false_positives: usize,
    /// The same by scan, those with tumors included.
    pub false_positives_per_scan: Mean,
}

/// Means of what is measured of two masks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MaskMeans {
    /// DSC; 0 where nothing is predicted.
    pub dsc: Mean,
    /// NSD; 0 where nothing is predicted.
    pub nsd: Mean,
    /// HD95, over cases where it is finite: those where something is predicted.
    pub hd95_mm: Mean,
    /// ASSD, over the same cases.
    pub assd_mm: Mean,
}

/// A mean over cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// `None` over no case.
    pub mean: Option<f64>,
    /// Standard deviation over cases (of a sample); `None` for fewer than two.
    pub deviation: Option<f64>,
    /// How many cases it is over.
    pub cases: usize,
    /// 95 % limits; `None` for fewer than two cases.
    pub interval: Option<Interval>,
}

/// A part of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// How many of them.
    pub part: usize,
    /// How many there are.
    pub whole: usize,
    /// Part of whole; `None` of nothing.
    pub share: Option<f64>,
    /// 95 % limits. Of patients: `None` for none; of tumors: `None` where they are in fewer than two patients.
    pub interval: Option<Interval>,
}

/// Tumors that are found, of all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundShares {
    /// Of every size.
    pub all: Share,
    /// By stage.
    pub by_stage: BTreeMap<Stage, Share>,
}

/// Patients in whom the prediction is right, wherever in the organ it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PatientShares {
    /// With a tumor predicted, of those who have one.
    pub sensitivity: Share,
    /// With none predicted, of those who have none.
    pub specificity: Share,
}

impl Summary {
    pub(crate) fn new(cases: &[&CaseFigures], failed: usize, bootstrap: &Bootstrap) -> Self {
        let with_tumors: Vec<&CaseFigures> =
            cases.iter().copied().filter(|case| case.tumors.all.lesions > 0).collect();
        let organs: Vec<MaskFigures> = cases.iter().map(|case| case.organ).collect();
        let tumors: Vec<MaskFigures> = with_tumors.iter().map(|case| case.tumor).collect();
        let found =
            |of: &dyn Fn(&CaseFigures) -> Found| Share::of_tumors(cases.iter().map(|c| of(c)), bootstrap);
        let patients = |which: &dyn Fn(&Tumors) -> bool| cases.iter().filter(|c| which(&c.tumors)).count();
        let false_positives = cases.iter().map(|case| Some(case.tumors.false_positives as f64));
        Self {
            cases: cases.len(),
            failed,
            cases_with_tumors: with_tumors.len(),
            organ: MaskMeans::of(&organs, bootstrap),
            tumor: MaskMeans::of(&tumors, bootstrap),
            found: FoundShares {
                all: found(&|case| case.tumors.all),
                by_stage: Stage::ALL.map(|s| (s, found(&|case| case.tumors.by_stage[&s]))).into(),
            },
            patients: PatientShares {
                sensitivity: Share::of_patients(
                    patients(&|t| t.all.lesions > 0 && t.findings > 0),
                    patients(&|t| t.all.lesions > 0 && t.findings == 0),
                ),
                specificity: Share::of_patients(
                    patients(&|t| t.all.lesions == 0 && t.findings == 0),
                    patients(&|t| t.all.lesions == 0 && t.findings > 0),
                ),
            },
            false_positives: cases.iter().map(|case| case.tumors.false_positives).sum(),
            false_positives_per_scan: Mean::of(false_positives, bootstrap),
        }
    }
}

impl MaskMeans {
    fn of(cases: &[MaskFigures], bootstrap: &Bootstrap) -> Self {
        let mean = |of: fn(&MaskFigures) -> Option<f64>| Mean::of(cases.iter().map(of), bootstrap);
        Self {
            dsc: mean(|case| case.dsc),
            nsd: mean(|case| case.nsd),
            hd95_mm: mean(|case| case.hd95_mm),
            assd_mm: mean(|case| case.assd_mm),
        }
    }
}

impl Mean {
    /// Of the values that are there and finite.
    fn of(values: impl Iterator<Item = Option<f64>>, bootstrap: &Bootstrap) -> Self {
        let values = values.map(|value| value.filter(|v| v.is_finite()));
        let terms: Vec<Term> = values.map(Term::of_mean).filter(|term| term.denominator > 0.0).collect();
        let mean = Term::figure(terms.iter().copied());
        Self {
            mean,
            deviation: mean.and_then(|mean| deviation(&terms, mean)),
            cases: terms.len(),
            interval: bootstrap.interval(&terms),
        }
    }
}

impl Share {
    fn of_tumors(patients: impl Iterator<Item = Found> + Clone, bootstrap: &Bootstrap) -> Self {
        let terms: Vec<Term> =
            patients.clone().map(|found| Term::of_share(found.found, found.lesions)).collect();
        Self {
            part: patients.clone().map(|found| found.found).sum(),
            whole: patients.map(|found| found.lesions).sum(),
            share: Term::figure(terms.iter().copied()),
            interval: bootstrap.interval(&terms),
        }
    }

    fn of_patients(right: usize, wrong: usize) -> Self {
        let whole = right + wrong;
        Self {
            part: right,
            whole,
            share: Term::figure([Term::of_share(right, whole)]),
            interval: Interval::of_share(right, whole),
        }
    }
}

/// Of values, each a term of its own.
fn deviation(terms: &[Term], mean: f64) -> Option<f64> {
    let squares: f64 = terms.iter().map(|term| (term.numerator - mean).powi(2)).sum();
    (terms.len() > 1).then(|| (squares / (terms.len() - 1) as f64).sqrt())
}
