//! Radiomics of every tumor of a dataset: a table for [`difftumor_ct::analysis`], and for other programs (paper 2 (2), App. B).
use super::tumors::Tumors;
use crate::dataset::{CaseSource, Dataset};
use crate::error::{Result, caught};
use crate::index::Annotation;
use crate::objects::fetch;
use difftumor_ct::analysis::table::{FeatureTable, Tumor};
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::io::{nrrd, read_scan};
use difftumor_ct::measure::measure;
use difftumor_ct::metrics::detection::Stage;
use difftumor_ct::radiomics::{Features, Settings, extract, extract_label};
use difftumor_ct::{Labels, Mask};
use ndarray::s;
use rayon::prelude::*;
use serde::Serialize;
use std::path::Path;

/// Whose radiomics are to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// What all tumors of this dataset are called in the column `group`: their organ, or where they come from.
    pub group: String,
}

/// What became of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Radiomics {
    /// A row for each tumor, `GROUP/CASE/NUMBER`; `None` when there is none.
    pub table: Option<FeatureTable>,
    /// Cases, and tumors of cases, that have no row, and why.
    pub left_out: Vec<LeftOut>,
}

/// A case or a tumor without a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The case's id, or `GROUP/CASE/NUMBER`.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// Measures the region with the settings' label.
///
/// # Errors
/// When a file cannot be read, the grids differ, the region is empty, too small, or has voxels that are not finite.
pub fn one(ct: &Path, mask: &Path, settings: &Settings) -> Result<Features> {
    let (ct, mask) = (fetch(ct)?, fetch(mask)?);
    let read = || -> Result<Features> {
        let image = read_scan(ct.path())?;
        let settings = of_image(settings, image.step_hu() == Some(1.0));
        Ok(extract_label(&image.to_volume()?, &labels(mask.path())?, &settings)?)
    };
    read().map_err(|e| mask.explain(ct.explain(e)))
}

/// Writes features as JSON, a flat map as PyRadiomics prints it.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, features: &Features) -> Result<()> {
    crate::batch::write_json(path, features)
}

/// An image of whole numbers stays one when it is resampled, as in PyRadiomics.
fn of_image(settings: &Settings, whole_hu: bool) -> Settings {
    Settings { integer_image: settings.integer_image || whole_hu, ..settings.clone() }
}

fn labels(path: &Path) -> Result<Labels> {
    Ok(match nrrd::is_nrrd(path) {
        true => nrrd::read_labels(path)?.labels,
        false => NiftiImage::read(path)?.to_labels()?,
    })
}

/// Measures every tumor of every case. What cannot be measured is told and stops nothing else.
///
/// # Errors
/// When the settings are impossible.
pub fn dataset(
    dataset: &Dataset,
    annotation: &Annotation,
    settings: &Settings,
    grouping: &Grouping,
    watch: &dyn Fn(&str),
) -> Result<Radiomics> {
    settings.validate()?;
    let mut rows: Vec<(Tumor, Features)> = vec![];
    let mut left_out: Vec<LeftOut> =
        dataset.unusable.iter().map(|(id, e)| LeftOut { id: id.clone(), reason: e.to_string() }).collect();
    for source in &dataset.cases {
        let found = caught(&source.id, || case(source, annotation, settings, grouping));
        for tumor in found.unwrap_or_else(|e| vec![Err(left(&source.id, &e.to_string()))]) {
            match tumor {
                Ok(row) => rows.push(row),
                Err(reason) => left_out.push(reason),
            }
        }
        watch(&source.id);
    }
    let table = match rows.first() {
        None => None,
        Some((_, first)) => {
            let columns: Vec<String> = first.iter().map(|(name, _)| name.to_string()).collect();
            let values = rows.iter().map(|(_, features)| features.iter().map(|(_, v)| v).collect()).collect();
            Some(FeatureTable::new(rows.into_iter().map(|(tumor, _)| tumor).collect(), columns, values)?)
        }
    };
    Ok(Radiomics { table, left_out })
}

fn left(id: &str, reason: &str) -> LeftOut {
    LeftOut { id: id.into(), reason: reason.into() }
}

type Row = std::result::Result<(Tumor, Features), LeftOut>;

fn case(
    source: &CaseSource,
    annotation: &Annotation,
    settings: &Settings,
    grouping: &Grouping,
) -> Result<Vec<Row>> {
    let Some(tumors) = Tumors::read(source, annotation)? else {
        return Ok(vec![Err(left(&source.id, "no tumor"))]);
    };
    if tumors.bounds.is_empty() {
        return Ok(vec![Err(left(&source.id, "no tumor of at least 8 voxels"))]);
    }
    let settings = &of_image(settings, tumors.whole_hu);
    let spacing_mm = tumors.ct.affine.spacing_mm();
    let row = |(i, b): (usize, &difftumor_ct::patch::VoxelBox)| -> Row {
        let number = i as u16 + 1;
        let id = format!("{}/{}/{number}", grouping.group, source.id);
        let part =
            tumors.labels.data.slice(s![b.start[0]..b.end[0], b.start[1]..b.end[1], b.start[2]..b.end[2]]);
        let size = measure(&part.mapv(|l| l == number), spacing_mm).expect("a tumor has voxels");
        let mask = Mask { data: tumors.labels.data.mapv(|l| l == number), affine: tumors.labels.affine };
        let features = extract(&tumors.ct, &mask, settings).map_err(|e| left(&id, &e.to_string()))?;
        if let Some((name, value)) = features.iter().find(|(_, value)| !value.is_finite()) {
            return Err(left(&id, &format!("{name} is {value}")));
        }
        let tumor = Tumor {
            id,
            group: grouping.group.clone(),
            patient: source.patient.clone().unwrap_or_else(|| source.id.clone()),
            stage: Some(Stage::of(size.equivalent_diameter_mm).name().into()),
        };
        Ok((tumor, features))
    };
    Ok(tumors.bounds.par_iter().enumerate().map(row).collect())
}
