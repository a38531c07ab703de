//! Hand-crafted tumors: the rule-based synthesis of Hu et al. (CVPR 2023), the baseline of the paper.
//!
//! Where the mask is, a mottled texture darkens the organ. The original works on a whole scan with ten textures of
//! 420x300x320 voxels made at start-up; here a texture is made on demand for the box around one tumor
//! ([`texture`]). Only [`insert`] touches Hounsfield units. 1 mm voxels are assumed throughout.
pub mod texture;

use crate::draws::Draws;
use crate::filter::gaussian_f64;
use crate::tumor_mask::fit::PlacedMask;
use ndarray::{Array3, ArrayView3, ArrayViewMut3, s};

/// How a tumor is written into the scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Insertion {
    /// Standard deviation of the blur of the mask's edge.
    pub edge_sigma_vox: f64,
    /// By how much a texture of 1 lowers the Hounsfield units; negative brightens.
    pub contrast_hu: f64,
}

/// What is drawn per tumor. Default: the published ranges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HandcraftedOptions {
    /// Range of [`Insertion::edge_sigma_vox`].
    pub edge_sigma_vox: (f64, f64),
    /// Range of [`Insertion::contrast_hu`]. The texture's mean is about 0.53, so the published 65..145 darkens by
    /// about 35 to 75 HU.
    pub contrast_hu: (f64, f64),
}

impl Default for HandcraftedOptions {
    fn default() -> Self {
        Self { edge_sigma_vox: (1.0, 2.0), contrast_hu: (65.0, 145.0) }
    }
}

/// Writes a tumor into a crop: inside the organ `HU - texture * blur(mask) * contrast`, elsewhere unchanged.
///
/// # Panics
/// When the shapes differ.
pub fn insert(
    mut volume_hu: ArrayViewMut3<f32>,
    organ: ArrayView3<bool>,
    mask: &Array3<bool>,
    texture: &Array3<f64>,
    insertion: &Insertion,
) {
    assert!(
        [organ.dim(), mask.dim(), texture.dim()] == [volume_hu.dim(); 3],
        "volume {:?}, organ {:?}, mask {:?}, texture {:?}",
        volume_hu.dim(),
        organ.dim(),
        mask.dim(),
        texture.dim()
    );
    let blur = gaussian_f64(&mask.mapv(|m| f64::from(u8::from(m))), [insertion.edge_sigma_vox; 3]);
    let change_hu = blur * texture * insertion.contrast_hu;
    ndarray::Zip::from(&mut volume_hu).and(organ).and(&change_hu).for_each(|v, &o, &c| {
        if o {
            *v = (f64::from(*v) - c) as f32;
        }
    });
}

/// Draws texture, edge and contrast and writes the tumor into the scan. Work is confined to the tumor's box and the
/// reach of its blurred edge.
///
/// # Panics
/// When the organ has another shape than the volume, or the tumor's box leaves it.
pub fn insert_tumor(
    volume_hu: &mut Array3<f32>,
    organ: &Array3<bool>,
    tumor: &PlacedMask,
    options: &HandcraftedOptions,
    draws: &mut impl Draws,
) -> Insertion {
    assert_eq!(volume_hu.dim(), organ.dim(), "volume and organ");
    let (sigma_a_vox, sigma_b_vox) = texture::SIGMAS_VOX[draws.index(texture::SIGMAS_VOX.len())];
    let insertion = Insertion {
        edge_sigma_vox: draws.uniform(options.edge_sigma_vox.0, options.edge_sigma_vox.1),
        contrast_hu: draws.uniform(options.contrast_hu.0, options.contrast_hu.1),
    };
    let radius = (4.0 * insertion.edge_sigma_vox + 0.5) as usize;
    let (n, m) = (<[usize; 3]>::from(volume_hu.dim()), <[usize; 3]>::from(tumor.mask.dim()));
    let low: [usize; 3] = std::array::from_fn(|a| tumor.offset[a].saturating_sub(radius));
    let high: [usize; 3] = std::array::from_fn(|a| (tumor.offset[a] + m[a] + radius).min(n[a]));
    let shape: [usize; 3] = std::array::from_fn(|a| high[a] - low[a]);
    let mut mask = Array3::from_elem(shape, false);
    PlacedMask { offset: std::array::from_fn(|a| tumor.offset[a] - low[a]), mask: tumor.mask.clone() }
        .paste_into(&mut mask);
    let texture = texture::texture(shape, sigma_a_vox, sigma_b_vox, draws);
    let region = s![low[0]..high[0], low[1]..high[1], low[2]..high[2]];
    insert(volume_hu.slice_mut(region), organ.slice(region), &mask, &texture, &insertion);
    insertion
}

/// The label map of a scan with synthesized tumors: 1 organ, 2 tumor.
pub fn labels(organ: &Array3<bool>, tumors: &Array3<bool>) -> Array3<u16> {
    ndarray::Zip::from(organ).and(tumors).map_collect(|&o, &t| if t { 2 } else { u16::from(o) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Stream;

    #[test]
    fn a_tumor_darkens_its_own_place_only() {
        let organ = Array3::from_shape_fn((60, 50, 40), |(x, _, _)| x < 30);
        let before = Array3::from_elem((60, 50, 40), 100.0f32);
        let mask = Array3::from_shape_fn((15, 15, 15), |(x, y, z)| {
            [x, y, z].iter().map(|v| (*v as f64 - 7.0).powi(2)).sum::<f64>() < 50.0
        });
        let tumor = PlacedMask { offset: [10, 20, 0], mask };
        let mut after = before.clone();
        let mut draws = Stream::new(1, 0, "dark", 0);
        let drawn = insert_tumor(&mut after, &organ, &tumor, &HandcraftedOptions::default(), &mut draws);
        assert!((65.0..145.0).contains(&drawn.contrast_hu) && (1.0..2.0).contains(&drawn.edge_sigma_vox));
        for ((x, y, z), v) in after.indexed_iter() {
            let reach = (2..34).contains(&x) && (12..44).contains(&y) && z < 24;
            assert!(if organ[[x, y, z]] && reach { *v <= 100.0 } else { *v == 100.0 });
        }
        let inside = after[[17, 27, 7]];
        // Texture is 0.25 to 1 in all but rare places, the blur there about 1, contrast at least 65.
        assert!((-45.0..95.0).contains(&inside), "{inside}");
    }

    #[test]
    fn labels_are_one_and_two() {
        let organ = Array3::from_shape_fn((3, 1, 1), |(x, _, _)| x > 0);
        let tumors = Array3::from_shape_fn((3, 1, 1), |(x, _, _)| x > 1);
        assert_eq!(labels(&organ, &tumors).into_raw_vec_and_offset().0, [0, 1, 2]);
    }
}
