//! What a person would measure of a tumor: volume, diameters, axes, and Hounsfield units inside and around it.
//!
//! Axes are the full axes of the moment-equivalent ellipsoid: `2 sqrt(5 eigenvalue)` of the covariance of the voxels'
//! positions, the extent of a voxel itself (`spacing^2 / 12` per axis) included, so that a single voxel has a size.
use ndarray::{Array3, ArrayView2, Axis};

/// Size and shape of a mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskMeasure {
    /// Number of voxels.
    pub voxels: usize,
    /// Voxels times the volume of one.
    pub volume_mm3: f64,
    /// Mean voxel index.
    pub centroid_vox: [f64; 3],
    /// Diameter of the ball of the same volume.
    pub equivalent_diameter_mm: f64,
    /// Full axes of the moment-equivalent ellipsoid, longest first.
    pub axes_mm: [f64; 3],
    /// The longest distance within one slice of the third axis (a radiologist's long diameter): between the centres
    /// of two voxels of the mask, plus the mean side of a voxel in that plane for the two halves at the ends.
    pub longest_axial_diameter_mm: f64,
}

/// Measures a mask `[x, y, z]`. `None` when it is empty.
pub fn measure(mask: &Array3<bool>, spacing_mm: [f64; 3]) -> Option<MaskMeasure> {
    let (voxels, centroid_vox, covariance) = moments(mask, spacing_mm)?;
    let volume_mm3 = voxels as f64 * spacing_mm.iter().product::<f64>();
    let centres_mm = (mask.axis_iter(Axis(2)))
        .map(|slice| longest_distance_mm(slice, [spacing_mm[0], spacing_mm[1]]))
        .fold(0.0, f64::max);
    Some(MaskMeasure {
        voxels,
        volume_mm3,
        centroid_vox,
        equivalent_diameter_mm: (6.0 * volume_mm3 / std::f64::consts::PI).cbrt(),
        axes_mm: axes_of(covariance),
        longest_axial_diameter_mm: centres_mm + 0.5 * (spacing_mm[0] + spacing_mm[1]),
    })
}

/// Full axes of the moment-equivalent ellipsoid in mm, longest first. `None` for an empty mask.
pub fn principal_axes_mm(mask: &Array3<bool>, spacing_mm: [f64; 3]) -> Option<[f64; 3]> {
    moments(mask, spacing_mm).map(|(_, _, covariance)| axes_of(covariance))
}

fn axes_of(covariance: [[f64; 3]; 3]) -> [f64; 3] {
    // Rounding can put the eigenvalue of a flat mask just below zero.
    symmetric_eigenvalues(covariance).map(|e| 2.0 * (5.0 * e.max(0.0)).sqrt())
}

/// Number of voxels, mean index, covariance in mm² with the voxel's own extent.
fn moments(mask: &Array3<bool>, spacing_mm: [f64; 3]) -> Option<(usize, [f64; 3], [[f64; 3]; 3])> {
    // Sums of integers, exact: centred sums are not needed below 2^53.
    let (mut n, mut sum, mut product) = (0u64, [0u64; 3], [[0u64; 3]; 3]);
    for (x, plane) in mask.outer_iter().enumerate() {
        for (y, row) in plane.outer_iter().enumerate() {
            let (mut count, mut z1, mut z2) = (0u64, 0u64, 0u64);
            for (z, _) in row.iter().enumerate().filter(|(_, v)| **v) {
                count += 1;
                z1 += z as u64;
                z2 += (z * z) as u64;
            }
            let (x, y) = (x as u64, y as u64);
            n += count;
            for (s, add) in sum.iter_mut().zip([x * count, y * count, z1]) {
                *s += add;
            }
            for (p, add) in product.as_flattened_mut().iter_mut().zip([
                x * x * count,
                x * y * count,
                x * z1,
                0,
                y * y * count,
                y * z1,
                0,
                0,
                z2,
            ]) {
                *p += add;
            }
        }
    }
    if n == 0 {
        return None;
    }
    let mean = sum.map(|s| s as f64 / n as f64);
    let covariance = std::array::from_fn(|r| {
        std::array::from_fn(|c| {
            let (a, b) = (r.min(c), r.max(c));
            let voxel = if r == c { 1.0 / 12.0 } else { 0.0 };
            (product[a][b] as f64 / n as f64 - mean[a] * mean[b] + voxel) * spacing_mm[r] * spacing_mm[c]
        })
    });
    Some((n as usize, mean, covariance))
}

/// Eigenvalues of a symmetric matrix, largest first, by cyclic Jacobi rotations.
pub(crate) fn symmetric_eigenvalues(mut m: [[f64; 3]; 3]) -> [f64; 3] {
    // Each sweep squares the off-diagonal part: 12 are more than f64 can use.
    for _ in 0..12 {
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            if m[p][q] == 0.0 {
                continue;
            }
            let theta = (m[q][q] - m[p][p]) / (2.0 * m[p][q]);
            let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
            let c = 1.0 / (t * t + 1.0).sqrt();
            let s = t * c;
            for k in 0..3 {
                (m[k][p], m[k][q]) = (c * m[k][p] - s * m[k][q], s * m[k][p] + c * m[k][q]);
            }
            for k in 0..3 {
                (m[p][k], m[q][k]) = (c * m[p][k] - s * m[q][k], s * m[p][k] + c * m[q][k]);
            }
        }
    }
    let mut values = [m[0][0], m[1][1], m[2][2]];
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

/// Longest distance between two voxel centres of a slice. The two ends of a longest distance are first or last in
/// their row, so only those are compared.
fn longest_distance_mm(slice: ArrayView2<bool>, spacing_mm: [f64; 2]) -> f64 {
    let mut ends = Vec::new();
    for (x, row) in slice.outer_iter().enumerate() {
        let Some(first) = row.iter().position(|v| *v) else { continue };
        let last = row.iter().rposition(|v| *v).expect("the row has a voxel");
        ends.extend([first, last].map(|y| [x as f64 * spacing_mm[0], y as f64 * spacing_mm[1]]));
    }
    let mut longest: f64 = 0.0;
    for (i, a) in ends.iter().enumerate() {
        for b in &ends[i..] {
            longest = longest.max((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2));
        }
    }
    longest.sqrt()
}

/// Mean and standard deviation (of the population) of some voxels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HuStatistics {
    /// Number of voxels.
    pub voxels: usize,
    /// Mean.
    pub mean_hu: f64,
    /// Standard deviation.
    pub sd_hu: f64,
}

impl HuStatistics {
    /// Statistics of the voxels of `volume_hu` where `region` is true. `None` when there is none.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn of(volume_hu: &Array3<f32>, region: &Array3<bool>) -> Option<Self> {
        assert_eq!(volume_hu.dim(), region.dim(), "volume and region");
        let chosen = || volume_hu.iter().zip(region).filter(|(_, r)| **r).map(|(v, _)| f64::from(*v));
        let voxels = chosen().count();
        if voxels == 0 {
            return None;
        }
        let mean_hu = chosen().sum::<f64>() / voxels as f64;
        let variance = chosen().map(|v| (v - mean_hu).powi(2)).sum::<f64>() / voxels as f64;
        Some(Self { voxels, mean_hu, sd_hu: variance.sqrt() })
    }
}

/// The voxels of `allowed` (the organ, say) outside of `mask` whose centre is at most `width_mm` from the centre of a
/// voxel of the mask.
///
/// # Panics
/// When the shapes differ or `width_mm` is negative.
pub fn ring(
    mask: &Array3<bool>,
    allowed: &Array3<bool>,
    spacing_mm: [f64; 3],
    width_mm: f64,
) -> Array3<bool> {
    assert_eq!(mask.dim(), allowed.dim(), "mask and allowed region");
    assert!(width_mm >= 0.0, "ring of width {width_mm} mm");
    let reach: [i64; 3] = spacing_mm.map(|s| (width_mm / s) as i64);
    let mut offsets = Vec::new();
    for x in -reach[0]..=reach[0] {
        for y in -reach[1]..=reach[1] {
            for z in -reach[2]..=reach[2] {
                let d2: f64 = [x, y, z].iter().zip(spacing_mm).map(|(o, s)| (*o as f64 * s).powi(2)).sum();
                if d2 <= width_mm * width_mm {
                    offsets.push([x, y, z]);
                }
            }
        }
    }
    let shape = <[usize; 3]>::from(mask.dim());
    let at = |p: [usize; 3], o: [i64; 3]| -> Option<[usize; 3]> {
        let moved: [i64; 3] = std::array::from_fn(|a| p[a] as i64 + o[a]);
        (0..3).all(|a| (0..shape[a] as i64).contains(&moved[a])).then(|| moved.map(|m| m as usize))
    };
    const FACES: [[i64; 3]; 6] = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]];
    let mut out = Array3::from_elem(mask.dim(), false);
    for (p, _) in mask.indexed_iter().filter(|(_, v)| **v) {
        let p = <[usize; 3]>::from(p);
        // The nearest mask voxel of anything outside has a free face.
        if FACES.iter().all(|f| at(p, *f).is_none_or(|q| mask[q])) {
            continue;
        }
        for q in offsets.iter().filter_map(|o| at(p, *o)) {
            out[q] = allowed[q] && !mask[q];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    #[test]
    fn a_box_on_an_anisotropic_grid() {
        // 10 x 6 x 4 voxels of 0.5 x 1 x 3 mm: 5 x 6 x 12 mm.
        let mask = Array3::from_shape_fn((14, 10, 8), |(x, y, z)| {
            (2..12).contains(&x) && (1..7).contains(&y) && (3..7).contains(&z)
        });
        let m = measure(&mask, [0.5, 1.0, 3.0]).unwrap();
        assert_eq!((m.voxels, m.volume_mm3), (240, 360.0));
        assert_eq!(m.centroid_vox, [6.5, 3.5, 4.5]);
        // A solid box of side a has variance a²/12, so its axis is 2 sqrt(5/12) a; exact with the voxel's extent.
        for (axis, side) in m.axes_mm.iter().zip([12.0, 6.0, 5.0]) {
            assert!((axis - 2.0 * (5.0_f64 / 12.0).sqrt() * side).abs() < 1e-9);
        }
        assert!((m.equivalent_diameter_mm - (6.0 * 360.0 / PI).cbrt()).abs() < 1e-12);
        // Centres are 4.5 and 5 mm apart in-plane; mean in-plane side 0.75 mm.
        assert!((m.longest_axial_diameter_mm - (4.5f64.hypot(5.0) + 0.75)).abs() < 1e-12);
        assert!(measure(&Array3::from_elem((3, 3, 3), false), [1.0; 3]).is_none());
    }

    #[test]
    fn a_ball_has_its_diameter_in_every_sense() {
        let ball = Array3::from_shape_fn((45, 45, 45), |(x, y, z)| {
            [x, y, z].iter().map(|v| (*v as f64 - 22.0).powi(2)).sum::<f64>() < 400.0
        });
        let m = measure(&ball, [1.0; 3]).unwrap();
        // Rasterising a ball of diameter 40 changes its volume and moments by well under half a voxel; the longest of
        // thousands of distances is biased upwards, by less than the voxel that is added for the ends.
        for d in [m.equivalent_diameter_mm, m.axes_mm[0], m.axes_mm[2]] {
            assert!((d - 40.0).abs() < 0.5, "{d}");
        }
        assert!((m.longest_axial_diameter_mm - 40.0).abs() < 1.0, "{}", m.longest_axial_diameter_mm);
    }

    #[test]
    fn eigenvalues_of_a_rotated_diagonal() {
        let (c, s) = (0.6, 0.8);
        let m = [
            [9.0 * c * c + 4.0 * s * s, 5.0 * c * s, 0.0],
            [5.0 * c * s, 9.0 * s * s + 4.0 * c * c, 0.0],
            [0.0, 0.0, 1.0],
        ];
        for (found, expected) in symmetric_eigenvalues(m).iter().zip([9.0, 4.0, 1.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn hounsfield_units_inside_and_in_a_ring() {
        let mut mask = Array3::from_elem((9, 9, 9), false);
        mask[[4, 4, 4]] = true;
        let allowed = Array3::from_shape_fn((9, 9, 9), |(x, _, _)| x != 5);
        let around = ring(&mask, &allowed, [1.0, 1.0, 2.0], 2.0);
        // 12 in-plane offsets have x² + y² <= 4, three of them x = 1, which is not allowed; z = ±1 is 2 mm away, so
        // only straight up and down.
        assert_eq!(around.iter().filter(|v| **v).count(), 12 - 3 + 2);
        assert!(!around[[4, 4, 4]] && around[[4, 4, 5]] && !around[[5, 4, 4]] && around[[6, 4, 4]]);
        let volume = Array3::from_shape_fn((9, 9, 9), |(x, _, _)| x as f32 * 10.0);
        let inside = HuStatistics::of(&volume, &mask).unwrap();
        assert_eq!((inside.voxels, inside.mean_hu, inside.sd_hu), (1, 40.0, 0.0));
        assert!(HuStatistics::of(&volume, &Array3::from_elem((9, 9, 9), false)).is_none());
    }
}
