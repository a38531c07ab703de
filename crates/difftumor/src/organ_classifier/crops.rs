//! Tumors as the networks see them: crops of 1 mm around each, in which only the tumor and a thin rim remain (paper App. A).
use crate::analyze::tumors::Tumors;
use crate::dataset::{CaseSource, Dataset};
use crate::error::{Result, caught};
use crate::index::Annotation;
use difftumor_ct::analysis::table::Tumor;
use difftumor_ct::distance::distance_mm;
use difftumor_ct::intensity::HuWindow;
use difftumor_ct::measure::measure;
use difftumor_ct::metrics::detection::Stage;
use difftumor_ct::orient::{AxisCodes, Reorientation};
use difftumor_ct::resample::{Outside, linear, nearest};
use difftumor_ct::{Grid, Mask, Volume};
use ndarray::{Array3, Zip, s};
use serde::{Deserialize, Serialize};

/// HU that become 0 and 1 (paper E.1).
const WINDOW_HU: [f32; 2] = [-175.0, 250.0];

/// What remains of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CropOptions {
    /// Side of a crop in voxels of 1 mm. Early tumors have at most 20 mm; larger ones are cut.
    pub side_vox: usize,
    /// Width of the rim that stays: "a small amount of organ textures in the tumor boundary region" (section 2 (1)).
    pub rim_mm: f64,
}

impl Default for CropOptions {
    fn default() -> Self {
        Self { side_vox: 48, rim_mm: 2.0 }
    }
}

/// One tumor.
#[derive(Debug, Clone, PartialEq)]
pub struct TumorCrop {
    /// Whose it is.
    pub tumor: Tumor,
    /// `[x, y, z]` towards the right, front and top, from 0 to 1; 0 beyond the rim.
    pub image: Array3<f32>,
}

/// What a dataset gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Crops {
    /// Of every tumor.
    pub crops: Vec<TumorCrop>,
    /// Cases without one, and why.
    pub left_out: Vec<(String, String)>,
}

/// Crops of all tumors of a dataset. `group` is the organ.
///
/// # Errors
/// When the options are impossible.
pub fn crops(
    dataset: &Dataset,
    annotation: &Annotation,
    group: &str,
    options: CropOptions,
    watch: &dyn Fn(&str),
) -> Result<Crops> {
    check(options)?;
    let mut found = vec![];
    let mut left_out: Vec<(String, String)> =
        dataset.unusable.iter().map(|(id, e)| (id.clone(), e.to_string())).collect();
    for source in &dataset.cases {
        match caught(&source.id, || case(source, annotation, group, options)) {
            Ok(crops) if crops.is_empty() => {
                left_out.push((source.id.clone(), "no tumor of at least 8 voxels".into()))
            }
            Ok(crops) => found.extend(crops),
            Err(error) => left_out.push((source.id.clone(), error.to_string())),
        }
        watch(&source.id);
    }
    Ok(Crops { crops: found, left_out })
}

fn check(options: CropOptions) -> Result<()> {
    let bad = |what: &str, expected: &str, found: String| -> Result<()> {
        Err(difftumor_ct::Error::Argument { what: what.into(), expected: expected.into(), found }.into())
    };
    if !(16..=128).contains(&options.side_vox) || !options.side_vox.is_multiple_of(16) {
        return bad("side of a crop", "a multiple of 16 from 16 to 128 voxels", options.side_vox.to_string());
    }
    if !(0.0..=20.0).contains(&options.rim_mm) {
        return bad("rim in mm", "0 to 20", options.rim_mm.to_string());
    }
    Ok(())
}

fn case(
    source: &CaseSource,
    annotation: &Annotation,
    group: &str,
    options: CropOptions,
) -> Result<Vec<TumorCrop>> {
    let Some(tumors) = Tumors::read(source, annotation)? else { return Ok(vec![]) };
    let upright = Reorientation::new(&tumors.ct.grid(), AxisCodes::RAS)?.target().isotropic(1.0)?;
    let patient = source.patient.clone().unwrap_or_else(|| source.id.clone());
    let mut crops = vec![];
    for (i, b) in tumors.bounds.iter().enumerate() {
        let number = i as u16 + 1;
        let region = s![b.start[0]..b.end[0], b.start[1]..b.end[1], b.start[2]..b.end[2]];
        let part = tumors.labels.data.slice(region).mapv(|l| l == number);
        let size = measure(&part, tumors.ct.affine.spacing_mm()).expect("a tumor has voxels");
        let centre = std::array::from_fn(|a| size.centroid_vox[a] + b.start[a] as f64);
        let grid = around(&upright, tumors.ct.affine.apply(centre), options.side_vox);
        let mask = Mask { data: tumors.labels.data.mapv(|l| l == number), affine: tumors.labels.affine };
        let tumor = Tumor {
            id: format!("{group}/{}/{number}", source.id),
            group: group.into(),
            patient: patient.clone(),
            stage: Some(Stage::of(size.equivalent_diameter_mm).name().into()),
        };
        crops.push(TumorCrop { tumor, image: image(&tumors.ct, &mask, &grid, options.rim_mm)? });
    }
    Ok(crops)
}

/// A cube of the grid with the point in its middle.
fn around(grid: &Grid, centre_mm: [f64; 3], side_vox: usize) -> Grid {
    let voxel = grid.affine.inverse().expect("a made grid is regular").apply(centre_mm);
    grid.crop(voxel.map(|v| v.round() as i64 - side_vox as i64 / 2), [side_vox; 3])
}

fn image(ct: &Volume, mask: &Mask, grid: &Grid, rim_mm: f64) -> Result<Array3<f32>> {
    let window = HuWindow::new(WINDOW_HU[0], WINDOW_HU[1])?;
    let tumor = nearest(mask, grid, Outside::Constant(false))?.data;
    // Of a tumor that no voxel centre of the grid meets, nothing is left, and the network sees nothing.
    let rim = distance_mm(&tumor.mapv(|inside| !inside), [1.0; 3]);
    let mut image = linear(ct, grid, Outside::Edge)?.data;
    Zip::from(&mut image).and(&rim).for_each(|v, distance| {
        *v = if f64::from(*distance) <= rim_mm { window.to_unit(*v) } else { 0.0 };
    });
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use difftumor_ct::Affine;

    #[test]
    fn only_the_tumor_and_its_rim_remain() {
        let affine = Affine::from_spacing_mm([1.0; 3]);
        let data = Array3::from_elem((40, 40, 40), 100.0);
        let ball = Array3::from_shape_fn((40, 40, 40), |(x, y, z)| {
            [x, y, z].iter().map(|v| (*v as f64 - 20.0).powi(2)).sum::<f64>() <= 36.0
        });
        let (ct, mask) = (Volume { data, affine }, Mask { data: ball, affine });
        let grid = around(&ct.grid(), [20.0; 3], 32);
        let image = image(&ct, &mask, &grid, 2.0).unwrap();
        assert_eq!(image.dim(), (32, 32, 32));
        let value = 275.0 / 425.0;
        assert!((image[[16, 16, 16]] - value).abs() < 1e-6);
        // Radius 6 and a rim of 2.
        assert!((image[[24, 16, 16]] - value).abs() < 1e-6 && image[[25, 16, 16]] == 0.0);
    }

    #[test]
    fn impossible_options_are_refused() {
        for (side_vox, rim_mm) in [(0, 2.0), (40, 2.0), (48, -1.0), (48, f64::NAN)] {
            assert!(check(CropOptions { side_vox, rim_mm }).is_err());
        }
        assert!(check(CropOptions::default()).is_ok());
    }
}
