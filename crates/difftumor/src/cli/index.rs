//! `difftumor index`.
use super::annotation::AnnotationArguments;
use super::print;
use clap::ValueEnum;
use difftumor::dataset::Dataset;
use difftumor::index::{self, Stage, Status};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Tumors to keep: early ones (radius up to 10 mm) or later ones; the others become organ
    #[arg(long)]
    stage: StageName,
    /// A table of cases with the columns id, ct and labels (comma-separated; paths relative to the table)
    #[arg(long, value_name = "CSV")]
    cases: PathBuf,
    #[command(flatten)]
    annotation: AnnotationArguments,
    /// Folder for the new labels and their table
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StageName {
    Early,
    Late,
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    let annotation = a.annotation.parse()?;
    let stage = match a.stage {
        StageName::Early => Stage::Early,
        StageName::Late => Stage::Late,
    };
    let dataset = Dataset::table(&a.cases)?;
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
            a.cases.display(),
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
