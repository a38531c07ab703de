//! Folds of a table of cases, dealt by patient: `difftumor index --folds N --cases cases.csv --out DIR`.
//!
//! ```text
//! DIR/
//!   splits_final.json           nnU-Net's file
//!   train_0.csv, val_0.csv, …   id, ct, labels, patient of each fold's cases
//! ```
use super::{require_free, write_table};
use crate::dataset::patients::origins;
use crate::dataset::splits::{SPLITS, Splits};
use crate::dataset::{CaseSource, Dataset};
use crate::error::{Error, Result};
use crate::run::{put_in_place, temporary_for};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A line of a fold's table.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    ct: PathBuf,
    labels: PathBuf,
    patient: &'a str,
}

/// Deals the cases and writes `out`, which appears whole. Scans are read only where a synthetic case must be traced to its patient.
///
/// # Errors
/// When a case is unusable, there are fewer patients than folds, or `out` is not empty or cannot be written.
pub fn deal(dataset: Dataset, folds: usize, seed: u64, out: &Path) -> Result<Splits> {
    if let Some((_, error)) = dataset.unusable.into_iter().next() {
        return Err(error);
    }
    require_free(out)?;
    let cases = dataset.cases;
    let origins = origins(&cases);
    let splits = Splits::make(&cases, &origins, folds, seed)?;
    let temporary = temporary_for(out)?;
    splits.write_or_compare(&temporary.path().join(SPLITS))?;
    let absolute = |path: &Path| std::path::absolute(path).map_err(Error::io(path, "find"));
    let row = |id: &String| -> Result<Row> {
        let at = cases.iter().position(|case| case.id == *id).expect("folds are made of the cases");
        let CaseSource { id, ct, labels, .. } = &cases[at];
        Ok(Row { id, ct: absolute(ct)?, labels: absolute(labels)?, patient: &origins[at].patient })
    };
    for (n, fold) in splits.0.iter().enumerate() {
        for (name, ids) in [("train", &fold.train), ("val", &fold.val)] {
            let rows = ids.iter().map(row).collect::<Result<Vec<_>>>()?;
            write_table(&temporary.path().join(format!("{name}_{n}.csv")), &rows)?;
        }
    }
    put_in_place(temporary.path(), out)?;
    Ok(splits)
}
