//! The triangles of marching cubes, and what they add to area and volume.
//!
//! The table is that of PyRadiomics 3.0.1 (`cshape.c`, BSD-3-Clause, Copyright (c) 2017 Harvard Medical School: see
//! `crates/ct/tests/fixtures/radiomics/LICENSE-pyradiomics.txt`), so that areas and volumes equal its own where cases are ambiguous.

/// Corners of a cube as `[x, y, z]`: bit k of a cube's code is set when corner k lies inside.
pub(super) const CORNERS: [[usize; 3]; 8] =
    [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]];

/// Middles of a cube's edges as `[x, y, z]` in half voxels.
const EDGES: [[u8; 3]; 12] = [
    [1, 0, 0],
    [2, 1, 0],
    [1, 2, 0],
    [0, 1, 0],
    [1, 0, 2],
    [2, 1, 2],
    [1, 2, 2],
    [0, 1, 2],
    [0, 0, 1],
    [2, 0, 1],
    [2, 2, 1],
    [0, 2, 1],
];

/// Triangles by code, each of three edges as hexadecimal digits. Codes from 128 on are those of the inverted cube, turned round.
#[rustfmt::skip]
const TRIANGLES: [&str; 128] = [
    "", "083", "190", "183 198", "12a", "083 12a", "92a 029", "283 2a8 a98", "b23", "b20 08b", "190 b23",
    "b21 19b 98b", "3a1 ba3", "a10 08a 8ba", "903 3b9 ba9", "98a ba8", "478", "043 473", "190 478",
    "194 147 173", "12a 478", "347 304 12a", "92a 902 478", "2a9 297 273 479", "478 b23", "b47 b24 204",
    "190 478 b23", "47b 94b b29 192", "3a1 ba3 478", "ba1 14b 104 47b", "478 903 3b9 ba9", "47b 4b9 9ba",
    "954", "954 083", "054 015", "854 835 315", "12a 954", "083 12a 954", "2a5 542 240", "2a5 325 354 834",
    "954 b23", "b20 08b 954", "054 015 b23", "215 258 b28 548", "3a1 ba3 954", "549 a10 08a 8ba",
    "540 50b a5b b03", "548 a58 ba8", "789 579", "309 539 357", "780 017 715", "157 173", "789 579 12a",
    "12a 309 395 357", "028 825 857 2a5", "2a5 253 357", "579 789 b23", "579 972 209 b27",
    "b23 018 178 157", "21b 17b 157", "789 579 3a1 ba3", "570 509 7b0 a10 ba0", "ba0 03b a50 078 570",
    "ba5 57b", "65a", "083 65a", "190 65a", "183 198 65a", "165 126", "165 126 083", "965 906 026",
    "598 582 526 832", "b23 65a", "b20 08b 65a", "190 b23 65a", "b21 19b 98b 65a", "63b 653 513",
    "08b 0b5 051 5b6", "63b 036 065 059", "659 69b b98", "478 65a", "043 473 65a", "190 478 65a",
    "194 147 173 65a", "478 165 126", "043 473 165 126", "478 965 906 026", "739 479 329 596 269",
    "b23 478 65a", "b47 b24 204 65a", "190 b23 478 65a", "47b 94b b29 192 65a", "478 63b 653 513",
    "51b 5b6 10b 47b 04b", "478 63b 036 065 059", "659 69b 479 7b9", "a49 64a", "a49 64a 083",
    "01a a60 640", "183 168 864 61a", "149 124 264", "149 124 264 083", "024 426", "832 824 426",
    "b23 a49 64a", "b20 08b a49 64a", "b23 01a a60 640", "641 61a 148 b21 18b", "964 369 139 b63",
    "18b 081 b61 149 641", "63b 036 640", "864 68b", "67a 78a 89a", "67a 0a7 09a 073", "67a 1a7 178 018",
    "67a 1a7 173", "126 168 189 678", "269 129 679 309 739", "078 706 602", "273 267", "b23 67a 78a 89a",
    "207 b27 097 67a 9a7", "67a 1a7 178 018 b23", "b21 17b a61 167", "896 678 169 b63 136", "091 67b",
    "078 706 03b b60", "67b",
];

/// What the surface in one cube adds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Piece {
    /// Area in mm².
    pub area_mm2: f64,
    /// Sum of the triangles' normals, each as long as its area, towards the inside for the sign of the volume.
    pub normal_mm2: [f64; 3],
    /// Signed volume in mm³ between the triangles and the cube's first corner.
    pub volume_mm3: f64,
}

/// The pieces of all 256 codes for voxels of `spacing_mm`.
pub(super) fn pieces(spacing_mm: [f64; 3]) -> [Piece; 256] {
    let mut pieces = [Piece::default(); 256];
    for (code, triangles) in TRIANGLES.iter().enumerate() {
        let mut piece = Piece::default();
        triangles.split_whitespace().for_each(|triangle| piece.add(triangle, spacing_mm));
        pieces[code] = piece;
        pieces[255 - code] = Piece {
            area_mm2: piece.area_mm2,
            normal_mm2: piece.normal_mm2.map(|n| -n),
            volume_mm3: -piece.volume_mm3,
        };
    }
    pieces
}

impl Piece {
    fn add(&mut self, triangle: &str, spacing_mm: [f64; 3]) {
        let mut corners = triangle.chars().map(|digit| {
            let edge = EDGES[digit.to_digit(16).expect("a hexadecimal digit") as usize];
            std::array::from_fn(|axis| f64::from(edge[axis]) / 2.0 * spacing_mm[axis])
        });
        let [a, b, c]: [[f64; 3]; 3] = std::array::from_fn(|_| corners.next().expect("three corners"));
        let [u, v]: [[f64; 3]; 2] = [b, c].map(|p| std::array::from_fn(|axis| p[axis] - a[axis]));
        let normal: [f64; 3] = std::array::from_fn(|axis| {
            let (p, q) = ((axis + 1) % 3, (axis + 2) % 3);
            // PyRadiomics has its axes as z, y, x, which turns every triangle round.
            -(u[p] * v[q] - u[q] * v[p]) / 2.0
        });
        self.area_mm2 += normal.iter().map(|n| n * n).sum::<f64>().sqrt();
        self.volume_mm3 += (0..3).map(|axis| a[axis] * normal[axis]).sum::<f64>() / 3.0;
        (0..3).for_each(|axis| self.normal_mm2[axis] += normal[axis]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mixed_code_has_triangles_on_its_cut_edges() {
        for (code, triangles) in TRIANGLES.iter().enumerate() {
            assert_eq!(triangles.is_empty(), code == 0, "code {code}");
            for digit in triangles.chars().filter(|c| *c != ' ') {
                let middle = EDGES[digit.to_digit(16).unwrap() as usize];
                let ends = (0..8).filter(|corner| {
                    let at: [usize; 3] = CORNERS[*corner];
                    (0..3).all(|axis| middle[axis] == 1 || usize::from(middle[axis]) == 2 * at[axis])
                });
                let inside = ends.filter(|corner| code >> corner & 1 == 1).count();
                assert_eq!(inside, 1, "code {code}, edge {digit}");
            }
        }
    }
}
