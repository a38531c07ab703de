//! The 1 mm RAS grid on which tumors are drawn, and an organ on it.
use crate::error::Result;
use difftumor_ct::label::OrganMask;
use difftumor_ct::orient::{AxisCodes, Reorientation};
use difftumor_ct::patch::bounding_box;
use difftumor_ct::resample::{Outside, linear, nearest};
use difftumor_ct::{Grid, Mask, Volume};
use ndarray::Array3;

/// Room around the organ's box: the reach of the widest blur (radius 4 sigma, sigma at most 4), so that no tumor's edge
/// meets the box's border.
const MARGIN_VOX: i64 = 17;

/// An organ on the 1 mm grid, cut to its box and [`MARGIN_VOX`].
pub struct Site {
    /// The whole scan's 1 mm grid (RAS axes).
    pub scan_grid: Grid,
    /// Where the box's first voxel lies in it (may be negative).
    pub start: [i64; 3],
    /// The organ, `[x, y, z]` of the box.
    pub organ: Array3<bool>,
    /// What must stay free: known tumors, cysts, and tumors placed since.
    pub occupied: Array3<bool>,
}

impl Site {
    /// Resamples the organ. `spacing_mm` is the model's voxel size.
    ///
    /// # Errors
    /// When the organ is empty or the scan's grid is impossible.
    pub fn new(scan: &Grid, organ: &OrganMask, spacing_mm: f64) -> Result<Self> {
        let ras = Reorientation::new(scan, AxisCodes::RAS)?.target();
        let scan_grid = ras.isotropic(spacing_mm)?;
        let Some(found) = bounding_box(&organ.organ.data) else {
            return Err(difftumor_ct::Error::Placement {
                organ: organ.name.clone(),
                reason: "its mask is empty".into(),
                hint: "check the label value".into(),
            }
            .into());
        };
        let (start, shape) = box_on(scan, &scan_grid, found.start, found.end, MARGIN_VOX);
        let grid = scan_grid.crop(start, shape);
        let onto = |mask: &Mask| Ok::<_, crate::Error>(nearest(mask, &grid, Outside::Constant(false))?.data);
        let resampled = onto(&organ.organ)?;
        let mut occupied = Array3::from_elem(resampled.dim(), false);
        for known in [&organ.tumor, &organ.cyst].into_iter().flatten() {
            occupied.zip_mut_with(&onto(known)?, |a, b| *a |= *b);
        }
        Ok(Self { scan_grid, start, organ: resampled, occupied })
    }

    /// A box of the 1 mm grid around `centre` (in the site's voxels) with `side` voxels on each axis, moved into the
    /// scan where the scan is large enough, centred on the scan where it is not. Returns its start in the site's voxels.
    pub fn crop_start(&self, centre: [f64; 3], side: usize) -> [i64; 3] {
        std::array::from_fn(|a| {
            let n = self.scan_grid.shape[a] as i64;
            let side = side as i64;
            let wanted = self.start[a] + centre[a].round() as i64 - side / 2;
            let placed = if n <= side { -((side - n) / 2) } else { wanted.clamp(0, n - side) };
            placed - self.start[a]
        })
    }

    /// The grid of a box that starts at `start` in the site's voxels.
    pub fn grid(&self, start: [i64; 3], shape: [usize; 3]) -> Grid {
        self.scan_grid.crop(std::array::from_fn(|a| self.start[a] + start[a]), shape)
    }

    /// The scan on such a box. Beyond the scan's border the edge value goes on.
    ///
    /// # Errors
    /// When the scan's grid is impossible.
    pub fn scan_on(&self, ct: &Volume, start: [i64; 3], shape: [usize; 3]) -> Result<Array3<f32>> {
        self.scan_or(ct, start, shape, Outside::Edge)
    }

    /// The same with a choice of what lies beyond the border.
    ///
    /// # Errors
    /// When the scan's grid is impossible.
    pub fn scan_or(
        &self,
        ct: &Volume,
        start: [i64; 3],
        shape: [usize; 3],
        outside: Outside<f32>,
    ) -> Result<Array3<f32>> {
        Ok(linear(ct, &self.grid(start, shape), outside)?.data)
    }
}

/// The box of `to`'s voxels that holds the voxels `start..end` of `from`, with a margin.
pub fn box_on(
    from: &Grid,
    to: &Grid,
    start: [usize; 3],
    end: [usize; 3],
    margin: i64,
) -> ([i64; 3], [usize; 3]) {
    let to_voxel = to.affine.inverse().expect("a made grid is regular").compose(&from.affine);
    let mut low = [f64::INFINITY; 3];
    let mut high = [f64::NEG_INFINITY; 3];
    for corner in 0..8 {
        let p = to_voxel.apply(std::array::from_fn(|a| {
            if corner >> a & 1 == 0 { start[a] as f64 - 0.5 } else { end[a] as f64 - 0.5 }
        }));
        for a in 0..3 {
            low[a] = low[a].min(p[a]);
            high[a] = high[a].max(p[a]);
        }
    }
    let first: [i64; 3] = low.map(|v| v.floor() as i64 - margin);
    (first, std::array::from_fn(|a| (high[a].ceil() as i64 + margin - first[a] + 1).max(1) as usize))
}
