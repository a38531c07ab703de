//! Labelled scans as a segmentation model learns from them (spec/segmentation.md section 4): 1 mm, RAS, background 0, organ 1,
//! tumor 2.
use crate::dataset::CaseSource;
use crate::error::{Error, Result};
use crate::train::cache::{Cache, Sized};
use crate::train::scans::model_grid;
use difftumor_ct::Labels;
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::label::{LabelMap, OrganSpec};
use difftumor_ct::patch::{Fill, spatial_pad};
use difftumor_ct::resample::{Outside, linear, nearest};
use ndarray::{Array3, Zip};

/// Value of the organ in [`LabelledScan::labels`].
pub const ORGAN: u8 = 1;
/// Value of tumors.
pub const TUMOR: u8 = 2;

/// A case to learn from.
#[derive(Debug, Clone)]
pub struct LabelledCase {
    /// Its files.
    pub source: CaseSource,
    /// Where the organ and its tumors are in the label file.
    pub organ: OrganSpec,
    /// Whether no tumor is in it, so that synthetic ones may be put there.
    pub healthy: bool,
}

/// A case in memory.
#[derive(Debug)]
pub struct LabelledScan {
    /// The case's id.
    pub id: String,
    /// Name of the organ.
    pub organ: String,
    /// HU at 1 mm, RAS, at least as large as a crop.
    pub image_hu: Array3<f32>,
    /// 0, [`ORGAN`] or [`TUMOR`].
    pub labels: Array3<u8>,
    /// Flat indices of organ and tumor.
    pub foreground: Vec<u32>,
    /// See [`LabelledCase::healthy`].
    pub healthy: bool,
}

impl Sized for LabelledScan {
    fn bytes(&self) -> usize {
        5 * self.image_hu.len() + 4 * self.foreground.len()
    }
}

/// A cache of the cases.
pub fn cache(cases: Vec<LabelledCase>, side_vox: usize, limit_bytes: usize) -> Cache<LabelledScan> {
    let names = cases.iter().map(|c| c.source.id.clone()).collect();
    Cache::new(names, limit_bytes, move |i| LabelledScan::read(&cases[i], side_vox))
}

impl LabelledScan {
    /// Reads a case. Cysts count as organ, as published.
    ///
    /// # Errors
    /// When a file cannot be read, grids differ, the organ is not there, or a healthy case has tumors.
    pub fn read(case: &LabelledCase, side_vox: usize) -> Result<Self> {
        let volume = NiftiImage::read(&case.source.ct)?.to_volume()?;
        let name = case.source.ct.display().to_string();
        let organ = LabelMap::open(&case.source.labels)?.organ(&case.organ, Some((&volume.grid(), &name)))?;
        let mut data = Array3::<u16>::zeros(volume.data.dim());
        let parts =
            [(Some(&organ.organ), ORGAN), (organ.cyst.as_ref(), ORGAN), (organ.tumor.as_ref(), TUMOR)];
        for (mask, value) in parts.into_iter().filter_map(|(m, v)| m.map(|m| (m, v))) {
            Zip::from(&mut data).and(&mask.data).for_each(|l, m| {
                if *m {
                    *l = u16::from(value);
                }
            });
        }
        let tumor_vox = data.iter().filter(|v| **v == u16::from(TUMOR)).count();
        if case.healthy && tumor_vox > 0 {
            let hint = "list the case with the annotated ones, where no tumors are added";
            let found = format!("{tumor_vox} of them");
            return Err(Error::format(&case.source.labels, "healthy case", "no tumor voxel", found, hint));
        }
        let labels = Labels { data, affine: volume.affine };
        let grid = model_grid(&volume.grid())?;
        let pad = [side_vox; 3];
        let image = spatial_pad(&linear(&volume, &grid, Outside::Edge)?, pad, Fill::Minimum);
        let labels = spatial_pad(&nearest(&labels, &grid, Outside::Constant(0))?, pad, Fill::Constant(0));
        let labels = labels.data.mapv(|v| v as u8);
        let foreground: Vec<u32> =
            labels.iter().enumerate().filter(|(_, v)| **v > 0).map(|(i, _)| i as u32).collect();
        if foreground.is_empty() {
            let hint = "leave the case out, or look at the label's value";
            let found = "none is left at 1 mm";
            return Err(Error::format(&case.source.labels, "organ", "voxels of the organ", found, hint));
        }
        Ok(Self {
            id: case.source.id.clone(),
            organ: case.organ.name.clone(),
            image_hu: image.data,
            labels,
            foreground,
            healthy: case.healthy,
        })
    }
}
