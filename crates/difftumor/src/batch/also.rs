//! Further files of an output, for programs that do not read NIfTI.
//!
//! ```text
//! dicom/            the scan as a CT series: of the patient and study that it was read from, or of nobody, and marked as synthetic
//! labels.dcm        the labels as a DICOM segmentation of that series
//! labels.seg.nrrd   the labels as 3D Slicer's segmentation
//! ```
use crate::error::{Error, Result};
use difftumor_ct::io::dicom::{SeriesPath, SeriesReference, SeriesTemplate, write_seg, write_series};
use difftumor_ct::io::nrrd::write_seg_nrrd;
use difftumor_ct::{Labels, Volume};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

const DICOM: &str = "dicom";
const SEG: &str = "labels.dcm";
const NRRD: &str = "labels.seg.nrrd";

/// A further kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Also {
    /// The scan as a DICOM series.
    Dicom,
    /// The labels as a DICOM segmentation.
    Seg,
    /// The labels as 3D Slicer's segmentation.
    Nrrd,
}

/// What an output holds in memory.
pub(crate) struct Content<'a> {
    /// Names the case.
    pub(crate) id: &'a str,
    /// Where its scan was read from.
    pub(crate) source: &'a Path,
    /// A scan that is new, for [`Also::Dicom`].
    pub(crate) ct: Option<&'a Volume>,
    pub(crate) labels: &'a Labels,
    pub(crate) names: &'a BTreeMap<u16, String>,
}

/// Writes the files into the output's folder; their names.
///
/// # Errors
/// When the scan's grid is none of parallel slices, a segmentation has no series to belong to, or a file cannot be written.
pub(crate) fn write(also: &[Also], folder: &Path, content: &Content) -> Result<Vec<String>> {
    let Content { id, source, ct, labels, names } = content;
    let mut files = vec![];
    let mut reference = None;
    if let Some(ct) = ct.filter(|_| also.contains(&Also::Dicom)) {
        let template = match SeriesPath::of(source) {
            Some(series) => SeriesTemplate::read(&series)?,
            None => SeriesTemplate::anonymous(id)?,
        };
        let written = write_series(ct, &template, &folder.join(DICOM))?;
        if written.clamped_voxels > 0 {
            tracing::warn!(
                "case '{id}': {} voxels are beyond what 16 bits hold; their DICOM values are the nearest",
                written.clamped_voxels
            );
        }
        reference = Some(written.reference);
        files.push(DICOM.into());
    }
    let empty = labels.data.iter().all(|label| *label == 0);
    if empty && also.contains(&Also::Seg) {
        tracing::warn!(
            "case '{id}': nothing is labelled, which a DICOM segmentation cannot say: there is none"
        );
    } else if also.contains(&Also::Seg) {
        let reference = match (reference, SeriesPath::of(source)) {
            (Some(written), _) => written,
            (None, Some(series)) => SeriesReference::read(&series)?,
            (None, None) => {
                let expected = "a DICOM series that it belongs to";
                return Err(Error::format(
                    source,
                    "scan of a DICOM segmentation",
                    expected,
                    "another file",
                    "add --also dicom",
                ));
            }
        };
        write_seg(labels, names, &reference, &folder.join(SEG))?;
        files.push(SEG.into());
    }
    if also.contains(&Also::Nrrd) {
        write_seg_nrrd(labels, names, &folder.join(NRRD))?;
        files.push(NRRD.into());
    }
    Ok(files)
}
