//! The files of an evaluation. Tables have a header even without a line; a value that is not there is empty, an infinite one
//! `inf`.
use super::case::CaseFigures;
use super::summary::Summary;
use super::{CaseReport, Evaluation};
use crate::batch::write_json;
use crate::error::{Error, Result};
use crate::report::page::REPORT;
use difftumor_ct::metrics::detection::{Detection, Extent, FindingRecord, LesionRecord, Stage};
use std::fs::File;
use std::path::{Path, PathBuf};

pub(in crate::evaluate) const SUMMARY: &str = "summary.json";
const CASES: &str = "cases.csv";
pub(in crate::evaluate) const LESIONS: &str = "lesions.csv";
const FALSE_POSITIVES: &str = "false_positives.csv";
const FROC: &str = "froc.csv";
const GROUPS: &str = "groups.csv";

/// All that an output folder may hold.
pub(super) const FILES: [&str; 7] = [SUMMARY, CASES, LESIONS, FALSE_POSITIVES, FROC, GROUPS, REPORT];

/// A column of `cases.csv`.
type Column = (&'static str, fn(&CaseFigures) -> String);

/// After the case's id and before the message of those that failed.
const COLUMNS: [Column; 23] = [
    ("organ_dsc", |c| optional(c.organ.dsc)),
    ("organ_nsd", |c| optional(c.organ.nsd)),
    ("organ_hd95_mm", |c| optional(c.organ.hd95_mm)),
    ("organ_assd_mm", |c| optional(c.organ.assd_mm)),
    ("organ_true_volume_mm3", |c| c.organ.true_volume_mm3.to_string()),
    ("organ_predicted_volume_mm3", |c| c.organ.predicted_volume_mm3.to_string()),
    ("tumor_dsc", |c| optional(c.tumor.dsc)),
    ("tumor_nsd", |c| optional(c.tumor.nsd)),
    ("tumor_hd95_mm", |c| optional(c.tumor.hd95_mm)),
    ("tumor_assd_mm", |c| optional(c.tumor.assd_mm)),
    ("tumor_true_volume_mm3", |c| c.tumor.true_volume_mm3.to_string()),
    ("tumor_predicted_volume_mm3", |c| c.tumor.predicted_volume_mm3.to_string()),
    ("tumor_voxels_outside_organ", |c| c.tumor_voxels_outside_organ.to_string()),
    ("lesions", |c| c.tumors.all.lesions.to_string()),
    ("found", |c| c.tumors.all.found.to_string()),
    ("lesions_up_to_20_mm", |c| c.tumors.by_stage[&Stage::UpTo20Mm].lesions.to_string()),
    ("found_up_to_20_mm", |c| c.tumors.by_stage[&Stage::UpTo20Mm].found.to_string()),
    ("lesions_up_to_50_mm", |c| c.tumors.by_stage[&Stage::UpTo50Mm].lesions.to_string()),
    ("found_up_to_50_mm", |c| c.tumors.by_stage[&Stage::UpTo50Mm].found.to_string()),
    ("lesions_above_50_mm", |c| c.tumors.by_stage[&Stage::Above50Mm].lesions.to_string()),
    ("found_above_50_mm", |c| c.tumors.by_stage[&Stage::Above50Mm].found.to_string()),
    ("findings", |c| c.tumors.findings.to_string()),
    ("false_positives", |c| c.tumors.false_positives.to_string()),
];

/// A column of `groups.csv`.
type GroupColumn = (&'static str, fn(&Summary) -> String);

/// After the column's name and the group's value.
const GROUP_COLUMNS: [GroupColumn; 14] = [
    ("cases", |s| s.cases.to_string()),
    ("cases_with_tumors", |s| s.cases_with_tumors.to_string()),
    ("tumor_dsc", |s| optional(s.tumor.dsc.mean)),
    ("tumor_dsc_low", |s| optional(s.tumor.dsc.interval.map(|i| i.low))),
    ("tumor_dsc_high", |s| optional(s.tumor.dsc.interval.map(|i| i.high))),
    ("tumor_nsd", |s| optional(s.tumor.nsd.mean)),
    ("organ_dsc", |s| optional(s.organ.dsc.mean)),
    ("lesions", |s| s.found.all.whole.to_string()),
    ("found", |s| s.found.all.part.to_string()),
    ("found_low", |s| optional(s.found.all.interval.map(|i| i.low))),
    ("found_high", |s| optional(s.found.all.interval.map(|i| i.high))),
    ("patient_sensitivity", |s| optional(s.patients.sensitivity.share)),
    ("patient_specificity", |s| optional(s.patients.specificity.share)),
    ("false_positives_per_scan", |s| optional(s.false_positives_per_scan.mean)),
];

/// Where something is and how large: columns of both other tables.
const EXTENT: [&str; 6] = [
    "centre_x_mm",
    "centre_y_mm",
    "centre_z_mm",
    "volume_mm3",
    "equivalent_diameter_mm",
    "longest_axial_diameter_mm",
];

/// A table that is being written.
struct Table {
    path: PathBuf,
    writer: csv::Writer<File>,
}

/// The files, those with a line for each tumor and finding open.
pub(super) struct Tables {
    folder: PathBuf,
    lesions: Table,
    false_positives: Table,
}

impl Tables {
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let header = |before: &[&'static str], after: &[&'static str]| [before, &EXTENT, after].concat();
        let after = ["stage", "found", "dice", "iou", "findings"];
        Ok(Self {
            folder: folder.into(),
            lesions: Table::create(folder.join(LESIONS), &header(&["case", "lesion"], &after))?,
            false_positives: Table::create(folder.join(FALSE_POSITIVES), &header(&["case", "finding"], &[]))?,
        })
    }

    /// Adds the tumors and false positives of a case.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn add(&mut self, case: &str, detection: &Detection) -> Result<()> {
        for lesion in &detection.lesions {
            self.lesions.add(&lesion_line(case, lesion))?;
        }
        for finding in detection.findings.iter().filter(|finding| finding.lesions.is_empty()) {
            self.false_positives.add(&finding_line(case, finding))?;
        }
        Ok(())
    }

    /// Writes what is over all cases and closes the tables.
    ///
    /// # Errors
    /// When something cannot be written.
    pub(super) fn finish(self, evaluation: &Evaluation) -> Result<()> {
        let names = COLUMNS.iter().map(|column| column.0);
        let header: Vec<&str> = ["case"].into_iter().chain(names).chain(["message"]).collect();
        let mut cases = Table::create(self.folder.join(CASES), &header)?;
        for case in &evaluation.cases {
            cases.add(&case_line(case))?;
        }
        for table in [cases, self.lesions, self.false_positives] {
            table.close()?;
        }
        if !evaluation.froc.is_empty() {
            let header = ["threshold", "lesions", "found", "sensitivity", "false_positives_per_scan"];
            let mut table = Table::create(self.folder.join(FROC), &header)?;
            for p in &evaluation.froc {
                let numbers = [p.threshold.to_string(), p.lesions.to_string(), p.found.to_string()];
                let shares = [optional(p.sensitivity), optional(p.false_positives_per_scan)];
                table.add(&[&numbers[..], &shares[..]].concat())?;
            }
            table.close()?;
        }
        if let Some(groupings) = &evaluation.groups {
            let names = GROUP_COLUMNS.iter().map(|column| column.0);
            let header: Vec<&str> = ["column", "value"].into_iter().chain(names).collect();
            let mut table = Table::create(self.folder.join(GROUPS), &header)?;
            for grouping in &groupings.columns {
                for group in &grouping.groups {
                    let figures = GROUP_COLUMNS.iter().map(|column| column.1(&group.summary));
                    let names = [grouping.column.clone(), group.value.clone()];
                    table.add(&names.into_iter().chain(figures).collect::<Vec<_>>())?;
                }
            }
            table.close()?;
        }
        write_json(&self.folder.join(SUMMARY), evaluation)
    }
}

impl Table {
    fn create(path: PathBuf, header: &[&str]) -> Result<Self> {
        let file = File::create(&path).map_err(Error::io(&path, "write"))?;
        let mut table = Self { path, writer: csv::Writer::from_writer(file) };
        table.add(header)?;
        Ok(table)
    }

    fn add<T: AsRef<[u8]>>(&mut self, line: &[T]) -> Result<()> {
        self.writer.write_record(line).map_err(|e| Error::io(&self.path, "write")(std::io::Error::other(e)))
    }

    fn close(self) -> Result<()> {
        let file = self.writer.into_inner().map_err(|e| Error::io(&self.path, "write")(e.into_error()))?;
        file.sync_all().map_err(Error::io(&self.path, "write"))
    }
}

fn optional(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn case_line(case: &CaseReport) -> Vec<String> {
    let figures = COLUMNS.iter().map(|column| case.figures.as_ref().map_or(String::new(), column.1));
    let message = case.message.clone().unwrap_or_default();
    std::iter::once(case.case.clone()).chain(figures).chain([message]).collect()
}

fn extent(e: &Extent) -> impl Iterator<Item = String> {
    let [x, y, z] = e.centroid_ras_mm;
    [x, y, z, e.volume_mm3, e.equivalent_diameter_mm, e.longest_axial_diameter_mm]
        .into_iter()
        .map(|value| value.to_string())
}

fn lesion_line(case: &str, lesion: &LesionRecord) -> Vec<String> {
    let findings: Vec<String> = lesion.findings.iter().map(u32::to_string).collect();
    let after = [
        lesion.stage.name().to_string(),
        lesion.found.to_string(),
        lesion.dice.to_string(),
        lesion.iou.to_string(),
        findings.join("+"),
    ];
    let before = [case.to_string(), lesion.lesion.to_string()];
    before.into_iter().chain(extent(&lesion.extent)).chain(after).collect()
}

fn finding_line(case: &str, finding: &FindingRecord) -> Vec<String> {
    let before = [case.to_string(), finding.finding.to_string()];
    before.into_iter().chain(extent(&finding.extent)).collect()
}
