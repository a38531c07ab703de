//! `difftumor study serve`.
use crate::cli::print;
use difftumor::serving::Serving;
use difftumor_study::score::read_links;
use difftumor_study::serve::{ServeOptions, Server};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The study's folder
    #[arg(value_name = "STUDY")]
    study: PathBuf,
    /// Address and port; on a network (0.0.0.0:8080), links and answers pass without encryption
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = ServeOptions::default().listen)]
    listen: SocketAddr,
    /// Where answers are kept [default: answers.sqlite in the study's folder]
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Print each reader's link, from the links' file of `study make`
    #[arg(long, value_name = "FILE")]
    links: Option<PathBuf>,
}

pub fn run(a: &Arguments) -> anyhow::Result<ExitCode> {
    let options = ServeOptions { study: a.study.clone(), answers: a.answers.clone(), listen: a.listen };
    let tokens = a.links.as_ref().map(|path| read_links(path)).transpose()?;
    let server = Server::open(&options)?;
    let mut text = format!("serving {} at http://{}/\n", a.study.display(), server.addr());
    for (reader, token) in tokens.iter().flat_map(|links| &links.tokens) {
        text += &format!("{reader}: http://{}/r/{token}/\n", server.addr());
    }
    let serving = Serving::start(|told| server.run_until(told))?;
    print(&(text + "stop with Ctrl-C\n"))?;
    serving.until_told()?;
    Ok(ExitCode::SUCCESS)
}
