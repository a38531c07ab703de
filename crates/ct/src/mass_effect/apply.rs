//! Scans, masks and label maps under a displacement.
//!
//! A scan is cut into grain (what a Gaussian of one voxel takes away, where it is not an edge: noise) and the rest
//! (tissue and its edges). The rest is interpolated by cubic convolution (Keys 1981), the grain is moved whole, each voxel from the
//! voxel that its source lies in: interpolated noise would lose power, which shows as a smooth ring.
use super::Displacement;
use super::field::Origin;
use crate::error::{Error, Result};
use crate::filter::gaussian;
use crate::patch::VoxelBox;
use crate::volume::{Image, Labels, Mask, Volume};
use ndarray::{Array3, ArrayView3, s};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Differences from the blurred scan up to this many standard deviations are grain, from twice as many on edges.
const GRAIN_SD: f32 = 3.0;

/// Standard deviation of a normal distribution over its median absolute deviation.
const SD_PER_MAD: f32 = 1.4826;

/// Voxels that the blur needs around the zone.
const MARGIN_VOX: usize = 5;

/// Volume of one label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct VolumesMm3 {
    /// In the scan as it was.
    pub before: f64,
    /// With tissue pushed away.
    pub after: f64,
}

/// A map that was moved, with the volume of each of its values: voxels counted in the map as it was and as it is, so the sums over
/// all values are the same before and after, and the hole's volume is a part of the value that it was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved<T> {
    /// The map, on the same grid.
    pub image: Image<T>,
    /// By value, for every value that occurs before or after.
    pub volumes_mm3: BTreeMap<T, VolumesMm3>,
}

impl Displacement {
    /// The scan with its tissue pushed away. Voxels outside of [`Self::zone`] are the same bits. Where the tumor will be there is the median
    /// of the tissue that was there, with the grain that is there: in the hole, and (blurred by a voxel) in the thin layer around
    /// it, in which a vessel of the tumor's middle would be a bright shell.
    ///
    /// # Errors
    /// [`Error::GridMismatch`] when the scan lies on another grid, [`Error::Argument`] when a value near the tumor is not finite.
    pub fn apply_scan(&self, scan: &Volume) -> Result<Volume> {
        self.require_grid(scan, "scan")?;
        let near = self.bounds.grown([MARGIN_VOX; 3], scan.grid().shape);
        require_finite(scan, &near)?;
        let (base, grain) = split(&cut(&scan.data, &near).to_owned());
        let ground_hu = self.median_in_tumor(&scan.data);
        let tumor = cut(&self.tumor, &near).mapv(|t| f32::from(u8::from(t)));
        let tumor = gaussian(&tumor, [1.0; 3]);
        let mut out = scan.clone();
        let last = near.shape().map(|n| n - 1);
        self.for_origins(&mut out.data, |voxel, to, origin| match origin {
            Origin::Unmoved => {}
            Origin::Hole => *to = ground_hu + grain[std::array::from_fn(|a| voxel[a] - near.start[a])],
            Origin::Source(offset_mm, _) => {
                let from = self.field.frame.voxel(offset_mm);
                let from: [f64; 3] =
                    std::array::from_fn(|a| (from[a] - near.start[a] as f64).clamp(0.0, last[a] as f64));
                let here: [usize; 3] = std::array::from_fn(|a| voxel[a] - near.start[a]);
                let moved_hu = cubic(&base, from);
                // Grain of two places would lose power where they are mixed.
                let grain_from = if tumor[here] < 0.5 { from.map(|v| v.round() as usize) } else { here };
                *to = moved_hu + tumor[here] * (ground_hu - moved_hu) + grain[grain_from];
            }
        });
        Ok(out)
    }

    /// A mask with its tissue pushed away, nearest voxel. The hole is inside of it when `in_hole` says so: `true` for the
    /// organ that the tumor is part of, `false` for a vessel.
    ///
    /// # Errors
    /// [`Error::GridMismatch`] when the mask lies on another grid.
    pub fn apply_mask(&self, mask: &Mask, in_hole: bool) -> Result<Moved<bool>> {
        self.moved(mask, in_hole, "mask")
    }

    /// A label map with its tissue pushed away, nearest voxel. The hole gets `in_hole`, such as the organ's label.
    ///
    /// # Errors
    /// [`Error::GridMismatch`] when the map lies on another grid.
    pub fn apply_labels(&self, labels: &Labels, in_hole: u16) -> Result<Moved<u16>> {
        self.moved(labels, in_hole, "labels")
    }

    fn moved<T: Copy + Ord + Send + Sync>(
        &self,
        image: &Image<T>,
        in_hole: T,
        name: &str,
    ) -> Result<Moved<T>> {
        self.require_grid(image, name)?;
        let mut out = Image { data: image.data.clone(), affine: image.affine };
        let last = image.grid().shape.map(|n| (n - 1) as f64);
        self.for_origins(&mut out.data, |_, to, origin| match origin {
            Origin::Unmoved => {}
            Origin::Hole => *to = in_hole,
            Origin::Source(offset_mm, _) => {
                let from = self.field.frame.voxel(offset_mm);
                *to = image.data[std::array::from_fn(|a| from[a].round().clamp(0.0, last[a]) as usize)];
            }
        });
        let voxel_mm3 = image.affine.determinant().abs();
        let mut voxels: BTreeMap<T, [u64; 2]> = BTreeMap::new();
        image.data.iter().for_each(|v| voxels.entry(*v).or_default()[0] += 1);
        out.data.iter().for_each(|v| voxels.entry(*v).or_default()[1] += 1);
        let volumes = |[before, after]: [u64; 2]| VolumesMm3 {
            before: before as f64 * voxel_mm3,
            after: after as f64 * voxel_mm3,
        };
        Ok(Moved { image: out, volumes_mm3: voxels.into_iter().map(|(v, n)| (v, volumes(n))).collect() })
    }

    fn require_grid<T>(&self, image: &Image<T>, name: &str) -> Result<()> {
        let frame = &self.field.frame;
        let grid = crate::volume::Grid { shape: frame.shape, affine: frame.world_from_voxel };
        grid.require_same("tumor", &image.grid(), name)
    }

    fn median_in_tumor(&self, hu: &Array3<f32>) -> f32 {
        let mut values: Vec<f32> =
            hu.iter().zip(&self.tumor).filter(|(_, inside)| **inside).map(|(v, _)| *v).collect();
        median(&mut values)
    }
}

/// The part of an array in a box.
fn cut<'a, T>(data: &'a Array3<T>, bounds: &VoxelBox) -> ArrayView3<'a, T> {
    let [x, y, z]: [_; 3] = std::array::from_fn(|a| bounds.start[a]..bounds.end[a]);
    data.slice(s![x, y, z])
}

/// Checks that a scan is finite in a box.
pub(super) fn require_finite(scan: &Volume, bounds: &VoxelBox) -> Result<()> {
    match cut(&scan.data, bounds).indexed_iter().find(|(_, v)| !v.is_finite()) {
        None => Ok(()),
        Some(((x, y, z), value)) => Err(Error::Argument {
            what: "Hounsfield units of the scan around the tumor".into(),
            expected: "finite numbers".into(),
            found: format!(
                "{value} at voxel {:?}",
                [x + bounds.start[0], y + bounds.start[1], z + bounds.start[2]]
            ),
        }),
    }
}

/// Tissue and grain; their sum is the scan.
fn split(hu: &Array3<f32>) -> (Array3<f32>, Array3<f32>) {
    let mut grain = hu - &gaussian(hu, [1.0; 3]);
    let mut sizes: Vec<f32> = grain.iter().map(|v| v.abs()).collect();
    let limit_hu = GRAIN_SD * SD_PER_MAD * median(&mut sizes);
    // An edge moved by whole voxels would show as teeth: it fades out of the grain.
    grain.mapv_inplace(|v| if limit_hu > 0.0 { v * (2.0 - v.abs() / limit_hu).clamp(0.0, 1.0) } else { 0.0 });
    (hu - &grain, grain)
}

/// The upper median.
fn median(values: &mut [f32]) -> f32 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Weights of the voxels at -1, 0, 1, 2 for a position `t` of 0 to 1 (Keys, a = -1/2).
fn weights(t: f64) -> [f64; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [-0.5 * t3 + t2 - 0.5 * t, 1.5 * t3 - 2.5 * t2 + 1.0, -1.5 * t3 + 2.0 * t2 + 0.5 * t, 0.5 * t3 - 0.5 * t2]
}

/// The value at a position inside of the array; beyond its border the edge goes on.
fn cubic(data: &Array3<f32>, at: [f64; 3]) -> f32 {
    let (nx, ny, nz) = data.dim();
    let low = at.map(f64::floor);
    let w: [[f64; 4]; 3] = std::array::from_fn(|a| weights(at[a] - low[a]));
    let index = |a: usize, i: usize, n: usize| (low[a] as usize + i).saturating_sub(1).min(n - 1);
    let mut sum = 0.0;
    for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
        let (x, y) = (index(0, i, nx), index(1, j, ny));
        let line: f64 = (0..4).map(|k| w[2][k] * f64::from(data[[x, y, index(2, k, nz)]])).sum();
        sum += w[0][i] * w[1][j] * line;
    }
    sum as f32
}
