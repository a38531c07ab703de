//! What an object that goes with a series must know of it.
use super::super::geometry::Arrangement;
use super::super::slice::Slice;
use super::super::{SeriesPath, arranged, choose, file, problem};
use super::elements::{Object, decimals, put_texts, text};
use super::image::CT_IMAGE;
use super::keep;
use super::uid::Content;
use crate::error::Result;
use crate::volume::Grid;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags as t;

/// A series of CT slices that a segmentation belongs to: the one that was written, or one on the disk.
#[derive(Debug, Clone)]
pub struct SeriesReference {
    /// Patient, study and frame of reference.
    pub(super) common: Object,
    pub(super) series_uid: String,
    /// Along z.
    pub(super) instances: Vec<Instance>,
    /// Numbers as DICOM writes them: ImageOrientationPatient and PixelSpacing.
    pub(super) orientation: String,
    pub(super) spacing: String,
    /// Date and time of the image's content, as far as they are known.
    pub(super) date_time: [Option<String>; 2],
    pub(super) grid: Grid,
}

/// A slice.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub class: String,
    pub uid: String,
    /// ImagePositionPatient.
    pub position: String,
}

impl Instance {
    pub fn of(header: &Object) -> Self {
        let of = |tag| text(header, tag).unwrap_or_default();
        Self {
            class: text(header, t::SOP_CLASS_UID).unwrap_or_else(|| CT_IMAGE.into()),
            uid: of(t::SOP_INSTANCE_UID),
            position: of(t::IMAGE_POSITION_PATIENT),
        }
    }
}

impl SeriesReference {
    /// A series on the disk. Pixels are not read.
    ///
    /// # Errors
    /// As [`Series::read`](super::super::Series::read), but for what concerns pixels; [`Error::Format`](crate::Error::Format) when the first
    /// slice has no StudyInstanceUID.
    pub fn read(place: &SeriesPath) -> Result<Self> {
        let chosen = choose::choose(place)?;
        let Arrangement { slices, grid } = arranged(chosen.slices, place, &mut vec![])?;
        let header = file::read_pixels(&slices[0].file)?;
        if text(&header, t::STUDY_INSTANCE_UID).is_none() {
            let hint = "without it nothing can be filed with this series: export it again";
            let missing = problem("StudyInstanceUID (0020,000D)", "a UID", "none", hint);
            return Err(missing.of(&slices[0].file));
        }
        let first = Instance::of(&header);
        let instance = |slice: &Slice| Instance {
            class: first.class.clone(),
            uid: slice.instance_uid.clone(),
            position: decimals(&slice.position_mm),
        };
        Self::new(&header, slices.iter().map(instance).collect(), grid)
    }

    /// UID of the series.
    pub fn series_uid(&self) -> &str {
        &self.series_uid
    }

    /// SOP instance UIDs of its slices, along z.
    pub fn instance_uids(&self) -> impl Iterator<Item = &str> {
        self.instances.iter().map(|instance| instance.uid.as_str())
    }

    /// Where its voxels lie: x along rows, y down the columns, z from slice to slice.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    pub(super) fn new(header: &Object, instances: Vec<Instance>, grid: Grid) -> Result<Self> {
        let mut common = keep::of_study(header);
        let of = |tag: Tag| text(header, tag).unwrap_or_default();
        let series_uid = of(t::SERIES_INSTANCE_UID);
        if text(&common, t::FRAME_OF_REFERENCE_UID).is_none() {
            let uid = Content::new("frame of reference").with(&series_uid).uid();
            put_texts(&mut common, &[(t::FRAME_OF_REFERENCE_UID, VR::UI, &uid)]);
        }
        keep::complete(&mut common, &keep::PATIENT_AND_STUDY);
        let first_of = |tags: [Tag; 3]| tags.into_iter().find_map(|tag| text(header, tag));
        Ok(Self {
            common,
            series_uid,
            instances,
            orientation: of(t::IMAGE_ORIENTATION_PATIENT),
            spacing: of(t::PIXEL_SPACING),
            date_time: [
                first_of([t::CONTENT_DATE, t::ACQUISITION_DATE, t::STUDY_DATE]),
                first_of([t::CONTENT_TIME, t::ACQUISITION_TIME, t::STUDY_TIME]),
            ],
            grid,
        })
    }
}
