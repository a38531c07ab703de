//! Tumor-wise detection: which tumors of the truth a prediction finds, and what it finds where there is none.
//!
//! The paper reports the sensitivity for early tumors (Table 2) without a definition; the rules here are ours.
//!
//! 1. What is predicted outside of the organ mask, when there is one, is dropped, as the published post-processing
//!    does. The truth is left as it is.
//! 2. A tumor is a connected component of the truth, a finding a connected component of what is left of the
//!    prediction. They touch when they share a voxel; being neighbours is not enough.
//! 3. A tumor is found when [`FoundRule`] says so; by default, when anything touches it.
//! 4. A false positive is a finding that touches no tumor. A finding that touches one without meeting a stricter rule
//!    is neither that nor a hit.
use super::common_spacing_mm;
use super::overlap::Overlap;
use crate::components::{Component, Components, Connectivity, components};
use crate::error::Result;
use crate::measure::{MaskMeasure, measure};
use crate::patch::{Fill, VoxelBox, bounding_box, crop};
use crate::volume::Mask;
use ndarray::{Array3, Zip, s};
use std::collections::BTreeMap;

/// When a tumor counts as found.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundRule {
    /// At least one of its voxels is predicted.
    #[default]
    AnyOverlap,
    /// Its IoU with all findings that touch it, taken together, is at least this (0 to 1) and above 0.
    Iou(f64),
    /// Its DSC with all findings that touch it, taken together, is at least this (0 to 1) and above 0.
    Dice(f64),
    /// The voxel nearest to the centroid of some finding is one of its voxels.
    Centroid,
}

/// Which diameter tells a tumor's stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageDiameter {
    /// That of the ball of the same volume: the authors' own scripts tell early tumors by its radius, 10 mm.
    #[default]
    EquivalentSphere,
    /// The longest within one slice ([`MaskMeasure::longest_axial_diameter_mm`]), as a radiologist measures.
    LongestAxial,
}

/// A tumor's stage by its diameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Stage {
    /// At most 20 mm: the paper's early tumors.
    #[serde(rename = "up_to_20_mm")]
    UpTo20Mm,
    /// Above 20 mm, at most 50 mm.
    #[serde(rename = "up_to_50_mm")]
    UpTo50Mm,
    /// Above 50 mm.
    #[serde(rename = "above_50_mm")]
    Above50Mm,
}

impl Stage {
    /// All stages, smallest first.
    pub const ALL: [Self; 3] = [Self::UpTo20Mm, Self::UpTo50Mm, Self::Above50Mm];

    /// As in files: `up_to_20_mm`, `up_to_50_mm`, `above_50_mm`.
    pub fn name(self) -> &'static str {
        ["up_to_20_mm", "up_to_50_mm", "above_50_mm"][self as usize]
    }

    /// The stage of a diameter in mm.
    pub fn of(diameter_mm: f64) -> Self {
        match diameter_mm {
            d if d <= 20.0 => Self::UpTo20Mm,
            d if d <= 50.0 => Self::UpTo50Mm,
            _ => Self::Above50Mm,
        }
    }
}

/// How tumors are told apart, found and sorted by size.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectionOptions {
    /// Which voxels belong to one tumor, and to one finding. By default those that share a corner (26 neighbours): a
    /// voxel that hangs on a tumor by an edge is not a second, tiny tumor. The authors' own script for early tumors
    /// takes faces (6).
    pub connectivity: Connectivity,
    /// When a tumor is found.
    pub rule: FoundRule,
    /// Which diameter tells the stage.
    pub stage_diameter: StageDiameter,
}

impl Default for DetectionOptions {
    fn default() -> Self {
        Self {
            connectivity: Connectivity::Corners,
            rule: FoundRule::default(),
            stage_diameter: StageDiameter::default(),
        }
    }
}

/// Where a component lies, and its size.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Extent {
    /// Number of voxels.
    pub voxels: usize,
    /// Voxels times the volume of one.
    pub volume_mm3: f64,
    /// Diameter of the ball of the same volume.
    pub equivalent_diameter_mm: f64,
    /// Longest diameter within one slice ([`MaskMeasure::longest_axial_diameter_mm`]).
    pub longest_axial_diameter_mm: f64,
    /// Mean voxel index.
    pub centroid_vox: [f64; 3],
    /// The same in RAS+ mm.
    pub centroid_ras_mm: [f64; 3],
}

/// One tumor of the truth.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LesionRecord {
    /// Its number in the scan, from 1, in scan order (x slowest).
    pub lesion: u32,
    /// Where it is and how large.
    pub extent: Extent,
    /// Its stage.
    pub stage: Stage,
    /// Whether the prediction finds it, by the rule of the options.
    pub found: bool,
    /// Numbers of the findings that touch it.
    pub findings: Vec<u32>,
    /// Its own voxels, those of all findings that touch it, and those in both.
    pub overlap: Overlap,
    /// DSC of the tumor with all findings that touch it; 0 when none does.
    pub dice: f64,
    /// IoU of the same.
    pub iou: f64,
}

/// One finding: a connected component of the prediction within the organ.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FindingRecord {
    /// Its number in the scan, from 1, in scan order (x slowest).
    pub finding: u32,
    /// Where it is and how large.
    pub extent: Extent,
    /// Numbers of the tumors that it touches; none makes it a false positive.
    pub lesions: Vec<u32>,
}

/// Tumors and findings of one scan.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Detection {
    /// Tumors of the truth.
    pub lesions: Vec<LesionRecord>,
    /// What is predicted.
    pub findings: Vec<FindingRecord>,
}

impl Detection {
    /// Compares tumors: `truth` and `prediction` are the tumors' masks, `organ` is where a prediction counts
    /// (everywhere when `None`).
    ///
    /// # Errors
    /// [`Error::GridMismatch`](crate::Error::GridMismatch) when the grids differ;
    /// [`Error::Argument`](crate::Error::Argument) when the voxel size is not positive or a rule's threshold is not
    /// within 0 to 1.
    pub fn between(
        truth: &Mask,
        prediction: &Mask,
        organ: Option<&Mask>,
        options: &DetectionOptions,
    ) -> Result<Self> {
        options.rule.check()?;
        let spacing_mm = common_spacing_mm(truth, prediction)?;
        if let Some(organ) = organ {
            truth.grid().require_same("truth", &organ.grid(), "organ mask")?;
        }
        let boxes = [bounding_box(&truth.data), bounding_box(&prediction.data)];
        let Some(bounds) = boxes.into_iter().flatten().reduce(|a, b| a.union(&b)) else {
            return Ok(Self::default());
        };
        let part = |mask: &Mask| {
            crop(&mask.data, bounds.start.map(|v| v as i64), bounds.shape(), Fill::Constant(false))
        };
        let mut predicted = part(prediction);
        if let Some(organ) = organ {
            Zip::from(&mut predicted).and(&part(organ)).for_each(|p, organ| *p &= *organ);
        }
        let truth_parts = Parts::new(&part(truth), options.connectivity);
        let predicted_parts = Parts::new(&predicted, options.connectivity);
        let place = Place { start: bounds.start, spacing_mm, truth };
        Ok(compare(&truth_parts, &predicted_parts, &place, options))
    }

    /// Number of findings that touch no tumor.
    pub fn false_positives(&self) -> usize {
        self.findings.iter().filter(|finding| finding.lesions.is_empty()).count()
    }

    /// Whether the patient has a tumor.
    pub fn truth_positive(&self) -> bool {
        !self.lesions.is_empty()
    }

    /// Whether a tumor is predicted anywhere in the organ.
    pub fn predicted_positive(&self) -> bool {
        !self.findings.is_empty()
    }
}

impl FoundRule {
    /// Checks the threshold.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when it is not within 0 to 1.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Iou(threshold) | Self::Dice(threshold) if !(0.0..=1.0).contains(&threshold) => {
                Err(crate::Error::Argument {
                    what: "overlap from which a tumor counts as found".into(),
                    expected: "a number from 0 to 1".into(),
                    found: threshold.to_string(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Whether a tumor with this overlap is found; `centroid_hit`: the centroid of some finding lies in it.
    fn is_met(self, overlap: &Overlap, centroid_hit: bool) -> bool {
        let touched = overlap.both_vox > 0;
        match self {
            Self::AnyOverlap => touched,
            Self::Iou(threshold) => touched && overlap.iou() >= Some(threshold),
            Self::Dice(threshold) => touched && overlap.dice() >= Some(threshold),
            Self::Centroid => centroid_hit,
        }
    }
}

/// The components of a mask, and the component of each voxel.
struct Parts {
    components: Components,
    labels: Array3<u32>,
}

impl Parts {
    fn new(mask: &Array3<bool>, connectivity: Connectivity) -> Self {
        let components = components(mask, connectivity);
        let labels = components.labels();
        Self { components, labels }
    }

    /// Size of a component, with its centroid in the box of the labels.
    fn measure(&self, part: &Component, spacing_mm: [f64; 3]) -> MaskMeasure {
        let VoxelBox { start, end } = part.bounds;
        let [x, y, z]: [_; 3] = std::array::from_fn(|a| start[a]..end[a]);
        let alone = self.labels.slice(s![x, y, z]).mapv(|label| label == part.label);
        let mut size = measure(&alone, spacing_mm).expect("a component has a voxel");
        for a in 0..3 {
            size.centroid_vox[a] += start[a] as f64;
        }
        size
    }
}

/// Where the box of the labels lies in the scan.
struct Place<'a> {
    start: [usize; 3],
    spacing_mm: [f64; 3],
    truth: &'a Mask,
}

impl Place<'_> {
    fn extent(&self, size: &MaskMeasure) -> Extent {
        let centroid_vox = std::array::from_fn(|a| size.centroid_vox[a] + self.start[a] as f64);
        Extent {
            voxels: size.voxels,
            volume_mm3: size.volume_mm3,
            equivalent_diameter_mm: size.equivalent_diameter_mm,
            longest_axial_diameter_mm: size.longest_axial_diameter_mm,
            centroid_vox,
            centroid_ras_mm: self.truth.affine.apply(centroid_vox),
        }
    }
}

fn compare(truth: &Parts, predicted: &Parts, place: &Place<'_>, options: &DetectionOptions) -> Detection {
    let mut shared_vox = BTreeMap::<(u32, u32), u64>::new();
    Zip::from(&truth.labels).and(&predicted.labels).for_each(|lesion, finding| {
        if *lesion > 0 && *finding > 0 {
            *shared_vox.entry((*lesion, *finding)).or_default() += 1;
        }
    });
    // Tumors that hold a finding's centroid.
    let mut hit = vec![false; truth.components.parts.len() + 1];
    let findings = (predicted.components.parts.iter())
        .map(|part| {
            let size = predicted.measure(part, place.spacing_mm);
            hit[truth.labels[size.centroid_vox.map(|v| v.round() as usize)] as usize] = true;
            let touched = shared_vox.keys().filter(|pair| pair.1 == part.label);
            FindingRecord {
                finding: part.label,
                extent: place.extent(&size),
                lesions: touched.map(|pair| pair.0).collect(),
            }
        })
        .collect();
    let lesions = (truth.components.parts.iter())
        .map(|part| {
            let extent = place.extent(&truth.measure(part, place.spacing_mm));
            let mut overlap = Overlap { truth_vox: part.voxels as u64, ..Overlap::default() };
            let mut findings = Vec::new();
            for ((_, finding), shared) in shared_vox.range((part.label, 0)..=(part.label, u32::MAX)) {
                findings.push(*finding);
                overlap.prediction_vox += predicted.components.parts[*finding as usize - 1].voxels as u64;
                overlap.both_vox += shared;
            }
            let diameter_mm = match options.stage_diameter {
                StageDiameter::EquivalentSphere => extent.equivalent_diameter_mm,
                StageDiameter::LongestAxial => extent.longest_axial_diameter_mm,
            };
            LesionRecord {
                lesion: part.label,
                extent,
                stage: Stage::of(diameter_mm),
                found: options.rule.is_met(&overlap, hit[part.label as usize]),
                findings,
                dice: overlap.dice().expect("a tumor has a voxel"),
                iou: overlap.iou().expect("a tumor has a voxel"),
                overlap,
            }
        })
        .collect();
    Detection { lesions, findings }
}
