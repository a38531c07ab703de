//! What a header says of size and storage, checked in itself and before anything is allocated on its word.
use super::fields::Fields;
use super::types;
use crate::io::nifti::Datatype;
use crate::io::problem::{Problem, problem};

/// How samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Raw,
    Gzip,
}

/// Size and storage.
#[derive(Debug)]
pub(super) struct Header {
    pub datatype: Datatype,
    pub big_endian: bool,
    pub encoding: Encoding,
    /// Numbers a voxel: 1, or in a segmentation its layers. They lie next to each other.
    pub layers: usize,
    /// Voxels along the three axes of space, the fastest first.
    pub shape: [usize; 3],
    /// Bytes of all samples.
    pub data_bytes: usize,
}

const EXPORT: &str = "export the image again, as one volume with one number a voxel";

/// Kinds of axes that lie in space ("kinds"), and what stands for "not said".
const SPATIAL: [&str; 5] = ["domain", "space", "???", "none", ""];

impl Header {
    /// Reads it. `layered`: a first axis that lies not in space is allowed, and holds layers.
    pub fn of(fields: &Fields, layered: bool) -> Result<Self, Problem> {
        let datatype = types::parse(fields.require("type", "the type of the samples")?)?;
        let sizes = sizes(fields)?;
        let (layers, shape) = match sizes[..] {
            [x, y, z] => (1, [x, y, z]),
            [layers, x, y, z] if layered => (layers, [x, y, z]),
            _ => {
                let expected = if layered { "3, or 4 with layers" } else { "3" };
                return Err(problem("dimension", expected, sizes.len(), EXPORT));
            }
        };
        kinds(fields, sizes.len())?;
        // isize::MAX is Rust's limit for any allocation.
        let data_bytes = sizes.iter().try_fold(datatype.bytes(), |n, &size| n.checked_mul(size));
        let data_bytes = data_bytes
            .filter(|&n| isize::try_from(n).is_ok())
            .ok_or_else(|| problem("sizes", "a size that fits in memory", format!("{sizes:?}"), EXPORT))?;
        let encoding = encoding(fields.require("encoding", "raw or gzip")?)?;
        let big_endian = big_endian(fields, datatype)?;
        Ok(Self { datatype, big_endian, encoding, layers, shape, data_bytes })
    }
}

fn sizes(fields: &Fields) -> Result<Vec<usize>, Problem> {
    let dimension = fields.require("dimension", "the number of axes")?;
    let text = fields.require("sizes", "a size for each axis")?;
    let sizes: Option<Vec<usize>> =
        text.split_whitespace().map(|size| size.parse().ok().filter(|&n| n > 0)).collect();
    let sizes =
        sizes.ok_or_else(|| problem("sizes", "whole numbers above 0", format!("'{text}'"), EXPORT))?;
    match dimension.parse() == Ok(sizes.len()) {
        true => Ok(sizes),
        false => Err(problem("sizes", format!("{dimension} numbers, as dimension says"), text, EXPORT)),
    }
}

/// Three axes lie in space, and before them at most one that does not.
fn kinds(fields: &Fields, axes: usize) -> Result<(), Problem> {
    let Some(text) = fields.get("kinds") else { return Ok(()) };
    let kinds: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    if kinds.len() != axes {
        return Err(problem("kinds", format!("{axes} of them"), format!("'{text}'"), EXPORT));
    }
    let in_space = &kinds[axes - 3..];
    match in_space.iter().all(|kind| SPATIAL.contains(&kind.as_str())) {
        true => Ok(()),
        false => {
            Err(problem("kinds", "'domain' or 'space' for the last three axes", format!("'{text}'"), EXPORT))
        }
    }
}

fn encoding(text: &str) -> Result<Encoding, Problem> {
    match text.to_lowercase().as_str() {
        "raw" => Ok(Encoding::Raw),
        "gzip" | "gz" => Ok(Encoding::Gzip),
        _ => Err(problem("encoding", "raw or gzip", format!("'{text}'"), "save the image with one of these")),
    }
}

fn big_endian(fields: &Fields, datatype: Datatype) -> Result<bool, Problem> {
    let hint = "say the order of bytes in the header";
    match fields.get("endian").map(str::to_lowercase).as_deref() {
        Some("big") => Ok(true),
        Some("little") => Ok(false),
        None if datatype.bytes() == 1 => Ok(false),
        other => {
            let found = other.map_or("none".into(), |text| format!("'{text}'"));
            Err(problem("endian", "little or big", found, hint))
        }
    }
}
