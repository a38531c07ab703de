//! The `difftumor` program: parse, call, exit code; no science.
//!
//! Exit codes: 0 done, 1 failed (also when only some cases of a batch did), 2 bad arguments.
mod cli;

use clap::Parser;
use std::process::ExitCode;

/// So that freed memory is given back when it should be: `difftumor::memory`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let error = match cli::run(cli::Arguments::parse()) {
        Ok(code) => return code,
        Err(error) => error,
    };
    eprintln!("error: {}", chain(&error));
    ExitCode::from(if error.is::<cli::BadArguments>() { 2 } else { 1 })
}

/// The error and its causes, each once: many errors repeat their cause in their own text.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        _ if text.contains(&cause) => text,
        _ => format!("{text}: {cause}"),
    })
}
