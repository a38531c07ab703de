//! NIfTI-1 and NIfTI-2 images (`.nii`, `.nii.gz`), kept as the file's own bytes.
//!
//! A [`NiftiImage`] holds the whole decompressed file: header, extensions and voxels in the file's order (x fastest)
//! and type. Voxels are decoded on demand to `[x, y, z]` arrays, and a changed image is a copy of those bytes in which
//! only changed voxels were rewritten: geometry, extensions and untouched voxels survive a round trip bit for bit.
//!
//! The header is read here and not by the `nifti` crate (0.18), because that one knows NIfTI-1 only, writes headers
//! anew from parsed fields, and allocates what the header demands before it has looked at the file.
//!
//! Paper: none. Format: nifti.nimh.nih.gov; `nifti1.h`, `nifti2.h`.
use super::problem::{Problem, problem};
use crate::volume::Grid;
use header::Layout;
use std::path::{Path, PathBuf};

mod compare;
mod convert;
mod create;
mod datatype;
mod geometry;
mod gzip;
mod header;
mod label_table;
mod read;
mod write;

pub use datatype::Datatype;
pub(in crate::io) use geometry::check as check_affine;
pub use header::Version;

/// A NIfTI file in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct NiftiImage {
    /// Where it was read from, or what it is called in messages.
    path: PathBuf,
    /// The decompressed file: header, extensions, voxels, and at most a few bytes of padding.
    bytes: Vec<u8>,
    layout: Layout,
    datatype: Datatype,
    /// Stored value → value. `None`: the stored values are the values.
    scaling: Option<Scaling>,
    grid: Grid,
    /// Where the voxels begin in `bytes`.
    vox_offset: usize,
}

/// value = stored · slope + inter.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scaling {
    slope: f64,
    inter: f64,
}

impl NiftiImage {
    /// Where the voxels lie: the file's own axes, RAS+ mm.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// How voxels are stored.
    pub fn datatype(&self) -> Datatype {
        self.datatype
    }

    /// Smallest step in HU between values that the file can hold; `None` when it stores floats.
    pub fn step_hu(&self) -> Option<f32> {
        let floats = matches!(self.datatype, Datatype::F32 | Datatype::F64);
        (!floats).then(|| self.scaling.map_or(1.0, |s| s.slope.abs() as f32))
    }

    /// NIfTI-1 or NIfTI-2.
    pub fn version(&self) -> Version {
        self.layout.version
    }

    /// The file it was read from, or the name it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The decompressed file: header, extensions, voxels.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn data_len(&self) -> usize {
        self.grid.shape.iter().product::<usize>() * self.datatype.bytes()
    }

    /// The voxels as they are stored, x fastest.
    pub(in crate::io) fn data(&self) -> &[u8] {
        &self.bytes[self.vox_offset..self.vox_offset + self.data_len()]
    }
}
