//! One method against another on the same patients.
use super::read::{Case, Method};
use crate::evaluate::segmentation::CaseFigures;
use difftumor_ct::metrics::bootstrap::{Bootstrap, Term};
use difftumor_ct::metrics::detection::Stage;
use difftumor_ct::metrics::interval::Interval;
use difftumor_ct::metrics::paired::{Discordant, SignedRanks};
use serde::Serialize;
use std::collections::BTreeMap;

/// How another method differs from the first: differences are always the other minus the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// The first method.
    pub first: String,
    /// The other.
    pub other: String,
    /// Figures that are means over patients, by name.
    pub means: BTreeMap<&'static str, PairedMean>,
    /// Figures that are shares, by name.
    pub shares: BTreeMap<&'static str, PairedShare>,
}

/// A mean over patients of whom both methods have a figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairedMean {
    /// How many patients.
    pub patients: usize,
    /// Of the means; `None` of nobody.
    pub difference: Option<f64>,
    /// 95 % limits by bootstrap over patients.
    pub interval: Option<Interval>,
    /// Wilcoxon's test; `None` where no patient differs.
    pub signed_ranks: Option<SignedRanks>,
}

/// A share of tumors or of patients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairedShare {
    /// Tumors or patients.
    pub whole: usize,
    /// Of the shares; `None` of nothing.
    pub difference: Option<f64>,
    /// 95 % limits by bootstrap over patients: their tumors stay together.
    pub interval: Option<Interval>,
    /// Those that one method alone has right.
    pub discordant: Discordant,
    /// McNemar's exact test. For tumors as if those of one patient were independent; the limits do without.
    pub p_value: f64,
}

type MeanFigure = (&'static str, fn(&CaseFigures) -> Option<f64>);

const MEANS: [MeanFigure; 5] = [
    ("tumor_dsc", |c| c.tumor.dsc.filter(|_| c.tumors.all.lesions > 0)),
    ("tumor_nsd", |c| c.tumor.nsd.filter(|_| c.tumors.all.lesions > 0)),
    ("organ_dsc", |c| c.organ.dsc),
    ("organ_nsd", |c| c.organ.nsd),
    ("false_positives", |c| Some(c.tumors.false_positives as f64)),
];

/// Tumors of all stages, or of one.
const TUMORS: [(&str, Option<Stage>); 4] = [
    ("found", None),
    ("found_up_to_20_mm", Some(Stage::UpTo20Mm)),
    ("found_up_to_50_mm", Some(Stage::UpTo50Mm)),
    ("found_above_50_mm", Some(Stage::Above50Mm)),
];

type PatientFigure = (&'static str, fn(&CaseFigures) -> Option<bool>);

/// Whether a patient is judged rightly; `None` for those that the figure is not about.
const PATIENTS: [PatientFigure; 2] = [
    ("patient_sensitivity", |c| (c.tumors.all.lesions > 0).then_some(c.tumors.findings > 0)),
    ("patient_specificity", |c| (c.tumors.all.lesions == 0).then_some(c.tumors.findings == 0)),
];

impl Pair {
    /// Both methods have figures of all `cases`, and the same truth.
    pub(super) fn new(first: &Method, other: &Method, cases: &[&str], bootstrap: &Bootstrap) -> Self {
        let pairs: Vec<[&Case; 2]> =
            cases.iter().map(|case| [&first.cases[*case], &other.cases[*case]]).collect();
        let tumors = TUMORS.map(|(name, stage)| (name, PairedShare::of_tumors(&pairs, stage, bootstrap)));
        let patients = PATIENTS.map(|(name, of)| (name, PairedShare::of_patients(&pairs, of, bootstrap)));
        Self {
            first: first.name.clone(),
            other: other.name.clone(),
            means: MEANS.map(|(name, of)| (name, PairedMean::of(&pairs, of, bootstrap))).into(),
            shares: tumors.into_iter().chain(patients).collect(),
        }
    }
}

impl PairedMean {
    fn of(pairs: &[[&Case; 2]], of: fn(&CaseFigures) -> Option<f64>, bootstrap: &Bootstrap) -> Self {
        let difference = |[a, b]: &[&Case; 2]| Some(of(&b.figures)? - of(&a.figures)?);
        let differences: Vec<f64> = pairs.iter().filter_map(difference).collect();
        let terms: Vec<Term> = differences.iter().map(|d| Term::of_mean(Some(*d))).collect();
        Self {
            patients: differences.len(),
            difference: Term::figure(terms.iter().copied()),
            interval: bootstrap.interval(&terms),
            signed_ranks: SignedRanks::of(differences),
        }
    }
}

impl PairedShare {
    fn of_tumors(pairs: &[[&Case; 2]], stage: Option<Stage>, bootstrap: &Bootstrap) -> Self {
        let outcomes_of = |[a, b]: &[&Case; 2]| -> Vec<[bool; 2]> {
            let mine = a.lesions.values().filter(|lesion| stage.is_none_or(|stage| lesion.stage() == stage));
            mine.map(|lesion| [lesion.found, b.lesions[&lesion.number()].found]).collect()
        };
        let by_patient: Vec<Vec<[bool; 2]>> = pairs.iter().map(outcomes_of).collect();
        let term = |outcomes: &Vec<[bool; 2]>| Term {
            numerator: outcomes.iter().map(|[a, b]| f64::from(*b) - f64::from(*a)).sum(),
            denominator: outcomes.len() as f64,
        };
        let terms = by_patient.iter().map(term).collect();
        Self::of(terms, Discordant::of(by_patient.into_iter().flatten()), bootstrap)
    }

    fn of_patients(
        pairs: &[[&Case; 2]],
        of: fn(&CaseFigures) -> Option<bool>,
        bootstrap: &Bootstrap,
    ) -> Self {
        let outcome = |[a, b]: &[&Case; 2]| Some([of(&a.figures)?, of(&b.figures)?]);
        let outcomes: Vec<[bool; 2]> = pairs.iter().filter_map(outcome).collect();
        let terms = outcomes.iter().map(|[a, b]| Term::of_mean(Some(f64::from(*b) - f64::from(*a))));
        Self::of(terms.collect(), Discordant::of(outcomes.iter().copied()), bootstrap)
    }

    fn of(terms: Vec<Term>, discordant: Discordant, bootstrap: &Bootstrap) -> Self {
        Self {
            whole: terms.iter().map(|t| t.denominator as usize).sum(),
            difference: Term::figure(terms.iter().copied()),
            interval: bootstrap.interval(&terms),
            discordant,
            p_value: discordant.p_value(),
        }
    }
}
