//! Is one tumor, real or synthetic, realistic? Figures of it ([`Figures`]), and a verdict in words ([`Gate`]).
//!
//! What goes wrong with synthetic tumors is told in the paper's F.2: flat, strip-like and sickle shapes, densities of fat or fluid,
//! noise unlike the scan's. What a program can leave behind besides is measured too: edges too sharp, seams, changes elsewhere.
//! Mass effect (F.2) is not: how far a tumor pushes its organ's surface outwards cannot be told from one scan without knowing
//! where the surface was.
//!
//! All is measured in the tumor's box and [`MARGIN_MM`] around it; only the organ's texture is looked at in boxes beside it.
mod change;
mod density;
mod edge;
mod gate;
mod limits;
mod names;
mod reference;
mod seams;
mod shape;
mod site;
mod spectrum;
mod texture;

pub use change::Change;
pub use density::Density;
pub use gate::{Check, Gate, Verdict};
pub use names::{FIGURES, Figure};
pub use reference::Reference;
pub use seams::Seams;
pub use shape::Shape;
pub use site::{MARGIN_MM, surroundings};
pub use texture::{BANDS_MM, Ratio, Texture, band_sd_hu};

use crate::{Mask, Volume};
use serde::Serialize;

/// What is measured on. All images lie on the scan's grid.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The scan, in HU.
    pub ct: &'a Volume,
    /// This tumor alone.
    pub tumor: &'a Mask,
    /// Other lesions, which are neither this tumor nor healthy tissue.
    pub other_lesions: Option<&'a Mask>,
    /// The whole organ; whether tumors are part of it does not matter. Without it, soft tissue (-20 to 200 HU) stands in.
    pub organ: Option<&'a Mask>,
    /// The scan before the tumor was put into it.
    pub before: Option<&'a Volume>,
}

/// Figures of one tumor. What cannot be told of it is `None`, never NaN.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Size and shape.
    pub shape: Shape,
    /// HU inside and around.
    pub density: Density,
    /// Grain against the organ's; none when either has too few voxels.
    pub texture: Option<Texture>,
    /// Distance across the border over which the mean HU goes from 10 to 90 % of the difference, in mm; none for faint tumors.
    pub edge_mm: Option<f64>,
    /// Steps where none should be.
    pub seams: Seams,
    /// What became of the scan outside of the tumor; none without the scan before.
    pub change: Option<Change>,
}

impl Figures {
    /// Measures a tumor. `None` when it has no voxel, when a voxel of it is no number, or when the voxels have no size.
    ///
    /// Other voxels that are no numbers count as no tissue, and as unchanged.
    ///
    /// # Panics
    /// When the images differ in shape.
    pub fn of(input: &Input) -> Option<Self> {
        let site = site::Site::new(input)?;
        let texture = texture::measure(&site);
        let noise_hu = texture::noise_hu(&site);
        Some(Self {
            shape: shape::measure(&site.inside, site.spacing_mm)?,
            density: density::measure(&site, noise_hu)?,
            texture,
            edge_mm: edge::measure(&site),
            seams: seams::measure(&site, noise_hu),
            change: change::measure(&site),
        })
    }
}

#[cfg(test)]
mod tests;
