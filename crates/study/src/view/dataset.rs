//! Which cases a path holds.
use super::case::{Case, Place, Source};
use super::head::shape_vox;
use crate::error::Result;
use crate::problem::file;
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::io::{is_one_scan, read_scan};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What tells an output folder of `synthesize` from others.
const MARKS: [&str; 2] = ["record.json", "ct.nii.gz"];

/// Where the output folders are below a dataset that was written with a layout (nnU-Net's and others).
const LAID_OUT: &str = "synthetic";

/// The cases, in the order of their names.
#[derive(Debug)]
pub(super) struct Dataset {
    /// The folder of the output folders, where the review is kept. None for one scan.
    pub(super) root: Option<PathBuf>,
    pub(super) cases: Vec<Case>,
}

impl Dataset {
    pub(super) fn open(path: &Path, labels: Option<&Path>) -> Result<Self> {
        if !path.exists() {
            return Err(file(path, "expected a scan or a folder, found nothing", "check the path"));
        }
        if is_output(path) {
            no_labels(path, labels)?;
            return Self::one_folder(path);
        }
        if is_one_scan(path) {
            return Self::one_scan(path, labels);
        }
        no_labels(path, labels)?;
        // First: some layouts have folders that look like outputs beside it.
        let laid_out = path.join(LAID_OUT);
        if laid_out.is_dir() && !is_output(&laid_out) {
            let cases = folders_in(&laid_out)?;
            if !cases.is_empty() {
                return Ok(Self { root: Some(laid_out), cases });
            }
        }
        let cases = folders_in(path)?;
        if cases.is_empty() {
            let expected =
                "expected folders that synthesize wrote (with ct.nii.gz and record.json), found none";
            return Err(file(path, expected, "give the folder that was its --out, or one scan"));
        }
        Ok(Self { root: Some(path.into()), cases })
    }

    /// One output folder: the dataset is the folder it is in, so that its verdict is found there.
    fn one_folder(path: &Path) -> Result<Self> {
        let whole = path.canonicalize().map_err(|e| file(path, e, "check the path"))?;
        let (Some(root), Some(name)) = (whole.parent(), whole.file_name()) else {
            return Err(file(path, "expected a folder in a folder, found the root", "move the case"));
        };
        let case = Case { name: text(&whole, name)?, place: Place::Folder(whole.clone()) };
        Ok(Self { root: Some(root.into()), cases: vec![case] })
    }

    fn one_scan(path: &Path, labels: Option<&Path>) -> Result<Self> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let labels = labels.map(source).transpose()?;
        let place = Place::Scan { ct: source(path)?, labels };
        Ok(Self { root: None, cases: vec![Case { name, place }] })
    }
}

fn is_output(path: &Path) -> bool {
    path.is_dir() && MARKS.iter().any(|mark| path.join(mark).is_file())
}

fn no_labels(path: &Path, labels: Option<&Path>) -> Result<()> {
    match labels {
        None => Ok(()),
        Some(_) => Err(file(path, "labels go with one scan, found a folder", "give the scan's own file")),
    }
}

fn folders_in(path: &Path) -> Result<Vec<Case>> {
    let failed = |e: std::io::Error| file(path, e, "check the folder and its rights");
    let mut cases = vec![];
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let folder = entry.map_err(failed)?.path();
        let name = folder.file_name().unwrap_or_default();
        // Hidden ones are folders that a run under way has not finished.
        if !name.as_encoded_bytes().starts_with(b".") && is_output(&folder) {
            cases.push(Case { name: text(&folder, name)?, place: Place::Folder(folder) });
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

/// A case's name: its verdict is kept under it, so that no two may look the same.
fn text(folder: &Path, name: &OsStr) -> Result<String> {
    let unreadable = || file(folder, "expected a name in UTF-8, found another", "rename the folder");
    name.to_str().map(str::to_owned).ok_or_else(unreadable)
}

/// NIfTI files are sent as they are; all else (DICOM, NRRD) is read now and sent as NIfTI.
fn source(path: &Path) -> Result<Source> {
    let name = path.to_string_lossy().to_lowercase();
    if path.is_file() && (name.ends_with(".nii") || name.ends_with(".nii.gz")) {
        let hint = "give a NIfTI, NRRD or DICOM image";
        return match shape_vox(path) {
            Ok(_) => Ok(Source::File(path.into())),
            Err(problem) => Err(file(path, problem, hint)),
        };
    }
    let image: NiftiImage = read_scan(path)?;
    Ok(Source::Memory(image.as_bytes().to_vec().into()))
}
