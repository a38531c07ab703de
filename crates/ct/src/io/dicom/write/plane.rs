//! Where slices of a volume lie, in DICOM's terms.
use super::super::MAX_SIDE_VOX;
use crate::error::{Error, Result};
use crate::volume::Grid;

/// Axes may deviate by as much from right angles (as a cosine): 0.05 degrees, what readers of series accept as upright.
const MAX_COSINE: f64 = 8e-4;

/// The planes of all slices. LPS+ mm.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planes {
    /// Direction cosines of rows and of columns.
    pub directions: [[f64; 3]; 2],
    /// Distance of neighbours in a row, and in a column.
    pub spacing_mm: [f64; 2],
    /// From slice to slice.
    pub step_mm: [f64; 3],
    /// Centre of the first voxel.
    pub origin_mm: [f64; 3],
}

impl Planes {
    /// # Errors
    /// [`Error::Argument`] when axes are not at right angles (DICOM's slices cannot be sheared), or a side is too long.
    pub fn of(grid: &Grid) -> Result<Self> {
        if grid.shape.iter().any(|&n| n == 0 || n > MAX_SIDE_VOX) {
            let expected = format!("1 to {MAX_SIDE_VOX} voxels a side");
            return Err(argument("size of a scan to write as DICOM", expected, format!("{:?}", grid.shape)));
        }
        let column = |c: usize| lps(std::array::from_fn(|r| grid.affine.0[r][c]));
        let columns = [column(0), column(1), column(2)];
        let lengths_mm = columns.map(|v| dot(v, v).sqrt());
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let cosine = dot(columns[a], columns[b]) / (lengths_mm[a] * lengths_mm[b]);
            if cosine.is_nan() || cosine.abs() > MAX_COSINE {
                let expected = "voxel axes at right angles, as slices of a DICOM series have";
                let found = format!("a cosine of {cosine} in {:?}", grid.affine.0);
                return Err(argument("affine of a scan to write as DICOM", expected.into(), found));
            }
        }
        let unit = |c: usize| columns[c].map(|v: f64| v / lengths_mm[c]);
        Ok(Self {
            directions: [unit(0), unit(1)],
            spacing_mm: [lengths_mm[0], lengths_mm[1]],
            step_mm: columns[2],
            origin_mm: column(3),
        })
    }

    /// Centre of the first voxel of slice z.
    pub fn position_mm(&self, z: usize) -> [f64; 3] {
        std::array::from_fn(|a| self.origin_mm[a] + z as f64 * self.step_mm[a])
    }

    /// Distance of slices.
    pub fn step_length_mm(&self) -> f64 {
        dot(self.step_mm, self.step_mm).sqrt()
    }
}

/// Between RAS and LPS, either way.
fn lps(v: [f64; 3]) -> [f64; 3] {
    [-v[0], -v[1], v[2]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|i| a[i] * b[i]).sum()
}

fn argument(what: &str, expected: String, found: String) -> Error {
    Error::Argument { what: what.into(), expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;

    #[test]
    fn planes_lie_where_voxels_do_and_shear_is_refused() {
        let mut affine = Affine::from_spacing_mm([0.5, 0.75, 2.5]);
        (affine.0[0][3], affine.0[1][3], affine.0[2][3]) = (10.0, 20.0, 30.0);
        let grid = Grid { shape: [4, 3, 2], affine };
        let planes = Planes::of(&grid).unwrap();
        assert_eq!(planes.directions, [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]);
        assert_eq!((planes.position_mm(2), planes.step_length_mm()), ([-10.0, -20.0, 35.0], 2.5));
        let mut sheared = grid;
        sheared.affine.0[1][2] = 0.1;
        assert!(Planes::of(&sheared).unwrap_err().to_string().contains("right angles"));
        assert!(Planes::of(&Grid { shape: [4, 9000, 2], ..grid }).is_err());
    }
}
