//! Tumors made by formula, in noise as fine as a scan's.
mod figures;
mod verdicts;

use super::{Figures, Input};
use crate::draws::{Draws, Stream};
use crate::filter::gaussian;
use crate::{Affine, Mask, Volume};
use ndarray::Array3;

/// Side of the scan.
const SIDE_MM: f64 = 60.0;
const ORGAN_HU: f32 = 100.0;
const NOISE_HU: f64 = 12.0;

/// A tumor, its scan and the scan before.
#[derive(Clone)]
struct Phantom {
    ct: Volume,
    before: Volume,
    tumor: Mask,
}

impl Phantom {
    /// A body (positions in mm from the scan's middle) of `hu`, its edge blurred by `edge_mm`.
    fn of(spacing_mm: [f64; 3], hu: f32, edge_mm: f64, body: impl Fn([f64; 3]) -> bool) -> Self {
        let shape = spacing_mm.map(|s| (SIDE_MM / s).round() as usize);
        let affine = Affine::from_spacing_mm(spacing_mm);
        let at = |p: [usize; 3]| {
            std::array::from_fn(|a| (p[a] as f64 - (shape[a] - 1) as f64 / 2.0) * spacing_mm[a])
        };
        let tumor = Array3::from_shape_fn(shape, |(x, y, z)| body(at([x, y, z])));
        let soft = gaussian(&tumor.mapv(|t| f32::from(u8::from(t))), spacing_mm.map(|s| edge_mm / s));
        let before = noise(shape, spacing_mm).mapv_into(|n| ORGAN_HU + n);
        let ct = &before + &(soft * (hu - ORGAN_HU));
        Self {
            ct: Volume { data: ct, affine },
            before: Volume { data: before, affine },
            tumor: Mask { data: tumor, affine },
        }
    }

    fn input(&self) -> Input<'_> {
        Input {
            ct: &self.ct,
            tumor: &self.tumor,
            other_lesions: None,
            organ: None,
            before: Some(&self.before),
        }
    }

    fn figures(&self) -> Figures {
        Figures::of(&self.input()).expect("a tumor")
    }
}

/// Noise correlated in the slices.
fn noise(shape: [usize; 3], spacing_mm: [f64; 3]) -> Array3<f32> {
    let mut white = vec![0.0; shape.iter().product()];
    Stream::new(11, 0, "realism", 0).normals(&mut white);
    let white = Array3::from_shape_vec(shape, white.into_iter().map(|v| v as f32).collect()).unwrap();
    let soft = gaussian(&white, [0.6 / spacing_mm[0], 0.6 / spacing_mm[1], 0.0]);
    let sd = (soft.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / soft.len() as f64).sqrt();
    soft.mapv_into(|v| v * (NOISE_HU / sd) as f32)
}

fn in_ball(radius_mm: f64) -> impl Fn([f64; 3]) -> bool {
    move |p| p.iter().map(|v| v * v).sum::<f64>() < radius_mm * radius_mm
}

fn in_box(half_mm: [f64; 3]) -> impl Fn([f64; 3]) -> bool {
    move |p| (0..3).all(|a| p[a].abs() < half_mm[a])
}

/// A ball that a tumor's usual things are true of.
fn ball() -> Phantom {
    Phantom::of([1.0; 3], 60.0, 1.0, in_ball(12.0))
}
