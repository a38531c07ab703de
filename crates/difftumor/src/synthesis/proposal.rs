//! The default preset's tumors before they are painted: a shape in a place that suits it.
use super::growth::Growing;
use super::options::CROP_VOX;
use super::site::Site;
use super::{Preset, SizeChoice, Synthesizer};
use crate::error::Result;
use difftumor_ct::Volume;
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::measure::HuStatistics;
use difftumor_ct::tumor_mask::fit::{OrganSite, PlacedMask};
use difftumor_ct::tumor_mask::size::Size;
use difftumor_ct::tumor_mask::sizes_mm::{DiameterRange, KitsShape};
use difftumor_ct::tumor_mask::smooth::draw_shape;
use ndarray::Array3;

/// Blur of a tumor's edge: the paper draws 0..4, which makes tiny tumors vanish (pitfall B16). Here it is bounded by a
/// third of the shortest half axis, so that the centre keeps nearly its full weight. Where that allows it, edges are no sharper than
/// those of real tumors: sarcomas have 3.2 to 9.1 mm from 10 to 90 % (models/compact-v1), and 3.2 mm is a blur of 1.25.
const EDGE_SIGMA_VOX: (f64, f64) = (1.25, 4.0);
const EDGE_OF_HALF_AXIS: f64 = 0.35;
/// A scanner's edges are never sharper.
const LEAST_EDGE_SIGMA_VOX: f64 = 0.5;
/// How far the tissue that a tumor replaces may be darker or brighter than the organ, in standard deviations of the
/// organ: else it would lie in a renal sinus, a fissure or a large vessel, and hardly show.
const TYPICAL_SD: (f64, f64) = (0.5, 1.0);
/// Rounding of means, so that an organ of one value has typical tissue.
const TYPICAL_SLACK_HU: f64 = 0.5;

/// A tumor's shape in its place, not painted yet.
pub(super) struct Proposal {
    pub(super) placed: PlacedMask,
    pub(super) size: &'static str,
    pub(super) class: Option<Size>,
    pub(super) edge_sigma_vox: f64,
    /// For the same tumor at another size.
    pub(super) growing: Growing,
}

/// Draws a shape and a place for it.
pub(super) fn propose(
    synthesizer: &Synthesizer,
    place: &OrganSite,
    occupied: &Array3<bool>,
    draws: &mut Stream,
) -> Result<Option<Proposal>> {
    let options = &synthesizer.options;
    let class = options.size.draw_class(Preset::Default, draws);
    // The published deformations cut shapes off straight at the border of their array; these have smooth, measured
    // forms for classes too, whose semi-axes become the range of the longest axis.
    let (range, size) = match (class, options.size) {
        (None, SizeChoice::DiameterMm(range)) => (range, "diameter"),
        (Some(c), _) => {
            let (low, high) = c.semi_axis_vox;
            (DiameterRange::new(2.0 * low as f64, 2.0 * high as f64)?, name(c.size))
        }
        (None, _) => unreachable!("every class choice draws a class"),
    };
    let ellipsoid = KitsShape::with_longest_axis(range.draw_mm(draws), draws);
    // Drawing a shape of 150 mm takes seconds: not for one that cannot fit by its volume alone.
    let volume_mm3 = std::f64::consts::PI / 6.0 * ellipsoid.axes_mm.iter().product::<f64>();
    if volume_mm3 * options.fit.min_inside > place.voxel_count() as f64 {
        return Ok(None);
    }
    let lumps = draws.clone();
    let shape = draw_shape(&ellipsoid, 1.0, draws)?;
    let Some((placed, start)) = place.fit_from(&shape.mask, occupied, &options.fit, draws) else {
        return Ok(None);
    };
    let centre_vox = std::array::from_fn(|a| start[a] + shape.centre_vox[a]);
    let edge = draws.clone();
    let (low, high) = edge_range_vox(&placed);
    Ok(Some(Proposal {
        placed,
        size,
        class: class.map(|c| c.size),
        edge_sigma_vox: draws.uniform(low, high),
        growing: Growing { ellipsoid, lumps, centre_vox, edge },
    }))
}

/// Limits of the blur of a tumor's edge.
pub(super) fn edge_range_vox(placed: &PlacedMask) -> (f64, f64) {
    let half_axis =
        difftumor_ct::measure::principal_axes_mm(&placed.mask, [1.0; 3]).map_or(0.0, |a| a[2] / 2.0);
    let (low, high) = EDGE_SIGMA_VOX;
    let high = (EDGE_OF_HALF_AXIS * half_axis).clamp(LEAST_EDGE_SIGMA_VOX, high);
    (low.min(high), high)
}

impl Proposal {
    /// The same tumor in another form.
    pub(super) fn with(&self, placed: PlacedMask, edge_sigma_vox: f64) -> Self {
        Self { placed, edge_sigma_vox, size: self.size, class: self.class, growing: self.growing.clone() }
    }
}

/// The class's name on the command line and in records.
pub fn name(size: Size) -> &'static str {
    match size {
        Size::Tiny => "tiny",
        Size::Small => "small",
        Size::Medium => "medium",
        Size::Large => "large",
    }
}

/// Whether a model's crop holds the tumor with the visible part of its blurred edge (2 sigma, where 2 % are left), so
/// that no crop border cuts it. Where the crop ends with the scan there is nothing to cut.
pub(super) fn fits_crop(site: &Site, p: &Proposal) -> bool {
    let margin = (2.0 * p.edge_sigma_vox).ceil() as i64;
    let start = site.crop_start(p.placed.centre_vox(), CROP_VOX);
    let side = <[usize; 3]>::from(p.placed.mask.dim());
    (0..3).all(|a| {
        let (crop_first, crop_end) = (start[a], start[a] + CROP_VOX as i64);
        let (first, end) = (p.placed.offset[a] as i64, (p.placed.offset[a] + side[a]) as i64);
        let scan_first = -site.start[a];
        let scan_end = scan_first + site.scan_grid.shape[a] as i64;
        (first - margin >= crop_first || crop_first <= scan_first)
            && (end + margin <= crop_end || crop_end >= scan_end)
    })
}

/// Whether the tumor would replace tissue that is like the rest of its organ.
pub(super) fn replaces_typical_tissue(
    site: &Site,
    ct: &Volume,
    placed: &PlacedMask,
    organ: &HuStatistics,
) -> Result<bool> {
    let before = site.scan_on(ct, placed.offset.map(|o| o as i64), placed.mask.dim().into())?;
    let Some(here) = HuStatistics::of(&before, &placed.mask) else { return Ok(false) };
    let (darker, brighter) = TYPICAL_SD;
    let low_hu = -darker * organ.sd_hu - TYPICAL_SLACK_HU;
    let high_hu = brighter * organ.sd_hu + TYPICAL_SLACK_HU;
    Ok((low_hu..=high_hu).contains(&(here.mean_hu - organ.mean_hu)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use difftumor_ct::Grid;

    /// A tumor of that box in a scan of 200 voxels that is all organ.
    fn fits(offset: usize, side: usize) -> bool {
        let shape = [200; 3];
        let scan_grid = Grid { shape, affine: difftumor_ct::Affine::from_spacing_mm([1.0; 3]) };
        let none = Array3::from_elem((0, 0, 0), false);
        let site = Site { scan_grid, start: [0; 3], organ: none.clone(), occupied: none };
        let mask = Array3::from_elem((side, 5, 5), true);
        let placed = PlacedMask { offset: [offset, 50, 50], mask };
        let mut draws = Stream::new(0, 0, "", 0);
        let ellipsoid = KitsShape::with_longest_axis(5.0, &mut draws);
        let growing = Growing { ellipsoid, lumps: draws.clone(), centre_vox: [0; 3], edge: draws };
        fits_crop(&site, &Proposal { placed, size: "large", class: None, edge_sigma_vox: 4.0, growing })
    }

    #[test]
    fn no_crop_cuts_a_tumor() {
        // 96 voxels less 8 on each side for the edge.
        assert!(fits(60, 79) && !fits(60, 82));
        // At the scan's border the crop need not reach further.
        assert!(fits(0, 87) && fits(113, 87) && !fits(0, 90));
    }
}
