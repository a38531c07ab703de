//! Stage 3 over many cases: every case × copy is one output folder, made independently of all others.
//!
//! ```text
//! OUT/              one scan, one copy: the files themselves; else a folder ID or ID_001, ID_002, … for each output; of a growth
//!                   series one for each size: ID_005mm, ID_012.5mm, ID_001_005mm, …
//!   ct.nii.gz       the scan with tumors: the input's header and, outside of the blend zone, its bytes
//!   labels.nii.gz   the organs 1, 2, … and all tumors as the next value
//!   tumors.nii.gz   the new tumors by number
//!   record.json     what was done (record.rs)
//!   preview.png     on demand
//!   healthy_ct.nii.gz, healthy_labels.nii.gz    on demand: the scan and its organs as they were
//!   dicom/, labels.dcm, labels.seg.nrrd    on demand (also.rs)
//! ```
//!
//! What is in an output depends on the case, its copy and the settings alone, never on threads, shards or order. A
//! folder is filled under another name and renamed, so a killed run leaves no half output.
pub(crate) mod also;
pub mod layout;
mod output;
mod record;
mod report;
pub(crate) mod review;

pub use crate::dataset::patients::RECORD;
pub use also::Also;
use also::Content;
pub(crate) use output::{OutputRecord, Target, write_json};
pub(crate) use record::require_same;
pub use record::{CaseRecord, FitSettings, ModelSettings, Settings};
pub use report::{BatchReport, CaseReport, Status, Totals};
use review::Judged;

use crate::dataset::{CaseSource, Dataset, LoadedCase};
use crate::error::{Error, Result, caught};
use crate::objects;
use crate::preview;
use crate::shard::Shard;
use crate::synthesis::{Synthesis, SynthesisOptions, Synthesizer, Variant};
use difftumor_ct::label::OrganSpec;
use difftumor_study::view::review::State;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// The scan with tumors, and the new tumors by number.
pub(crate) const SCAN: &str = "ct.nii.gz";
pub(crate) const TUMORS: &str = "tumors.nii.gz";

/// Name of the picture in an output's folder.
const PREVIEW: &str = "preview.png";
/// The scan and its labels as they were, in an output's folder.
pub(crate) const HEALTHY: [&str; 2] = ["healthy_ct.nii.gz", "healthy_labels.nii.gz"];

/// What to do with outputs that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Stop before anything is done.
    Refuse,
    /// Keep those that were made from the same inputs with the same settings; any other is a failure of its case.
    Resume,
    /// Make them anew.
    Replace,
}

/// How a batch is run. Nothing here but `organs`, `copies`, `preview`, `pair`, `also` and `device` changes what is in an output.
#[derive(Debug, Clone)]
pub struct BatchOptions {
    /// The output folder.
    pub out: PathBuf,
    /// Organs that get tumors, each of another name.
    pub organs: Vec<OrganSpec>,
    /// Syntheses of each case, at least 1.
    pub copies: u64,
    /// Cases worked on, and held in memory, at one time; at least 1.
    pub jobs: usize,
    /// The part of the outputs to make; `None` for all.
    pub shard: Option<Shard>,
    /// What to do with outputs that are there.
    pub existing: Existing,
    /// Of outputs that are kept, draw those again that the folder's review rejects (`difftumor view`). There must be a review.
    pub reviewed: bool,
    /// Also write a picture of each output.
    pub preview: bool,
    /// Also keep the scan and its labels as they were, beside those with tumors.
    pub pair: bool,
    /// Further files of each output, each kind once.
    pub also: Vec<Also>,
    /// The device's name, for records: devices round differently.
    pub device: String,
}

/// One output to be made.
struct Task<'a> {
    source: &'a CaseSource,
    variant: Variant,
    /// What the review says of the output that is there.
    reviewed: Option<State>,
    target: Target,
}

impl BatchOptions {
    /// Checks what can be checked before any case is read.
    ///
    /// # Errors
    /// [`difftumor_ct::Error::Argument`].
    pub fn check(&self) -> Result<()> {
        let names: BTreeSet<&str> = self.organs.iter().map(|o| o.name.as_str()).collect();
        if names.is_empty() || names.len() < self.organs.len() {
            let found = self.organs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(argument("organs", "one or more, each name once", &found));
        }
        for (what, value) in [("copies of each case", self.copies), ("jobs", self.jobs as u64)] {
            if value < 1 {
                return Err(argument(what, "1 or more", &value.to_string()));
            }
        }
        if self.reviewed && self.existing != Existing::Resume {
            let found = format!("{:?}", self.existing);
            return Err(argument("what is done to reviewed outputs", "Resume", &found));
        }
        Ok(())
    }

    /// Whether there is one output, which goes right into the output folder.
    fn is_single(&self, dataset: &Dataset, synthesis: &SynthesisOptions) -> bool {
        dataset.single && self.copies == 1 && synthesis.growth_mm.is_empty()
    }

    /// Whether the `i`-th of all outputs is one of this shard's.
    fn is_mine(&self, i: usize) -> bool {
        self.shard.is_none_or(|shard| shard.has(i))
    }

    /// The outputs of all shards, in order of case id, copy and size.
    fn tasks<'a>(&self, dataset: &'a Dataset, synthesis: &SynthesisOptions) -> Vec<Task<'a>> {
        let sizes: Vec<Option<f64>> = match &synthesis.growth_mm[..] {
            [] => vec![None],
            series => series.iter().copied().map(Some).collect(),
        };
        let copies =
            dataset.cases.iter().flat_map(|source| (1..=self.copies).map(move |copy| (source, copy)));
        let all = copies.flat_map(|(source, copy)| sizes.iter().map(move |size| (source, copy, *size)));
        all.map(|(source, copy, grown_to_mm)| {
            let copied = if self.copies > 1 { format!("_{copy:03}") } else { String::new() };
            let grown = grown_to_mm.map_or(String::new(), size_in_name);
            let folder = match self.is_single(dataset, synthesis) {
                true => self.out.clone(),
                false => self.out.join(format!("{}{copied}{grown}", source.id)),
            };
            let variant = Variant { copy, redraw: 0, grown_to_mm };
            Task { source, variant, reviewed: None, target: Target::new(folder) }
        })
        .collect()
    }
}

/// `_005mm`: names sort as the sizes do.
fn size_in_name(longest_mm: f64) -> String {
    if longest_mm.fract() == 0.0 { format!("_{longest_mm:03}mm") } else { format!("_{longest_mm:05.1}mm") }
}

/// Number of outputs that [`run`] makes or skips, for a progress bar.
pub fn outputs(dataset: &Dataset, options: &BatchOptions, synthesis: &SynthesisOptions) -> usize {
    let tasks = options.tasks(dataset, synthesis).len();
    (0..tasks).filter(|i| options.is_mine(*i)).count() + dataset.unusable.len()
}

/// Makes the outputs. `watch` is called with each one that is settled, from any thread. A case that fails is told in
/// the report and stops no other.
///
/// # Errors
/// When the options are impossible, the output folder cannot be made, or, with [`Existing::Refuse`], an output is there
/// already.
pub fn run(
    dataset: Dataset,
    synthesizer: &Synthesizer,
    options: &BatchOptions,
    watch: &(dyn Fn(&CaseReport) + Sync),
) -> Result<BatchReport> {
    let start = Instant::now();
    options.check()?;
    synthesizer.options.check(&synthesizer.generator)?;
    let settings = Settings::new(synthesizer, options);
    let is_single = options.is_single(&dataset, &synthesizer.options);
    let mut tasks = options.tasks(&dataset, &synthesizer.options);
    if options.reviewed {
        let judged = review::judge(&tasks, options, is_single)?;
        for (task, Judged { state, redraw }) in tasks.iter_mut().zip(judged) {
            task.reviewed = Some(state);
            task.variant.redraw = redraw;
        }
    }
    let mut numbers = 0..tasks.len();
    tasks.retain(|_| numbers.next().is_some_and(|i| options.is_mine(i)));
    if options.existing == Existing::Refuse {
        tasks.iter().try_for_each(|task| task.target.require_free())?;
    }
    if !is_single && !objects::is_url(&options.out) {
        std::fs::create_dir_all(&options.out).map_err(Error::io(&options.out, "create"))?;
    }
    let settled = Mutex::new(vec![]);
    let settle = |report: CaseReport| {
        watch(&report);
        settled.lock().expect("no panic while held").push(report);
    };
    for (id, error) in &dataset.unusable {
        settle(CaseReport::failed(id, None, error));
    }
    // Plain threads and not a parallel iterator: a rayon worker that waits inside one case would begin another, and
    // more cases would be in memory than `jobs`.
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            settle(task.settle(synthesizer, options, &settings));
        }
    };
    std::thread::scope(|scope| {
        (0..options.jobs.min(tasks.len())).for_each(|_| {
            scope.spawn(work);
        });
    });
    let mut cases = settled.into_inner().expect("all workers are done");
    cases.sort_by(|a, b| (&a.case, a.copy).cmp(&(&b.case, b.copy)));
    Ok(BatchReport::new(cases, settings, options, start.elapsed().as_secs_f64()))
}

impl Task<'_> {
    /// Makes the output and tells how it went.
    fn settle(&self, synthesizer: &Synthesizer, options: &BatchOptions, settings: &Settings) -> CaseReport {
        let start = Instant::now();
        let make = || self.make(synthesizer, options, settings);
        let id = &self.source.id;
        let report = match caught(id, make) {
            Ok((status, record)) => CaseReport::of(status, &record, self.target.folder()),
            Err(error) => {
                tracing::info!("case '{id}', copy {}: {error}", self.variant.copy);
                CaseReport::failed(id, Some(self.variant.copy), &error)
            }
        };
        CaseReport { seconds: start.elapsed().as_secs_f64(), reviewed: self.reviewed, ..report }
    }

    fn make(
        &self,
        synthesizer: &Synthesizer,
        options: &BatchOptions,
        settings: &Settings,
    ) -> Result<(Status, CaseRecord)> {
        self.target.remove_leftovers()?;
        let mut replaces = options.existing == Existing::Replace;
        if options.existing == Existing::Resume
            && let Some(record) = self.target.finished::<CaseRecord>()?
        {
            record.require_same(self.source, self.variant, settings, self.target.folder())?;
            if record.redraw >= self.variant.redraw {
                return Ok((Status::Skipped, record));
            }
            replaces = true;
        }
        let loaded = self.source.load(&options.organs)?;
        let synthesis = synthesizer.synthesize_variant(&loaded.case, self.variant)?;
        for lost in &synthesis.not_placed {
            tracing::warn!("case '{}', copy {}: {lost}", self.source.id, self.variant.copy);
        }
        let fill = |folder: &Path| self.fill(folder, &loaded, &synthesis, settings);
        Ok((Status::Done, self.target.write(replaces, fill)?))
    }

    /// Writes the output's files.
    ///
    /// # Errors
    /// When one cannot be written, or a voxel outside of the blend zone would change.
    fn fill(
        &self,
        folder: &Path,
        loaded: &LoadedCase,
        synthesis: &Synthesis,
        settings: &Settings,
    ) -> Result<CaseRecord> {
        let LoadedCase { image, case, sources, warnings, scan } = loaded;
        let ct = image.with_changes(&case.ct, &synthesis.case.ct);
        let changed = ct.changed_voxels(image).expect("only voxels are stored anew");
        let zone = &synthesis.blend_zone;
        let outside = changed.iter().zip(zone).filter(|(changed, zone)| **changed && !**zone).count();
        if outside > 0 {
            return Err(Error::BlendZone { case: case.id.clone(), voxels: outside });
        }
        let labels = synthesis.case.labels();
        let names = synthesis.case.label_names().into_iter().collect();
        // As it is stored: what a reader of ct.nii.gz sees.
        let stored = if settings.also.contains(&Also::Dicom) { Some(ct.to_volume()?) } else { None };
        let mut images = vec![
            (SCAN, ct),
            ("labels.nii.gz", image.with_labels(&labels)),
            (TUMORS, image.with_labels(&synthesis.instances)),
        ];
        if settings.pair {
            let [ct, labels] = HEALTHY;
            images.extend([(ct, image.clone()), (labels, image.with_labels(&case.labels()))]);
        }
        let mut files = vec![];
        for (name, image) in images {
            image.write(folder.join(name))?;
            files.push(name.to_string());
        }
        if settings.preview {
            preview::write(&folder.join(PREVIEW), &case.ct, synthesis)?;
            files.push(PREVIEW.into());
        }
        let content = Content {
            id: &case.id,
            source: scan.path(),
            ct: stored.as_ref(),
            labels: &labels,
            names: &names,
        };
        files.extend(also::write(&settings.also, folder, &content)?);
        Ok(CaseRecord {
            case: case.id.clone(),
            copy: self.variant.copy,
            redraw: self.variant.redraw,
            grown_to_mm: self.variant.grown_to_mm,
            settings: settings.clone(),
            sources: sources.clone(),
            files,
            labels: names,
            voxels_changed: changed.iter().filter(|c| **c).count(),
            voxels_in_blend_zone: zone.iter().filter(|z| **z).count(),
            voxels_changed_outside_blend_zone: outside,
            tumors: synthesis.records.clone(),
            not_placed: synthesis.not_placed.clone(),
            gate: synthesis.gate.clone(),
            warnings: warnings.clone(),
        })
    }
}

fn argument(what: &str, expected: &str, found: &str) -> Error {
    difftumor_ct::Error::Argument { what: what.into(), expected: expected.into(), found: found.into() }.into()
}
