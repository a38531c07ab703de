//! How much structure of which fineness there is: noise, and what is as fine as noise.
use difftumor_ct::filter::gaussian;
use ndarray::{Array3, Zip};

/// Blurs in the axial plane whose differences are the bands: finer than 1 mm, 1 to 2 mm, 2 to 4 mm.
const BANDS_MM: [f64; 4] = [0.0, 1.0, 2.0, 4.0];
/// Voxels that a region needs for statistics.
pub(crate) const LEAST_VOXELS: usize = 30;

/// Robust standard deviation of each band in the region. Blurs see the region alone. `None` when it is too small.
pub(crate) fn bands(image: &Array3<f32>, region: &Array3<bool>, spacing_mm: [f64; 3]) -> Option<[f64; 3]> {
    if region.iter().filter(|v| **v).count() < LEAST_VOXELS {
        return None;
    }
    let weight = region.mapv(|r| f32::from(u8::from(r)));
    let weighted = image * &weight;
    let blurred = BANDS_MM.map(|sigma_mm| {
        let sigma_vox = [sigma_mm / spacing_mm[0], sigma_mm / spacing_mm[1], 0.0];
        let (sum, norm) = (gaussian(&weighted, sigma_vox), gaussian(&weight, sigma_vox));
        Zip::from(&sum).and(&norm).map_collect(|s, n| s / n.max(1e-6))
    });
    Some(std::array::from_fn(|i| {
        let mut values = vec![];
        Zip::from(&blurred[i]).and(&blurred[i + 1]).and(region).for_each(|fine, coarse, r| {
            if *r {
                values.push((fine - coarse).abs());
            }
        });
        let middle = values.len() / 2;
        // The median absolute value of normal numbers is 1 / 1.4826 of their standard deviation.
        1.4826 * f64::from(*values.select_nth_unstable_by(middle, f32::total_cmp).1)
    }))
}
