//! Short ways to this crate's errors.
use crate::error::Error;
use std::path::Path;

/// A value that was given and cannot be.
pub(crate) fn argument(
    what: impl Into<String>,
    expected: impl Into<String>,
    found: impl std::fmt::Display,
) -> Error {
    Error::Argument { what: what.into(), expected: expected.into(), found: found.to_string() }
}

/// A file that cannot be used.
pub(crate) fn file(path: &Path, problem: impl std::fmt::Display, hint: impl Into<String>) -> Error {
    Error::File { path: path.to_path_buf(), problem: problem.to_string(), hint: hint.into() }
}
