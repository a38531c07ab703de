//! The published mask generator: number, shapes, positions and clipping, equal to it voxel for voxel.
//!
//! Source: the authors' code for paper Sec. 3.3, and Hu et al. 2023. The original adds every tumor into a canvas of
//! the crop plus 160 or 280 voxels per axis and cuts that margin away again; here only the part of a tumor that falls
//! into the crop is ever computed.
use super::place::{bounding_box_centre, bounds, draw_centre};
use super::shape::DeformedEllipsoid;
use super::size::{Size, SizeClass};
use crate::draws::Draws;
use crate::error::Result;
use ndarray::{Array3, s};

/// How the published generator treats an organ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrganRules {
    /// The organ's name, for messages.
    pub name: &'static str,
    /// Erode slices 5x5 before a centre is chosen, so that tumors keep off the organ's surface.
    pub erode: bool,
    /// Sizes that go to the centre of the organ's bounding box.
    pub centred: &'static [Size],
    /// Sizes that are not clipped to the organ in half of the cases.
    pub may_leave: &'static [Size],
}

/// The paper's rules per organ.
pub const PAPER_RULES: [OrganRules; 3] = [
    OrganRules { name: "liver", erode: true, centred: &[], may_leave: &[] },
    OrganRules { name: "pancreas", erode: false, centred: &[Size::Large], may_leave: &[] },
    OrganRules { name: "kidney", erode: false, centred: &[], may_leave: &[Size::Medium, Size::Large] },
];

/// The rules of Hu et al. 2023, who know livers only.
pub const HU2023_RULES: OrganRules = PAPER_RULES[0];

/// Draws the tumors of a crop: for each class of `classes` its number of tumors, united. `organ` is `[x, y, z]`, 1 mm
/// voxels. The result has the organ's shape; it can be empty when clipping leaves nothing.
///
/// The paper gives one class per crop (see [`super::size::draw_class`]), Hu et al.'s mix gives four.
///
/// # Errors
/// [`crate::Error::Placement`] when the organ has no voxel.
pub fn generate(
    organ: &Array3<bool>,
    rules: &OrganRules,
    classes: &[SizeClass],
    draws: &mut impl Draws,
) -> Result<Array3<bool>> {
    let mut mask = Array3::from_elem(organ.dim(), false);
    for class in classes {
        for _ in 0..class.draw_count(draws) {
            let semi_axes_vox = class.draw_semi_axes_vox(draws);
            let sigma_vox = class.draw_sigma_vox(draws);
            let tumor = DeformedEllipsoid::draw(semi_axes_vox, sigma_vox, draws);
            if rules.centred.contains(&class.size) {
                paste_centred(&mut mask, &tumor, bounding_box_centre(organ, rules.name)?);
            } else {
                paste(&mut mask, &tumor, draw_centre(organ, rules.name, rules.erode, draws)?);
            }
        }
    }
    let may_leave = classes.iter().any(|c| rules.may_leave.contains(&c.size));
    if !(may_leave && draws.uniform(0.0, 1.0) > 0.5) {
        mask.zip_mut_with(organ, |m, o| *m &= *o);
    }
    Ok(mask)
}

/// Unites `mask` with the tumor, its array's centre at `centre`.
fn paste(mask: &mut Array3<bool>, tumor: &DeformedEllipsoid, centre: [usize; 3]) {
    let shape = tumor.shape();
    let (nx, ny, nz) = mask.dim();
    let n = [nx, ny, nz];
    // Of each axis, the part of the tumor's array that lies in the mask.
    let window: [_; 3] = std::array::from_fn(|a| {
        let half = shape[a] / 2;
        half.saturating_sub(centre[a])..shape[a].min(n[a] + half - centre[a])
    });
    let low: [usize; 3] = std::array::from_fn(|a| centre[a] + window[a].start - shape[a] / 2);
    let part = tumor.rasterize(window);
    let (wx, wy, wz) = part.dim();
    mask.slice_mut(s![low[0]..low[0] + wx, low[1]..low[1] + wy, low[2]..low[2] + wz])
        .zip_mut_with(&part, |m, p| *m |= *p);
}

/// Unites `mask` with the tumor's bounding box placed around `centre`. The box lacks its last index on each axis, as
/// in the authors' code (a half-open slice up to the largest index).
fn paste_centred(mask: &mut Array3<bool>, tumor: &DeformedEllipsoid, centre: [usize; 3]) {
    let whole = tumor.rasterize(tumor.shape().map(|n| 0..n));
    let Some(bounds) = bounds(&whole) else { return };
    let (nx, ny, nz) = mask.dim();
    let n = [nx, ny, nz];
    let length = bounds.map(|(first, last)| last - first);
    // `mask index = box index + centre - length / 2`, cut to the mask.
    let from: [usize; 3] = std::array::from_fn(|a| (length[a] / 2).saturating_sub(centre[a]));
    let to: [usize; 3] = std::array::from_fn(|a| length[a].min(n[a] + length[a] / 2 - centre[a]));
    let low: [usize; 3] = std::array::from_fn(|a| centre[a] + from[a] - length[a] / 2);
    let high: [usize; 3] = std::array::from_fn(|a| low[a] + to[a] - from[a]);
    let [b0, b1, b2] = bounds.map(|(first, _)| first);
    let part = whole.slice(s![b0 + from[0]..b0 + to[0], b1 + from[1]..b1 + to[1], b2 + from[2]..b2 + to[2]]);
    mask.slice_mut(s![low[0]..high[0], low[1]..high[1], low[2]..high[2]])
        .zip_mut_with(&part, |m, p| *m |= *p);
}
