//! The published tumor shape: an ellipsoid that three elastic deformations bend, one plane at a time.
//!
//! Source: the authors' code (paper Sec. 3.3 "following Hu et al."). The ellipsoid with semi-axes (x, y, z) lives in an
//! array of (4x, 4y, 4z) voxels, centre (2x, 2y, 2z). Each deformation moves voxels in the plane of two axes by a
//! cubic B-spline through a 3x3 grid of displacements and takes the nearest voxel, so it is a pure map of indices.
//! The three maps are composed here and only the wanted voxels are looked up: no intermediate array exists.
use crate::draws::Draws;
use ndarray::Array3;
use rayon::prelude::*;
use std::ops::Range;

/// Displacements in voxels at the corners, edge middles and centre of a plane: `[axis of the pair][row][column]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DisplacementGrid(pub [[[f64; 3]; 3]; 2]);

impl DisplacementGrid {
    /// 18 normals times `sigma_vox`.
    pub fn draw(sigma_vox: f64, draws: &mut impl Draws) -> Self {
        let mut normals = [0.0; 18];
        draws.normals(&mut normals);
        Self(std::array::from_fn(|a| {
            std::array::from_fn(|r| std::array::from_fn(|c| normals[a * 9 + r * 3 + c] * sigma_vox))
        }))
    }

    /// The same displacements with rows and columns (and so the two axes) exchanged.
    fn transposed(&self) -> Self {
        Self(std::array::from_fn(|a| std::array::from_fn(|r| std::array::from_fn(|c| self.0[1 - a][c][r]))))
    }
}

/// Where the voxels of a plane come from; `None` when that is outside of the array.
struct PlaneMap {
    columns: usize,
    /// `[rows, columns]`: source row and column.
    source: Vec<Option<[u16; 2]>>,
}

impl PlaneMap {
    fn new(rows: usize, columns: usize, grid: &DisplacementGrid) -> Self {
        let coefficients = grid.0.map(spline_coefficients);
        let column_weights: Vec<_> = (0..columns).map(|c| spline_weights(c, columns)).collect();
        let mut source = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            let w = spline_weights(row, rows);
            let along = coefficients.map(|g| -> [f64; 3] {
                std::array::from_fn(|c| w[0] * g[0][c] + w[1] * g[1][c] + w[2] * g[2][c])
            });
            for (column, v) in column_weights.iter().enumerate() {
                let [d_row, d_column] = along.map(|a| a[0] * v[0] + a[1] * v[1] + a[2] * v[2]);
                source.push(
                    nearest(row, d_row, rows).zip(nearest(column, d_column, columns)).map(|(r, c)| [r, c]),
                );
            }
        }
        Self { columns, source }
    }
}

/// The voxel nearest to `index + displacement` on an axis of length `n`.
fn nearest(index: usize, displacement: f64, n: usize) -> Option<u16> {
    let source = index as f64 + displacement;
    (source >= 0.0 && source <= (n - 1) as f64).then(|| (source + 0.5).floor() as u16)
}

/// B-spline coefficients through 3x3 values, mirrored at the edges (index reflection without repeating the edge).
/// For three points the prefilter has this closed form.
fn spline_coefficients(values: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let filter = |s: [f64; 3]| {
        let middle = 2.0 * s[1] - 0.5 * (s[0] + s[2]);
        [1.5 * s[0] - 0.5 * middle, middle, 1.5 * s[2] - 0.5 * middle]
    };
    let mut c = values.map(filter);
    for column in 0..3 {
        let filtered = filter([c[0][column], c[1][column], c[2][column]]);
        for row in 0..3 {
            c[row][column] = filtered[row];
        }
    }
    c
}

/// Weights of the three coefficients at output index `o` of an axis of length `n`: grid coordinate `2 o / (n - 1)`.
fn spline_weights(o: usize, n: usize) -> [f64; 3] {
    const MIRRORED: [usize; 6] = [1, 0, 1, 2, 1, 0]; // grid indices -1..=4
    let g = 2.0 * o as f64 / (n - 1) as f64;
    let first = g.floor() as usize;
    let mut weights = [0.0; 3];
    for (tap, w) in cubic_b_spline(g - g.floor()).into_iter().enumerate() {
        weights[MIRRORED[first + tap]] += w;
    }
    weights
}

/// The four weights of a uniform cubic B-spline at fraction `t` of its middle interval.
pub(super) fn cubic_b_spline(t: f64) -> [f64; 4] {
    let s = 1.0 - t;
    let middle = |t: f64| (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0;
    [s * s * s / 6.0, middle(t), middle(s), t * t * t / 6.0]
}

/// An ellipsoid after its three deformations, ready to be looked up voxel by voxel.
pub struct DeformedEllipsoid {
    semi_axes_vox: [usize; 3],
    /// Third deformation, `[x, z]`.
    map02: PlaneMap,
    /// Second deformation, transposed to `[z, y]`: source y, and the ellipsoid's z term there.
    source12: Vec<(u16, f64)>,
    /// First deformation, `[x, y]`: the ellipsoid's x term plus its y term at the source.
    sum01: Vec<f64>,
    /// Per row of `sum01`: can any voxel of it lie in the ellipsoid?
    row_used: Vec<bool>,
    /// Per row of `source12`: the range of y that can lie in the ellipsoid.
    y_used: Vec<Range<usize>>,
}

impl DeformedEllipsoid {
    /// The ellipsoid bent by `grids`: first in the plane of the axes (x, y), then (y, z), then (x, z).
    ///
    /// # Panics
    /// When a semi-axis is 0 or above 16000 (indices are 16 bit).
    pub fn new(semi_axes_vox: [usize; 3], grids: &[DisplacementGrid; 3]) -> Self {
        assert!(semi_axes_vox.iter().all(|s| (1..=16_000).contains(s)), "semi-axes {semi_axes_vox:?} voxels");
        let [nx, ny, nz] = semi_axes_vox.map(|s| 4 * s);
        let [tx, ty, tz] = semi_axes_vox.map(|s| -> Vec<f64> {
            (0..4 * s).map(|i| ((i as f64 - 2.0 * s as f64) / s as f64).powi(2)).collect()
        });
        let map01 = PlaneMap::new(nx, ny, &grids[0]);
        let sum01: Vec<f64> = (map01.source.iter())
            .map(|s| s.map_or(f64::INFINITY, |[i, j]| tx[i as usize] + ty[j as usize]))
            .collect();
        let map12 = PlaneMap::new(nz, ny, &grids[1].transposed());
        let source12: Vec<(u16, f64)> = (map12.source.iter())
            .map(|s| s.map_or((0, f64::INFINITY), |[k, j]| (j, tz[k as usize])))
            .collect();
        let row_used = sum01.chunks_exact(ny).map(|row| row.iter().any(|&s| s < 1.0)).collect();
        let y_used = (source12.chunks_exact(ny))
            .map(|row| {
                let inside = |&(_, z_term): &(u16, f64)| z_term < 1.0;
                let first = row.iter().position(inside).unwrap_or(0);
                first..row.iter().rposition(inside).map_or(first, |last| last + 1)
            })
            .collect();
        Self { semi_axes_vox, map02: PlaneMap::new(nx, nz, &grids[2]), source12, sum01, row_used, y_used }
    }

    /// Draws the three deformations.
    pub fn draw(semi_axes_vox: [usize; 3], sigma_vox: f64, draws: &mut impl Draws) -> Self {
        Self::new(semi_axes_vox, &std::array::from_fn(|_| DisplacementGrid::draw(sigma_vox, draws)))
    }

    /// Shape of the whole array: four semi-axes.
    pub fn shape(&self) -> [usize; 3] {
        self.semi_axes_vox.map(|s| 4 * s)
    }

    /// The voxels of a window of the array, `[x, y, z]`.
    ///
    /// # Panics
    /// When the window leaves [`Self::shape`].
    pub fn rasterize(&self, window: [Range<usize>; 3]) -> Array3<bool> {
        let shape = self.shape();
        for a in 0..3 {
            assert!(window[a].end <= shape[a], "window {window:?} of an array of shape {shape:?}");
        }
        let [wx, wy, wz] = window;
        let mut mask = Array3::from_elem((wx.len(), wy.len(), wz.len()), false);
        if mask.is_empty() {
            return mask;
        }
        let plane = wy.len() * wz.len();
        let voxels = mask.as_slice_mut().expect("a new array is contiguous");
        voxels.par_chunks_mut(plane).enumerate().for_each(|(i, out)| {
            self.rasterize_plane(wx.start + i, &wy, &wz, out);
        });
        mask
    }

    /// One plane of constant x: `out` is `[y, z]`.
    fn rasterize_plane(&self, i: usize, wy: &Range<usize>, wz: &Range<usize>, out: &mut [bool]) {
        let ny = 4 * self.semi_axes_vox[1];
        for k in wz.clone() {
            let Some([i1, k1]) = self.map02.source[i * self.map02.columns + k] else { continue };
            let (i1, k1) = (i1 as usize, k1 as usize);
            if !self.row_used[i1] {
                continue;
            }
            let sums = &self.sum01[i1 * ny..(i1 + 1) * ny];
            let row = &self.source12[k1 * ny..(k1 + 1) * ny];
            let used = &self.y_used[k1];
            for j in used.start.max(wy.start)..used.end.min(wy.end) {
                let (j1, z_term) = row[j];
                out[(j - wy.start) * wz.len() + (k - wz.start)] = sums[j1 as usize] + z_term < 1.0;
            }
        }
    }
}
