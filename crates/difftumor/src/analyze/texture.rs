//! How much structure of which fineness there is: noise, and what is as fine as noise.
use difftumor_ct::Affine;
use difftumor_ct::filter::gaussian;
use ndarray::{Array3, Zip};

/// Blurs in the axial plane whose differences are the bands: finer than 1 mm, 1 to 2 mm, 2 to 4 mm.
const BANDS_MM: [f64; 4] = [0.0, 1.0, 2.0, 4.0];
/// Voxels that a region needs for statistics.
pub(crate) const LEAST_VOXELS: usize = 30;
/// Places of an outline that are needed to compare with it.
pub(super) const LEAST_PLACES: usize = 3;
/// Part of an outline that must be tissue in another place.
pub(super) const LEAST_TISSUE: f64 = 0.8;
/// Least distance between an outline's box and its other places.
const APART_MM: f64 = 3.0;

/// Robust standard deviation of each band in the region. Blurs see the region alone. `None` when it is too small.
pub(crate) fn bands(image: &Array3<f32>, region: &Array3<bool>, affine: &Affine) -> Option<[f64; 3]> {
    if region.iter().filter(|v| **v).count() < LEAST_VOXELS {
        return None;
    }
    let weight = region.mapv(|r| f32::from(u8::from(r)));
    let weighted = image * &weight;
    let blurred = BANDS_MM.map(|sigma_mm| {
        let sigma_vox = affine.blur_in_slices_vox(sigma_mm);
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

/// First voxels of boxes like that at `first`, up to two steps aside along each axis, each step as far as is needed to be clear of it;
/// those that lie in a scan of `shape`.
pub(super) fn places(
    first: [usize; 3],
    extent: [usize; 3],
    spacing_mm: [f64; 3],
    shape: [usize; 3],
) -> impl Iterator<Item = [usize; 3]> {
    let step: [i64; 3] = std::array::from_fn(|a| extent[a] as i64 + (APART_MM / spacing_mm[a]).ceil() as i64);
    let steps = (0..125).map(|n| [n / 25 - 2, n / 5 % 5 - 2, n % 5 - 2]);
    steps.filter(|at| *at != [0; 3]).filter_map(move |at| {
        let place: [i64; 3] = std::array::from_fn(|a| first[a] as i64 + at[a] * step[a]);
        let inside = (0..3).all(|a| place[a] >= 0 && place[a] as usize + extent[a] <= shape[a]);
        inside.then(|| place.map(|p| p as usize))
    })
}

/// Of several measurements the median of each band; the upper one of an even number.
pub(super) fn median_of_each(measured: Vec<[f64; 3]>) -> [f64; 3] {
    std::array::from_fn(|band| {
        let mut values: Vec<f64> = measured.iter().map(|m| m[band]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    })
}
