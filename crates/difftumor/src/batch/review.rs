//! What a review ([`difftumor_study::view`]) says of the outputs of a batch: those that it rejects are drawn again, with other tumors.
use super::{BatchOptions, CaseRecord, RECORD, Task};
use crate::error::{Error, Result};
use crate::objects;
use crate::run::sha256;
use difftumor_study::view::review::{FILE, Review, State, read};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An output's verdict, and its drawing: the first, or the one after so many rejections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) state: State,
    pub(super) redraw: u64,
}

/// The review of a folder with outputs.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(crate) fn of_folder(folder: &Path) -> Result<Review> {
    if objects::is_url(folder) {
        let expected = "a folder of this machine, where `difftumor view` keeps its verdicts";
        return Err(super::argument("reviewed outputs", expected, &folder.display().to_string()));
    }
    let path = folder.join(FILE);
    if !path.is_file() {
        let hint = "look at the outputs with `difftumor view` and accept or reject them first";
        return Err(Error::format(&path, "review", "a file with verdicts", "none".to_string(), hint));
    }
    Ok(read(folder)?)
}

/// What the review says of each task. All outputs of a copy (the sizes of a growth series) have the same drawing: one that is rejected
/// draws all of them again, whichever shard they are made in.
pub(super) fn judge(tasks: &[Task], options: &BatchOptions, is_single: bool) -> Result<Vec<Judged>> {
    let folder = if is_single { above(&options.out)? } else { options.out.clone() };
    let review = of_folder(&folder)?;
    let found: Vec<(State, u64)> = tasks.iter().map(|task| found(task, &review)).collect();
    let mut redraws: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for (task, (state, redraw)) in tasks.iter().zip(&found) {
        let next = redraw + u64::from(*state == State::Rejected);
        let least = redraws.entry((&task.source.id, task.variant.copy)).or_default();
        *least = next.max(*least);
    }
    let judged = |(task, (state, _)): (&Task, &(State, u64))| Judged {
        state: *state,
        redraw: redraws[&(task.source.id.as_str(), task.variant.copy)],
    };
    Ok(tasks.iter().zip(&found).map(judged).collect())
}

/// One output lies right in its folder; its verdict lies beside it.
fn above(out: &Path) -> Result<PathBuf> {
    if objects::is_url(out) {
        return Ok(out.into());
    }
    let whole = out.canonicalize().map_err(Error::io(out, "read"))?;
    Ok(whole.parent().map(Path::to_path_buf).unwrap_or(whole))
}

/// An output's verdict and drawing. One that is not there, or that cannot be read, is open: its task tells what is wrong.
fn found(task: &Task, review: &Review) -> (State, u64) {
    let folder = task.target.folder();
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let record = std::fs::read(folder.join(RECORD)).ok().and_then(|bytes| {
        let record: CaseRecord = serde_json::from_slice(&bytes).ok()?;
        Some((review.state(&name, &sha256(&bytes)), record.redraw))
    });
    record.unwrap_or((State::Open, 0))
}
