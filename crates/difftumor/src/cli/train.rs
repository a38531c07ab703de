//! `difftumor train`.
mod segmentation;

use super::{argument, bad, print};
use clap::Subcommand;
use difftumor::autoencoder::train::{self as autoencoder, AutoencoderData, AutoencoderTraining};
use difftumor::dataset::{CaseSource, Dataset};
use difftumor::diffusion::train::{self as diffusion, DiffusionData, DiffusionTraining};
use difftumor::train::TrainingPlace;
use difftumor::train::log::Progress;
use difftumor::train::scans::{self, TrainingScan};
use difftumor::train::settings;
use difftumor::train::tumors::TumorLabels;
use difftumor::{Result, device};
use difftumor_ct::label::OrganSpec;
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    model: Trained,
}

#[derive(Debug, Subcommand)]
enum Trained {
    /// Stage 1: learn to turn CTs into latents and back, from scans without any annotation
    Autoencoder(AutoencoderArguments),
    /// Stage 2: learn to paint tumors into latents, from one annotated tumor on
    Diffusion(DiffusionArguments),
    /// Stage 3: learn to find organ and tumors, from annotated scans and from healthy ones with synthetic tumors
    Segmentation(Box<segmentation::Arguments>),
}

/// What all trainings take.
#[derive(Debug, clap::Args)]
struct Common {
    /// Run directory that is made, or gone on with
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Settings that differ from the defaults (TOML); RUN/training/config.toml lists them all
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, over the file's: --set crops.side_vox=64
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Go on from the latest checkpoint in RUN; `steps` and `output` may differ from before
    #[arg(long)]
    resume: bool,
    /// Run of the same architecture whose weights a new training starts from
    #[arg(long, value_name = "RUN", conflicts_with = "resume")]
    init: Option<PathBuf>,
    /// Terms under which the weights may be used, written into the Run
    #[arg(long, value_name = "TEXT", default_value = "not stated")]
    licence: String,
    /// Threads that make batches ahead
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: usize,
    /// Folder of prepared scans, which trainings may share, also at the same time [default: prepared-scans beside RUN]
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Room for prepared scans on the disk, in GB: about 0.4 for an abdomen; 0 keeps none
    #[arg(long, value_name = "GB", default_value_t = 8.0)]
    cache_gb: f64,
    /// Where the model is trained: cpu, or wgpu[:n] in builds with GPUs
    #[arg(long, default_value = "cpu")]
    device: String,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("input").required(true).multiple(true).args(["ct", "cases"]))]
pub struct AutoencoderArguments {
    /// Scans (.nii, .nii.gz, or the folder of a DICOM series) or folders of scans; no labels are needed
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1..)]
    ct: Vec<PathBuf>,
    /// A table of cases with the columns id, ct and labels: crops are steered to the organs
    #[arg(long, value_name = "CSV", requires = "organs")]
    cases: Option<PathBuf>,
    /// Organ that crops are steered to, in the cases of --cases: NAME[=VALUE], as for `synthesize`
    #[arg(long = "organ", value_name = "NAME[=VALUE]", requires = "cases")]
    organs: Vec<String>,
    /// Scans to measure on, which are never trained on
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1..)]
    validate: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub struct DiffusionArguments {
    /// Tables of annotated cases with the columns id, ct and labels, as `index --stage` writes them
    #[arg(long, value_name = "CSV", num_args = 1.., required = true)]
    cases: Vec<PathBuf>,
    /// The same of cases to measure on, which are never trained on
    #[arg(long, value_name = "CSV", num_args = 1..)]
    validate: Vec<PathBuf>,
    /// Run of the autoencoder; a copy goes into the new Run
    #[arg(long, value_name = "RUN")]
    autoencoder: PathBuf,
    /// Value of the organ in the label files
    #[arg(long, value_name = "VALUE", default_value_t = 1)]
    organ_label: u16,
    /// Value of the tumors in the label files
    #[arg(long, value_name = "VALUE", default_value_t = 2)]
    tumor_label: u16,
    #[command(flatten)]
    common: Common,
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    match &a.model {
        Trained::Autoencoder(a) => train_autoencoder(a, bars),
        Trained::Diffusion(a) => train_diffusion(a, bars),
        Trained::Segmentation(a) => segmentation::run(a, bars),
    }
}

fn train_autoencoder(a: &AutoencoderArguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    let settings: AutoencoderTraining =
        settings::read(a.common.config.as_deref(), &a.common.set).map_err(bad)?;
    settings.check().map_err(bad)?;
    let place = a.common.place()?;
    let mut scans = scans::list(&a.ct)?;
    if let Some(table) = &a.cases {
        scans.extend(from_table(table)?);
    }
    let organs = a
        .organs
        .iter()
        .map(|text| text.parse::<OrganSpec>().map_err(bad))
        .collect::<std::result::Result<_, _>>()?;
    let data = AutoencoderData { scans, organs, validation: scans::list(&a.validate)? };
    let bar = Bar::new(settings.steps, bars);
    let run = autoencoder::train(&place, &settings, data, &|p| bar.show(p))?;
    bar.finish();
    finish(run.dir(), settings.steps)
}

fn train_diffusion(a: &DiffusionArguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    let settings: DiffusionTraining =
        settings::read(a.common.config.as_deref(), &a.common.set).map_err(bad)?;
    settings.check().map_err(bad)?;
    let place = a.common.place()?;
    let cases = |tables: &[PathBuf]| -> Result<Vec<CaseSource>> {
        let mut all = vec![];
        for table in tables {
            all.extend(Dataset::table(table)?.cases);
        }
        Ok(all)
    };
    let data = DiffusionData {
        cases: cases(&a.cases)?,
        validation: cases(&a.validate)?,
        labels: TumorLabels { organ: a.organ_label, tumor: a.tumor_label },
        autoencoder: a.autoencoder.clone(),
    };
    let bar = Bar::new(settings.steps, bars);
    let run = diffusion::train(&place, &settings, data, &|p| bar.show(p))?;
    bar.finish();
    finish(run.dir(), settings.steps)
}

fn from_table(table: &Path) -> Result<Vec<TrainingScan>> {
    let cases = Dataset::table(table)?.cases;
    Ok(cases.into_iter().map(|c| TrainingScan { id: c.id, ct: c.ct, labels: Some(c.labels) }).collect())
}

fn finish(run: &Path, steps: u64) -> anyhow::Result<ExitCode> {
    print(&format!(
        "{steps} steps made; {} holds the model, records are in its folder training\n",
        run.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

impl Common {
    fn place(&self) -> anyhow::Result<TrainingPlace> {
        if self.threads == 0 {
            return Err(argument("--threads", "at least 1", 0).into());
        }
        if !(self.cache_gb >= 0.0 && self.cache_gb < 1e6) {
            return Err(argument("--cache-gb", "a number of gigabytes", self.cache_gb).into());
        }
        Ok(TrainingPlace {
            run: self.out.clone(),
            resume: self.resume,
            init: self.init.clone(),
            device: device::parse(&self.device).map_err(bad)?,
            threads: self.threads,
            cache: self.cache.clone(),
            cache_bytes: (self.cache_gb * 1e9) as u64,
            licence: self.licence.clone(),
        })
    }
}

/// A bar on a terminal, lines elsewhere.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// The same of a fold's training.
    fn show_fold(&self, fold: usize, p: &Progress) {
        self.bar.set_prefix(format!("fold {fold} "));
        if self.bar.is_hidden() {
            eprint!("fold {fold}, ");
        }
        self.show(p);
    }

    fn new(steps: u64, bars: &MultiProgress) -> Self {
        let style = ProgressStyle::with_template("{prefix}{wide_bar} {pos}/{len} {msg}")
            .expect("the template is well-formed");
        Self { bar: bars.add(ProgressBar::new(steps).with_style(style)) }
    }

    fn show(&self, p: &Progress) {
        let metrics: Vec<String> =
            p.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        let text = format!("{}, {} left", metrics.join(", "), HumanDuration(p.left));
        if self.bar.is_hidden() {
            eprintln!("step {} of {}: {text}", p.step, p.steps);
        } else {
            self.bar.set_position(p.step);
            self.bar.set_message(text);
        }
    }
}
