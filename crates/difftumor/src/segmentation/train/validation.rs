//! How well a segmentation model does on whole cases that it is not trained on (spec/segmentation.md section 6).
use super::items::Item;
use super::scans::{self, LabelledCase, LabelledScan, ORGAN, TUMOR};
use crate::error::Result;
use crate::segmentation::SegmentationNetwork;
use crate::segmentation::sliding_window::{Logits, SlidingWindow};
use crate::train::cache::{Cache, Folder};
use crate::train::pictures;
use burn::tensor::Device;
use difftumor_ct::components::{Connectivity, components};
use difftumor_ct::intensity::HuWindow;
use difftumor_ct::metrics::overlap::Overlap;
use difftumor_ct::patch::{VoxelBox, bounding_box};
use ndarray::{Array3, ArrayView2, Axis, Zip, s};

/// Windows are placed over organ and tumor and this far around.
const MARGIN_VOX: usize = 8;
/// Tumors of fewer voxels of 1 mm are not counted: half a voxel of a thick slice.
const LEAST_VOXELS: usize = 8;

/// The cases.
pub(super) struct Validation {
    scans: Cache<LabelledScan>,
    window: SlidingWindow,
}

/// Means over the cases.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Scores {
    /// DSC of tumors inside of the true organ, over cases with tumors.
    tumor_dsc: f64,
    /// DSC of the organ with its tumors.
    organ_dsc: f64,
    /// Share of true tumors with at least one voxel of prediction.
    found: f64,
}

impl Scores {
    /// What the best weights are chosen by; higher is better.
    pub(super) fn score(&self) -> f64 {
        self.tumor_dsc
    }

    pub(super) fn metrics(&self) -> [(&'static str, f64); 3] {
        [
            ("validation_tumor_dsc", self.tumor_dsc),
            ("validation_organ_dsc", self.organ_dsc),
            ("validation_tumors_found", self.found),
        ]
    }
}

impl Validation {
    pub(super) fn new(cases: Vec<LabelledCase>, side_vox: usize, overlap: f64, folder: &Folder) -> Self {
        let window = SlidingWindow { roi_vox: [side_vox; 3], overlap, mirror: false };
        Self { scans: scans::cache(cases, side_vox, folder), window }
    }

    /// Makes every case ready, so that one that cannot be read is told before the first step and not after hours.
    ///
    /// # Errors
    /// When a case cannot be read.
    pub(super) fn require_usable(&self) -> Result<()> {
        (0..self.scans.len()).try_for_each(|index| self.scans.get(index).map(drop))
    }

    /// `None` without cases.
    ///
    /// # Errors
    /// When a case cannot be read.
    pub(super) fn scores(&self, model: &SegmentationNetwork, device: &Device) -> Result<Option<Scores>> {
        let mut sum = Scores::default();
        let (mut with_tumor, mut tumors) = (0, 0);
        for index in 0..self.scans.len() {
            let scan = self.scans.get(index)?;
            let of = self.scan(&scan, model, device);
            sum.organ_dsc += of.organ_dsc;
            if let Some((dsc, found, all)) = of.tumor {
                sum.tumor_dsc += dsc;
                sum.found += found as f64;
                with_tumor += 1;
                tumors += all;
            }
        }
        Ok((!self.scans.is_empty()).then(|| Scores {
            tumor_dsc: sum.tumor_dsc / f64::from(with_tumor.max(1)),
            organ_dsc: sum.organ_dsc / self.scans.len() as f64,
            found: sum.found / tumors.max(1) as f64,
        }))
    }

    fn scan(&self, scan: &LabelledScan, model: &SegmentationNetwork, device: &Device) -> OfScan {
        let window = HuWindow::default();
        let image = scan.image_hu().mapv(|hu| window.to_unit(hu));
        let foreground = bounding_box(&scan.labels().mapv(|l| l > 0)).expect("a labelled scan has an organ");
        let part = foreground.grown([MARGIN_VOX; 3], image.dim().into());
        let logits = self.window.run(&image, part, device, |x| model.forward(x), &|_, _| ());
        let VoxelBox { start: a, end: b } = part;
        let truth = scan.labels().slice(s![a[0]..b[0], a[1]..b[1], a[2]..b[2]]).to_owned();
        OfScan::of(&truth, &classes(&logits))
    }
}

/// Figures of one case.
struct OfScan {
    organ_dsc: f64,
    /// DSC, tumors found, and all of them.
    tumor: Option<(f64, usize, usize)>,
}

impl OfScan {
    /// Predicted tumors outside of the true organ are dropped, as published.
    fn of(truth: &Array3<u8>, predicted: &Array3<u8>) -> Self {
        let is = |labels: &Array3<u8>, least: u8| labels.mapv(|l| l >= least);
        let organ = Overlap::of(&is(truth, ORGAN), &is(predicted, ORGAN)).dice().unwrap_or(0.0);
        let tumor = is(truth, TUMOR);
        let inside = Zip::from(truth).and(predicted).map_collect(|t, p| *t >= ORGAN && *p == TUMOR);
        let all = components(&tumor, Connectivity::Faces);
        let counted = all.parts.iter().filter(|part| part.voxels >= LEAST_VOXELS);
        let lesions: Vec<u32> = counted.map(|part| part.label).collect();
        if lesions.is_empty() {
            return Self { organ_dsc: organ, tumor: None };
        }
        let mut hit = vec![false; all.parts.len() + 1];
        Zip::from(&all.labels()).and(&inside).for_each(|l, p| hit[*l as usize] |= *p);
        let found = lesions.iter().filter(|l| hit[**l as usize]).count();
        let dsc = Overlap::of(&tumor, &inside).dice().unwrap_or(0.0);
        Self { organ_dsc: organ, tumor: Some((dsc, found, lesions.len())) }
    }
}

/// The class of the largest logit; the lower one of equals.
fn classes(logits: &Logits) -> Array3<u8> {
    let mut best = logits.classes[0].clone();
    let mut class = Array3::zeros(best.dim());
    for (n, values) in logits.classes.iter().enumerate().skip(1) {
        Zip::from(&mut best).and(&mut class).and(values).for_each(|b, c, v| {
            if v > b {
                (*b, *c) = (*v, n as u8);
            }
        });
    }
    class
}

/// Crops of the latest batch: the scan, the truth and the prediction, in the slice with most tumor (or organ).
pub(super) fn picture(model: &SegmentationNetwork, batch: &[Item], device: &Device) -> ([usize; 2], Vec<u8>) {
    let rows: Vec<[Array3<f32>; 3]> = batch
        .iter()
        .map(|item| {
            let shape = <[usize; 3]>::from(item.image.dim());
            let window = SlidingWindow { roi_vox: shape, ..SlidingWindow::default() };
            let all = VoxelBox { start: [0; 3], end: shape };
            let logits = window.run(&item.image, all, device, |x| model.forward(x), &|_, _| ());
            let grey = |labels: &Array3<u8>| labels.mapv(|l| f32::from(l) - 1.0);
            [item.image.mapv(|v| 2.0 * v - 1.0), grey(&item.labels), grey(&classes(&logits))]
        })
        .collect();
    let slices: Vec<Vec<ArrayView2<'_, f32>>> = rows
        .iter()
        .map(|row| {
            let weight = |z: &usize| {
                let slice = row[1].index_axis(Axis(2), *z);
                slice.iter().map(|v| (*v + 1.0) as usize * (1 + 999 * usize::from(*v > 0.5))).sum::<usize>()
            };
            let z = (0..row[1].dim().2).max_by_key(weight).unwrap_or(0);
            row.iter().map(|a| a.index_axis(Axis(2), z)).collect()
        })
        .collect();
    pictures::grid(&["scan", "truth", "prediction"], &slices, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tumors_outside_of_the_organ_do_not_count() {
        // An organ of 20 planes; tumors of 2 and 3 planes in it.
        let truth = Array3::from_shape_fn((40, 4, 4), |(x, ..)| match x {
            2..4 | 10..13 => TUMOR,
            0..20 => ORGAN,
            _ => 0,
        });
        let predicted = Array3::from_shape_fn((40, 4, 4), |(x, ..)| match x {
            12..14 | 30..40 => TUMOR,
            0..20 => ORGAN,
            _ => 0,
        });
        let of = OfScan::of(&truth, &predicted);
        // One plane of 5 and 2; organ: 20 planes of 20 and 30.
        let (dsc, found, all) = of.tumor.unwrap();
        assert!((dsc - 2.0 / 7.0).abs() < 1e-9 && (found, all) == (1, 2));
        assert!((of.organ_dsc - 0.8).abs() < 1e-9);
        assert!(OfScan::of(&truth.mapv(|l| l.min(ORGAN)), &predicted).tumor.is_none());
    }

    #[test]
    fn the_largest_logit_wins() {
        let part = VoxelBox { start: [0; 3], end: [1, 1, 3] };
        let of = |v: [f32; 3]| Array3::from_shape_vec((1, 1, 3), v.to_vec()).unwrap();
        let logits =
            Logits { part, classes: vec![of([0.0, 1.0, 0.0]), of([0.0, 2.0, -1.0]), of([3.0, 1.5, 0.0])] };
        assert_eq!(classes(&logits).into_raw_vec_and_offset().0, [2, 1, 0]);
    }
}
