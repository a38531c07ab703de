//! `difftumor train segmentation`.
use super::super::{BadArguments, argument, bad, print};
use super::{Bar, Common, finish};
use difftumor::dataset::{CaseSource, Dataset, lists, splits::Splits};
use difftumor::run::shipped;
use difftumor::segmentation::train::{
    self as segmentation, Dealt, FoldData, FoldScores, LabelledCase, PaintedBy, SegmentationData,
    SegmentationTraining,
};
use difftumor::synthesis::{DiffusionModel, Generator};
use difftumor::train::{TrainingPlace, settings};
use difftumor_ct::label::OrganSpec;
use indicatif::MultiProgress;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("input").required(true).multiple(true).args(["cases", "healthy", "splits"]))]
pub struct Arguments {
    /// Annotated cases; no synthetic tumor is put there. Tables with the columns id, ct, labels and maybe patient, or published
    /// lists (.txt: a scan and its labels in each line)
    #[arg(long, value_name = "CSV|TXT", num_args = 1..)]
    cases: Vec<PathBuf>,
    /// The same of healthy cases, whose crops get synthetic tumors
    #[arg(long, value_name = "CSV|TXT", num_args = 1..)]
    healthy: Vec<PathBuf>,
    /// The same of annotated cases to measure on, which are never trained on
    #[arg(long, value_name = "CSV|TXT", num_args = 1..)]
    validate: Vec<PathBuf>,
    /// Folder that the paths in published lists start at [default: each list's own]
    #[arg(long, value_name = "FOLDER")]
    data_root: Option<PathBuf>,
    /// Cross-validation with this many folds of the annotated cases, dealt by patient; --out gets a Run fold-0, fold-1, … for each
    #[arg(long, value_name = "N", requires = "cases", conflicts_with_all = ["splits", "validate"])]
    folds: Option<usize>,
    /// Cross-validation with folds that are there: nnU-Net's splits_final.json, or a folder of published lists
    /// (real_tumor_train_0.txt, real_tumor_val_0.txt, …), which need no --cases
    #[arg(long, value_name = "FILE|FOLDER", conflicts_with = "validate")]
    splits: Option<PathBuf>,
    /// Of a cross-validation these folds only, from 0
    #[arg(long = "fold", value_name = "K", num_args = 1..)]
    only: Vec<usize>,
    /// The organ with its tumors: liver=1:tumor=2, or its name where the label files name their values
    #[arg(long, value_name = "NAME[=VALUE:tumor=VALUE]")]
    organ: String,
    /// The organ in the label files of healthy cases, where it has another value there
    #[arg(long, value_name = "NAME[=VALUE]", requires = "healthy")]
    healthy_organ: Option<String>,
    /// Take values that --organ does not name for background; otherwise an annotated case with such ones is left out
    #[arg(long)]
    other_labels: bool,
    /// Run of a diffusion model that paints the synthetic tumors; twice for one of early and one of larger tumors [default: those
    /// that ship with the program]. `--set synthesis.method=handcrafted` needs none, `--set synthesis.share=0` paints none
    #[arg(long = "model", value_name = "RUN", num_args = 1..)]
    models: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    let settings: SegmentationTraining =
        settings::read(a.common.config.as_deref(), &a.common.set).map_err(bad)?;
    settings.check().map_err(bad)?;
    let place = a.common.place()?;
    let organs = a.organs()?;
    if a.folds.is_none() && a.splits.is_none() && !a.only.is_empty() {
        return Err(argument("--fold", "none without --folds or --splits", format!("{:?}", a.only)).into());
    }
    let painter = a.painter(&settings, &place)?;
    let (dealt, annotated) = a.annotated()?;
    let labelled = |sources: Vec<CaseSource>, organ: &OrganSpec, healthy: bool| {
        let other_labels = a.other_labels;
        let case = |source| LabelledCase { source, organ: organ.clone(), healthy, other_labels };
        sources.into_iter().map(case).collect::<Vec<_>>()
    };
    let mut cases = labelled(annotated, &organs.annotated, false);
    cases.extend(labelled(a.read(&a.healthy)?, &organs.healthy, true));
    let bar = Bar::new(settings.steps, bars);
    if let Some(dealt) = dealt {
        let data = FoldData { cases, dealt, generator: painter, only: a.only.clone() };
        let scores =
            segmentation::cross_validate(&place, &settings, data, &|fold, p| bar.show_fold(fold, p))?;
        bar.finish();
        return told(&scores, &place.run);
    }
    let validation = labelled(a.read(&a.validate)?, &organs.annotated, false);
    let data = SegmentationData { cases, validation, generator: painter()? };
    let run = segmentation::train(&place, &settings, data, &|p| bar.show(p))?;
    bar.finish();
    finish(run.dir(), settings.steps)
}

/// The organ in annotated and in healthy cases.
struct Organs {
    annotated: OrganSpec,
    healthy: OrganSpec,
}

/// Opens what paints tumors.
type Painter = Box<dyn Fn() -> difftumor::Result<Option<Generator>>>;

impl Arguments {
    fn organs(&self) -> Result<Organs, BadArguments> {
        let annotated: OrganSpec = self.organ.parse().map_err(bad)?;
        let healthy = match &self.healthy_organ {
            Some(text) => text.parse().map_err(bad)?,
            None => annotated.clone(),
        };
        Ok(Organs { annotated, healthy })
    }

    /// Annotated cases, and how they become folds.
    fn annotated(&self) -> anyhow::Result<(Option<Dealt>, Vec<CaseSource>)> {
        let cases = self.read(&self.cases)?;
        Ok(match (&self.splits, self.folds) {
            (Some(folder), _) if folder.is_dir() => {
                if !cases.is_empty() {
                    let found = "--cases beside them";
                    return Err(argument("--splits", "published lists, which name all cases", found).into());
                }
                let (splits, cases) = Splits::lists(folder, self.data_root.as_deref())?;
                (Some(Dealt::As(splits)), cases)
            }
            (Some(file), _) if cases.is_empty() => {
                return Err(argument("--splits", "--cases, whose ids the file names", file.display()).into());
            }
            (Some(file), _) => (Some(Dealt::As(Splits::read(file)?)), cases),
            (None, folds) => (folds.map(Dealt::Into), cases),
        })
    }

    fn read(&self, files: &[PathBuf]) -> difftumor::Result<Vec<CaseSource>> {
        let mut all = vec![];
        for file in files {
            match lists::is_list(file) {
                true => all.extend(lists::read(file, self.data_root.as_deref())?),
                false => all.extend(Dataset::table(file)?.cases),
            }
        }
        Ok(all)
    }

    fn painter(&self, settings: &SegmentationTraining, place: &TrainingPlace) -> anyhow::Result<Painter> {
        let paints = !self.healthy.is_empty() && settings.synthesis.share > 0.0;
        let diffuses = paints && settings.synthesis.method == PaintedBy::Diffusion;
        if !diffuses && !self.models.is_empty() {
            let expected = "none: no diffusion model paints here";
            return Err(argument("--model", expected, self.models.len()).into());
        }
        let models = if self.models.is_empty() { shipped::synthesis() } else { self.models.clone() };
        let device = place.device.clone();
        Ok(Box::new(move || match (paints, diffuses) {
            (true, true) => {
                let open = |dir: &PathBuf| DiffusionModel::open(dir, &device);
                Ok(Some(Generator::Diffusion(models.iter().map(open).collect::<difftumor::Result<_>>()?)))
            }
            (true, false) => Ok(Some(Generator::Handcrafted)),
            (false, _) => Ok(None),
        }))
    }
}

/// A line for each fold that is done, and one for all.
fn told(scores: &FoldScores, out: &Path) -> anyhow::Result<ExitCode> {
    for fold in &scores.folds {
        let of = |score: Option<(u64, f64)>| {
            score.map_or("not there".into(), |(step, dsc)| format!("{dsc:.4} after step {step}"))
        };
        print(&format!(
            "fold {} ({} cases): tumor DSC {}; best {}\n",
            fold.fold,
            fold.validation_cases,
            of(fold.last),
            of(fold.best)
        ))?;
    }
    let mean = scores.tumor_dsc.map_or("no fold is done".into(), |(mean, spread)| {
        let spread = spread.map_or(String::new(), |s| format!(" ± {s:.4} (standard deviation)"));
        format!("mean tumor DSC {mean:.4}{spread}")
    });
    print(&format!("{mean}; {} holds the folds' Runs\n", out.display()))?;
    Ok(ExitCode::SUCCESS)
}
