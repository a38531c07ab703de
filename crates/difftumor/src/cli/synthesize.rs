//! `difftumor synthesize`.
use super::{argument, bad, print};
use clap::ValueEnum;
use difftumor::batch::layout::{DatasetLayout, LayoutOptions, OUTPUTS, lay_out};
use difftumor::batch::{self, Also, BatchOptions, BatchReport, CaseReport, Existing, Status};
use difftumor::dataset::Dataset;
use difftumor::device;
use difftumor::objects::{fetch, is_folder, is_one_scan, is_url};
use difftumor::run::shipped;
use difftumor::shard::Shard;
use difftumor::synthesis::{
    DiffusionModel, GateRecord, Generator, Preset, SizeChoice, SynthesisOptions, Synthesizer,
};
use difftumor_ct::label::OrganSpec;
use difftumor_ct::mass_effect;
use difftumor_ct::realism::Gate;
use difftumor_ct::tumor_mask::size::Size;
use difftumor_ct::tumor_mask::sizes_mm::DiameterRange;
use difftumor_study::view::review::State;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("input").required(true).args(["ct", "cases"]))]
pub struct Arguments {
    /// A scan (.nii, .nii.gz, or the folder of a DICOM series), or a folder of scans
    #[arg(long, value_name = "FILE|FOLDER", requires = "labels")]
    ct: Option<PathBuf>,
    /// Its labels: a file, or a folder with one mask an organ (liver.nii.gz, …). For a folder of scans: a folder with
    /// the labels of each under the same name
    #[arg(long, value_name = "FILE|FOLDER", requires = "ct", conflicts_with = "cases")]
    labels: Option<PathBuf>,
    /// A table of cases with the columns id, ct and labels (comma-separated; paths relative to the table)
    #[arg(long, value_name = "CSV")]
    cases: Option<PathBuf>,
    /// Output folder. One scan with one copy goes right into it, everything else into a folder each
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Organ that gets tumors; may be given several times. NAME is TotalSegmentator's; VALUE its value in the label file
    /// (also kidney=2+3 or liver=1:tumor=2)
    #[arg(long = "organ", value_name = "NAME[=VALUE]", required = true)]
    organs: Vec<String>,
    /// What paints the tumors
    #[arg(long, default_value = "diffusion")]
    method: Method,
    /// Run directory of a diffusion model; twice for one model of early and one of larger tumors [default: those that
    /// ship with the program, shipped:compact-v1/early and shipped:compact-v1/larger]
    #[arg(long = "model", value_name = "RUN")]
    models: Vec<PathBuf>,
    /// How large the tumors are: a class, early (tiny or small), or mixed (all classes as in the paper)
    #[arg(long, default_value = "mixed")]
    size: SizeName,
    /// Longest axis in mm instead, with the proportions of real tumors
    #[arg(long, value_name = "A[..B]", conflicts_with = "size")]
    diameter_mm: Option<String>,
    /// The same tumors at several sizes, an output each: longest axes in mm, ascending
    #[arg(long, value_name = "A,B[,..]mm", conflicts_with_all = ["size", "diameter_mm"])]
    grow: Option<String>,
    /// Number of tumors in each organ [default: 1 to 3]
    #[arg(long, value_name = "N|A..B")]
    tumors: Option<String>,
    /// Syntheses of each case
    #[arg(long, value_name = "K", default_value_t = 1)]
    per_case: u64,
    /// Everything that is drawn follows from it
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The published pipeline as it is, or ours, which never draws invisible, clipped or misplaced tumors
    #[arg(long, default_value = "default")]
    preset: PresetName,
    /// Draw tumors again that next to no real one is like: strips and sickles, densities as of fat or fluid, noise unlike the scan's,
    /// pasted edges
    #[arg(long)]
    gate: bool,
    /// Judge by these ranges of real tumors, of `analyze realism --write-ranges`, and not by those that come with the program
    #[arg(long = "match", value_name = "JSON", requires = "gate")]
    real: Option<PathBuf>,
    /// Tumors of 20 mm and more push the tissue around them away: this share of their volume, 0 to 1 [without a value: 0.6]
    #[arg(long, value_name = "SHARE", num_args = 0..=1, default_missing_value = "0.6")]
    mass_effect: Option<f64>,
    /// Cases worked on, and held in memory, at one time. Outputs do not depend on it
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Also lay out the outputs as a dataset that other programs take; they themselves then lie in DIR/synthetic
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<LayoutName>,
    /// Make only the part I (from 0) of N of all outputs; auto, or auto/N: the one that the scheduler of a job array has put into
    /// the environment (Slurm, Kubernetes, Grid Engine, PBS, cloud batch)
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,
    /// Keep outputs that are there, if they were made from the same inputs with the same settings
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Replace outputs that are there
    #[arg(long)]
    force: bool,
    /// Continue after a review with `difftumor view`, as with --resume: draw rejected outputs again, keep all others, and lay out
    /// (--layout) only accepted ones
    #[arg(long, conflicts_with = "force")]
    accepted: bool,
    /// Write what became of each case, times and peak memory as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Also write a picture of each output (preview.png)
    #[arg(long)]
    preview: bool,
    /// Also keep the scan and its labels as they were, beside those with tumors
    #[arg(long)]
    pair: bool,
    /// Also write: dicom (the scan as a CT series, marked as synthetic), seg (the labels as a DICOM segmentation of it), nrrd (the labels
    /// for 3D Slicer)
    #[arg(long, value_name = "KIND", num_args = 1.., value_delimiter = ',')]
    also: Vec<AlsoName>,
    /// Where models run: cpu, or wgpu[:n] in builds with GPUs
    #[arg(long, default_value = "cpu")]
    device: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    Diffusion,
    Handcrafted,
}

/// Further files of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AlsoName {
    /// dicom/: the scan as a series
    Dicom,
    /// labels.dcm: a DICOM segmentation
    Seg,
    /// labels.seg.nrrd: a segmentation of 3D Slicer
    Nrrd,
}

/// In order, each once: records compare them.
fn also(names: &[AlsoName]) -> Vec<Also> {
    let kinds = [(AlsoName::Dicom, Also::Dicom), (AlsoName::Seg, Also::Seg), (AlsoName::Nrrd, Also::Nrrd)];
    kinds.into_iter().filter(|(name, _)| names.contains(name)).map(|(_, kind)| kind).collect()
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LayoutName {
    /// nnU-Net v2's raw data, with folds that keep a patient's copies together
    Nnunet,
    /// The Medical Segmentation Decathlon's
    Msd,
    /// A folder with masks for each case, as AbdomenAtlas and BodyMaps
    Bodymaps,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PresetName {
    Default,
    Paper,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SizeName {
    Tiny,
    Small,
    Medium,
    Large,
    Early,
    Mixed,
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    let models = a.models()?;
    let options = a.options()?;
    // The options' limits need no model: bad arguments are told before anything is read.
    let kind = match a.method {
        Method::Handcrafted => Generator::Handcrafted,
        Method::Diffusion => Generator::Diffusion(vec![]),
    };
    options.check(&kind).map_err(bad)?;
    let batch = a.batch()?;
    batch.check().map_err(bad)?;
    let device = device::parse(&a.device).map_err(bad)?;
    let mut dataset = a.dataset()?;
    dataset.single &= a.layout.is_none();
    let sources = dataset.cases.clone();
    let generator = match a.method {
        Method::Handcrafted => Generator::Handcrafted,
        Method::Diffusion => {
            let open = |dir| {
                let run = fetch(dir)?;
                DiffusionModel::open(run.path(), &device).map_err(|e| run.explain(e))
            };
            Generator::Diffusion(models.iter().map(|dir| open(dir)).collect::<Result<_, _>>()?)
        }
    };
    let bar = progress(batch::outputs(&dataset, &batch, &options), bars);
    let watch = |case: &CaseReport| {
        tracing::info!("{}: {:?}, {} tumors, {:.1} s", case.case, case.status, case.tumors, case.seconds);
        bar.inc(1);
    };
    let report = batch::run(dataset, &Synthesizer { options, generator }, &batch, &watch)?;
    bar.finish_and_clear();
    summarise(&report)?;
    if let Some(layout) = a.layout.filter(|_| report.totals.done + report.totals.skipped > 0) {
        let options = LayoutOptions { layout: layout.into(), seed: a.seed, accepted: a.accepted };
        let laid_out = lay_out(&a.out, &options, &sources)?;
        let folds = match (layout, laid_out.folds) {
            (LayoutName::Nnunet, 0) => "; no splits_final.json, for all are of one patient",
            _ => "",
        };
        print(&format!("{} cases laid out in {}{folds}\n", laid_out.cases, a.out.display()))?;
    }
    if let Some(path) = &a.report {
        report.write(path)?;
    }
    Ok(if report.totals.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl From<LayoutName> for DatasetLayout {
    fn from(name: LayoutName) -> Self {
        match name {
            LayoutName::Nnunet => Self::NnUnet,
            LayoutName::Msd => Self::Msd,
            LayoutName::Bodymaps => Self::BodyMaps,
        }
    }
}

impl Arguments {
    /// The models' Runs.
    fn models(&self) -> anyhow::Result<Vec<PathBuf>> {
        match (self.method, self.models.len()) {
            (Method::Diffusion, 0) => Ok(shipped::synthesis()),
            (Method::Diffusion, 1 | 2) | (Method::Handcrafted, 0) => Ok(self.models.clone()),
            (Method::Diffusion, n) => {
                let expected = "one or two --model RUN, or none for those that ship with the program";
                Err(argument("number of models", expected, n).into())
            }
            (Method::Handcrafted, n) => {
                Err(argument("number of models", "none: the handcrafted method uses no model", n).into())
            }
        }
    }

    fn options(&self) -> anyhow::Result<SynthesisOptions> {
        let growth_mm = self.growth_mm()?;
        let size = match (&self.diameter_mm, self.size) {
            _ if !growth_mm.is_empty() => {
                let largest = growth_mm.iter().copied().fold(0.0, f64::max);
                SizeChoice::DiameterMm(DiameterRange::new(largest, largest).map_err(bad)?)
            }
            (Some(text), _) => {
                let (low, high) = range("diameter in mm", text)?;
                SizeChoice::DiameterMm(DiameterRange::new(low, high).map_err(bad)?)
            }
            (None, SizeName::Tiny) => SizeChoice::Class(Size::Tiny),
            (None, SizeName::Small) => SizeChoice::Class(Size::Small),
            (None, SizeName::Medium) => SizeChoice::Class(Size::Medium),
            (None, SizeName::Large) => SizeChoice::Class(Size::Large),
            (None, SizeName::Early) => SizeChoice::Early,
            (None, SizeName::Mixed) => SizeChoice::Mixed,
        };
        let preset = match self.preset {
            PresetName::Default => Preset::Default,
            PresetName::Paper => Preset::Paper,
        };
        let tumors = self.tumors.as_ref().map(|text| range("number of tumors", text)).transpose()?;
        Ok(SynthesisOptions {
            preset,
            size,
            growth_mm,
            tumors,
            seed: self.seed,
            gate: self.gate()?,
            mass_effect: self
                .mass_effect
                .map(|strength| mass_effect::Options { strength, ..Default::default() }),
            ..SynthesisOptions::default()
        })
    }

    fn gate(&self) -> anyhow::Result<Option<Gate>> {
        Ok(match &self.real {
            _ if !self.gate => None,
            None => Some(Gate::built_in()),
            Some(path) => {
                let ranges = fetch(path)?;
                Some(Gate::read(ranges.path()).map_err(|e| ranges.explain(e.into()))?)
            }
        })
    }

    /// `5,8,12mm`.
    fn growth_mm(&self) -> anyhow::Result<Vec<f64>> {
        let Some(text) = &self.grow else { return Ok(vec![]) };
        let sizes = text.trim().strip_suffix("mm").unwrap_or(text).split(',').map(|size| size.trim().parse());
        let expected = "lengths in mm with commas between, as 5,8,12,20mm";
        sizes
            .collect::<Result<Vec<f64>, _>>()
            .map_err(|_| argument("growth series", expected, format!("'{text}'")).into())
    }

    fn batch(&self) -> anyhow::Result<BatchOptions> {
        let organs = self.organs.iter().map(|text| text.parse::<OrganSpec>().map_err(bad));
        let shard = self.shard.as_ref().map(|text| text.parse::<Shard>().map_err(bad)).transpose()?;
        let existing = match (self.resume || self.accepted, self.force) {
            (true, _) => Existing::Resume,
            (_, true) => Existing::Replace,
            _ => Existing::Refuse,
        };
        if self.layout.is_some() && is_url(&self.out) {
            let expected = "a folder of this machine with --layout: make the dataset there and copy it";
            return Err(argument("--out", expected, self.out.display()).into());
        }
        Ok(BatchOptions {
            out: self.layout.map_or_else(|| self.out.clone(), |_| self.out.join(OUTPUTS)),
            organs: organs.collect::<Result<_, _>>()?,
            copies: self.per_case,
            jobs: self.jobs,
            shard,
            existing,
            reviewed: self.accepted,
            preview: self.preview,
            pair: self.pair,
            also: also(&self.also),
            device: self.device.clone(),
        })
    }

    fn dataset(&self) -> anyhow::Result<Dataset> {
        Ok(match (&self.cases, &self.ct, &self.labels) {
            (Some(table), ..) => Dataset::table(table)?,
            (None, Some(ct), Some(labels)) if is_one_scan(ct)? => Dataset::single(ct, labels)?,
            (None, Some(ct), Some(labels)) if is_folder(labels) => Dataset::folders(ct, labels)?,
            (_, _, labels) => {
                let found = labels.as_ref().map_or("nothing".into(), |path| path.display().to_string());
                return Err(argument("--labels", "a folder, as --ct is one", found).into());
            }
        })
    }
}

/// `A..B`, or `A` for `A..A`.
fn range<T: std::str::FromStr + Copy>(what: &str, text: &str) -> anyhow::Result<(T, T)> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    match (low.trim().parse(), high.trim().parse()) {
        (Ok(low), Ok(high)) => Ok((low, high)),
        _ => Err(argument(what, "a number A or a range A..B", format!("'{text}'")).into()),
    }
}

/// Hidden when stderr is no terminal, and for a single output.
fn progress(outputs: usize, bars: &MultiProgress) -> ProgressBar {
    if outputs < 2 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} cases, {per_sec}, {eta} left")
        .expect("the template is well-formed");
    let bar = bars.add(ProgressBar::new(outputs as u64).with_style(style));
    bar.enable_steady_tick(Duration::from_secs(1)); // the time left goes on while a case is worked on
    bar
}

/// A line on stdout; failed cases on stderr.
fn summarise(report: &BatchReport) -> anyhow::Result<()> {
    let totals = report.totals;
    let failed = || report.cases.iter().filter_map(|c| Some((c, c.message.as_ref()?)));
    for (case, message) in failed() {
        let copy = case.copy.filter(|n| *n > 1).map(|n| format!(" (copy {n})")).unwrap_or_default();
        eprintln!("failed: {}{copy}: {message}", case.case);
    }
    let memory =
        report.peak_memory_bytes.map(|b| format!(", peak memory {} MB", b >> 20)).unwrap_or_default();
    let gate = report.gate.as_ref().map(gate_line).unwrap_or_default();
    let review = review_line(report);
    print(&format!(
        "{} done with {} tumors, {} skipped, {} failed; voxels changed outside of the blend zones: {}; {:.1} s{memory}\n{gate}{review}",
        totals.done,
        totals.tumors_made,
        totals.skipped,
        totals.failed,
        report.cases.iter().map(|c| c.voxels_changed[1]).sum::<usize>(),
        report.seconds,
    ))
}

/// What the review said before, if it was asked, and what is to be reviewed now.
fn review_line(report: &BatchReport) -> String {
    if report.cases.iter().all(|case| case.reviewed.is_none()) {
        return String::new();
    }
    let count = |status, state| {
        report.cases.iter().filter(|case| case.status == status && case.reviewed == Some(state)).count()
    };
    let accepted = count(Status::Skipped, State::Accepted);
    format!(
        "review: {accepted} accepted, {} rejected and drawn again; {} without a verdict now\n",
        count(Status::Done, State::Rejected),
        report.totals.done + report.totals.skipped - accepted,
    )
}

/// How many tumors were drawn again, and why.
fn gate_line(gate: &GateRecord) -> String {
    let share = 100.0 * gate.rejected as f64 / gate.judged.max(1) as f64;
    let mut reasons: Vec<_> = gate.reasons.iter().collect();
    reasons.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let reasons: Vec<String> = reasons.iter().map(|(figure, n)| format!("{figure} {n}")).collect();
    let reasons =
        if reasons.is_empty() { String::new() } else { format!(": failed by {}", reasons.join(", ")) };
    format!("gate: {} of {} painted tumors rejected ({share:.0} %){reasons}\n", gate.rejected, gate.judged)
}
