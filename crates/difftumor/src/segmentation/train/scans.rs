//! Labelled scans as a segmentation model learns from them (spec/segmentation.md section 4): 1 mm, RAS, background 0, organ 1,
//! tumor 2.
use crate::dataset::CaseSource;
use crate::error::{Error, Result};
use crate::train::cache::{Cache, Folder, Inputs, Scan};
use crate::train::prepared::{Arrays, Prepared};
use crate::train::scans::model_grid;
use difftumor_ct::Labels;
use difftumor_ct::io::read_scan;
use difftumor_ct::label::{Census, LabelMap, OrganSpec};
use difftumor_ct::patch::{Fill, spatial_pad};
use difftumor_ct::resample::{Outside, linear, nearest};
use ndarray::{Array3, ArrayView3, Zip};
use std::collections::BTreeMap;

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
    /// Whether an annotated case's label file may hold values that `organ` does not name, which are background then. A healthy
    /// case's always may: it is often a map of all organs.
    pub other_labels: bool,
}

/// A case and the crops that are cut from it.
#[derive(Debug)]
pub struct Source {
    /// The case.
    pub case: LabelledCase,
    side_vox: usize,
}

/// A case that is ready.
#[derive(Debug)]
pub struct LabelledScan {
    /// The case's id.
    pub id: String,
    /// Name of the organ.
    pub organ: String,
    prepared: Prepared,
}

/// A cache of the cases.
pub fn cache(cases: Vec<LabelledCase>, side_vox: usize, folder: &Folder) -> Cache<LabelledScan> {
    Cache::new(cases.into_iter().map(|case| Source { case, side_vox }), folder)
}

impl LabelledScan {
    /// HU at 1 mm, RAS, at least as large as a crop.
    pub fn image_hu(&self) -> ArrayView3<'_, f32> {
        self.prepared.image()
    }

    /// 0, [`ORGAN`] or [`TUMOR`].
    pub fn labels(&self) -> ArrayView3<'_, u8> {
        self.prepared.labels()
    }

    /// Flat indices of organ and tumor.
    pub fn foreground(&self) -> &[u32] {
        self.prepared.list(0)
    }
}

impl Scan for LabelledScan {
    type Source = Source;

    fn name(source: &Source) -> &str {
        &source.case.source.id
    }

    fn inputs(Source { case, side_vox }: &Source) -> Inputs<'_> {
        Inputs {
            how: format!(
                "labelled, {:?}, healthy {}, others {}, {side_vox} voxels",
                case.organ, case.healthy, case.other_labels
            ),
            files: vec![&case.source.ct, &case.source.labels],
        }
    }

    /// Cysts count as organ, as published.
    ///
    /// # Errors
    /// When a file cannot be read, grids differ, the organ is not there, a healthy case has tumors, or an annotated one has values
    /// that nobody named.
    fn prepare(Source { case, side_vox }: &Source) -> Result<Arrays> {
        let volume = read_scan(&case.source.ct)?.to_volume()?;
        let name = case.source.ct.display().to_string();
        let map = LabelMap::open(&case.source.labels)?;
        if !case.healthy && !case.other_labels {
            require_named(&map, &case.organ)?;
        }
        let organ = map.organ(&case.organ, Some((&volume.grid(), &name)))?;
        drop(map);
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
        let pad = [*side_vox; 3];
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
        Ok(Arrays { image: image.data, labels: Some(labels), lists: [foreground, vec![]] })
    }

    fn new(Source { case, .. }: &Source, prepared: Prepared) -> Self {
        Self { id: case.source.id.clone(), organ: case.organ.name.clone(), prepared }
    }
}

/// What the values of a file mean is told by number, so a value without a meaning is a mistake: a second tumor label that
/// would be trained on as background, say.
fn require_named(map: &LabelMap, organ: &OrganSpec) -> Result<()> {
    let (LabelMap::File(file), Some(roles)) = (map, &organ.roles) else { return Ok(()) };
    let named = |value: &u16| [&roles.organ, &roles.tumor, &roles.cyst].iter().any(|r| r.contains(value));
    let others: BTreeMap<u16, usize> =
        file.census.0.iter().filter(|(value, _)| !named(value)).map(|(value, n)| (*value, *n)).collect();
    if others.is_empty() {
        return Ok(());
    }
    let found = Census(others).list(&file.names);
    let hint = "name them as in --organ kidney=1:tumor=2:cyst=3 (several are joined by +), or take them for background with --other-labels";
    Err(Error::format(&file.path, "label values", format!("those of {organ} alone"), found, hint))
}
