//! The surface of a mask by marching cubes: its area and the volume that it encloses.
use super::triangles::{CORNERS, pieces};
use ndarray::Array3;
use rayon::prelude::*;

/// Area and volume of a surface.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mesh {
    pub area_mm2: f64,
    pub volume_mm3: f64,
}

/// By code: number of cubes, and sums of their first corners.
type Cubes = Vec<[u64; 4]>;

/// Measures a mask `[x, y, z]`, closed with empty voxels on every side.
///
/// Cubes of one code differ only in their place, so whole numbers are summed and the order of threads cannot matter.
pub(super) fn mesh(mask: &Array3<bool>, spacing_mm: [f64; 3]) -> Mesh {
    let empty = || vec![[0; 4]; 256];
    let planes = (0..=mask.dim().0).into_par_iter();
    let cubes = planes.fold(empty, |cubes, x| count_plane(mask, x, cubes)).reduce(empty, |mut a, b| {
        a.iter_mut().zip(&b).for_each(|(a, b)| (0..4).for_each(|k| a[k] += b[k]));
        a
    });
    let (mut area_mm2, mut volume_mm3) = (0.0, 0.0);
    for (piece, [count, corner @ ..]) in pieces(spacing_mm).iter().zip(&cubes) {
        area_mm2 += piece.area_mm2 * *count as f64;
        let moved =
            (0..3).map(|axis| corner[axis] as f64 * spacing_mm[axis] * piece.normal_mm2[axis]).sum::<f64>();
        volume_mm3 += piece.volume_mm3 * *count as f64 + moved / 3.0;
    }
    Mesh { area_mm2, volume_mm3 }
}

/// Counts the cubes whose first corner has the index `x` in the mask with its border.
fn count_plane(mask: &Array3<bool>, x: usize, mut cubes: Cubes) -> Cubes {
    let (nx, ny, nz) = mask.dim();
    let empty = vec![false; nz];
    let mask = mask.as_slice().expect("in C order");
    // The rows of voxels around the cubes of one row; x and y count from the border.
    let row = |x: usize, y: usize| match (x.wrapping_sub(1), y.wrapping_sub(1)) {
        (x, y) if x < nx && y < ny => &mask[(x * ny + y) * nz..][..nz],
        _ => &empty[..],
    };
    for y in 0..=ny {
        let rows = [0, 1, 2, 3].map(|corner| row(x + CORNERS[corner][0], y + CORNERS[corner][1]));
        let face = |z: usize| {
            let bits = rows.iter().enumerate().map(|(corner, row)| usize::from(row[z]) << corner);
            bits.sum::<usize>()
        };
        let mut before = 0;
        for z in 0..=nz {
            let next = if z < nz { face(z) } else { 0 };
            let code = before | next << 4;
            before = next;
            if code != 0 && code != 255 {
                let sums = [1, x as u64, y as u64, z as u64];
                (0..4).for_each(|k| cubes[code][k] += sums[k]);
            }
        }
    }
    cubes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_voxel_is_an_octahedron() {
        let found = mesh(&Array3::from_elem((1, 1, 1), true), [2.0, 4.0, 6.0]);
        // Two pyramids over the rhombus of half axes 1 and 2, of height 3; eight triangles of half the length of (6, 3, 2).
        assert!((found.volume_mm3 - 2.0 * 4.0 * 3.0 / 3.0).abs() < 1e-12, "{found:?}");
        assert!((found.area_mm2 - 8.0 * 7.0 / 2.0).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn a_box_is_cut_at_its_edges() {
        let found = mesh(&Array3::from_elem((10, 10, 10), true), [1.0; 3]);
        // The cube between the outer voxels' centres, half a voxel on each face, prisms along the edges and a sixth of an octant at corners.
        let volume = 9.0_f64.powi(3) + 6.0 * 81.0 * 0.5 + 12.0 * 9.0 * 0.125 + 8.0 / 48.0;
        assert!((found.volume_mm3 - volume).abs() < 1e-9, "{found:?} {volume}");
    }
}
