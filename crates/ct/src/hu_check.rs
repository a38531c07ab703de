//! Does an image look like a CT in Hounsfield units? Images that were already windowed or scaled to [0, 1] are a common
//! mistake, and a network would turn them into nonsense without complaint. A warning, not an error: a crop of soft
//! tissue may rightly hold no air.
use crate::volume::Volume;
use rayon::prelude::*;

/// Below this is air or lung: fat, the darkest tissue, is around -100 HU.
const AIR_BELOW_HU: f32 = -200.0;

/// Above this is neither bone nor metal on the usual 12-bit scale (-1024..3071) or its extension (30 710).
const HIGHEST_HU: f32 = 31_000.0;

/// What is known of the values.
struct Seen {
    min: f32,
    max: f32,
}

/// What is wrong, by its sign, and what it usually means. The first that fits is told.
type Rule = (fn(&Seen) -> bool, &'static str);
const RULES: [Rule; 7] = [
    (|s| s.min == s.max, "all voxels are equal"),
    (|s| s.min >= -1.0 && s.max <= 1.0, "it looks already scaled to [0, 1] or [-1, 1]"),
    (|s| s.min >= 0.0 && s.max <= 255.0, "it looks like an 8-bit picture"),
    (|s| s.min >= 0.0, "nothing is below 0: the offset of -1024 (the rescale intercept) may be missing"),
    (|s| s.max > HIGHEST_HU, "values this high are not HU"),
    (|s| s.max < AIR_BELOW_HU, "there is no tissue, only air"),
    (|s| s.min >= AIR_BELOW_HU, "there is no air: it may have been windowed, or it is a crop of soft tissue"),
];

/// A warning when `volume` does not look like HU: what was found and what it may mean. All voxels must be finite.
pub fn hu_warning(volume: &Volume) -> Option<String> {
    let data = volume.data.as_standard_layout();
    let values = data.as_slice().expect("standard layout is contiguous");
    let (min, max) = values
        .par_iter()
        .fold(|| (f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), &hu| (hu.min(lo), hu.max(hi)))
        .reduce(|| (f32::INFINITY, f32::NEG_INFINITY), |a, b| (a.0.min(b.0), a.1.max(b.1)));
    let seen = Seen { min, max };
    let (_, meaning) = RULES.iter().find(|(fits, _)| fits(&seen))?;
    Some(format!("the values do not look like Hounsfield units: they lie in {min}..{max}; {meaning}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;
    use ndarray::Array3;

    /// The warning for an image that holds `min`, `max` and what lies between.
    fn warning(min: f32, max: f32) -> Option<String> {
        let data = Array3::from_shape_fn((4, 3, 2), |(x, y, z)| min + (max - min) * (x + y + z) as f32 / 6.0);
        hu_warning(&Volume { data, affine: Affine::from_spacing_mm([1.0; 3]) })
    }

    #[test]
    fn hu_pass_and_other_scales_are_told() {
        for (min, max) in [(-1024.0, 1023.0), (-3024.0, 1184.0), (-1000.0, 30_710.0), (-250.0, 20.0)] {
            assert_eq!(warning(min, max), None);
        }
        for (min, max, text) in [
            (0.0, 1.0, "[0, 1]"),
            (-1.0, 1.0, "[-1, 1]"),
            (0.0, 255.0, "8-bit"),
            (0.0, 4095.0, "intercept"),
            (-1024.0, 60_000.0, "60000"),
            (-175.0, 250.0, "-175..250"),
            (-1024.0, -500.0, "only air"),
            (0.0, 0.0, "equal"),
        ] {
            let found = warning(min, max).unwrap_or_default();
            assert!(found.contains(text), "{min}..{max}: {found:?}");
        }
    }
}
