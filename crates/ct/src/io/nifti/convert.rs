//! Voxels between the file's order (x fastest) and arrays `[x, y, z]` in C order (z fastest).
//!
//! That is a transposition: done voxel by voxel it misses the cache at every step, so both ways work on blocks.
use super::datatype::{Stored, with_stored};
use super::{NiftiImage, Scaling, problem};
use crate::error::Result;
use crate::volume::{Labels, Volume};
use ndarray::Array3;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Voxels along x and z that are moved together: 32 voxels of 2 bytes are one cache line in the file.
const BLOCK: usize = 32;

impl NiftiImage {
    /// The voxels as HU (any scaling of the file applied), on the file's own grid.
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) when voxels are NaN or infinite, with their number and the first of them.
    pub fn to_volume(&self) -> Result<Volume> {
        let scaling = self.scaling;
        let bad = AtomicUsize::new(0);
        let data = with_stored!(self.datatype, T => self.decode(|stored: T| {
            let value = apply(scaling, stored.to_f64()) as f32;
            if !value.is_finite() {
                bad.fetch_add(1, Ordering::Relaxed);
            }
            value
        }));
        let bad = bad.into_inner();
        if bad > 0 {
            let (first, value) = self.first_voxel_where(|value| !(value as f32).is_finite());
            let found =
                format!("{bad} of {} voxels are NaN or infinite, the first {value} at {first:?}", data.len());
            let hint = "give these voxels the HU of air (-1024), or export the scan again";
            return Err(problem("voxels", "finite HU", found, hint).of(&self.path));
        }
        Ok(Volume { data, affine: self.grid.affine })
    }

    /// The voxels as labels, on the file's own grid.
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) when a value (after scaling) is not an integer in 0..=65535; it names
    /// the first such voxel in the file and its value.
    pub fn to_labels(&self) -> Result<Labels> {
        let scaling = self.scaling;
        let bad = AtomicUsize::new(0);
        let data = with_stored!(self.datatype, T => self.decode(|stored: T| {
            let value = apply(scaling, stored.to_f64());
            if !is_label(value) {
                bad.fetch_add(1, Ordering::Relaxed);
            }
            value as u16
        }));
        if bad.into_inner() > 0 {
            let (first, value) = self.first_voxel_where(|value| !is_label(value));
            let hint = "give a label map; an image or a probability map is none";
            let found = format!("{value} at voxel {first:?}");
            return Err(problem("labels", "integers in 0..=65535", found, hint).of(&self.path));
        }
        Ok(Labels { data, affine: self.grid.affine })
    }

    /// Decodes all voxels to `[x, y, z]`.
    fn decode<T: Stored, O: Copy + Default + Send + Sync>(
        &self,
        convert: impl Fn(T) -> O + Sync,
    ) -> Array3<O> {
        let [nx, ny, nz] = self.grid.shape;
        let (raw, big_endian) = (self.data(), self.layout.big_endian);
        let mut out = vec![O::default(); nx * ny * nz];
        out.par_chunks_mut(BLOCK * ny * nz).enumerate().for_each(|(slab, out)| {
            let x0 = slab * BLOCK;
            let width = out.len() / (ny * nz);
            for y in 0..ny {
                for z0 in (0..nz).step_by(BLOCK) {
                    for z in z0..(z0 + BLOCK).min(nz) {
                        let row = ((z * ny + y) * nx + x0) * T::BYTES;
                        let row = raw[row..row + width * T::BYTES].chunks_exact(T::BYTES);
                        for (x, bytes) in row.enumerate() {
                            out[(x * ny + y) * nz + z] = convert(T::load(bytes, big_endian));
                        }
                    }
                }
            }
        });
        Array3::from_shape_vec((nx, ny, nz), out).expect("the length is the product of the shape")
    }

    /// First voxel in the file's order whose value satisfies `is`, for a message; there is one.
    fn first_voxel_where(&self, is: impl Fn(f64) -> bool) -> ([usize; 3], f64) {
        let [nx, ny, _] = self.grid.shape;
        with_stored!(self.datatype, T => {
            let values = self.data().chunks_exact(T::BYTES);
            let mut values = values.map(|bytes| apply(self.scaling, <T as Stored>::load(bytes, self.layout.big_endian).to_f64()));
            let (i, value) = (0..).zip(&mut values).find(|&(_, value)| is(value)).expect("the caller counted some");
            ([i % nx, i / nx % ny, i / nx / ny], value)
        })
    }
}

/// Rewrites voxels in place. `value` gets a voxel's index in a C-order `[x, y, z]` array and gives the number to store,
/// or `None` to leave the bytes as they are. Returns how many numbers had to be clamped to `T`'s range.
pub(super) fn encode<T: Stored>(
    raw: &mut [u8],
    shape: [usize; 3],
    big_endian: bool,
    value: impl Fn(usize) -> Option<f64> + Sync,
) -> usize {
    let [nx, ny, nz] = shape;
    let slice_bytes = nx * ny * T::BYTES;
    let blocks = raw.par_chunks_mut(BLOCK * slice_bytes).enumerate();
    blocks
        .map(|(block, raw)| {
            let z0 = block * BLOCK;
            let depth = raw.len() / slice_bytes;
            let mut clamped = 0;
            for y in 0..ny {
                for x in 0..nx {
                    for z in 0..depth {
                        if let Some(value) = value((x * ny + y) * nz + z0 + z) {
                            let (stored, in_range) = T::nearest(value);
                            clamped += usize::from(!in_range);
                            let at = ((z * ny + y) * nx + x) * T::BYTES;
                            stored.store(&mut raw[at..at + T::BYTES], big_endian);
                        }
                    }
                }
            }
            clamped
        })
        .sum()
}

fn apply(scaling: Option<Scaling>, stored: f64) -> f64 {
    scaling.map_or(stored, |s| stored * s.slope + s.inter)
}

fn is_label(value: f64) -> bool {
    (0.0..=65535.0).contains(&value) && value.fract() == 0.0
}
