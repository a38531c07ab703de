//! The scan's own grain in a synthetic tumor.
//!
//! An autoencoder with a few bits for each voxel cannot carry a scanner's noise, and a crop of 1 mm voxels cannot hold the noise of
//! other ones: a tumor painted there is smoother than its organ, and a smooth spot gives it away. So the scan's noise, which
//! lies under the tumor in its place and with its spectrum, is given back to it, as much as it lacks. Ours: the paper has nothing of
//! the kind.
use super::landing::Landed;
use difftumor_ct::Volume;
use difftumor_ct::filter::gaussian;
use difftumor_ct::realism::BANDS_MM;
use ndarray::{Array3, Zip, s};

/// Most of a band that is given: a little more than there was, for what is cut off of it.
const MOST_SHARE: f32 = 1.25;
/// Where the tumor has at least this weight it is looked at, and of that the half with most weight: further out, the slope of its edge would
/// count as grain, and a smooth tumor be taken for a grainy one.
const INSIDE: f32 = 0.5;
/// That half has at least this many voxels, or all is taken.
const LEAST_VOXELS: usize = 30;
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
    let inside = inside(&landed.weight);
    // The coarsest first: what it adds to finer bands is then there when their turn comes, and finer grain adds little to coarser bands.
    for blurs_mm in BANDS_MM.windows(2).rev() {
        let blur = |image: &Array3<f32>, i: usize| gaussian(image, ct.affine.blur_in_slices_vox(blurs_mm[i]));
        let band = Band { inside: &inside, blur };
        let missing = missing_hu(&before, &landed.change_hu, &landed.weight, &band);
        landed.change_hu += &missing;
    }
}

/// Where grain is compared: 1, elsewhere 0.
fn inside(weight: &Array3<f32>) -> Array3<f32> {
    let mut weights: Vec<f32> = weight.iter().copied().filter(|w| *w >= INSIDE).collect();
    weights.sort_by(f32::total_cmp);
    let half = weights.len() / 2;
    let least = if weights.len() - half >= LEAST_VOXELS { weights[half] } else { INSIDE };
    weight.mapv(|w| f32::from(u8::from(w >= least)))
}

/// Structures of some fineness: the difference of two blurs.
struct Band<'a, B> {
    inside: &'a Array3<f32>,
    /// The image under the first or the second blur.
    blur: B,
}

impl<B: Fn(&Array3<f32>, usize) -> Array3<f32>> Band<'_, B> {
    /// Of a whole image.
    fn of(&self, image: &Array3<f32>) -> Array3<f32> {
        (self.blur)(image, 0) - (self.blur)(image, 1)
    }

    /// Of what is inside, whose blurs see nothing else: the step from organ to tumor is no grain.
    fn within(&self, image: &Array3<f32>) -> Vec<f32> {
        let own = image * self.inside;
        let mean = |i: usize| (self.blur)(&own, i) / (self.blur)(self.inside, i).mapv_into(|n| n.max(1e-6));
        let band = mean(0) - mean(1);
        band.iter().zip(self.inside).filter(|(_, i)| **i > 0.0).map(|(v, _)| *v).collect()
    }
}

/// What is to be added to `before + change` in a band, 0 where the weight is.
fn missing_hu<B: Fn(&Array3<f32>, usize) -> Array3<f32>>(
    before: &Array3<f32>,
    change: &Array3<f32>,
    weight: &Array3<f32>,
    band: &Band<B>,
) -> Array3<f32> {
    let wanted = sd(band.within(before));
    let most = (MOST_SD * wanted) as f32;
    let spare = Zip::from(&band.of(before)).and(weight).map_collect(|g, w| w * g.clamp(-most, most));
    let (of_tumor, of_spare) = (band.within(&(before + change)), band.within(&spare));
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
    /// Not at all, and by 1.5 voxels.
    fn blur(image: &Array3<f32>, i: usize) -> Array3<f32> {
        gaussian(image, [1.5 * i as f64; 3])
    }

    /// Finer than 1.5 voxels.
    fn fine(image: &Array3<f32>) -> Array3<f32> {
        blur(image, 0) - blur(image, 1)
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
        let weight = Array3::from_elem(before.dim(), weight);
        let missing = missing_hu(before, &change, &weight, &Band { inside: &inside(&weight), blur });
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
        let band = Band { inside: &inside(&weight), blur };
        let missing = missing_hu(&organ, &change, &weight, &band);
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
