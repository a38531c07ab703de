//! CT series in DICOM, in and out; and segmentations out (see [`write_series`], [`write_seg`]).
//!
//! A folder of files with one slice each becomes a [`NiftiImage`] in HU, so that the rest of the program knows one
//! kind of scan.
//!
//! Slices are sorted by where they lie, never by name or number. A series that is no full, even stack of slices (one is missing, twice
//! there, tilted, or of another size) is an error: whatever such a stack is made into, its tumors would have wrong shapes.
//!
//! Axes of the image: x along a row, y down the columns, z along the slice normal (row × column direction). DICOM's world is LPS+ mm and
//! ours RAS+ mm: the first two rows of the affine change sign.
//!
//! Paper: none. Format: DICOM PS3.3 C.7.6.2 (image plane), C.8.2.1 (CT image), C.11.1 (rescale); PS3.5 (encoding).
use crate::error::{Error, Result};
use crate::io::nifti::NiftiImage;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

mod choose;
mod compressed;
mod file;
mod geometry;
mod lengths;
mod pixels;
mod place;
mod rle;
mod slice;
mod tags;
mod values;
mod write;

pub use place::{SeriesPath, is_series};
pub use write::{SeriesReference, SeriesTemplate, WrittenSeries, write_seg, write_series};

use super::problem::{Problem, problem};
use geometry::Arrangement;
use slice::Slice;

/// More bytes than this are no single slice: 8192 × 8192 voxels of two bytes and a header.
const MAX_FILE_BYTES: u64 = (2 << 26) + (1 << 24);

/// Longest side of a slice, in voxels. What a header demands beyond it is taken for damage.
const MAX_SIDE_VOX: usize = 8192;

/// A CT series in memory.
#[derive(Debug)]
pub struct Series {
    /// The scan in HU: int16 where all values are whole numbers that fit, otherwise float32. Its path is that of the series.
    pub image: NiftiImage,
    /// What is odd, but changes no voxel.
    pub warnings: Vec<String>,
    /// Files in the folder that are no DICOM images (text, DICOMDIR).
    pub other_files: usize,
}

impl Series {
    /// Reads the one CT series of a folder, or the one that `place` names.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read. [`Error::Format`], naming file or folder: no CT slices (other modalities, multi-frame
    /// images); several series; a damaged or cut-off file; a compression that is not known; no position, orientation, spacing or rescale;
    /// slices of several sizes, orientations or spacings; a tilted gantry; slices missing, twice there, or off the line.
    pub fn read(place: &SeriesPath) -> Result<Self> {
        let chosen = choose::choose(place)?;
        let mut warnings = chosen.warnings;
        let Arrangement { slices, grid } = arranged(chosen.slices, place, &mut warnings)?;
        let stored: Vec<_> = slices.par_iter().map(pixels::stored).collect::<Result<_>>()?;
        values::warn(&slices, &stored, &mut warnings);
        let image = values::image(&slices, &stored, grid, place.path());
        Ok(Self { image, warnings, other_files: chosen.other_files })
    }

    /// The files of the series with their SOP instance UIDs, sorted by UID: an order that no renaming changes. Pixels are not read.
    ///
    /// # Errors
    /// As [`Series::read`], but for what concerns pixels and geometry.
    pub fn files(place: &SeriesPath) -> Result<Vec<(String, PathBuf)>> {
        let slices = choose::choose(place)?.slices;
        let mut files: Vec<_> = slices.into_iter().map(|s| (s.instance_uid, s.file)).collect();
        files.sort();
        Ok(files)
    }
}

/// Slices as an even stack on a grid.
fn arranged(slices: Vec<Slice>, place: &SeriesPath, warnings: &mut Vec<String>) -> Result<Arrangement> {
    geometry::arrange(slices, warnings).map_err(|unfit| match unfit {
        Unfit::Slice(file, problem) => problem.of(&file),
        Unfit::Stack(problem) => problem.of(place.folder()),
        Unfit::Doubled(pair) => doubled(&pair),
    })
}

/// Why slices are no even stack.
enum Unfit {
    /// One of them does not fit to the others.
    Slice(PathBuf, Problem),
    /// All of them together.
    Stack(Problem),
    /// Two at one place.
    Doubled(Box<[Slice; 2]>),
}

/// Two slices at one place: copies of one, or images of two times? Only the pixels tell.
fn doubled([a, b]: &[Slice; 2]) -> Error {
    let hint = match (pixels::stored(a), pixels::stored(b)) {
        (Err(error), _) | (_, Err(error)) => return error,
        (Ok(a), Ok(b)) if a.values == b.values => "both hold the same pixels: remove one of them",
        _ => {
            "their pixels differ: the series holds more than one image of each place (phases, reconstructions); put each into a folder of its own"
        }
    };
    let [x, y, z] = a.position_mm;
    let name = |s: &Slice| format!("{}{}", file_name(&s.file), s.acquisition());
    let found = format!("{} and {} at ({x}, {y}, {z}) mm", name(a), name(b));
    problem("slices", "one at each place", found, hint).of(&b.file)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
