//! Small DICOM series, written by the DICOM library's own writer.
use dicom_core::value::{PixelFragmentSequence, PrimitiveValue, Value};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use std::path::{Path, PathBuf};

pub const CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
pub const IMPLICIT: &str = "1.2.840.10008.1.2";
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
pub const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
pub const RLE: &str = "1.2.840.10008.1.2.5";
pub const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.70";
pub const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";
pub const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";

pub const COLUMNS: usize = 7;
pub const ROWS: usize = 5;

/// One file.
#[derive(Debug, Clone)]
pub struct File {
    pub name: String,
    pub syntax: &'static str,
    pub series: String,
    pub instance: String,
    pub position_mm: [f64; 3],
    /// Stored numbers, as they are allocated.
    pub stored: Vec<u16>,
    /// A compressed frame in place of `stored`.
    pub frame: Option<Vec<u8>>,
    /// Elements in text, that replace what a good file has; an empty text removes them.
    pub texts: Vec<(Tag, VR, String)>,
    /// The same of 16-bit numbers.
    pub numbers: Vec<(Tag, u16)>,
}

/// What a series stores at column x and row y of slice z.
pub fn stored(x: usize, y: usize, z: usize) -> i16 {
    let [x, y, z] = [x, y, z].map(|v| v as i16);
    -1000 + 150 * x - 37 * y * y + 11 * x * y * y + 100 * z
}

/// An even stack of axial slices, 0.5 × 0.75 × 2.5 mm, named in another order than they lie.
pub fn stack(slices: usize) -> Vec<File> {
    let file = |z: usize| File {
        name: format!("{:03}.dcm", (z * 11 + 1) % slices),
        syntax: EXPLICIT,
        series: "1.2.3".into(),
        instance: format!("1.2.3.{}", (z * 13 + 2) % slices),
        position_mm: [-100.0, -90.5, -40.0 + 2.5 * z as f64],
        stored: pixels(|x, y| stored(x, y, z)),
        frame: None,
        texts: vec![],
        numbers: vec![],
    };
    (0..slices).map(file).collect()
}

/// Numbers row by row.
pub fn pixels(value: impl Fn(usize, usize) -> i16) -> Vec<u16> {
    (0..COLUMNS * ROWS).map(|i| value(i % COLUMNS, i / COLUMNS) as u16).collect()
}

impl File {
    pub fn text(mut self, tag: Tag, vr: VR, text: &str) -> Self {
        self.texts.push((tag, vr, text.into()));
        self
    }

    pub fn number(mut self, tag: Tag, number: u16) -> Self {
        self.numbers.push((tag, number));
        self
    }

    pub fn orientation(self, text: &str) -> Self {
        self.text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, text)
    }

    pub fn write(&self, folder: &Path) -> PathBuf {
        let mut object = InMemDicomObject::new_empty();
        let [x, y, z] = self.position_mm;
        let texts = [
            (tags::SOP_CLASS_UID, VR::UI, CT_IMAGE.to_string()),
            (tags::SOP_INSTANCE_UID, VR::UI, self.instance.clone()),
            (tags::SERIES_INSTANCE_UID, VR::UI, self.series.clone()),
            (tags::MODALITY, VR::CS, "CT".into()),
            (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL".into()),
            (tags::SERIES_DESCRIPTION, VR::LO, "Abdomen".into()),
            (tags::SLICE_THICKNESS, VR::DS, "3".into()),
            (tags::IMAGE_POSITION_PATIENT, VR::DS, format!("{x}\\{y}\\{z}")),
            (tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0".into()),
            (tags::PIXEL_SPACING, VR::DS, "0.75\\0.5".into()),
            (tags::RESCALE_INTERCEPT, VR::DS, "-24".into()),
            (tags::RESCALE_SLOPE, VR::DS, "1".into()),
            (tags::RESCALE_TYPE, VR::LO, "HU".into()),
            // What nobody knows.
            (Tag(0x0009, 0x0010), VR::LO, "SOME COMPANY".into()),
            (Tag(0x0009, 0x1001), VR::UN, "x\\y^\u{1}".into()),
        ];
        for (tag, vr, text) in texts.iter().chain(&self.texts) {
            match text.is_empty() {
                true => drop(object.remove_element(*tag)),
                false => drop(object.put(DataElement::new(*tag, *vr, PrimitiveValue::from(text.as_str())))),
            }
        }
        let numbers = [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::ROWS, ROWS as u16),
            (tags::COLUMNS, COLUMNS as u16),
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, 16),
            (tags::HIGH_BIT, 15),
            (tags::PIXEL_REPRESENTATION, 1),
        ];
        for (tag, number) in numbers.iter().chain(&self.numbers) {
            object.put(DataElement::new(*tag, VR::US, PrimitiveValue::from(*number)));
        }
        let value = match &self.frame {
            Some(frame) => Value::PixelSequence(PixelFragmentSequence::new_fragments(vec![frame.clone()])),
            None => Value::Primitive(PrimitiveValue::U16(self.stored.clone().into())),
        };
        let vr = if self.frame.is_some() { VR::OB } else { VR::OW };
        object.put(DataElement::new(tags::PIXEL_DATA, vr, value));
        let meta = FileMetaTableBuilder::new().transfer_syntax(self.syntax);
        let path = folder.join(&self.name);
        object.with_meta(meta).unwrap().write_to_file(&path).unwrap();
        path
    }
}

/// Writes a series into a fresh folder.
pub fn folder(files: &[File]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|file| drop(file.write(dir.path())));
    dir
}
