//! New grids from old ones: the 1 mm grid that the networks work on, and parts of a grid.
//!
//! The 1 mm grid is MONAI 0.9.0's `Spacing(pixdim=..)`, which the authors' data pipeline uses (paper E.2; its
//! orientation step comes first, see [`crate::orient`]).
use crate::error::{Error, Result};
use crate::patch::VoxelBox;
use crate::volume::{Affine, Grid};

/// More voxels than this are taken for a broken header (a whole body at 0.25 mm has about 2^32).
pub const MAX_VOXELS: u64 = 1 << 33;

impl Grid {
    /// The grid with cubic voxels of `spacing_mm` that covers this one, as MONAI 0.9.0's `Spacing` makes it.
    ///
    /// The first voxels of both grids coincide; the side is `round(extent) + 1` (half to even), where the extent
    /// is measured between the centres of the outermost voxels, in new voxels. A shear of the axes is removed
    /// (Gram-Schmidt: the x axis keeps its direction).
    ///
    /// # Errors
    /// [`Error::Argument`] when the spacing is not positive, the affine is singular or the grid would have more
    /// than [`MAX_VOXELS`] voxels.
    pub fn isotropic(&self, spacing_mm: f64) -> Result<Grid> {
        if !(spacing_mm.is_finite() && spacing_mm > 0.0) {
            return Err(argument("spacing in mm", "a number above 0", spacing_mm));
        }
        if self.affine.inverse().is_none() {
            return Err(argument("affine", "an invertible matrix", format!("{:?}", self.affine.0)));
        }
        let axes = orthonormal_columns(&self.affine);
        let mut affine = self.affine;
        for r in 0..3 {
            for c in 0..3 {
                affine.0[r][c] = axes[c][r] * spacing_mm;
            }
        }
        let to_new = affine
            .inverse()
            .ok_or_else(|| argument("affine", "an invertible matrix", format!("{:?}", self.affine.0)))?
            .compose(&self.affine);
        // The old axis c moves the new coordinate r by to_new[r][c] per voxel; over the 8 corners these add up.
        let side = |r: usize| {
            let extent: f64 =
                (0..3).map(|c| to_new.0[r][c].abs() * self.shape[c].saturating_sub(1) as f64).sum();
            (extent + 1.0).round_ties_even()
        };
        let sides: [f64; 3] = std::array::from_fn(side);
        let voxels: f64 = sides.iter().product();
        // `contains` is false for NaN too.
        if !(0.0..=MAX_VOXELS as f64).contains(&voxels) {
            return Err(argument(
                "size of the resampled image",
                format!("at most {MAX_VOXELS} voxels"),
                format!("{sides:?} voxels of {spacing_mm} mm (check the spacing in the header)"),
            ));
        }
        Ok(Grid { shape: sides.map(|s| s as usize), affine })
    }

    /// The grid of `shape` voxels whose voxel 0 is this grid's voxel `start`. It may reach outside of this grid.
    pub fn crop(&self, start: [i64; 3], shape: [usize; 3]) -> Grid {
        let mut affine = self.affine;
        let origin = self.affine.apply(start.map(|s| s as f64));
        for r in 0..3 {
            affine.0[r][3] = origin[r];
        }
        Grid { shape, affine }
    }

    /// The voxels of this grid that a box of `other`'s voxels covers, each voxel with its extent, grown by `margin_vox` on
    /// every side and cut to this grid; at least one voxel.
    ///
    /// # Errors
    /// [`Error::Argument`] when this grid's affine is singular.
    pub fn covering_box(&self, other: &Grid, part: &VoxelBox, margin_vox: usize) -> Result<VoxelBox> {
        let to_voxel = self
            .affine
            .inverse()
            .ok_or_else(|| argument("affine", "an invertible matrix", format!("{:?}", self.affine.0)))?
            .compose(&other.affine);
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for corner in 0..8 {
            let at = std::array::from_fn(|a| {
                let edge = if corner >> a & 1 == 0 { part.start[a] } else { part.end[a] };
                edge as f64 - 0.5
            });
            let p = to_voxel.apply(at);
            low = std::array::from_fn(|a| low[a].min(p[a]));
            high = std::array::from_fn(|a| high[a].max(p[a]));
        }
        let last = self.shape.map(|n| n.saturating_sub(1) as f64);
        let margin = margin_vox as f64;
        // As f64: a box far outside ends at this grid's border.
        Ok(VoxelBox {
            start: std::array::from_fn(|a| (low[a].floor() - margin).clamp(0.0, last[a]) as usize),
            end: std::array::from_fn(|a| (high[a].ceil() + margin).clamp(0.0, last[a]) as usize + 1),
        })
    }
}

fn argument(what: &str, expected: impl Into<String>, found: impl ToString) -> Error {
    Error::Argument { what: what.into(), expected: expected.into(), found: found.to_string() }
}

/// The columns of the 3×3 part, made orthonormal from the first to the last.
fn orthonormal_columns(affine: &Affine) -> [[f64; 3]; 3] {
    let mut axes: [[f64; 3]; 3] = [[0.0; 3]; 3];
    for c in 0..3 {
        let mut v: [f64; 3] = std::array::from_fn(|r| affine.0[r][c]);
        for earlier in &axes[..c] {
            let along: f64 = (0..3).map(|r| v[r] * earlier[r]).sum();
            v = std::array::from_fn(|r| v[r] - along * earlier[r]);
        }
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        axes[c] = v.map(|x| x / length);
    }
    axes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isotropic_keeps_the_first_voxel_and_rounds_the_extent() {
        let mut affine = Affine::from_spacing_mm([0.8, 0.7, 2.5]);
        affine.0[0][3] = 86.4;
        let grid = Grid { shape: [18, 20, 9], affine };
        let iso = grid.isotropic(1.0).unwrap();
        // 17 * 0.8 = 13.6, 19 * 0.7 = 13.3, 8 * 2.5 = 20: the shape of the golden.
        assert_eq!(iso.shape, [15, 14, 21]);
        assert_eq!(iso.affine.0[0], [1.0, 0.0, 0.0, 86.4]);
        // 1 + 4 * 0.625 = 3.5 goes to the even 4; 1 + 6 * 0.25 = 2.5 to the even 2.
        let halves = Grid { shape: [5, 7, 1], affine: Affine::from_spacing_mm([0.625, 0.25, 3.0]) };
        assert_eq!(halves.isotropic(1.0).unwrap().shape, [4, 2, 1]);
    }

    #[test]
    fn isotropic_of_a_sheared_grid_covers_its_corners() {
        let affine =
            Affine([[2.0, 1.0, 0.0, 5.0], [0.0, 2.0, 0.0, 6.0], [0.0, 0.0, 3.0, 7.0], [0.0, 0.0, 0.0, 1.0]]);
        let iso = Grid { shape: [3, 5, 2], affine }.isotropic(1.0).unwrap();
        // x: 2 * 2 + 4 * 1 = 8; y: 4 * 2 = 8; z: 3.
        assert_eq!(iso.shape, [9, 9, 4]);
        assert_eq!(iso.affine.spacing_mm(), [1.0; 3]);
    }

    #[test]
    fn a_box_is_covered_with_its_voxels_whole_extent() {
        let thick = Grid { shape: [10, 10, 4], affine: Affine::from_spacing_mm([2.0, 2.0, 5.0]) };
        let fine = thick.isotropic(1.0).unwrap(); // 19 x 19 x 16
        let part = VoxelBox { start: [2, 3, 1], end: [4, 4, 3] };
        // x: voxels 2 and 3 reach from 3 to 7 mm; y: from 5 to 7; z: from 2.5 to 12.5.
        let found = fine.covering_box(&thick, &part, 0).unwrap();
        assert_eq!(found, VoxelBox { start: [3, 5, 2], end: [8, 8, 14] });
        let grown = fine.covering_box(&thick, &part, 3).unwrap();
        assert_eq!(grown, VoxelBox { start: [0, 2, 0], end: [11, 11, 16] });
        let far = Grid { affine: thick.crop([-500, 0, 900], [1; 3]).affine, ..thick };
        let clamped = fine.covering_box(&far, &part, 1).unwrap();
        assert_eq!((clamped.start[0], clamped.end[0]), (0, 1));
        assert_eq!((clamped.start[2], clamped.end[2]), (15, 16));
    }

    #[test]
    fn isotropic_names_what_is_wrong() {
        let grid = Grid { shape: [512, 512, 100], affine: Affine::from_spacing_mm([1e6, 1.0, 1.0]) };
        assert!(grid.isotropic(1.0).unwrap_err().to_string().contains("check the spacing"));
        assert!(grid.isotropic(0.0).unwrap_err().to_string().contains("above 0"));
        let flat = Grid { shape: [2, 2, 2], affine: Affine::from_spacing_mm([1.0, 0.0, 1.0]) };
        assert!(flat.isotropic(1.0).unwrap_err().to_string().contains("invertible"));
    }

    #[test]
    fn a_crop_lies_where_its_voxels_lay() {
        let affine = Affine([
            [0.6, -0.3, 0.1, -20.0],
            [0.2, 0.7, -0.4, 5.0],
            [0.1, 0.5, 2.5, 7.0],
            [0.0, 0.0, 0.0, 1.0],
        ]);
        let grid = Grid { shape: [9, 9, 9], affine };
        let part = grid.crop([-2, 3, 0], [4, 5, 6]);
        assert_eq!(part.shape, [4, 5, 6]);
        let (a, b) = (part.affine.apply([1.0, 1.0, 1.0]), grid.affine.apply([-1.0, 4.0, 1.0]));
        // Rounding of world coordinates of size 20.
        assert!((0..3).all(|r| (a[r] - b[r]).abs() < 1e-12));
    }
}
