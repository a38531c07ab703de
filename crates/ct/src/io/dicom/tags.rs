//! Values of elements, by what they are and not by how they are stored.
use dicom_dictionary_std::tags as t;
use dicom_object::{DefaultDicomObject, Tag};

/// The attributes that are read, and what messages call them.
pub(super) type Named = (Tag, &'static str);
macro_rules! named {
    ($($name:ident, $text:literal;)*) => { $(pub(super) const $name: Named = (t::$name, $text);)* };
}
named! {
    SOP_INSTANCE_UID, "SOPInstanceUID (0008,0018)";
    SERIES_INSTANCE_UID, "SeriesInstanceUID (0020,000E)";
    MODALITY, "Modality (0008,0060)";
    IMAGE_TYPE, "ImageType (0008,0008)";
    SERIES_DESCRIPTION, "SeriesDescription (0008,103E)";
    SLICE_THICKNESS, "SliceThickness (0018,0050)";
    GANTRY_DETECTOR_TILT, "GantryDetectorTilt (0018,1120)";
    ACQUISITION_NUMBER, "AcquisitionNumber (0020,0012)";
    IMAGE_POSITION_PATIENT, "ImagePositionPatient (0020,0032)";
    IMAGE_ORIENTATION_PATIENT, "ImageOrientationPatient (0020,0037)";
    SAMPLES_PER_PIXEL, "SamplesPerPixel (0028,0002)";
    NUMBER_OF_FRAMES, "NumberOfFrames (0028,0008)";
    ROWS, "Rows (0028,0010)";
    COLUMNS, "Columns (0028,0011)";
    PIXEL_SPACING, "PixelSpacing (0028,0030)";
    BITS_ALLOCATED, "BitsAllocated (0028,0100)";
    BITS_STORED, "BitsStored (0028,0101)";
    HIGH_BIT, "HighBit (0028,0102)";
    PIXEL_REPRESENTATION, "PixelRepresentation (0028,0103)";
    RESCALE_INTERCEPT, "RescaleIntercept (0028,1052)";
    RESCALE_SLOPE, "RescaleSlope (0028,1053)";
    RESCALE_TYPE, "RescaleType (0028,1054)";
    PIXEL_DATA, "PixelData (7FE0,0010)";
}

/// A text without padding; several values stay joined by `\`. `None` when it is missing or empty.
pub(super) fn text(object: &DefaultDicomObject, tag: Named) -> Option<String> {
    let value = object.get(tag.0)?.to_str().ok()?;
    let value = value.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!value.is_empty()).then(|| value.to_string())
}

/// Exactly `N` finite numbers, or what is there instead.
pub(super) fn numbers<const N: usize>(object: &DefaultDicomObject, tag: Named) -> Result<[f64; N], String> {
    let element = object.get(tag.0).ok_or("none")?;
    let values = element.to_multi_float64().ok().filter(|v| v.iter().all(|v| v.is_finite()));
    values.and_then(|v| v.try_into().ok()).ok_or_else(|| {
        let shown = text(object, tag).unwrap_or_default();
        if shown.is_empty() { "an empty value".into() } else { format!("'{shown}'") }
    })
}

/// One whole number that is not negative, or what is there instead.
pub(super) fn whole(object: &DefaultDicomObject, tag: Named) -> Result<usize, String> {
    let [value] = numbers(object, tag)?;
    let fits = value >= 0.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0;
    fits.then_some(value as usize).ok_or_else(|| format!("{value}"))
}
