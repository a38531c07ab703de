//! Elements of data sets, by what goes into them.
use super::uid::SOFTWARE;
use crate::io::terms::{Code, SCHEME};
use dicom_core::header::Length;
use dicom_core::value::{DataSetSequence, PrimitiveValue, Value};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

/// A data set, or an item of a sequence.
pub(super) type Object = InMemDicomObject;

/// Longest decimal string (PS3.5, 6.2, DS).
const DS_CHARS: usize = 16;

/// Longest text of a name or description (LO).
const LO_CHARS: usize = 64;

/// Puts texts; several values are joined by `\`.
pub(super) fn put_texts(object: &mut Object, rows: &[(Tag, VR, &str)]) {
    for (tag, vr, text) in rows {
        object.put(DataElement::new(*tag, *vr, PrimitiveValue::from(*text)));
    }
}

/// Puts 16-bit numbers without sign.
pub(super) fn put_numbers(object: &mut Object, rows: &[(Tag, u16)]) {
    for (tag, number) in rows {
        object.put(DataElement::new(*tag, VR::US, PrimitiveValue::from(*number)));
    }
}

/// Puts a sequence.
pub(super) fn put_items(object: &mut Object, tag: Tag, items: Vec<Object>) {
    let items = DataSetSequence::new(items, Length::UNDEFINED);
    object.put(DataElement::new(tag, VR::SQ, Value::from(items)));
}

/// An item that holds texts.
pub(super) fn item(rows: &[(Tag, VR, &str)]) -> Object {
    let mut object = Object::new_empty();
    put_texts(&mut object, rows);
    object
}

/// An item that names a concept.
fn concept(value: &str, scheme: &str, meaning: &str) -> Object {
    item(&[
        (tags::CODE_VALUE, VR::SH, value),
        (tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme),
        (tags::CODE_MEANING, VR::LO, meaning),
    ])
}

/// A concept of DICOM itself (PS3.16, annex D).
pub(super) fn dicom_code(value: &str, meaning: &str) -> Object {
    concept(value, "DCM", meaning)
}

/// A concept of SNOMED CT.
pub(super) fn snomed_code(code: Code) -> Object {
    concept(code.value, SCHEME, code.meaning)
}

/// The image that something was made from, pixel for pixel.
pub(super) fn source_image(class: &str, instance: &str) -> Object {
    let mut object = item(&[
        (tags::REFERENCED_SOP_CLASS_UID, VR::UI, class),
        (tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance),
        (tags::SPATIAL_LOCATIONS_PRESERVED, VR::CS, "YES"),
    ]);
    let purpose = dicom_code("121322", "Source image for image processing operation");
    put_items(&mut object, tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, vec![purpose]);
    object
}

/// This program as one that had a part in an image.
pub(super) fn processing_equipment() -> Object {
    let mut object = item(&[
        (tags::MANUFACTURER, VR::LO, "difftumor"),
        (tags::MANUFACTURER_MODEL_NAME, VR::LO, "difftumor"),
        (tags::SOFTWARE_VERSIONS, VR::LO, SOFTWARE),
    ]);
    let purpose = dicom_code("109102", "Processing Equipment");
    put_items(&mut object, tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, vec![purpose]);
    object
}

/// A text without padding; several values stay joined by `\`. `None` when it is missing or empty.
pub(super) fn text(object: &Object, tag: Tag) -> Option<String> {
    let value = object.get(tag)?.to_str().ok()?;
    let value = value.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!value.is_empty()).then(|| value.to_string())
}

/// A short text without what has a meaning in DICOM.
pub(super) fn short(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() || c == '\\' { ' ' } else { c }).collect();
    clean.trim().chars().take(LO_CHARS).collect::<String>().trim().to_string()
}

/// Numbers as decimal strings, joined by `\`.
pub(super) fn decimals(values: &[f64]) -> String {
    values.iter().map(|v| decimal(*v)).collect::<Vec<_>>().join("\\")
}

/// The number in at most 16 characters: as it is if that is possible, otherwise with as many digits as there is room for.
pub(super) fn decimal(value: f64) -> String {
    let fits = |text: &String| text.len() <= DS_CHARS;
    // `+ 0.0`: no negative zero.
    let value = value + 0.0;
    Some(format!("{value}")).filter(fits).unwrap_or_else(|| {
        let plain = (0..DS_CHARS).rev().map(|digits| format!("{value:.digits$}")).find(fits);
        let small = value.abs() < 1e-3;
        let powers = || (0..DS_CHARS).rev().map(|digits| format!("{value:.digits$e}")).find(fits);
        // Every finite number has a form as a power of ten that fits: -1e-308 has seven characters.
        plain.filter(|_| !small).or_else(powers).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_at_most_16_characters() {
        for (value, text) in [
            (0.75, "0.75"),
            (-0.0, "0"),
            (-0.123_456_789_012_345_67, "-0.1234567890123"),
            (0.699_999_988_079_071, "0.69999998807907"),
            (-1_024.000_976_562_5, "-1024.0009765625"),
            (1e-20 / 3.0, "3.3333333333e-21"),
            (1e300, "1e300"),
        ] {
            let found = decimal(value);
            assert!(found.len() <= 16 && (found == text || value == 1e300), "{found}");
            assert!((found.parse::<f64>().unwrap() - value).abs() <= 1e-10 * value.abs(), "{found}");
        }
    }

    #[test]
    fn short_texts_are_clean() {
        assert_eq!(short(" a\\b\nc "), "a b c");
        assert_eq!(short(&"x".repeat(99)).len(), 64);
    }
}
