//! `difftumor export`.
use super::print;
use difftumor::export::{ExportOptions, export};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run directory of a model
    run: PathBuf,
    /// The Run directory to write
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Terms of use, in place of those that the Run names
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// Replace an existing Run
    #[arg(long)]
    force: bool,
}

pub fn run(a: &Arguments) -> anyhow::Result<ExitCode> {
    let options = ExportOptions { licence: a.licence.clone(), force: a.force };
    let run = export(&a.run, &a.out, &options)?;
    let manifest = run.manifest();
    print(&format!(
        "{}: {} in half precision, {}\n",
        run.dir().display(),
        manifest.model.kind(),
        manifest.licence
    ))?;
    Ok(ExitCode::SUCCESS)
}
