//! The bytes behind the tensors: where each storage lies in the file, and how a strided view of it becomes numbers.
//!
//! Nothing is kept: a tensor's storage is read when the tensor is asked for, so a 290 MB checkpoint never stands in memory.
use super::value::{Dtype, TensorRef};
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// A view may repeat its storage (`expand`), but not beyond this many elements: 1 GiB of f32.
const MAX_ELEMENTS: usize = 1 << 28;

/// A run of bytes in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// First byte in the file.
    pub at: u64,
    /// Bytes in the file.
    pub stored: u64,
    /// Bytes of content: as many as stored unless deflated.
    pub bytes: u64,
    /// Whether the content is deflated.
    pub deflated: bool,
    /// CRC-32 of the content, where the format has one.
    pub crc32: Option<u32>,
}

/// All storages of a checkpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Storages {
    /// By storage key.
    pub extents: HashMap<String, Extent>,
    /// Whether elements are big endian.
    pub big_endian: bool,
}

impl Extent {
    /// Bytes that the file holds as they are.
    pub fn plain(at: u64, bytes: u64) -> Self {
        Self { at, stored: bytes, bytes, deflated: false, crc32: None }
    }

    /// Reads the content. `what` names it in errors.
    pub fn read(&self, path: &Path, what: &str) -> Result<Vec<u8>> {
        let damaged = |expected: String, found: String| {
            Error::format(path, what, expected, found, "the file is damaged or cut short: get it again")
        };
        let mut file = File::open(path).map_err(Error::io(path, "read"))?;
        let length = file.metadata().map_err(Error::io(path, "read"))?.len();
        if self.at.checked_add(self.stored).is_none_or(|end| end > length) {
            let found = format!("a file of {length} bytes");
            return Err(damaged(format!("{} bytes at byte {}", self.stored, self.at), found));
        }
        // Deflate cannot shrink more than 1032 times, so a larger promise is a lie that must not be allocated.
        if self.bytes > if self.deflated { self.stored.saturating_mul(1032) } else { self.stored } {
            let expected = format!("content that fits {} stored bytes", self.stored);
            return Err(damaged(expected, format!("a promise of {} bytes", self.bytes)));
        }
        file.seek(SeekFrom::Start(self.at)).map_err(Error::io(path, "read"))?;
        let mut content = Vec::with_capacity(self.bytes as usize);
        let stored = file.take(self.stored);
        let outcome = if self.deflated {
            flate2::read::DeflateDecoder::new(stored).take(self.bytes + 1).read_to_end(&mut content)
        } else {
            stored.take(self.bytes).read_to_end(&mut content)
        };
        outcome.map_err(|e| damaged("a sound deflate stream".into(), e.to_string()))?;
        if content.len() as u64 != self.bytes {
            return Err(damaged(format!("{} bytes", self.bytes), format!("{} bytes or more", content.len())));
        }
        if let Some(expected) = self.crc32 {
            let mut crc = flate2::Crc::new();
            crc.update(&content);
            if crc.sum() != expected {
                return Err(Error::format(
                    path,
                    what,
                    format!("checksum {expected:08x}"),
                    format!("{:08x}", crc.sum()),
                    "the file is damaged: get it again (or it was written with torch.serialization.set_crc32_options(False): \
                     save it again without)",
                ));
            }
        }
        Ok(content)
    }
}

impl Storages {
    /// The elements of a tensor in C order, widened or rounded to f32.
    pub fn load_f32(&self, path: &Path, name: &str, tensor: &TensorRef) -> Result<Vec<f32>> {
        let bad = |expected: &str, found: String| {
            let what = format!("tensor '{name}' {:?}", tensor.shape);
            Error::format(path, what, expected, found, "the file is damaged or cut short: get it again")
        };
        let extent = self
            .extents
            .get(&*tensor.storage)
            .ok_or_else(|| bad("its storage in the file", format!("no storage '{}'", tensor.storage)))?;
        let (elements, reach) =
            tensor.extent().ok_or_else(|| bad("a possible size", format!("strides {:?}", tensor.strides)))?;
        if elements > MAX_ELEMENTS {
            return Err(bad("at most 2^28 elements", format!("{elements}")));
        }
        let size = tensor.dtype.bytes();
        if (reach as u64).checked_mul(size as u64).is_none_or(|needed| needed > extent.bytes) {
            let needed = format!("a storage of at least {reach} elements of {size} bytes");
            return Err(bad(&needed, format!("{} bytes", extent.bytes)));
        }
        let mut bytes = extent.read(path, &format!("storage of tensor '{name}'"))?;
        if self.big_endian {
            bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        Ok(gather(&bytes, tensor, elements))
    }
}

/// Walks the view in C order.
fn gather(bytes: &[u8], tensor: &TensorRef, elements: usize) -> Vec<f32> {
    let convert = converter(tensor.dtype);
    let size = tensor.dtype.bytes();
    let read = |at: usize| convert(&bytes[at * size..(at + 1) * size]);
    let mut values = Vec::with_capacity(elements);
    let mut index = vec![0; tensor.shape.len()];
    let mut at = tensor.offset;
    for _ in 0..elements {
        values.push(read(at));
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            // wrapping: the stride of a side of 1 means nothing and may be anything; it is taken back below
            at = at.wrapping_add(tensor.strides[axis]);
            if index[axis] < tensor.shape[axis] {
                break;
            }
            at = at.wrapping_sub(tensor.strides[axis].wrapping_mul(tensor.shape[axis]));
            index[axis] = 0;
        }
    }
    values
}

/// Reads one little-endian element.
fn converter(dtype: Dtype) -> fn(&[u8]) -> f32 {
    fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.try_into().expect("as many bytes as the element type has")
    }
    match dtype {
        Dtype::F64 => |b| f64::from_le_bytes(array(b)) as f32,
        Dtype::F32 => |b| f32::from_le_bytes(array(b)),
        Dtype::F16 => |b| half::f16::from_le_bytes(array(b)).to_f32(),
        Dtype::Bf16 => |b| half::bf16::from_le_bytes(array(b)).to_f32(),
        Dtype::I64 => |b| i64::from_le_bytes(array(b)) as f32,
        Dtype::I32 => |b| i32::from_le_bytes(array(b)) as f32,
        Dtype::I16 => |b| i16::from_le_bytes(array(b)).into(),
        Dtype::I8 => |b| i8::from_le_bytes(array(b)).into(),
        Dtype::U8 => |b| b[0].into(),
        Dtype::Bool => |b| f32::from(u8::from(b[0] != 0)),
    }
}
