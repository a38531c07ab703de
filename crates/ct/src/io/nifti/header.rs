//! The fields of a NIfTI-1 (348 bytes) or NIfTI-2 (540 bytes) header, read from and written to the header's own
//! bytes, so that whatever is not set explicitly stays bit for bit.
//!
//! Offsets and types: `nifti1.h` and `nifti2.h` of the NIfTI Data Format Working Group (nifti.nimh.nih.gov).

/// Version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// NIfTI-1: 348 bytes, 16-bit sizes.
    One,
    /// NIfTI-2: 540 bytes, 64-bit sizes.
    Two,
}

impl Version {
    /// Bytes of the header, which is also what its first field (`sizeof_hdr`) holds.
    pub const fn header_bytes(self) -> usize {
        match self {
            Version::One => 348,
            Version::Two => 540,
        }
    }

    /// Smallest `vox_offset` of a single file: the header and the four bytes that announce extensions.
    pub const fn min_vox_offset(self) -> usize {
        self.header_bytes() + 4
    }

    /// Where the magic string lies and what it is in a single file.
    pub(super) const fn magic(self) -> (usize, &'static [u8]) {
        match self {
            Version::One => (344, b"n+1\0"),
            Version::Two => (4, b"n+2\0\r\n\x1a\n"),
        }
    }

    /// The magic string of the header of a `.hdr`/`.img` pair.
    pub(super) const fn pair_magic(self) -> &'static [u8] {
        match self {
            Version::One => b"ni1\0",
            Version::Two => b"ni2\0\r\n\x1a\n",
        }
    }
}

/// How one number is stored in a header.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar {
    U8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

/// Where a field lies: offset and type in NIfTI-1 and in NIfTI-2.
pub(super) struct Field(usize, Scalar, usize, Scalar);

use Scalar::{F32, F64, I16, I32, I64, U8};
pub(super) const SIZEOF_HDR: Field = Field(0, I32, 0, I32);
pub(super) const DIM: Field = Field(40, I16, 16, I64);
pub(super) const INTENT_P: Field = Field(56, F32, 80, F64);
pub(super) const INTENT_CODE: Field = Field(68, I16, 504, I32);
pub(super) const DATATYPE: Field = Field(70, I16, 12, I16);
pub(super) const BITPIX: Field = Field(72, I16, 14, I16);
pub(super) const PIXDIM: Field = Field(76, F32, 104, F64);
pub(super) const VOX_OFFSET: Field = Field(108, F32, 168, I64);
pub(super) const SCL_SLOPE: Field = Field(112, F32, 176, F64);
pub(super) const SCL_INTER: Field = Field(116, F32, 184, F64);
pub(super) const XYZT_UNITS: Field = Field(123, U8, 500, I32);
pub(super) const CAL_MAX: Field = Field(124, F32, 192, F64);
pub(super) const CAL_MIN: Field = Field(128, F32, 200, F64);
pub(super) const QFORM_CODE: Field = Field(252, I16, 344, I32);
pub(super) const SFORM_CODE: Field = Field(254, I16, 348, I32);
pub(super) const QUATERN: Field = Field(256, F32, 352, F64);
pub(super) const QOFFSET: Field = Field(268, F32, 376, F64);
pub(super) const SROW: Field = Field(280, F32, 400, F64);
pub(super) const INTENT_NAME: Field = Field(328, U8, 508, U8);
/// Bytes of `intent_name`.
pub(super) const INTENT_NAME_BYTES: usize = 16;

/// What is needed to read a header's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub version: Version,
    pub big_endian: bool,
}

/// `$t::from_{be,le}_bytes` at `$at`.
macro_rules! load {
    ($t:ty, $bytes:expr, $at:expr, $big:expr) => {{
        let mut raw = [0; size_of::<$t>()];
        raw.copy_from_slice(&$bytes[$at..$at + size_of::<$t>()]);
        if $big { <$t>::from_be_bytes(raw) } else { <$t>::from_le_bytes(raw) }
    }};
}

macro_rules! store {
    ($t:ty, $value:expr, $bytes:expr, $at:expr, $big:expr) => {{
        let value = $value as $t;
        let raw = if $big { value.to_be_bytes() } else { value.to_le_bytes() };
        $bytes[$at..$at + size_of::<$t>()].copy_from_slice(&raw);
    }};
}

impl Layout {
    /// Finds version and byte order from `sizeof_hdr`. `None` when the four bytes are neither 348 nor 540 in any order.
    pub fn detect(head: &[u8]) -> Option<Self> {
        let first: [u8; 4] = head.get(..4)?.try_into().ok()?;
        [Version::One, Version::Two].into_iter().find_map(|version| {
            let size = version.header_bytes() as i32;
            let orders = [(size.to_le_bytes(), false), (size.to_be_bytes(), true)];
            orders
                .into_iter()
                .find(|(raw, _)| *raw == first)
                .map(|(_, big_endian)| Self { version, big_endian })
        })
    }

    fn place(self, field: &Field, index: usize) -> (usize, Scalar) {
        let (offset, scalar) = match self.version {
            Version::One => (field.0, field.1),
            Version::Two => (field.2, field.3),
        };
        let size = match scalar {
            U8 => 1,
            I16 => 2,
            I32 | F32 => 4,
            I64 | F64 => 8,
        };
        (offset + index * size, scalar)
    }

    /// Element `index` of an integer field. Float fields are truncated.
    pub fn int(self, header: &[u8], field: &Field, index: usize) -> i64 {
        let (at, scalar) = self.place(field, index);
        match scalar {
            U8 => i64::from(header[at]),
            I16 => i64::from(load!(i16, header, at, self.big_endian)),
            I32 => i64::from(load!(i32, header, at, self.big_endian)),
            I64 => load!(i64, header, at, self.big_endian),
            F32 | F64 => self.float(header, field, index) as i64,
        }
    }

    /// Element `index` of a field as a float.
    pub fn float(self, header: &[u8], field: &Field, index: usize) -> f64 {
        let (at, scalar) = self.place(field, index);
        match scalar {
            F32 => f64::from(load!(f32, header, at, self.big_endian)),
            F64 => load!(f64, header, at, self.big_endian),
            U8 | I16 | I32 | I64 => self.int(header, field, index) as f64,
        }
    }

    /// Sets element `index` of a field, converting `value` to the stored type.
    pub fn set(self, header: &mut [u8], field: &Field, index: usize, value: f64) {
        let (at, scalar) = self.place(field, index);
        match scalar {
            U8 => header[at] = value as u8,
            I16 => store!(i16, value, header, at, self.big_endian),
            I32 => store!(i32, value, header, at, self.big_endian),
            I64 => store!(i64, value, header, at, self.big_endian),
            F32 => store!(f32, value, header, at, self.big_endian),
            F64 => store!(f64, value, header, at, self.big_endian),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_in_every_version_and_byte_order() {
        for version in [Version::One, Version::Two] {
            for big_endian in [false, true] {
                let layout = Layout { version, big_endian };
                let mut header = vec![0_u8; version.header_bytes()];
                layout.set(&mut header, &SIZEOF_HDR, 0, version.header_bytes() as f64);
                assert_eq!(Layout::detect(&header), Some(layout));
                layout.set(&mut header, &DIM, 3, 119.0);
                layout.set(&mut header, &SROW, 7, -12.5);
                layout.set(&mut header, &XYZT_UNITS, 0, 10.0);
                assert_eq!(layout.int(&header, &DIM, 3), 119);
                assert_eq!(layout.float(&header, &SROW, 7), -12.5);
                assert_eq!(layout.int(&header, &XYZT_UNITS, 0), 10);
            }
        }
        assert_eq!(Layout::detect(&[0x5c, 1, 0, 1]), None);
        assert_eq!(Layout::detect(&[]), None);
    }
}
