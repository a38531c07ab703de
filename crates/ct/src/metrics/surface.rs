//! Distances between the surfaces of two masks: NSD, HD95, ASSD.
//!
//! Defined as in google-deepmind/surface-distance (Nikolov et al. 2018, arXiv:1809.04430), with which the paper
//! evaluates (tolerance 2 mm): surfaces lie on the dual grid, every 2x2x2 neighbourhood that is neither empty nor full
//! is an element with the area of its marching-cubes triangles, and its distance is the Euclidean one to the nearest
//! element position of the other surface. Volumes are closed with empty voxels at the image's border.
use super::common_spacing_mm;
use super::dual_grid::{Element, LONGEST_SIDE_VOX, codes, elements};
pub use super::surface_area::area_table_mm2;
use crate::error::{Error, Result};
use crate::patch::{VoxelBox, bounding_box};
use crate::volume::Mask;
use ndarray::Array3;
use rayon::prelude::*;

/// A share of the area this little below a percentile has reached it. A running sum over the 2e5 elements of a liver
/// was off by 3e-13 of itself; that must not decide where equal areas add up to 95 % exactly. One element of 10^9 is
/// more than this.
const SHARE_ROUNDING: f64 = 1e-11;

/// The surface of one mask, seen from which the other surface is some distance away.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Surface {
    /// By distance, then area.
    elements: Vec<Element>,
}

/// The surfaces of a truth and a prediction, each with its distances to the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SurfaceDistances {
    /// Surface of the truth, with its distances to the prediction.
    pub truth: Surface,
    /// Surface of the prediction, with its distances to the truth.
    pub prediction: Surface,
}

impl Surface {
    fn new(mut elements: Vec<Element>) -> Self {
        elements.par_sort_unstable_by(|a, b| {
            a.distance_mm.total_cmp(&b.distance_mm).then(a.area_mm2.total_cmp(&b.area_mm2))
        });
        Self { elements }
    }

    /// Number of surface elements. 0 for an empty mask, and only then.
    pub fn elements(&self) -> usize {
        self.elements.len()
    }

    /// Area in mm².
    pub fn area_mm2(&self) -> f64 {
        area_mm2(&self.elements)
    }

    /// Area in mm² of the elements whose distance is at most `tolerance_mm`.
    pub fn area_within_mm2(&self, tolerance_mm: f64) -> f64 {
        area_mm2(&self.elements[..self.elements.partition_point(|e| e.distance_mm <= tolerance_mm)])
    }

    /// Mean distance in mm to the other surface, weighted by area. `None` when this mask is empty, infinite when only
    /// the other one is.
    pub fn average_mm(&self) -> Option<f64> {
        (!self.elements.is_empty()).then(|| self.moment_mm3() / self.area_mm2())
    }

    /// The smallest distance in mm that at least `percent` of the area do not exceed; 100 is the largest distance.
    /// `None` when this mask is empty, infinite when only the other one is.
    ///
    /// # Panics
    /// When `percent` is not within 0 to 100.
    pub fn percentile_mm(&self, percent: f64) -> Option<f64> {
        assert!((0.0..=100.0).contains(&percent), "percentile {percent}: expected 0 to 100");
        let wanted_mm2 = (percent / 100.0 - SHARE_ROUNDING) * self.area_mm2();
        let mut so_far_mm2 = 0.0;
        let reached = self.elements.iter().find(|element| {
            so_far_mm2 += element.area_mm2;
            so_far_mm2 >= wanted_mm2
        });
        reached.map(|element| element.distance_mm)
    }

    /// Sum of area times distance.
    fn moment_mm3(&self) -> f64 {
        sum_of(&self.elements, |e| e.area_mm2 * e.distance_mm)
    }
}

fn area_mm2(elements: &[Element]) -> f64 {
    sum_of(elements, |e| e.area_mm2)
}

/// Sums in pieces: one running sum over the 2e5 elements of a liver is off by 3e-13 of itself, this by 1e-15.
fn sum_of(elements: &[Element], term: impl Fn(&Element) -> f64) -> f64 {
    // A sum of nothing is -0, which would be printed.
    elements.chunks(512).map(|piece| piece.iter().map(&term).sum::<f64>()).sum::<f64>() + 0.0
}

impl SurfaceDistances {
    /// Measures two masks `[x, y, z]` with voxels of `spacing_mm`. Work and memory follow the box that holds both
    /// masks: about 4 bytes for each of its voxels.
    ///
    /// # Panics
    /// When the shapes differ, a spacing is not positive and finite, or the box has more than 65533 voxels along an
    /// axis.
    pub fn of(truth: &Array3<bool>, prediction: &Array3<bool>, spacing_mm: [f64; 3]) -> Self {
        assert_eq!(truth.dim(), prediction.dim(), "truth and prediction");
        assert!(
            spacing_mm.iter().all(|s| s.is_finite() && *s > 0.0),
            "spacing {spacing_mm:?}: expected above 0"
        );
        let Some(bounds) = joint_box(truth, prediction) else { return Self::default() };
        let side_vox = bounds.shape().into_iter().max().expect("three sides");
        assert!(side_vox <= LONGEST_SIDE_VOX, "box of {side_vox} voxels: at most {LONGEST_SIDE_VOX}");
        let (truth, prediction) = (codes(truth, &bounds), codes(prediction, &bounds));
        let areas_mm2 = area_table_mm2(spacing_mm);
        Self {
            truth: Surface::new(elements(&truth, &prediction, spacing_mm, &areas_mm2)),
            prediction: Surface::new(elements(&prediction, &truth, spacing_mm, &areas_mm2)),
        }
    }

    /// Measures two masks on one grid.
    ///
    /// # Errors
    /// [`Error::GridMismatch`] when the grids differ; [`Error::Argument`] when the voxel size is not positive or the
    /// image has more than 65533 voxels along an axis.
    pub fn between(truth: &Mask, prediction: &Mask) -> Result<Self> {
        let spacing_mm = common_spacing_mm(truth, prediction)?;
        let shape = truth.grid().shape;
        if shape.iter().any(|side| *side > LONGEST_SIDE_VOX) {
            return Err(Error::Argument {
                what: "size of the masks to measure".into(),
                expected: format!("at most {LONGEST_SIDE_VOX} voxels along each axis"),
                found: format!("{shape:?}"),
            });
        }
        Ok(Self::of(&truth.data, &prediction.data, spacing_mm))
    }

    /// NSD, the normalised surface distance (surface DSC): the share of both surfaces' area that lies within
    /// `tolerance_mm` of the other surface, 0 to 1.
    ///
    /// `None` when both masks are empty (nan in the library), 0 when one is.
    ///
    /// # Panics
    /// When the tolerance is negative or not finite.
    pub fn nsd(&self, tolerance_mm: f64) -> Option<f64> {
        assert!(tolerance_mm.is_finite() && tolerance_mm >= 0.0, "tolerance of {tolerance_mm} mm");
        let area_mm2 = self.truth.area_mm2() + self.prediction.area_mm2();
        let within_mm2 =
            self.truth.area_within_mm2(tolerance_mm) + self.prediction.area_within_mm2(tolerance_mm);
        (!self.is_empty()).then(|| within_mm2 / area_mm2)
    }

    /// The robust Hausdorff distance in mm: the larger of both directions' area-weighted percentiles
    /// ([`Surface::percentile_mm`]). With 100 it is the Hausdorff distance of the surfaces.
    ///
    /// `None` when both masks are empty (infinite in the library), infinite when one is.
    ///
    /// # Panics
    /// When `percent` is not within 0 to 100.
    pub fn hausdorff_mm(&self, percent: f64) -> Option<f64> {
        let directions = [&self.truth, &self.prediction].map(|surface| surface.percentile_mm(percent));
        directions.into_iter().flatten().reduce(f64::max)
    }

    /// HD95, the 95th percentile Hausdorff distance in mm. `None` when both masks are empty, infinite when one is.
    pub fn hd95_mm(&self) -> Option<f64> {
        self.hausdorff_mm(95.0)
    }

    /// ASSD, the average symmetric surface distance in mm: the area-weighted mean over both surfaces together. (The
    /// library gives the two directions: [`Surface::average_mm`]. Their plain mean, which some call ASSD too, weighs a
    /// small surface as much as a large one.)
    ///
    /// `None` when both masks are empty, infinite when one is.
    pub fn assd_mm(&self) -> Option<f64> {
        let area_mm2 = self.truth.area_mm2() + self.prediction.area_mm2();
        let moment_mm3 = self.truth.moment_mm3() + self.prediction.moment_mm3();
        (!self.is_empty()).then(|| moment_mm3 / area_mm2)
    }

    /// Whether neither mask has a surface.
    fn is_empty(&self) -> bool {
        self.truth.elements.is_empty() && self.prediction.elements.is_empty()
    }
}

/// The smallest box that holds both masks. `None` when both are empty.
fn joint_box(truth: &Array3<bool>, prediction: &Array3<bool>) -> Option<VoxelBox> {
    match (bounding_box(truth), bounding_box(prediction)) {
        (Some(a), Some(b)) => Some(a.union(&b)),
        (a, b) => a.or(b),
    }
}
