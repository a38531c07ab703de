//! What of a source's header still holds for an image that was made from it.
//!
//! Everything that is not named here is left out: among it private elements, overlays, icons, signatures, histories of the pixels, and what
//! the hospital's systems note about the examination as a procedure.
use super::elements::{Object, put_items, put_texts, text};
use dicom_core::header::Header;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags as t;
use dicom_object::mem::InMemElement;

/// Groups of the patient, of clinical trials, and of the acquisition.
const GROUPS: [u16; 3] = [0x0010, 0x0012, 0x0018];

/// Of the study, its people and places, the frame of reference: what a segmentation has too.
const STUDY: [Tag; 18] = [
    t::STUDY_DATE,
    t::STUDY_TIME,
    t::ACCESSION_NUMBER,
    t::REFERRING_PHYSICIAN_NAME,
    t::STUDY_DESCRIPTION,
    t::PROCEDURE_CODE_SEQUENCE,
    t::PHYSICIANS_OF_RECORD,
    t::NAME_OF_PHYSICIANS_READING_STUDY,
    t::ADMITTING_DIAGNOSES_DESCRIPTION,
    t::TIMEZONE_OFFSET_FROM_UTC,
    t::SYNTHETIC_DATA,
    t::STUDY_INSTANCE_UID,
    t::STUDY_ID,
    t::FRAME_OF_REFERENCE_UID,
    t::POSITION_REFERENCE_INDICATOR,
    t::LOSSY_IMAGE_COMPRESSION,
    t::LOSSY_IMAGE_COMPRESSION_RATIO,
    t::LOSSY_IMAGE_COMPRESSION_METHOD,
];

/// Of the image.
const IMAGE: [Tag; 31] = [
    t::ACQUISITION_DATE,
    t::ACQUISITION_TIME,
    t::ACQUISITION_DATE_TIME,
    t::CONTENT_DATE,
    t::CONTENT_TIME,
    t::MANUFACTURER,
    t::MANUFACTURER_MODEL_NAME,
    t::INSTITUTION_NAME,
    t::INSTITUTION_ADDRESS,
    t::INSTITUTIONAL_DEPARTMENT_NAME,
    t::STATION_NAME,
    t::ANATOMIC_REGION_SEQUENCE,
    t::IRRADIATION_EVENT_UID,
    t::INSTANCE_NUMBER,
    t::ACQUISITION_NUMBER,
    t::IMAGE_POSITION_PATIENT,
    t::IMAGE_ORIENTATION_PATIENT,
    t::SLICE_LOCATION,
    t::LATERALITY,
    t::PHOTOMETRIC_INTERPRETATION,
    t::PIXEL_SPACING,
    t::PIXEL_PADDING_VALUE,
    t::PIXEL_PADDING_RANGE_LIMIT,
    t::WINDOW_CENTER,
    t::WINDOW_WIDTH,
    t::WINDOW_CENTER_WIDTH_EXPLANATION,
    t::RESCALE_INTERCEPT,
    t::RESCALE_SLOPE,
    t::RESCALE_TYPE,
    t::BURNED_IN_ANNOTATION,
    t::RECOGNIZABLE_VISUAL_FEATURES,
];

/// What an image made from `source` has of its header.
pub(super) fn of_image(source: &Object) -> Object {
    kept(source, |tag| GROUPS.contains(&tag.group()) || STUDY.contains(&tag) || IMAGE.contains(&tag))
}

/// What any object of the same study has of it.
pub(super) fn of_study(source: &Object) -> Object {
    kept(source, |tag| GROUPS[..2].contains(&tag.group()) || STUDY.contains(&tag))
}

/// Texts are written in UTF-8, whatever they were in.
fn kept(source: &Object, keep: impl Fn(Tag) -> bool) -> Object {
    let mut object = Object::new_empty();
    // Element 0 of a group is its length, in the old encoding.
    let keep = |tag: Tag| tag.element() != 0 && keep(tag);
    source.iter().filter(|e| keep(e.tag())).for_each(|e| copy(e, &mut object));
    object.convert_to_utf8();
    object
}

/// Copies an element; a sequence without private elements in it, and without the lengths that it had in its old encoding.
fn copy(element: &InMemElement, into: &mut Object) {
    let Some(items) = element.items() else {
        // A sequence that is written as something unknown cannot be told apart from other unknown bytes.
        if !matches!(element.vr(), VR::UN | VR::SQ) {
            into.put(element.clone());
        }
        return;
    };
    let item = |item: &Object| {
        let mut object = Object::new_empty();
        item.iter().filter(|e| e.tag().group() % 2 == 0).for_each(|e| copy(e, &mut object));
        object
    };
    put_items(into, element.tag(), items.iter().map(item).collect());
}

/// Puts empty values where the standard wants an element and nothing is known (type 2).
pub(super) fn complete(object: &mut Object, wanted: &[(Tag, VR)]) {
    for (tag, vr) in wanted {
        if text(object, *tag).is_none() {
            put_texts(object, &[(*tag, *vr, "")]);
        }
    }
}

/// Type 2 of patient and study (PS3.3, C.7.1.1, C.7.2.1, C.7.4.1).
pub(super) const PATIENT_AND_STUDY: [(Tag, VR); 10] = [
    (t::PATIENT_NAME, VR::PN),
    (t::PATIENT_ID, VR::LO),
    (t::PATIENT_BIRTH_DATE, VR::DA),
    (t::PATIENT_SEX, VR::CS),
    (t::STUDY_DATE, VR::DA),
    (t::STUDY_TIME, VR::TM),
    (t::REFERRING_PHYSICIAN_NAME, VR::PN),
    (t::STUDY_ID, VR::SH),
    (t::ACCESSION_NUMBER, VR::SH),
    (t::POSITION_REFERENCE_INDICATOR, VR::LO),
];

/// Type 2 of a CT image (PS3.3, A.3.3 and the modules it names).
pub(super) const CT_IMAGE: [(Tag, VR); 5] = [
    (t::MANUFACTURER, VR::LO),
    (t::PATIENT_POSITION, VR::CS),
    (t::ACQUISITION_NUMBER, VR::IS),
    (t::KVP, VR::DS),
    (t::SLICE_THICKNESS, VR::DS),
];
