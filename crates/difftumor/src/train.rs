//! What every training needs: settings, scans, batches made ahead, checkpoints, records (paper App. E.2 gives the numbers;
//! the machinery is ours). The loops themselves are explicit and stand with their models.
//!
//! ```text
//! RUN/
//!   run.toml, weights-STEP.safetensors   the model as it is used: a Run that can be opened at any time
//!   best/                                the same, from the step with the best validation so far
//!   training/
//!     config.toml                        every setting, resolved, written before the first step
//!     checkpoints/STEP/                  everything that the training goes on from; the two latest
//!     metrics.jsonl                      one line for each record
//!     events.out.tfevents.difftumor      the same for TensorBoard
//!     samples/STEP.png                   pictures
//! ```
pub mod cache;
pub mod checkpoint;
pub mod crops;
mod events;
pub mod learning_rate;
pub mod log;
pub mod pictures;
pub mod prefetch;
pub mod scans;
pub mod settings;
pub mod tumors;

use crate::error::{Error, Result};
use burn::tensor::Device;
use checkpoint::Checkpoints;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;

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
        match all.into_iter().find(|(_, n)| *n == 0) {
            None => Ok(()),
            Some((what, _)) => {
                let (expected, found) = ("at least 1".into(), "0".into());
                Err(difftumor_ct::Error::Argument { what: what.into(), expected, found }.into())
            }
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
    /// Memory for prepared scans.
    pub cache_bytes: usize,
    /// Terms under which the weights may be used, for the Run's description.
    pub licence: String,
}

impl TrainingPlace {
    /// The folder of records, checkpoints and settings.
    pub fn records(&self) -> PathBuf {
        self.run.join("training")
    }

    /// Makes the folders and writes the settings, or compares them with those that the training was started with; keys in
    /// `free` may differ.
    ///
    /// # Errors
    /// [`Error::Exists`] when something is there and is not to be resumed, [`Error::Resume`] when settings differ, and
    /// when something cannot be read or written.
    pub(crate) fn prepare(&self, settings: &toml::Table, free: &[&str]) -> Result<Checkpoints> {
        let records = self.records();
        let config = records.join("config.toml");
        let occupied = match fs::read_dir(&self.run) {
            Ok(mut entries) => entries.next().is_some(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
            Err(e) => return Err(Error::io(&self.run, "read")(e)),
        };
        if self.resume && config.is_file() {
            settings::require_same(&config, settings, free)?;
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
        settings::write(&config, settings)?;
        Ok(Checkpoints::new(records.join("checkpoints")))
    }
}
