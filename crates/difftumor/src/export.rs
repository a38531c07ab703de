//! Runs for passing on: weights in half precision, and nothing of the training beside them.
use crate::error::Result;
use crate::run::{Precision, Run};
use std::path::Path;

/// What becomes of a Run that is passed on.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// Terms of use in place of those that the Run names.
    pub licence: Option<String>,
    /// Whether a Run that is there is replaced.
    pub force: bool,
}

/// Writes the Run `from` as `out`, its autoencoder inside of it, all weights rounded to f16.
///
/// # Errors
/// When `from` cannot be read, a weight is too large for f16, or `out` cannot be written or is there already.
pub fn export(from: &Path, out: &Path, options: &ExportOptions) -> Result<Run> {
    let mut new = Run::open(from)?.to_new()?;
    if let Some(licence) = &options.licence {
        new.licence.clone_from(licence);
        if let Some(autoencoder) = &mut new.autoencoder {
            autoencoder.licence.clone_from(licence);
        }
    }
    Run::create_as(out, &new, options.force, Precision::F16)
}
