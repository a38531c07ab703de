//! The command line: what the user writes, turned into calls of the library.
mod analyze;
mod annotation;
mod evaluate;
mod export;
mod import;
mod index;
mod info;
mod log;
mod segment;
mod study;
mod synthesize;
mod train;
mod view;

use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;

/// Tumor synthesis in CT.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
pub struct Arguments {
    /// Tell more on stderr: -v what is done, -vv details
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put tumors into one scan or a whole dataset
    Synthesize(Box<synthesize::Arguments>),
    /// Find the organ and its tumors in scans
    Segment(segment::Arguments),
    /// Train a model: autoencoder, diffusion
    Train(train::Arguments),
    /// Measure a model on scans that it never saw: autoencoder, segmentation
    Evaluate(evaluate::Arguments),
    /// Tell what tumors look like, real or synthetic ones: realism
    Analyze(analyze::Arguments),
    /// Reader studies in the browser: make, serve, score
    Study(study::Arguments),
    /// Look at scans and at outputs of synthesize in the browser; accept or reject them
    View(view::Arguments),
    /// Prepare labels for the training of diffusion models: early or later tumors
    Index(index::Arguments),
    /// Turn a published checkpoint into a Run directory
    Import(import::Arguments),
    /// Write a Run for passing on: weights in half precision, nothing of its training
    Export(export::Arguments),
    /// Tell what this build can do, or what a Run holds
    Info(info::Arguments),
}

/// The arguments cannot be met as they are: exit code 2, as clap's own.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BadArguments(#[from] difftumor::Error);

/// Runs a command.
///
/// # Errors
/// [`BadArguments`], or what made the command fail.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let bars = indicatif::MultiProgress::new();
    log::start(arguments.verbose, &bars);
    match arguments.command {
        Command::Synthesize(a) => synthesize::run(&a, &bars),
        Command::Segment(a) => segment::run(&a, &bars),
        Command::Train(a) => train::run(&a, &bars),
        Command::Evaluate(a) => evaluate::run(&a, &bars),
        Command::Analyze(a) => analyze::run(&a, &bars),
        Command::Study(a) => study::run(&a),
        Command::View(a) => view::run(&a),
        Command::Index(a) => index::run(&a, &bars),
        Command::Import(a) => import::run(&a),
        Command::Export(a) => export::run(&a),
        Command::Info(a) => info::run(&a),
    }
}

/// For errors about what the user wrote, and not about files.
fn bad<E: Into<difftumor::Error>>(error: E) -> BadArguments {
    BadArguments(error.into())
}

/// An argument error in the library's own form.
fn argument(what: &str, expected: &str, found: impl ToString) -> BadArguments {
    let (what, expected, found) = (what.into(), expected.into(), found.to_string());
    bad(difftumor_ct::Error::Argument { what, expected, found })
}

/// Writes to stdout. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}
