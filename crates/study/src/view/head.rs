//! The head of a NIfTI file: that it is one, and how large. Nothing but the head is read, so that neither a header's word nor a link to
//! some other file is trusted. (Whole images: [`difftumor_ct::io::nifti`].)
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// NIfTI-2's header.
const LONGEST: u64 = 540;

/// Where a version has what: the header's length, which is its first number; the magic word; the sizes, and the bytes of each.
struct Version {
    length: i32,
    magic: (usize, &'static [u8]),
    sizes: (usize, usize),
}

const VERSIONS: [Version; 2] = [
    Version { length: 348, magic: (344, b"n+1\0"), sizes: (40, 2) },
    Version { length: 540, magic: (4, b"n+2\0"), sizes: (16, 8) },
];

/// Number of voxels along x, y, z, from the header of a `.nii` or `.nii.gz` file.
///
/// # Errors
/// In words, without the path: it cannot be read, or does not begin as NIfTI does.
pub(super) fn shape_vox(path: &Path) -> Result<[u64; 3], String> {
    let head = read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    shape_of(&head).ok_or_else(|| "expected a NIfTI image, found something else".into())
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = BufReader::with_capacity(4 << 10, File::open(path)?);
    let mut head = Vec::new();
    let is_gzip = std::io::BufRead::fill_buf(&mut file)?.starts_with(b"\x1f\x8b");
    match is_gzip {
        true => MultiGzDecoder::new(file).take(LONGEST).read_to_end(&mut head)?,
        false => file.take(LONGEST).read_to_end(&mut head)?,
    };
    Ok(head)
}

fn shape_of(head: &[u8]) -> Option<[u64; 3]> {
    let first: [u8; 4] = head.get(..4)?.try_into().ok()?;
    VERSIONS.iter().find_map(|version| {
        let is_little = i32::from_le_bytes(first) == version.length;
        let is_known = is_little || i32::from_be_bytes(first) == version.length;
        let (at, magic) = version.magic;
        if !is_known || head.len() < version.length as usize || !head[at..].starts_with(magic) {
            return None;
        }
        let (at, bytes) = version.sizes;
        let size = |i: usize| number(&head[at + i * bytes..at + (i + 1) * bytes], is_little);
        let rank = size(0).filter(|rank| (1..=7).contains(rank))?;
        let mut shape = [1; 3];
        for axis in 0..rank.min(3) as usize {
            shape[axis] = size(axis + 1).filter(|size| *size > 0)?;
        }
        Some(shape)
    })
}

/// A number of these bytes that is not negative.
fn number(bytes: &[u8], is_little: bool) -> Option<u64> {
    let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    let value = if is_little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) };
    (value >> (8 * bytes.len() - 1) == 0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use difftumor_ct::io::nifti::{Datatype, NiftiImage};
    use difftumor_ct::{Affine, Image};
    use ndarray::Array3;

    #[test]
    fn images_tell_their_shape_and_other_files_do_not() {
        let folder = tempfile::tempdir().unwrap();
        // NIfTI-2 where a side does not fit NIfTI-1.
        for shape in [(3, 4, 5), (40_000, 1, 2)] {
            let volume = Image { data: Array3::zeros(shape), affine: Affine::from_spacing_mm([1.0; 3]) };
            let image = NiftiImage::from_volume(&volume, Datatype::I16, "a");
            for name in ["a.nii", "a.nii.gz"] {
                let path = folder.path().join(name);
                image.write(&path).unwrap();
                let expected = [shape.0, shape.1, shape.2].map(|side: usize| side as u64);
                assert_eq!(shape_vox(&path), Ok(expected), "{name}");
            }
        }
        let path = folder.path().join("a.nii");
        let whole = std::fs::read(&path).unwrap();
        for bad in [&b""[..], b"root:x:0:0", b"\x1f\x8b", &whole[..347], &[0; 600]] {
            std::fs::write(&path, bad).unwrap();
            assert!(shape_vox(&path).is_err(), "{} bytes", bad.len());
        }
        assert!(shape_vox(&folder.path().join("none")).is_err());
    }

    #[test]
    fn sizes_in_either_byte_order() {
        for big_endian in [false, true] {
            let bytes = |value: i16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
            let mut head = vec![0; 348];
            let length = 348_i32;
            head[..4].copy_from_slice(&if big_endian { length.to_be_bytes() } else { length.to_le_bytes() });
            head[344..].copy_from_slice(b"n+1\0");
            for (i, size) in [4, 300, 2, 7, 1].into_iter().enumerate() {
                head[40 + 2 * i..42 + 2 * i].copy_from_slice(&bytes(size));
            }
            assert_eq!(shape_of(&head), Some([300, 2, 7]));
            head[42..44].copy_from_slice(&bytes(-1));
            assert_eq!(shape_of(&head), None, "a negative size");
        }
    }
}
