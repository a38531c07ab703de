//! Size and shape of a tumor, such that thick slices do not make a round one flat.
use super::site::{LEAST_VOXELS, signed_distance_mm};
use crate::Mask;
use crate::components::{Connectivity, components};
use crate::filter::gaussian;
use crate::measure::measure as measure_mask;
use crate::patch::bounding_box;
use ndarray::{Array3, s};
use serde::Serialize;
use std::f64::consts::PI;

/// A part counts from this share of the tumor's voxels on: stray voxels of a contour are no second tumor.
const LEAST_PART: f64 = 0.02;
/// Most samples along the longest side of the tumor's box; its surface needs no more.
const SAMPLES: f64 = 96.0;
/// Blur of the sampled body, in samples: as little as levels the steps of the voxels.
const SMOOTH_SAMPLES: f64 = 0.8;

/// Size and shape. Axes are those of the moment-equivalent ellipsoid, see [`crate::measure`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Shape {
    /// Number of voxels.
    pub voxels: usize,
    /// Diameter of the ball of the same volume.
    pub equivalent_diameter_mm: f64,
    /// The longest axis.
    pub longest_axis_mm: f64,
    /// Surface of the ball of the same volume over the tumor's: 1 for a ball. The surface is interpolated between slices (linearly in
    /// the distance from the border: Raya & Udupa 1990), so that a ball in slices of 5 mm has no steps.
    /// Edges are rounded within a voxel or so, which makes thin bodies rounder than they are (a box 10 voxels thick by a fifth):
    /// compare only with what was measured alike. None below 30 voxels.
    pub sphericity: Option<f64>,
    /// Second axis over the first: 1 for a ball.
    pub elongation: f64,
    /// Third axis over the first: 1 for a ball.
    pub flatness: f64,
    /// Volume over that of the moment-equivalent ellipsoid: 1 for an ellipsoid, less for sickles and for what is in parts.
    pub fill: f64,
    /// Diameter of the largest ball that fits inside, around a voxel's centre: up to two voxels less than around any point. Where the third axis is coarse the tumor has the benefit of
    /// the doubt: of a single slice the thickness is not known.
    pub thickness_mm: f64,
    /// That over the equivalent diameter: 1 for a ball, less for flat, long and hollow shapes.
    pub depth: f64,
    /// The same ball against the longest axis: 1 for a ball, small for strips.
    pub slenderness: f64,
    /// Parts that touch nowhere, not even with corners, of at least 2 % of the voxels.
    pub parts: usize,
}

impl Shape {
    /// Of a mask. `None` when it is empty, or when its voxels have no size.
    pub fn of(mask: &Mask) -> Option<Self> {
        let spacing_mm = mask.affine.spacing_mm();
        let sized = spacing_mm.iter().all(|s| s.is_finite() && *s > 0.0);
        sized.then(|| measure(&mask.data, spacing_mm)).flatten()
    }
}

/// `None` for an empty mask.
pub(super) fn measure(inside: &Array3<bool>, spacing_mm: [f64; 3]) -> Option<Shape> {
    let body = padded(inside)?;
    let m = measure_mask(&body, spacing_mm)?;
    let [a, b, c] = m.axes_mm;
    let signed_mm = signed_distance_mm(&body, spacing_mm);
    let deepest_mm = -f64::from(signed_mm.iter().copied().fold(0.0, f32::min));
    // An odd number of voxels across has its middle in a voxel, an even number half a voxel beside it: between the two.
    let thickness_mm = 2.0 * deepest_mm + 0.5 * spacing_mm.iter().copied().fold(f64::INFINITY, f64::min);
    let least = LEAST_PART * m.voxels as f64;
    let parts = components(&body, Connectivity::Corners).parts;
    Some(Shape {
        voxels: m.voxels,
        equivalent_diameter_mm: m.equivalent_diameter_mm,
        longest_axis_mm: a,
        sphericity: (m.voxels >= LEAST_VOXELS).then(|| sphericity(&signed_mm, spacing_mm)).flatten(),
        elongation: b / a,
        flatness: c / a,
        fill: m.volume_mm3 / (PI / 6.0 * a * b * c),
        thickness_mm,
        depth: thickness_mm / m.equivalent_diameter_mm,
        slenderness: thickness_mm / a,
        parts: parts.iter().filter(|p| p.voxels as f64 >= least).count(),
    })
}

/// The tumor's box with two empty voxels around it: a tumor ends where the scan ends.
fn padded(inside: &Array3<bool>) -> Option<Array3<bool>> {
    let b = bounding_box(inside)?;
    let [nx, ny, nz] = b.shape();
    let mut body = Array3::from_elem((nx + 4, ny + 4, nz + 4), false);
    let own = inside.slice(s![b.start[0]..b.end[0], b.start[1]..b.end[1], b.start[2]..b.end[2]]);
    body.slice_mut(s![2..nx + 2, 2..ny + 2, 2..nz + 2]).assign(&own);
    Some(body)
}

/// Of the body where `signed_mm` is below 0. The surface is the integral of the gradient's length of the softened body: the mean
/// area of all its level surfaces (coarea formula), which no steps of voxels enlarge.
fn sphericity(signed_mm: &Array3<f32>, spacing_mm: [f64; 3]) -> Option<f64> {
    let shape = <[usize; 3]>::from(signed_mm.dim());
    let extent_mm: [f64; 3] = std::array::from_fn(|a| (shape[a] - 1) as f64 * spacing_mm[a]);
    let longest_mm = extent_mm.iter().copied().fold(0.0, f64::max);
    let finest_mm = spacing_mm.iter().copied().fold(f64::INFINITY, f64::min);
    let step_mm = finest_mm.max(longest_mm / SAMPLES);
    let samples = extent_mm.map(|e| (e / step_mm) as usize + 1);
    let body = Array3::from_shape_fn(samples, |(x, y, z)| {
        let at = [x, y, z].map(|i| i as f64 * step_mm);
        let depth_mm = -linear(signed_mm, std::array::from_fn(|a| at[a] / spacing_mm[a]));
        (0.5 + depth_mm / (2.0 * step_mm)).clamp(0.0, 1.0) as f32
    });
    let body = gaussian(&body, [SMOOTH_SAMPLES; 3]);
    let volume = body.iter().map(|v| f64::from(*v)).sum::<f64>();
    let area = surface(&body);
    (area > 0.0).then(|| ((36.0 * PI * volume * volume).cbrt() / area).min(1.0))
}

/// Trilinear; `at` lies within the array.
fn linear(data: &Array3<f32>, at: [f64; 3]) -> f64 {
    let shape = <[usize; 3]>::from(data.dim());
    let low: [usize; 3] = std::array::from_fn(|a| (at[a] as usize).min(shape[a] - 2));
    let part: [f64; 3] = std::array::from_fn(|a| at[a] - low[a] as f64);
    (0..8)
        .map(|corner| {
            let side: [usize; 3] = std::array::from_fn(|a| corner >> a & 1);
            let weight = |a: usize| if side[a] == 1 { part[a] } else { 1.0 - part[a] };
            let value = data[[low[0] + side[0], low[1] + side[1], low[2] + side[2]]];
            weight(0) * weight(1) * weight(2) * f64::from(value)
        })
        .sum()
}

/// Sum of the lengths of central differences, per voxel.
fn surface(body: &Array3<f32>) -> f64 {
    let shape = <[usize; 3]>::from(body.dim());
    let mut sum = 0.0;
    for ((x, y, z), _) in body.indexed_iter() {
        let at = [x, y, z];
        let slope2 = |a: usize| {
            let (mut low, mut high) = (at, at);
            low[a] = at[a].saturating_sub(1);
            high[a] = (at[a] + 1).min(shape[a] - 1);
            (f64::from(body[high] - body[low]) / 2.0).powi(2)
        };
        sum += (slope2(0) + slope2(1) + slope2(2)).sqrt();
    }
    sum
}
