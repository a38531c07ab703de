//! How dark a handcrafted tumor of the default preset is: the published contrast (Hu et al. 2023) is made for one organ
//! in one phase, and here follows the organ at hand.
use difftumor_ct::draws::Draws;

/// Mean of a handcrafted texture (spec/hu2023.md): contrast times this is the mean change.
const TEXTURE_MEAN: f64 = 0.53;
/// Contrast of a handcrafted tumor in livers of [`CONTRAST_MADE_FOR_HU`] in the portal phase. Published: 65..145, which is 34 to 77 HU
/// of the mean. Real tumors are fainter: the two of 3D-IRCADb-01's case 17 differ from the liver by 44 and 16 HU. So here it is 16 to
/// 64 HU.
const CONTRAST_HU: (f64, f64) = (30.0, 120.0);
/// Brighter organs need more: the published contrast in an enhanced kidney (170 HU) cannot be told from its medulla.
const CONTRAST_MADE_FOR_HU: f64 = 100.0;
/// Where the organ is darker, the tumor's mean must not fall to fluid or fat: solid tumors have 15 HU and more…
const DARKEST_MEAN_HU: f64 = 15.0;
/// …and yet it must differ from the organ.
const LEAST_MEAN_CHANGE_HU: f64 = 14.0;
/// What a solid tumor has without contrast agent. It is brighter than an organ too dark for a darker tumor (a fatty
/// pancreas, an unenhanced kidney).
const UNENHANCED_TUMOR_HU: (f64, f64) = (30.0, 45.0);

/// Contrast of the texture: the range for livers of the portal phase, more for brighter organs, less for
/// darker ones so that no tumor looks like fat, and negative (a brighter tumor) where no darker tumor is possible.
pub(super) fn draw_contrast_hu(organ_mean_hu: f64, draws: &mut impl Draws) -> f64 {
    let room_hu = organ_mean_hu - DARKEST_MEAN_HU;
    if room_hu < LEAST_MEAN_CHANGE_HU {
        let brighter_hu = draws.uniform(UNENHANCED_TUMOR_HU.0, UNENHANCED_TUMOR_HU.1) - organ_mean_hu;
        return -brighter_hu.max(LEAST_MEAN_CHANGE_HU) / TEXTURE_MEAN;
    }
    let scale = (organ_mean_hu / CONTRAST_MADE_FOR_HU).max(1.0);
    let most = (room_hu / TEXTURE_MEAN).min(scale * CONTRAST_HU.1);
    let least = (scale * CONTRAST_HU.0).min(0.7 * most);
    draws.uniform(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use difftumor_ct::draws::Stream;

    /// Smallest and largest mean HU of tumors in an organ of that mean.
    fn tumor_hu(organ_mean_hu: f64) -> (f64, f64) {
        let mut draws = Stream::new(1, 0, "contrast", 0);
        let all =
            (0..1000).map(|_| organ_mean_hu - TEXTURE_MEAN * draw_contrast_hu(organ_mean_hu, &mut draws));
        all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
    }

    #[test]
    fn contrast_follows_the_organ() {
        let within = |(low, high): (f64, f64), (a, b): (f64, f64)| low >= a - 1e-9 && high <= b + 1e-9;
        // 100 - 0.53 * 120 and 100 - 0.53 * 30.
        assert!(within(tumor_hu(100.0), (36.4, 84.1)));
        // An enhanced kidney: a renal mass of 62 to 143 HU.
        assert!(within(tumor_hu(170.0), (61.8, 143.0)));
        // An unenhanced liver of 45 HU: at least 15 HU, and darker by 16 HU or more of the room of 30.
        assert!(within(tumor_hu(45.0), (15.0, 29.1)));
        // Fatty pancreas and unenhanced kidney: brighter, as soft tissue is.
        assert!(within(tumor_hu(-6.0), (30.0, 45.0)));
        assert!(within(tumor_hu(25.0), (39.0, 45.0)));
    }
}
