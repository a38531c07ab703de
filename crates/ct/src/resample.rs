//! Images onto other grids: linear and cubic for CTs, nearest for masks and labels, and averages for thick slices.
//!
//! The target is always a [`Grid`]; voxels are matched through world coordinates, so any orientation and any
//! oblique angle will do. When the axes of both grids are parallel (the usual case) the work is done axis by axis.
//!
//! MONAI 0.9.0 equality (paper E.2): `linear` onto [`Grid::isotropic`] with [`Outside::Edge`] is its `Spacing` in
//! mode "bilinear" with padding "border", computed in f64; `nearest` is its mode "nearest". The cubic is the
//! interpolating cubic B-spline of `scipy.ndimage` (order 3) with mirror boundary.
mod coordinates;
mod spline;
mod weights;

use crate::error::{Error, Result};
use crate::grid::MAX_VOXELS;
use crate::orient::copy_in_c_order;
use crate::volume::{Affine, Grid, Image, Volume};
use coordinates::{Mapping, field_index, in_field};
use ndarray::Array3;
use rayon::prelude::*;
use weights::{Kernel, Weights, sample_at, weighted_sums};

/// What lies outside of the source's voxels. A voxel reaches half a voxel around its centre; between the outermost
/// centre and that border the edge value holds in either case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outside<T> {
    /// The nearest voxel of the source, at any distance (torch's "border", scipy's "nearest").
    Edge,
    /// This value.
    Constant(T),
}

/// Trilinear interpolation. On the source's own grid it is the identity, bit for bit.
///
/// # Errors
/// [`Error::Argument`] when a grid is singular, the source is empty or the target too large.
pub fn linear(src: &Volume, dst: &Grid, outside: Outside<f32>) -> Result<Volume> {
    interpolate(src, dst, outside, Kernel::Linear, |_| [1; 3])
}

/// Interpolating cubic B-spline: `scipy.ndimage` of order 3 with mode "mirror" inside of the outermost voxel
/// centres; beyond them the value at the edge holds (or [`Outside::Constant`]). It can overshoot the range of the
/// source by up to about a fifth of a step. On the source's own grid it is the identity, bit for bit.
///
/// # Errors
/// As [`linear`].
pub fn cubic(src: &Volume, dst: &Grid, outside: Outside<f32>) -> Result<Volume> {
    interpolate(src, dst, outside, Kernel::Cubic, |_| [1; 3])
}

/// Mean of trilinear samples over each target voxel's own box, so that fine detail (a tumor at 1 mm) comes onto
/// thick slices (5 mm) as a scanner would average it, without aliasing. `n = ceil(spacing ratio)` samples per axis;
/// an axis that does not get coarser has one: linear interpolation.
///
/// For a part of the target only, pass `dst.crop(start, shape)`: voxels do not depend on one another.
///
/// # Errors
/// As [`linear`].
pub fn average(src: &Volume, dst: &Grid, outside: Outside<f32>) -> Result<Volume> {
    interpolate(src, dst, outside, Kernel::Linear, |to_source| {
        std::array::from_fn(|d| {
            let ratio = (0..3).map(|s| to_source.0[s][d].abs()).fold(0.0, f64::max);
            // Header rounding must not turn a ratio of 5 into 6 samples.
            (ratio - 1e-4).ceil().max(1.0) as usize
        })
    })
}

/// The nearest voxel: index `floor(position + 0.5)`, after rounding the position to 1e-5 voxels so that header
/// rounding does not decide ties (the rule found to equal MONAI's nearest mode).
///
/// # Errors
/// As [`linear`].
pub fn nearest<T: Copy + Send + Sync>(src: &Image<T>, dst: &Grid, outside: Outside<T>) -> Result<Image<T>> {
    let to_source = check(&src.grid(), dst)?;
    let n = src.grid().shape;
    let mut data = Array3::from_elem(dst.shape, src.data[[0; 3]]);
    let pick = |at: [Option<usize>; 3]| match (at, outside) {
        ([Some(x), Some(y), Some(z)], _) => src.data[[x, y, z]],
        (_, Outside::Constant(value)) => value,
        (_, Outside::Edge) => unreachable!("with Outside::Edge every position has an index"),
    };
    let index = |s: usize, position: f64| field_index(position, n[s], matches!(outside, Outside::Edge));
    let [_, ny, nz] = dst.shape;
    let planes = data.as_slice_mut().expect("a new array is in C order").par_chunks_mut((ny * nz).max(1));
    match Mapping::new(&to_source, dst.shape) {
        Mapping::Parallel { target_axis } => {
            let tables: [Vec<Option<usize>>; 3] = std::array::from_fn(|s| {
                let d = target_axis[s];
                let position = |i: usize| to_source.0[s][d] * i as f64 + to_source.0[s][3];
                (0..dst.shape[d]).map(|i| index(s, position(i))).collect()
            });
            planes.enumerate().for_each(|(x, plane)| {
                for (i, v) in plane.iter_mut().enumerate() {
                    let voxel = [x, i / nz, i % nz];
                    *v = pick(std::array::from_fn(|s| tables[s][voxel[target_axis[s]]]));
                }
            });
        }
        Mapping::Oblique => planes.enumerate().for_each(|(x, plane)| {
            for (i, v) in plane.iter_mut().enumerate() {
                let at = to_source.apply([x, i / nz, i % nz].map(|c| c as f64));
                *v = pick(std::array::from_fn(|s| index(s, at[s])));
            }
        }),
    }
    Ok(Image { data, affine: dst.affine })
}

/// `source_voxel_from_target_voxel`, once both grids are found usable.
fn check(src: &Grid, dst: &Grid) -> Result<Affine> {
    let argument = |what: &str, expected: String, found: String| {
        Err(Error::Argument { what: what.into(), expected, found })
    };
    if src.shape.contains(&0) {
        return argument("image to resample", "at least one voxel".into(), format!("shape {:?}", src.shape));
    }
    let voxels = dst.shape.iter().try_fold(1_u64, |product, n| product.checked_mul(*n as u64));
    if voxels.is_none_or(|v| v > MAX_VOXELS) {
        return argument(
            "grid to resample onto",
            format!("at most {MAX_VOXELS} voxels"),
            format!("{:?}", dst.shape),
        );
    }
    match (src.affine.inverse(), dst.affine.inverse()) {
        (Some(inverse), Some(_)) => Ok(inverse.compose(&dst.affine)),
        _ => argument(
            "affine of an image to resample",
            "invertible matrices".into(),
            format!("{:?} onto {:?}", src.affine.0, dst.affine.0),
        ),
    }
}

/// Weighted sums of source voxels, each target voxel being the mean of `samples(..)[d]` positions along target axis d.
fn interpolate(
    src: &Volume,
    dst: &Grid,
    outside: Outside<f32>,
    kernel: Kernel,
    samples: impl Fn(&Affine) -> [usize; 3],
) -> Result<Volume> {
    let to_source = check(&src.grid(), dst)?;
    let samples = samples(&to_source);
    let constant = match outside {
        Outside::Edge => None,
        Outside::Constant(value) => Some(f64::from(value)),
    };
    let n = src.grid().shape;
    let data = match Mapping::new(&to_source, dst.shape) {
        Mapping::Parallel { target_axis } => {
            let weights: [Weights; 3] = std::array::from_fn(|s| {
                let d = target_axis[s];
                let position = |i: f64| to_source.0[s][d] * i + to_source.0[s][3];
                Weights::new(position, dst.shape[d], samples[d], n[s], kernel, constant.is_some())
            });
            let sums = match kernel {
                Kernel::Linear => weighted_sums(&src.data, &weights, constant),
                Kernel::Cubic => {
                    // An axis met at voxel centres only needs no spline: it interpolates there.
                    let axes = std::array::from_fn(|s| !weights[s].only_copies());
                    weighted_sums(&spline::coefficients(&src.data, axes), &weights, constant)
                }
            };
            let mut source_axis = [0; 3];
            for s in 0..3 {
                source_axis[target_axis[s]] = s;
            }
            if source_axis == [0, 1, 2] {
                sums
            } else {
                copy_in_c_order(sums.view().permuted_axes(source_axis))
            }
        }
        Mapping::Oblique => match kernel {
            Kernel::Linear => oblique(&src.data, dst.shape, &to_source, samples, kernel, constant),
            Kernel::Cubic => {
                let coefficients = spline::coefficients(&src.data, [true; 3]);
                oblique(&coefficients, dst.shape, &to_source, samples, kernel, constant)
            }
        },
    };
    Ok(Image { data, affine: dst.affine })
}

/// Sampling at positions that lie anyhow.
fn oblique<T: Copy + Into<f64> + Sync>(
    src: &Array3<T>,
    shape: [usize; 3],
    to_source: &Affine,
    samples: [usize; 3],
    kernel: Kernel,
    constant: Option<f64>,
) -> Array3<f32> {
    let n = [src.dim().0, src.dim().1, src.dim().2];
    let src = src.as_standard_layout();
    let voxels = src.as_slice().expect("in C order");
    let offset = |k: usize, d: usize| (k as f64 + 0.5) / samples[d] as f64 - 0.5;
    let count = samples.iter().product::<usize>() as f64;
    let voxel = |at: [usize; 3]| {
        let mut sum = 0.0;
        for kx in 0..samples[0] {
            for ky in 0..samples[1] {
                for kz in 0..samples[2] {
                    let k = [kx, ky, kz];
                    let position = to_source.apply(std::array::from_fn(|d| at[d] as f64 + offset(k[d], d)));
                    sum += match constant {
                        Some(value) if (0..3).any(|s| !in_field(position[s], n[s])) => value,
                        _ => sample_at(voxels, n, position, kernel),
                    };
                }
            }
        }
        (sum / count) as f32
    };
    let [_, ny, nz] = shape;
    let mut out = Array3::zeros(shape);
    let planes = out.as_slice_mut().expect("a new array is in C order").par_chunks_mut((ny * nz).max(1));
    planes.enumerate().for_each(|(x, plane)| {
        for (i, v) in plane.iter_mut().enumerate() {
            *v = voxel([x, i / nz, i % nz]);
        }
    });
    out
}

#[cfg(test)]
mod tests;
