//! `difftumor view`.
use super::print;
use difftumor::serving::Serving;
use difftumor_study::view::{Server, ViewOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The output folder of `synthesize`, one output in it, or a scan (.nii, .nii.gz, .nrrd, or the folder of a DICOM series)
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Labels of the scan
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Address and port, where port 0 is any that is free; on a network (0.0.0.0:8080), scans pass without encryption
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = ViewOptions::default().listen)]
    listen: SocketAddr,
}

pub fn run(a: &Arguments) -> anyhow::Result<ExitCode> {
    let options = ViewOptions { path: a.path.clone(), labels: a.labels.clone(), listen: a.listen };
    let server = Server::open(&options)?;
    let text = format!("open {} in a browser; stop with Ctrl-C\n", server.link());
    let serving = Serving::start(|told| server.run_until(told))?;
    print(&text)?;
    serving.until_told()?;
    Ok(ExitCode::SUCCESS)
}
