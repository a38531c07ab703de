//! Reader studies ([`difftumor_study`]): what they show, tumors of annotated cases and those of outputs of `synthesize`; scores as files.
//!
//! Paper: 4.1, App. A.
use crate::batch::layout::{Output as Made, finished};
use crate::batch::{CaseRecord, RECORD, SCAN, TUMORS, write_json};
use crate::dataset::{CaseSource, Dataset};
use crate::error::{Error, Result};
use crate::report::output::Output;
use crate::report::page;
use difftumor_ct::io::write_atomically;
use difftumor_ct::label::OrganSpec;
use difftumor_study::make::Source;
use difftumor_study::store::Store;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Sources of one table of annotated cases, or of a folder with outputs of `synthesize`. `organs` tell the values of tables' tumors.
///
/// # Errors
/// When something cannot be read, the organs do not tell their tumors' values, or a folder has no output.
pub fn sources(path: &Path, organs: &[OrganSpec], synthetic: bool) -> Result<Vec<Source>> {
    match (path.is_dir(), synthetic) {
        (false, _) => of_table(path, organs, synthetic),
        (true, true) => of_outputs(path),
        (true, false) => Err(Error::format(
            path,
            "real cases",
            "a table with the columns id, ct and labels",
            "a folder".to_string(),
            "write the cases into a table (cases.csv)",
        )),
    }
}

fn of_table(table: &Path, organs: &[OrganSpec], synthetic: bool) -> Result<Vec<Source>> {
    let dataset = Dataset::table(table)?;
    if let Some((_, error)) = dataset.unusable.into_iter().next() {
        return Err(error);
    }
    let mut sources = vec![];
    for organ in organs {
        let tumor_values: Vec<u16> = match &organ.roles {
            Some(roles) if !roles.tumor.is_empty() => roles.tumor.clone(),
            _ => {
                return Err(difftumor_ct::Error::Argument {
                    what: "organ of the cases".into(),
                    expected: format!("the tumors' value too, as in {}=1:tumor=2", organ.name),
                    found: format!("'{organ}'"),
                }
                .into());
            }
        };
        let source = |case: &CaseSource| Source {
            case: case.patient.clone().unwrap_or_else(|| case.id.clone()),
            ct: case.ct.clone(),
            tumors: case.labels.clone(),
            tumor_values: tumor_values.clone(),
            organ: organ.name.clone(),
            synthetic,
        };
        sources.extend(dataset.cases.iter().map(source));
    }
    Ok(sources)
}

/// Of the outputs in a folder, or of one output that lies right in it.
fn of_outputs(folder: &Path) -> Result<Vec<Source>> {
    let mut outputs = finished(folder)?;
    if folder.join(RECORD).is_file() {
        outputs.push(Made::read(String::new(), folder)?);
    }
    if outputs.is_empty() {
        let hint = "name the output folder of synthesize, or a table of cases";
        return Err(Error::format(folder, "outputs", "folders with record.json", "none".to_string(), hint));
    }
    Ok(outputs.iter().flat_map(|output| of_output(&output.folder, &output.record)).collect())
}

/// One for each organ that has new tumors.
fn of_output(folder: &Path, record: &CaseRecord) -> Vec<Source> {
    let mut numbers: BTreeMap<&str, Vec<u16>> = BTreeMap::new();
    for tumor in &record.tumors {
        numbers.entry(&tumor.organ).or_default().push(tumor.number);
    }
    let source = |(organ, tumor_values): (&str, Vec<u16>)| Source {
        case: record.case.clone(),
        ct: folder.join(SCAN),
        tumors: folder.join(TUMORS),
        tumor_values,
        organ: organ.into(),
        synthetic: true,
    };
    numbers.into_iter().map(source).collect()
}

/// What [`score`] found, in short.
#[derive(Debug)]
pub struct Scored {
    /// A line for each reader.
    pub summary: String,
    /// Number of answers; one that was changed counts once.
    pub answers: usize,
    /// Number of tumors that some reader has not answered.
    pub unanswered: usize,
}

const SCORES: &str = "scores.json";
const TABLE: &str = "scores.csv";
const FILES: [&str; 3] = [SCORES, TABLE, page::REPORT];

/// Scores the answers of a study against its key and writes what came out. The output folder appears whole.
///
/// # Errors
/// When the study, its key or its answers cannot be read or do not belong together, or the output cannot be written.
pub fn score(study: &Path, key: &Path, answers: Option<&Path>, out: &Path, replace: bool) -> Result<Scored> {
    use difftumor_study::score::{csv, html, read_key, read_study, score};
    let (asked, sha256, readers) = read_study(study)?;
    let key = read_key(key)?;
    let store = answers.map_or_else(|| study.join("answers.sqlite"), Path::to_path_buf);
    let answers = Store::open_existing(store, &sha256)?.all()?;
    let scores = score(&asked, &sha256, &readers, &key, &answers)?;
    let output = Output::start(out, &FILES, replace)?;
    let folder = output.folder();
    write_json(&folder.join(SCORES), &scores)?;
    write_atomically(&folder.join(TABLE), |file| file.write_all(csv(&scores).as_bytes()))?;
    page::write(folder, &html(&scores, &asked.title))?;
    output.finish()?;
    let line = |r: &difftumor_study::score::ReaderScores| {
        format!("{}: {} tumors answered, {} not\n", r.reader, r.answered, r.unanswered)
    };
    Ok(Scored {
        summary: scores.readers.iter().map(line).collect(),
        answers: answers.iter().filter(|a| a.revision == 1).count(),
        unanswered: scores.readers.iter().map(|r| r.unanswered).sum(),
    })
}
