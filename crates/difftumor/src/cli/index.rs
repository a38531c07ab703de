//! `difftumor index`.
mod folder;
mod healthy;

use super::annotation::AnnotationArguments;
use super::{argument, print};
use clap::{ArgGroup, ValueEnum};
use difftumor::dataset::Dataset;
use difftumor::index::folds::deal;
use difftumor::index::{self, Stage, Status};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["folder", "stage", "folds", "select_healthy"]))]
#[command(group = ArgGroup::new("annotation").args(["organ", "tumor"]))]
pub struct Arguments {
    /// Write a table of what a folder holds, in the layout of a public dataset (Decathlon, nnU-Net, KiTS, LiTS, AbdomenAtlas,
    /// TotalSegmentator, published lists) or of plain files and DICOM series: geometry, HU, labels, duplicates
    #[arg(value_name = "FOLDER", conflicts_with_all = ["cases", "organ", "tumor"])]
    folder: Option<PathBuf>,
    /// Prepare labels: tumors to keep, early ones (radius up to 10 mm) or later ones; the others become organ
    #[arg(long, requires = "cases", requires = "annotation")]
    stage: Option<StageName>,
    /// Deal the cases of --cases to N folds by patient: splits_final.json, and tables train_0.csv, val_0.csv, …
    #[arg(long, value_name = "N", requires = "cases", conflicts_with_all = ["organ", "tumor"])]
    folds: Option<usize>,
    /// Which folds, follows from it
    #[arg(long, requires = "folds", default_value_t = 0)]
    seed: u64,
    /// Keep scans in which the segmentation --model finds the organ and no tumor
    #[arg(long, requires = "model", conflicts_with = "tumor")]
    select_healthy: bool,
    /// A table of cases with the columns id, ct and labels (comma-separated; paths relative to the table). --select-healthy needs
    /// labels only with --organ
    #[arg(long, value_name = "CSV")]
    cases: Option<PathBuf>,
    /// The organ with its tumors: liver=1:tumor=2, or its name where the label files name their values. With --select-healthy the
    /// organ in the labels, outside of which nothing counts: liver or liver=1
    #[arg(long, value_name = "NAME[=VALUE:tumor=VALUE]")]
    organ: Option<String>,
    /// For labels that know no organ: a name for the tumor, and its values where a file has several
    #[arg(long, value_name = "NAME[=VALUE]")]
    tumor: Option<String>,
    /// The table of FOLDER; else a folder for the new labels and their table, for the folds, or for the segmentations and their table
    #[arg(long, value_name = "CSV|DIR")]
    out: PathBuf,
    #[command(flatten)]
    healthy: healthy::HealthyArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StageName {
    Early,
    Late,
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &a.folder {
        return folder::run(folder, &a.out, a.healthy.force, bars);
    }
    if let (Some(folds), Some(cases)) = (a.folds, &a.cases) {
        let splits = deal(Dataset::table(cases)?, folds, a.seed, &a.out)?;
        let sizes: Vec<String> =
            splits.0.iter().map(|fold| format!("{}+{}", fold.train.len(), fold.val.len())).collect();
        print(&format!("{folds} folds (train+val): {}; {}\n", sizes.join(" "), a.out.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    match (a.stage, &a.cases) {
        (Some(stage), Some(cases)) => {
            let stage = match stage {
                StageName::Early => Stage::Early,
                StageName::Late => Stage::Late,
            };
            by_stage(a, stage, cases, bars)
        }
        (Some(_), None) => Err(argument("--stage", "--cases", "none").into()),
        (None, _) => healthy::run(a, bars),
    }
}

fn by_stage(a: &Arguments, stage: Stage, cases: &Path, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    let annotation = AnnotationArguments { organ: a.organ.clone(), tumor: a.tumor.clone() }.parse()?;
    let dataset = Dataset::table(cases)?;
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} cases, {eta} left").expect("a template");
    let bar = bars.add(ProgressBar::new(dataset.cases.len() as u64).with_style(style));
    let index = index::index(dataset, &annotation, stage, &a.out, &|case| {
        tracing::info!("{}: {:?}, {} tumors", case.id, case.status, case.tumors.len());
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    for case in &index.cases {
        let reason = case.reason.as_deref().unwrap_or_default();
        match case.status {
            Status::Kept => {}
            Status::LeftOut => eprintln!("left out: {}: {reason}", case.id),
            Status::Failed => eprintln!("failed: {}: {reason}", case.id),
        }
    }
    if index.kept == 0 {
        anyhow::bail!(
            "{}: no case has {} tumors that can be used; nothing was written",
            cases.display(),
            stage.name()
        );
    }
    let tumors = index.cases.iter().flat_map(|c| &c.tumors).filter(|t| t.kept).count();
    print(&format!(
        "{} cases with {tumors} {} tumors, {} left out, {} failed; {}\n",
        index.kept,
        stage.name(),
        index.left_out,
        index.failed,
        a.out.join("cases.csv").display()
    ))?;
    Ok(if index.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
