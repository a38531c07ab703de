//! Whose scan a series is: what the headers of its slices are taken from.
use super::super::geometry::Arrangement;
use super::super::slice::Slice;
use super::super::{SeriesPath, arranged, choose};
use crate::error::{Error, Result};
use crate::volume::Grid;

/// What the headers of a written series are taken from.
#[derive(Debug, Clone)]
pub struct SeriesTemplate(pub(super) Source);

#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A series on the disk.
    Series {
        /// In the order of z.
        slices: Vec<Slice>,
        grid: Grid,
        /// For messages.
        name: String,
    },
    /// Nobody's: of a patient by this name.
    Anonymous(String),
}

/// Longest name of nobody; a patient's id has 64 characters at most.
const MAX_ID_CHARS: usize = 48;

impl SeriesTemplate {
    /// A series to take headers from: patient, study, frame of reference, acquisition, and the place of each slice. Pixels are not read yet.
    ///
    /// # Errors
    /// As [`Series::read`](super::super::Series::read), but for what concerns pixels.
    pub fn read(place: &SeriesPath) -> Result<Self> {
        let chosen = choose::choose(place)?;
        let Arrangement { slices, grid } = arranged(chosen.slices, place, &mut vec![])?;
        Ok(Self(Source::Series { slices, grid, name: place.path().display().to_string() }))
    }

    /// Headers of nobody, for scans that came without any: patient `SYNTHETIC^ID`, nothing else known. `id` should differ from scan to
    /// scan.
    ///
    /// # Errors
    /// [`Error::Argument`] when `id` is not 1 to 48 letters, digits, `.`, `-` or `_`.
    pub fn anonymous(id: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if id.is_empty() || id.len() > MAX_ID_CHARS || !id.chars().all(allowed) {
            return Err(Error::Argument {
                what: "id of a patient in DICOM".into(),
                expected: format!("1 to {MAX_ID_CHARS} letters, digits, '.', '-' or '_'"),
                found: format!("'{id}'"),
            });
        }
        Ok(Self(Source::Anonymous(id.into())))
    }
}
