//! Where the tumor is: its centre, and voxels as offsets in mm from there.
use super::Options;
use crate::error::{Error, Result};
use crate::measure::measure;
use crate::patch::VoxelBox;
use crate::volume::{Affine, Image, Mask};

/// Positions around the tumor's centre.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub centre_mm: [f64; 3],
    pub world_from_voxel: Affine,
    pub voxel_from_world: Affine,
    pub shape: [usize; 3],
}

impl Frame {
    /// Where the tumor is, the radius in mm of the ball of its volume, and its volume in mm³.
    ///
    /// # Errors
    /// [`Error::Region`] when it is empty or smaller than `min_diameter_mm`, [`Error::Argument`] for a singular affine.
    pub(super) fn of(tumor: &Mask, options: &Options) -> Result<(Self, f64, f64)> {
        let voxel_from_world = tumor.affine.inverse().ok_or_else(|| Error::Argument {
            what: "affine of the tumor".into(),
            expected: "an invertible matrix".into(),
            found: format!("{:?}", tumor.affine.0),
        })?;
        let refused = |problem: String, hint: &str| Error::Region { problem, hint: hint.into() };
        let measured = measure(&tumor.data, tumor.affine.spacing_mm())
            .ok_or_else(|| refused("the tumor's mask is empty".into(), "give a mask with a tumor"))?;
        // A sheared grid's voxel is smaller than the product of its sides.
        let volume_mm3 = measured.voxels as f64 * tumor.affine.determinant().abs();
        let radius_mm = (volume_mm3 / (4.0 / 3.0 * std::f64::consts::PI)).cbrt();
        if measured.voxels < 2 || 2.0 * radius_mm < options.min_diameter_mm {
            return Err(refused(
                format!(
                    "a tumor of {} voxels, {:.1} mm across, pushes nothing that could be seen (least: 2 voxels, {} mm)",
                    measured.voxels,
                    2.0 * radius_mm,
                    options.min_diameter_mm
                ),
                "paint it without a mass effect, or lower min_diameter_mm",
            ));
        }
        let mean = measured.centroid_vox;
        let inside = nearest(tumor, mean).is_some_and(|at| tumor.data[at]);
        let centre = if inside { mean } else { closest_voxel(tumor, mean) };
        let centre_mm = tumor.affine.apply(centre);
        let shape = tumor.grid().shape;
        Ok((
            Self { centre_mm, world_from_voxel: tumor.affine, voxel_from_world, shape },
            radius_mm,
            volume_mm3,
        ))
    }

    /// From the centre to a voxel position, in mm.
    pub(super) fn offset_mm(&self, voxel: [f64; 3]) -> [f64; 3] {
        let p = self.world_from_voxel.apply(voxel);
        std::array::from_fn(|a| p[a] - self.centre_mm[a])
    }

    /// The voxel position at an offset from the centre.
    pub(super) fn voxel(&self, offset_mm: [f64; 3]) -> [f64; 3] {
        self.voxel_from_world.apply(std::array::from_fn(|a| self.centre_mm[a] + offset_mm[a]))
    }

    /// The box of voxels that holds the ball of `radius_mm` around the centre, cut to the scan.
    pub(super) fn ball_box(&self, radius_mm: f64) -> VoxelBox {
        let centre = self.voxel_from_world.apply(self.centre_mm);
        let reach = |a: usize| {
            let row = self.voxel_from_world.0[a];
            radius_mm * (row[0] * row[0] + row[1] * row[1] + row[2] * row[2]).sqrt()
        };
        let bound = |v: f64, a: usize| v.clamp(0.0, self.shape[a] as f64) as usize;
        VoxelBox {
            start: std::array::from_fn(|a| bound((centre[a] - reach(a)).floor(), a)),
            end: std::array::from_fn(|a| bound((centre[a] + reach(a)).ceil() + 1.0, a)),
        }
    }
}

/// The voxel of a mask that is closest to a voxel position: the centre of a crescent lies in it.
fn closest_voxel(mask: &Mask, to: [f64; 3]) -> [f64; 3] {
    let target = mask.affine.apply(to);
    let distance = |v: &[f64; 3]| {
        let p = mask.affine.apply(*v);
        length(std::array::from_fn(|a| p[a] - target[a]))
    };
    let voxels = mask.data.indexed_iter().filter(|(_, inside)| **inside);
    voxels
        .map(|((x, y, z), _)| [x, y, z].map(|v| v as f64))
        .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        .expect("a mask that was measured has a voxel")
}

/// The voxel that a position lies in.
pub(super) fn nearest<T>(image: &Image<T>, voxel: [f64; 3]) -> Option<[usize; 3]> {
    let shape = image.grid().shape;
    let inside = (0..3).all(|a| voxel[a] > -0.5 && voxel[a] < shape[a] as f64 - 0.5);
    inside.then(|| voxel.map(|v| v.round().max(0.0) as usize))
}

/// Length of a vector.
pub(super) fn length(v: [f64; 3]) -> f64 {
    v.iter().map(|c| c * c).sum::<f64>().sqrt()
}
