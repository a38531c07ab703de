//! Detection over many scans: sensitivity by stage, false positives per scan, and patients.
use super::detection::{Detection, Stage};

/// Tumors, and how many of them were found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Found {
    /// Tumors of the truth.
    pub lesions: usize,
    /// Those that were found.
    pub found: usize,
}

impl Found {
    /// Share of the tumors that were found. `None` when there is none.
    pub fn sensitivity(&self) -> Option<f64> {
        share(self.found, self.lesions)
    }
}

/// Patients by what they have and what is predicted, one scan each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Patients {
    /// With a tumor, and one is predicted, wherever in the organ.
    pub true_positive: usize,
    /// With a tumor, and none is predicted.
    pub false_negative: usize,
    /// Without a tumor, and one is predicted.
    pub false_positive: usize,
    /// Without a tumor, and none is predicted.
    pub true_negative: usize,
}

impl Patients {
    /// Share of the patients with a tumor in whom one is predicted. `None` when no patient has a tumor.
    pub fn sensitivity(&self) -> Option<f64> {
        share(self.true_positive, self.true_positive + self.false_negative)
    }

    /// Share of the patients without a tumor in whom none is predicted. `None` when every patient has a tumor.
    pub fn specificity(&self) -> Option<f64> {
        share(self.true_negative, self.true_negative + self.false_positive)
    }
}

/// Detection over many scans. Adding scans one at a time, in any order, gives the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DetectionSummary {
    /// Number of scans.
    pub scans: usize,
    /// Tumors of every size.
    pub all: Found,
    /// Tumors by stage, in the order of [`Stage::ALL`].
    pub by_stage: [Found; Stage::ALL.len()],
    /// Findings that touch no tumor.
    pub false_positives: usize,
    /// Patients.
    pub patients: Patients,
}

impl DetectionSummary {
    /// Sums up scans.
    pub fn of<'a>(scans: impl IntoIterator<Item = &'a Detection>) -> Self {
        let mut summary = Self::default();
        for scan in scans {
            summary.add(scan);
        }
        summary
    }

    /// Adds one scan.
    pub fn add(&mut self, scan: &Detection) {
        self.scans += 1;
        self.false_positives += scan.false_positives();
        for lesion in &scan.lesions {
            for group in [&mut self.all, &mut self.by_stage[lesion.stage as usize]] {
                group.lesions += 1;
                group.found += usize::from(lesion.found);
            }
        }
        let patients = &mut self.patients;
        *match (scan.truth_positive(), scan.predicted_positive()) {
            (true, true) => &mut patients.true_positive,
            (true, false) => &mut patients.false_negative,
            (false, true) => &mut patients.false_positive,
            (false, false) => &mut patients.true_negative,
        } += 1;
    }

    /// False positives per scan. `None` when there is no scan.
    pub fn false_positives_per_scan(&self) -> Option<f64> {
        share(self.false_positives, self.scans)
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
