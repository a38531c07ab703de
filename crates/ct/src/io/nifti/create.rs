//! New images: a copy with some voxels changed, a label map on an image's grid, and images from arrays alone.
use super::convert::encode;
use super::datatype::with_stored;
use super::header::{self as h, Layout, Version};
use super::{Datatype, NiftiImage, Scaling, geometry};
use crate::volume::{Affine, Grid, Labels, Volume};
use ndarray::{Array3, Zip};
use rayon::prelude::*;
use std::path::PathBuf;

impl NiftiImage {
    /// A copy in which exactly the voxels whose HU differ in bits between `before` and `after` are stored anew
    /// (through the inverse of the file's scaling, rounded and clamped to its datatype). All other bytes stay.
    ///
    /// `before` is what [`NiftiImage::to_volume`] gave; both are `[x, y, z]` of this image's shape, in HU.
    ///
    /// # Panics
    /// When a shape differs from this image's.
    pub fn with_changes(&self, before: &Volume, after: &Volume) -> Self {
        let shape = self.grid.shape;
        assert_eq!(before.grid().shape, shape, "`before` has not the image's shape");
        assert_eq!(after.grid().shape, shape, "`after` has not the image's shape");
        let (before, after) = (before.data.as_standard_layout(), after.data.as_standard_layout());
        let (before, after) = (contiguous(&before), contiguous(&after));
        let scaling = self.scaling;
        let stored = |i: usize| {
            (before[i].to_bits() != after[i].to_bits()).then(|| {
                let hu = f64::from(after[i]);
                scaling.map_or(hu, |s| (hu - s.inter) / s.slope)
            })
        };
        let mut changed = self.clone();
        let end = self.vox_offset + self.data_len();
        let raw = &mut changed.bytes[self.vox_offset..end];
        let clamped =
            with_stored!(self.datatype, T => encode::<T>(raw, shape, self.layout.big_endian, stored));
        if clamped > 0 {
            tracing::warn!(
                "{}: {clamped} changed voxels do not fit {} and were clamped",
                self.path.display(),
                self.datatype
            );
        }
        changed
    }

    /// A label map on this image's grid: same format version, byte order, sizes, geometry and units (bit for bit), stored as
    /// uint8 or, with values above 255, uint16; no scaling, display range, intent or extensions.
    ///
    /// # Panics
    /// When the shape differs from this image's.
    pub fn with_labels(&self, labels: &Labels) -> Self {
        assert_eq!(labels.grid().shape, self.grid.shape, "the labels have not the image's shape");
        self.header_alone().with_labels(&labels.data)
    }

    /// Shares of one (probabilities), given in steps of 1/65535, on this image's grid: header as of
    /// [`NiftiImage::with_labels`], stored as uint16 with the slope that makes them 0 to 1 for every reader. Half of the size
    /// of floats.
    ///
    /// # Panics
    /// When the shape differs from this image's.
    pub fn with_shares(&self, steps: &Array3<u16>) -> Self {
        assert_eq!(<[usize; 3]>::from(steps.dim()), self.grid.shape, "the shares have not the image's shape");
        let data = steps.as_standard_layout();
        let data = contiguous(&data);
        let mut image = self.header_alone().filled(Datatype::U16, |i| f64::from(data[i]));
        let slope = 1.0 / f64::from(u16::MAX);
        image.layout.set(&mut image.bytes, &h::SCL_SLOPE, 0, slope);
        // What a reader of this file will see: NIfTI-1 keeps the slope in single precision.
        let slope = image.layout.float(&image.bytes, &h::SCL_SLOPE, 0);
        image.scaling = Some(Scaling { slope, inter: 0.0 });
        image
    }

    /// This image's header, for another image on its grid.
    fn header_alone(&self) -> Frame {
        let header = self.bytes[..self.layout.version.header_bytes()].to_vec();
        Frame { path: self.path.clone(), layout: self.layout, grid: self.grid, header }
    }

    /// An image of `volume` with a fresh header; `name` is used in messages. The affine is stored as an sform.
    ///
    /// Integers are rounded and clamped to the range of `datatype`.
    pub fn from_volume(volume: &Volume, datatype: Datatype, name: impl Into<PathBuf>) -> Self {
        let data = volume.data.as_standard_layout();
        let data = contiguous(&data);
        Frame::new(volume.grid(), name.into()).filled(datatype, |i| f64::from(data[i]))
    }

    /// An image with a fresh header whose voxels `fill` writes slice by slice: it gets z and the slice's bytes, x fastest, little-endian.
    /// No array of the whole image in another order is needed.
    pub(in crate::io) fn from_slices(
        grid: Grid,
        datatype: Datatype,
        name: impl Into<PathBuf>,
        fill: impl Fn(usize, &mut [u8]) + Sync,
    ) -> Self {
        let mut image = Frame::new(grid, name.into()).zeros(datatype);
        let slice_bytes = grid.shape[0] * grid.shape[1] * datatype.bytes();
        let voxels = &mut image.bytes[image.vox_offset..];
        voxels.par_chunks_mut(slice_bytes).enumerate().for_each(|(z, slice)| fill(z, slice));
        image
    }

    /// A label map with a fresh header, as uint8 or, with values above 255, uint16.
    pub fn from_labels(labels: &Labels, name: impl Into<PathBuf>) -> Self {
        Frame::new(labels.grid(), name.into()).with_labels(&labels.data)
    }
}

/// `as_standard_layout` made it so.
fn contiguous<'a, T>(array: &'a ndarray::CowArray<'_, T, ndarray::Ix3>) -> &'a [T] {
    array.as_slice().expect("standard layout is contiguous")
}

/// A header that says where voxels lie but not yet what they are.
struct Frame {
    path: PathBuf,
    layout: Layout,
    grid: Grid,
    header: Vec<u8>,
}

impl Frame {
    /// A fresh little-endian header: NIfTI-1 unless a side is too long for its 16 bits.
    fn new(grid: Grid, path: PathBuf) -> Self {
        let fits = grid.shape.iter().all(|&n| n <= i16::MAX as usize);
        let version = if fits { Version::One } else { Version::Two };
        let layout = Layout { version, big_endian: false };
        let mut header = vec![0; version.header_bytes()];
        layout.set(&mut header, &h::SIZEOF_HDR, 0, version.header_bytes() as f64);
        let (at, magic) = version.magic();
        header[at..at + magic.len()].copy_from_slice(magic);
        layout.set(&mut header, &h::DIM, 0, 3.0);
        for axis in 1..8 {
            let size = grid.shape.get(axis - 1).copied().unwrap_or(1);
            layout.set(&mut header, &h::DIM, axis, size as f64);
        }
        geometry::write_affine(layout, &mut header, &grid.affine);
        // What a reader of this file will see: NIfTI-1 keeps the affine in single precision.
        let stored = |v: f64| if version == Version::One { f64::from(v as f32) } else { v };
        let affine = Affine(grid.affine.0.map(|row| row.map(stored)));
        Self { path, layout, grid: Grid { affine, ..grid }, header }
    }

    fn with_labels(self, data: &Array3<u16>) -> NiftiImage {
        let largest = Zip::from(data).par_fold(|| 0, |m, &v| m.max(v), u16::max);
        let datatype = if largest <= 255 { Datatype::U8 } else { Datatype::U16 };
        let data = data.as_standard_layout();
        let data = contiguous(&data);
        self.filled(datatype, |i| f64::from(data[i]))
    }

    /// [`Frame::zeros`] with `value(i)` stored for every index of a C-order `[x, y, z]` array.
    fn filled(self, datatype: Datatype, value: impl Fn(usize) -> f64 + Sync) -> NiftiImage {
        let mut image = self.zeros(datatype);
        let (shape, big_endian) = (image.grid.shape, image.layout.big_endian);
        let raw = &mut image.bytes[image.vox_offset..];
        let clamped = with_stored!(datatype, T => encode::<T>(raw, shape, big_endian, |i| Some(value(i))));
        if clamped > 0 {
            tracing::warn!(
                "{}: {clamped} voxels do not fit {datatype} and were clamped",
                image.path.display()
            );
        }
        image
    }

    /// Sets what the header says about values; all voxels are 0.
    fn zeros(mut self, datatype: Datatype) -> NiftiImage {
        let Self { layout, grid, .. } = self;
        let vox_offset = layout.version.min_vox_offset();
        let fields = [
            (&h::DATATYPE, datatype.code() as f64),
            (&h::BITPIX, 8.0 * datatype.bytes() as f64),
            (&h::VOX_OFFSET, vox_offset as f64),
            (&h::SCL_SLOPE, 1.0),
            (&h::SCL_INTER, 0.0),
            (&h::CAL_MAX, 0.0),
            (&h::CAL_MIN, 0.0),
            (&h::INTENT_CODE, 0.0),
        ];
        for (field, value) in fields {
            layout.set(&mut self.header, field, 0, value);
        }
        (0..3).for_each(|i| layout.set(&mut self.header, &h::INTENT_P, i, 0.0));
        (0..h::INTENT_NAME_BYTES).for_each(|i| layout.set(&mut self.header, &h::INTENT_NAME, i, 0.0));
        let mut bytes = self.header;
        bytes.resize(vox_offset + grid.shape.iter().product::<usize>() * datatype.bytes(), 0);
        NiftiImage { path: self.path, bytes, layout, datatype, scaling: None, grid, vox_offset }
    }
}
