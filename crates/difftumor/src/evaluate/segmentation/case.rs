//! One case: its labels, its prediction, and the figures of both.
use super::Options;
use super::predictions::Predictions;
use crate::dataset::CaseSource;
use crate::error::{Error, Result};
use crate::objects::fetch;
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::label::{Census, LabelFile, LabelMap, LabelRoles, OrganSpec};
use difftumor_ct::metrics::detection::{Detection, Stage};
use difftumor_ct::metrics::detection_summary::{DetectionSummary, Found};
use difftumor_ct::metrics::froc::Froc;
use difftumor_ct::metrics::overlap::Overlap;
use difftumor_ct::metrics::surface::SurfaceDistances;
use difftumor_ct::resample::{Outside, nearest};
use difftumor_ct::{Grid, Mask};
use ndarray::{Array3, Zip};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Figures of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseFigures {
    /// The organ with its tumors and cysts.
    pub organ: MaskFigures,
    /// All tumors as one mask.
    pub tumor: MaskFigures,
    /// Predicted tumor voxels outside of the true organ with its tumors: dropped before anything of tumors is measured, unless
    /// they count anywhere.
    pub tumor_voxels_outside_organ: usize,
    /// Tumors one by one.
    pub tumors: Tumors,
}

/// How two masks agree. `None`, and null, is 0/0: both are empty. Distances are infinite when one is empty, which JSON cannot
/// hold and writes as null too; the volumes tell which it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MaskFigures {
    /// Volume of the truth.
    pub true_volume_mm3: f64,
    /// Volume of the prediction.
    pub predicted_volume_mm3: f64,
    /// Dice similarity coefficient; 0 when one is empty.
    pub dsc: Option<f64>,
    /// Share of both surfaces that lies within the tolerance of the other; 0 when one is empty.
    pub nsd: Option<f64>,
    /// 95th percentile of the surfaces' distances.
    pub hd95_mm: Option<f64>,
    /// Mean of the surfaces' distances.
    pub assd_mm: Option<f64>,
}

/// Tumors of the truth, and what is predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tumors {
    /// Of every size.
    pub all: Found,
    /// By stage.
    pub by_stage: BTreeMap<Stage, Found>,
    /// Connected components of the predicted tumors.
    pub findings: usize,
    /// Findings that touch no tumor.
    pub false_positives: usize,
}

/// Measures a prediction, and adds it to the curve, if there is one, by the probability of tumor beside it. The scan itself is not
/// read.
///
/// # Errors
/// When a file cannot be read, the truth has no organ, the grids differ, or the prediction has a value that means nothing.
pub(super) fn measure(
    source: &CaseSource,
    predictions: &Predictions,
    options: &Options,
    froc: Option<&mut Froc>,
) -> Result<(CaseFigures, Detection)> {
    let prediction = &predictions.of(&source.id)?;
    let (truth, predicted, outside) = Parts::both(source, prediction, options)?;
    let organ = MaskFigures::between(&truth.organ, &predicted.organ, options.tolerance_mm)?;
    let tumor = MaskFigures::between(&truth.tumor, &predicted.tumor, options.tolerance_mm)?;
    // What is outside of the organ has been dropped.
    let detection = Detection::between(&truth.tumor, &predicted.tumor, None, &options.detection)?;
    let figures =
        CaseFigures { organ, tumor, tumor_voxels_outside_organ: outside, tumors: Tumors::of(&detection) };
    if let Some(froc) = froc {
        let path = predictions.probability_of(&source.id)?;
        let local = fetch(&path)?;
        let probability = NiftiImage::read(local.path()).and_then(|image| image.to_volume());
        let probability = probability.map_err(|e| local.explain(e.into()))?;
        let organ = (!options.anywhere).then_some(&truth.organ);
        froc.add(&truth.tumor, &probability, organ, &options.detection).map_err(|e| match e {
            difftumor_ct::Error::Argument { what, expected, found } => {
                Error::format(&path, what, expected, found, "write it with `segment --probabilities`")
            }
            other => other.into(),
        })?;
    }
    Ok((figures, detection))
}

/// The masks that are compared.
pub(super) struct Parts {
    /// The organ with its tumors and cysts.
    pub(super) organ: Mask,
    pub(super) tumor: Mask,
}

impl Parts {
    /// Truth and prediction of a case, and the number of predicted tumor voxels outside of the true organ: these are dropped, unless
    /// they count anywhere.
    pub(super) fn both(
        source: &CaseSource,
        prediction: &Path,
        options: &Options,
    ) -> Result<(Self, Self, usize)> {
        let labels = fetch(&source.labels)?;
        let truth = Self::of_truth(labels.path(), &options.organ).map_err(|e| labels.explain(e))?;
        let (name, prediction) = (source.labels.display().to_string(), fetch(prediction)?);
        let mut predicted = Self::of_prediction(prediction.path(), options, (&truth.organ.grid(), &name))
            .map_err(|e| prediction.explain(e))?;
        let mut outside = 0;
        Zip::from(&mut predicted.tumor.data).and(&truth.organ.data).for_each(|tumor, organ| {
            outside += usize::from(*tumor && !organ);
            *tumor &= *organ || options.anywhere;
        });
        Ok((truth, predicted, outside))
    }

    fn of_truth(path: &Path, spec: &OrganSpec) -> Result<Self> {
        let found = LabelMap::open(path)?.organ(spec, None)?;
        let tumor = found.tumor.clone().unwrap_or_else(|| Mask {
            data: Array3::default(found.organ.data.dim()),
            affine: found.organ.affine,
        });
        Ok(Self { organ: found.with_lesions(), tumor })
    }

    /// `truth` is its grid and name. Unlike the truth, a prediction may be empty.
    fn of_prediction(path: &Path, options: &Options, truth: (&Grid, &str)) -> Result<Self> {
        let spec = &options.predicted;
        let mut file = LabelFile::read(path)?;
        match (
            truth.0.require_same(truth.1, &file.labels.grid(), &path.display().to_string()),
            options.resample,
        ) {
            (Err(_), true) => file.labels = nearest(&file.labels, truth.0, Outside::Constant(0))?,
            (same, _) => same?,
        }
        let LabelRoles { organ, tumor, cyst } = spec.roles.as_ref().expect("the options were checked");
        let all: Vec<u16> = [organ, tumor, cyst].into_iter().flatten().copied().collect();
        let unknown: BTreeMap<u16, usize> =
            file.census.0.iter().filter(|(v, _)| !all.contains(v)).map(|(v, n)| (*v, *n)).collect();
        if !unknown.is_empty() {
            let expected = format!("0 and those of {spec}");
            let found = format!("also {}", Census(unknown));
            let hint = "tell with --predicted what values mean";
            return Err(Error::format(path, "label values", expected, found, hint));
        }
        let mask = |values: &[u16]| Mask {
            data: Zip::from(&file.labels.data).par_map_collect(|label| values.contains(label)),
            affine: file.labels.affine,
        };
        Ok(Self { organ: mask(&all), tumor: mask(tumor) })
    }
}

impl MaskFigures {
    fn between(truth: &Mask, prediction: &Mask, tolerance_mm: f64) -> Result<Self> {
        let overlap = Overlap::between(truth, prediction)?;
        let surfaces = SurfaceDistances::between(truth, prediction)?;
        let voxel_mm3: f64 = truth.affine.spacing_mm().iter().product();
        Ok(Self {
            true_volume_mm3: overlap.truth_vox as f64 * voxel_mm3,
            predicted_volume_mm3: overlap.prediction_vox as f64 * voxel_mm3,
            dsc: overlap.dice(),
            nsd: surfaces.nsd(tolerance_mm),
            hd95_mm: surfaces.hd95_mm(),
            assd_mm: surfaces.assd_mm(),
        })
    }
}

impl Tumors {
    fn of(detection: &Detection) -> Self {
        let DetectionSummary { all, by_stage, false_positives, .. } = DetectionSummary::of([detection]);
        Self {
            all,
            by_stage: Stage::ALL.into_iter().zip(by_stage).collect(),
            findings: detection.findings.len(),
            false_positives,
        }
    }
}
