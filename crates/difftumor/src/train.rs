//! What every training needs: settings, scans, batches made ahead, checkpoints, records (paper App. E.2 gives the numbers;
//! the machinery is ours). The loops themselves are explicit and stand with their models.
//!
//! ```text
//! RUN/
//!   run.toml, weights-STEP.safetensors   the model as it is used: a Run that can be opened at any time
//!   best/                                the same, from the step with the best validation so far
//!   training/
//!     config.toml, data.toml             every setting, resolved, and the scans' names; written before the first step
//!     checkpoints/STEP/                  everything that the training goes on from; the two latest
//!     metrics.jsonl                      one line for each record
//!     events.out.tfevents.difftumor      the same for TensorBoard
//!     samples/STEP.png                   pictures
//! ```
pub mod cache;
pub mod checkpoint;
pub mod crops;
mod events;
mod key;
pub mod learning_rate;
pub mod log;
pub mod pictures;
pub mod prefetch;
pub mod prepared;
pub mod scans;
pub mod settings;
mod store;
pub mod tumors;

use crate::error::{Error, Result};
use burn::tensor::Device;
use checkpoint::Checkpoints;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;

/// Settings that may change when a training is resumed: they say how long and how often, not what.
const FREE: [&str; 2] = ["steps", "output"];

/// What a training writes, and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Output {
    /// Steps between records of the metrics.
    pub record_every: u64,
    /// Steps between validations, which also write pictures and the Run's weights.
    pub validate_every: u64,
    /// Steps between checkpoints: 1000, authors' code.
    pub checkpoint_every: u64,
}

impl Default for Output {
    fn default() -> Self {
        Self { record_every: 10, validate_every: 1000, checkpoint_every: 1000 }
    }
}

impl Output {
    /// # Errors
    /// When one is 0.
    pub(crate) fn check(&self) -> Result<()> {
        let all = [
            ("output.record_every", self.record_every),
            ("output.validate_every", self.validate_every),
            ("output.checkpoint_every", self.checkpoint_every),
        ];
        all.into_iter().try_for_each(|(what, n)| require(n > 0, what, "at least 1", n.to_string()))
    }
}

/// An argument error about a setting, unless the rule holds.
pub(crate) fn require(holds: bool, what: &str, expected: &str, found: String) -> Result<()> {
    match holds {
        true => Ok(()),
        false => {
            Err(difftumor_ct::Error::Argument { what: what.into(), expected: expected.into(), found }.into())
        }
    }
}

/// Where and how a training runs, and what from.
#[derive(Debug, Clone)]
pub struct TrainingPlace {
    /// The Run directory.
    pub run: PathBuf,
    /// Whether to go on with the training that is there. Otherwise the directory must be empty or missing.
    pub resume: bool,
    /// A Run of the same architecture whose weights a new training starts from.
    pub init: Option<PathBuf>,
    /// Where the model is trained.
    pub device: Device,
    /// Threads that make batches ahead.
    pub threads: usize,
    /// Where prepared scans are kept, if not beside the Run.
    pub cache: Option<PathBuf>,
    /// Room for them; 0 keeps none.
    pub cache_bytes: u64,
    /// Terms under which the weights may be used, for the Run's description.
    pub licence: String,
}

impl TrainingPlace {
    /// The folder of records, checkpoints and settings.
    pub fn records(&self) -> PathBuf {
        self.run.join("training")
    }

    /// The folder of prepared scans: beside the Run, so that Runs of one folder (those of a cross-validation, say) share it, and
    /// no scan of a patient lies in a Run that is passed on.
    pub fn prepared(&self) -> PathBuf {
        let beside = || std::path::absolute(&self.run).unwrap_or_else(|_| self.run.clone());
        self.cache.clone().unwrap_or_else(|| beside().with_file_name("prepared-scans"))
    }

    /// Makes the folders and writes the settings and the names of the scans, or compares them with those that the training
    /// was started with.
    ///
    /// # Errors
    /// [`Error::Exists`] when something is there and is not to be resumed, [`Error::Resume`] when settings or scans differ,
    /// and when something cannot be read or written.
    pub(crate) fn prepare<'a>(
        &self,
        settings: &toml::Table,
        scans: impl Iterator<Item = &'a str>,
    ) -> Result<Checkpoints> {
        let records = self.records();
        let names: toml::value::Array = scans.map(|id| id.into()).collect();
        let data = toml::Table::from_iter([("scans".to_string(), names.into())]);
        let both = [(records.join("config.toml"), settings), (records.join("data.toml"), &data)];
        let occupied = match fs::read_dir(&self.run) {
            Ok(mut entries) => entries.next().is_some(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
            Err(e) => return Err(Error::io(&self.run, "read")(e)),
        };
        if self.resume && both.iter().all(|(path, _)| path.is_file()) {
            both.iter().try_for_each(|(path, table)| settings::require_same(path, table, &FREE))?;
        } else if occupied {
            let problem = match self.resume {
                true => "there is no training to resume, and the folder is not empty; name another --out",
                false => {
                    "the folder is not empty; go on with --resume if it holds this training, or name another --out"
                }
            };
            return Err(Error::Exists { path: self.run.clone(), problem });
        }
        fs::create_dir_all(&records).map_err(Error::io(&records, "create"))?;
        both.iter().try_for_each(|(path, table)| settings::write(path, table))?;
        Ok(Checkpoints::new(records.join("checkpoints")))
    }
}
