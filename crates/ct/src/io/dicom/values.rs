//! From stored numbers to an image in HU.
use super::file_name;
use super::pixels::Stored;
use super::slice::Slice;
use crate::io::nifti::{Datatype, NiftiImage};
use crate::volume::Grid;
use rayon::prelude::*;
use std::path::Path;

/// Tells what is odd about slices' numbers.
pub(super) fn warn(slices: &[Slice], stored: &[Stored], warnings: &mut Vec<String>) {
    let rescale = |s: &Slice| (s.slope, s.intercept);
    if let Some(other) = slices.iter().find(|s| rescale(s) != rescale(&slices[0])) {
        let (a, b) = (rescale(&slices[0]), rescale(other));
        let name = file_name(&other.file);
        warnings.push(format!(
            "slices have different rescale slopes and intercepts ({a:?}, and {b:?} in {name}); each is read with its own"
        ));
    }
    let foreign = stored.iter().filter(|s| s.foreign_bits).count();
    if foreign > 0 {
        warnings.push(format!(
            "{foreign} slices have bits set outside of the stored ones (an overlay?); they were left out"
        ));
    }
}

/// The image in HU. Numbers that stand for padding stay what they are, in HU.
pub(super) fn image(slices: &[Slice], stored: &[Stored], grid: Grid, name: &Path) -> NiftiImage {
    let all = || slices.par_iter().zip(stored);
    if all().all(|(slice, stored)| fits_i16(slice, stored)) {
        return NiftiImage::from_slices(grid, Datatype::I16, name, |z, out| {
            let hu = |v: i32| (f64::from(v) * slices[z].slope + slices[z].intercept) as i16;
            for (out, v) in out.chunks_exact_mut(2).zip(stored[z].numbers()) {
                out.copy_from_slice(&hu(v).to_le_bytes());
            }
        });
    }
    NiftiImage::from_slices(grid, Datatype::F32, name, |z, out| {
        let hu = |v: i32| (f64::from(v) * slices[z].slope + slices[z].intercept) as f32;
        for (out, v) in out.chunks_exact_mut(4).zip(stored[z].numbers()) {
            out.copy_from_slice(&hu(v).to_le_bytes());
        }
    })
}

/// Whether all HU of a slice are whole numbers that int16 holds.
fn fits_i16(slice: &Slice, stored: &Stored) -> bool {
    let (low, high) = stored.numbers().fold((i32::MAX, i32::MIN), |(low, high), v| (low.min(v), high.max(v)));
    let held = |v: i32| {
        let hu = f64::from(v) * slice.slope + slice.intercept;
        (f64::from(i16::MIN)..=f64::from(i16::MAX)).contains(&hu)
    };
    slice.slope.fract() == 0.0 && slice.intercept.fract() == 0.0 && held(low) && held(high)
}
