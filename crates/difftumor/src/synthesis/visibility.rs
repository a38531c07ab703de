//! Whether a tumor shows: its HU against those of the organ around it.
use super::Case;
use super::landing::Landed;
use difftumor_ct::measure::{HuStatistics, ring};
use difftumor_ct::patch::VoxelBox;
use ndarray::{Array3, Zip, s};

/// Width of the ring of organ around a tumor that it is compared with.
pub const RING_MM: f64 = 5.0;

/// HU of some voxels and of the organ around them.
pub struct Comparison {
    /// Inside of the tumor's label.
    pub inside: Option<HuStatistics>,
    /// In the organ within [`RING_MM`], tumors and cysts left out. `None` when the organ has no such voxel.
    pub around: Option<HuStatistics>,
}

/// A box with room for the ring.
pub fn with_ring(bounds: VoxelBox, case: &Case) -> VoxelBox {
    let margin = case.ct.affine.spacing_mm().map(|s| (RING_MM / s).ceil() as usize + 1);
    bounds.grown(margin, case.ct.data.dim().into())
}

/// Compares `hu` where `mask` is (both of the box `b`) with the organ of that number around it.
pub fn compare(case: &Case, organ: usize, b: &VoxelBox, hu: &Array3<f32>, mask: &Array3<bool>) -> Comparison {
    let region = s![b.start[0]..b.end[0], b.start[1]..b.end[1], b.start[2]..b.end[2]];
    let organ = &case.organs[organ];
    let mut allowed = organ.organ.data.slice(region).to_owned();
    for known in [&organ.tumor, &organ.cyst].into_iter().flatten() {
        allowed.zip_mut_with(&known.data.slice(region), |a, t| *a &= !*t);
    }
    let around = ring(mask, &allowed, case.ct.affine.spacing_mm(), RING_MM);
    Comparison { inside: HuStatistics::of(hu, mask), around: HuStatistics::of(hu, &around) }
}

/// By how many HU a painted tumor would differ from the organ around it. A tumor that fills its organ has nothing to be
/// compared with and counts as visible; one without a voxel does not.
pub fn contrast_hu(case: &Case, organ: usize, landed: &Landed) -> f64 {
    let shape: [usize; 3] = landed.label.dim().into();
    let inner = VoxelBox { start: landed.start, end: std::array::from_fn(|a| landed.start[a] + shape[a]) };
    let b = with_ring(inner, case);
    let mut hu =
        case.ct.data.slice(s![b.start[0]..b.end[0], b.start[1]..b.end[1], b.start[2]..b.end[2]]).to_owned();
    let mut mask = Array3::from_elem(hu.dim(), false);
    let at: [usize; 3] = std::array::from_fn(|a| landed.start[a] - b.start[a]);
    let part = s![at[0]..at[0] + shape[0], at[1]..at[1] + shape[1], at[2]..at[2] + shape[2]];
    Zip::from(hu.slice_mut(part)).and(&landed.change_hu).for_each(|v, c| *v += c);
    mask.slice_mut(part).assign(&landed.label);
    match compare(case, organ, &b, &hu, &mask) {
        Comparison { inside: None, .. } => 0.0,
        Comparison { around: None, .. } => f64::INFINITY,
        Comparison { inside: Some(inside), around: Some(around) } => (inside.mean_hu - around.mean_hu).abs(),
    }
}
