//! A table of what a folder holds: `difftumor index FOLDER --out cases.csv`.
//!
//! Every scan is read once, with its labels, so that what is in the table can be used: a case that cannot be read, whose labels
//! lie on another grid or whose scan has voxels that are no numbers, is told and left out.
//!
//! Scans with the same voxels, whatever files they lie in and however these turn them, are one patient's: their `patient` is the id of the first, so
//! that no split sets them apart.
use super::write_table;
use crate::dataset::layouts::Layout;
use crate::dataset::{ScanSource, Scans};
use crate::error::{Error, Result, caught};
use difftumor_ct::hu_check::hu_warning;
use difftumor_ct::io::read_scan;
use difftumor_ct::label::{LabelFile, mask_files};
use difftumor_ct::orient::{AxisCodes, reorient};
use difftumor_ct::{Grid, Volume};
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Ending of the name of the second table, where some scans have labels and others have none.
pub const WITHOUT_LABELS: &str = "_without_labels";

/// A line of the table. Further columns than `id`, `ct`, `labels` and `patient` are for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The case.
    pub id: String,
    /// The scan's absolute path.
    pub ct: PathBuf,
    /// That of its labels; empty if there are none.
    pub labels: PathBuf,
    /// Equal for scans with the same voxels.
    pub patient: String,
    /// `512x512x119`.
    pub size_vox: String,
    /// `0.743x0.743x1.6`.
    pub spacing_mm: String,
    /// Where the axes lead: `LPS`.
    pub axes: String,
    /// Lowest value.
    pub min_hu: f32,
    /// Highest value.
    pub max_hu: f32,
    /// Why the values may be no HU; mostly empty.
    pub hu_warning: String,
    /// Voxels of each label but 0: `1:300000 2:1200`; of a folder of masks their names.
    pub label_voxels: String,
    /// SHA-256 of the voxels in HU, with the axes led to right, anterior and superior, and of their number along these.
    pub voxels_sha256: String,
    /// The first case with the same; empty for the first.
    pub duplicate_of: String,
}

/// What became of a folder.
#[derive(Debug)]
pub struct FolderIndex {
    /// The lines with labels, by id.
    pub with_labels: Vec<Row>,
    /// Those without.
    pub without_labels: Vec<Row>,
    /// Cases that are in no table, and why.
    pub failed: Vec<(String, Error)>,
    /// The tables that were written.
    pub tables: Vec<PathBuf>,
}

/// Reads all cases and writes `out`. Where some have labels and others have none, the latter go to a second table beside it.
/// `watch` is called after each case.
///
/// # Errors
/// When a table is there and may not be replaced, no case can be used, or a table cannot be written.
pub fn index_folder(layout: Layout, out: &Path, replace: bool, watch: &dyn Fn(&str)) -> Result<FolderIndex> {
    let Scans { scans, unusable: mut failed, .. } = layout.scans;
    let second = beside(out);
    if !replace && let Some(taken) = [out, &second].into_iter().find(|path| path.exists()) {
        let problem = "it is there already; name another --out, or replace it with --force";
        return Err(Error::Exists { path: taken.into(), problem });
    }
    let mut first_with: BTreeMap<String, String> = BTreeMap::new();
    let (mut with_labels, mut without_labels) = (vec![], vec![]);
    for scan in &scans {
        match caught(&scan.id, || Row::read(scan)) {
            Ok(mut row) => {
                let first = first_with.entry(row.voxels_sha256.clone()).or_insert_with(|| row.id.clone());
                row.patient.clone_from(first);
                if *first != row.id {
                    row.duplicate_of.clone_from(first);
                }
                if scan.labels.is_some() { &mut with_labels } else { &mut without_labels }.push(row);
            }
            Err(error) => failed.push((scan.id.clone(), error)),
        }
        watch(&scan.id);
    }
    let mut index = FolderIndex { with_labels, without_labels, failed, tables: vec![] };
    let tables: Vec<(&Path, &[Row])> = match (&index.with_labels[..], &index.without_labels[..]) {
        ([], []) => {
            let reasons: Vec<String> = index.failed.iter().map(|(id, e)| format!("{id}: {e}")).collect();
            let argument = difftumor_ct::Error::Argument {
                what: "cases of the folder".into(),
                expected: "at least one that can be read".into(),
                found: format!("none ({})", reasons.join("; ")),
            };
            return Err(argument.into());
        }
        ([], only) | (only, []) => vec![(out, only)],
        (with, without) => vec![(out, with), (&second, without)],
    };
    for (path, rows) in &tables {
        write_table(path, rows)?;
    }
    let written = tables.into_iter().map(|(path, _)| path.into()).collect();
    index.tables = written;
    Ok(index)
}

/// `cases.csv` becomes `cases_without_labels.csv`.
fn beside(out: &Path) -> PathBuf {
    let mut name = out.file_stem().unwrap_or_default().to_os_string();
    name.push(WITHOUT_LABELS);
    if let Some(extension) = out.extension() {
        name.push(".");
        name.push(extension);
    }
    out.with_file_name(name)
}

impl Row {
    fn read(scan: &ScanSource) -> Result<Self> {
        let absolute = |path: &Path| std::path::absolute(path).map_err(Error::io(path, "find"));
        let ct = read_scan(&scan.ct)?.to_volume()?;
        let label_voxels = match &scan.labels {
            Some(labels) => census(labels, (&ct.grid(), &scan.ct.display().to_string()))?,
            None => String::new(),
        };
        let times = |numbers: [String; 3]| numbers.join("x");
        let size = ct.data.dim();
        let fold = |f: fn(f32, f32) -> f32| ct.data.iter().copied().reduce(f).unwrap_or(0.0);
        Ok(Self {
            id: scan.id.clone(),
            ct: absolute(&scan.ct)?,
            labels: scan.labels.as_deref().map(absolute).transpose()?.unwrap_or_default(),
            patient: String::new(),
            size_vox: times([size.0, size.1, size.2].map(|n| n.to_string())),
            spacing_mm: times(
                ct.affine
                    .spacing_mm()
                    .map(|mm| format!("{:.4}", mm).trim_end_matches('0').trim_end_matches('.').to_string()),
            ),
            axes: AxisCodes::of(&ct.affine)?.to_string(),
            min_hu: fold(f32::min),
            max_hu: fold(f32::max),
            hu_warning: hu_warning(&ct).unwrap_or_default(),
            label_voxels,
            voxels_sha256: voxels_sha256(&ct)?,
            duplicate_of: String::new(),
        })
    }
}

/// What the labels hold, a folder's masks by their names; their grid must be the scan's.
fn census(labels: &Path, scan: (&Grid, &str)) -> Result<String> {
    let read = |path: &Path| -> Result<LabelFile> {
        let file = LabelFile::read(path)?;
        scan.0.require_same(scan.1, &file.labels.grid(), &path.display().to_string())?;
        Ok(file)
    };
    if labels.is_dir() {
        let masks = mask_files(labels)?;
        let count = |(name, path): &(String, PathBuf)| -> Result<String> {
            Ok(format!("{name}:{}", read(path)?.census.0.values().sum::<usize>()))
        };
        return Ok(masks.par_iter().map(count).collect::<Result<Vec<_>>>()?.join(" "));
    }
    let file = read(labels)?;
    let counts: Vec<String> = file.census.0.iter().map(|(value, n)| format!("{value}:{n}")).collect();
    Ok(counts.join(" "))
}

fn voxels_sha256(ct: &Volume) -> Result<String> {
    let standing = reorient(ct, AxisCodes::RAS)?;
    let mut hash = Sha256::new();
    let size = standing.data.dim();
    for side in [size.0, size.1, size.2] {
        hash.update((side as u64).to_le_bytes());
    }
    // -0 and 0 are one HU.
    let mut bytes = Vec::with_capacity(4 << 16);
    let data = standing.data.as_standard_layout();
    for piece in data.as_slice().expect("standard layout is contiguous").chunks(1 << 16) {
        bytes.clear();
        bytes.extend(piece.iter().flat_map(|hu| (hu + 0.0).to_le_bytes()));
        hash.update(&bytes);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
