//! The report of a batch: what became of each case, and what it took.
use super::output::write_json;
use super::{BatchOptions, CaseRecord, Settings};
use crate::error::{Error, Result};
use crate::synthesis::GateRecord;
use difftumor_study::view::review::State;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What became of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was made.
    Done,
    /// It was there already, made from the same inputs with the same settings.
    Skipped,
    /// It could not be made.
    Failed,
}

/// One output, or a case that has none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseReport {
    /// The case's id.
    pub case: String,
    /// Which synthesis of it, from 1; none for a case that lacks its scan or its labels.
    pub copy: Option<u64>,
    /// What became of it.
    pub status: Status,
    /// Why it failed.
    pub message: Option<String>,
    /// The output's folder.
    pub folder: Option<PathBuf>,
    /// Tumors in it.
    pub tumors: usize,
    /// Voxels changed, and how many of them outside of the blend zone.
    pub voxels_changed: [usize; 2],
    /// Tumors that found no place, and what looked wrong in the inputs.
    pub warnings: Vec<String>,
    /// What the gate said, if there is one.
    pub gate: Option<GateRecord>,
    /// What the review says of the output that was there before, if it was asked.
    pub reviewed: Option<State>,
    /// Time that it took.
    pub seconds: f64,
}

/// Sums over all outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say all")]
pub struct Totals {
    pub outputs: usize,
    pub done: usize,
    pub skipped: usize,
    pub failed: usize,
    /// Tumors in outputs that were made now.
    pub tumors_made: usize,
}

/// What `--report` writes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchReport {
    /// Sums.
    pub totals: Totals,
    /// Wall clock time of all.
    pub seconds: f64,
    /// Largest memory that the process has had resident; none where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// Cases worked on at one time.
    pub jobs: usize,
    /// What the gate said of the tumors of all outputs, if there is one.
    pub gate: Option<GateRecord>,
    /// The part that was asked for, as `i/n`.
    pub shard: Option<String>,
    /// What the outputs were made with.
    pub settings: Settings,
    /// Every output, by case id and copy.
    pub cases: Vec<CaseReport>,
}

impl CaseReport {
    pub(super) fn of(status: Status, record: &CaseRecord, folder: &Path) -> Self {
        Self {
            case: record.case.clone(),
            copy: Some(record.copy),
            status,
            message: None,
            folder: Some(folder.to_path_buf()),
            tumors: record.tumors.len(),
            voxels_changed: [record.voxels_changed, record.voxels_changed_outside_blend_zone],
            warnings: record.warnings.iter().chain(&record.not_placed).cloned().collect(),
            gate: record.gate.clone(),
            reviewed: None,
            seconds: 0.0,
        }
    }

    pub(super) fn failed(case: &str, copy: Option<u64>, error: &Error) -> Self {
        Self {
            case: case.into(),
            copy,
            status: Status::Failed,
            message: Some(error.to_string()),
            folder: None,
            tumors: 0,
            voxels_changed: [0; 2],
            warnings: vec![],
            gate: None,
            reviewed: None,
            seconds: 0.0,
        }
    }
}

impl BatchReport {
    pub(super) fn new(
        cases: Vec<CaseReport>,
        settings: Settings,
        options: &BatchOptions,
        seconds: f64,
    ) -> Self {
        let count = |status| cases.iter().filter(|c| c.status == status).count();
        let made = cases.iter().filter(|c| c.status == Status::Done);
        let gate = settings.gate.as_ref().map(|_| {
            let mut all = GateRecord::default();
            cases.iter().filter_map(|c| c.gate.as_ref()).for_each(|gate| all.add(gate));
            all
        });
        Self {
            totals: Totals {
                outputs: cases.len(),
                done: count(Status::Done),
                skipped: count(Status::Skipped),
                failed: count(Status::Failed),
                tumors_made: made.map(|c| c.tumors).sum(),
            },
            seconds,
            peak_memory_bytes: crate::memory::peak_bytes(),
            jobs: options.jobs,
            gate,
            shard: options.shard.map(|s| s.to_string()),
            settings,
            cases,
        }
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_json(path, self)
    }
}
