//! Healthy scans out of many: those in which a segmentation model finds the organ and no tumor (paper App. E.1, where it is the
//! CLIP-driven universal model).
//!
//! ```text
//! DIR/
//!   cases.csv              id, ct, labels, organ_volume_ml: the healthy ones, ready for `train segmentation --healthy`
//!   healthy.json           what became of each scan, and why
//!   segmentations/ID/      as `segment` writes them; what is there is kept when the selection is resumed
//! ```
use super::write_table;
use crate::batch::{Status as Output, write_json};
use crate::dataset::Scans;
use crate::error::{Error, Result};
use crate::segmentation::batch::{self, BatchOptions, ScanReport, Settings, Watch};
use crate::segmentation::findings::Findings;
use crate::segmentation::segmenter::{Segmenter, SegmenterOptions};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folder of the segmentations in the selection's own.
const SEGMENTATIONS: &str = "segmentations";
/// Reasons name this many tumors.
const NAMED: usize = 3;

/// When a scan counts as healthy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HealthyRule {
    /// Volume of the organ below which it is not there, or not as a whole.
    pub least_organ_ml: f64,
}

impl Default for HealthyRule {
    /// 10 ml, so that a few stray voxels are no organ: any whole liver, pancreas or kidney has more. The paper gives no number.
    fn default() -> Self {
        Self { least_organ_ml: 10.0 }
    }
}

/// What became of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is in the table.
    Healthy,
    /// It has no organ, or a tumor.
    LeftOut,
    /// It could not be segmented.
    Failed,
}

/// One scan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JudgedScan {
    /// The scan's id.
    pub id: String,
    /// What became of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// Volume of the organ.
    pub organ_volume_ml: Option<f64>,
    /// Tumors that were found.
    pub tumors: Option<usize>,
}

/// What `healthy.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Selection {
    /// The rule.
    pub rule: HealthyRule,
    /// What the scans were segmented with.
    pub settings: Settings,
    /// Scans in the table.
    pub healthy: usize,
    /// Scans without the organ or with a tumor.
    pub left_out: usize,
    /// Scans that could not be segmented.
    pub failed: usize,
    /// Every scan, by id.
    pub scans: Vec<JudgedScan>,
}

/// A line of the table.
#[derive(Serialize)]
struct Row {
    id: String,
    ct: PathBuf,
    labels: PathBuf,
    organ_volume_ml: String,
}

impl HealthyRule {
    /// # Errors
    /// When the volume is no positive number.
    pub fn check(&self) -> difftumor_ct::Result<()> {
        match self.least_organ_ml {
            ml if ml.is_finite() && ml > 0.0 => Ok(()),
            ml => Err(difftumor_ct::Error::Argument {
                what: "least volume of the organ in ml".into(),
                expected: "a number above 0".into(),
                found: ml.to_string(),
            }),
        }
    }

    fn judge(&self, found: &Findings) -> (Verdict, String) {
        let ml = found.organ_volume_mm3 / 1000.0;
        if found.tumor_count > 0 {
            let mut diameters: Vec<f64> = found.tumors.iter().map(|t| t.equivalent_diameter_mm).collect();
            diameters.sort_by(|a, b| b.total_cmp(a));
            let named: Vec<String> = diameters.iter().take(NAMED).map(|d| format!("{d:.1} mm")).collect();
            let reason =
                format!("{} tumors predicted, diameters from {}", found.tumor_count, named.join(", "));
            return (Verdict::LeftOut, reason);
        }
        if ml < self.least_organ_ml {
            let reason = format!("{ml:.1} ml of the organ predicted, {} wanted", self.least_organ_ml);
            return (Verdict::LeftOut, reason);
        }
        (Verdict::Healthy, format!("{ml:.1} ml of the organ and no tumor predicted"))
    }
}

/// Segments the scans into `batch.out/segmentations` and writes table and reasons. A scan that fails is told there and stops no
/// other. Without any healthy scan there is no table.
///
/// # Errors
/// As [`batch::run`], and when something cannot be written.
pub fn select(
    mut scans: Scans,
    segmenter: &Segmenter,
    options: &SegmenterOptions,
    batch: &BatchOptions,
    rule: &HealthyRule,
    watch: &Watch,
) -> Result<Selection> {
    rule.check()?;
    // One scan is a folder of one.
    scans.single = false;
    let files: BTreeMap<String, PathBuf> = scans.scans.iter().map(|s| (s.id.clone(), s.ct.clone())).collect();
    let out = &batch.out;
    let inner = BatchOptions { out: out.join(SEGMENTATIONS), ..batch.clone() };
    let report = batch::run(scans, segmenter, options, &inner, watch)?;
    let judged: Vec<JudgedScan> = report.cases.iter().map(|case| JudgedScan::of(case, rule)).collect();
    let mut rows = vec![];
    for scan in judged.iter().filter(|s| s.verdict == Verdict::Healthy) {
        rows.push(Row::of(scan, &files[&scan.id])?);
    }
    let count = |verdict| judged.iter().filter(|s| s.verdict == verdict).count();
    let selection = Selection {
        rule: *rule,
        settings: report.settings,
        healthy: count(Verdict::Healthy),
        left_out: count(Verdict::LeftOut),
        failed: count(Verdict::Failed),
        scans: judged,
    };
    write_json(&out.join("healthy.json"), &selection)?;
    let table = out.join("cases.csv");
    match rows.is_empty() {
        false => write_table(&table, &rows)?,
        // That of an earlier selection tells of scans that are not healthy any more.
        true if table.exists() => std::fs::remove_file(&table).map_err(Error::io(&table, "remove"))?,
        true => {}
    }
    Ok(selection)
}

impl JudgedScan {
    fn of(case: &ScanReport, rule: &HealthyRule) -> Self {
        let found = case.findings.as_ref().filter(|_| case.status != Output::Failed);
        let (verdict, reason) = match found {
            Some(found) => rule.judge(found),
            None => (Verdict::Failed, case.message.clone().unwrap_or_default()),
        };
        Self {
            id: case.case.clone(),
            verdict,
            reason,
            organ_volume_ml: found.map(|f| f.organ_volume_mm3 / 1000.0),
            tumors: found.map(|f| f.tumor_count),
        }
    }
}

impl Row {
    fn of(scan: &JudgedScan, ct: &Path) -> Result<Self> {
        Ok(Self {
            id: scan.id.clone(),
            ct: std::path::absolute(ct).map_err(Error::io(ct, "find"))?,
            labels: [SEGMENTATIONS, &scan.id, "labels.nii.gz"].iter().collect(),
            organ_volume_ml: format!("{:.1}", scan.organ_volume_ml.unwrap_or_default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segmentation::findings::FoundTumor;

    fn found(organ_ml: f64, diameters_mm: &[f64]) -> Findings {
        let tumor = |diameter: &f64| FoundTumor {
            number: 1,
            centre_mm: [0.0; 3],
            centre_vox: [0.0; 3],
            volume_mm3: 1.0,
            voxels: 1,
            equivalent_diameter_mm: *diameter,
            axes_mm: [1.0; 3],
            longest_axial_diameter_mm: 1.0,
        };
        Findings {
            organ_volume_mm3: organ_ml * 1000.0,
            tumor_volume_mm3: 0.0,
            voxels_outside_organ: 0,
            small_tumors_dropped: 0,
            tumor_count: diameters_mm.len(),
            tumors: diameters_mm.iter().map(tumor).collect(),
        }
    }

    #[test]
    fn an_organ_without_tumors_is_healthy() {
        let rule = HealthyRule { least_organ_ml: 50.0 };
        assert_eq!(rule.judge(&found(50.0, &[])).0, Verdict::Healthy);
        let (verdict, reason) = rule.judge(&found(49.9, &[]));
        assert_eq!(
            (verdict, reason.as_str()),
            (Verdict::LeftOut, "49.9 ml of the organ predicted, 50 wanted")
        );
        let (verdict, reason) = rule.judge(&found(900.0, &[3.0, 12.0, 5.0, 4.0]));
        assert_eq!(verdict, Verdict::LeftOut);
        assert_eq!(reason, "4 tumors predicted, diameters from 12.0 mm, 5.0 mm, 4.0 mm");
        for ml in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(HealthyRule { least_organ_ml: ml }.check().is_err());
        }
    }
}
