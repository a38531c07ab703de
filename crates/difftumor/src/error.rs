//! What can go wrong with models and the files that hold them. What can go wrong with images is
//! [`difftumor_ct::Error`], which this type contains; so does everything that is "a file is not what it should be".
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Result of everything in this crate that touches a user's data.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error about a user's data. A programmer's mistake (two tensors of different shape) is an `assert!` instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder cannot be read or written, or its content is not what its format promises.
    #[error(transparent)]
    Ct(#[from] difftumor_ct::Error),
    /// A reader study cannot be made, served or scored.
    #[error(transparent)]
    Study(Box<difftumor_study::Error>),
    /// The tensors of a file are not those of the architecture.
    #[error("{}: the tensors are not those of the {architecture}:{difference}\n{hint}", path.display())]
    StateDict {
        /// The checkpoint, or the weights of a Run.
        path: PathBuf,
        /// The architecture that was compared with.
        architecture: String,
        /// Every tensor that is missing, unknown, or of the wrong shape.
        difference: Box<Difference>,
        /// What the user can do.
        hint: String,
    },
    /// A Run directory holds another kind of model than is needed.
    #[error("{}: expected a Run of kind '{expected}', found '{found}'; name a Run that holds the {expected}", path.display())]
    RunKind {
        /// The Run directory.
        path: PathBuf,
        /// The kind that is needed.
        expected: &'static str,
        /// The kind that the Run says it is.
        found: &'static str,
    },
    /// A file has changed since its Run was written, or a Run has been paired with another.
    #[error("{}: {what}: expected sha256 {expected}, found {found}; {hint}", path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// What the hash is of.
        what: &'static str,
        /// The recorded hash, in hexadecimal.
        expected: String,
        /// The hash of what is there.
        found: String,
        /// What the user can do.
        hint: &'static str,
    },
    /// The folder that should be written exists and must not be replaced.
    #[error("{}: {problem}", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
        /// Why it cannot be replaced, and what to do.
        problem: &'static str,
    },
    /// An output that is there was made in another way than the one asked for.
    #[error("{}: it was made otherwise: {difference}; name another --out, or replace it with --force", path.display())]
    Settings {
        /// The output's folder.
        path: PathBuf,
        /// Every setting and input that differs, with both values.
        difference: String,
    },
    /// A training goes on only with the settings that it was started with.
    #[error("{}: this training was started with other settings: {difference}; leave them as they were, or name another --out", path.display())]
    Resume {
        /// The settings that it was started with.
        path: PathBuf,
        /// Every setting that differs, with both values.
        difference: String,
    },
    /// A loss is NaN or infinite: the weights would be lost with the next step, so there is none.
    #[error("step {step}: {what} is {value}; the batch: {batch}; {hint}")]
    NotFinite {
        /// The step, from 1.
        step: u64,
        /// The loss.
        what: String,
        /// Its value.
        value: f64,
        /// Scan and place of each item.
        batch: String,
        /// What the user can do.
        hint: &'static str,
    },
    /// A scan would be changed where it must not be: a defect of this program, so nothing is written.
    #[error(
        "case '{case}': {voxels} voxels outside of the blend zone would change; nothing was written; please report this defect"
    )]
    BlendZone {
        /// The case's id.
        case: String,
        /// How many.
        voxels: usize,
    },
    /// An object store refuses, or cannot be reached.
    #[error("{}: cannot {action} it: {source}; credentials and the store's address come from the environment (AWS_*, GOOGLE_*, AZURE_*)", path.display())]
    Store {
        /// The address.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the store, or the connection to it, says.
        source: Box<object_store::Error>,
    },
    /// Something is wrong with what was copied from an object store: told of its address, not of the copy.
    #[error("{message}")]
    Copied {
        /// What is wrong.
        message: String,
    },
    /// A case made the program panic: a defect, which does not stop the others.
    #[error("case '{case}': the program failed ({message}); please report this defect")]
    Panic {
        /// The case's id.
        case: String,
        /// What the panic said.
        message: String,
    },
}

/// What `make` returns; a panic in it becomes [`Error::Panic`], so that one case stops no other.
pub(crate) fn caught<T>(case: &str, make: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::Panic { case: case.into(), message: text.unwrap_or("no message").into() })
    })
}

/// How a set of tensors differs from the one that an architecture needs. Everything is listed by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Tensors that the architecture has and the file has not, with their shapes.
    pub missing: Vec<(String, Vec<usize>)>,
    /// Tensors that the file has and the architecture has not, with their shapes.
    pub extra: Vec<(String, Vec<usize>)>,
    /// Tensors of another shape: name, expected, found.
    pub wrong_shape: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Difference {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.wrong_shape.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, list) in [("missing", &self.missing), ("extra", &self.extra)] {
            if !list.is_empty() {
                write!(f, "\n  {} {title}:", list.len())?;
            }
            for (name, shape) in list {
                write!(f, "\n    {name} {shape:?}")?;
            }
        }
        if !self.wrong_shape.is_empty() {
            write!(f, "\n  {} of the wrong shape:", self.wrong_shape.len())?;
        }
        for (name, expected, found) in &self.wrong_shape {
            write!(f, "\n    {name}: expected {expected:?}, found {found:?}")?;
        }
        Ok(())
    }
}

impl From<difftumor_study::Error> for Error {
    fn from(error: difftumor_study::Error) -> Self {
        Self::Study(Box::new(error))
    }
}

impl Error {
    /// A file's content is not what its format promises.
    pub fn format(
        path: &Path,
        what: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Ct(difftumor_ct::Error::Format {
            path: path.to_path_buf(),
            what: what.into(),
            expected: expected.into(),
            found: found.into(),
            hint: hint.into(),
        })
    }

    /// Wraps an I/O error with the file and what was tried (a verb: "read", "write", "create").
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let wrap = difftumor_ct::Error::io(path, action);
        move |source| Self::Ct(wrap(source))
    }
}
