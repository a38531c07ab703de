//! A label map as a DICOM segmentation: binary, one segment for each value that occurs.
use super::elements::{
    Object, decimal, dicom_code, item, put_items, put_numbers, put_texts, short, snomed_code, source_image,
    text,
};
use super::file;
use super::frames::{Frame, frames, packed, packed_bytes};
use super::reference::SeriesReference;
use super::uid::{Content, SOFTWARE};
use crate::error::{Error, Result};
use crate::io::terms;
use crate::volume::Labels;
use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags as t;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Segmentation Storage (PS3.6, table A-1).
const SEGMENTATION: &str = "1.2.840.10008.5.1.4.1.1.66.4";

/// Where a date and a time must be and none is known.
const NO_DATE_TIME: [&str; 2] = ["19000101", "000000"];

/// Writes a label map as a DICOM segmentation of `series`, on whose grid it must lie: binary, one segment for each value that occurs (in
/// ascending order), frames only for slices that hold voxels of it. `names` names values, others are called `Segment VALUE`; codes of SNOMED
/// CT come from the names (liver, tumor, …). The file appears whole or not at all, and equal input gives equal bytes.
///
/// # Errors
/// [`Error::Argument`] when no voxel has a label, or there are too many frames for one file; [`Error::GridMismatch`] when the labels do not
/// lie on the series' grid; [`Error::Io`].
pub fn write_seg(
    labels: &Labels,
    names: &BTreeMap<u16, String>,
    series: &SeriesReference,
    path: &Path,
) -> Result<()> {
    let name = format!("series {}", series.series_uid);
    series.grid.require_same(&name, &labels.grid(), "the label map")?;
    let frames = frames(labels);
    let [columns, rows, _] = series.grid.shape;
    let wrong = |expected: &str, found: String| Error::Argument {
        what: "labels to write as DICOM".into(),
        expected: expected.into(),
        found,
    };
    if frames.is_empty() {
        return Err(wrong("a voxel with a label above 0", "none".into()));
    }
    let bytes = packed_bytes(frames.len(), [columns, rows])
        .ok_or_else(|| wrong("at most 4 GiB of bits", format!("{} frames", frames.len())))?;
    let bits = packed(labels, &frames, bytes);
    let values: BTreeSet<u16> = frames.iter().map(|frame| frame.value).collect();
    let named = |value: &u16| {
        let name = names.get(value).map(|name| short(name)).filter(|name| !name.is_empty());
        name.unwrap_or_else(|| format!("Segment {value}"))
    };
    let names: Vec<String> = values.iter().map(named).collect();
    let mut object = series.common.clone();
    let uid = |kind: &str| {
        let content = names.iter().fold(Content::new(kind).with(&series.series_uid), Content::with);
        let content = values.iter().fold(content, |content, value| content.with(value.to_le_bytes()));
        content.with(&bits).uid()
    };
    put_header(&mut object, series, [&uid("segmentation"), &uid("segmentation series")], frames.len());
    put_items(
        &mut object,
        t::SEGMENT_SEQUENCE,
        (1..).zip(&names).map(|(n, name)| segment(n, name)).collect(),
    );
    put_groups(&mut object, series, &frames, &uid("dimensions"));
    object.put(DataElement::new(t::PIXEL_DATA, VR::OB, PrimitiveValue::U8(bits.into())));
    file::write(object, path)
}

fn put_header(
    object: &mut Object,
    series: &SeriesReference,
    [instance, own_series]: [&str; 2],
    frames: usize,
) {
    let [date, time] = [0, 1].map(|i| series.date_time[i].as_deref().unwrap_or(NO_DATE_TIME[i]));
    put_texts(
        object,
        &[
            (t::SOP_CLASS_UID, VR::UI, SEGMENTATION),
            (t::SOP_INSTANCE_UID, VR::UI, instance),
            (t::SERIES_INSTANCE_UID, VR::UI, own_series),
            (t::MODALITY, VR::CS, "SEG"),
            (t::SERIES_NUMBER, VR::IS, "2000"),
            (t::SERIES_DESCRIPTION, VR::LO, "Segmentation"),
            (t::INSTANCE_NUMBER, VR::IS, "1"),
            (t::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY"),
            (t::CONTENT_DATE, VR::DA, date),
            (t::CONTENT_TIME, VR::TM, time),
            (t::CONTENT_LABEL, VR::CS, "SEGMENTATION"),
            (t::CONTENT_DESCRIPTION, VR::LO, "Organs and tumors"),
            (t::CONTENT_CREATOR_NAME, VR::PN, ""),
            (t::MANUFACTURER, VR::LO, "difftumor"),
            (t::MANUFACTURER_MODEL_NAME, VR::LO, "difftumor"),
            // A program has none, and the standard wants one.
            (t::DEVICE_SERIAL_NUMBER, VR::LO, "0"),
            (t::SOFTWARE_VERSIONS, VR::LO, SOFTWARE),
            (t::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            (t::SEGMENTATION_TYPE, VR::CS, "BINARY"),
            (t::SEGMENTS_OVERLAP, VR::CS, "NO"),
            (t::NUMBER_OF_FRAMES, VR::IS, &frames.to_string()),
        ],
    );
    if text(object, t::LOSSY_IMAGE_COMPRESSION).is_none() {
        put_texts(object, &[(t::LOSSY_IMAGE_COMPRESSION, VR::CS, "00")]);
    }
    let [columns, rows, _] = series.grid.shape;
    // Sides of a series are limited to 13 bits.
    put_numbers(
        object,
        &[
            (t::SAMPLES_PER_PIXEL, 1),
            (t::ROWS, rows as u16),
            (t::COLUMNS, columns as u16),
            (t::BITS_ALLOCATED, 1),
            (t::BITS_STORED, 1),
            (t::HIGH_BIT, 0),
            (t::PIXEL_REPRESENTATION, 0),
        ],
    );
}

fn segment(number: u16, name: &str) -> Object {
    let term = terms::of(name);
    let mut object = item(&[
        (t::SEGMENT_LABEL, VR::LO, name),
        (t::SEGMENT_ALGORITHM_TYPE, VR::CS, "AUTOMATIC"),
        (t::SEGMENT_ALGORITHM_NAME, VR::LO, SOFTWARE),
    ]);
    put_numbers(&mut object, &[(t::SEGMENT_NUMBER, number)]);
    put_items(&mut object, t::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, vec![snomed_code(term.category)]);
    let mut kind = snomed_code(term.kind);
    if let Some(side) = term.side {
        put_items(&mut kind, t::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE, vec![snomed_code(side)]);
    }
    put_items(&mut object, t::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, vec![kind]);
    object
}

/// What frames are ordered by, what they share, and what each has: which segment, which slice, and where.
fn put_groups(object: &mut Object, series: &SeriesReference, frames: &[Frame], dimensions: &str) {
    let organization = item(&[(t::DIMENSION_ORGANIZATION_UID, VR::UI, dimensions)]);
    put_items(object, t::DIMENSION_ORGANIZATION_SEQUENCE, vec![organization]);
    let index = |tag: Tag, group: Tag| {
        let mut object = item(&[(t::DIMENSION_ORGANIZATION_UID, VR::UI, dimensions)]);
        for (pointer, to) in [(t::DIMENSION_INDEX_POINTER, tag), (t::FUNCTIONAL_GROUP_POINTER, group)] {
            object.put(DataElement::new(pointer, VR::AT, PrimitiveValue::from(to)));
        }
        object
    };
    let indices = vec![
        index(t::REFERENCED_SEGMENT_NUMBER, t::SEGMENT_IDENTIFICATION_SEQUENCE),
        index(t::IMAGE_POSITION_PATIENT, t::PLANE_POSITION_SEQUENCE),
    ];
    put_items(object, t::DIMENSION_INDEX_SEQUENCE, indices);

    let step_mm = decimal(series.grid.affine.spacing_mm()[2]);
    let mut shared = Object::new_empty();
    let orientation = item(&[(t::IMAGE_ORIENTATION_PATIENT, VR::DS, &series.orientation)]);
    put_items(&mut shared, t::PLANE_ORIENTATION_SEQUENCE, vec![orientation]);
    let measures = item(&[
        (t::PIXEL_SPACING, VR::DS, &series.spacing),
        (t::SLICE_THICKNESS, VR::DS, &step_mm),
        (t::SPACING_BETWEEN_SLICES, VR::DS, &step_mm),
    ]);
    put_items(&mut shared, t::PIXEL_MEASURES_SEQUENCE, vec![measures]);
    put_items(object, t::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]);

    let slices: BTreeSet<usize> = frames.iter().map(|frame| frame.z).collect();
    let positions: BTreeMap<usize, u32> = slices.iter().copied().zip(1..).collect();
    let groups = frames.iter().map(|frame| frame_groups(series, frame, positions[&frame.z]));
    put_items(object, t::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, groups.collect());

    let instance = |&z: &usize| {
        let instance = &series.instances[z];
        item(&[
            (t::REFERENCED_SOP_CLASS_UID, VR::UI, &instance.class),
            (t::REFERENCED_SOP_INSTANCE_UID, VR::UI, &instance.uid),
        ])
    };
    let mut referenced = item(&[(t::SERIES_INSTANCE_UID, VR::UI, &series.series_uid)]);
    put_items(&mut referenced, t::REFERENCED_INSTANCE_SEQUENCE, slices.iter().map(instance).collect());
    put_items(object, t::REFERENCED_SERIES_SEQUENCE, vec![referenced]);
}

fn frame_groups(series: &SeriesReference, frame: &Frame, position: u32) -> Object {
    let instance = &series.instances[frame.z];
    // At most 65535 values, and so segments.
    let number = frame.segment as u16 + 1;
    let mut object = Object::new_empty();
    let mut derivation = Object::new_empty();
    put_items(&mut derivation, t::SOURCE_IMAGE_SEQUENCE, vec![source_image(&instance.class, &instance.uid)]);
    put_items(&mut derivation, t::DERIVATION_CODE_SEQUENCE, vec![dicom_code("113076", "Segmentation")]);
    put_items(&mut object, t::DERIVATION_IMAGE_SEQUENCE, vec![derivation]);
    let mut content = Object::new_empty();
    let indices = PrimitiveValue::U32([u32::from(number), position].into_iter().collect());
    content.put(DataElement::new(t::DIMENSION_INDEX_VALUES, VR::UL, indices));
    put_items(&mut object, t::FRAME_CONTENT_SEQUENCE, vec![content]);
    let place = item(&[(t::IMAGE_POSITION_PATIENT, VR::DS, &instance.position)]);
    put_items(&mut object, t::PLANE_POSITION_SEQUENCE, vec![place]);
    let mut identification = Object::new_empty();
    put_numbers(&mut identification, &[(t::REFERENCED_SEGMENT_NUMBER, number)]);
    put_items(&mut object, t::SEGMENT_IDENTIFICATION_SEQUENCE, vec![identification]);
    object
}
