//! NRRD images (`.nrrd`, `.nhdr`) and 3D Slicer's segmentations in them (`.seg.nrrd`).
//!
//! A scan becomes a [`NiftiImage`] in HU, so that the rest of the program knows one kind of scan. Axes of the image: those of the file, the
//! fastest first. The file's world is turned to RAS+ mm.
//!
//! Read: NRRD0001 to NRRD0005; attached headers, and detached ones with one data file in the header's folder; integers of 8 to 64 bits, float
//! and double; raw and gzip; spaces LPS, RAS and LAS. Everything else is refused with what it is.
//!
//! Paper: none. Format: teem.sourceforge.net/nrrd/format.html; slicer.readthedocs.io, developer guide, "Segmentations".
use super::problem::{Problem, problem};
use crate::error::Result;
use crate::io::nifti::NiftiImage;
use crate::volume::Labels;
use header::Header;
use std::collections::BTreeMap;
use std::path::Path;

mod data;
mod fields;
mod header;
mod layers;
mod segments;
mod space;
mod types;
mod write;
mod write_seg;

pub use write::{write_labels, write_volume};
pub use write_seg::write_seg_nrrd;

/// A label map and what its values are called.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedLabels {
    /// The label map, on the file's own grid.
    pub labels: Labels,
    /// Names of values; empty when the file carries none. A named value need not occur.
    pub names: BTreeMap<u16, String>,
}

/// Whether a path is named as NRRD files are: `.nrrd` (and so `.seg.nrrd`) or `.nhdr`, in any case.
pub fn is_nrrd(path: &Path) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    name.ends_with(".nrrd") || name.ends_with(".nhdr")
}

/// Reads a scan in HU, or a label map as an image.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) when header or data file cannot be read. [`Error::Format`](crate::Error::Format), naming the file: it is no
/// NRRD file of one number a voxel in three dimensions; a field is missing, unknown or contradicts another; sizes and the length of the
/// data differ; the patient's orientation is not said; it is a segmentation of 3D Slicer and no scan.
pub fn read(path: &Path) -> Result<NiftiImage> {
    let of = |p: Problem| p.of(path);
    let file = data::File::open(path)?;
    if segments::is_segmentation(&file.fields) {
        let hint = "give it as the labels, and the scan that it was drawn on as the scan";
        return Err(of(problem("image", "a scan", "a segmentation of 3D Slicer", hint)));
    }
    let header = Header::of(&file.fields, false).map_err(of)?;
    let affine = space::affine(&file.fields, &header, path).map_err(of)?;
    let voxels = file.voxels(&header)?;
    Ok(layers::image(&header, &voxels, 0, affine, path))
}

/// Reads a label map, or a segmentation of 3D Slicer with the names of its segments.
///
/// Layers of a segmentation become one map: where segments overlap, the one with fewer voxels has the voxel (a tumor lies inside of an
/// organ), and a warning tells. Segments keep their values if no two have the same; otherwise they are numbered from 1 in their order.
///
/// # Errors
/// As [`read`], and [`Error::Format`](crate::Error::Format) when a voxel is no integer in 0..=65535, or segments and layers do not fit together.
pub fn read_labels(path: &Path) -> Result<NamedLabels> {
    let of = |p: Problem| p.of(path);
    let file = data::File::open(path)?;
    let segments = segments::read(&file.fields).map_err(of)?;
    let header = Header::of(&file.fields, true).map_err(of)?;
    let affine = space::affine(&file.fields, &header, path).map_err(of)?;
    let voxels = file.voxels(&header)?;
    layers::join(&header, &voxels, &segments, affine, path)
}
