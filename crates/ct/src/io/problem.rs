//! What is wrong with a file, where its name is not at hand.
use crate::error::Error;
use std::fmt::Display;
use std::path::Path;

/// [`Error::Format`] before the file's name is known.
pub(super) struct Problem {
    what: String,
    expected: String,
    found: String,
    hint: String,
}

pub(super) fn problem(
    what: impl Display,
    expected: impl Display,
    found: impl Display,
    hint: impl Display,
) -> Problem {
    Problem {
        what: what.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
        hint: hint.to_string(),
    }
}

impl Problem {
    /// The error of the file or folder `path`.
    pub(super) fn of(self, path: &Path) -> Error {
        let Self { what, expected, found, hint } = self;
        Error::Format { path: path.to_path_buf(), what, expected, found, hint }
    }
}
