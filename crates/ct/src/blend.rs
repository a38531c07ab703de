//! Putting a synthesized tumor into the healthy scan: paper Sec. 3.3, step 3.
//!
//! The published blending works on crops in [0, 1] (HU -175..250) and lets the blurred mask reach beyond the organ.
//! The default preset weights the same blur by the organ and carries only the generated *change* back to Hounsfield
//! units, so every voxel of weight zero keeps its value to the last bit.
use crate::filter::gaussian;
use ndarray::{Array3, Zip, s};

/// The published weight: Gaussian blur of the 0/1 mask, the same `sigma_vox` on each axis (drawn from 0..4). It is
/// computed only where it reaches: 0 elsewhere, as the whole blur is.
pub fn published_weight(mask: &Array3<bool>, sigma_vox: f64) -> Array3<f32> {
    let mut out = Array3::zeros(mask.dim());
    let Some(bounds) = crate::tumor_mask::place::bounds(mask) else { return out };
    // scipy's radius. Within this box the reflection at its sides sees only zeros, or is the image's own border.
    let radius = (4.0 * sigma_vox + 0.5) as usize;
    let (nx, ny, nz) = mask.dim();
    let reach =
        |(first, last): (usize, usize), n: usize| first.saturating_sub(radius)..(last + radius + 1).min(n);
    let region = s![reach(bounds[0], nx), reach(bounds[1], ny), reach(bounds[2], nz)];
    let near = mask.slice(region).mapv(|m| f32::from(u8::from(m)));
    out.slice_mut(region).assign(&gaussian(&near, [sigma_vox; 3]));
    out
}

/// The published blending of liver and kidney crops. `healthy01` is the crop in [0, 1], `decoded` the decoder's
/// output in [-1, 1], `weight` of [`published_weight`]; all in one axis order. The result is in [0, 1].
///
/// # Panics
/// When the shapes differ.
pub fn blend_published(healthy01: &Array3<f32>, decoded: &Array3<f32>, weight: &Array3<f32>) -> Array3<f32> {
    Zip::from(healthy01).and(decoded).and(weight).par_map_collect(|&h, &s, &b| {
        // The crop has been to [-1, 1] and back before it is blended.
        let h = ((2.0 * h - 1.0 + 1.0) / 2.0).clamp(0.0, 1.0);
        ((1.0 - b) * h + b * ((s + 1.0) / 2.0).clamp(0.0, 1.0)).clamp(0.0, 1.0)
    })
}

/// What the published code does for the pancreas: the whole crop becomes the decoder's output, neither blended nor
/// clamped. From [-1, 1] to [0, 1].
pub fn replace_published(decoded: &Array3<f32>) -> Array3<f32> {
    decoded.mapv(|s| (s + 1.0) / 2.0)
}

/// The default preset's weight: the blurred mask inside the organ and exactly 0 outside of it.
///
/// # Panics
/// When the shapes differ.
pub fn weight_in_organ(mask: &Array3<bool>, organ: &Array3<bool>, sigma_vox: f64) -> Array3<f32> {
    assert_eq!(mask.dim(), organ.dim(), "mask and organ");
    let mut weight = published_weight(mask, sigma_vox);
    weight.zip_mut_with(organ, |w, o| {
        if !*o {
            *w = 0.0;
        }
    });
    weight
}

/// The generated change in Hounsfield units, to be added to the scan: `weight` times the difference of the two crops,
/// both in [0, 1] of the window `[low, high]`. Exactly 0 where the weight is 0.
///
/// # Panics
/// When the shapes differ.
pub fn change_hu(
    healthy01: &Array3<f32>,
    synthetic01: &Array3<f32>,
    weight: &Array3<f32>,
    window_hu: [f32; 2],
) -> Array3<f32> {
    let width_hu = window_hu[1] - window_hu[0];
    Zip::from(healthy01).and(synthetic01).and(weight).map_collect(|&h, &s, &w| {
        // Not a product: a decoder's infinity times a weight of 0 would be NaN.
        if w == 0.0 { 0.0 } else { w * (s - h) * width_hu }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ball() -> Array3<bool> {
        Array3::from_shape_fn((40, 36, 44), |(x, y, z)| x.abs_diff(14) + y.abs_diff(17) + z.abs_diff(3) < 5)
    }

    #[test]
    fn the_local_blur_is_the_blur() {
        for sigma_vox in [0.0, 0.4, 1.7, 4.0] {
            // The box is the image's border at z = 0; elsewhere only zeros are left out.
            let whole = gaussian(&ball().mapv(|m| f32::from(u8::from(m))), [sigma_vox; 3]);
            assert_eq!(published_weight(&ball(), sigma_vox), whole);
        }
        assert!(published_weight(&Array3::from_elem((4, 4, 4), false), 2.0).iter().all(|w| *w == 0.0));
    }

    #[test]
    fn nothing_changes_where_the_weight_is_zero() {
        let organ = Array3::from_shape_fn((40, 36, 44), |(x, _, _)| x < 15);
        let weight = weight_in_organ(&ball(), &organ, 2.0);
        let healthy = Array3::from_elem((40, 36, 44), 0.7f32);
        let synthetic =
            Array3::from_shape_fn((40, 36, 44), |(x, _, _)| if x < 15 { 0.5 } else { f32::INFINITY });
        let change = change_hu(&healthy, &synthetic, &weight, [-175.0, 250.0]);
        for ((c, w), o) in change.iter().zip(&weight).zip(&organ) {
            assert!(*o || *w == 0.0);
            // -0.2 of a window of 425 HU, in f32.
            assert!((c - w * -85.0).abs() < 1e-4 && (*w != 0.0 || c.to_bits() == 0));
        }
        assert!(change.iter().any(|c| *c < -20.0));
    }
}
