//! Images in space: voxels on a grid with an affine.
//!
//! Arrays are indexed `[x, y, z]` in the file's own voxel axes and stored in C order (z fastest).
//! World coordinates are RAS+ millimetres, as in NIfTI.
use crate::error::{Error, Result};
use ndarray::Array3;

/// `world_from_voxel`: maps a voxel index (its centre) to RAS+ millimetres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine(pub [[f64; 4]; 4]);

/// Where an image's voxels lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Number of voxels along x, y, z.
    pub shape: [usize; 3],
    /// `world_from_voxel`.
    pub affine: Affine,
}

/// A 3-D image on a grid. `data.dim()` is the grid's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Image<T> {
    /// Voxels `[x, y, z]`, C order.
    pub data: Array3<T>,
    /// `world_from_voxel`.
    pub affine: Affine,
}

/// A CT in Hounsfield units.
pub type Volume = Image<f32>;
/// A region: `true` inside.
pub type Mask = Image<bool>;
/// A label map.
pub type Labels = Image<u16>;

impl Affine {
    /// Axes along R, A, S with the given voxel size, origin at voxel 0.
    pub fn from_spacing_mm(spacing_mm: [f64; 3]) -> Self {
        let mut m = [[0.0; 4]; 4];
        for a in 0..3 {
            m[a][a] = spacing_mm[a];
        }
        m[3][3] = 1.0;
        Self(m)
    }

    /// World position (RAS+ mm) of a voxel position.
    pub fn apply(&self, voxel: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|r| {
            self.0[r][0] * voxel[0] + self.0[r][1] * voxel[1] + self.0[r][2] * voxel[2] + self.0[r][3]
        })
    }

    /// Voxel size: the length of each column.
    pub fn spacing_mm(&self) -> [f64; 3] {
        std::array::from_fn(|c| (0..3).map(|r| self.0[r][c].powi(2)).sum::<f64>().sqrt())
    }

    /// Standard deviations, in voxels, of a Gaussian blur within axial slices: none along the voxel axis that runs most nearly along the
    /// body.
    pub fn blur_in_slices_vox(&self, sigma_mm: f64) -> [f64; 3] {
        let (spacing_mm, across) = (self.spacing_mm(), self.slice_axis());
        std::array::from_fn(|a| if a == across { 0.0 } else { sigma_mm / spacing_mm[a] })
    }

    /// The voxel axis that runs most nearly along the body: across the slices.
    pub(crate) fn slice_axis(&self) -> usize {
        let spacing_mm = self.spacing_mm();
        let along = |axis: &usize| (self.0[2][*axis] / spacing_mm[*axis]).abs();
        (0..3).max_by(|a, b| along(a).total_cmp(&along(b))).unwrap_or(2)
    }

    /// Determinant of the 3×3 part: the voxel's signed volume in mm³.
    pub fn determinant(&self) -> f64 {
        let m = &self.0;
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    }

    /// `self ∘ inner`: first `inner`, then `self`.
    pub fn compose(&self, inner: &Affine) -> Affine {
        Affine(std::array::from_fn(|r| {
            std::array::from_fn(|c| (0..4).map(|k| self.0[r][k] * inner.0[k][c]).sum())
        }))
    }

    /// `voxel_from_world`. `None` when the affine is singular or not finite.
    pub fn inverse(&self) -> Option<Affine> {
        let m = &self.0;
        let det = self.determinant();
        if !det.is_finite() || det == 0.0 {
            return None;
        }
        let mut inv = [[0.0; 4]; 4];
        for r in 0..3 {
            for c in 0..3 {
                let (a, b) = ((c + 1) % 3, (c + 2) % 3);
                let (p, q) = ((r + 1) % 3, (r + 2) % 3);
                inv[r][c] = (m[a][p] * m[b][q] - m[a][q] * m[b][p]) / det;
            }
        }
        for r in 0..3 {
            inv[r][3] = -(0..3).map(|c| inv[r][c] * m[c][3]).sum::<f64>();
        }
        inv[3][3] = 1.0;
        inv.iter().flatten().all(|v| v.is_finite()).then_some(Affine(inv))
    }
}

impl<T> Image<T> {
    /// The grid that the voxels lie on.
    pub fn grid(&self) -> Grid {
        let (x, y, z) = self.data.dim();
        Grid { shape: [x, y, z], affine: self.affine }
    }
}

impl Grid {
    /// Largest distance in mm between where the two affines put any corner voxel of this grid.
    pub fn corner_distance_mm(&self, other: &Affine) -> f64 {
        (0..8)
            .map(|corner| {
                let v = std::array::from_fn(|a| {
                    if corner >> a & 1 == 1 { self.shape[a].saturating_sub(1) as f64 } else { 0.0 }
                });
                let (p, q) = (self.affine.apply(v), other.apply(v));
                (0..3).map(|a| (p[a] - q[a]).powi(2)).sum::<f64>().sqrt()
            })
            .fold(0.0, f64::max)
    }

    /// Checks that `other` is this grid: the same shape, and no corner off by more than a tenth of the smallest
    /// voxel side (header rounding is far below that, a real shift far above).
    pub fn require_same(&self, name: &str, other: &Grid, other_name: &str) -> Result<()> {
        let mismatch = |difference| Error::GridMismatch { a: name.into(), b: other_name.into(), difference };
        if self.shape != other.shape {
            return Err(mismatch(format!("shape {:?} against {:?}", self.shape, other.shape)));
        }
        let smallest_mm = self.affine.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
        let off_mm = self.corner_distance_mm(&other.affine);
        if off_mm.is_nan() || off_mm > 0.1 * smallest_mm {
            return Err(mismatch(format!(
                "corners are up to {off_mm:.3} mm apart (voxel size {:.3?} against {:.3?} mm)",
                self.affine.spacing_mm(),
                other.affine.spacing_mm()
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_lie_across_the_body() {
        let mut tilted = Affine::from_spacing_mm([0.7, 0.7, 5.0]);
        assert_eq!(tilted.slice_axis(), 2);
        assert_eq!(tilted.blur_in_slices_vox(1.4), [2.0, 2.0, 0.0]);
        // Gantry tilt of 20 degrees: rows climb, and yet they are not what runs along the body.
        (tilted.0[1][1], tilted.0[2][1]) = (0.66, 0.24);
        assert_eq!(tilted.slice_axis(), 2);
        // Stored from the left to the right side: the second voxel axis runs along the body, downwards.
        let sagittal =
            [[0.0, 0.0, 3.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
        assert_eq!(Affine(sagittal).slice_axis(), 1);
    }

    #[test]
    fn inverse_undoes_an_oblique_affine() {
        let a = Affine([
            [0.6, -0.3, 0.1, -20.0],
            [0.2, 0.7, -0.4, 5.0],
            [0.1, 0.5, 2.5, 7.0],
            [0.0, 0.0, 0.0, 1.0],
        ]);
        let id = a.compose(&a.inverse().unwrap());
        for r in 0..4 {
            for c in 0..4 {
                assert!((id.0[r][c] - f64::from(u8::from(r == c))).abs() < 1e-12);
            }
        }
        assert!(Affine::from_spacing_mm([1.0, 0.0, 1.0]).inverse().is_none());
    }

    #[test]
    fn grids_differ_by_shape_and_by_shift_but_not_by_rounding() {
        let g = Grid { shape: [10, 20, 30], affine: Affine::from_spacing_mm([0.7, 0.7, 5.0]) };
        let mut h = g;
        h.affine.0[0][3] += 1e-4;
        assert!(g.require_same("ct", &h, "mask").is_ok());
        h.affine.0[0][3] += 3.0;
        let text = g.require_same("ct", &h, "mask").unwrap_err().to_string();
        assert!(text.contains("3.000 mm"), "{text}");
        h.shape[2] = 31;
        assert!(g.require_same("ct", &h, "mask").unwrap_err().to_string().contains("[10, 20, 31]"));
    }
}
