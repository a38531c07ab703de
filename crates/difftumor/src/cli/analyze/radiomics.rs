//! `difftumor analyze radiomics`.
use crate::cli::annotation::AnnotationArguments;
use crate::cli::{argument, print};
use anyhow::Context;
use difftumor::analyze::radiomics::{Grouping, dataset, one};
use difftumor::dataset::Dataset;
use difftumor_ct::radiomics::{Features, Settings, params};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("input").required(true).args(["ct", "cases"]))]
pub struct Arguments {
    /// A scan or any other image
    #[arg(long, value_name = "FILE", requires = "mask")]
    ct: Option<PathBuf>,
    /// Its labels; the region is the label of the settings, 1 unless they say otherwise
    #[arg(long, value_name = "FILE", requires = "ct")]
    mask: Option<PathBuf>,
    /// A table of cases with the columns id, ct and labels (comma-separated; paths relative to the table); every tumor is a region
    #[arg(long, value_name = "CSV", requires = "out")]
    cases: Option<PathBuf>,
    /// The organ with its tumors: liver=1:tumor=2, or its name where the label files name their values
    #[arg(long, value_name = "NAME[=VALUE:tumor=VALUE]", conflicts_with = "ct")]
    organ: Option<String>,
    /// For labels that know no organ: a name for the tumor, and its values where a file has several
    #[arg(long, value_name = "NAME[=VALUE]", conflicts_with_all = ["ct", "organ"])]
    tumor: Option<String>,
    /// A parameter file of PyRadiomics (YAML or JSON)
    #[arg(long, value_name = "FILE")]
    parameters: Option<PathBuf>,
    /// Which features, where the parameter file names none: all, or the paper's 91
    #[arg(long, default_value = "all", conflicts_with = "parameters")]
    features: FeatureSet,
    /// Write the features of the one region as JSON
    #[arg(long, value_name = "FILE", conflicts_with = "cases")]
    report: Option<PathBuf>,
    /// Table of all tumors to write (id, group, patient, stage, features)
    #[arg(long, value_name = "CSV", conflicts_with = "ct")]
    out: Option<PathBuf>,
    /// What these tumors are called in the table's column `group` [default: the organ's or tumor's name]
    #[arg(long, value_name = "NAME", conflicts_with = "ct")]
    group: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FeatureSet {
    /// Shape, first order, GLCM, GLRLM, GLSZM, NGTDM, GLDM
    All,
    /// Shape with two deprecated ones, GLCM, GLRLM, GLSZM, NGTDM, GLDM
    Paper,
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    let settings = match (&a.parameters, a.features) {
        (Some(path), _) => params::read(path)?,
        (None, FeatureSet::All) => Settings::default(),
        (None, FeatureSet::Paper) => Settings::paper(),
    };
    match (&a.ct, &a.mask, &a.cases) {
        (Some(ct), Some(mask), _) => single(a, &one(ct, mask, &settings)?),
        (.., Some(cases)) => batch(a, cases, &settings, bars),
        _ => unreachable!("one of the two is required"),
    }
}

fn single(a: &Arguments, features: &Features) -> anyhow::Result<ExitCode> {
    match &a.report {
        Some(path) => difftumor::analyze::radiomics::write(path, features)?,
        None => {
            let line = |(name, value): (&str, f64)| format!("{name:<54} {value:.6}\n");
            print(&features.iter().map(line).collect::<String>())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn batch(
    a: &Arguments,
    cases: &std::path::Path,
    settings: &Settings,
    bars: &MultiProgress,
) -> anyhow::Result<ExitCode> {
    if a.organ.is_none() && a.tumor.is_none() {
        let expected = "the organ with its tumors, as in liver=1:tumor=2, or --tumor";
        return Err(argument("--organ", expected, "none").into());
    }
    let annotation = AnnotationArguments { organ: a.organ.clone(), tumor: a.tumor.clone() }.parse()?;
    let cases = Dataset::table(cases)?;
    let group = a.group.clone().unwrap_or_else(|| annotation.name().to_string());
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} cases, {eta} left").expect("a template");
    let bar = bars.add(ProgressBar::new(cases.cases.len() as u64).with_style(style));
    let found = dataset(&cases, &annotation, settings, &Grouping { group }, &|_| bar.inc(1))?;
    bar.finish_and_clear();
    for left_out in &found.left_out {
        eprintln!("left out: {}: {}", left_out.id, left_out.reason);
    }
    let table = found.table.context("no tumor could be measured")?;
    let out = a.out.as_ref().expect("required with --cases");
    table.write_csv(out)?;
    print(&format!(
        "{} tumors with {} features in {}\n",
        table.tumors().len(),
        table.columns().len(),
        out.display()
    ))?;
    Ok(if found.left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
