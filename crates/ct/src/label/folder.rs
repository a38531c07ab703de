//! A folder of masks, one organ or part of an organ a file, named as TotalSegmentator does.
use super::{LabelFile, LabelRoles, LabelSource, OrganMask, OrganSpec, label_error};
use crate::error::{Error, Result};
use crate::volume::{Grid, Mask};
use ndarray::Zip;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files by lower-case name without extension.
type Files = BTreeMap<String, Vec<PathBuf>>;

/// Endings of label files; the longer ones of two that fit come first.
const ENDINGS: [&str; 5] = [".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr"];

/// The label files of a folder.
pub(super) fn list(path: &Path) -> Result<Files> {
    let mut files = Files::new();
    for entry in std::fs::read_dir(path).map_err(Error::io(path, "read"))? {
        let file = entry.map_err(Error::io(path, "read"))?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let stem = ENDINGS.into_iter().find_map(|ending| name.strip_suffix(ending));
        if let Some(stem) = stem {
            files.entry(stem.to_string()).or_default().push(file);
        }
    }
    files.values_mut().for_each(|paths| paths.sort());
    Ok(files)
}

/// Joins the organ's files. Their grids must agree with each other and with `expected_grid`.
pub(super) fn organ(
    folder: &Path,
    files: &Files,
    spec: &OrganSpec,
    expected_grid: Option<(&Grid, &str)>,
) -> Result<OrganMask> {
    let chosen = choose(folder, files, spec)?;
    let mut reader = Reader { expected_grid, first: None, sources: vec![], spec };
    let mut tumor = None;
    let mut cyst = None;
    let mut organ = None;
    for path in chosen {
        let masks = reader.read(&path)?;
        join(&mut organ, masks.organ);
        masks.tumor.into_iter().for_each(|mask| join(&mut tumor, mask));
        masks.cyst.into_iter().for_each(|mask| join(&mut cyst, mask));
    }
    // Tumors and cysts may have files of their own, and the organ's file often includes them.
    let as_tumor = |tumor| LabelRoles { tumor, ..LabelRoles::default() };
    let as_cyst = |cyst| LabelRoles { cyst, ..LabelRoles::default() };
    if tumor.is_none() {
        tumor = reader.read_extra(folder, files, &spec.tumor_names(), as_tumor)?;
    }
    if cyst.is_none() {
        cyst = reader.read_extra(folder, files, &spec.cyst_names(), as_cyst)?;
    }
    let mut organ = organ.expect("at least one file was chosen");
    for other in [&tumor, &cyst].into_iter().flatten() {
        Zip::from(&mut organ.data).and(&other.data).par_for_each(|organ, &other| *organ &= !other);
    }
    Ok(OrganMask { name: spec.name.clone(), organ, tumor, cyst, sources: reader.sources })
}

/// The organ's own file, or else those of its parts.
fn choose(folder: &Path, files: &Files, spec: &OrganSpec) -> Result<Vec<PathBuf>> {
    let parts: Vec<&str> = spec.parts().iter().copied().filter(|part| files.contains_key(*part)).collect();
    match (files.contains_key(&spec.name), parts.is_empty()) {
        (true, true) => Ok(vec![single(folder, files, spec, &spec.name)?]),
        (false, false) => {
            if parts.len() < spec.parts().len() {
                tracing::warn!("{}: of the {} only {parts:?} are there", folder.display(), spec.name);
            }
            parts.into_iter().map(|part| single(folder, files, spec, part)).collect()
        }
        (true, false) => {
            let problem = format!(
                "both '{}' and its parts {parts:?} are there; give the file that is meant",
                spec.name
            );
            Err(label_error(folder, spec, problem, listing(files)))
        }
        (false, true) => {
            let names =
                if spec.parts().is_empty() { spec.name.clone() } else { spec.parts().join(".nii.gz or ") };
            Err(label_error(
                folder,
                spec,
                format!("there is no {names}.nii.gz (or .nii, .nrrd)"),
                listing(files),
            ))
        }
    }
}

fn single(folder: &Path, files: &Files, spec: &OrganSpec, name: &str) -> Result<PathBuf> {
    match &files[name][..] {
        [path] => Ok(path.clone()),
        paths => {
            let problem = format!("'{name}' is there {} times; give the file that is meant", paths.len());
            Err(label_error(folder, spec, problem, listing(files)))
        }
    }
}

/// Reads masks and holds them to one grid.
struct Reader<'a> {
    expected_grid: Option<(&'a Grid, &'a str)>,
    /// Grid and name of the first file.
    first: Option<(Grid, String)>,
    sources: Vec<LabelSource>,
    spec: &'a OrganSpec,
}

impl Reader<'_> {
    fn open(&mut self, path: &Path) -> Result<LabelFile> {
        let file = LabelFile::read(path)?;
        file.require_grid(self.expected_grid)?;
        let first = self.first.get_or_insert_with(|| (file.labels.grid(), path.display().to_string()));
        file.require_grid(Some((&first.0, &first.1)))?;
        Ok(file)
    }

    /// A file of the organ: the values asked for, or its only value. A part may be empty.
    fn read(&mut self, path: &Path) -> Result<OrganMask> {
        let file = self.open(path)?;
        let values: Vec<u16> = file.census.values().collect();
        let roles = match &self.spec.roles {
            Some(roles) => roles.clone(),
            None if values.len() <= 1 => LabelRoles { organ: values, ..LabelRoles::default() },
            None => {
                let problem = format!("a mask with several values; write {}=VALUE", self.spec.name);
                return Err(label_error(path, self.spec, problem, file.census.to_string()));
            }
        };
        let mask = |values: &[u16]| (!values.is_empty()).then(|| file.mask_of(values));
        self.sources.push(file.source(roles.clone()));
        Ok(OrganMask {
            name: self.spec.name.clone(),
            organ: file.mask_of(&roles.organ),
            tumor: mask(&roles.tumor),
            cyst: mask(&roles.cyst),
            sources: vec![],
        })
    }

    /// Joins those of the files `names` that are there: every value counts, as they may number the tumors.
    fn read_extra(
        &mut self,
        folder: &Path,
        files: &Files,
        names: &[String],
        role: impl Fn(Vec<u16>) -> LabelRoles,
    ) -> Result<Option<Mask>> {
        let mut joined = None;
        for name in names.iter().filter(|name| files.contains_key(*name)) {
            let file = self.open(&single(folder, files, self.spec, name)?)?;
            let values: Vec<u16> = file.census.values().collect();
            join(&mut joined, file.mask_of(&values));
            self.sources.push(file.source(role(values)));
        }
        Ok(joined)
    }
}

fn join(slot: &mut Option<Mask>, mask: Mask) {
    match slot {
        Some(joined) => {
            Zip::from(&mut joined.data).and(&mask.data).par_for_each(|joined, &inside| *joined |= inside);
        }
        None => *slot = Some(mask),
    }
}

fn listing(files: &Files) -> String {
    if files.is_empty() {
        return "no .nii, .nii.gz or .nrrd file".into();
    }
    files.keys().cloned().collect::<Vec<_>>().join(", ")
}
