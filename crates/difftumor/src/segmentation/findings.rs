//! From classes to labels, and what was found: the organ's mask, small tumors, volumes and diameters (spec/segmentation.md
//! section 6).
use crate::error::Result;
use difftumor_ct::components::{Component, Components, Connectivity, components};
use difftumor_ct::measure::measure;
use difftumor_ct::orient::{AxisCodes, reorient};
use difftumor_ct::{Grid, Image, Labels, Mask};
use ndarray::{Array3, Zip};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::f64::consts::PI;

/// Label of the organ.
pub const ORGAN: u16 = 1;
/// Label of tumors.
pub const TUMOR: u16 = 2;

/// Tumors that are described at most: no patient has as many, but a network at the start of its training finds millions.
pub const DESCRIBED: usize = 1000;

/// What the network says of a voxel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Background,
    Organ,
    /// With organ as the likelier of the other two.
    TumorOverOrgan,
    /// With background as the likelier of the other two.
    TumorOverBackground,
}

/// Volumes and tumors of a segmentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Volume of label 1, the organ without its tumors.
    pub organ_volume_mm3: f64,
    /// Volume of label 2.
    pub tumor_volume_mm3: f64,
    /// Predicted tumor voxels that were dropped because they lie in the organ's box but not in its mask; beyond the box the
    /// network is not asked.
    pub voxels_outside_organ: usize,
    /// Tumors that were dropped because they are too small.
    pub small_tumors_dropped: usize,
    /// Number of tumors: 26-connected components of label 2.
    pub tumor_count: usize,
    /// The tumors in scan order; of more than [`DESCRIBED`] the largest.
    pub tumors: Vec<FoundTumor>,
}

/// One tumor, measured on the scan's grid.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FoundTumor {
    /// From 1.
    pub number: usize,
    /// Centroid in RAS+ mm.
    pub centre_mm: [f64; 3],
    /// Centroid in voxels of the scan.
    pub centre_vox: [f64; 3],
    /// Labelled volume.
    pub volume_mm3: f64,
    /// Labelled voxels.
    pub voxels: usize,
    /// Diameter of the ball of that volume.
    pub equivalent_diameter_mm: f64,
    /// Full axes of the moment-equivalent ellipsoid, longest first.
    pub axes_mm: [f64; 3],
    /// Longest diameter within an axial slice.
    pub longest_axial_diameter_mm: f64,
}

impl Class {
    /// The class with the largest logit; of equal ones the first.
    pub(super) fn of([background, organ, tumor]: [f32; 3]) -> Self {
        match (tumor > background && tumor > organ, organ > background) {
            (true, true) => Self::TumorOverOrgan,
            (true, false) => Self::TumorOverBackground,
            (false, true) => Self::Organ,
            (false, false) => Self::Background,
        }
    }

    fn is_tumor(self) -> bool {
        matches!(self, Self::TumorOverOrgan | Self::TumorOverBackground)
    }

    /// The label when it is no tumor.
    fn without_tumor(self) -> u16 {
        match self {
            Self::Organ | Self::TumorOverOrgan => ORGAN,
            Self::Background | Self::TumorOverBackground => 0,
        }
    }
}

/// Labels of a scan. With an organ mask, tumors outside are dropped and the rest of the mask is organ (published rule). Tumors
/// below the radius are dropped: their voxels become the likelier of the other classes.
///
/// # Errors
/// When the grid is singular.
pub(super) fn finish(
    classes: &Image<Class>,
    organ: Option<&Mask>,
    smallest_radius_mm: Option<f64>,
) -> Result<(Labels, Findings)> {
    let grid = classes.grid();
    let voxel_mm3 = grid.affine.determinant().abs();
    let mut tumor = Zip::from(&classes.data).par_map_collect(|class| class.is_tumor());
    let count =
        |mask: &Array3<bool>| Zip::from(mask).par_fold(|| 0, |n, v| n + usize::from(*v), |a, b| a + b);
    let predicted = count(&tumor);
    if let Some(organ) = organ {
        Zip::from(&mut tumor).and(&organ.data).par_for_each(|tumor, inside| *tumor &= *inside);
    }
    let inside = count(&tumor);
    let found = components(&tumor, Connectivity::Corners);
    let is_kept = |part: &Component| {
        let radius_mm = (3.0 * part.voxels as f64 * voxel_mm3 / (4.0 * PI)).cbrt();
        smallest_radius_mm.is_none_or(|smallest| radius_mm >= smallest)
    };
    let kept: Vec<&Component> = found.parts.iter().filter(|part| is_kept(part)).collect();
    if kept.len() < found.parts.len() {
        tumor = found.keep(is_kept);
    }
    let mut data = Zip::from(&tumor).and(&classes.data).par_map_collect(|tumor, class| match tumor {
        true => TUMOR,
        false => class.without_tumor(),
    });
    if let Some(organ) = organ {
        Zip::from(&mut data).and(&organ.data).par_for_each(|label, inside| {
            if *label != TUMOR {
                *label = if *inside { ORGAN } else { 0 };
            }
        });
    }
    let voxels = Zip::from(&data).par_fold(|| 0, |n, v| n + usize::from(*v == ORGAN), |a, b| a + b);
    let findings = Findings {
        organ_volume_mm3: voxels as f64 * voxel_mm3,
        tumor_volume_mm3: kept.iter().map(|part| part.voxels).sum::<usize>() as f64 * voxel_mm3,
        voxels_outside_organ: predicted - inside,
        small_tumors_dropped: found.parts.len() - kept.len(),
        tumor_count: kept.len(),
        tumors: describe(&found, kept, &grid)?,
    };
    Ok((Labels { data, affine: classes.affine }, findings))
}

/// Measures the largest components, in scan order.
fn describe(found: &Components, mut parts: Vec<&Component>, grid: &Grid) -> Result<Vec<FoundTumor>> {
    parts.sort_by_key(|part| (Reverse(part.voxels), part.label));
    let wanted: BTreeSet<u32> = parts.iter().take(DESCRIBED).map(|part| part.label).collect();
    let is_wanted = |part: &Component| wanted.contains(&part.label);
    let measured = found.map_masks(is_wanted, |part, mask| FoundTumor::new(part, mask, grid));
    let mut tumors = measured.into_iter().collect::<Result<Vec<_>>>()?;
    (1..).zip(&mut tumors).for_each(|(number, tumor)| tumor.number = number);
    Ok(tumors)
}

impl FoundTumor {
    /// A component and its mask, cut to its bounds; its number is still to come.
    fn new(part: &Component, mask: Array3<bool>, grid: &Grid) -> Result<Self> {
        let cut = grid.crop(part.bounds.start.map(|v| v as i64), part.bounds.shape());
        // Turned, so that slices of the third axis are axial ones.
        let mask = reorient(&Mask { data: mask, affine: cut.affine }, AxisCodes::RAS)?;
        let m = measure(&mask.data, mask.affine.spacing_mm()).expect("a component has voxels");
        let centre_mm = mask.affine.apply(m.centroid_vox);
        let voxel_from_world = grid.affine.inverse().expect("a grid that has been turned");
        Ok(Self {
            number: 0,
            centre_mm,
            centre_vox: voxel_from_world.apply(centre_mm),
            volume_mm3: part.voxels as f64 * grid.affine.determinant().abs(),
            voxels: part.voxels,
            equivalent_diameter_mm: m.equivalent_diameter_mm,
            axes_mm: m.axes_mm,
            longest_axial_diameter_mm: m.longest_axial_diameter_mm,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use difftumor_ct::Affine;

    /// Left, posterior, superior with voxels of 2 x 1 x 3 mm.
    fn image(mark: impl Fn([usize; 3]) -> Class) -> Image<Class> {
        let mut affine = Affine::from_spacing_mm([-2.0, -1.0, 3.0]);
        affine.0[2][3] = -30.0;
        Image { data: Array3::from_shape_fn((12, 10, 8), |(x, y, z)| mark([x, y, z])), affine }
    }

    /// A tumor of 2 x 4 x 2 voxels, one of a single voxel outside of the organ, and organ around.
    fn marks([x, y, z]: [usize; 3]) -> Class {
        match [x, y, z] {
            [2..4, 2..6, 3..5] => Class::TumorOverOrgan,
            [10, 0, 0] => Class::TumorOverBackground,
            [1..8, 1..8, 1..7] => Class::Organ,
            _ => Class::Background,
        }
    }

    #[test]
    fn the_largest_logit_decides_and_the_first_of_equal_ones() {
        for (logits, class) in [
            ([1.0, 0.0, 0.5], Class::Background),
            ([0.0, 1.0, 0.5], Class::Organ),
            ([0.0, 1.0, 1.5], Class::TumorOverOrgan),
            ([0.5, 0.0, 1.0], Class::TumorOverBackground),
            ([1.0, 1.0, 1.0], Class::Background),
            ([0.0, 1.0, 1.0], Class::Organ),
        ] {
            assert_eq!(Class::of(logits), class, "{logits:?}");
        }
    }

    #[test]
    fn tumors_are_measured_in_millimetres() {
        let (labels, findings) = finish(&image(marks), None, None).unwrap();
        assert_eq!((labels.data[[2, 2, 3]], labels.data[[10, 0, 0]], labels.data[[1, 1, 1]]), (2, 2, 1));
        assert_eq!(findings.tumor_volume_mm3, (16.0 + 1.0) * 6.0);
        assert_eq!(findings.organ_volume_mm3, (7.0 * 7.0 * 6.0 - 16.0) * 6.0);
        assert_eq!((findings.tumors.len(), findings.small_tumors_dropped), (2, 0));
        let t = findings.tumors[0];
        assert_eq!((t.number, t.voxels, t.volume_mm3), (1, 16, 96.0));
        // Voxels 2.5, 3.5 and 3.5 of a grid that goes left and backwards.
        let near = |a: [f64; 3], b: [f64; 3]| (0..3).all(|i| (a[i] - b[i]).abs() < 1e-9);
        assert!(near(t.centre_vox, [2.5, 3.5, 3.5]) && near(t.centre_mm, [-5.0, -3.5, -19.5]), "{t:?}");
        // Centres are 2 and 3 mm apart in an axial slice, and half a voxel is added at both ends.
        assert!((t.longest_axial_diameter_mm - (2f64.hypot(3.0) + 1.5)).abs() < 1e-9, "{t:?}");
    }

    #[test]
    fn outside_of_the_organ_nothing_is_left_and_inside_all_is_organ() {
        let classes = image(marks);
        let organ = Mask {
            data: Array3::from_shape_fn((12, 10, 8), |(x, _, _)| x == 3 || x == 9),
            affine: classes.affine,
        };
        let (labels, findings) = finish(&classes, Some(&organ), None).unwrap();
        for ((at, label), inside) in labels.data.indexed_iter().zip(&organ.data) {
            let tumor = *inside && marks([at.0, at.1, at.2]).is_tumor();
            assert_eq!(*label, if tumor { TUMOR } else { u16::from(*inside) });
        }
        assert_eq!((findings.tumors.len(), findings.tumors[0].voxels), (1, 8));
        assert_eq!(findings.voxels_outside_organ, 8 + 1);
    }

    #[test]
    fn of_very_many_tumors_the_largest_are_described() {
        // A lattice of single voxels and, last of all, one of two.
        let affine = Affine::from_spacing_mm([1.0; 3]);
        let data = Array3::from_shape_fn((24, 24, 22), |(x, y, z)| match [x, y, z] {
            [23, 22, 20] => Class::TumorOverOrgan,
            _ if x % 2 + y % 2 + z % 2 == 0 => Class::TumorOverOrgan,
            _ => Class::Organ,
        });
        let (_, findings) = finish(&Image { data, affine }, None, None).unwrap();
        assert_eq!((findings.tumor_count, findings.tumors.len()), (12 * 12 * 11, DESCRIBED));
        assert_eq!((findings.tumors[0].voxels, findings.tumors[DESCRIBED - 1].voxels), (1, 2));
        assert_eq!(findings.tumors[DESCRIBED - 1].number, DESCRIBED);
        assert_eq!(findings.tumor_volume_mm3, (12 * 12 * 11 + 1) as f64);
    }

    #[test]
    fn small_tumors_become_what_else_is_likely() {
        // Radii: 96 mm³ is 2.84 mm, 6 mm³ is 1.13 mm.
        for (smallest, left) in [(1.1, 2), (1.2, 1), (2.83, 1), (2.85, 0)] {
            let (labels, findings) = finish(&image(marks), None, Some(smallest)).unwrap();
            assert_eq!((findings.tumors.len(), findings.small_tumors_dropped), (left, 2 - left));
            assert_eq!(labels.data[[10, 0, 0]], if left == 2 { 2 } else { 0 });
            assert_eq!(labels.data[[2, 2, 3]], if left > 0 { 2 } else { 1 });
        }
    }
}
