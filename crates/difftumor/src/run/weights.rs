//! Weights as safetensors files: written in one of two precisions, read in any, hashed.
use super::Tensors;
use crate::checkpoint;
use crate::error::{Error, Result};
use difftumor_ct::io::write_atomically;
use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, View};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    F32,
    /// Rounded to half the size, for passing on: 11 bits of each weight remain.
    F16,
}

/// Tensors of a safetensors file (f16 and bf16 are widened).
///
/// # Errors
/// When it is unreadable or damaged.
pub fn read_tensors(path: &Path) -> Result<Tensors> {
    let checkpoint = checkpoint::read(path)?;
    let load = |(name, tensor): (String, checkpoint::TensorRef)| {
        let elements = checkpoint.load_f32(&name, &tensor)?;
        Ok((name, (tensor.shape, elements)))
    };
    checkpoint.section("").into_iter().map(load).collect()
}

/// [`read_tensors`] of a file's content; `path` is for messages.
pub(super) fn tensors_of(path: &Path, bytes: &[u8]) -> Result<Tensors> {
    let damaged = |found: String| {
        Error::format(path, "safetensors", "a sound file", found, "the file is damaged: get it again")
    };
    let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string()))?;
    let widened = |(name, tensor): (String, safetensors::tensor::TensorView)| {
        let data = tensor.data();
        let halves = || data.chunks_exact(2).map(|b| [b[0], b[1]]);
        let elements = match tensor.dtype() {
            Dtype::F32 => {
                data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            Dtype::F16 => halves().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => halves().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
            other => return Err(damaged(format!("{name} of type {other:?}"))),
        };
        Ok((name, (tensor.shape().to_vec(), elements)))
    };
    file.tensors().into_iter().map(widened).collect()
}

/// Writes tensors as a safetensors file, whole and flushed or not at all.
///
/// # Errors
/// When it cannot be written, or an element is too large for the precision.
pub fn write_tensors(path: &Path, tensors: &Tensors, precision: Precision) -> Result<()> {
    let too_large = |v: &f32| precision == Precision::F16 && v.is_finite() && v.abs() > f16::MAX.to_f32();
    if let Some((name, value)) = tensors
        .iter()
        .find_map(|(name, (_, elements))| Some((name, *elements.iter().find(|v| too_large(v))?)))
    {
        let expected = format!("at most {}, as half precision holds", f16::MAX);
        return Err(Error::format(path, name, expected, value.to_string(), "keep these weights in f32"));
    }
    let views = tensors.iter().map(|(name, (shape, elements))| (name, Stored { shape, elements, precision }));
    // Not serialize_to_file, which makes a file that only its owner may read.
    let bytes =
        safetensors::serialize(views, None).expect("shapes and elements agree, names are not too many");
    Ok(write_atomically(path, |file| file.write_all(&bytes))?)
}

/// SHA-256 of a file's content, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_file(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).map_err(Error::io(path, "read"))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(Error::io(path, "read"))?;
        if n == 0 {
            return Ok(hexadecimal(hash));
        }
        hash.update(&buffer[..n]);
    }
}

/// [`sha256_file`] of a file's content.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(bytes);
    hexadecimal(hash)
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of one tensor, made when they are written.
struct Stored<'a> {
    shape: &'a [usize],
    elements: &'a [f32],
    precision: Precision,
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        match self.precision {
            Precision::F32 => Dtype::F32,
            Precision::F16 => Dtype::F16,
        }
    }
    fn shape(&self) -> &[usize] {
        self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        match self.precision {
            Precision::F32 => self.elements.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Precision::F16 => self.elements.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
        }
    }
    fn data_len(&self) -> usize {
        let bytes = match self.precision {
            Precision::F32 => 4,
            Precision::F16 => 2,
        };
        bytes * self.elements.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(values: &[f32], precision: Precision) -> Result<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let tensors = Tensors::from([("a.weight".to_string(), (vec![values.len()], values.to_vec()))]);
        write_tensors(&path, &tensors, precision)?;
        let bytes = fs::read(&path).unwrap();
        assert_eq!(read_tensors(&path)?, tensors_of(&path, &bytes)?);
        assert_eq!(sha256_file(&path)?, sha256(&bytes));
        Ok(bytes)
    }

    #[test]
    fn half_precision_keeps_eleven_bits() {
        let values = [1.0, -0.333_333_34, 1e-3, 65504.0, 0.0];
        let path = Path::new("w");
        let read = |bytes: &[u8]| tensors_of(path, bytes).unwrap()["a.weight"].1.clone();
        assert_eq!(read(&written(&values, Precision::F32).unwrap()), values);
        for (found, value) in read(&written(&values, Precision::F16).unwrap()).into_iter().zip(values) {
            assert!((found - value).abs() <= value.abs() / 2048.0, "{found} for {value}");
        }
    }

    #[test]
    fn what_half_precision_cannot_hold_is_told() {
        let error = written(&[1.0, 70_000.0], Precision::F16).unwrap_err().to_string();
        assert!(error.contains("a.weight") && error.contains("70000"), "{error}");
        assert!(tensors_of(Path::new("w"), b"no").is_err());
    }
}
