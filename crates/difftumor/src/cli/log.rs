//! Messages on stderr, above any progress bar.
use indicatif::MultiProgress;
use std::io::{self, Write};
use tracing::level_filters::LevelFilter;

/// Levels of 0, 1, 2 and more `-v`.
const LEVELS: [LevelFilter; 3] = [LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG];

/// Sends `tracing`'s events to stderr.
pub fn start(verbose: u8, bars: &MultiProgress) {
    let level = LEVELS[usize::from(verbose).min(LEVELS.len() - 1)];
    let bars = bars.clone();
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .without_time()
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_writer(move || AboveBars(bars.clone()))
        .init();
}

/// Stderr, with the bars taken away while a line is written.
struct AboveBars(MultiProgress);

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
