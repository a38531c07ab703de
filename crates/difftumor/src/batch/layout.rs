//! Outputs as a dataset that other programs take: files of the layout beside the outputs themselves.
//!
//! ```text
//! OUT/synthetic/ID/…       the outputs, as without a layout
//! OUT/synthetic.csv        what each was made from and how: everything in this dataset is synthetic
//! nnunet   OUT/imagesTr/ID_0000.nii.gz, labelsTr/ID.nii.gz, dataset.json (v2), splits_final.json
//! msd      OUT/imagesTr/ID.nii.gz, labelsTr/ID.nii.gz, dataset.json
//! bodymaps OUT/ID/ct.nii.gz, ID/segmentations/ORGAN.nii.gz, ORGAN_lesion.nii.gz (tumors of all organs: lesion.nii.gz)
//! ```
//!
//! Files that are the same as an output's are hard links to it, and copies where the file system knows none. What is written
//! follows from the outputs that are there, so the last of several shards completes the dataset.
use super::{CaseRecord, RECORD, review, write_json};
use crate::dataset::CaseSource;
use crate::dataset::patients::Origin;
use crate::dataset::splits::{SPLITS, Splits};
use crate::error::{Error, Result};
use crate::run::sha256;
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::label::LabelFile;
use difftumor_ct::{Labels, io::write_atomically};
use difftumor_study::view::review::State;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Folder of the outputs.
pub const OUTPUTS: &str = "synthetic";
const DESCRIPTION: &str = "dataset.json";
/// As nnU-Net makes them.
const FOLDS: usize = 5;

/// A dataset's layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatasetLayout {
    /// nnU-Net v2's raw data.
    NnUnet,
    /// The Medical Segmentation Decathlon's.
    Msd,
    /// AbdomenAtlas' and BodyMaps'.
    BodyMaps,
}

/// How outputs are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayoutOptions {
    /// The dataset's layout.
    pub layout: DatasetLayout,
    /// Seed of the folds.
    pub seed: u64,
    /// Only those that the review of the outputs accepts (`difftumor view`); what an earlier layout has of others is removed.
    pub accepted: bool,
}

/// What was laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaidOut {
    /// Number of cases.
    pub cases: usize,
    /// Folds that were written; 0 where the layout has none, or there are fewer than two patients.
    pub folds: usize,
}

/// A finished output.
pub(crate) struct Output {
    pub(crate) id: String,
    pub(crate) folder: PathBuf,
    pub(crate) record: CaseRecord,
    /// Of the record's file.
    record_sha256: String,
}

/// A line of `synthetic.csv`.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    synthetic: bool,
    source_case: &'a str,
    patient: &'a str,
    copy: u64,
    source_ct_sha256: &'a str,
    method: &'a str,
    seed: u64,
    tumors: usize,
    largest_diameter_mm: String,
    program_version: &'a str,
}

/// Lays out the finished outputs of `out`. `sources` tell whose the scans are.
///
/// # Errors
/// When there is no output (or no accepted one), outputs have other labels than others, or something cannot be read or written.
pub fn lay_out(out: &Path, options: &LayoutOptions, sources: &[CaseSource]) -> Result<LaidOut> {
    let &LayoutOptions { layout, seed, accepted } = options;
    let folder = out.join(OUTPUTS);
    let mut outputs = finished(&folder)?;
    if accepted {
        let review = review::of_folder(&folder)?;
        let (good, others): (Vec<_>, Vec<_>) = outputs
            .into_iter()
            .partition(|output| review.state(&output.id, &output.record_sha256) == State::Accepted);
        others.iter().try_for_each(|output| unlink(out, layout, &output.id))?;
        outputs = good;
    }
    let Some(first) = outputs.first() else {
        let argument = difftumor_ct::Error::Argument {
            what: if accepted { "accepted outputs to lay out" } else { "outputs to lay out" }.into(),
            expected: "at least one".into(),
            found: "none".into(),
        };
        return Err(argument.into());
    };
    if let Some(other) = outputs.iter().find(|output| output.record.labels != first.record.labels) {
        let [expected, found] = [first, other].map(|o| format!("{:?} of '{}'", o.record.labels, o.id));
        let hint = "make all cases of a dataset with the same --organ";
        return Err(Error::format(&other.folder, "labels", expected, found, hint));
    }
    let patients = patients(&outputs, sources);
    write_rows(&out.join("synthetic.csv"), &outputs, &patients)?;
    let mut folds = 0;
    match layout {
        DatasetLayout::NnUnet => {
            link_all(out, layout, &outputs)?;
            folds = write_splits(out, &outputs, &patients, seed)?;
            write_json(&out.join(DESCRIPTION), &nnunet(&outputs))?;
        }
        DatasetLayout::Msd => {
            link_all(out, layout, &outputs)?;
            write_json(&out.join(DESCRIPTION), &msd(&outputs))?;
        }
        DatasetLayout::BodyMaps => outputs.iter().try_for_each(|output| write_masks(out, output))?,
    }
    Ok(LaidOut { cases: outputs.len(), folds })
}

impl Output {
    /// Reads the record of an output.
    pub(crate) fn read(id: String, folder: &Path) -> Result<Self> {
        let path = folder.join(RECORD);
        let text = fs::read_to_string(&path).map_err(Error::io(&path, "read"))?;
        let record_sha256 = sha256(text.as_bytes());
        let record = serde_json::from_str(&text).map_err(|e| {
            let expected = "that of an output of this program";
            Error::format(&path, "record", expected, e.to_string(), "remove this folder")
        })?;
        Ok(Self { id, folder: folder.into(), record, record_sha256 })
    }
}

/// The finished outputs of a folder, by id. What is half done has a hidden name.
pub(crate) fn finished(folder: &Path) -> Result<Vec<Output>> {
    let mut outputs = vec![];
    for entry in fs::read_dir(folder).map_err(Error::io(folder, "read"))? {
        let entry = entry.map_err(Error::io(folder, "read"))?;
        let (id, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path().join(RECORD));
        if id.starts_with('.') || !path.is_file() {
            continue;
        }
        outputs.push(Output::read(id, &entry.path())?);
    }
    outputs.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(outputs)
}

/// Whose each output is: as the table of cases says, and equal for equal scans.
fn patients(outputs: &[Output], sources: &[CaseSource]) -> Vec<String> {
    let named: BTreeMap<&str, &str> =
        sources.iter().filter_map(|s| Some((s.id.as_str(), s.patient.as_deref()?))).collect();
    let mut first_of: BTreeMap<&str, &str> = BTreeMap::new();
    for output in outputs {
        first_of.entry(output.scan_sha256()).or_insert(&output.record.case);
    }
    let firsts = outputs.iter().map(|output| first_of[output.scan_sha256()]);
    firsts.map(|case| named.get(case).copied().unwrap_or(case).to_string()).collect()
}

impl Output {
    fn scan_sha256(&self) -> &str {
        self.record.sources.iter().find(|s| s.role == "ct").map_or("", |s| s.sha256.as_str())
    }
}

fn write_rows(path: &Path, outputs: &[Output], patients: &[String]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(vec![]);
    for (output, patient) in outputs.iter().zip(patients) {
        let record = &output.record;
        let largest = record.tumors.iter().map(|t| t.longest_axial_diameter_mm).fold(0.0, f64::max);
        let row = Row {
            id: &output.id,
            synthetic: true,
            source_case: &record.case,
            patient,
            copy: record.copy,
            source_ct_sha256: output.scan_sha256(),
            method: &record.settings.method,
            seed: record.settings.seed,
            tumors: record.tumors.len(),
            largest_diameter_mm: format!("{largest:.1}"),
            program_version: &record.settings.program_version,
        };
        writer.serialize(row).map_err(|e| Error::io(path, "write")(std::io::Error::other(e)))?;
    }
    let bytes = writer.into_inner().expect("writing to memory does not fail");
    Ok(write_atomically(path, |file| file.write_all(&bytes))?)
}

/// Where a layout has files of an output: a scan and its labels, or a folder.
fn places(out: &Path, layout: DatasetLayout, id: &str) -> Vec<PathBuf> {
    let labels = out.join(format!("labelsTr/{id}.nii.gz"));
    match layout {
        DatasetLayout::NnUnet => vec![out.join(format!("imagesTr/{id}_0000.nii.gz")), labels],
        DatasetLayout::Msd => vec![out.join(format!("imagesTr/{id}.nii.gz")), labels],
        DatasetLayout::BodyMaps => vec![out.join(id)],
    }
}

/// Removes what an earlier layout has of an output, which itself stays.
fn unlink(out: &Path, layout: DatasetLayout, id: &str) -> Result<()> {
    for path in places(out, layout, id) {
        let removed = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        match removed {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(&path, "remove")(e));
            }
            _ => {}
        }
    }
    Ok(())
}

fn link_all(out: &Path, layout: DatasetLayout, outputs: &[Output]) -> Result<()> {
    for output in outputs {
        let files = ["ct.nii.gz", "labels.nii.gz"].map(|name| output.folder.join(name));
        for (from, to) in files.iter().zip(places(out, layout, &output.id)) {
            link(from, &to)?;
        }
    }
    Ok(())
}

/// The same file under another name; whatever had that name before is replaced.
fn link(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().expect("it lies in the output folder");
    fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    let name = to.file_name().expect("it ends in a name").to_string_lossy();
    let part = folder.join(format!(".{name}.part"));
    match fs::remove_file(&part) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&part, "remove")(e)),
        _ => {}
    }
    if fs::hard_link(from, &part).is_err() {
        fs::copy(from, &part).map_err(Error::io(to, "write"))?;
    }
    fs::rename(&part, to).map_err(Error::io(to, "write"))?;
    // Renaming a link onto a link to the same file leaves both.
    let _ = fs::remove_file(&part);
    Ok(())
}

fn write_splits(out: &Path, outputs: &[Output], patients: &[String], seed: u64) -> Result<usize> {
    let path = out.join(SPLITS);
    let cases: Vec<CaseSource> = outputs
        .iter()
        .map(|o| CaseSource { id: o.id.clone(), ct: PathBuf::new(), labels: PathBuf::new(), patient: None })
        .collect();
    // All of them are synthetic, so that those of one patient must stay together and nothing else.
    let origins: Vec<Origin> =
        patients.iter().map(|patient| Origin { patient: patient.clone(), synthetic: false }).collect();
    let distinct = patients.iter().collect::<std::collections::BTreeSet<_>>().len();
    let folds = FOLDS.min(distinct);
    if folds < 2 {
        let _ = fs::remove_file(&path);
        return Ok(0);
    }
    write_json(&path, &Splits::make(&cases, &origins, folds, seed)?)?;
    Ok(folds)
}

/// Values by name and names by value differ between the two programs.
fn nnunet(outputs: &[Output]) -> Value {
    let names = outputs[0].record.labels.iter().map(|(value, name)| (name.clone(), json!(value)));
    let labels: serde_json::Map<_, _> =
        std::iter::once(("background".to_string(), json!(0))).chain(names).collect();
    json!({
        "channel_names": {"0": "CT"},
        "labels": labels,
        "numTraining": outputs.len(),
        "file_ending": ".nii.gz",
        "description": DESCRIBED,
    })
}

fn msd(outputs: &[Output]) -> Value {
    let names = outputs[0].record.labels.iter().map(|(value, name)| (value.to_string(), json!(name)));
    let labels: serde_json::Map<_, _> =
        std::iter::once(("0".to_string(), json!("background"))).chain(names).collect();
    let case = |o: &Output| json!({"image": format!("./imagesTr/{}.nii.gz", o.id), "label": format!("./labelsTr/{}.nii.gz", o.id)});
    json!({
        "name": "difftumor",
        "description": DESCRIBED,
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": labels,
        "numTraining": outputs.len(),
        "numTest": 0,
        "training": outputs.iter().map(case).collect::<Vec<_>>(),
        "test": [],
    })
}

const DESCRIBED: &str = "synthetic tumors in real scans; synthetic.csv tells what each case was made from";

/// Organs with their tumors, as in AbdomenAtlas, and the tumors.
fn write_masks(out: &Path, output: &Output) -> Result<()> {
    let folder = out.join(&output.id);
    link(&output.folder.join("ct.nii.gz"), &folder.join("ct.nii.gz"))?;
    let path = output.folder.join("labels.nii.gz");
    let image = NiftiImage::read(&path)?;
    let labels = LabelFile::read(&path)?.labels;
    let masks = folder.join("segmentations");
    fs::create_dir_all(&masks).map_err(Error::io(&masks, "create"))?;
    let names = &output.record.labels;
    let (organs, tumors): (Vec<_>, Vec<_>) = names.iter().partition(|(_, name)| name.as_str() != TUMOR);
    let write = |name: &str, values: &[u16]| {
        let mask = labels.data.mapv(|label| u16::from(values.contains(&label)));
        image
            .with_labels(&Labels { data: mask, affine: labels.affine })
            .write(masks.join(format!("{name}.nii.gz")))
    };
    for (value, name) in &organs {
        // Of several organs the labels do not tell whose a tumor is.
        let of_it: &[u16] =
            if organs.len() == 1 { &tumors.iter().map(|t| *t.0).collect::<Vec<_>>() } else { &[] };
        write(name, &[&[**value], of_it].concat())?;
    }
    let name = match &organs[..] {
        [(_, organ)] => format!("{organ}_lesion"),
        _ => "lesion".into(),
    };
    Ok(write(&name, &tumors.iter().map(|t| *t.0).collect::<Vec<_>>())?)
}

const TUMOR: &str = "tumor";
