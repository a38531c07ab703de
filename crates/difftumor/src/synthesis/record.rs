//! What is written down about each tumor.
use super::Case;
use super::gate::TumorGate;
use super::visibility::{compare, with_ring};
use difftumor_ct::Labels;
use difftumor_ct::mass_effect;
use difftumor_ct::measure::{HuStatistics, measure};
use difftumor_ct::patch::bounding_box;
use ndarray::{Array3, s};
use serde::{Deserialize, Serialize};

/// Mean and standard deviation of some voxels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HuRecord {
    /// Mean.
    pub mean_hu: f64,
    /// Standard deviation.
    pub sd_hu: f64,
    /// Number of voxels.
    pub voxels: usize,
}

/// One synthetic tumor. Lengths are those of its label on the scan's grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TumorRecord {
    /// Its value in `tumors.nii.gz`.
    pub number: u16,
    /// The organ that it lies in.
    pub organ: String,
    /// `diffusion` or `handcrafted`.
    pub method: String,
    /// Size class, or `diameter` when millimetres were asked for.
    pub size: String,
    /// Seed, copy, and number of the stream that every draw for this tumor came from (with the redraw of its [`Variant`](super::Variant)).
    pub stream: [u64; 3],
    /// How many shapes and places were drawn for it.
    pub attempts: usize,
    /// Standard deviation of the blur of its edge.
    pub edge_sigma_mm: f64,
    /// Contrast of the handcrafted texture: the tumor is darker by about half of it, brighter if negative.
    pub contrast_hu: Option<f64>,
    /// Hash of the weights that painted it.
    pub weights_sha256: Option<String>,
    /// Centroid in RAS+ mm.
    pub centre_mm: [f64; 3],
    /// Centroid in voxels of the scan.
    pub centre_vox: [f64; 3],
    /// Labelled volume.
    pub volume_mm3: f64,
    /// Labelled voxels.
    pub voxels: usize,
    /// Diameter of the ball of that volume.
    pub equivalent_diameter_mm: f64,
    /// Full axes of the moment-equivalent ellipsoid, longest first.
    pub axes_mm: [f64; 3],
    /// Longest diameter within an axial slice.
    pub longest_axial_diameter_mm: f64,
    /// HU inside its label.
    pub hu_inside: Option<HuRecord>,
    /// HU of the same voxels before.
    pub hu_before: Option<HuRecord>,
    /// HU of the organ within 5 mm around, tumors left out.
    pub hu_around: Option<HuRecord>,
    /// What the gate said of it, if there is one; of a growth series, of the tumor at its largest.
    #[serde(default)]
    pub gate: Option<TumorGate>,
    /// How it has pushed the tissue around it, if it has.
    #[serde(default)]
    pub mass_effect: Option<mass_effect::Record>,
}

impl From<HuStatistics> for HuRecord {
    fn from(s: HuStatistics) -> Self {
        Self { mean_hu: s.mean_hu, sd_hu: s.sd_hu, voxels: s.voxels }
    }
}

impl TumorRecord {
    /// Fills in what is measured on the finished scan.
    pub(super) fn measure(&mut self, before: &Array3<f32>, case: &Case, instances: &Labels) {
        let whole = instances.data.mapv(|i| i == self.number);
        let Some(bounds) = bounding_box(&whole) else { return };
        let b = with_ring(bounds, case);
        let region = s![b.start[0]..b.end[0], b.start[1]..b.end[1], b.start[2]..b.end[2]];
        let mask = whole.slice(region).to_owned();
        let organ = case.organs.iter().position(|o| o.name == self.organ).expect("the tumor's organ");
        let after = compare(case, organ, &b, &case.ct.data.slice(region).to_owned(), &mask);
        self.hu_inside = after.inside.map(Into::into);
        self.hu_around = after.around.map(Into::into);
        self.hu_before = HuStatistics::of(&before.slice(region).to_owned(), &mask).map(Into::into);
        let Some(m) = measure(&mask, case.ct.affine.spacing_mm()) else { return };
        self.centre_vox = std::array::from_fn(|a| m.centroid_vox[a] + b.start[a] as f64);
        self.centre_mm = case.ct.affine.apply(self.centre_vox);
        self.voxels = m.voxels;
        self.volume_mm3 = m.voxels as f64 * case.ct.affine.determinant().abs();
        self.equivalent_diameter_mm = m.equivalent_diameter_mm;
        self.axes_mm = m.axes_mm;
        self.longest_axial_diameter_mm = m.longest_axial_diameter_mm;
    }
}

impl TumorRecord {
    /// A record whose measures are still to come.
    pub(super) fn unmeasured() -> Self {
        Self {
            number: 0,
            organ: String::new(),
            method: String::new(),
            size: String::new(),
            stream: [0; 3],
            attempts: 0,
            edge_sigma_mm: 0.0,
            contrast_hu: None,
            weights_sha256: None,
            centre_mm: [0.0; 3],
            centre_vox: [0.0; 3],
            volume_mm3: 0.0,
            voxels: 0,
            equivalent_diameter_mm: 0.0,
            axes_mm: [0.0; 3],
            longest_axial_diameter_mm: 0.0,
            hu_inside: None,
            hu_before: None,
            hu_around: None,
            gate: None,
            mass_effect: None,
        }
    }
}
