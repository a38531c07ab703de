//! What can go wrong with a user's data. Every message names the file (or the thing), what was expected,
//! what was found and what to do about it.
use std::path::{Path, PathBuf};

/// Result of everything in this crate that touches a user's data.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error about a user's data. A programmer's mistake (two arrays of different shape) is an `assert!` instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb: "read", "write", "create".
        action: &'static str,
        /// The system's own words.
        source: std::io::Error,
    },
    /// A file's content is not what its format promises.
    #[error("{}: {what}: expected {expected}, found {found}; {hint}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The field or part that is wrong.
        what: String,
        /// What a good file holds there.
        expected: String,
        /// What this file holds there.
        found: String,
        /// What the user can do.
        hint: String,
    },
    /// Two images that must lie on one grid do not.
    #[error(
        "{a} and {b} do not lie on the same grid: {difference}; resample one onto the other's grid first"
    )]
    GridMismatch {
        /// The image that sets the grid.
        a: String,
        /// The image that deviates.
        b: String,
        /// By how much, in voxels and mm.
        difference: String,
    },
    /// A label map does not hold what was asked for, or more than one thing that fits.
    #[error("{source_name}: organ '{organ}': {problem}; it holds {holds}")]
    Label {
        /// The label file or folder.
        source_name: String,
        /// The organ as the user wrote it.
        organ: String,
        /// Why it could not be settled.
        problem: String,
        /// What the file does hold.
        holds: String,
    },
    /// There is no place for a tumor.
    #[error("no tumor can be placed in the {organ}: {reason}; {hint}")]
    Placement {
        /// The organ's name.
        organ: String,
        /// Why, with the number that forced it.
        reason: String,
        /// What the user can do.
        hint: String,
    },
    /// A region of interest cannot be measured.
    #[error("the region of interest cannot be measured: {problem}; {hint}")]
    Region {
        /// Why, with the number that forced it.
        problem: String,
        /// What the user can do.
        hint: String,
    },
    /// A value given by the user is outside of what is possible.
    #[error("{what}: expected {expected}, found {found}")]
    Argument {
        /// Which value.
        what: String,
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
    },
}

impl Error {
    /// Wraps an I/O error with the file and what was tried.
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, action, source }
    }
}
