//! From a file or bytes to a checked [`NiftiImage`]. Nothing is allocated on a header's word: what it demands is
//! first compared with what the file has (or, compressed, can have).
use super::header::{BITPIX, DATATYPE, DIM, Layout, SCL_INTER, SCL_SLOPE, VOX_OFFSET};
use super::{Datatype, NiftiImage, Problem, Scaling, geometry, gzip, problem};
use crate::error::{Error, Result};
use crate::io::gzip::is_gzip;
use crate::volume::Grid;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Longest header plus the extension flag (NIfTI-2).
pub(super) const HEAD_BYTES: usize = 544;

/// Bytes after the voxels that are taken for padding. More means that the header announces less than there is.
pub(super) const MAX_PADDING_BYTES: usize = 4096;

/// How other formats that users mistake for NIfTI begin: offset, bytes, name.
const OTHER_FORMATS: [(usize, &[u8], &str); 8] = [
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (128, b"DICM", "a DICOM file"),
    (0, b"NRRD", "an NRRD image"),
    (0, b"ObjectType", "a MetaImage header"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "gzip inside gzip"),
    (0, b"\x93NUMPY", "a NumPy array"),
];

/// What a header says, checked in itself.
pub(super) struct Parsed {
    layout: Layout,
    datatype: Datatype,
    scaling: Option<Scaling>,
    grid: Grid,
    vox_offset: usize,
    /// Bytes up to the end of the voxels.
    pub total_bytes: usize,
}

impl NiftiImage {
    /// Reads a `.nii` or `.nii.gz` file; compression is told by the content.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened or read, [`Error::Format`] when it is not a NIfTI image of one real
    /// number a voxel in three dimensions, its header contradicts itself or its size, or it is truncated or damaged.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut file = File::open(path).map_err(Error::io(path, "read"))?;
        let meta = file.metadata().map_err(Error::io(path, "read"))?;
        if !meta.is_file() {
            let found = if meta.is_dir() { "a folder" } else { "a pipe or device" };
            return Err(problem("input", "a file", found, "give the path of a .nii or .nii.gz file").of(path));
        }
        let mut bytes = Vec::new();
        (&mut file).take(HEAD_BYTES as u64).read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
        if !is_gzip(&bytes) {
            let parsed = parse_header(&bytes, path).map_err(|p| p.of(path))?;
            require_length(parsed.total_bytes, meta.len()).map_err(|p| p.of(path))?;
        }
        // At most the file's own size from here on. `read_to_end` reserves by it.
        file.read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
        Self::from_bytes(bytes, path)
    }

    /// Reads an image from a file's bytes, compressed or not. `name` is used in messages.
    ///
    /// # Errors
    /// [`Error::Format`], as [`NiftiImage::read`].
    pub fn from_bytes(bytes: Vec<u8>, name: impl AsRef<Path>) -> Result<Self> {
        let path = name.as_ref();
        let inflate_or_keep = || {
            if is_gzip(&bytes) {
                return gzip::inflate(&bytes, |head| parse_header(head, path));
            }
            let parsed = parse_header(&bytes[..bytes.len().min(HEAD_BYTES)], path)?;
            require_length(parsed.total_bytes, bytes.len() as u64)?;
            Ok((parsed, bytes))
        };
        let (parsed, bytes) = inflate_or_keep().map_err(|p: Problem| p.of(path))?;
        let Parsed { layout, datatype, scaling, grid, vox_offset, .. } = parsed;
        Ok(Self { path: path.to_path_buf(), bytes, layout, datatype, scaling, grid, vox_offset })
    }
}

/// Compares what the header demands with the bytes of an uncompressed file.
pub(super) fn require_length(demanded: usize, found: u64) -> Result<(), Problem> {
    let expected = format!("{demanded} bytes");
    if found < demanded as u64 {
        let hint = "the file is cut off or its header is damaged; copy it again";
        return Err(problem("length", expected, format!("{found} bytes"), hint));
    }
    if found - demanded as u64 > MAX_PADDING_BYTES as u64 {
        return Err(problem("length", expected, format!("{found} bytes or more"), TOO_LONG_HINT));
    }
    Ok(())
}

pub(super) const TOO_LONG_HINT: &str =
    "the header announces fewer voxels than the file holds: check its dimensions and datatype";

/// Reads and checks everything that a header says about size, type, scaling and geometry. `head` is the file's start,
/// up to [`HEAD_BYTES`]; `path` is only for warnings.
pub(super) fn parse_header(head: &[u8], path: &Path) -> Result<Parsed, Problem> {
    let layout = Layout::detect(head).ok_or_else(|| not_nifti(head))?;
    let version = layout.version;
    if head.len() < version.min_vox_offset() {
        let expected = format!("at least {} bytes", version.min_vox_offset());
        let hint = "the file is cut off inside its header; copy it again";
        return Err(problem("header", expected, format!("{} bytes", head.len()), hint));
    }
    check_magic(head, layout)?;
    let datatype = Datatype::from_code(layout.int(head, &DATATYPE, 0)).map_err(|name| {
        let expected = "an integer or float type of 8 to 64 bits";
        problem("datatype", expected, name, "convert the image to int16 or float32")
    })?;
    let bitpix = layout.int(head, &BITPIX, 0);
    if bitpix != 8 * datatype.bytes() as i64 {
        tracing::warn!(
            "{}: bitpix is {bitpix} although the datatype is {datatype}; taking the datatype",
            path.display()
        );
    }
    let (shape, data_bytes) = read_shape(head, layout, datatype)?;
    let vox_offset = read_vox_offset(head, layout)?;
    let total_bytes = vox_offset
        .checked_add(data_bytes)
        .ok_or_else(|| problem("dim", "a size that fits in memory", format!("{shape:?}"), DIM_HINT))?;
    let grid = Grid { shape, affine: geometry::read_affine(layout, head, path)? };
    Ok(Parsed { layout, datatype, scaling: read_scaling(head, layout)?, grid, vox_offset, total_bytes })
}

const DIM_HINT: &str = "the header is damaged; export the image again";

fn not_nifti(head: &[u8]) -> Problem {
    let known =
        OTHER_FORMATS.iter().find(|(at, magic, _)| head.get(*at..).is_some_and(|b| b.starts_with(magic)));
    let found = match (known, head.get(..4)) {
        (Some((_, _, name)), _) => (*name).to_string(),
        (None, Some(first)) => format!("bytes {first:02x?}"),
        (None, None) => format!("{} bytes in all", head.len()),
    };
    let hint = "give a NIfTI image (.nii or .nii.gz), or for DICOM the folder of the series; if it is NIfTI, its header is damaged";
    problem("sizeof_hdr (the first four bytes)", "348 or 540", found, hint)
}

fn check_magic(head: &[u8], layout: Layout) -> Result<(), Problem> {
    let (at, magic) = layout.version.magic();
    let found = &head[at..at + magic.len()];
    if found == magic {
        return Ok(());
    }
    let hint = if found == layout.version.pair_magic() {
        "this is the header of a .hdr/.img pair: convert the pair to one .nii.gz file"
    } else if found.iter().all(|&b| b == 0) {
        "this looks like ANALYZE 7.5, which does not say left from right: convert it to .nii.gz"
    } else {
        "the header is damaged; copy the file again"
    };
    let escape = |bytes: &[u8]| format!("\"{}\"", bytes.escape_ascii());
    Err(problem("magic", escape(magic), escape(found), hint))
}

/// Sizes along x, y, z and the bytes of all voxels.
fn read_shape(head: &[u8], layout: Layout, datatype: Datatype) -> Result<([usize; 3], usize), Problem> {
    let rank = layout.int(head, &DIM, 0);
    if !(1..=7).contains(&rank) {
        return Err(problem("dim[0] (number of dimensions)", "1 to 7", rank, DIM_HINT));
    }
    let mut shape = [1_usize; 3];
    for axis in 1..=rank as usize {
        let size = layout.int(head, &DIM, axis);
        let what = format!("dim[{axis}]");
        if size < 1 {
            return Err(problem(what, "a size of at least 1", size, DIM_HINT));
        }
        match shape.get_mut(axis - 1) {
            Some(slot) => {
                *slot =
                    usize::try_from(size).map_err(|_| problem(what, "a size in memory", size, DIM_HINT))?
            }
            None if size > 1 => {
                let hint = "split the series and give one frame a file";
                return Err(problem(what, "1 (a single 3-D image)", size, hint));
            }
            None => {}
        }
    }
    // isize::MAX is Rust's limit for any allocation.
    let bytes = shape.iter().try_fold(datatype.bytes(), |n, &size| n.checked_mul(size));
    let bytes = bytes.filter(|&n| isize::try_from(n).is_ok());
    let bytes =
        bytes.ok_or_else(|| problem("dim", "a size that fits in memory", format!("{shape:?}"), DIM_HINT))?;
    Ok((shape, bytes))
}

fn read_vox_offset(head: &[u8], layout: Layout) -> Result<usize, Problem> {
    let offset = layout.float(head, &VOX_OFFSET, 0);
    let least = layout.version.min_vox_offset();
    // 2^53: beyond it f64 skips integers; no file has such a header.
    if !(offset >= least as f64 && offset < 9.0e15 && offset.fract() == 0.0) {
        return Err(problem("vox_offset", format!("an integer of at least {least}"), offset, DIM_HINT));
    }
    usize::try_from(offset as u64)
        .map_err(|_| problem("vox_offset", "an offset that fits in memory", offset, DIM_HINT))
}

/// Slope 0 means "not scaled" in the standard; a slope that is not finite is what several tools write for the same.
fn read_scaling(head: &[u8], layout: Layout) -> Result<Option<Scaling>, Problem> {
    let scaling =
        Scaling { slope: layout.float(head, &SCL_SLOPE, 0), inter: layout.float(head, &SCL_INTER, 0) };
    if !scaling.slope.is_finite() || scaling.slope == 0.0 {
        return Ok(None);
    }
    if !scaling.inter.is_finite() {
        let hint = "correct scl_inter (the value that a stored 0 stands for)";
        return Err(problem("scl_inter", "a finite number", scaling.inter, hint));
    }
    Ok((scaling != Scaling { slope: 1.0, inter: 0.0 }).then_some(scaling))
}
