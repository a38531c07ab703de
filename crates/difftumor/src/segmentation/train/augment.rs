//! Random changes of training crops (paper App. E.2; spec/segmentation.md section 4).
use crate::train::crops::rotated;
use difftumor_ct::draws::Draws;
use ndarray::{Array3, Axis};
use serde::{Deserialize, Serialize};

/// A named set of [`Shares`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Augmentation {
    /// The paper's: quarter turns and shifts of intensity.
    #[default]
    Paper,
    /// The authors' code's: mirroring and scaling too.
    Code,
    /// None.
    Off,
}

/// How often a crop is changed in which way, and how much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Mirrored, for each axis by itself.
    pub mirrored: f64,
    /// Turned by 90, 180 or 270 degrees in the axial plane.
    pub turned: f64,
    /// Multiplied by 1 ± [`Shares::amount`].
    pub scaled: f64,
    /// Shifted by ± [`Shares::amount`] of the HU window.
    pub shifted: f64,
    /// Largest change.
    pub amount: f64,
}

const SHARES: [(Augmentation, Shares); 3] = [
    (Augmentation::Paper, Shares { mirrored: 0.0, turned: 0.1, scaled: 0.0, shifted: 0.2, amount: 0.1 }),
    (Augmentation::Code, Shares { mirrored: 0.2, turned: 0.2, scaled: 0.15, shifted: 0.15, amount: 0.1 }),
    (Augmentation::Off, Shares { mirrored: 0.0, turned: 0.0, scaled: 0.0, shifted: 0.0, amount: 0.0 }),
];

impl Augmentation {
    /// Its numbers.
    pub fn shares(self) -> Shares {
        SHARES.iter().find(|(name, _)| *name == self).expect("every name is in the table").1
    }
}

/// Changes an image in 0..1 and its labels together, `[x, y, z]` each. Values are not cut to 0..1 afterwards, as published.
///
/// The same number of draws is made whatever is changed, so that crops after this one do not depend on it.
pub fn augment(
    mut image: Array3<f32>,
    mut labels: Array3<u8>,
    shares: &Shares,
    draws: &mut impl Draws,
) -> (Array3<f32>, Array3<u8>) {
    let mut drawn = |share: f64| draws.uniform(0.0, 1.0) < share;
    let mirrored: [bool; 3] = std::array::from_fn(|_| drawn(shares.mirrored));
    let [turned, scaled, shifted] = [shares.turned, shares.scaled, shares.shifted].map(&mut drawn);
    let turns = 1 + draws.index(3);
    let [factor, offset] = [(); 2].map(|()| draws.uniform(-shares.amount, shares.amount) as f32);
    for axis in (0..3).filter(|a| mirrored[*a]) {
        image.invert_axis(Axis(axis));
        labels.invert_axis(Axis(axis));
    }
    if turned {
        (image, labels) = (rotated(image, turns), rotated(labels, turns));
    }
    if scaled {
        image.mapv_inplace(|v| v * (1.0 + factor));
    }
    if shifted {
        image.mapv_inplace(|v| v + offset);
    }
    (image.as_standard_layout().into_owned(), labels.as_standard_layout().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use difftumor_ct::draws::Stream;

    fn crop() -> (Array3<f32>, Array3<u8>) {
        let image = Array3::from_shape_fn((6, 6, 4), |(x, y, z)| (x * 24 + y * 4 + z) as f32 / 144.0);
        let labels = image.mapv(|v| u8::from(v > 0.4));
        (image, labels)
    }

    #[test]
    fn image_and_labels_move_together() {
        let always = Shares { mirrored: 0.5, turned: 0.5, scaled: 0.0, shifted: 0.0, amount: 0.1 };
        let mut different = 0;
        for n in 0..20 {
            let (image, labels) = crop();
            let (i, l) = augment(image.clone(), labels, &always, &mut Stream::new(1, n, "augment", 0));
            assert_eq!(i.mapv(|v| u8::from(v > 0.4)), l);
            different += usize::from(i != image);
        }
        // 15 of 16 are moved somehow.
        assert!(different > 14, "{different}");
    }

    #[test]
    fn each_change_comes_as_often_as_it_should() {
        let shares = Augmentation::Code.shares();
        let (mut moved, mut scaled, mut shifted) = (0, 0, 0);
        for n in 0..1000 {
            let (image, labels) = crop();
            let (i, l) = augment(image, labels.clone(), &shares, &mut Stream::new(2, n, "augment", 0));
            moved += usize::from(l != labels);
            // The smallest value is 0, which only a shift changes; the difference of extremes only a factor.
            let (low, high) = i.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            shifted += usize::from(low != 0.0);
            scaled += usize::from(((high - low) - 143.0 / 144.0).abs() > 1e-5);
            assert!(low.abs() <= 0.1 && high <= 1.2);
        }
        // 1 - 0.8^4 = 0.59, 0.15 and 0.15 of 1000; five standard deviations.
        assert!((510..670).contains(&moved), "{moved}");
        assert!((94..207).contains(&scaled) && (94..207).contains(&shifted), "{scaled} {shifted}");
    }

    #[test]
    fn off_is_off() {
        let (image, labels) = crop();
        let off = Augmentation::Off.shares();
        for n in 0..50 {
            let got = augment(image.clone(), labels.clone(), &off, &mut Stream::new(3, n, "augment", 0));
            assert_eq!(got, (image.clone(), labels.clone()));
        }
    }
}
