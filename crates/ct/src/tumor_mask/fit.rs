//! The default preset's placement: a tumor mostly inside the organ, clear of vessels and of earlier tumors.
//!
//! The published generator neither avoids vessels nor other tumors and clips without looking at what is left, so that
//! a tumor can be a crescent or fall apart. Here a position is drawn again until the rest is a tumor; after a bounded
//! number of tries the caller is told, who then draws another or a smaller shape.
use super::place::{bounds, no_voxels};
use crate::components::{Connectivity, components};
use crate::draws::Draws;
use crate::error::Result;
use crate::measure::principal_axes_mm;
use ndarray::{Array3, s};

/// What makes a position acceptable. Default: four fifths inside, two voxels apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitOptions {
    /// Smallest part of the shape's voxels that must remain inside the organ.
    pub min_inside: f64,
    /// Free voxels between the tumor and anything occupied (in each axis: a box, not a ball).
    pub gap_vox: usize,
    /// Smallest shortest / longest principal axis of what remains. The shapes of [`super::sizes_mm`] have 0.34 and
    /// more before they are clipped, so this rejects crescents and discs that only clipping makes.
    pub min_axis_ratio: f64,
    /// Positions to try.
    pub tries: usize,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { min_inside: 0.8, gap_vox: 2, min_axis_ratio: 0.3, tries: 200 }
    }
}

/// A tumor's voxels in a box of a larger image.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedMask {
    /// Index in the image of the box's first voxel.
    pub offset: [usize; 3],
    /// The box, `[x, y, z]`: the tumor touches each of its sides.
    pub mask: Array3<bool>,
}

impl PlacedMask {
    /// Mean voxel index in the image.
    pub fn centre_vox(&self) -> [f64; 3] {
        let mut sum = [0.0; 3];
        let mut n = 0.0;
        for ((x, y, z), _) in self.mask.indexed_iter().filter(|(_, v)| **v) {
            n += 1.0;
            sum.iter_mut().zip([x, y, z]).for_each(|(s, i)| *s += i as f64);
        }
        std::array::from_fn(|a| self.offset[a] as f64 + sum[a] / n)
    }

    /// Sets the tumor's voxels in an image.
    ///
    /// # Panics
    /// When the box leaves the image.
    pub fn paste_into(&self, image: &mut Array3<bool>) {
        let ([x, y, z], (nx, ny, nz)) = (self.offset, self.mask.dim());
        image.slice_mut(s![x..x + nx, y..y + ny, z..z + nz]).zip_mut_with(&self.mask, |i, m| *i |= *m);
    }
}

/// An organ and its list of voxels, made once per scan.
pub struct OrganSite<'a> {
    organ: &'a Array3<bool>,
    /// Flat indices of the organ's voxels.
    voxels: Vec<u32>,
}

impl<'a> OrganSite<'a> {
    /// Lists the organ's voxels.
    ///
    /// # Errors
    /// [`crate::Error::Placement`] when there is none.
    ///
    /// # Panics
    /// When the image has more than 2^32 voxels.
    pub fn new(organ: &'a Array3<bool>, organ_name: &str) -> Result<Self> {
        assert!(u32::try_from(organ.len()).is_ok(), "organ mask of shape {:?}", organ.dim());
        let voxels: Vec<u32> =
            organ.iter().enumerate().filter(|(_, inside)| **inside).map(|(i, _)| i as u32).collect();
        if voxels.is_empty() {
            return Err(no_voxels(organ_name));
        }
        Ok(Self { organ, voxels })
    }

    /// Number of the organ's voxels.
    pub fn voxel_count(&self) -> usize {
        self.voxels.len()
    }

    /// Draws positions for `shape` (its array's centre on a uniformly drawn organ voxel) until one is acceptable, and
    /// returns what the organ leaves of it: its largest 26-connected part. `occupied` holds what must stay free:
    /// vessels, earlier tumors. `None` after [`FitOptions::tries`] positions.
    ///
    /// # Panics
    /// When `occupied` has another shape than the organ.
    pub fn fit(
        &self,
        shape: &Array3<bool>,
        occupied: &Array3<bool>,
        options: &FitOptions,
        draws: &mut impl Draws,
    ) -> Option<PlacedMask> {
        Some(self.fit_from(shape, occupied, options, draws)?.0)
    }

    /// As [`Self::fit`]; gives also the index in the image of the first voxel of `shape`'s array, which may lie outside.
    ///
    /// # Panics
    /// When `occupied` has another shape than the organ.
    pub fn fit_from(
        &self,
        shape: &Array3<bool>,
        occupied: &Array3<bool>,
        options: &FitOptions,
        draws: &mut impl Draws,
    ) -> Option<(PlacedMask, [i64; 3])> {
        assert_eq!(self.organ.dim(), occupied.dim(), "organ and occupied voxels");
        let (_, ny, nz) = self.organ.dim();
        let half = <[usize; 3]>::from(shape.dim()).map(|n| n / 2);
        let shape_voxels: Vec<[usize; 3]> =
            shape.indexed_iter().filter(|(_, v)| **v).map(|(p, _)| p.into()).collect();
        if shape_voxels.is_empty() {
            return None;
        }
        let needed = (options.min_inside * shape_voxels.len() as f64).ceil() as usize;
        for _ in 0..options.tries {
            let flat = self.voxels[draws.index(self.voxels.len())] as usize;
            let centre = [flat / (ny * nz), flat / nz % ny, flat % nz];
            let low: [i64; 3] = std::array::from_fn(|a| centre[a] as i64 - half[a] as i64);
            if !self.enough_inside(&shape_voxels, low, occupied, needed) {
                continue;
            }
            let rest = self.clip(shape, low);
            let keeps_its_form = rest.mask.iter().filter(|v| **v).count() >= needed
                && principal_axes_mm(&rest.mask, [1.0; 3])
                    .is_some_and(|a| a[2] >= options.min_axis_ratio * a[0]);
            if keeps_its_form && !touches(&rest, occupied, options.gap_vox) {
                return Some((rest, low));
            }
        }
        None
    }

    /// Whether at least `needed` of the voxels fall into the organ and none of these on an occupied voxel.
    fn enough_inside(
        &self,
        shape_voxels: &[[usize; 3]],
        low: [i64; 3],
        occupied: &Array3<bool>,
        needed: usize,
    ) -> bool {
        let mut may_miss = shape_voxels.len().saturating_sub(needed);
        for voxel in shape_voxels {
            // An index below zero wraps to one beyond the end.
            let p: [usize; 3] = std::array::from_fn(|a| (low[a] + voxel[a] as i64) as usize);
            match self.organ.get(p) {
                Some(true) if occupied[p] => return false,
                Some(true) => {}
                _ if may_miss == 0 => return false,
                _ => may_miss -= 1,
            }
        }
        true
    }

    /// The largest connected part inside the organ of a shape whose array begins at `low`; empty if there is none.
    pub fn clip(&self, shape: &Array3<bool>, low: [i64; 3]) -> PlacedMask {
        let inside = Array3::from_shape_fn(shape.dim(), |(x, y, z)| {
            let p = [low[0] + x as i64, low[1] + y as i64, low[2] + z as i64].map(|i| i as usize);
            shape[[x, y, z]] && self.organ.get(p).is_some_and(|o| *o)
        });
        let largest = largest_component(&inside);
        let Some([x, y, z]) = bounds(&largest) else {
            return PlacedMask { offset: [0; 3], mask: Array3::from_elem((0, 0, 0), false) };
        };
        PlacedMask {
            offset: std::array::from_fn(|a| (low[a] + [x.0, y.0, z.0][a] as i64) as usize),
            mask: largest.slice(s![x.0..=x.1, y.0..=y.1, z.0..=z.1]).to_owned(),
        }
    }
}

/// Whether anything occupied lies within `gap_vox` voxels (Chebyshev distance) of the tumor.
fn touches(tumor: &PlacedMask, occupied: &Array3<bool>, gap_vox: usize) -> bool {
    let (image, size) = (<[usize; 3]>::from(occupied.dim()), <[usize; 3]>::from(tumor.mask.dim()));
    let first: [usize; 3] = std::array::from_fn(|a| tumor.offset[a].saturating_sub(gap_vox));
    let end: [usize; 3] = std::array::from_fn(|a| (tumor.offset[a] + size[a] + gap_vox).min(image[a]));
    let around = occupied.slice(s![first[0]..end[0], first[1]..end[1], first[2]..end[2]]);
    around.indexed_iter().filter(|(_, o)| **o).any(|((x, y, z), _)| {
        // Tumor voxels of the box around this occupied voxel, in the tumor's own indices.
        let range: [_; 3] = std::array::from_fn(|a| {
            let p = first[a] + [x, y, z][a];
            let low = (p.saturating_sub(gap_vox)).saturating_sub(tumor.offset[a]);
            low..(p + gap_vox + 1).saturating_sub(tumor.offset[a]).min(size[a]).max(low)
        });
        let [rx, ry, rz] = range;
        tumor.mask.slice(s![rx, ry, rz]).iter().any(|v| *v)
    })
}

/// The largest 26-connected component; of equal ones the first in memory order.
fn largest_component(mask: &Array3<bool>) -> Array3<bool> {
    let parts = components(mask, Connectivity::Corners);
    let largest = parts.largest().map(|c| c.label);
    parts.keep(|c| Some(c.label) == largest)
}

#[cfg(test)]
mod tests {
    use super::super::sizes_mm::KitsShape;
    use super::super::smooth::draw_shape;
    use super::*;
    use crate::draws::Stream;

    fn ball(n: usize, radius: f64) -> Array3<bool> {
        let c = (n as f64 - 1.0) / 2.0;
        Array3::from_shape_fn((n, n, n), |(x, y, z)| {
            [x, y, z].iter().map(|v| (*v as f64 - c).powi(2)).sum::<f64>() < radius * radius
        })
    }

    #[test]
    fn tumors_stay_inside_and_apart() {
        let organ = ball(80, 38.0);
        let mut occupied =
            Array3::from_shape_fn((80, 80, 80), |(x, y, _)| x.abs_diff(40) < 2 && y.abs_diff(40) < 2);
        let site = OrganSite::new(&organ, "liver").unwrap();
        let options = FitOptions::default();
        let mut placed = 0;
        for tumor in 0..8 {
            let mut draws = Stream::new(1, 0, "apart", tumor);
            let shape =
                draw_shape(&KitsShape::with_longest_axis(14.0, &mut draws), 1.0, &mut draws).unwrap().mask;
            let Some(found) = site.fit(&shape, &occupied, &options, &mut draws) else { continue };
            placed += 1;
            let before = occupied.clone();
            found.paste_into(&mut occupied);
            let n = found.mask.iter().filter(|v| **v).count();
            assert!(n as f64 >= 0.8 * shape.iter().filter(|v| **v).count() as f64);
            for ((x, y, z), _) in found.mask.indexed_iter().filter(|(_, v)| **v) {
                let p = [x + found.offset[0], y + found.offset[1], z + found.offset[2]];
                assert!(organ[p]);
                let near =
                    |a: usize| p[a].saturating_sub(options.gap_vox)..(p[a] + options.gap_vox + 1).min(80);
                assert!(before.slice(s![near(0), near(1), near(2)]).iter().all(|o| !o), "{p:?}");
            }
            let centre = found.centre_vox().map(|c| c.round() as usize);
            assert!(organ[centre]);
        }
        assert!(placed >= 6, "{placed}");
    }

    #[test]
    fn what_does_not_fit_ends_and_an_empty_organ_is_an_error() {
        let organ = ball(20, 8.0);
        let free = Array3::from_elem((20, 20, 20), false);
        let site = OrganSite::new(&organ, "kidney").unwrap();
        let mut draws = Stream::new(2, 0, "ends", 0);
        let options = FitOptions::default();
        assert!(site.fit(&ball(41, 20.0), &free, &options, &mut draws).is_none());
        let full = Array3::from_elem((20, 20, 20), true);
        assert!(site.fit(&ball(3, 1.5), &full, &options, &mut draws).is_none());
        assert!(site.fit(&ball(3, 0.0), &free, &options, &mut draws).is_none());
        assert!(OrganSite::new(&free, "kidney").is_err());
    }

    #[test]
    fn slivers_and_fragments_are_not_tumors() {
        // A sheet two voxels thick leaves a disc of any ball: enough voxels when asked for few, but no tumor.
        let sheet = Array3::from_shape_fn((40, 40, 40), |(x, _, _)| (20..22).contains(&x));
        let free = Array3::from_elem((40, 40, 40), false);
        let site = OrganSite::new(&sheet, "pancreas").unwrap();
        let mut draws = Stream::new(3, 0, "sliver", 0);
        let lenient = FitOptions { min_inside: 0.05, ..FitOptions::default() };
        assert!(site.fit(&ball(17, 8.0), &free, &lenient, &mut draws).is_none());
        let anything = FitOptions { min_axis_ratio: 0.0, ..lenient };
        assert!(site.fit(&ball(17, 8.0), &free, &anything, &mut draws).is_some());
    }

    #[test]
    fn the_largest_component_is_26_connected() {
        let mut mask = Array3::from_elem((6, 6, 6), false);
        for p in [[0, 0, 0], [1, 1, 1], [2, 2, 2], [5, 5, 5], [5, 5, 4]] {
            mask[p] = true;
        }
        let largest = largest_component(&mask);
        assert_eq!(largest.iter().filter(|v| **v).count(), 3);
        assert!(largest[[1, 1, 1]] && !largest[[5, 5, 5]]);
    }
}
