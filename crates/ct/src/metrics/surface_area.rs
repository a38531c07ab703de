//! The area of the surface inside of every 2x2x2 neighbourhood of voxels (256 codes), scaled by the voxel size.
//!
//! The areas of google-deepmind/surface-distance: triangles of marching cubes (Lorensen & Cline 1987) with their
//! corners in the middle of the cube's edges. Only the size of a triangle's normal matters, so its components are kept
//! without sign, in eighths of the face that each is scaled by. Rotations, mirror images and the exchange of inside
//! and outside leave 13 cases; the library's 256 entries follow from them without an exception.

/// One of the cases: a code, and the normals of its triangles in eighths.
struct Case(u8, &'static [[u8; 3]]);

const CASES: [Case; 13] = [
    Case(0b0000_0001, &[[1, 1, 1]]),
    Case(0b0000_0011, &[[2, 2, 0], [2, 2, 0]]),
    Case(0b0000_0110, &[[1, 1, 1], [1, 1, 1]]),
    Case(0b0000_0111, &[[1, 1, 1], [2, 2, 2], [4, 0, 0]]),
    Case(0b0000_1111, &[[4, 0, 0], [4, 0, 0]]),
    Case(0b0001_0110, &[[1, 1, 1], [1, 1, 1], [1, 1, 1]]),
    Case(0b0001_0111, &[[1, 1, 1], [1, 1, 1], [2, 2, 2], [2, 2, 2]]),
    Case(0b0001_1000, &[[1, 1, 1], [1, 1, 1]]),
    Case(0b0001_1001, &[[0, 2, 2], [0, 2, 2], [1, 1, 1]]),
    Case(0b0001_1011, &[[0, 2, 2], [1, 1, 1], [2, 0, 2], [3, 3, 3]]),
    Case(0b0001_1110, &[[1, 1, 1], [1, 1, 1], [2, 2, 2], [4, 0, 0]]),
    Case(0b0011_1100, &[[2, 2, 0], [2, 2, 0], [2, 2, 0], [2, 2, 0]]),
    Case(0b0110_1001, &[[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1]]),
];

/// Which old axis each new axis is.
const AXES: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// Area in mm² of the surface in a neighbourhood, by its code. The voxel at offset `(a, b, c)` of the neighbourhood, each 0 or 1, has the bit
/// `128 >> (4 a + 2 b + c)`. 0 for the codes 0 and 255 only.
pub fn area_table_mm2(spacing_mm: [f64; 3]) -> [f64; 256] {
    let [x, y, z] = spacing_mm;
    let faces_mm2 = [y * z, x * z, x * y];
    let mut areas = [0.0; 256];
    for Case(code, normals) in &CASES {
        for axes in AXES {
            let area = |normal: &[u8; 3]| {
                let squares = (0..3).map(|a| (f64::from(normal[axes[a]]) / 8.0 * faces_mm2[a]).powi(2));
                squares.sum::<f64>().sqrt()
            };
            let sum = normals.iter().map(area).sum();
            for mirrored in 0..8 {
                let code = moved(*code, axes, mirrored);
                areas[usize::from(code)] = sum;
                areas[usize::from(!code)] = sum;
            }
        }
    }
    areas
}

/// The code of a neighbourhood with its axes exchanged and some of the new ones (bits 4, 2, 1 for x, y, z) mirrored.
fn moved(code: u8, axes: [usize; 3], mirrored: usize) -> u8 {
    let corners = (0..8).filter(|corner| code & (128 >> corner) != 0);
    corners.fold(0, |out, corner| {
        let old = [corner >> 2 & 1, corner >> 1 & 1, corner & 1];
        let new = (old[axes[0]] << 2 | old[axes[1]] << 1 | old[axes[2]]) ^ mirrored;
        out | 128 >> new
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mixed_code_has_an_area_and_no_other() {
        let areas = area_table_mm2([0.7, 0.9, 2.5]);
        assert_eq!((areas[0], areas[255]), (0.0, 0.0));
        assert!(areas[1..255].iter().all(|a| *a > 0.0));
    }

    #[test]
    fn flat_faces_have_the_area_of_a_voxels_face() {
        let areas = area_table_mm2([2.0, 3.0, 5.0]);
        // Halves along x, y, z.
        assert_eq!([areas[0x0f], areas[0x33], areas[0x55]], [15.0, 10.0, 6.0]);
        // One corner: the triangle between the middles of three edges.
        let corner = |a: f64, b: f64, c: f64| (a * a + b * b + c * c).sqrt() / 8.0;
        assert!((areas[1] - corner(15.0, 10.0, 6.0)).abs() < 1e-15);
    }
}
