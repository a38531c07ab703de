//! Runs that ship inside of the program (`models/` in the repository), opened by names such as `shipped:compact-v1/early`.
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// What their names begin with.
pub const PREFIX: &str = "shipped:";

/// The models with which `synthesize` works unless told otherwise: one of early and one of larger tumors.
pub const SYNTHESIS: [&str; 2] = ["shipped:compact-v1/early", "shipped:compact-v1/larger"];

macro_rules! run_files {
    ($($run:literal),* $(,)?) => {
        [$(
            (concat!($run, "/run.toml"), include_bytes!(concat!("../../../../models/", $run, "/run.toml")).as_slice()),
            (
                concat!($run, "/weights.safetensors"),
                include_bytes!(concat!("../../../../models/", $run, "/weights.safetensors")).as_slice(),
            ),
        )*]
    };
}

const FILES: [(&str, &[u8]); 8] = run_files![
    "compact-v1/early",
    "compact-v1/early/autoencoder",
    "compact-v1/larger",
    "compact-v1/larger/autoencoder",
];

/// Names of all shipped Runs.
pub fn names() -> impl Iterator<Item = String> {
    FILES.iter().filter_map(|(file, _)| Some(format!("{PREFIX}{}", file.strip_suffix("/run.toml")?)))
}

/// The models of [`SYNTHESIS`].
pub fn synthesis() -> Vec<PathBuf> {
    SYNTHESIS.map(PathBuf::from).into()
}

/// Content of a shipped Run's file. `None` for a path of the file system.
///
/// # Errors
/// When the path begins with [`PREFIX`] and nothing ships under this name.
pub(super) fn file(path: &Path) -> Result<Option<&'static [u8]>> {
    let text = path.to_string_lossy().replace('\\', "/");
    let Some(name) = text.strip_prefix(PREFIX) else { return Ok(None) };
    match FILES.iter().find(|(file, _)| *file == name) {
        Some((_, bytes)) => Ok(Some(bytes)),
        None => {
            let expected = names().collect::<Vec<_>>().join(", ");
            Err(Error::format(
                path,
                "shipped Run",
                expected,
                "none of these",
                "name one of them, or a folder",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Run;

    #[test]
    fn every_shipped_run_is_whole() {
        assert_eq!(names().count(), FILES.len() / 2);
        for name in names() {
            let run = Run::open(&name).unwrap();
            assert!(!run.load_tensors().unwrap().is_empty(), "{name}");
        }
        for name in SYNTHESIS {
            assert!(Run::open(name).unwrap().autoencoder().is_ok(), "{name}");
        }
        let megabytes = FILES.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() as f64 / 1e6;
        assert!(megabytes < 25.0, "{megabytes} MB");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = Run::open("shipped:compact-v2").unwrap_err().to_string();
        assert!(error.contains("shipped:compact-v1/early"), "{error}");
    }
}
