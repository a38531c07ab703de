//! A DICOM file as the parser's object, and what kind of thing it is.
use super::lengths::{self, Meta};
use super::slice::{self, Slice};
use super::{MAX_FILE_BYTES, Problem, problem, tags};
use crate::error::{Error, Result};
use dicom_object::file::ReadPreamble;
use dicom_object::{DefaultDicomObject, OpenFileOptions};
use std::path::{Path, PathBuf};

/// Object classes (PS3.6, table A-1).
const DIRECTORY: &str = "1.2.840.10008.1.3.10";
const CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
const MULTI_FRAME_CT: [&str; 2] = ["1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"];

/// What an object is to a series of CT slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// One slice.
    Slice,
    /// A projection that the scan was planned on.
    Localizer,
    /// Many slices in one file.
    MultiFrame,
    /// An image without a place, such as a dose report.
    NoPlace,
    /// Of another modality.
    OtherModality,
}

/// A DICOM file without its pixels.
pub(super) struct Found {
    pub file: PathBuf,
    pub kind: Kind,
    pub modality: String,
    pub series_uid: String,
    /// For lists of series.
    pub description: String,
    pub thickness_mm: Option<f64>,
    /// The file as a slice, or why it is none. Of interest only where it should be one.
    pub slice: Result<Slice, Problem>,
}

/// Reads a file up to its pixels; `None` when it is a directory of other files (DICOMDIR).
pub(super) fn read_header(file: &Path) -> Result<Option<Found>> {
    let bytes = bytes(file)?;
    let of = |p: Problem| p.of(file);
    let meta = lengths::check(&bytes).map_err(of)?;
    if meta.class == DIRECTORY {
        return Ok(None);
    }
    let until = OpenFileOptions::new().read_until(tags::PIXEL_DATA.0);
    let object = parse(&bytes, &meta, until).map_err(of)?;
    let text = |tag| tags::text(&object, tag);
    Ok(Some(Found {
        file: file.to_path_buf(),
        kind: kind(&object, &meta),
        modality: text(tags::MODALITY).unwrap_or_else(|| "none".into()),
        series_uid: text(tags::SERIES_INSTANCE_UID).unwrap_or_else(|| "none".into()),
        description: text(tags::SERIES_DESCRIPTION).unwrap_or_default(),
        thickness_mm: tags::numbers(&object, tags::SLICE_THICKNESS).ok().map(|[mm]| mm),
        slice: slice::of(file, &object, &meta.syntax),
    }))
}

/// Reads a file up to and with its pixels.
pub(super) fn read_pixels(file: &Path) -> Result<DefaultDicomObject> {
    let bytes = bytes(file)?;
    let to = OpenFileOptions::new().read_to(tags::PIXEL_DATA.0);
    lengths::check(&bytes).and_then(|meta| parse(&bytes, &meta, to)).map_err(|p| p.of(file))
}

fn bytes(file: &Path) -> Result<Vec<u8>> {
    let size = std::fs::metadata(file).map_err(Error::io(file, "read"))?.len();
    if size > MAX_FILE_BYTES {
        let hint =
            "it may be a multi-frame image, which cannot be read yet: export the series as single slices";
        let expected = format!("at most {MAX_FILE_BYTES} bytes, as a slice has");
        return Err(problem("size of the file", expected, format!("{size} bytes"), hint).of(file));
    }
    std::fs::read(file).map_err(Error::io(file, "read"))
}

fn parse(bytes: &[u8], meta: &Meta, options: OpenFileOptions) -> Result<DefaultDicomObject, Problem> {
    options.read_preamble(ReadPreamble::Always).from_reader(bytes).map_err(|error| {
        if let Err(problem) = slice::coding(&meta.syntax) {
            return problem;
        }
        let mut found = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            found = format!("{found}: {cause}");
            source = cause.source();
        }
        problem("data set", "DICOM elements", found, "the file is damaged; copy or export it again")
    })
}

fn kind(object: &DefaultDicomObject, meta: &Meta) -> Kind {
    let is_ct = tags::text(object, tags::MODALITY).as_deref() == Some("CT");
    let localizer =
        tags::text(object, tags::IMAGE_TYPE).is_some_and(|t| t.split('\\').any(|v| v == "LOCALIZER"));
    let frames = tags::whole(object, tags::NUMBER_OF_FRAMES).unwrap_or(1);
    let placed = object.get(tags::IMAGE_POSITION_PATIENT.0).is_some();
    match () {
        _ if MULTI_FRAME_CT.contains(&meta.class.as_str()) || is_ct && frames > 1 => Kind::MultiFrame,
        _ if !is_ct => Kind::OtherModality,
        _ if localizer => Kind::Localizer,
        // Some programs write slices as secondary captures; a CT image without a place is an error and not to be left out.
        _ if placed || meta.class == CT_IMAGE => Kind::Slice,
        _ => Kind::NoPlace,
    }
}
