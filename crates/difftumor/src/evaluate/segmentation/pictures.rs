//! The worst misses and false alarms: a slice of each through its middle, with the outlines of truth and prediction.
use super::Options;
use super::case::Parts;
use super::predictions::Predictions;
use crate::dataset::CaseSource;
use crate::error::Result;
use crate::objects::fetch;
use crate::preview::canvas::{Canvas, Rgb};
use crate::preview::view::{AXIAL, PANEL_PX, View};
use difftumor_ct::io::read_scan;
use difftumor_ct::metrics::detection::{Detection, Extent};
use difftumor_ct::{Affine, Labels, Mask};
use std::collections::BTreeMap;

/// Pictures of each kind.
const MOST: usize = 8;
/// Side of a view, unless what it shows is too large for it.
const FIELD_OF_VIEW_MM: f64 = 100.0;
/// Side of the view at least, in diameters.
const FIELD_PER_DIAMETER: f64 = 2.5;
const TRUTH: Rgb = [60, 220, 90];
const PREDICTION: Rgb = [255, 90, 220];

/// What a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A tumor of the truth that is not found.
    Miss,
    /// A finding that touches no tumor.
    FalseAlarm,
}

/// A place to show.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) case: String,
    /// Its number among the case's tumors or findings.
    pub(super) number: u32,
    pub(super) extent: Extent,
}

/// The largest of each kind.
#[derive(Debug, Default)]
pub(super) struct Worst(Vec<Place>);

/// A place with its picture, or with why there is none.
pub(super) struct Picture {
    pub(super) place: Place,
    pub(super) png: std::result::Result<Vec<u8>, String>,
}

impl Worst {
    /// Looks at a case's tumors and findings.
    pub(super) fn add(&mut self, case: &str, detection: &Detection) {
        let place = |kind, number, extent| Place { kind, case: case.into(), number, extent };
        let missed = detection.lesions.iter().filter(|lesion| !lesion.found);
        self.0.extend(missed.map(|l| place(Kind::Miss, l.lesion, l.extent)));
        let alarms = detection.findings.iter().filter(|finding| finding.lesions.is_empty());
        self.0.extend(alarms.map(|f| place(Kind::FalseAlarm, f.finding, f.extent)));
        let volume = |p: &Place| p.extent.volume_mm3;
        self.0.sort_by(|a, b| {
            (a.kind.cmp(&b.kind)).then(volume(b).total_cmp(&volume(a))).then_with(|| a.case.cmp(&b.case))
        });
        let mut counts = BTreeMap::new();
        self.0.retain(|p| {
            let count: &mut usize = counts.entry(p.kind).or_default();
            *count += 1;
            *count <= MOST
        });
    }

    /// Draws them, misses first and the largest first. Each case is read once more, and its scan for the first time; where one
    /// cannot be read, its places have no picture.
    pub(super) fn draw(
        self,
        cases: &[CaseSource],
        predictions: &Predictions,
        options: &Options,
    ) -> Vec<Picture> {
        let mut drawn: Vec<Option<Picture>> = self.0.iter().map(|_| None).collect();
        for source in cases {
            let mine = || self.0.iter().enumerate().filter(|(_, place)| place.case == source.id);
            if mine().next().is_none() {
                continue;
            }
            let shown = Shown::read(source, predictions, options);
            for (i, place) in mine() {
                let png = shown.as_ref().map_err(ToString::to_string);
                let png = png.and_then(|shown| shown.draw(&place.extent).map_err(|e| e.to_string()));
                drawn[i] = Some(Picture { place: place.clone(), png });
            }
        }
        drawn.into_iter().flatten().collect()
    }
}

/// A case that is shown.
struct Shown {
    ct: difftumor_ct::Volume,
    truth: Labels,
    prediction: Labels,
}

impl Shown {
    fn read(source: &CaseSource, predictions: &Predictions, options: &Options) -> Result<Self> {
        let ct = read_scan(fetch(&source.ct)?.path())?.to_volume()?;
        let (truth, prediction, _) = Parts::both(source, &predictions.of(&source.id)?, options)?;
        Ok(Self { ct, truth: one(&truth.tumor), prediction: one(&prediction.tumor) })
    }

    fn draw(&self, extent: &Extent) -> Result<Vec<u8>> {
        let side_mm = FIELD_OF_VIEW_MM.max(FIELD_PER_DIAMETER * extent.longest_axial_diameter_mm);
        let centre_mm = on_a_slice(&self.truth.affine, extent.centroid_vox);
        let view = View { plane: AXIAL, centre_mm, side_mm };
        let mut canvas = Canvas::new(PANEL_PX, PANEL_PX, [0; 3]);
        for ((x, y), g) in view.grey(&self.ct)?.indexed_iter() {
            canvas.set(x, y, [*g; 3]);
        }
        for (labels, colour) in [(&self.truth, TRUTH), (&self.prediction, PREDICTION)] {
            for [x, y] in view.outline(labels, 1)? {
                canvas.set(x, y, colour);
            }
        }
        Ok(canvas.png())
    }
}

fn one(mask: &Mask) -> Labels {
    Labels { data: mask.data.mapv(u16::from), affine: mask.affine }
}

/// Between two slices a view would blur them.
fn on_a_slice(affine: &Affine, voxel: [f64; 3]) -> [f64; 3] {
    affine.apply(voxel.map(f64::round))
}

#[cfg(test)]
mod tests {
    use super::*;
    use difftumor_ct::metrics::detection::FindingRecord;

    #[test]
    fn the_largest_are_kept_in_order() {
        let extent = |volume_mm3| Extent {
            voxels: 1,
            volume_mm3,
            equivalent_diameter_mm: 1.0,
            longest_axial_diameter_mm: 1.0,
            centroid_vox: [0.0; 3],
            centroid_ras_mm: [0.0; 3],
        };
        let mut worst = Worst::default();
        for case in ["a", "b"] {
            let finding = |n: u32| FindingRecord {
                finding: n,
                extent: extent(f64::from(n)),
                lesions: if n == 7 { vec![1] } else { vec![] },
            };
            worst.add(case, &Detection { lesions: vec![], findings: (1..=7).map(finding).collect() });
        }
        let kept: Vec<_> = worst.0.iter().map(|p| (p.case.as_str(), p.number)).collect();
        let expected = [("a", 6), ("b", 6), ("a", 5), ("b", 5), ("a", 4), ("b", 4), ("a", 3), ("b", 3)];
        assert_eq!(kept, expected);
    }
}
