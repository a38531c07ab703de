//! Folders as public datasets have them: which scans are there, and which labels belong to them.
//!
//! | layout | how it is known |
//! |---|---|
//! | nnU-Net v2 | `dataset.json` with `channel_names`; `imagesTr/ID_0000.EXT`, `labelsTr/ID.EXT`, `imagesTs` |
//! | Medical Segmentation Decathlon, nnU-Net v1 | `dataset.json` with a list `training` (and `test`) |
//! | HealthyCT and others with published lists | `.txt` files of two columns ([`super::lists`]) |
//! | KiTS | folders `case_N` with `imaging.nii.gz` and `segmentation.nii.gz` |
//! | AbdomenAtlas, BodyMaps, TotalSegmentator's dataset | folders with `ct.nii.gz` and a folder `segmentations` of masks |
//! | outputs of this program | folders with `ct.nii.gz`, `labels.nii.gz` and `record.json` |
//! | LiTS | `volume-N.nii` and `segmentation-N.nii`, in the folder or in folders of it |
//! | plain, two folders | `imagesTr` and `labelsTr`, `images` and `labels`, or `ct` and `labels` |
//! | plain, one folder | `NAME.nii.gz` and `NAME_labels.nii.gz` (or `_label`, `_seg`, `_segmentation`, `_mask`) |
//! | plain | scans (files, and folders of a DICOM series each) without labels |
mod described;
mod folders_of_cases;
mod meaning;

use super::lists::{self, Pairs};
use super::{Dataset, ScanSource, Scans, check_id, folders};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Layout {
    /// The layout's name.
    pub name: &'static str,
    /// What is there, by id. Ids are unique.
    pub scans: Scans,
    /// What the labels mean as `--organ` takes it, where the dataset says so: `liver=1:tumor=2`.
    pub organ: Option<String>,
}

/// A layout's name and reader. The reader answers `None` when the folder has another layout.
type Known = (&'static str, fn(&Path) -> Result<Option<Parts>>);

/// The first that fits.
const LAYOUTS: [Known; 9] = [
    ("nnU-Net v2", described::nnunet_2),
    ("Decathlon or nnU-Net v1", described::decathlon),
    ("published lists", published_lists),
    ("KiTS", folders_of_cases::kits),
    ("one folder a case with masks (AbdomenAtlas, BodyMaps, TotalSegmentator)", folders_of_cases::masks),
    ("outputs of difftumor", folders_of_cases::outputs),
    ("LiTS", lits),
    ("scans and labels", two_folders),
    ("scans and labels in one folder", one_folder),
];

/// What a layout's reader found.
#[derive(Default)]
struct Parts {
    /// Id, scan and labels.
    cases: Vec<(String, PathBuf, Option<PathBuf>)>,
    unusable: Vec<(String, Error)>,
    organ: Option<String>,
}

/// Finds out what a folder holds. Files are not opened but for lists and descriptions.
///
/// # Errors
/// When it cannot be read, holds no scan, or its description or lists are broken.
pub fn read(folder: &Path) -> Result<Layout> {
    for (name, reader) in LAYOUTS {
        if let Some(parts) = reader(folder)? {
            return Ok(Layout { name, organ: parts.organ.clone(), scans: parts.scans(folder) });
        }
    }
    let parts = Parts {
        cases: Dataset::scans(folder)?.into_iter().map(|ct| (name_of(&ct), ct, None)).collect(),
        ..Parts::default()
    };
    Ok(Layout { name: "scans alone", organ: None, scans: parts.scans(folder) })
}

impl Parts {
    /// Sorted by id; those whose id is no name or not the only one are told.
    fn scans(self, folder: &Path) -> Scans {
        let Self { mut cases, mut unusable, .. } = self;
        cases.sort();
        let mut scans: Vec<ScanSource> = vec![];
        for (id, ct, labels) in cases {
            let bad = |found: String| {
                let hint = "give the cases as a table with the columns id, ct and labels";
                Error::format(folder, "names of cases", "different ones that can name folders", found, hint)
            };
            match (check_id(&id), scans.last().filter(|last| last.id == id)) {
                (Err(found), _) => unusable.push((id, bad(found))),
                (_, Some(last)) => {
                    let found = format!("'{id}' for {} and {}", last.ct.display(), ct.display());
                    unusable.push((id, bad(found)));
                }
                _ => scans.push(ScanSource { id, ct, labels }),
            }
        }
        Scans { scans, unusable, single: false }
    }
}

/// A file's or folder's name as an id.
fn name_of(path: &Path) -> String {
    let whole = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    folders::stem(path).unwrap_or_else(whole)
}

/// All files and folders in a folder but hidden ones, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = vec![];
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder, "read"))? {
        let entry = entry.map_err(Error::io(folder, "read"))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Lists whose paths start at the folder. A text of another kind is none.
fn published_lists(folder: &Path) -> Result<Option<Parts>> {
    let texts = entries(folder)?.into_iter().filter(|path| path.is_file() && lists::is_list(path));
    let lists: Vec<PathBuf> = texts.filter(|path| lists::looks_like_one(path, folder)).collect();
    let Some(first) = lists.first() else { return Ok(None) };
    let mut pairs = Pairs::default();
    for list in &lists {
        pairs.add(list, Some(folder))?;
    }
    let (cases, _) = pairs.cases(first)?;
    let cases = cases.into_iter().map(|case| (case.id, case.ct, Some(case.labels))).collect();
    Ok(Some(Parts { cases, ..Parts::default() }))
}

/// `volume-N` and `segmentation-N`; the test scans have no labels.
fn lits(folder: &Path) -> Result<Option<Parts>> {
    let mut files = entries(folder)?;
    for inner in files.clone().into_iter().filter(|path| path.is_dir()) {
        files.extend(entries(&inner)?);
    }
    let numbered = |prefix: &str| -> Vec<(String, PathBuf)> {
        let named = files.iter().filter_map(|path| Some((folders::stem(path)?, path.clone())));
        let number = |(name, path): (String, PathBuf)| Some((name.strip_prefix(prefix)?.to_string(), path));
        let numbers =
            named.filter_map(number).filter(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        numbers.collect()
    };
    let (volumes, segmentations) = (numbered("volume-"), numbered("segmentation-"));
    if volumes.is_empty() || segmentations.is_empty() {
        return Ok(None);
    }
    let labels_of =
        |n: &str| segmentations.iter().find(|(other, _)| other == n).map(|(_, path)| path.clone());
    let cases = volumes.iter().map(|(n, ct)| (format!("volume-{n}"), ct.clone(), labels_of(n))).collect();
    Ok(Some(Parts { cases, organ: Some("liver=1:tumor=2".into()), ..Parts::default() }))
}

/// Scans without labels are cases without labels; labels without a scan are told.
fn two_folders(folder: &Path) -> Result<Option<Parts>> {
    let names = [("imagesTr", "labelsTr"), ("images", "labels"), ("ct", "labels")];
    let pair = names.map(|(ct, labels)| [folder.join(ct), folder.join(labels)]).into_iter();
    let Some([ct, labels]) = pair.into_iter().find(|pair| pair.iter().all(|path| path.is_dir())) else {
        return Ok(None);
    };
    let (cases, unusable) = folders::pair(&ct, &labels)?;
    let cases = cases.into_iter().map(|case| (case.id, case.ct, Some(case.labels))).collect();
    Ok(Some(Parts { cases, unusable, organ: None }))
}

/// Ends of the names of label files beside their scans.
const BESIDE: [&str; 5] = ["_labels", "_label", "_seg", "_segmentation", "_mask"];

/// Files whose names differ by an end alone. Other scans are cases without labels.
fn one_folder(folder: &Path) -> Result<Option<Parts>> {
    let files: Vec<(String, PathBuf)> =
        entries(folder)?.into_iter().filter_map(|path| Some((folders::stem(&path)?, path))).collect();
    let scan_of = |name: &str| -> Option<String> {
        let stems = BESIDE.iter().filter_map(|end| name.strip_suffix(end));
        stems.map(String::from).find(|stem| files.iter().any(|(other, _)| other == stem))
    };
    let labels: Vec<(String, &PathBuf)> =
        files.iter().filter_map(|(name, path)| Some((scan_of(name)?, path))).collect();
    let mut parts = Parts::default();
    for (name, ct) in files.iter().filter(|(name, _)| scan_of(name).is_none()) {
        let mine: Vec<&PathBuf> =
            labels.iter().filter(|(scan, _)| scan == name).map(|(_, path)| *path).collect();
        match mine[..] {
            [] => parts.cases.push((name.clone(), ct.clone(), None)),
            [one] => parts.cases.push((name.clone(), ct.clone(), Some(one.clone()))),
            [first, second, ..] => {
                let found = format!("{} and {}", first.display(), second.display());
                let hint = "remove what is not meant, or give the cases as a table";
                parts.unusable.push((name.clone(), Error::format(ct, "labels", "one file", found, hint)));
            }
        }
    }
    Ok((!labels.is_empty()).then_some(parts))
}

#[cfg(test)]
mod tests;
