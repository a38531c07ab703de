//! `difftumor analyze realism`.
use crate::cli::annotation::AnnotationArguments;
use crate::cli::print;
use difftumor::analyze::realism::{Drawn, Report, ranges_of, realism};
use difftumor::analyze::sheet::{Pictures, Sheet};
use difftumor::dataset::Dataset;
use difftumor::index::Annotation;
use difftumor_ct::realism::Gate;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A table of cases with the columns id, ct and labels (comma-separated; paths relative to the table). Scans that were made with
    /// `synthesize --pair` are also compared with the healthy copies beside them
    #[arg(long, value_name = "CSV")]
    cases: PathBuf,
    #[command(flatten)]
    annotation: AnnotationArguments,
    /// Judge by these real tumors and not by the ranges that come with the program: a table of cases with the same --organ or --tumor,
    /// or what --write-ranges wrote
    #[arg(long = "match", value_name = "CSV|JSON")]
    real: Option<PathBuf>,
    /// Write the ranges of these tumors, for --match here and in synthesize
    #[arg(long, value_name = "FILE")]
    write_ranges: Option<PathBuf>,
    /// Write all figures and verdicts as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write figures, verdicts and pictures as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a contact sheet of the first tumors (PNG)
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Tumors with pictures, on the sheet and on the page, at most
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=400))]
    sheet_tumors: u16,
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    let annotation = a.annotation.parse()?;
    let dataset = Dataset::table(&a.cases)?;
    let gate = gate(a.real.as_deref(), &annotation)?;
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} cases, {eta} left").expect("a template");
    let bar = bars.add(ProgressBar::new(dataset.cases.len() as u64).with_style(style));
    let most = usize::from(a.sheet_tumors);
    let (mut sheet, mut pictures) = (a.sheet.as_ref().map(|_| Sheet::new(most)), Pictures::new(most));
    let drawn = Drawn { sheet: sheet.as_mut(), pictures: a.html.as_ref().map(|_| &mut pictures) };
    let report = realism(&dataset, &annotation, &gate, drawn, &|_| bar.inc(1))?;
    bar.finish_and_clear();
    if let (Some(sheet), Some(path)) = (&sheet, &a.sheet) {
        sheet.write(path)?;
    }
    if let Some(path) = &a.report {
        report.write(path)?;
    }
    if let Some(path) = &a.html {
        report.write_page(&gate, &pictures, path)?;
    }
    summarise(&report)?;
    if report.tumors.is_empty() {
        anyhow::bail!("{}: no tumor of at least 8 voxels", a.cases.display());
    }
    if let Some(path) = &a.write_ranges {
        report.gate(&name(&a.cases))?.write(path)?;
    }
    Ok(if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What tumors are judged by.
fn gate(real: Option<&Path>, annotation: &Annotation) -> anyhow::Result<Gate> {
    let Some(real) = real else { return Ok(Gate::built_in()) };
    if real.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
        return Ok(Gate::read(real)?);
    }
    let (gate, failed) = ranges_of(&Dataset::table(real)?, annotation, &name(real))?;
    match failed.first() {
        None => Ok(gate),
        // Ranges of the other tumors would not be those that were asked for.
        Some((case, why)) => anyhow::bail!("{}: {case}: {why}", real.display()),
    }
}

/// A source's name in reports.
fn name(table: &Path) -> String {
    table.file_name().unwrap_or(table.as_os_str()).to_string_lossy().into_owned()
}

/// A line for each figure on stdout; failed cases on stderr.
fn summarise(report: &Report) -> anyhow::Result<()> {
    for (case, message) in &report.failed {
        eprintln!("failed: {case}: {message}");
    }
    for case in &report.without_tumor {
        eprintln!("without a tumor of at least 8 voxels: {case}");
    }
    let g = report.grades;
    let mut text = format!(
        "{} tumors: {} pass, {} with a warning, {} fail\n",
        report.tumors.len(),
        g.pass,
        g.warn,
        g.fail
    );
    for o in &report.objections {
        text += &format!("{:<26} {} failed by it, {} warned\n", o.figure, o.failed, o.warned);
    }
    text += "median (5 to 95 %)\n";
    for (name, r) in &report.ranges {
        text += &format!("{name:<26} {:>7.2} ({:.2} to {:.2}), {} tumors\n", r.median, r.low, r.high, r.n);
    }
    print(&text)
}
