//! What a visual Turing test shows: a tumor in its surroundings, on the scan's own voxels.
//!
//! The box has the same size in mm for all tumors. It is centred on the tumor, but moved so that it stays within the scan: what lies beyond
//! a scan's end would have to be made up. Only a scan that is smaller than the box is padded, with air.
use super::survey::Tumor;
use difftumor_ct::patch::{Fill, crop};
use difftumor_ct::{Affine, Volume};

/// What scans are clipped to: the usual 12 bits. Padding values below (-3024, -2000) tell scanners apart, and values above are metal.
pub(super) const RANGE_HU: [f32; 2] = [-1024.0, 3071.0];

/// Most voxels of a box: 512 along each axis. More comes from a voxel size that is wrong.
const MOST_VOXELS: u128 = 1 << 27;

/// Why a tumor cannot be shown. `None`: it can.
pub(super) fn why_not(tumor: &Tumor, field_mm: f64) -> Option<String> {
    let longest_mm = tumor.extent_mm().into_iter().fold(0.0, f64::max);
    if longest_mm > field_mm {
        return Some(format!("longer than the field of {field_mm} mm; give a larger one"));
    }
    let voxels: u128 = shape(tumor, field_mm).iter().map(|side| *side as u128).product();
    (voxels > MOST_VOXELS)
        .then(|| format!("a field of {field_mm} mm has {voxels} voxels; check the voxel size"))
}

fn shape(tumor: &Tumor, field_mm: f64) -> [usize; 3] {
    tumor.spacing_mm.map(|spacing| ((field_mm / spacing).round() as usize).max(1))
}

/// Cuts a tumor's box out of its scan (RAS). Gives whole HU with the origin at voxel 0 and no tilt, and where the tumor is: its voxel
/// nearest to its centre.
pub(super) fn cut(scan: &Volume, tumor: &Tumor, field_mm: f64) -> (Volume, [f64; 3]) {
    let shape = shape(tumor, field_mm);
    let (nx, ny, nz) = tumor.mask.dim();
    let start = std::array::from_fn(|a| {
        let (side, scan_side) = (shape[a] as i64, tumor.scan_shape[a] as i64);
        let centred = tumor.start_vox[a] as i64 + ([nx, ny, nz][a] as i64 - side).div_euclid(2);
        if scan_side < side { -((side - scan_side) / 2) } else { centred.clamp(0, scan_side - side) }
    });
    let data = crop(&scan.data, start, shape, Fill::Constant(RANGE_HU[0])).mapv(whole_hu);
    let middle = middle_vox(tumor);
    let centre_vox =
        std::array::from_fn(|a| (tumor.start_vox[a] as i64 + middle[a] as i64 - start[a]) as f64);
    (Volume { data, affine: Affine::from_spacing_mm(tumor.spacing_mm.map(whole_um)) }, centre_vox)
}

/// Clipped and rounded, so that neither the range nor the fineness of values tells how a scan was made.
pub(super) fn whole_hu(hu: f32) -> f32 {
    hu.clamp(RANGE_HU[0], RANGE_HU[1]).round()
}

/// Whole micrometres: a voxel size that went through a program differs in its last digits from what the scanner wrote.
fn whole_um(spacing_mm: f64) -> f64 {
    // A scan with voxels below a micrometre is none, but its header must not become singular.
    ((spacing_mm * 1000.0).round() / 1000.0).max(0.001)
}

/// The tumor's voxel nearest to its centre of mass, in its box. (The centre of a crescent lies outside of it.)
fn middle_vox(tumor: &Tumor) -> [usize; 3] {
    let voxels = || tumor.mask.indexed_iter().filter(|(_, inside)| **inside).map(|((x, y, z), _)| [x, y, z]);
    let count = voxels().count() as f64;
    let mut centre = [0.0; 3];
    for voxel in voxels() {
        (0..3).for_each(|a| centre[a] += voxel[a] as f64 / count);
    }
    let distance2 = |voxel: &[usize; 3]| -> f64 {
        (0..3).map(|a| ((voxel[a] as f64 - centre[a]) * tumor.spacing_mm[a]).powi(2)).sum()
    };
    voxels().min_by(|a, b| distance2(a).total_cmp(&distance2(b))).expect("a tumor has voxels")
}
