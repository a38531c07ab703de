//! Scans that need no labels: files, folders, a table, or a dataset whose labels hold their organ.
use super::{CaseSource, Dataset, LoadedCase, SourceFile, argument, check_id, folders, source, table};
use crate::error::{Error, Result};
use crate::objects::{Local, fetch, is_one_scan};
use crate::synthesis::Case;
use difftumor_ct::hu_check::hu_warning;
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::io::read_scan;
use difftumor_ct::label::{LabelMap, OrganSpec};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where a scan is, and its labels if there are any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanSource {
    /// Names the scan in output folders and records.
    pub id: String,
    /// The scan: `.nii`, `.nii.gz`, or a DICOM series ([`difftumor_ct::io::read_scan`]).
    pub ct: PathBuf,
    /// A label file, or a folder with one mask an organ.
    pub labels: Option<PathBuf>,
}

/// The scans to work on.
#[derive(Debug, Default)]
pub struct Scans {
    /// Those that are there, sorted by id. Ids are unique.
    pub scans: Vec<ScanSource>,
    /// Ids that lack what they need, with what is wrong.
    pub unusable: Vec<(String, Error)>,
    /// Whether it was given as one scan, and not as several, a table or a folder that may hold any number.
    pub single: bool,
}

impl Scans {
    /// Files, DICOM series, and what folders hold of both. Ids are the files' names without extension, and the series' folders' names.
    ///
    /// # Errors
    /// When a folder cannot be read or holds no scan, two scans have one name, or a name cannot name a folder.
    pub fn files(paths: &[PathBuf]) -> Result<Self> {
        let mut files = vec![];
        for path in paths {
            match is_one_scan(path)? {
                true => files.push(path.clone()),
                false => files.extend(Dataset::scans(path)?),
            }
        }
        let mut scans = vec![];
        for ct in files {
            scans.push(ScanSource { id: id_of(&ct)?, ct, labels: None });
        }
        scans.sort_by(|a, b| a.id.cmp(&b.id));
        if let Some(twice) = scans.windows(2).find(|pair| pair[0].id == pair[1].id) {
            let found = format!("{} and {}", twice[0].ct.display(), twice[1].ct.display());
            return Err(argument("names of scans", "each once (a table may give them others)", &found));
        }
        let single = matches!(paths, [path] if is_one_scan(path)?);
        Ok(Self { scans, unusable: vec![], single })
    }

    /// A table with the columns `id` and `ct`; others are ignored. Paths are relative to the table's folder.
    ///
    /// # Errors
    /// As [`Dataset::table`].
    pub fn table(path: &Path) -> Result<Self> {
        let mut scans = table::read_scans(path)?;
        scans.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Self { scans, ..Self::default() })
    }
}

impl From<Dataset> for Scans {
    /// The dataset's cases with their labels.
    fn from(dataset: Dataset) -> Self {
        let scans = dataset.cases.into_iter().map(ScanSource::from).collect();
        Self { scans, unusable: dataset.unusable, single: dataset.single }
    }
}

impl From<CaseSource> for ScanSource {
    fn from(CaseSource { id, ct, labels, patient: _ }: CaseSource) -> Self {
        Self { id, ct, labels: Some(labels) }
    }
}

/// The id of a scan that is given as a file, or as the folder of a DICOM series.
pub(super) fn id_of(ct: &Path) -> Result<String> {
    let id = folders::stem(ct).unwrap_or_else(|| {
        ct.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    });
    check_id(&id)
        .map_err(|found| argument("name of the scan's file or folder", "a name for the case", &found))?;
    Ok(id)
}

/// A case that was read from this machine.
struct Here {
    image: NiftiImage,
    case: Case,
    sources: Vec<SourceFile>,
    warnings: Vec<String>,
}

impl ScanSource {
    /// Reads the scan and organs out of its labels.
    ///
    /// # Errors
    /// As [`CaseSource::load`]; and when organs are asked for and there are no labels.
    pub fn load(&self, organs: &[OrganSpec]) -> Result<LoadedCase> {
        let (scan, labels) = self.fetch()?;
        let here = Self {
            id: self.id.clone(),
            ct: scan.path().into(),
            labels: labels.as_ref().map(|labels| labels.path().into()),
        };
        let loaded = here.load_here(organs).map_err(|error| {
            let error = scan.explain(error);
            labels.iter().fold(error, |error, labels| labels.explain(error))
        })?;
        let Here { image, case, sources, warnings } = loaded;
        Ok(LoadedCase { image, case, sources, warnings, scan })
    }

    /// The scan and its labels on this machine.
    fn fetch(&self) -> Result<(Local, Option<Local>)> {
        Ok((fetch(&self.ct)?, self.labels.as_deref().map(fetch).transpose()?))
    }

    fn load_here(&self, organs: &[OrganSpec]) -> Result<Here> {
        let image = read_scan(&self.ct)?;
        let ct = image.to_volume()?;
        let warnings: Vec<String> = hu_warning(&ct).into_iter().collect();
        for warning in &warnings {
            tracing::warn!("{}: {warning}", self.ct.display());
        }
        let (grid, name) = (ct.grid(), self.ct.display().to_string());
        let organs = match (&self.labels, organs) {
            (_, []) => vec![],
            (Some(labels), organs) => {
                let map = LabelMap::open(labels)?;
                let found = organs.iter().map(|spec| map.organ(spec, Some((&grid, &name))));
                found.collect::<difftumor_ct::Result<Vec<_>>>()?
            }
            (None, organs) => {
                let expected = format!("labels that hold the {}", organs[0].name);
                return Err(Error::format(&self.ct, "labels", expected, "none", "name them"));
            }
        };
        let label_files: BTreeSet<&Path> =
            organs.iter().flat_map(|o| &o.sources).map(|s| s.path.as_path()).collect();
        let mut sources = vec![source("ct", &self.ct)?];
        for file in label_files {
            sources.push(source("labels", file)?);
        }
        let case = Case { id: self.id.clone(), ct, hu_step: image.step_hu(), organs };
        Ok(Here { image, case, sources, warnings })
    }

    /// The files of `sources`, as they are now: what [`ScanSource::load`] would find if the same files were chosen.
    ///
    /// # Errors
    /// When one is gone or cannot be read.
    pub fn hash_again(&self, sources: &[SourceFile]) -> Result<Vec<SourceFile>> {
        let (scan, labels) = self.fetch()?;
        let labels = labels.as_ref().map(Local::path);
        let now = |s: &SourceFile| match (s.role.as_str(), labels) {
            ("ct", _) => source("ct", scan.path()),
            (_, Some(labels)) if labels.is_dir() => source("labels", &labels.join(&s.file)),
            (_, Some(labels)) => source("labels", labels),
            (role, None) => Ok(SourceFile { role: role.into(), file: String::new(), sha256: String::new() }),
        };
        sources.iter().map(now).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_become_scans_with_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a_0000.nii.gz", "b.nii", "c/a.nii"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let ids = |s: &Scans| s.scans.iter().map(|s| s.id.clone()).collect::<Vec<_>>();
        let folder = Scans::files(&[dir.path().into()]).unwrap();
        assert_eq!((ids(&folder), folder.single), (vec!["a".into(), "b".into()], false));
        let one = Scans::files(&[dir.path().join("b.nii")]).unwrap();
        assert!(one.single && one.scans[0].labels.is_none());
        // A file that is not there is told when it is read, as one of many.
        let two = Scans::files(&[dir.path().join("z.nii"), dir.path().join("b.nii")]).unwrap();
        assert_eq!((ids(&two), two.single), (vec!["b".into(), "z".into()], false));
        let error = Scans::files(&[dir.path().into(), dir.path().join("c/a.nii")]).unwrap_err().to_string();
        assert!(error.contains("a_0000.nii.gz") && error.contains("c/a.nii"), "{error}");
        assert!(one.scans[0].load(&["liver".parse().unwrap()]).is_err());
    }
}
