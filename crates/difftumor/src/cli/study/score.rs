//! `difftumor study score`.
use crate::cli::print;
use difftumor::study::{Scored, score};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The study's folder
    #[arg(value_name = "STUDY")]
    study: PathBuf,
    /// The truth, of `study make`
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where answers are kept [default: answers.sqlite in the study's folder]
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Output folder: scores.json, scores.csv, report.html
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace what is in the output folder
    #[arg(long)]
    force: bool,
}

pub fn run(a: &Arguments) -> anyhow::Result<ExitCode> {
    let Scored { summary, answers, unanswered } =
        score(&a.study, &a.key, a.answers.as_deref(), &a.out, a.force)?;
    print(&format!("{summary}{answers} answers; {unanswered} tumors not answered\n"))?;
    Ok(ExitCode::SUCCESS)
}
