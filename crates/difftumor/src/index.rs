//! Labels for the training of diffusion models: which tumors of each case are early ones, and which later ones
//! (paper 3.2, Fig. 6: a model each; spec/diffusion.md section 7).
//!
//! ```text
//! DIR/
//!   cases.csv            id, ct, labels, tumors, largest_radius_mm: cases in which a tumor remains
//!   labels/ID.nii.gz     0 background, 1 organ, 2 tumor; grid and header of the case's own labels (of its scan, for folders)
//!   index.json           what became of each case and of each of its tumors
//! ```
//!
//! A tumor is a connected component (6 neighbours). Those of the other stage, and those under 8 voxels, are taken for organ;
//! where the labels know no organ, for background. Cysts are background: neither healthy organ nor tumor.
pub mod folder;
pub mod folds;
pub mod healthy;

use crate::dataset::{CaseSource, Dataset};
use crate::error::{Error, Result};
use crate::run::{put_in_place, temporary_for};
use difftumor_ct::components::{Connectivity, components};
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::io::nrrd::is_nrrd;
use difftumor_ct::io::read_scan;
use difftumor_ct::io::write_atomically;
use difftumor_ct::label::{LabelFile, LabelMap, OrganSpec};
use difftumor_ct::{Grid, Labels, Mask};
use ndarray::Zip;
use serde::Serialize;
use std::f64::consts::PI;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Radius, of the ball of a tumor's volume, up to which it is early (authors' lists; spec/diffusion.md section 7).
pub const EARLY_RADIUS_MM: f64 = 10.0;
/// Components with fewer voxels are taken for errors of annotation (authors' lists).
pub const LEAST_VOXELS: usize = 8;

const ORGAN: u16 = 1;
const TUMOR: u16 = 2;

/// Which tumors a model learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Radius up to 10 mm.
    Early,
    /// Larger ones.
    Late,
}

/// What the labels hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Annotation {
    /// An organ and tumors in it.
    Organ(OrganSpec),
    /// Tumors alone: values, or the only value, of a file; in a folder the file of this name.
    Tumor(OrganSpec),
}

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It has a tumor of the stage.
    Kept,
    /// It has none.
    LeftOut,
    /// It could not be read.
    Failed,
}

/// A connected component of the tumor label.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tumor {
    /// Its size on the labels' grid.
    pub voxels: usize,
    /// Radius of the ball of its volume.
    pub radius_mm: f64,
    /// Whether it is a tumor in the new labels.
    pub kept: bool,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IndexedCase {
    /// The case's id.
    pub id: String,
    /// What became of it.
    pub status: Status,
    /// Why it is not in the table.
    pub reason: Option<String>,
    /// Its tumors, in scan order.
    pub tumors: Vec<Tumor>,
}

/// What `index.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Index {
    /// Which tumors were kept.
    pub stage: Stage,
    /// Organ or tumor, as on the command line.
    pub annotation: String,
    /// Cases in the table.
    pub kept: usize,
    /// Cases without a tumor of the stage.
    pub left_out: usize,
    /// Cases that could not be read.
    pub failed: usize,
    /// Every case, by id.
    pub cases: Vec<IndexedCase>,
}

impl Stage {
    /// Whether a tumor of this radius belongs to it.
    pub fn takes(self, radius_mm: f64) -> bool {
        (radius_mm <= EARLY_RADIUS_MM) == (self == Self::Early)
    }

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Late => "late",
        }
    }
}

impl std::fmt::Display for Annotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Organ(spec) => write!(f, "organ {spec}"),
            Self::Tumor(spec) => write!(f, "tumor {spec}"),
        }
    }
}

/// Prepares every case. One that cannot be read is told in the index and stops no other. `out` appears whole, and only
/// when a case was kept. `watch` is called with each case.
///
/// # Errors
/// When `out` is not empty or something cannot be written.
pub fn index(
    dataset: Dataset,
    annotation: &Annotation,
    stage: Stage,
    out: &Path,
    watch: &dyn Fn(&IndexedCase),
) -> Result<Index> {
    require_free(out)?;
    let temporary = temporary_for(out)?;
    let labels = temporary.path().join("labels");
    std::fs::create_dir(&labels).map_err(Error::io(&labels, "create"))?;
    let mut rows = vec![];
    let mut cases: Vec<IndexedCase> =
        dataset.unusable.iter().map(|(id, error)| IndexedCase::failed(id, error)).collect();
    cases.iter().for_each(watch);
    for source in &dataset.cases {
        let (case, prepared) = match prepare(source, annotation, stage) {
            Ok((tumors, prepared)) => (IndexedCase::of(&source.id, tumors, stage), prepared),
            Err(error) => (IndexedCase::failed(&source.id, &error), None),
        };
        if let Some(image) = prepared {
            let name = format!("{}.nii.gz", source.id);
            image.write(labels.join(&name))?;
            rows.push(Row::of(&case, &source.ct, format!("labels/{name}"))?);
        }
        watch(&case);
        cases.push(case);
    }
    cases.sort_by(|a, b| a.id.cmp(&b.id));
    let count = |status| cases.iter().filter(|c| c.status == status).count();
    let index = Index {
        stage,
        annotation: annotation.to_string(),
        kept: count(Status::Kept),
        left_out: count(Status::LeftOut),
        failed: count(Status::Failed),
        cases,
    };
    if index.kept > 0 {
        write_table(&temporary.path().join("cases.csv"), &rows)?;
        let json = serde_json::to_string_pretty(&index).expect("an index is made of texts and numbers");
        write_atomically(&temporary.path().join("index.json"), |file| writeln!(file, "{json}"))?;
        require_free(out)?;
        put_in_place(temporary.path(), out)?;
    }
    Ok(index)
}

fn require_free(out: &Path) -> Result<()> {
    match std::fs::read_dir(out) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                let problem = "the folder is not empty; name another --out";
                Err(Error::Exists { path: out.into(), problem })
            }
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(out, "write to the folder")(e)),
    }
}

/// The tumors of a case, and its new labels if one of them is kept.
fn prepare(
    source: &CaseSource,
    annotation: &Annotation,
    stage: Stage,
) -> Result<(Vec<Tumor>, Option<NiftiImage>)> {
    // The whole scan, and not its header alone: a damaged one must be found here, not in the training.
    let scan = read_scan(&source.ct)?;
    let scan_name = source.ct.display().to_string();
    let (organ, tumor) = annotation.masks(&source.labels, (&scan.grid(), &scan_name))?;
    let Some(tumor) = tumor else { return Ok((vec![], None)) };
    let found = components(&tumor.data, Connectivity::Faces);
    let voxel_mm3 = tumor.affine.determinant().abs();
    let tumors: Vec<Tumor> = found
        .parts
        .iter()
        .map(|part| {
            let radius_mm = (3.0 * part.voxels as f64 * voxel_mm3 / (4.0 * PI)).cbrt();
            let kept = part.voxels >= LEAST_VOXELS && stage.takes(radius_mm);
            Tumor { voxels: part.voxels, radius_mm, kept }
        })
        .collect();
    if tumors.iter().all(|t| !t.kept) {
        return Ok((tumors, None));
    }
    let kept = found.keep(|part| tumors[part.label as usize - 1].kept);
    let other = if organ.is_some() { ORGAN } else { 0 };
    let mut data = Zip::from(&kept).and(&tumor.data).par_map_collect(|kept, tumor| match (kept, tumor) {
        (true, _) => TUMOR,
        (false, true) => other,
        (false, false) => 0,
    });
    if let Some(organ) = organ {
        Zip::from(&mut data).and(&organ.data).par_for_each(|label, organ| {
            if *organ && *label == 0 {
                *label = ORGAN;
            }
        });
    }
    let has_no_header = source.labels.is_dir() || is_nrrd(&source.labels);
    let frame = if has_no_header { scan } else { NiftiImage::read(&source.labels)? };
    Ok((tumors, Some(frame.with_labels(&Labels { data, affine: tumor.affine }))))
}

impl Annotation {
    /// The organ's, or the tumor's, name.
    pub fn name(&self) -> &str {
        match self {
            Self::Organ(spec) | Self::Tumor(spec) => &spec.name,
        }
    }

    /// Organ and tumors; no tumors when no voxel is labelled so.
    pub(crate) fn masks(&self, labels: &Path, scan: (&Grid, &str)) -> Result<(Option<Mask>, Option<Mask>)> {
        match self {
            Self::Organ(spec) => {
                let mask = LabelMap::open(labels)?.organ(spec, Some(scan))?;
                Ok((Some(mask.organ), mask.tumor))
            }
            Self::Tumor(spec) => {
                let file = tumor_file(labels, spec)?;
                let name = file.path.display().to_string();
                scan.0.require_same(scan.1, &file.labels.grid(), &name)?;
                let wanted = spec.roles.as_ref().map(|roles| &roles.organ);
                let is_there =
                    wanted.map_or(!file.census.0.is_empty(), |w| !file.census.present(w).is_empty());
                if !is_there {
                    return Ok((None, None));
                }
                let map = LabelMap::File(Box::new(file));
                Ok((None, Some(map.organ(spec, Some(scan))?.organ)))
            }
        }
    }
}

/// A label file, or the file of the tumor's name in a folder.
fn tumor_file(labels: &Path, spec: &OrganSpec) -> Result<LabelFile> {
    if !labels.is_dir() {
        return Ok(LabelFile::read(labels)?);
    }
    let named = [".nii.gz", ".nii"].map(|extension| labels.join(format!("{}{extension}", spec.name)));
    match named.iter().find(|path| path.is_file()) {
        Some(path) => Ok(LabelFile::read(path)?),
        None => {
            let hint = "name the tumor as its file is named";
            let expected = format!("{}.nii.gz or {}.nii", spec.name, spec.name);
            Err(Error::format(labels, "folder of masks", expected, "none", hint))
        }
    }
}

impl IndexedCase {
    fn of(id: &str, tumors: Vec<Tumor>, stage: Stage) -> Self {
        let largest = tumors.iter().max_by_key(|t| t.voxels);
        let reason = match largest {
            _ if tumors.iter().any(|t| t.kept) => None,
            None => Some("no voxel is labelled as tumor".to_string()),
            Some(t) if t.voxels < LEAST_VOXELS => {
                Some(format!("its tumors have under {LEAST_VOXELS} voxels (the largest {})", t.voxels))
            }
            Some(t) => Some(format!(
                "no tumor is {}: {} of at least {LEAST_VOXELS} voxels, the largest with a radius of {:.1} mm (up to {EARLY_RADIUS_MM} mm is early)",
                stage.name(),
                tumors.iter().filter(|t| t.voxels >= LEAST_VOXELS).count(),
                t.radius_mm,
            )),
        };
        let status = if reason.is_some() { Status::LeftOut } else { Status::Kept };
        Self { id: id.into(), status, reason, tumors }
    }

    fn failed(id: &str, error: &Error) -> Self {
        Self { id: id.into(), status: Status::Failed, reason: Some(error.to_string()), tumors: vec![] }
    }
}

/// A line of the table.
#[derive(Serialize)]
struct Row {
    id: String,
    ct: PathBuf,
    labels: String,
    tumors: usize,
    largest_radius_mm: String,
}

impl Row {
    fn of(case: &IndexedCase, ct: &Path, labels: String) -> Result<Self> {
        let kept = || case.tumors.iter().filter(|t| t.kept);
        let largest_mm = kept().map(|t| t.radius_mm).fold(0.0, f64::max);
        Ok(Self {
            id: case.id.clone(),
            ct: std::path::absolute(ct).map_err(Error::io(ct, "find"))?,
            labels,
            tumors: kept().count(),
            largest_radius_mm: format!("{largest_mm:.2}"),
        })
    }
}

fn write_table(path: &Path, rows: &[impl Serialize]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(vec![]);
    for row in rows {
        writer.serialize(row).map_err(|e| Error::io(path, "write")(std::io::Error::other(e)))?;
    }
    let bytes = writer.into_inner().expect("writing to memory does not fail");
    Ok(write_atomically(path, |file| file.write_all(&bytes))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_millimetres_are_early() {
        assert!(Stage::Early.takes(10.0) && !Stage::Late.takes(10.0));
        assert!(Stage::Late.takes(10.0 + 1e-9) && !Stage::Early.takes(10.0 + 1e-9));
    }
}
