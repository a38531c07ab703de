//! A case's tumors one by one: connected components (6 neighbours) of at least 8 voxels, by number.
use crate::dataset::CaseSource;
use crate::error::{Error, Result};
use crate::index::{Annotation, LEAST_VOXELS};
use crate::objects::fetch;
use difftumor_ct::components::{Connectivity, components};
use difftumor_ct::io::read_scan;
use difftumor_ct::patch::VoxelBox;
use difftumor_ct::{Labels, Mask, Volume};

/// A scan with its tumors.
pub(crate) struct Tumors {
    /// The scan in HU.
    pub(crate) ct: Volume,
    /// Whether its file stores whole HU.
    pub(crate) whole_hu: bool,
    /// Tumors by number from 1; `u16::MAX` is a component of fewer voxels: no tumor, but no healthy tissue either.
    pub(crate) labels: Labels,
    /// Where each tumor is, by number less 1.
    pub(crate) bounds: Vec<VoxelBox>,
    /// The organ, where the labels know one.
    pub(crate) organ: Option<Mask>,
}

impl Tumors {
    /// Reads a case; `None` when its labels have no tumor.
    ///
    /// # Errors
    /// When a file cannot be read, scan and labels lie on different grids, or there are more than 65,534 tumors.
    pub(crate) fn read(source: &CaseSource, annotation: &Annotation) -> Result<Option<Self>> {
        let (scan, labels) = (fetch(&source.ct)?, fetch(&source.labels)?);
        Self::of(scan.path(), labels.path(), annotation).map_err(|e| labels.explain(scan.explain(e)))
    }

    fn of(
        scan: &std::path::Path,
        label_path: &std::path::Path,
        annotation: &Annotation,
    ) -> Result<Option<Self>> {
        let image = read_scan(scan)?;
        let (ct, whole_hu) = (image.to_volume()?, image.step_hu() == Some(1.0));
        let (organ, tumor) = annotation.masks(label_path, (&ct.grid(), &scan.display().to_string()))?;
        let Some(tumor) = tumor else { return Ok(None) };
        let found = components(&tumor.data, Connectivity::Faces);
        let parts: Vec<_> = found.parts.iter().filter(|p| p.voxels >= LEAST_VOXELS).collect();
        if parts.len() >= usize::from(u16::MAX) {
            let expected = format!("at most {} tumors", u16::MAX - 1);
            let hint = "check that this is the tumor's label";
            return Err(Error::format(label_path, "tumor", expected, parts.len().to_string(), hint));
        }
        let number_of = |label: u32| match parts.binary_search_by_key(&label, |p| p.label) {
            Ok(i) => i as u16 + 1,
            Err(_) if label > 0 => u16::MAX,
            Err(_) => 0,
        };
        let labels = Labels { data: found.labels().mapv(number_of), affine: tumor.affine };
        Ok(Some(Self { ct, whole_hu, labels, bounds: parts.iter().map(|p| p.bounds).collect(), organ }))
    }
}
