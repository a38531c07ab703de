//! Size and shape of a mask in three dimensions, as PyRadiomics 3.0.1.
mod diameter;
mod mesh;
mod triangles;

use crate::measure::symmetric_eigenvalues;
use ndarray::Array3;
use std::f64::consts::PI;

/// Names of the features, in the order of [`features`].
pub const FEATURES: [&str; 17] = [
    "Compactness1",
    "Compactness2",
    "Elongation",
    "Flatness",
    "LeastAxisLength",
    "MajorAxisLength",
    "Maximum2DDiameterColumn",
    "Maximum2DDiameterRow",
    "Maximum2DDiameterSlice",
    "Maximum3DDiameter",
    "MeshVolume",
    "MinorAxisLength",
    "SphericalDisproportion",
    "Sphericity",
    "SurfaceArea",
    "SurfaceVolumeRatio",
    "VoxelVolume",
];

/// Those that follow from sphericity alone: computed when asked for by name only.
pub const DEPRECATED: [&str; 3] = ["Compactness1", "Compactness2", "SphericalDisproportion"];

/// The features of a mask `[x, y, z]` with voxels of `spacing_mm`: lengths in mm, areas in mm², volumes in mm³.
pub(super) fn features(mask: &Array3<bool>, spacing_mm: [f64; 3]) -> [f64; 17] {
    let (found, (axes_mm2, voxels)) = rayon::join(
        || rayon::join(|| mesh::mesh(mask, spacing_mm), || diameter::diameters(mask, spacing_mm)),
        || eigenvalues_mm2(mask, spacing_mm),
    );
    let (mesh, diameters) = found;
    let (area, volume) = (mesh.area_mm2, mesh.volume_mm3);
    // Area of the sphere of the same volume.
    let sphere = (36.0 * PI * volume * volume).cbrt();
    let [major, minor, least] = axes_mm2.map(f64::sqrt);
    let [across_x, across_y, across_z] = diameters.across_mm;
    [
        volume / (area.powf(1.5) * PI.sqrt()),
        36.0 * PI * volume.powi(2) / area.powi(3),
        minor / major,
        least / major,
        4.0 * least,
        4.0 * major,
        across_y,
        across_x,
        across_z,
        diameters.all_mm,
        volume,
        4.0 * minor,
        area / sphere,
        sphere / area,
        area,
        area / volume,
        voxels as f64 * spacing_mm.iter().product::<f64>(),
    ]
}

/// Eigenvalues of the covariance of voxel centres, largest first, and the number of voxels.
fn eigenvalues_mm2(mask: &Array3<bool>, spacing_mm: [f64; 3]) -> ([f64; 3], u64) {
    // Sums of whole numbers: exact, and of no order.
    let (mut n, mut sums, mut products) = (0_u64, [0_u64; 3], [[0_u64; 3]; 3]);
    for ((x, y, z), _) in mask.indexed_iter().filter(|(_, inside)| **inside) {
        let at = [x as u64, y as u64, z as u64];
        n += 1;
        for a in 0..3 {
            sums[a] += at[a];
            (a..3).for_each(|b| products[a][b] += at[a] * at[b]);
        }
    }
    let covariance = std::array::from_fn(|r| {
        std::array::from_fn(|c| {
            let (a, b) = (r.min(c), r.max(c));
            // n Σab - Σa Σb, which rounds once.
            let centred = u128::from(n) * u128::from(products[a][b]);
            let centred = centred as i128 - (u128::from(sums[a]) * u128::from(sums[b])) as i128;
            centred as f64 / (n as f64 * n as f64) * spacing_mm[a] * spacing_mm[b]
        })
    });
    // Rounding can put the eigenvalue of a flat mask just below zero.
    (symmetric_eigenvalues(covariance).map(|e| e.max(0.0)), n)
}
