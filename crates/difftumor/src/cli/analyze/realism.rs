//! `difftumor analyze realism`.
use crate::cli::annotation::AnnotationArguments;
use crate::cli::print;
use difftumor::analyze::realism::{Report, realism};
use difftumor::analyze::sheet::Sheet;
use difftumor::dataset::Dataset;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A table of cases with the columns id, ct and labels (comma-separated; paths relative to the table)
    #[arg(long, value_name = "CSV")]
    cases: PathBuf,
    #[command(flatten)]
    annotation: AnnotationArguments,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write a contact sheet of the first tumors (PNG)
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Tumors on the contact sheet at most
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=400))]
    sheet_tumors: u16,
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    let annotation = a.annotation.parse()?;
    let dataset = Dataset::table(&a.cases)?;
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} cases, {eta} left").expect("a template");
    let bar = bars.add(ProgressBar::new(dataset.cases.len() as u64).with_style(style));
    let mut sheet = a.sheet.as_ref().map(|_| Sheet::new(a.sheet_tumors.into()));
    let report = realism(&dataset, &annotation, sheet.as_mut(), &|_| bar.inc(1))?;
    bar.finish_and_clear();
    if let (Some(sheet), Some(path)) = (&sheet, &a.sheet) {
        sheet.write(path)?;
    }
    if let Some(path) = &a.report {
        report.write(path)?;
    }
    summarise(&report)?;
    if report.tumors.is_empty() {
        anyhow::bail!("{}: no tumor of at least 8 voxels", a.cases.display());
    }
    Ok(if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line for each figure on stdout; failed cases on stderr.
fn summarise(report: &Report) -> anyhow::Result<()> {
    for (case, message) in &report.failed {
        eprintln!("failed: {case}: {message}");
    }
    for case in &report.without_tumor {
        eprintln!("without a tumor of at least 8 voxels: {case}");
    }
    let mut text = format!("{} tumors; median (5 to 95 %)\n", report.tumors.len());
    for (name, r) in &report.ranges {
        text += &format!("{name:<26} {:>7.2} ({:.2} to {:.2}), {} tumors\n", r.median, r.low, r.high, r.n);
    }
    print(&text)
}
