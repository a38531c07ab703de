//! The scan's own grain in a synthetic tumor.
//!
//! An autoencoder with a few bits for each voxel cannot carry a scanner's noise, and a crop of 1 mm voxels cannot hold the noise of
//! other ones: a tumor painted there is smoother than its organ, and a smooth spot gives it away. So the scan's noise, which
//! lies under the tumor in its place and with its spectrum, is given back to it, as much as it lacks. Ours: the paper has nothing of
//! the kind.
use super::landing::Landed;
use difftumor_ct::Volume;
use difftumor_ct::filter::gaussian;
use ndarray::{Array3, Zip, s};

/// Blurs within a slice whose differences are the bands of grain, finest first. What is coarser is anatomy, which a tumor displaces.
const BLURS_MM: [f64; 4] = [0.0, 1.0, 2.0, 4.0];
/// Most of a band that is given: a little more than there was, for what is cut off of it.
const MOST_SHARE: f32 = 1.25;
/// Grain is compared where the tumor has at least the first of these weights with that many voxels: an edge that is not quite where the
/// weight has it counts as grain, and a large tumor would be left smooth inside for it.
const INSIDE: [(f32, usize); 2] = [(0.95, 300), (0.5, 0)];
/// Standard deviation of normal noise over its median absolute value.
const SD_OF_MEDIAN: f64 = 1.4826;
/// What is in a band and beyond this many standard deviations is a vessel or a border, which the tumor has displaced.
const MOST_SD: f64 = 2.5;
/// Steps of the search for the share: to 1 part in 200.
const STEPS: u32 = 8;

/// Adds so much of the scan's grain to a tumor's change that it is as grainy as the tissue which it replaces; nothing where it
/// is grainy enough.
pub fn give_back(ct: &Volume, landed: &mut Landed) {
    let [x, y, z] = landed.start;
    let (nx, ny, nz) = landed.change_hu.dim();
    let before = ct.data.slice(s![x..x + nx, y..y + ny, z..z + nz]).to_owned();
    for blurs_mm in BLURS_MM.windows(2) {
        let band = |image: &Array3<f32>| {
            let blur = |mm: f64| gaussian(image, ct.affine.blur_in_slices_vox(mm));
            blur(blurs_mm[0]) - blur(blurs_mm[1])
        };
        let missing = missing_hu(&before, &landed.change_hu, &landed.weight, band);
        landed.change_hu += &missing;
    }
}

/// What is to be added to `before + change` in a band, 0 where the weight is.
fn missing_hu(
    before: &Array3<f32>,
    change: &Array3<f32>,
    weight: &Array3<f32>,
    band: impl Fn(&Array3<f32>) -> Array3<f32>,
) -> Array3<f32> {
    let voxels = |least: f32| weight.iter().filter(|w| **w >= least).count();
    let (least, _) =
        INSIDE.into_iter().find(|(least, enough)| voxels(*least) >= *enough).expect("0 is enough");
    let inside = |grain: &Array3<f32>| -> Vec<f32> {
        grain.iter().zip(weight).filter(|(_, w)| **w >= least).map(|(g, _)| *g).collect()
    };
    let of_scan = band(before);
    let wanted = sd(inside(&of_scan));
    let most = (MOST_SD * wanted) as f32;
    let spare = Zip::from(&of_scan).and(weight).map_collect(|g, w| w * g.clamp(-most, most));
    // The step from organ to tumor is no grain, sharp as it may be.
    let (explained, norm) =
        Zip::from(change).and(weight).fold((0.0, 0.0), |(c, n), change, w| (c + change * w, n + w * w));
    let step = if norm > 0.0 { explained / norm } else { 0.0 };
    let without_step = Zip::from(before).and(change).and(weight).map_collect(|b, c, w| b + c - step * w);
    let (of_tumor, of_spare) = (inside(&band(&without_step)), inside(&spare));
    let with = |share: f32| sd(of_tumor.iter().zip(&of_spare).map(|(t, s)| t + share * s).collect());
    if with(0.0) >= wanted {
        return Array3::zeros(before.dim());
    }
    let (mut low, mut high) = (0.0, MOST_SHARE);
    for _ in 0..STEPS {
        let middle = (low + high) / 2.0;
        if with(middle) < wanted { low = middle } else { high = middle }
    }
    spare * high
}

/// From the median, so that vessels and borders do not count as grain; 0 of nothing.
fn sd(mut grain: Vec<f32>) -> f64 {
    if grain.is_empty() {
        return 0.0;
    }
    let middle = grain.len() / 2;
    let (_, median, _) = grain.select_nth_unstable_by(middle, |a, b| a.abs().total_cmp(&b.abs()));
    SD_OF_MEDIAN * f64::from(median.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::NoiseSource;
    use difftumor_ct::draws::Stream;

    const SIDE: usize = 24;
    /// Finer than 1.5 voxels.
    fn fine(image: &Array3<f32>) -> Array3<f32> {
        image - &gaussian(image, [1.5; 3])
    }

    fn noise(sd: f32, n: u64) -> Array3<f32> {
        let values = Stream::new(1, n, "grain", 0).normal(SIDE * SIDE * SIDE);
        Array3::from_shape_vec((SIDE, SIDE, SIDE), values).unwrap().mapv(|v| sd * v)
    }

    fn grain_sd(image: &Array3<f32>) -> f64 {
        sd(fine(image).into_iter().collect())
    }

    /// What is added, and the grain of the result, to a tumor of that weight.
    fn given_back(before: &Array3<f32>, tumor: &Array3<f32>, weight: f32) -> (Array3<f32>, f64) {
        let change = (tumor - before) * weight;
        let missing = missing_hu(before, &change, &Array3::from_elem(before.dim(), weight), fine);
        let sd = grain_sd(&(before + &change + &missing));
        (missing, sd)
    }

    #[test]
    fn a_tumor_becomes_as_grainy_as_its_organ() {
        let organ = noise(10.0, 1) + 100.0;
        let wanted = grain_sd(&organ);
        for (tumor, weight) in [
            (Array3::from_elem(organ.dim(), 60.0), 1.0),
            (noise(6.0, 2) + 60.0, 1.0),
            // Two grains that know nothing of each other lose power where they are mixed.
            (noise(10.0, 2) + 60.0, 0.6),
        ] {
            let (_, sd) = given_back(&organ, &tumor, weight);
            // Clamping takes 1 % of the power of normal noise, and the search ends at 1 part in 200.
            assert!((sd / wanted - 1.0).abs() < 0.02, "{sd} {wanted}");
        }
    }

    #[test]
    fn a_sharp_edge_is_no_grain() {
        let organ = noise(10.0, 1) + 100.0;
        // A slab of three voxels: grain of its two edges is more than its noise.
        let weight =
            Array3::from_shape_fn(organ.dim(), |(x, _, _)| f32::from(u8::from((8..11).contains(&x))));
        let change = &weight * &(40.0 - &organ);
        let missing = missing_hu(&organ, &change, &weight, fine);
        let ratio = |image: &Array3<f32>| {
            let slab = fine(image).slice(s![8..11, .., ..]).to_owned();
            sd(slab.into_iter().collect())
        };
        let flat = Zip::from(&organ)
            .and(&change)
            .and(&missing)
            .and(&weight)
            .map_collect(|o, c, m, w| o + c + m + 60.0 * w);
        assert!((ratio(&flat) / ratio(&organ) - 1.0).abs() < 0.05, "{} {}", ratio(&flat), ratio(&organ));
    }

    #[test]
    fn a_grainy_tumor_is_left_alone() {
        let organ = noise(10.0, 1) + 100.0;
        let (missing, _) = given_back(&organ, &(noise(14.0, 2) + 60.0), 1.0);
        assert!(missing.iter().all(|v| *v == 0.0));
    }

    #[test]
    fn no_vessel_comes_back_with_the_grain() {
        let mut organ = noise(10.0, 1) + 100.0;
        organ.slice_mut(s![.., 8, 8]).fill(400.0);
        let (missing, _) = given_back(&organ, &Array3::from_elem(organ.dim(), 60.0), 1.0);
        let largest = missing.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        // 2.5 of the 10 HU, and 2 % that the vessel raises the median by.
        assert!((20.0..26.0).contains(&largest), "{largest}");
    }

    #[test]
    fn without_weight_nothing_is_added() {
        let organ = noise(10.0, 1);
        let (missing, _) = given_back(&organ, &Array3::zeros(organ.dim()), 0.0);
        assert!(missing.iter().all(|v| *v == 0.0));
    }
}
