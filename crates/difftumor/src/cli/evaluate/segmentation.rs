//! `difftumor evaluate segmentation`.
use crate::cli::{BadArguments, bad, print};
use clap::ValueEnum;
use difftumor::dataset::Dataset;
use difftumor::dataset::metadata::Metadata;
use difftumor::evaluate::segmentation::{self, Evaluation, Files, MaskMeans, Mean, Options, Patients, Share};
use difftumor_ct::components::Connectivity;
use difftumor_ct::label::OrganSpec;
use difftumor_ct::metrics::bootstrap::Bootstrap;
use difftumor_ct::metrics::detection::{DetectionOptions, FoundRule, StageDiameter};
use difftumor_ct::metrics::interval::Interval;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A table of cases with the columns id, ct and labels, the truth (comma-separated; paths relative to the table)
    #[arg(long, value_name = "CSV")]
    cases: PathBuf,
    /// Folder of predictions: ID/labels.nii.gz as `segment` writes them, ID.nii.gz or ID.nii; for one case also labels.nii.gz
    #[arg(long, value_name = "DIR")]
    predictions: PathBuf,
    /// The organ with its tumors in the truth: liver=1:tumor=2, or its name where the label files name their values
    #[arg(long, value_name = "NAME[=VALUE:tumor=VALUE]")]
    organ: String,
    /// What the values of predictions mean
    #[arg(long, value_name = "NAME=VALUE:tumor=VALUE", default_value = "organ=1:tumor=2")]
    predicted: String,
    /// Output folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace the figures that are in the output folder
    #[arg(long)]
    force: bool,
    /// Count predicted tumors outside of the true organ too. The published rule, and the default, is to drop them
    #[arg(long)]
    anywhere: bool,
    /// Bring predictions on another grid to that of the truth, by the nearest voxel; otherwise such a case fails
    #[arg(long)]
    resample: bool,
    /// Surfaces this near to each other are equal for NSD
    #[arg(long, value_name = "MM", default_value_t = 2.0)]
    tolerance_mm: f64,
    /// When a tumor is found: any (a voxel of it is predicted), iou:X or dice:X (with all findings that touch it, at least X),
    /// centroid (that of a finding lies in it)
    #[arg(long, value_name = "RULE", default_value = "any", value_parser = found_rule)]
    found: FoundRule,
    /// Also detect tumors at each of twenty thresholds of the probability of tumor, ID/tumor_probability.nii.gz as `segment
    /// --probabilities` writes it: the FROC curve
    #[arg(long)]
    froc: bool,
    /// A table of what is known of the patients: the column id, and any others (age, sex, site, …), by which figures are grouped
    #[arg(long, value_name = "CSV")]
    metadata: Option<PathBuf>,
    /// Group by these columns alone
    #[arg(long, value_name = "COLUMN", requires = "metadata", num_args = 1..)]
    by: Vec<String>,
    /// Which diameter tells a tumor's stage
    #[arg(long, default_value = "sphere")]
    stage_diameter: DiameterName,
    /// Voxels of one tumor, and of one finding, share
    #[arg(long, default_value = "corners")]
    connectivity: ConnectivityName,
    /// Samples of patients from which limits of means and of shares of tumors are taken
    #[arg(long, value_name = "N", default_value_t = Bootstrap::default().samples as u32, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    bootstrap: u32,
    /// The samples follow from it
    #[arg(long, default_value_t = Bootstrap::default().seed)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DiameterName {
    /// That of the ball of the same volume
    Sphere,
    /// The longest within one slice
    Axial,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ConnectivityName {
    /// A face, an edge or a corner (26 neighbours)
    Corners,
    /// A face (6 neighbours), as the authors' lists of early tumors
    Faces,
}

fn found_rule(text: &str) -> Result<FoundRule, String> {
    let bad = || "expected any, iou:X, dice:X or centroid, X from 0 to 1".to_string();
    let threshold = |x: &str| x.parse::<f64>().map_err(|_| bad());
    let rule = match text.split_once(':') {
        None if text == "any" => FoundRule::AnyOverlap,
        None if text == "centroid" => FoundRule::Centroid,
        Some(("iou", x)) => FoundRule::Iou(threshold(x)?),
        Some(("dice", x)) => FoundRule::Dice(threshold(x)?),
        _ => return Err(bad()),
    };
    rule.check().map_err(|e| e.to_string())?;
    Ok(rule)
}

impl Arguments {
    fn options(&self) -> Result<Options, BadArguments> {
        let detection = DetectionOptions {
            connectivity: match self.connectivity {
                ConnectivityName::Corners => Connectivity::Corners,
                ConnectivityName::Faces => Connectivity::Faces,
            },
            rule: self.found,
            stage_diameter: match self.stage_diameter {
                DiameterName::Sphere => StageDiameter::EquivalentSphere,
                DiameterName::Axial => StageDiameter::LongestAxial,
            },
        };
        let options = Options {
            organ: self.organ.parse::<OrganSpec>().map_err(bad)?,
            predicted: self.predicted.parse::<OrganSpec>().map_err(bad)?,
            anywhere: self.anywhere,
            resample: self.resample,
            tolerance_mm: self.tolerance_mm,
            detection,
            bootstrap: Bootstrap { samples: self.bootstrap as usize, seed: self.seed },
            froc: self.froc,
        };
        options.check().map_err(bad)?;
        Ok(options)
    }
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    let options = a.options()?;
    let dataset = Dataset::table(&a.cases)?;
    let files = Files { predictions: a.predictions.clone(), out: a.out.clone(), replace: a.force };
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} cases, {eta} left").expect("a template");
    let bar = bars.add(ProgressBar::new(dataset.cases.len() as u64).with_style(style));
    let metadata = a.metadata.as_deref().map(Metadata::read).transpose()?;
    let patients = Patients { metadata, by: a.by.clone() };
    for column in &patients.by {
        patients.metadata.iter().try_for_each(|table| table.column(column).map(|_| ()))?;
    }
    let evaluation = segmentation::run(&dataset, &files, &options, &patients, &|case| {
        tracing::info!("{}: {}", case.case, case.message.as_deref().unwrap_or("measured"));
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    notes(&evaluation, a);
    print(&table(&evaluation))?;
    Ok(if evaluation.summary.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Failed cases, and what looks wrong, on stderr.
fn notes(evaluation: &Evaluation, a: &Arguments) {
    for case in &evaluation.cases {
        if let Some(message) = &case.message {
            eprintln!("failed: {}: {message}", case.case);
        }
    }
    let some = |what: &str, names: &[String]| {
        if !names.is_empty() {
            let more = names.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let named = names[..names.len().min(NAMED)].join(", ");
            eprintln!("note: {what}: {named}{more}");
        }
    };
    some(&format!("predictions without a case in {}", a.cases.display()), &evaluation.without_case);
    if let Some(groups) = &evaluation.groups {
        some(
            "cases without a row in the metadata, which are grouped as not given",
            &groups.cases_without_row,
        );
        some("rows of the metadata without a case", &groups.rows_without_case);
        for (column, reason) in &groups.unused {
            eprintln!("note: the column '{column}' makes no groups: {reason}");
        }
    }
    if evaluation.summary.cases > 0 && evaluation.summary.cases_with_tumors == 0 {
        eprintln!("note: no truth has a tumor; is its value in --organ ({})?", a.organ);
    }
}

/// Cases of a kind that are named.
const NAMED: usize = 20;

fn table(evaluation: &Evaluation) -> String {
    let s = &evaluation.summary;
    let failed = if s.failed > 0 { format!(", {} failed", s.failed) } else { String::new() };
    // DSC and NSD are over the same cases.
    let masks = |m: &MaskMeans| {
        let (surfaces, distance) = (mean(&m.nsd, 3), mean(&m.hd95_mm, 1));
        let [all, finite] = [m.dsc.cases, m.hd95_mm.cases];
        format!("DSC {}, NSD {surfaces}, {all} cases; HD95 {distance} mm, {finite} cases", mean(&m.dsc, 3))
    };
    let mut lines = vec![
        ("cases", format!("{}, {} with tumors{failed}", s.cases, s.cases_with_tumors)),
        ("organ", masks(&s.organ)),
        ("tumors", masks(&s.tumor)),
        ("found", share(&s.found.all)),
    ];
    let stages: Vec<(String, String)> =
        s.found.by_stage.iter().map(|(stage, of)| (stage.name().replace('_', " "), share(of))).collect();
    lines.extend(stages.iter().map(|(name, text)| (name.as_str(), text.clone())));
    lines.extend([
        ("sensitivity", format!("{} patients", share(&s.patients.sensitivity))),
        ("specificity", format!("{} patients", share(&s.patients.specificity))),
        ("false positives", format!("{} per scan", mean(&s.false_positives_per_scan, 2))),
    ]);
    let line = |(name, text): &(&str, String)| format!("{name:<16} {text}\n");
    let title = "means and shares with 95 % limits\n".to_string();
    title + &lines.iter().map(line).collect::<String>()
}

fn mean(m: &Mean, digits: usize) -> String {
    let value = m.mean.map_or("-".into(), |v| format!("{v:.digits$}"));
    format!("{value}{}", limits(m.interval.as_ref(), digits))
}

fn share(s: &Share) -> String {
    format!("{} of {}{}", s.part, s.whole, limits(s.interval.as_ref(), 2))
}

fn limits(interval: Option<&Interval>, digits: usize) -> String {
    interval.map_or(String::new(), |i| format!(" ({:.digits$} to {:.digits$})", i.low, i.high))
}
