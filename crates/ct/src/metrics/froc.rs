//! FROC, the free-response receiver operating characteristic (Bunch et al. 1978): tumors found against false positives per scan
//! as the threshold on the predicted probability of tumor moves.
//!
//! A point is the whole of [`Detection`] at one threshold: what is predicted is every voxel, within
//! the organ, of at least that probability. So findings grow and join as the threshold falls, as they would in use, and the
//! curve need not rise everywhere: two findings that join are one false positive less.
use super::detection::{Detection, DetectionOptions};
use super::detection_summary::DetectionSummary;
use crate::error::{Error, Result};
use crate::volume::{Mask, Volume};
use ndarray::Zip;

/// False positives per scan at which sensitivities are told, as in LUNA16.
pub const RATES: [f64; 7] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// The curve over many scans.
#[derive(Debug, Clone, PartialEq)]
pub struct Froc {
    points: Vec<(f64, DetectionSummary)>,
}

/// One threshold.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FrocPoint {
    /// What is at least this probable is predicted.
    pub threshold: f64,
    /// Tumors of the truth.
    pub lesions: usize,
    /// Those that are found.
    pub found: usize,
    /// Share of the tumors that are found; `None` when there is none.
    pub sensitivity: Option<f64>,
    /// Findings that touch no tumor, by scan; `None` without a scan.
    pub false_positives_per_scan: Option<f64>,
}

impl Froc {
    /// An empty curve. Thresholds are sorted.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is none, or one is not above 0 and at most 1.
    pub fn new(thresholds: impl IntoIterator<Item = f64>) -> Result<Self> {
        let mut points: Vec<_> = thresholds.into_iter().map(|t| (t, DetectionSummary::default())).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let bad = points.iter().find(|(t, _)| !(*t > 0.0 && *t <= 1.0));
        if points.is_empty() || bad.is_some() {
            return Err(Error::Argument {
                what: "thresholds of the FROC curve".into(),
                expected: "at least one, each above 0 and at most 1".into(),
                found: bad.map_or("none".into(), |(t, _)| t.to_string()),
            });
        }
        Ok(Self { points })
    }

    /// Twenty steps of 0.05, without 0.
    pub fn twenty() -> Self {
        Self::new((1..=20).map(|step| f64::from(step) / 20.0)).expect("they are above 0")
    }

    /// Adds a scan: the tumors' mask, and the probability of tumor, on one grid. `organ` is where a prediction counts.
    ///
    /// # Errors
    /// [`Error::GridMismatch`] when grids differ; [`Error::Argument`] when a probability is not within 0 to 1 (none is added
    /// then), or as [`Detection::between`].
    pub fn add(
        &mut self,
        truth: &Mask,
        probability: &Volume,
        organ: Option<&Mask>,
        options: &DetectionOptions,
    ) -> Result<()> {
        truth.grid().require_same("truth", &probability.grid(), "probability of tumor")?;
        // Not NaN either.
        if let Some(bad) = probability.data.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Err(Error::Argument {
                what: "probability of tumor".into(),
                expected: "numbers from 0 to 1".into(),
                found: bad.to_string(),
            });
        }
        let at = |threshold: f64| {
            let predicted = Mask {
                data: Zip::from(&probability.data).par_map_collect(|p| f64::from(*p) >= threshold),
                affine: probability.affine,
            };
            Detection::between(truth, &predicted, organ, options)
        };
        let found: Vec<Detection> = self.points.iter().map(|(t, _)| at(*t)).collect::<Result<_>>()?;
        for ((_, summary), detection) in self.points.iter_mut().zip(&found) {
            summary.add(detection);
        }
        Ok(())
    }

    /// The points, by threshold.
    pub fn points(&self) -> Vec<FrocPoint> {
        let point = |(threshold, summary): &(f64, DetectionSummary)| FrocPoint {
            threshold: *threshold,
            lesions: summary.all.lesions,
            found: summary.all.found,
            sensitivity: summary.all.sensitivity(),
            false_positives_per_scan: summary.false_positives_per_scan(),
        };
        self.points.iter().map(point).collect()
    }
}

/// The highest sensitivity of all points with at most this many false positives per scan; no line is drawn between points.
/// `None` when there is no such point, or no tumor.
pub fn sensitivity_at(points: &[FrocPoint], false_positives_per_scan: f64) -> Option<f64> {
    let allowed =
        points.iter().filter(|p| p.false_positives_per_scan.is_some_and(|f| f <= false_positives_per_scan));
    allowed.filter_map(|p| p.sensitivity).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;
    use ndarray::{Array3, s};

    /// One tumor with a middle of 0.9 and a rim of 0.3, one of 0.6, and at 0.7 and 0.2 something where there is none.
    fn scan() -> (Mask, Volume) {
        let affine = Affine::from_spacing_mm([1.0; 3]);
        let mut truth = Array3::from_elem((30, 10, 10), false);
        let mut p = Array3::zeros((30, 10, 10));
        truth.slice_mut(s![2..8, 2..8, 2..8]).fill(true);
        truth.slice_mut(s![12..15, 2..5, 2..5]).fill(true);
        p.slice_mut(s![2..8, 2..8, 2..8]).fill(0.3);
        p.slice_mut(s![4..6, 4..6, 4..6]).fill(0.9);
        p.slice_mut(s![13..14, 3..4, 3..4]).fill(0.6);
        p.slice_mut(s![20..22, 2..4, 2..4]).fill(0.7);
        p.slice_mut(s![25..27, 2..4, 2..4]).fill(0.2);
        (Mask { data: truth, affine }, Volume { data: p, affine })
    }

    #[test]
    fn each_threshold_is_a_detection_of_its_own() {
        let (truth, p) = scan();
        let mut froc = Froc::new([0.8, 0.5, 0.65, 0.1]).unwrap();
        let options = DetectionOptions::default();
        froc.add(&truth, &p, None, &options).unwrap();
        let points = froc.points();
        let seen: Vec<_> =
            points.iter().map(|p| (p.threshold, p.found, p.false_positives_per_scan)).collect();
        assert_eq!(
            seen,
            [(0.1, 2, Some(2.0)), (0.5, 2, Some(1.0)), (0.65, 1, Some(1.0)), (0.8, 1, Some(0.0))]
        );
        // A healthy scan halves the false positives per scan.
        let none = Mask { data: Array3::from_elem((30, 10, 10), false), affine: truth.affine };
        let zero = Volume { data: Array3::zeros((30, 10, 10)), affine: truth.affine };
        froc.add(&none, &zero, None, &options).unwrap();
        let points = froc.points();
        assert_eq!(points[1].false_positives_per_scan, Some(0.5));
        assert_eq!(sensitivity_at(&points, 0.0), Some(0.5));
        assert_eq!(sensitivity_at(&points, 0.5), Some(1.0));
        assert_eq!(sensitivity_at(&points[..2], 0.125), None);
    }

    #[test]
    fn a_stricter_rule_wants_more_of_the_tumor() {
        let (truth, p) = scan();
        let mut froc = Froc::new([0.1, 0.5]).unwrap();
        let rule = super::super::detection::FoundRule::Iou(0.5);
        froc.add(&truth, &p, None, &DetectionOptions { rule, ..Default::default() }).unwrap();
        // Of the larger one all is predicted at 0.1, an eighth at 0.5; of the other one voxel of 27.
        assert_eq!(froc.points().iter().map(|p| p.found).collect::<Vec<_>>(), [1, 0]);
    }

    #[test]
    fn what_lies_outside_of_the_organ_does_not_count() {
        let (truth, p) = scan();
        let mut organ = Mask { data: Array3::from_elem((30, 10, 10), false), affine: truth.affine };
        organ.data.slice_mut(s![..18, .., ..]).fill(true);
        let mut froc = Froc::new([0.5]).unwrap();
        froc.add(&truth, &p, Some(&organ), &DetectionOptions::default()).unwrap();
        assert_eq!(froc.points()[0].false_positives_per_scan, Some(0.0));
    }

    #[test]
    fn bad_input_is_told() {
        assert!(Froc::new([]).unwrap_err().to_string().contains("at least one"));
        for bad in [0.0, 1.5, f64::NAN] {
            assert!(Froc::new([0.5, bad]).is_err(), "{bad}");
        }
        let (truth, mut p) = scan();
        p.data[[0, 0, 0]] = f32::NAN;
        let mut froc = Froc::twenty();
        assert!(
            froc.add(&truth, &p, None, &DetectionOptions::default()).unwrap_err().to_string().contains("NaN")
        );
        p.data = Array3::zeros((2, 2, 2));
        assert!(froc.add(&truth, &p, None, &DetectionOptions::default()).is_err());
        assert_eq!(froc.points()[0].false_positives_per_scan, None);
    }
}
