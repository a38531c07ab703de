//! Segmentation of many scans, one after the other: each uses all cores, and most of the memory that there should be.
//!
//! ```text
//! OUT/                          one scan: the files themselves; else a folder ID for each
//!   labels.nii.gz               0 background, 1 organ, 2 tumor; the scan's header and grid
//!   organ_probability.nii.gz    on demand, 0 to 1
//!   tumor_probability.nii.gz    on demand
//!   record.json                 what it was made with, volumes, and each tumor
//! ```
use super::Backbone;
use super::findings::{Findings, ORGAN, TUMOR};
use super::segmenter::{Segmentation, Segmenter, SegmenterOptions};
use super::sliding_window::SlidingWindow;
use crate::batch::also::{self, Content};
use crate::batch::{Also, Existing, OutputRecord, Status, Target, require_same, write_json};
use crate::dataset::{LoadedCase, ScanSource, Scans, SourceFile};
use crate::error::{Error, Result, caught};
use crate::objects;
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::label::OrganSpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How a batch is run.
#[derive(Debug, Clone)]
pub struct BatchOptions {
    /// The output folder.
    pub out: PathBuf,
    /// The organ in the scans' labels whose mask limits the predictions.
    pub organ: Option<OrganSpec>,
    /// What to do with outputs that are there.
    pub existing: Existing,
    /// Further files of each output, each kind once; a scan is none of them, for it is not changed.
    pub also: Vec<Also>,
    /// The device's name, for records: devices round differently.
    pub device: String,
}

/// The resolved settings: all that an output depends on besides the scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// This program's version.
    pub program_version: String,
    /// The network and its sizes.
    pub model: Backbone,
    /// SHA-256 of its weights.
    pub weights_sha256: String,
    /// HU that become 0 and 1.
    pub window_hu: [f64; 2],
    /// The organ as asked for.
    pub organ: Option<String>,
    /// Sides of a window.
    pub roi_vox: [usize; 3],
    /// Share that windows have in common.
    pub overlap: f64,
    /// Whether logits are means over mirror images.
    pub mirror: bool,
    /// Radius below which tumors are dropped.
    pub smallest_radius_mm: Option<f64>,
    /// Whether probabilities are written.
    pub probabilities: bool,
    /// Further files that are written.
    #[serde(default)]
    pub also: Vec<Also>,
    /// The device that it ran on.
    pub device: String,
}

/// What `record.json` holds. No times and no folders: the same inputs and settings give the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanRecord {
    /// The scan's id.
    pub case: String,
    /// What it was segmented with.
    pub settings: Settings,
    /// What it was made from.
    pub sources: Vec<SourceFile>,
    /// The files beside this one.
    pub files: Vec<String>,
    /// Meaning of the values of `labels.nii.gz`.
    pub labels: BTreeMap<u16, String>,
    /// Volumes and tumors.
    pub findings: Findings,
    /// What looked wrong in the inputs.
    pub warnings: Vec<String>,
}

/// What became of a scan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScanReport {
    /// The scan's id.
    pub case: String,
    /// What became of it.
    pub status: Status,
    /// Why it failed.
    pub message: Option<String>,
    /// The output's folder.
    pub folder: Option<PathBuf>,
    /// Volumes and tumors.
    pub findings: Option<Findings>,
    /// What looked wrong in the inputs.
    pub warnings: Vec<String>,
    /// Time that it took.
    pub seconds: f64,
}

/// Sums over all scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say all")]
pub struct Totals {
    pub outputs: usize,
    pub done: usize,
    pub skipped: usize,
    pub failed: usize,
    /// Scans, done or skipped, in which a tumor was found.
    pub with_tumors: usize,
}

/// What `--report` writes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchReport {
    /// Sums.
    pub totals: Totals,
    /// Wall clock time of all.
    pub seconds: f64,
    /// Largest memory that the process has had resident; none where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// What the outputs were made with.
    pub settings: Settings,
    /// Every scan, by id.
    pub cases: Vec<ScanReport>,
}

/// What a caller may look at while a batch runs.
pub struct Watch<'a> {
    /// Id of the scan, windows done, and of all.
    pub windows: &'a dyn Fn(&str, usize, usize),
    /// Each scan that is settled.
    pub settled: &'a dyn Fn(&ScanReport),
}

impl OutputRecord for ScanRecord {
    fn files(&self) -> &[String] {
        &self.files
    }
}

/// Segments the scans. One that fails is told in the report and stops no other.
///
/// # Errors
/// When the options are impossible, the output folder cannot be made, or, with [`Existing::Refuse`], an output is there
/// already.
pub fn run(
    scans: Scans,
    segmenter: &Segmenter,
    options: &SegmenterOptions,
    batch: &BatchOptions,
    watch: &Watch,
) -> Result<BatchReport> {
    let start = Instant::now();
    options.check()?;
    let settings = Settings::new(segmenter, options, batch);
    let folder = |id: &str| if scans.single { batch.out.clone() } else { batch.out.join(id) };
    let tasks: Vec<(&ScanSource, Target)> =
        scans.scans.iter().map(|scan| (scan, Target::new(folder(&scan.id)))).collect();
    if batch.existing == Existing::Refuse {
        tasks.iter().try_for_each(|(_, target)| target.require_free())?;
    }
    if !scans.single && !objects::is_url(&batch.out) {
        std::fs::create_dir_all(&batch.out).map_err(Error::io(&batch.out, "create"))?;
    }
    let mut cases: Vec<ScanReport> = scans.unusable.iter().map(|(id, e)| ScanReport::failed(id, e)).collect();
    cases.iter().for_each(watch.settled);
    for (source, target) in &tasks {
        let start = Instant::now();
        let task = Task { source, target, segmenter, options, batch, settings: &settings };
        let report = match caught(&source.id, || task.make(watch)) {
            Ok((status, record)) => ScanReport::of(status, record, target.folder()),
            Err(error) => {
                tracing::info!("'{}': {error}", source.id);
                ScanReport::failed(&source.id, &error)
            }
        };
        let report = ScanReport { seconds: start.elapsed().as_secs_f64(), ..report };
        (watch.settled)(&report);
        cases.push(report);
    }
    cases.sort_by(|a, b| a.case.cmp(&b.case));
    Ok(BatchReport::new(cases, settings, start.elapsed().as_secs_f64()))
}

/// One output to be made.
struct Task<'a> {
    source: &'a ScanSource,
    target: &'a Target,
    segmenter: &'a Segmenter,
    options: &'a SegmenterOptions,
    batch: &'a BatchOptions,
    settings: &'a Settings,
}

impl Task<'_> {
    fn make(&self, watch: &Watch) -> Result<(Status, ScanRecord)> {
        self.target.remove_leftovers()?;
        if self.batch.existing == Existing::Resume
            && let Some(record) = self.target.finished::<ScanRecord>()?
        {
            let now = ScanRecord {
                case: self.source.id.clone(),
                settings: self.settings.clone(),
                sources: self.source.hash_again(&record.sources)?,
                ..record.clone()
            };
            require_same(&record, &now, self.target.folder())?;
            return Ok((Status::Skipped, record));
        }
        let organs: Vec<OrganSpec> = self.batch.organ.iter().cloned().collect();
        let LoadedCase { image, mut case, sources, warnings, scan } = self.source.load(&organs)?;
        let organ = case.organs.pop().map(|organ| organ.with_lesions());
        let windows = |done, all| (watch.windows)(&self.source.id, done, all);
        let segmentation = self.segmenter.segment(case.ct, organ.as_ref(), self.options, &windows)?;
        drop(organ);
        let fill = |folder: &Path| {
            let mut files = write_images(folder, &image, &segmentation)?;
            let (names, labels) = (self.label_names(), &segmentation.labels);
            let content =
                Content { id: &self.source.id, source: scan.path(), ct: None, labels, names: &names };
            files.extend(also::write(&self.batch.also, folder, &content)?);
            Ok(ScanRecord {
                case: self.source.id.clone(),
                settings: self.settings.clone(),
                sources,
                files,
                labels: names,
                findings: segmentation.findings.clone(),
                warnings,
            })
        };
        Ok((Status::Done, self.target.write(self.batch.existing == Existing::Replace, fill)?))
    }

    fn label_names(&self) -> BTreeMap<u16, String> {
        let organ = self.batch.organ.as_ref().map_or("organ", |organ| &organ.name);
        BTreeMap::from([(ORGAN, organ.to_string()), (TUMOR, "tumor".to_string())])
    }
}

fn write_images(folder: &Path, scan: &NiftiImage, found: &Segmentation) -> Result<Vec<String>> {
    let mut files = vec![];
    let mut write = |name: &str, image: NiftiImage| -> Result<()> {
        image.write(folder.join(name))?;
        files.push(name.into());
        Ok(())
    };
    write("labels.nii.gz", scan.with_labels(&found.labels))?;
    if let Some(p) = &found.probabilities {
        write("organ_probability.nii.gz", scan.with_shares(&p.organ))?;
        write("tumor_probability.nii.gz", scan.with_shares(&p.tumor))?;
    }
    Ok(files)
}

impl Settings {
    fn new(segmenter: &Segmenter, options: &SegmenterOptions, batch: &BatchOptions) -> Self {
        // Taken apart by name, so that a new option cannot be forgotten here.
        let SegmenterOptions { window, smallest_radius_mm, probabilities } = *options;
        let SlidingWindow { roi_vox, overlap, mirror } = window;
        let hu = segmenter.window_hu();
        Self {
            program_version: env!("CARGO_PKG_VERSION").into(),
            model: segmenter.backbone().clone(),
            weights_sha256: segmenter.weights_sha256().into(),
            window_hu: [hu.min_hu, hu.max_hu].map(f64::from),
            organ: batch.organ.as_ref().map(ToString::to_string),
            roi_vox,
            overlap,
            mirror,
            smallest_radius_mm,
            probabilities,
            also: batch.also.clone(),
            device: batch.device.clone(),
        }
    }
}

impl ScanReport {
    fn of(status: Status, record: ScanRecord, folder: &Path) -> Self {
        Self {
            case: record.case,
            status,
            message: None,
            folder: Some(folder.to_path_buf()),
            findings: Some(record.findings),
            warnings: record.warnings,
            seconds: 0.0,
        }
    }

    fn failed(case: &str, error: &Error) -> Self {
        Self {
            case: case.into(),
            status: Status::Failed,
            message: Some(error.to_string()),
            folder: None,
            findings: None,
            warnings: vec![],
            seconds: 0.0,
        }
    }
}

impl BatchReport {
    fn new(cases: Vec<ScanReport>, settings: Settings, seconds: f64) -> Self {
        let count = |status| cases.iter().filter(|c| c.status == status).count();
        let has_tumors = |c: &&ScanReport| c.findings.as_ref().is_some_and(|f| f.tumor_count > 0);
        let totals = Totals {
            outputs: cases.len(),
            done: count(Status::Done),
            skipped: count(Status::Skipped),
            failed: count(Status::Failed),
            with_tumors: cases.iter().filter(has_tumors).count(),
        };
        Self { totals, seconds, peak_memory_bytes: crate::memory::peak_bytes(), settings, cases }
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_json(path, self)
    }
}
