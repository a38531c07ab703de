//! Lists of cases as the authors publish them: a line for each case, the scan's path and the labels', apart by white space
//! (by tabs, where there is one, so that paths may hold spaces), relative to one folder of data (spec/segmentation.md section 4).
//!
//! A list has no ids. A case's id is its scan's name, with the names of folders before it as far as ids would be equal
//! (`BDMAP_0001/ct.nii.gz` becomes `BDMAP_0001_ct`).
use super::{CaseSource, check_id, folders};
use crate::error::{Error, Result};
use difftumor_ct::io::dicom::SeriesPath;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Missing files that a message names.
const NAMED: usize = 3;

/// A scan and its labels.
type Pair = [PathBuf; 2];

/// Whether a file of this name is a list, and not a table.
pub fn is_list(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("txt"))
}

/// Whether a text may be a list: its first line holds two paths, the first of which is there.
pub(super) fn looks_like_one(path: &Path, root: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let first = text.trim_start_matches('\u{feff}').lines().find(|line| !line.trim().is_empty());
    first.and_then(|line| two(line).ok()).is_some_and(|[ct, _]| root.join(ct).exists())
}

/// The cases of a list, whose paths start at `root` (the list's own folder, if none).
///
/// # Errors
/// When it cannot be read, a line has not two paths, a file is not there or listed twice, or nothing is listed.
pub fn read(list: &Path, root: Option<&Path>) -> Result<Vec<CaseSource>> {
    let mut all = Pairs::default();
    all.add(list, root)?;
    Ok(all.cases(list)?.0)
}

/// The pairs of several lists, which may share some.
#[derive(Default)]
pub(super) struct Pairs {
    /// In order, each once.
    pairs: Vec<Pair>,
    number: BTreeMap<PathBuf, usize>,
}

impl Pairs {
    /// Reads a list; its cases' numbers.
    pub(super) fn add(&mut self, list: &Path, root: Option<&Path>) -> Result<Vec<usize>> {
        let text = std::fs::read_to_string(list).map_err(Error::io(list, "read"))?;
        let root = root.or(list.parent()).unwrap_or(Path::new(""));
        let hint = "each line holds the paths of a scan and of its labels; --data-root names the folder that they start at";
        let bad =
            |what: String, expected: &str, found: String| Error::format(list, what, expected, found, hint);
        let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
        let mut numbers = vec![];
        let mut missing: Vec<(usize, PathBuf)> = vec![];
        for (n, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let pair = two(line).map_err(|found| bad(format!("line {}", n + 1), "two paths", found))?;
            let pair = pair.map(|path| root.join(path));
            let is_there = |path: &PathBuf| path.exists() || SeriesPath::of(path).is_some();
            missing.extend(pair.iter().filter(|path| !is_there(path)).map(|path| (n + 1, path.clone())));
            let number = self.number(&pair).ok_or_else(|| {
                let found = format!("{} again, with other ones", pair[0].display());
                bad(format!("line {}", n + 1), "each scan with the same labels", found)
            })?;
            if numbers.contains(&number) {
                let found = format!("{} again", pair[0].display());
                return Err(bad(format!("line {}", n + 1), "each scan once", found));
            }
            numbers.push(number);
        }
        if !missing.is_empty() {
            let named = missing.iter().take(NAMED).map(|(n, path)| format!("line {n}: {}", path.display()));
            let named: Vec<String> = named.collect();
            let found = format!("{} that are not there: {}", missing.len(), named.join(", "));
            return Err(bad("paths".into(), "files that are there", found));
        }
        match numbers.is_empty() {
            true => Err(bad("list".into(), "at least one case", "none".into())),
            false => Ok(numbers),
        }
    }

    /// A pair's number; `None` when its scan is there with other labels.
    fn number(&mut self, pair: &Pair) -> Option<usize> {
        let next = self.pairs.len();
        let number = *self.number.entry(pair[0].clone()).or_insert(next);
        if number == next {
            self.pairs.push(pair.clone());
        }
        (self.pairs[number][1] == pair[1]).then_some(number)
    }

    /// All cases, sorted by id, and the id of each number.
    pub(super) fn cases(&self, list: &Path) -> Result<(Vec<CaseSource>, Vec<String>)> {
        let bad = |found: String| {
            let hint = "give the cases as a table with the columns id, ct and labels";
            Error::format(list, "names of scans", "names that make different ids", found, hint)
        };
        let ids = ids(&self.pairs).map_err(bad)?;
        for id in &ids {
            check_id(id).map_err(bad)?;
        }
        let mut cases: Vec<CaseSource> = ids
            .iter()
            .zip(&self.pairs)
            .map(|(id, [ct, labels])| CaseSource {
                id: id.clone(),
                ct: ct.clone(),
                labels: labels.clone(),
                patient: None,
            })
            .collect();
        cases.sort_by(|a, b| a.id.cmp(&b.id));
        Ok((cases, ids))
    }
}

fn two(line: &str) -> Result<[&str; 2], String> {
    let parts: Vec<&str> = match line.contains('\t') {
        true => line.split('\t').map(str::trim).filter(|part| !part.is_empty()).collect(),
        false => line.split_whitespace().collect(),
    };
    parts.try_into().map_err(|parts: Vec<&str>| format!("{} in '{}'", parts.len(), line.trim()))
}

/// Ids of the scans: as many names of folders before each file's own as make all different.
fn ids(pairs: &[Pair]) -> Result<Vec<String>, String> {
    let of = |path: &Path, depth: usize| -> String {
        let stem = folders::stem(path)
            .unwrap_or_else(|| path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        let above = path.ancestors().skip(1).take(depth).filter_map(Path::file_name);
        let mut names: Vec<String> = above.map(|name| name.to_string_lossy().into_owned()).collect();
        names.reverse();
        names.push(stem);
        names.join("_")
    };
    for depth in 0..4 {
        let ids: Vec<String> = pairs.iter().map(|[ct, _]| of(ct, depth)).collect();
        let mut sorted: Vec<&String> = ids.iter().collect();
        sorted.sort();
        if sorted.windows(2).all(|two| two[0] != two[1]) {
            return Ok(ids);
        }
    }
    Err("some that are equal, with those of three folders before them".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        dir
    }

    fn read_text(dir: &Path, text: &str) -> Result<Vec<CaseSource>, String> {
        let list = dir.join("list.txt");
        std::fs::write(&list, text).unwrap();
        read(&list, None).map_err(|e| e.to_string())
    }

    #[test]
    fn two_columns_become_cases() {
        let dir = folder(&["img/a_0000.nii.gz", "lab/a.nii.gz", "img/b c.nii", "lab/b c.nii"]);
        let cases =
            read_text(dir.path(), "img/a_0000.nii.gz   lab/a.nii.gz\n\nimg/b c.nii\tlab/b c.nii\n").unwrap();
        assert_eq!(cases.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!(cases[0].labels, dir.path().join("lab/a.nii.gz"));
        // The same from another folder.
        let list = dir.path().join("lab/list.txt");
        std::fs::write(&list, "img/a_0000.nii.gz lab/a.nii.gz").unwrap();
        assert_eq!(read(&list, Some(dir.path())).unwrap()[0], cases[0]);
        assert!(read(&list, None).unwrap_err().to_string().contains("--data-root"));
        assert!(is_list(&list) && !is_list(Path::new("cases.csv")));
    }

    #[test]
    fn equal_names_take_their_folders() {
        let dir = folder(&["x/1/ct.nii.gz", "x/1/l.nii.gz", "x/2/ct.nii.gz"]);
        let cases = read_text(dir.path(), "x/2/ct.nii.gz x/1/l.nii.gz\nx/1/ct.nii.gz x/1/l.nii.gz").unwrap();
        assert_eq!(cases.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["1_ct", "2_ct"]);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let dir = folder(&["a.nii", "b.nii", "l.nii"]);
        for (text, told) in [
            ("a.nii l.nii\nb.nii\n", "line 2: expected two paths, found 1 in 'b.nii'"),
            ("a.nii l.nii x.nii\n", "found 3"),
            ("a.nii l.nii\nb.nii gone.nii\n", "1 that are not there: line 2"),
            ("a.nii l.nii\na.nii l.nii\n", "line 2: expected each scan once"),
            ("a.nii l.nii\na.nii b.nii\n", "same labels"),
            ("\n", "at least one case"),
        ] {
            let error = read_text(dir.path(), text).unwrap_err();
            assert!(error.contains(told) && error.contains("list.txt"), "{text:?}: {error}");
        }
    }
}
