//! The data set of a slice.
use super::elements::{
    Object, decimal, decimals, processing_equipment, put_items, put_numbers, put_texts, short, source_image,
    text,
};
use super::keep;
use super::plane::Planes;
use super::stored::Scale;
use super::uid::SOFTWARE;
use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags as t;

/// CT Image Storage (PS3.6, table A-1).
pub(super) const CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2";

/// Added to the number of the series that an image was made from.
const SERIES_NUMBER_OFFSET: i64 = 1000;

const DESCRIPTION: &str = "synthetic tumors";

/// Header of an image that is made from the one with header `source`.
pub(super) fn derived(source: &Object, z: usize) -> Object {
    let mut object = keep::of_image(source);
    let series = text(source, t::SERIES_DESCRIPTION).unwrap_or_default();
    let number = text(source, t::SERIES_NUMBER).and_then(|n| n.parse::<i64>().ok());
    // IS holds 32 bits.
    let number = number.filter(|n| (0..1 << 30).contains(n)).unwrap_or(0) + SERIES_NUMBER_OFFSET;
    let class = text(source, t::SOP_CLASS_UID).unwrap_or_else(|| CT_IMAGE.into());
    if let Some(instance) = text(source, t::SOP_INSTANCE_UID) {
        put_items(&mut object, t::SOURCE_IMAGE_SEQUENCE, vec![source_image(&class, &instance)]);
    }
    if text(&object, t::INSTANCE_NUMBER).is_none() {
        put_texts(&mut object, &[(t::INSTANCE_NUMBER, VR::IS, &(z + 1).to_string())]);
    }
    // The source's own words come first, cut where there is no room for both.
    let room = 64 - DESCRIPTION.len() - 2;
    let series: String = short(&series).chars().take(room).collect();
    let described = if series.is_empty() { DESCRIPTION.into() } else { format!("{series}, {DESCRIPTION}") };
    put_texts(
        &mut object,
        &[(t::SERIES_NUMBER, VR::IS, &number.to_string()), (t::SERIES_DESCRIPTION, VR::LO, &described)],
    );
    object
}

/// Header of an image of nobody.
pub(super) fn anonymous(id: &str, planes: &Planes, z: usize, scale: Scale) -> Object {
    let mut object = Object::new_empty();
    object.convert_to_utf8();
    let [dx, dy] = planes.spacing_mm;
    let step_mm = decimal(planes.step_length_mm());
    put_texts(
        &mut object,
        &[
            (t::PATIENT_NAME, VR::PN, &format!("SYNTHETIC^{id}")),
            (t::PATIENT_ID, VR::LO, id),
            (t::PATIENT_IDENTITY_REMOVED, VR::CS, "YES"),
            (t::DEIDENTIFICATION_METHOD, VR::LO, "The scan came without a patient"),
            (t::SERIES_NUMBER, VR::IS, "1"),
            (t::SERIES_DESCRIPTION, VR::LO, DESCRIPTION),
            (t::INSTANCE_NUMBER, VR::IS, &(z + 1).to_string()),
            (t::IMAGE_POSITION_PATIENT, VR::DS, &decimals(&planes.position_mm(z))),
            (t::IMAGE_ORIENTATION_PATIENT, VR::DS, &decimals(&planes.directions.concat())),
            (t::PIXEL_SPACING, VR::DS, &decimals(&[dy, dx])),
            (t::SLICE_THICKNESS, VR::DS, &step_mm),
            (t::SPACING_BETWEEN_SLICES, VR::DS, &step_mm),
            (t::RESCALE_SLOPE, VR::DS, &decimal(scale.slope)),
            (t::RESCALE_INTERCEPT, VR::DS, &decimal(scale.intercept)),
            (t::RESCALE_TYPE, VR::LO, "HU"),
        ],
    );
    object
}

/// Identifiers of a slice.
pub(super) struct Identity<'a> {
    pub series: &'a str,
    pub instance: &'a str,
    /// For headers without one.
    pub study: &'a str,
    /// For headers without one.
    pub frame_of_reference: &'a str,
}

/// Puts what every written slice has, whatever its header came from.
pub(super) fn finish(object: &mut Object, identity: &Identity, [columns, rows]: [usize; 2], signed: bool) {
    for (tag, uid) in
        [(t::STUDY_INSTANCE_UID, identity.study), (t::FRAME_OF_REFERENCE_UID, identity.frame_of_reference)]
    {
        if text(object, tag).is_none() {
            put_texts(object, &[(tag, VR::UI, uid)]);
        }
    }
    let derivation = format!("Synthetic tumors were put into the image by {SOFTWARE}");
    put_texts(
        object,
        &[
            (t::SOP_CLASS_UID, VR::UI, CT_IMAGE),
            (t::SOP_INSTANCE_UID, VR::UI, identity.instance),
            (t::SERIES_INSTANCE_UID, VR::UI, identity.series),
            (t::MODALITY, VR::CS, "CT"),
            (t::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY\\AXIAL"),
            (t::SYNTHETIC_DATA, VR::CS, "YES"),
            (t::DERIVATION_DESCRIPTION, VR::ST, &derivation),
        ],
    );
    let interpretation = text(object, t::PHOTOMETRIC_INTERPRETATION).filter(|p| p == "MONOCHROME1");
    let interpretation = interpretation.unwrap_or_else(|| "MONOCHROME2".into());
    put_texts(object, &[(t::PHOTOMETRIC_INTERPRETATION, VR::CS, &interpretation)]);
    // Sides are limited to 13 bits.
    put_numbers(
        object,
        &[
            (t::SAMPLES_PER_PIXEL, 1),
            (t::ROWS, rows as u16),
            (t::COLUMNS, columns as u16),
            (t::BITS_ALLOCATED, 16),
            (t::BITS_STORED, 16),
            (t::HIGH_BIT, 15),
            (t::PIXEL_REPRESENTATION, u16::from(signed)),
        ],
    );
    for tag in [t::PIXEL_PADDING_VALUE, t::PIXEL_PADDING_RANGE_LIMIT] {
        retype(object, tag, signed);
    }
    let mut equipment =
        object.get(t::CONTRIBUTING_EQUIPMENT_SEQUENCE).and_then(|e| e.items()).map_or(vec![], <[_]>::to_vec);
    equipment.push(processing_equipment());
    put_items(object, t::CONTRIBUTING_EQUIPMENT_SEQUENCE, equipment);
    keep::complete(object, &keep::PATIENT_AND_STUDY);
    keep::complete(object, &keep::CT_IMAGE);
    if text(object, t::BODY_PART_EXAMINED).is_none() {
        // It may be a part that there are two of: then the side is wanted, even if unknown.
        keep::complete(object, &[(t::LATERALITY, VR::CS)]);
    }
}

/// A stored number has the sign that pixels have: sources in implicit VR do not say which.
fn retype(object: &mut Object, tag: dicom_core::Tag, signed: bool) {
    let Some(number) = object.get(tag).map(|e| e.to_int::<i64>()) else { return };
    match (number, signed) {
        (Ok(n), true) => drop(object.put(DataElement::new(tag, VR::SS, PrimitiveValue::from(n as i16)))),
        (Ok(n), false) => drop(object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(n as u16)))),
        (Err(_), _) => drop(object.remove_element(tag)),
    }
}

/// Puts the pixels.
pub(super) fn put_pixels(object: &mut Object, words: Vec<u16>) {
    object.put(DataElement::new(t::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words.into())));
}
