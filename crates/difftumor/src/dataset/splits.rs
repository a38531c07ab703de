//! Folds of a cross-validation: which cases each is trained and measured on. No fold is trained on a patient that it is measured on,
//! nor on a synthetic copy of one ([`super::patients`]).
//!
//! Read from nnU-Net's `splits_final.json` (`[{"train": [ids], "val": [ids]}, …]`, which is also what is written), from a folder
//! of the published lists (`real_tumor_train_F.txt`, `real_tumor_val_F.txt`, F from 0; [`super::lists`]), or made anew.
use super::lists::Pairs;
use super::patients::Origin;
use super::{CaseSource, argument};
use crate::error::{Error, Result};
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::io::write_atomically;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Name of the file of folds.
pub const SPLITS: &str = "splits_final.json";

/// One fold, by the cases' ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Those that are trained on.
    pub train: Vec<String>,
    /// Those that are measured on.
    pub val: Vec<String>,
}

/// All folds, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Splits(pub Vec<Fold>);

impl Splits {
    /// Reads nnU-Net's file.
    ///
    /// # Errors
    /// When it cannot be read, is no such file, or a fold has no cases to train or to measure on, or one twice.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
        let expected = "nnU-Net's splits: [{\"train\": [ids], \"val\": [ids]}, …]";
        let bad = |found: String| {
            Error::format(path, "folds", expected, found, "name a splits_final.json, or let --folds make one")
        };
        let splits: Self = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        if splits.0.is_empty() {
            return Err(bad("no fold".into()));
        }
        for (n, fold) in splits.0.iter().enumerate() {
            let all: Vec<&String> = fold.train.iter().chain(&fold.val).collect();
            let mut seen = BTreeSet::new();
            if let Some(twice) = all.iter().find(|id| !seen.insert(**id)) {
                return Err(bad(format!("'{twice}' twice in fold {n}")));
            }
            if fold.train.is_empty() || fold.val.is_empty() {
                let found =
                    format!("{} to train and {} to measure on in fold {n}", fold.train.len(), fold.val.len());
                return Err(bad(found));
            }
        }
        Ok(splits)
    }

    /// Reads the published lists of a folder, whose paths start at `root`; gives their cases too.
    ///
    /// # Errors
    /// When there is no fold 0, one of a fold's two lists is missing, or as [`super::lists::read`].
    pub fn lists(folder: &Path, root: Option<&Path>) -> Result<(Self, Vec<CaseSource>)> {
        let name = |what: &str, fold: usize| folder.join(format!("real_tumor_{what}_{fold}.txt"));
        let mut pairs = Pairs::default();
        let mut numbers: Vec<[Vec<usize>; 2]> = vec![];
        for fold in 0.. {
            let lists: [PathBuf; 2] = ["train", "val"].map(|what| name(what, fold));
            // A fold whose other list is missing is told as a file that cannot be read.
            if fold > 0 && lists.iter().all(|list| !list.exists()) {
                break;
            }
            let [train, val] = lists.each_ref().map(|list| pairs.add(list, root));
            numbers.push([train?, val?]);
        }
        let (cases, ids) = pairs.cases(&name("train", 0))?;
        let named = |numbers: &[usize]| numbers.iter().map(|n| ids[*n].clone()).collect();
        let folds = numbers.iter().map(|[train, val]| Fold { train: named(train), val: named(val) });
        Ok((Self(folds.collect()), cases))
    }

    /// Deals patients to `folds` folds of about equal numbers of patients; of which, follows from the seed and the patients'
    /// names. Synthetic cases are only trained on.
    ///
    /// # Errors
    /// When there are fewer than two folds, or fewer patients with real cases than folds.
    pub fn make(cases: &[CaseSource], origins: &[Origin], folds: usize, seed: u64) -> Result<Self> {
        let real = origins.iter().filter(|o| !o.synthetic).map(|o| o.patient.as_str());
        let mut patients: Vec<&str> = real.collect::<BTreeSet<_>>().into_iter().collect();
        if folds < 2 || patients.len() < folds {
            let expected = format!("2 to {}, the patients with real annotated cases", patients.len());
            return Err(argument("number of folds", &expected, &folds.to_string()));
        }
        let mut draws = Stream::new(seed, 0, "folds", 0);
        for i in (1..patients.len()).rev() {
            patients.swap(i, draws.index(i + 1));
        }
        let fold_of: BTreeMap<&str, usize> =
            patients.iter().enumerate().map(|(i, patient)| (*patient, i % folds)).collect();
        let fold = |n: usize| {
            let mut fold = Fold::default();
            for (case, origin) in cases.iter().zip(origins) {
                match (fold_of.get(origin.patient.as_str()) == Some(&n), origin.synthetic) {
                    (false, _) => fold.train.push(case.id.clone()),
                    (true, false) => fold.val.push(case.id.clone()),
                    // A copy of a patient that is measured on.
                    (true, true) => {}
                }
            }
            fold
        };
        Ok(Self((0..folds).map(fold).collect()))
    }

    /// Writes nnU-Net's file, or compares with the one that is there.
    ///
    /// # Errors
    /// [`Error::Resume`] when there are other folds already, and when it cannot be read or written.
    pub fn write_or_compare(&self, path: &Path) -> Result<()> {
        if path.exists() {
            let there = Self::read(path)?;
            if &there == self {
                return Ok(());
            }
            let size = |s: &Self| s.0.iter().map(|f| format!("{}+{}", f.train.len(), f.val.len())).collect();
            let [before, now]: [Vec<String>; 2] = [&there, self].map(size);
            let difference =
                format!("other folds (train+val were {}, are now {})", before.join(" "), now.join(" "));
            return Err(Error::Resume { path: path.into(), difference });
        }
        let json = serde_json::to_string_pretty(self).expect("folds are lists of texts");
        Ok(write_atomically(path, |file| writeln!(file, "{json}"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str) -> CaseSource {
        CaseSource { id: id.into(), ct: format!("{id}.nii").into(), labels: "l".into(), patient: None }
    }

    /// Twelve patients, the first of which has two scans; synthetic copies of the third and of somebody else.
    fn cases() -> (Vec<CaseSource>, Vec<Origin>) {
        let real = (0..12).map(|i| (format!("p{i:02}"), format!("p{i:02}"), false));
        let more = [("again", "p00", false), ("copy", "p02", true), ("stranger", "q", true)];
        let more = more.map(|(id, patient, synthetic)| (id.to_string(), patient.to_string(), synthetic));
        let all = real.chain(more).map(|(id, patient, synthetic)| (case(&id), Origin { patient, synthetic }));
        all.unzip()
    }

    #[test]
    fn a_patient_is_never_on_both_sides() {
        let (cases, origins) = cases();
        for seed in 0..20 {
            let splits = Splits::make(&cases, &origins, 5, seed).unwrap();
            assert_eq!(splits, Splits::make(&cases, &origins, 5, seed).unwrap());
            let origin = |id: &String| &origins[cases.iter().position(|c| c.id == *id).unwrap()];
            let mut measured = vec![];
            for fold in &splits.0 {
                let patients = |ids: &[String]| -> BTreeSet<String> {
                    ids.iter().map(|id| origin(id).patient.clone()).collect()
                };
                assert!(patients(&fold.train).is_disjoint(&patients(&fold.val)), "{fold:?}");
                assert!(fold.val.iter().all(|id| !origin(id).synthetic));
                assert!((2..=3).contains(&patients(&fold.val).len()));
                let copies = usize::from(fold.train.contains(&"copy".to_string()));
                assert_eq!(copies, usize::from(!fold.val.contains(&"p02".to_string())));
                assert!(fold.train.contains(&"stranger".to_string()));
                measured.extend(fold.val.clone());
            }
            measured.sort();
            let mut real: Vec<String> =
                cases.iter().zip(&origins).filter(|(_, o)| !o.synthetic).map(|(c, _)| c.id.clone()).collect();
            real.sort();
            assert_eq!(measured, real);
        }
        assert_ne!(
            Splits::make(&cases, &origins, 5, 0).unwrap(),
            Splits::make(&cases, &origins, 5, 1).unwrap()
        );
        for folds in [0, 1, 13] {
            let error = Splits::make(&cases, &origins, folds, 0).unwrap_err().to_string();
            assert!(error.contains("2 to 12"), "{error}");
        }
    }

    #[test]
    fn nnu_nets_file_is_read_written_and_compared() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SPLITS);
        std::fs::write(
            &path,
            r#"[{"train": ["a", "b"], "val": ["c"]}, {"train": ["c"], "val": ["a", "b"]}]"#,
        )
        .unwrap();
        let splits = Splits::read(&path).unwrap();
        assert_eq!(splits.0[0], Fold { train: vec!["a".into(), "b".into()], val: vec!["c".into()] });
        std::fs::remove_file(&path).unwrap();
        splits.write_or_compare(&path).unwrap();
        splits.write_or_compare(&path).unwrap();
        let fewer = Splits(splits.0[..1].to_vec());
        let error = fewer.write_or_compare(&path).unwrap_err().to_string();
        assert!(error.contains("were 2+1 1+2, are now 2+1"), "{error}");
        for (text, told) in [
            ("{}", "invalid type"),
            ("[]", "no fold"),
            (r#"[{"train": ["a"]}]"#, "missing field `val`"),
            (r#"[{"train": ["a"], "val": ["a"]}]"#, "'a' twice in fold 0"),
            (r#"[{"train": ["a"], "val": []}]"#, "1 to train and 0 to measure on in fold 0"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Splits::read(&path).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains(SPLITS), "{text}: {error}");
        }
    }

    #[test]
    fn published_lists_are_folds_with_their_cases() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(dir.path().join(format!("{name}.nii.gz")), "").unwrap();
        }
        let write = |name: &str, ids: &[&str]| {
            let text: String = ids.iter().map(|i| format!("{i}.nii.gz {i}.nii.gz\n")).collect();
            std::fs::write(dir.path().join(name), text).unwrap();
        };
        write("real_tumor_train_0.txt", &["b", "a"]);
        write("real_tumor_val_0.txt", &["c"]);
        write("real_tumor_train_1.txt", &["c", "b"]);
        let error = Splits::lists(dir.path(), None).unwrap_err().to_string();
        assert!(error.contains("real_tumor_val_1.txt"), "{error}");
        write("real_tumor_val_1.txt", &["a"]);
        let (splits, cases) = Splits::lists(dir.path(), None).unwrap();
        assert_eq!(cases.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(splits.0[0], Fold { train: vec!["b".into(), "a".into()], val: vec!["c".into()] });
        assert_eq!(splits.0[1], Fold { train: vec!["c".into(), "b".into()], val: vec!["a".into()] });
        write("real_tumor_val_1.txt", &["gone"]);
        let error = Splits::lists(dir.path(), None).unwrap_err().to_string();
        assert!(error.contains("gone.nii.gz") && error.contains("not there"), "{error}");
    }
}
