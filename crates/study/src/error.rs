//! What can go wrong, in words for whoever runs a study.
use std::path::PathBuf;

/// This crate's results.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that names the file, what was expected, what was found, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that cannot be used.
    #[error("{}: {problem}; {hint}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What was expected and what was found.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A value that was given.
    #[error("{what}: expected {expected}, found {found}")]
    Argument {
        /// What was given.
        what: String,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// From scans and masks.
    #[error(transparent)]
    Ct(#[from] difftumor_ct::Error),
}
