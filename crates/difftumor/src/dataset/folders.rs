//! Two folders whose entries belong together by name.
//!
//! A scan may be a folder of its own with a DICOM series in it.
use super::{CaseSource, argument, check_id};
use crate::error::{Error, Result};
use crate::objects::{entries, is_series};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// nnU-Net's suffix of a scan's only channel.
const CHANNEL: &str = "_0000";
const EXTENSIONS: [&str; 5] = [".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr"];

/// A NIfTI or NRRD file's name without extension and channel; `None` for other files.
pub(super) fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let lower = name.to_lowercase();
    let extension = EXTENSIONS.into_iter().find(|e| lower.ends_with(e))?;
    let stem = &name[..name.len() - extension.len()];
    Some(stem.strip_suffix(CHANNEL).unwrap_or(stem).to_string())
}

/// A NIfTI or NRRD file's name with the channel before its extension; `None` for other files.
pub(super) fn with_channel(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let lower = name.to_lowercase();
    let extension = EXTENSIONS.into_iter().find(|e| lower.ends_with(e))?;
    let (stem, extension) = name.split_at(name.len() - extension.len());
    Some(path.with_file_name(format!("{stem}{CHANNEL}{extension}")))
}

/// Names that cannot be paired, with what is wrong.
pub(super) type Unusable = Vec<(String, Error)>;

/// Paths by id.
type Entries = BTreeMap<String, Vec<PathBuf>>;

/// Pairs scans with labels; the second list is of names that cannot be paired.
pub(super) fn pair(ct: &Path, labels: &Path) -> Result<(Vec<CaseSource>, Unusable)> {
    let scans = list_scans(ct)?;
    let mut maps = list(labels, |_| Ok(true))?;
    let mut cases = vec![];
    let mut unusable = vec![];
    for (id, files) in scans {
        let found = maps.remove(&id).unwrap_or_default();
        match (&files[..], &found[..], check_id(&id)) {
            ([ct], [labels], Ok(())) => {
                cases.push(CaseSource { id, ct: ct.clone(), labels: labels.clone(), patient: None });
            }
            ([_], [_], Err(problem)) => {
                let error = argument("name of a scan's file", "a name for the case", &problem);
                unusable.push((id, error));
            }
            ([_], _, _) => unusable.push(missing(id, labels, "labels", &found)),
            _ => unusable.push(missing(id, ct, "a scan", &files)),
        }
    }
    unusable.extend(maps.into_keys().map(|id| missing(id, ct, "a scan", &[])));
    Ok((cases, unusable))
}

/// Paths of all scans.
pub(super) fn scans(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(list_scans(folder)?.into_values().flatten().collect())
}

fn list_scans(folder: &Path) -> Result<Entries> {
    let scans = list(folder, is_series)?;
    if scans.is_empty() {
        let expected = "a folder with .nii or .nii.gz files, or with folders of a DICOM series each";
        return Err(argument("folder of scans", expected, &format!("none in {}", folder.display())));
    }
    Ok(scans)
}

fn missing(id: String, folder: &Path, what: &str, found: &[PathBuf]) -> (String, Error) {
    let expected = format!("exactly one file {id}.nii.gz or {id}.nii");
    let names = found.iter().filter_map(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
    let found = if found.is_empty() { "none".into() } else { names.collect::<Vec<_>>().join(", ") };
    let hint = "files of both folders belong together by name; remove it or add its partner";
    let error = Error::format(folder, format!("{what} of case '{id}'"), expected, found, hint);
    (id, error)
}

/// The folder's NIfTI and NRRD files, and those of its folders that are `wanted`. Hidden ones do not count.
fn list(folder: &Path, wanted: impl Fn(&Path) -> Result<bool>) -> Result<Entries> {
    let mut found = Entries::new();
    for entry in entries(folder)? {
        let path = entry.path;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let id = if entry.is_folder { wanted(&path)?.then_some(name) } else { stem(&path) };
        if let Some(id) = id {
            found.entry(id).or_default().push(path);
        }
    }
    found.values_mut().for_each(|paths| paths.sort());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_pair_by_name_and_what_does_not_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (ct, labels) = (dir.path().join("ct"), dir.path().join("labels"));
        for name in ["ct/a_0000.nii.gz", "ct/b.nii", "ct/c.nii.gz", "ct/d.nii", "ct/d.nii.gz", "ct/notes.txt"]
        {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::fs::create_dir_all(labels.join("b")).unwrap();
        for name in ["a.nii.gz", "d.nii.gz", "e.nii.gz", ".hidden.nii"] {
            std::fs::write(labels.join(name), "").unwrap();
        }
        let (cases, unusable) = pair(&ct, &labels).unwrap();
        let ids: Vec<_> = cases.iter().map(|c| (c.id.as_str(), c.labels.clone())).collect();
        assert_eq!(ids, [("a", labels.join("a.nii.gz")), ("b", labels.join("b"))]);
        let told: Vec<_> = unusable.iter().map(|(id, e)| (id.as_str(), e.to_string())).collect();
        assert_eq!(told.iter().map(|t| t.0).collect::<Vec<_>>(), ["c", "d", "e"]);
        assert!(
            told[0].1.contains("labels of case 'c'") && told[0].1.contains("found none"),
            "{}",
            told[0].1
        );
        assert!(told[1].1.contains("d.nii, d.nii.gz"), "{}", told[1].1);
        assert!(told[2].1.contains("a scan of case 'e'"), "{}", told[2].1);
        assert!(pair(&labels.join("b"), &labels).unwrap_err().to_string().contains("folder with .nii"));
    }
}
