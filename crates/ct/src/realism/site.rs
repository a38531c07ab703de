//! The surroundings of one tumor, cut out of the scan, with the slices across the third axis.
use super::Input;
use crate::distance::distance_mm;
use crate::patch::{VoxelBox, bounding_box};
use ndarray::{Array3, ArrayView3, Zip, s};

/// What is looked at around the tumor, in mm: enough to find changes farther than 15 mm away.
pub const MARGIN_MM: f64 = 20.0;
/// Healthy tissue is measured from here to there outside of the border, in mm: beyond most of the blur, near enough to be the same.
const AROUND_MM: (f32, f32) = (3.0, 8.0);
/// The inside is measured from here on, in mm, if enough is left.
const CORE_MM: f32 = 2.0;
/// Where no organ is labelled, tissue is what is neither fat nor bone.
const SOFT_TISSUE_HU: (f32, f32) = (-20.0, 200.0);
/// Boxes beside the tumor on each side along each axis, where the organ's texture is measured…
pub(super) const PLACES_ASIDE: usize = 2;
/// …and the least distance between them.
pub(super) const APART_MM: f64 = 3.0;
/// Voxels that a region needs for statistics.
pub(super) const LEAST_VOXELS: usize = 30;

/// The part of a scan that the figures of a tumor depend on: its box with the margin and with the boxes beside it. Cut down to this, a scan
/// gives the same figures.
pub fn surroundings(tumor: &VoxelBox, spacing_mm: [f64; 3], shape: [usize; 3]) -> VoxelBox {
    let extent = tumor.shape();
    let margin_vox = std::array::from_fn(|a| {
        let vox = |mm: f64| (mm / spacing_mm[a]).ceil() as usize + 1;
        vox(MARGIN_MM).max(PLACES_ASIDE * (extent[a] + vox(APART_MM)))
    });
    tumor.grown(margin_vox, shape)
}

/// The tumor's box and its margin. All arrays are `[in plane, in plane, slice]`.
pub(super) struct Site<'a> {
    input: Input<'a>,
    across: usize,
    /// The first voxel of the box in the scan.
    pub start: [usize; 3],
    /// Voxel size; the third is the distance of slices.
    pub spacing_mm: [f64; 3],
    /// The scan; 0 where it is no number.
    pub hu: Array3<f32>,
    /// The tumor.
    pub inside: Array3<bool>,
    /// Distance of voxel centres to the tumor's border, negative inside.
    pub signed_mm: Array3<f32>,
    /// Healthy tissue of the organ.
    pub tissue: Array3<bool>,
    /// The tumor without its blurred border, or all of a tumor too small for that.
    pub core: Array3<bool>,
    /// Healthy tissue of the organ 3 to 8 mm outside of the border.
    pub around: Array3<bool>,
    /// The scan before less the scan after.
    pub change_hu: Option<Array3<f32>>,
}

impl<'a> Site<'a> {
    /// `None` as for [`super::Figures::of`].
    pub(super) fn new(input: &Input<'a>) -> Option<Self> {
        check_shapes(input);
        let (across, spacing_mm) = (input.ct.affine.slice_axis(), input.ct.affine.spacing_mm());
        if !spacing_mm.iter().all(|s| s.is_finite() && *s > 0.0) {
            return None;
        }
        let margin = spacing_mm.map(|s| (MARGIN_MM / s).ceil() as usize + 1);
        let bounds = bounding_box(&input.tumor.data)?.grown(margin, input.ct.grid().shape);
        let turned = |mut v: [usize; 3]| {
            v.swap(across, 2);
            v
        };
        let bounds = VoxelBox { start: turned(bounds.start), end: turned(bounds.end) };
        let mut spacing = spacing_mm;
        spacing.swap(across, 2);
        let cut = |mask: ArrayView3<'a, bool>| cut(mask, across, &bounds);
        let inside = cut(input.tumor.data.view());
        let mut hu = self::cut(input.ct.data.view(), across, &bounds);
        if hu.iter().zip(&inside).any(|(v, i)| *i && !v.is_finite()) {
            return None;
        }
        let tissue = tissue(input, across, &bounds);
        let change_hu = input.before.map(|before| {
            let mut change = &hu - &self::cut(before.data.view(), across, &bounds);
            change.mapv_inplace(|v| if v.is_finite() { v } else { 0.0 });
            change
        });
        hu.mapv_inplace(|v| if v.is_finite() { v } else { 0.0 });
        let signed_mm = signed_distance_mm(&inside, spacing);
        let mut core = signed_mm.mapv(|d| d <= -CORE_MM);
        if count(&core) < LEAST_VOXELS {
            core.clone_from(&inside);
        }
        let near = signed_mm.mapv(|d| (AROUND_MM.0..=AROUND_MM.1).contains(&d));
        let around = Zip::from(&near).and(&tissue).map_collect(|n, t| *n && *t);
        let start = bounds.start;
        let (input, spacing_mm) = (*input, spacing);
        Some(Self {
            input,
            across,
            start,
            spacing_mm,
            hu,
            inside,
            signed_mm,
            tissue,
            core,
            around,
            change_hu,
        })
    }

    /// Number of voxels of the whole scan along each axis.
    pub(super) fn scan_shape(&self) -> [usize; 3] {
        let mut shape = self.input.ct.grid().shape;
        shape.swap(self.across, 2);
        shape
    }

    /// The scan (0 where it is no number) and the healthy tissue in another box of it.
    pub(super) fn elsewhere(&self, bounds: &VoxelBox) -> (Array3<f32>, Array3<bool>) {
        let hu = cut(self.input.ct.data.view(), self.across, bounds);
        let hu = hu.mapv_into(|v| if v.is_finite() { v } else { 0.0 });
        (hu, tissue(&self.input, self.across, bounds))
    }
}

/// # Panics
/// When the images differ in shape.
fn check_shapes(input: &Input) {
    let shape = input.ct.data.dim();
    let masks = [("tumor", Some(input.tumor)), ("lesions", input.other_lesions), ("organ", input.organ)];
    for (name, mask) in masks {
        let other = mask.map_or(shape, |mask| mask.data.dim());
        assert_eq!(other, shape, "{name} against scan");
    }
    assert_eq!(input.before.map_or(shape, |b| b.data.dim()), shape, "scan before against after");
}

/// A box of an image whose axis `across` becomes the third.
fn cut<T: Copy>(mut image: ArrayView3<T>, across: usize, bounds: &VoxelBox) -> Array3<T> {
    image.swap_axes(across, 2);
    let [x, y, z]: [_; 3] = std::array::from_fn(|a| bounds.start[a]..bounds.end[a]);
    image.slice(s![x, y, z]).as_standard_layout().into_owned()
}

fn tissue(input: &Input, across: usize, bounds: &VoxelBox) -> Array3<bool> {
    let hu = cut(input.ct.data.view(), across, bounds);
    let mut tissue = match input.organ {
        Some(organ) => cut(organ.data.view(), across, bounds),
        None => hu.mapv(|v| (SOFT_TISSUE_HU.0..=SOFT_TISSUE_HU.1).contains(&v)),
    };
    for lesion in [Some(input.tumor), input.other_lesions].into_iter().flatten() {
        tissue.zip_mut_with(&cut(lesion.data.view(), across, bounds), |t, l| *t &= !*l);
    }
    tissue.zip_mut_with(&hu, |t, v| *t &= v.is_finite());
    tissue
}

/// How many voxels a mask has.
pub(super) fn count(mask: &Array3<bool>) -> usize {
    mask.iter().filter(|v| **v).count()
}

/// Distance of voxel centres to the border between voxels, negative inside.
pub(super) fn signed_distance_mm(inside: &Array3<bool>, spacing_mm: [f64; 3]) -> Array3<f32> {
    // From centre to centre of the nearest voxel of the other side: the border is half a voxel before it.
    let half = spacing_mm.iter().copied().fold(f64::INFINITY, f64::min) as f32 / 2.0;
    let inner = distance_mm(inside, spacing_mm);
    let outer = distance_mm(&inside.mapv(|v| !v), spacing_mm);
    Zip::from(&inner).and(&outer).map_collect(|i, o| if *i > 0.0 { half - i } else { o - half })
}
