//! `difftumor index`.
use super::{BadArguments, argument, bad, print};
use clap::ValueEnum;
use difftumor::dataset::Dataset;
use difftumor::index::{self, Annotation, Stage, Status};
use difftumor_ct::label::OrganSpec;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("annotation").required(true).args(["organ", "tumor"]))]
pub struct Arguments {
    /// Tumors to keep: early ones (radius up to 10 mm) or later ones; the others become organ
    #[arg(long)]
    stage: StageName,
    /// A table of cases with the columns id, ct and labels (comma-separated; paths relative to the table)
    #[arg(long, value_name = "CSV")]
    cases: PathBuf,
    /// The organ with its tumors: liver=1:tumor=2, or its name where the label files name their values
    #[arg(long, value_name = "NAME[=VALUE:tumor=VALUE]")]
    organ: Option<String>,
    /// For labels that know no organ: a name for the tumor, and its values where a file has several
    #[arg(long, value_name = "NAME[=VALUE]")]
    tumor: Option<String>,
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
    let annotation = a.annotation()?;
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

impl Arguments {
    fn annotation(&self) -> Result<Annotation, BadArguments> {
        match (&self.organ, &self.tumor) {
            (Some(text), _) => {
                let spec: OrganSpec = text.parse().map_err(bad)?;
                match &spec.roles {
                    Some(roles) if roles.tumor.is_empty() => {
                        let expected = format!("the tumors' value too, as in {spec}:tumor=2");
                        Err(argument("--organ", &expected, format!("'{text}'")))
                    }
                    _ => Ok(Annotation::Organ(spec)),
                }
            }
            (None, text) => {
                let text = text.as_deref().unwrap_or_default();
                tumor(text).map(Annotation::Tumor).ok_or_else(|| {
                    argument("--tumor", "NAME or NAME=VALUE, as in lesion=1+2", format!("'{text}'"))
                })
            }
        }
    }
}

/// Any name, with or without values.
fn tumor(text: &str) -> Option<OrganSpec> {
    if text.contains('=') {
        let spec: OrganSpec = text.parse().ok()?;
        let alone = spec.roles.as_ref().is_some_and(|r| r.tumor.is_empty() && r.cyst.is_empty());
        return alone.then_some(spec);
    }
    // A name without values need be none of TotalSegmentator's, so it is checked with a value that any name may have.
    let spec: OrganSpec = format!("{text}=1").parse().ok()?;
    Some(OrganSpec { roles: None, ..spec })
}
