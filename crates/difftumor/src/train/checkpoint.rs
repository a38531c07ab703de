//! What a training goes on from after an interruption. A checkpoint is a folder that is written under a temporary name,
//! flushed, and renamed; the one before it stays until then, so a kill or a full disk costs no more than the steps since.
use crate::error::{Error, Result};
use crate::run::{Precision, Tensors, read_tensors, write_tensors};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Checkpoints that are kept.
const KEPT: usize = 2;
const STATE: &str = "state.json";
/// How the folder of a checkpoint is called until it is whole.
const TORN: &str = ".checkpoint-";

/// The folder of a training's checkpoints.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    dir: PathBuf,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Steps that were made.
    pub step: u64,
    dir: PathBuf,
}

impl Checkpoints {
    /// The checkpoints in `dir`, which need not exist.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Writes the checkpoint of `step`: sets of tensors by name, and a state that JSON can hold.
    ///
    /// # Errors
    /// When something cannot be written. Earlier checkpoints are as they were, and nothing half-written is left.
    pub fn save(&self, step: u64, parts: &[(&str, Tensors)], state: &impl Serialize) -> Result<()> {
        fs::create_dir_all(&self.dir).map_err(Error::io(&self.dir, "create"))?;
        self.remove_torn()?;
        let temporary = tempfile::Builder::new()
            .prefix(TORN)
            .tempdir_in(&self.dir)
            .map_err(Error::io(&self.dir, "create a folder in"))?;
        for (name, tensors) in parts {
            write_tensors(&temporary.path().join(format!("{name}.safetensors")), tensors, Precision::F32)?;
        }
        let path = temporary.path().join(STATE);
        let text = serde_json::to_vec(state).expect("a state is numbers and texts");
        fs::write(&path, text)
            .and_then(|()| File::open(&path)?.sync_all())
            .map_err(Error::io(&path, "write"))?;
        let target = self.dir.join(format!("{step:09}"));
        if target.exists() {
            // The same step again, after an interruption between checkpoint and record: it holds the same.
            fs::remove_dir_all(&target).map_err(Error::io(&target, "replace"))?;
        }
        fs::rename(temporary.path(), &target).map_err(Error::io(&target, "create"))?;
        let all = self.list()?;
        for old in &all[..all.len().saturating_sub(KEPT)] {
            fs::remove_dir_all(&old.dir).map_err(Error::io(&old.dir, "remove"))?;
        }
        Ok(())
    }

    /// Removes what kills in the middle of [`Checkpoints::save`] left: hundreds of megabytes each.
    fn remove_torn(&self) -> Result<()> {
        for entry in fs::read_dir(&self.dir).map_err(Error::io(&self.dir, "read"))? {
            let entry = entry.map_err(Error::io(&self.dir, "read"))?;
            if entry.file_name().to_string_lossy().starts_with(TORN) {
                fs::remove_dir_all(entry.path()).map_err(Error::io(entry.path(), "remove"))?;
            }
        }
        Ok(())
    }

    /// The latest checkpoint, if there is one.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn latest(&self) -> Result<Option<Checkpoint>> {
        Ok(self.list()?.pop())
    }

    fn list(&self) -> Result<Vec<Checkpoint>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            Err(e) => return Err(Error::io(&self.dir, "read")(e)),
        };
        let mut found = vec![];
        for entry in entries {
            let dir = entry.map_err(Error::io(&self.dir, "read"))?.path();
            if let Some(step) = dir.file_name().and_then(|n| n.to_str()?.parse().ok()) {
                found.push(Checkpoint { step, dir });
            }
        }
        found.sort_by_key(|c| c.step);
        Ok(found)
    }
}

impl Checkpoint {
    /// A set of tensors.
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub fn tensors(&self, name: &str) -> Result<Tensors> {
        read_tensors(&self.dir.join(format!("{name}.safetensors")))
    }

    /// The state.
    ///
    /// # Errors
    /// When it is not there or is not such a state.
    pub fn state<S: DeserializeOwned>(&self) -> Result<S> {
        let path = self.dir.join(STATE);
        let text = fs::read(&path).map_err(Error::io(&path, "read"))?;
        serde_json::from_slice(&text).map_err(|e| {
            let hint = "remove this checkpoint's folder to go on from the one before";
            Error::format(&path, "state of a training", "JSON as this program writes it", e.to_string(), hint)
        })
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn tensors(value: f32) -> Tensors {
        BTreeMap::from([("w".to_string(), (vec![2, 2], vec![value, 1.0, f32::MIN_POSITIVE, -0.0]))])
    }

    #[test]
    fn the_two_latest_are_kept_and_come_back_to_the_bit() {
        let dir = tempfile::tempdir().unwrap();
        let all = Checkpoints::new(dir.path().join("checkpoints"));
        assert!(all.latest().unwrap().is_none());
        for step in [2, 10, 9_000] {
            all.save(step, &[("model", tensors(step as f32))], &step).unwrap();
        }
        let names: Vec<_> = all.list().unwrap().iter().map(|c| c.step).collect();
        assert_eq!(names, [10, 9_000]);
        // What a kill leaves behind is never taken for a checkpoint.
        let torn = all.dir.join(".checkpoint-x");
        fs::create_dir(&torn).unwrap();
        let last = all.latest().unwrap().unwrap();
        assert_eq!((last.step, last.state::<u64>().unwrap()), (9_000, 9_000));
        assert_eq!(last.tensors("model").unwrap(), tensors(9_000.0));
        assert!(last.state::<String>().unwrap_err().to_string().contains("state.json"));
        assert!(last.tensors("other").unwrap_err().to_string().contains("other.safetensors"));
        all.save(9_000, &[("model", tensors(1.0))], &1u64).unwrap();
        assert_eq!(all.latest().unwrap().unwrap().tensors("model").unwrap(), tensors(1.0));
        assert!(!torn.exists());
    }
}
