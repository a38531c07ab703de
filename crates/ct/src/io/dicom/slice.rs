//! Everything that a slice's header must say.
use super::{MAX_SIDE_VOX, Problem, file_name, problem, tags};
use dicom_object::DefaultDicomObject;
use std::path::{Path, PathBuf};

/// Largest deviation of direction cosines from unit length and from a right angle: 0.06 degrees, far above any rounding.
const MAX_COSINE_ERROR: f64 = 1e-3;

/// How pixels are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    Rle,
    JpegLossless,
    Jpeg2000,
}

/// Transfer syntaxes that can be read (PS3.6, table A-1).
const CODINGS: [(&str, Coding); 9] = [
    ("1.2.840.10008.1.2", Coding::Plain),      // implicit
    ("1.2.840.10008.1.2.1", Coding::Plain),    // explicit
    ("1.2.840.10008.1.2.1.99", Coding::Plain), // the whole data set deflated
    (super::lengths::BIG_ENDIAN, Coding::Plain),
    ("1.2.840.10008.1.2.5", Coding::Rle),
    ("1.2.840.10008.1.2.4.57", Coding::JpegLossless),
    ("1.2.840.10008.1.2.4.70", Coding::JpegLossless), // first-order prediction
    ("1.2.840.10008.1.2.4.90", Coding::Jpeg2000),     // lossless
    ("1.2.840.10008.1.2.4.91", Coding::Jpeg2000),
];

/// Which bits of a stored number are the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bits {
    /// 8 or 16.
    pub allocated: usize,
    pub stored: usize,
    /// The value's highest bit.
    pub high: usize,
    /// Two's complement.
    pub signed: bool,
}

/// A slice without its pixels.
#[derive(Debug, Clone)]
pub(super) struct Slice {
    pub file: PathBuf,
    pub instance_uid: String,
    pub coding: Coding,
    pub columns: usize,
    pub rows: usize,
    pub bits: Bits,
    /// HU = stored · slope + intercept.
    pub slope: f64,
    pub intercept: f64,
    /// Centre of the first pixel, LPS+ mm.
    pub position_mm: [f64; 3],
    /// Direction of growing column index, and of growing row index; LPS+, length 1.
    pub directions: [[f64; 3]; 2],
    /// Distance of neighbours in a row, and in a column. (PixelSpacing has them the other way around.)
    pub spacing_mm: [f64; 2],
    /// What the header says of the gantry, which is not what is measured.
    pub tilt_degrees: Option<f64>,
    /// For messages.
    pub image_type: String,
    acquisition: Option<String>,
}

impl Slice {
    /// " (acquisition N)", or nothing.
    pub fn acquisition(&self) -> String {
        self.acquisition.as_ref().map(|n| format!(" (acquisition {n})")).unwrap_or_default()
    }

    /// File and type of image, for messages about slices that differ.
    pub fn shown(&self) -> String {
        format!("{} ({})", file_name(&self.file), self.image_type)
    }

    /// Direction in which slices follow each other: row × column direction.
    pub fn normal(&self) -> [f64; 3] {
        let [a, b] = self.directions;
        std::array::from_fn(|i| {
            let (j, k) = ((i + 1) % 3, (i + 2) % 3);
            a[j] * b[k] - a[k] * b[j]
        })
    }
}

/// How pixels of a transfer syntax are read.
pub(super) fn coding(syntax: &str) -> Result<Coding, Problem> {
    CODINGS.iter().find(|row| row.0 == syntax).map(|row| row.1).ok_or_else(|| {
        let expected =
            "uncompressed or deflated pixels, RLE, JPEG lossless (.4.57, .4.70) or JPEG 2000 (.4.90, .4.91)";
        let hint = "decompress the series first, for instance with gdcmconv --raw or dcmdjpls";
        problem("transfer syntax", expected, syntax, hint)
    })
}

/// The header of a slice.
pub(super) fn of(file: &Path, object: &DefaultDicomObject, syntax: &str) -> Result<Slice, Problem> {
    let [columns, rows] = [side(object, tags::COLUMNS)?, side(object, tags::ROWS)?];
    let [row_distance, column_distance] =
        number(object, tags::PIXEL_SPACING, "two distances in mm", GEOMETRY)?;
    if !(row_distance > 0.0 && column_distance > 0.0) {
        let found = format!("{row_distance} and {column_distance}");
        return Err(problem(tags::PIXEL_SPACING.1, "two distances above 0 mm", found, GEOMETRY));
    }
    let position_mm = number(object, tags::IMAGE_POSITION_PATIENT, "a place in mm", GEOMETRY)?;
    let (slope, intercept) = rescale(object)?;
    let text = |tag| tags::text(object, tag);
    Ok(Slice {
        file: file.to_path_buf(),
        instance_uid: text(tags::SOP_INSTANCE_UID).unwrap_or_default(),
        coding: coding(syntax)?,
        columns,
        rows,
        bits: bits(object)?,
        slope,
        intercept,
        position_mm,
        directions: directions(object)?,
        spacing_mm: [column_distance, row_distance],
        tilt_degrees: tags::numbers(object, tags::GANTRY_DETECTOR_TILT).ok().map(|[degrees]| degrees),
        image_type: text(tags::IMAGE_TYPE).unwrap_or_else(|| "no type".into()),
        acquisition: text(tags::ACQUISITION_NUMBER),
    })
}

const GEOMETRY: &str =
    "without it nobody can tell where the slice lies: export the series again from its source";
const DAMAGED: &str = "export the series again";

fn number<const N: usize>(
    object: &DefaultDicomObject,
    tag: tags::Named,
    expected: &str,
    hint: &str,
) -> Result<[f64; N], Problem> {
    tags::numbers(object, tag).map_err(|found| problem(tag.1, expected, found, hint))
}

fn side(object: &DefaultDicomObject, tag: tags::Named) -> Result<usize, Problem> {
    let expected = format!("1 to {MAX_SIDE_VOX} pixels");
    match tags::whole(object, tag) {
        Ok(side) if (1..=MAX_SIDE_VOX).contains(&side) => Ok(side),
        Ok(side) => Err(problem(tag.1, expected, side, DAMAGED)),
        Err(found) => Err(problem(tag.1, expected, found, DAMAGED)),
    }
}

fn directions(object: &DefaultDicomObject) -> Result<[[f64; 3]; 2], Problem> {
    let tag = tags::IMAGE_ORIENTATION_PATIENT;
    let [a, b, c, d, e, f] = number(object, tag, "six direction cosines", GEOMETRY)?;
    let [row, column] = [[a, b, c], [d, e, f]];
    let length = |v: [f64; 3]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let along: f64 = (0..3).map(|i| row[i] * column[i]).sum();
    let errors = [length(row) - 1.0, length(column) - 1.0, along];
    if errors.iter().any(|e| e.abs() > MAX_COSINE_ERROR) {
        let expected = "two directions of length 1 at a right angle";
        return Err(problem(tag.1, expected, format!("{row:?} and {column:?}"), GEOMETRY));
    }
    Ok([row, column].map(|v| v.map(|x| x / length(v))))
}

fn bits(object: &DefaultDicomObject) -> Result<Bits, Problem> {
    let whole = |tag: tags::Named, expected: &str| {
        tags::whole(object, tag).map_err(|found| problem(tag.1, expected, found, DAMAGED))
    };
    let samples = tags::whole(object, tags::SAMPLES_PER_PIXEL).unwrap_or(1);
    if samples != 1 {
        let hint = "this is a colour picture and no CT slice: leave it out";
        return Err(problem(tags::SAMPLES_PER_PIXEL.1, "1", samples, hint));
    }
    let allocated = whole(tags::BITS_ALLOCATED, "8 or 16")?;
    if ![8, 16].contains(&allocated) {
        return Err(problem(tags::BITS_ALLOCATED.1, "8 or 16", allocated, "export the series with 16 bits"));
    }
    let stored = whole(tags::BITS_STORED, "1 to the bits allocated")?;
    let high = tags::whole(object, tags::HIGH_BIT).unwrap_or(stored.wrapping_sub(1));
    if !(1..=allocated).contains(&stored) || high + 1 < stored || high >= allocated {
        let what = "BitsStored (0028,0101) and HighBit (0028,0102)";
        let expected = format!("a value inside of the {allocated} bits allocated");
        return Err(problem(what, expected, format!("{stored} bits up to bit {high}"), DAMAGED));
    }
    match whole(tags::PIXEL_REPRESENTATION, "0 or 1")? {
        sign @ (0 | 1) => Ok(Bits { allocated, stored, high, signed: sign == 1 }),
        other => Err(problem(tags::PIXEL_REPRESENTATION.1, "0 or 1", other, DAMAGED)),
    }
}

/// Slope and intercept to HU. There is no default: a CT that lacks them is one that somebody has converted.
fn rescale(object: &DefaultDicomObject) -> Result<(f64, f64), Problem> {
    let hint = "without it stored numbers are no HU: export the series again from its source, or set it (slope 1 and intercept 0 if the numbers are HU)";
    let [slope] = number(object, tags::RESCALE_SLOPE, "a number", hint)?;
    let [intercept] = number(object, tags::RESCALE_INTERCEPT, "a number", hint)?;
    if slope == 0.0 {
        return Err(problem(tags::RESCALE_SLOPE.1, "a number other than 0", slope, hint));
    }
    match tags::text(object, tags::RESCALE_TYPE) {
        // US: not said. HU_MOD: HU after a correction.
        Some(unit) if !["HU", "HU_MOD", "US"].contains(&unit.as_str()) => {
            let hint =
                "this series is no CT in Hounsfield units (a map of a dual-energy scan?): name another";
            Err(problem(tags::RESCALE_TYPE.1, "HU", unit, hint))
        }
        _ => Ok((slope, intercept)),
    }
}
