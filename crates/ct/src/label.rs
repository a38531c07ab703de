//! Label maps as data: from a label file or a folder of masks, and an organ's name, to the organ's voxels.
//!
//! A file is settled by the first of these that fits; what does not fit is an error that lists the file's values:
//! 1. values that the user gives (`liver=1`);
//! 2. names that the file itself carries ([`NiftiImage::label_names`], segments of a `.seg.nrrd`);
//! 3. the only value in the file;
//! 4. TotalSegmentator's numbers, if the values can be nothing else (`resolve`).
//!
//! A folder holds one mask per organ or part, named as TotalSegmentator does (`liver.nii.gz`, `kidney_left.nii.gz`).
//!
//! Paper: section 3.3 takes the healthy organ as known; its label files hold 1 organ, 2 tumor, 3 cyst.
use crate::error::{Error, Result};
use crate::io::nifti::NiftiImage;
use crate::io::nrrd::{self, NamedLabels};
use crate::volume::{Grid, Labels, Mask};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

mod census;
mod folder;
mod organ;
mod resolve;
pub mod totalsegmentator;

pub use census::Census;
pub use organ::{LabelRoles, OrganSpec};

/// An organ on the label file's own grid.
#[derive(Debug, Clone, PartialEq)]
pub struct OrganMask {
    /// The organ's name, in lower case.
    pub name: String,
    /// Healthy tissue of the organ: neither tumor nor cyst. Never empty.
    pub organ: Mask,
    /// Tumors that are really there; `None` when no value or file stands for them.
    pub tumor: Option<Mask>,
    /// Cysts; `None` when no value or file stands for them.
    pub cyst: Option<Mask>,
    /// The files it was taken from.
    pub sources: Vec<LabelSource>,
}

/// One file that an organ was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSource {
    /// The label file.
    pub path: PathBuf,
    /// Which of its values were taken for what.
    pub roles: LabelRoles,
    /// What it holds.
    pub census: Census,
}

/// A label file, read once for any number of organs; or a folder of masks, each read when asked for.
#[derive(Debug)]
pub enum LabelMap {
    /// One file with one or more labels.
    File(Box<LabelFile>),
    /// Masks by lower-case name without extension.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Its NIfTI and NRRD files. More than one path: `liver.nii` beside `liver.nii.gz`.
        files: BTreeMap<String, Vec<PathBuf>>,
    },
}

/// A label file with what is needed to tell what its values mean.
#[derive(Debug)]
pub struct LabelFile {
    /// The file.
    pub path: PathBuf,
    /// Its voxels.
    pub labels: Labels,
    /// How many voxels of each value.
    pub census: Census,
    /// Names that the file carries for its values.
    pub names: BTreeMap<u16, String>,
}

/// Names and files of the masks in a folder, by the alphabet. A name can be there twice (`liver.nii` beside `liver.nii.gz`).
///
/// # Errors
/// When it cannot be read.
pub fn mask_files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let each =
        |(name, paths): (String, Vec<PathBuf>)| paths.into_iter().map(move |path| (name.clone(), path));
    Ok(folder::list(folder)?.into_iter().flat_map(each).collect())
}

/// Finds an organ in a label file or in a folder of masks. `expected_grid` is the CT's grid and name.
///
/// # Errors
/// Those of [`LabelMap::open`] and [`LabelMap::organ`].
pub fn load_organ(path: &Path, spec: &OrganSpec, expected_grid: Option<(&Grid, &str)>) -> Result<OrganMask> {
    LabelMap::open(path)?.organ(spec, expected_grid)
}

impl OrganMask {
    /// The organ with its tumors and cysts.
    pub fn with_lesions(self) -> Mask {
        let mut whole = self.organ;
        for part in [&self.tumor, &self.cyst].into_iter().flatten() {
            ndarray::Zip::from(&mut whole.data).and(&part.data).par_for_each(|inside, part| *inside |= *part);
        }
        whole
    }
}

impl LabelMap {
    /// Reads a label file, or lists a folder.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`], as [`LabelFile::read`].
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Ok(Self::Folder { path: path.to_path_buf(), files: folder::list(path)? });
        }
        Ok(Self::File(Box::new(LabelFile::read(path)?)))
    }

    /// Finds an organ. `expected_grid` is the CT's grid and name.
    ///
    /// # Errors
    /// [`Error::Label`] when it is not there, empty, or could be more than one thing; [`Error::GridMismatch`] when the
    /// labels do not lie on `expected_grid`; for a folder also what reading a file can give.
    pub fn organ(&self, spec: &OrganSpec, expected_grid: Option<(&Grid, &str)>) -> Result<OrganMask> {
        let mask = match self {
            Self::File(file) => {
                file.require_grid(expected_grid)?;
                file.organ(spec)?
            }
            Self::Folder { path, files } => folder::organ(path, files, spec, expected_grid)?,
        };
        if mask.organ.data.iter().any(|&inside| inside) {
            return Ok(mask);
        }
        let (path, holds) = match self {
            Self::File(file) => (&file.path, file.census.list(&file.names)),
            Self::Folder { path, .. } => {
                (path, mask.sources.iter().map(|s| s.describe()).collect::<Vec<_>>().join("; "))
            }
        };
        Err(label_error(path, spec, "the organ is empty", holds))
    }
}

impl LabelFile {
    /// Reads a label file (NIfTI or NRRD, also `.seg.nrrd`) and counts its values.
    ///
    /// # Errors
    /// As [`NiftiImage::read`], [`NiftiImage::to_labels`] and [`nrrd::read_labels`].
    pub fn read(path: &Path) -> Result<Self> {
        let NamedLabels { labels, names } = match nrrd::is_nrrd(path) {
            true => nrrd::read_labels(path)?,
            false => {
                let image = NiftiImage::read(path)?;
                NamedLabels { labels: image.to_labels()?, names: image.label_names() }
            }
        };
        Ok(Self { path: path.to_path_buf(), census: Census::of(&labels), names, labels })
    }

    fn require_grid(&self, expected_grid: Option<(&Grid, &str)>) -> Result<()> {
        let name = self.path.display().to_string();
        expected_grid.map_or(Ok(()), |(grid, owner)| grid.require_same(owner, &self.labels.grid(), &name))
    }

    fn organ(&self, spec: &OrganSpec) -> Result<OrganMask> {
        let roles = resolve::roles(self, spec)?;
        let mask = |values: &[u16]| (!values.is_empty()).then(|| self.mask_of(values));
        Ok(OrganMask {
            name: spec.name.clone(),
            organ: self.mask_of(&roles.organ),
            tumor: mask(&roles.tumor),
            cyst: mask(&roles.cyst),
            sources: vec![self.source(roles)],
        })
    }

    fn mask_of(&self, values: &[u16]) -> Mask {
        let mut wanted = vec![false; 1 << 16];
        values.iter().for_each(|&value| wanted[usize::from(value)] = true);
        let data = ndarray::Zip::from(&self.labels.data).par_map_collect(|&label| wanted[usize::from(label)]);
        Mask { data, affine: self.labels.affine }
    }

    fn source(&self, roles: LabelRoles) -> LabelSource {
        LabelSource { path: self.path.clone(), roles, census: self.census.clone() }
    }
}

impl LabelSource {
    fn describe(&self) -> String {
        format!("{} holds {}", self.path.display(), self.census)
    }
}

fn label_error(path: &Path, spec: &OrganSpec, problem: impl Into<String>, holds: impl Into<String>) -> Error {
    Error::Label {
        source_name: path.display().to_string(),
        organ: spec.to_string(),
        problem: problem.into(),
        holds: holds.into(),
    }
}
