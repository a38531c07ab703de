//! Overlap of two masks in voxels: DSC and IoU.
use super::common_spacing_mm;
use crate::error::Result;
use crate::volume::Mask;
use ndarray::Array3;
use rayon::prelude::*;

/// Voxels that one task counts.
const PIECE: usize = 1 << 16;

/// Voxels of two masks, counted; what overlap measures are made of. Counts of several scans or parts can be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Overlap {
    /// Voxels of the truth.
    pub truth_vox: u64,
    /// Voxels of the prediction.
    pub prediction_vox: u64,
    /// Voxels of both.
    pub both_vox: u64,
}

impl Overlap {
    /// Counts the voxels of two masks `[x, y, z]`.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn of(truth: &Array3<bool>, prediction: &Array3<bool>) -> Self {
        assert_eq!(truth.dim(), prediction.dim(), "truth and prediction");
        let (truth, prediction) = (truth.as_standard_layout(), prediction.as_standard_layout());
        let (Some(truth), Some(prediction)) = (truth.as_slice(), prediction.as_slice()) else {
            unreachable!("both are in standard layout");
        };
        let pieces = truth.par_chunks(PIECE).zip(prediction.par_chunks(PIECE));
        pieces.map(|(truth, prediction)| Self::of_piece(truth, prediction)).reduce(Self::default, |a, b| {
            Self {
                truth_vox: a.truth_vox + b.truth_vox,
                prediction_vox: a.prediction_vox + b.prediction_vox,
                both_vox: a.both_vox + b.both_vox,
            }
        })
    }

    /// Counts in bytes and u32, so that the loops are made of vector instructions.
    fn of_piece(truth: &[bool], prediction: &[bool]) -> Self {
        let mut counts = Self::default();
        for (truth, prediction) in truth.chunks(255).zip(prediction.chunks(255)) {
            let (mut t, mut p, mut both) = (0_u8, 0_u8, 0_u8);
            for (a, b) in truth.iter().zip(prediction) {
                t += u8::from(*a);
                p += u8::from(*b);
                both += u8::from(*a & *b);
            }
            counts.truth_vox += u64::from(t);
            counts.prediction_vox += u64::from(p);
            counts.both_vox += u64::from(both);
        }
        counts
    }

    /// Counts the voxels of two masks on one grid.
    ///
    /// # Errors
    /// [`Error::GridMismatch`](crate::Error::GridMismatch) when the grids differ,
    /// [`Error::Argument`](crate::Error::Argument) when the voxel size is not positive.
    pub fn between(truth: &Mask, prediction: &Mask) -> Result<Self> {
        common_spacing_mm(truth, prediction)?;
        Ok(Self::of(&truth.data, &prediction.data))
    }

    /// DSC, the Dice similarity coefficient `2 |T and P| / (|T| + |P|)`, 0 to 1.
    ///
    /// `None` when both masks are empty: the published evaluation has 0/0 = nan there. 0 when one is empty. (The
    /// published validation during training takes 0 for every empty truth: `dice().unwrap_or(0.0)`.)
    pub fn dice(&self) -> Option<f64> {
        let sum = self.truth_vox + self.prediction_vox;
        (sum > 0).then(|| 2.0 * self.both_vox as f64 / sum as f64)
    }

    /// IoU, intersection over union (the Jaccard index) `|T and P| / |T or P|`, 0 to 1. `None` when both masks are
    /// empty.
    pub fn iou(&self) -> Option<f64> {
        let union = self.truth_vox + self.prediction_vox - self.both_vox;
        (union > 0).then(|| self.both_vox as f64 / union as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;
    use proptest::prelude::*;

    #[test]
    fn empty_masks_have_a_contract() {
        let empty = Array3::from_elem((3, 4, 5), false);
        let full = Array3::from_elem((3, 4, 5), true);
        assert_eq!(Overlap::of(&empty, &empty).dice(), None);
        assert_eq!(Overlap::of(&empty, &empty).iou(), None);
        for (a, b) in [(&empty, &full), (&full, &empty)] {
            assert_eq!(Overlap::of(a, b).dice(), Some(0.0));
            assert_eq!(Overlap::of(a, b).iou(), Some(0.0));
        }
        assert_eq!(Overlap::of(&full, &full).dice(), Some(1.0));
        assert_eq!(Overlap::of(&Array3::default((0, 4, 5)), &Array3::default((0, 4, 5))).dice(), None);
    }

    #[test]
    fn other_grids_are_refused_with_numbers() {
        let affine = Affine::from_spacing_mm([1.0, 1.0, 2.0]);
        let truth = Mask { data: Array3::from_elem((3, 4, 5), true), affine };
        let mut other = truth.clone();
        other.affine.0[2][3] = 2.0;
        let text = Overlap::between(&truth, &other).unwrap_err().to_string();
        assert!(text.contains("truth") && text.contains("prediction") && text.contains("2.000 mm"), "{text}");
        let other = Mask { data: Array3::from_elem((3, 4, 6), true), affine };
        assert!(Overlap::between(&truth, &other).unwrap_err().to_string().contains("[3, 4, 6]"));
        let flat = Mask { data: truth.data.clone(), affine: Affine::from_spacing_mm([1.0, 0.0, 2.0]) };
        assert!(Overlap::between(&flat, &flat).is_err());
        assert_eq!(Overlap::between(&truth, &truth).unwrap().both_vox, 60);
    }

    proptest! {
        #[test]
        fn counts_equal_the_definition(
            shape in prop::array::uniform3(0_usize..9),
            bits in prop::collection::vec(0_u8..4, 512),
        ) {
            let mut bits = bits.into_iter();
            let values = Array3::from_shape_simple_fn(shape, || bits.next().unwrap());
            let (truth, prediction) = (values.mapv(|v| v & 1 > 0), values.mapv(|v| v & 2 > 0));
            let found = Overlap::of(&truth, &prediction);
            let count = |wanted: fn(&u8) -> bool| values.iter().filter(|v| wanted(v)).count() as u64;
            prop_assert_eq!(found.truth_vox, count(|v| v & 1 > 0));
            prop_assert_eq!(found.prediction_vox, count(|v| v & 2 > 0));
            prop_assert_eq!(found.both_vox, count(|v| *v == 3));
            prop_assert_eq!(found.dice(), Overlap::of(&prediction, &truth).dice());
            // DSC = 2 IoU / (1 + IoU); both are quotients of small integers, rounded twice at most.
            if let (Some(dice), Some(iou)) = (found.dice(), found.iou()) {
                prop_assert!((dice - 2.0 * iou / (1.0 + iou)).abs() < 1e-15);
            }
        }
    }
}
