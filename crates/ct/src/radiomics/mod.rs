//! Radiomics features of a tumor, equal to PyRadiomics 3.0.1 in names, definitions and settings.
//!
//! Paper: the realism of synthetic tumors is judged by 91 such features ([`Settings::paper`]). Definitions: van Griethuysen et al. 2017
//! (PyRadiomics, pyradiomics.readthedocs.io) and Zwanenburg et al. 2020 (the Image Biomarker Standardisation Initiative); where these
//! differ, [`ibsi`] has the latter's.
//!
//! ```text
//! image, mask ─▶ prepare: grids, normalise, resample ─▶ Roi ─▶ resegment ─▶ Levels ─▶ glcm glrlm glszm ngtdm gldm
//!                                                        └▶ shape             └▶ firstorder
//! ```
//! Arrays are `[x, y, z]`. Results do not depend on the number of threads.
mod classes;
mod discretise;
mod features;
mod firstorder;
mod glcm;
mod gldm;
mod glrlm;
mod glszm;
pub mod ibsi;
pub mod levels;
mod mean;
mod neighbours;
mod ngtdm;
mod offsets;
pub mod params;
mod prepare;
mod roi;
mod settings;
mod shape;
mod size_table;

use crate::error::Result;
use crate::volume::{Labels, Mask, Volume};
use levels::Levels;
use neighbours::Neighbours;
use rayon::prelude::*;

pub use classes::{FeatureClass, Selection};
pub use features::Features;
pub use roi::Roi;
pub use settings::{
    Bins, Interpolator, Normalization, Resampling, ResegmentMode, Resegmentation, Settings, WeightingNorm,
};

/// The features of a region of an image.
///
/// Work follows the size of the region's box (and of the whole image, when it is normalised), so hundreds of tumors of one scan can be
/// measured in parallel. A mask that was cut out of its scan does as well, with [`Settings::correct_mask`].
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for a setting that cannot be, an image without voxels or too many grey levels;
/// [`Error::GridMismatch`](crate::Error::GridMismatch) when image and mask lie on different grids and `correct_mask` is off;
/// [`Error::Region`](crate::Error::Region) when the region is empty, smaller than the settings allow, outside of the image, or has voxels
/// that are NaN or infinite.
pub fn extract(image: &Volume, mask: &Mask, settings: &Settings) -> Result<Features> {
    settings.validate()?;
    let whole = prepare::prepare(image, mask, settings)?;
    let mut part = whole.checked_box(settings)?;
    let mut textured = None;
    if let Some(by) = &settings.resegmentation {
        let kept = whole.resegmented(by)?;
        part = kept.checked_box(settings)?;
        textured = Some(kept);
    }
    let roi = textured.as_ref().unwrap_or(&whole).crop(&part);
    // As PyRadiomics: the shape is that of the whole mask, but cut to the box of what is left of it.
    let shape_too = settings.resegmentation.is_none_or(|by| by.shape_too);
    let shaped = if shape_too { roi.mask.clone() } else { whole.crop(&part).mask };
    measure(&roi, &shaped, settings)
}

/// The features of the voxels that have the value [`Settings::label`] in a label map.
///
/// # Errors
/// As [`extract`]; the error about a region without voxels names the label.
pub fn extract_label(image: &Volume, labels: &Labels, settings: &Settings) -> Result<Features> {
    let data = ndarray::Zip::from(&labels.data).par_map_collect(|label| *label == settings.label);
    let mask = Mask { data, affine: labels.affine };
    if !mask.data.iter().any(|inside| *inside) {
        let mut present: Vec<u16> = labels.data.iter().copied().filter(|label| *label > 0).collect();
        present.sort_unstable();
        present.dedup();
        let problem = format!("no voxel has the label {}", settings.label);
        return Err(roi::region_error(problem, format!("the mask holds the labels {present:?}")));
    }
    extract(image, &mask, settings)
}

fn measure(roi: &Roi, shaped: &ndarray::Array3<bool>, settings: &Settings) -> Result<Features> {
    let wanted = |class: FeatureClass| settings.classes.iter().any(|selection| selection.class == class);
    let needs_levels = settings.classes.iter().any(|s| s.class != FeatureClass::Shape);
    let texture = if needs_levels { Some(Texture::of(roi, settings)?) } else { None };
    let texture = texture.as_ref();
    let near = wanted(FeatureClass::Ngtdm) || wanted(FeatureClass::Gldm);
    let shared = || texture.filter(|_| near).map(|t| t.neighbours(settings));
    let single = || -> Vec<Option<Vec<f64>>> {
        let each = |selection: &Selection| match selection.class {
            FeatureClass::Shape => Some(shape::features(shaped, roi.spacing_mm).to_vec()),
            class => texture.and_then(|t| t.features(class, roi.spacing_mm, settings)),
        };
        settings.classes.par_iter().map(each).collect()
    };
    let (neighbours, single) = rayon::join(shared, single);
    let mut features = Features::default();
    for (selection, single) in settings.classes.iter().zip(single) {
        let values = single.unwrap_or_else(|| {
            let found = neighbours.as_ref().zip(texture).expect("looked for when one of their classes is");
            found.1.of_neighbours(selection.class, found.0)
        });
        let chosen = selection.chosen();
        chosen.iter().for_each(|(at, name)| features.push(selection.class.name(), name, values[*at]));
    }
    Ok(features)
}

/// What the classes but shape are computed from.
struct Texture {
    values: Vec<f64>,
    levels: Levels,
}

impl Texture {
    fn of(roi: &Roi, settings: &Settings) -> Result<Self> {
        let values = roi.region_values();
        let levels = discretise::levels(&values, settings.bins);
        let reach = settings.distances_vox.iter().copied().max().unwrap_or(1);
        let levels = Levels::new(&roi.mask, &levels, reach)?;
        Ok(Self { values, levels })
    }

    fn neighbours(&self, settings: &Settings) -> Neighbours {
        let offsets = offsets::all(self.levels.shape(), &settings.distances_vox, settings.flat_axis);
        Neighbours::of(&self.levels, &offsets, settings.gldm_alpha)
    }

    /// The features of a class that needs no [`Neighbours`].
    fn features(&self, class: FeatureClass, spacing_mm: [f64; 3], settings: &Settings) -> Option<Vec<f64>> {
        match class {
            FeatureClass::FirstOrder => {
                let (shift, voxel_mm3) = (settings.voxel_array_shift_hu, spacing_mm.iter().product());
                let counts = self.levels.counts();
                Some(firstorder::features(&mut self.values.clone(), counts, shift, voxel_mm3).to_vec())
            }
            FeatureClass::Glcm => Some(glcm::features(&self.levels, spacing_mm, settings).to_vec()),
            FeatureClass::Glrlm => Some(glrlm::features(&self.levels, spacing_mm, settings).to_vec()),
            FeatureClass::Glszm => Some(glszm::features(&self.levels, settings).to_vec()),
            FeatureClass::Shape | FeatureClass::Ngtdm | FeatureClass::Gldm => None,
        }
    }

    fn of_neighbours(&self, class: FeatureClass, neighbours: &Neighbours) -> Vec<f64> {
        let grey = self.levels.grey();
        match class {
            FeatureClass::Ngtdm => ngtdm::features(&neighbours.tones(grey, true)).to_vec(),
            _ => gldm::in_order(&neighbours.dependences().features(grey)).to_vec(),
        }
    }
}
