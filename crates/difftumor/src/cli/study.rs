//! `difftumor study`: make, serve, score.
use std::process::ExitCode;

mod make;
mod score;
mod serve;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a blinded study of real and synthetic tumors
    Make(make::Arguments),
    /// Let readers answer in their browsers
    Serve(serve::Arguments),
    /// Score the answers against the key
    Score(score::Arguments),
}

pub fn run(a: &Arguments) -> anyhow::Result<ExitCode> {
    match &a.command {
        Command::Make(a) => make::run(a),
        Command::Serve(a) => serve::run(a),
        Command::Score(a) => score::run(a),
    }
}
