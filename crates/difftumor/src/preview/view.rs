//! A slice through the scan in world directions, whatever the scan's own axes are.
use crate::error::Result;
use crate::synthesis::TumorRecord;
use difftumor_ct::intensity::HuWindow;
use difftumor_ct::resample::{Outside, linear, nearest};
use difftumor_ct::{Affine, Grid, Labels, Volume};
use ndarray::{Array2, Axis};

/// Side of a view in pixels.
pub const PANEL_PX: usize = 240;
/// What is outside of the scan.
const AIR_HU: f32 = -1024.0;

/// The abdominal window: level 50, width 400.
pub fn window() -> HuWindow {
    HuWindow { min_hu: -150.0, max_hu: 250.0 }
}

/// Where the picture's right and bottom are in RAS+, and what is on its left.
#[derive(Clone, Copy)]
pub struct Plane {
    right: [f64; 3],
    down: [f64; 3],
    pub left_letter: &'static str,
}

pub const AXIAL: Plane = Plane { right: [-1.0, 0.0, 0.0], down: [0.0, -1.0, 0.0], left_letter: "R" };
pub const CORONAL: Plane = Plane { right: [-1.0, 0.0, 0.0], down: [0.0, 0.0, -1.0], left_letter: "R" };
pub const SAGITTAL: Plane = Plane { right: [0.0, -1.0, 0.0], down: [0.0, 0.0, -1.0], left_letter: "A" };

/// A square piece of a plane.
pub struct View {
    pub plane: Plane,
    /// World position (RAS+ mm) of pixel `[PANEL_PX / 2; 2]`.
    pub centre_mm: [f64; 3],
    pub side_mm: f64,
}

impl View {
    /// The view's pixels `[right, down, 1]` as a grid in space.
    fn grid(&self) -> Grid {
        let step_mm = self.side_mm / PANEL_PX as f64;
        let Plane { right, down, .. } = self.plane;
        let normal: [f64; 3] = std::array::from_fn(|r| {
            let (a, b) = ((r + 1) % 3, (r + 2) % 3);
            right[a] * down[b] - right[b] * down[a]
        });
        let half = (PANEL_PX / 2) as f64;
        let mut m = [[0.0; 4]; 4];
        for r in 0..3 {
            let origin = self.centre_mm[r] - half * step_mm * (right[r] + down[r]);
            m[r] = [right[r] * step_mm, down[r] * step_mm, normal[r] * step_mm, origin];
        }
        m[3][3] = 1.0;
        Grid { shape: [PANEL_PX, PANEL_PX, 1], affine: Affine(m) }
    }

    /// Grey values `[right, down]` in the [`window`]. NaN is black.
    pub fn grey(&self, ct: &Volume) -> Result<Array2<u8>> {
        let slice = linear(ct, &self.grid(), Outside::Constant(AIR_HU))?.data;
        Ok(slice.index_axis(Axis(2), 0).mapv(|hu| (255.0 * window().to_unit(hu)).round() as u8))
    }

    /// Pixels just outside of a tumor.
    pub fn outline(&self, instances: &Labels, number: u16) -> Result<Vec<[usize; 2]>> {
        let slice = nearest(instances, &self.grid(), Outside::Constant(0))?.data;
        let inside = |x: usize, y: usize| slice.get([x, y, 0]).is_some_and(|i| *i == number);
        // An index below zero wraps to one beyond the end.
        let beside = |x: usize, y: usize| {
            inside(x.wrapping_sub(1), y)
                || inside(x + 1, y)
                || inside(x, y.wrapping_sub(1))
                || inside(x, y + 1)
        };
        let pixels = (0..PANEL_PX).flat_map(|x| (0..PANEL_PX).map(move |y| [x, y]));
        Ok(pixels.filter(|[x, y]| !inside(*x, *y) && beside(*x, *y)).collect())
    }
}

/// The centre of the tumor's voxel that is nearest to its centroid: never between two slices of the scan, where a
/// view would blur them, and inside of a tumor of any form.
pub fn centre_mm(instances: &Labels, record: &TumorRecord) -> [f64; 3] {
    let distance2 = |voxel: [f64; 3]| {
        let p = instances.affine.apply(voxel);
        (0..3).map(|a| (p[a] - record.centre_mm[a]).powi(2)).sum::<f64>()
    };
    let voxels = instances.data.indexed_iter().filter(|(_, i)| **i == record.number);
    let centres = voxels.map(|((x, y, z), _)| [x, y, z].map(|v| v as f64));
    let nearest = centres.min_by(|a, b| distance2(*a).total_cmp(&distance2(*b)));
    nearest.map_or(record.centre_mm, |voxel| instances.affine.apply(voxel))
}
