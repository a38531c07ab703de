//! From the 1 mm crop back to the scan's own grid: change, blend zone and label.
use super::site::box_on;
use crate::error::Result;
use difftumor_ct::patch::{VoxelBox, bounding_box};
use difftumor_ct::resample::{Outside, average};
use difftumor_ct::{Grid, Volume};
use ndarray::{Array3, Zip, s};

/// Weight and fraction from which a voxel of the scan is tumor: half of it is.
const HALF: f32 = 0.5;

/// A painted tumor on the 1 mm grid.
pub struct Painted {
    /// Its crop's grid.
    pub grid: Grid,
    /// What is added to the scan, in HU; 0 where the weight is 0.
    pub change_hu: Array3<f32>,
    /// Share of the synthetic image, 0 to 1.
    pub weight: Array3<f32>,
    /// The tumor's shape.
    pub mask: Array3<bool>,
}

/// Which voxels of the scan are labelled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LabelRule {
    /// Where at least half of the voxel's image is the tumor's.
    Visible,
    /// Where at least half of the voxel lies in the shape, visible or not (as published).
    Shape,
}

/// A box of the scan with what happens in it.
pub struct Landed {
    /// The box's first voxel.
    pub start: [usize; 3],
    /// Added to the scan, in HU.
    pub change_hu: Array3<f32>,
    /// Share of the synthetic image, 0 to 1.
    pub weight: Array3<f32>,
    /// Voxels that may change.
    pub zone: Array3<bool>,
    /// Tumor voxels.
    pub label: Array3<bool>,
}

impl Painted {
    /// Brings the tumor onto the scan: every value is averaged over the scan's voxels, as a scanner would (thick
    /// slices see parts). With `within`, nothing outside of it changes or is labelled. `None` when nothing is left.
    ///
    /// # Errors
    /// When a grid is impossible.
    pub fn land(
        &self,
        scan: &Grid,
        within: Option<&Array3<bool>>,
        rule: LabelRule,
    ) -> Result<Option<Landed>> {
        let Some(reach) = bounding_box(&self.weight.mapv(|w| w > 0.0)) else { return Ok(None) };
        // Cut to the reach (and one voxel, for interpolation) before resampling.
        let shape = self.grid.shape;
        let reach = reach.grown([1; 3], shape);
        let Some(target) = overlap(scan, &self.grid, &reach) else { return Ok(None) };
        let cut_grid = self.grid.crop(reach.start.map(|v| v as i64), reach.shape());
        let [a, b] = [reach.start, reach.end];
        let region = s![a[0]..b[0], a[1]..b[1], a[2]..b[2]];
        let start = target.start;
        let onto = scan.crop(start.map(|v| v as i64), target.shape());
        let bring = |data: Array3<f32>| -> Result<Array3<f32>> {
            Ok(average(&Volume { data, affine: cut_grid.affine }, &onto, Outside::Constant(0.0))?.data)
        };
        let mut change_hu = bring(self.change_hu.slice(region).to_owned())?;
        let mut weight = bring(self.weight.slice(region).to_owned())?;
        if let Some(within) = within {
            let [x, y, z] = start;
            let [nx, ny, nz] = target.shape();
            let inside = within.slice(s![x..x + nx, y..y + ny, z..z + nz]);
            Zip::from(&mut weight).and(inside).for_each(|w, i| *w = if *i { *w } else { 0.0 });
        }
        let zone = weight.mapv(|w| w > 0.0);
        Zip::from(&mut change_hu).and(&zone).for_each(|c, z| *c = if *z { *c } else { 0.0 });
        let label = match rule {
            LabelRule::Visible => weight.mapv(|w| w >= HALF),
            LabelRule::Shape => {
                let part = bring(self.mask.slice(region).mapv(|m| f32::from(u8::from(m))))?;
                Zip::from(&part).and(&zone).map_collect(|p, z| *z && *p >= HALF)
            }
        };
        Ok(Some(Landed { start, change_hu, weight, zone, label }))
    }
}

/// The box of scan voxels that a box of another grid covers.
fn overlap(scan: &Grid, other: &Grid, reach: &VoxelBox) -> Option<VoxelBox> {
    let (first, shape) = box_on(other, scan, reach.start, reach.end, 1);
    let start: [usize; 3] = std::array::from_fn(|a| first[a].clamp(0, scan.shape[a] as i64) as usize);
    let end: [usize; 3] =
        std::array::from_fn(|a| (first[a] + shape[a] as i64).clamp(0, scan.shape[a] as i64) as usize);
    (0..3).all(|a| start[a] < end[a]).then_some(VoxelBox { start, end })
}
