//! Evaluations as they were written.
use crate::error::{Error, Result};
use crate::evaluate::segmentation::{CaseFigures, Evaluation, LESIONS, SUMMARY, Settings};
use crate::objects::fetch;
use difftumor_ct::metrics::detection::Stage;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const HINT: &str = "name the output folder of `difftumor evaluate segmentation` of this version";

/// A method's name and the folder of an evaluation: `NAME=FOLDER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The method.
    pub name: String,
    /// Holds `summary.json` and `lesions.csv`.
    pub folder: PathBuf,
}

/// One method's figures of each case.
pub(super) struct Method {
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) folds: usize,
    pub(super) cases: BTreeMap<String, Case>,
}

/// One case.
pub(super) struct Case {
    pub(super) fold: usize,
    pub(super) figures: CaseFigures,
    /// Its tumors by number.
    pub(super) lesions: BTreeMap<u32, Lesion>,
}

/// A line of `lesions.csv`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Lesion {
    case: String,
    lesion: u32,
    volume_mm3: f64,
    stage: Stage,
    pub(super) found: bool,
}

impl Lesion {
    pub(super) fn number(&self) -> u32 {
        self.lesion
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }
}

impl FromStr for Named {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((name, folder)) if !name.trim().is_empty() && !folder.is_empty() => {
                Ok(Self { name: name.trim().into(), folder: folder.into() })
            }
            _ => Err(argument("method to compare", "NAME=FOLDER, the folder of an evaluation", text)),
        }
    }
}

/// Reads evaluations; those of one name are folds.
pub(super) fn methods(evaluations: &[Named]) -> Result<Vec<Method>> {
    let mut methods: Vec<Method> = vec![];
    for Named { name, folder } in evaluations {
        let (evaluation, mut lesions) = read(folder)?;
        if let Some(first) = methods.first() {
            require_same_settings(folder, &first.settings, &evaluation.settings)?;
        }
        let at = methods.iter().position(|m| m.name == *name).unwrap_or_else(|| {
            let settings = evaluation.settings.clone();
            methods.push(Method { name: name.clone(), settings, folds: 0, cases: BTreeMap::new() });
            methods.len() - 1
        });
        let method = &mut methods[at];
        let fold = method.folds;
        method.folds += 1;
        for case in evaluation.cases {
            let Some(figures) = case.figures else { continue };
            let lesions = lesions.remove(&case.case).unwrap_or_default();
            if lesions.len() != figures.tumors.all.lesions {
                let expected = format!("{} tumors of '{}'", figures.tumors.all.lesions, case.case);
                return Err(Error::format(
                    &folder.join(LESIONS),
                    "lines",
                    expected,
                    lesions.len().to_string(),
                    HINT,
                ));
            }
            if method.cases.insert(case.case.clone(), Case { fold, figures, lesions }).is_some() {
                let expected = format!("each case in one fold of '{name}'");
                return Err(Error::format(folder, "cases", expected, format!("'{}' again", case.case), HINT));
            }
        }
    }
    if methods.len() < 2 {
        let found = methods.first().map_or("none".into(), |m| format!("'{}' alone", m.name));
        return Err(argument("methods to compare", "two or more, each with a name of its own", &found));
    }
    Ok(methods)
}

type Lesions = BTreeMap<String, BTreeMap<u32, Lesion>>;

fn read(folder: &Path) -> Result<(Evaluation, Lesions)> {
    let path = folder.join(SUMMARY);
    let text = std::fs::read_to_string(fetch(&path)?.path()).map_err(Error::io(&path, "read"))?;
    let evaluation = serde_json::from_str(&text)
        .map_err(|e| Error::format(&path, "figures", "those of an evaluation", e.to_string(), HINT))?;
    let path = folder.join(LESIONS);
    let local = fetch(&path)?;
    let file = std::fs::File::open(local.path()).map_err(Error::io(&path, "read"))?;
    let mut lesions = Lesions::new();
    for line in csv::Reader::from_reader(file).deserialize() {
        let lesion: Lesion =
            line.map_err(|e| Error::format(&path, "table", "that of an evaluation", e.to_string(), HINT))?;
        lesions.entry(lesion.case.clone()).or_default().insert(lesion.lesion, lesion);
    }
    Ok((evaluation, lesions))
}

/// All that decides what a figure means; the bootstrap does not, nor which values predictions have.
fn require_same_settings(folder: &Path, first: &Settings, other: &Settings) -> Result<()> {
    let part = |s: &Settings| {
        let value = serde_json::to_value((&s.organ, s.anywhere, s.tolerance_mm, &s.detection));
        value.expect("settings are texts and numbers").to_string()
    };
    if part(first) != part(other) {
        let hint = "measure all methods in the same way";
        return Err(Error::format(folder, "settings", part(first), part(other), hint));
    }
    Ok(())
}

/// The cases' truths have the same volumes and tumors.
pub(super) fn require_same_truth(methods: &[Method], cases: &[&str]) -> Result<()> {
    let of = |case: &Case| {
        let volumes = [case.figures.organ, case.figures.tumor].map(|figures| figures.true_volume_mm3);
        let tumors: Vec<f64> = case.lesions.values().map(|lesion| lesion.volume_mm3).collect();
        (volumes, tumors)
    };
    let first = &methods[0];
    for other in &methods[1..] {
        if let Some(case) = cases.iter().find(|case| of(&first.cases[**case]) != of(&other.cases[**case])) {
            let what = format!("truth of '{case}'");
            let found = format!("another for '{}' than for '{}'", other.name, first.name);
            return Err(argument(&what, "organ and tumors of the same volumes", &found));
        }
    }
    Ok(())
}

fn argument(what: &str, expected: &str, found: &str) -> Error {
    difftumor_ct::Error::Argument { what: what.into(), expected: expected.into(), found: found.into() }.into()
}
