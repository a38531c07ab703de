//! How voxels are stored: the table of NIfTI data types, and their numbers in and out.
use std::fmt;

/// A data type that holds one real number a voxel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say all")]
pub enum Datatype {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

/// NIfTI code, name, bytes a voxel.
const TABLE: [(Datatype, i64, &str, usize); 10] = [
    (Datatype::U8, 2, "uint8", 1),
    (Datatype::I16, 4, "int16", 2),
    (Datatype::I32, 8, "int32", 4),
    (Datatype::F32, 16, "float32", 4),
    (Datatype::F64, 64, "float64", 8),
    (Datatype::I8, 256, "int8", 1),
    (Datatype::U16, 512, "uint16", 2),
    (Datatype::U32, 768, "uint32", 4),
    (Datatype::I64, 1024, "int64", 8),
    (Datatype::U64, 1280, "uint64", 8),
];

/// Codes that exist but hold no single real number, or one wider than a CT can need.
const UNSUPPORTED: [(i64, &str); 9] = [
    (0, "unknown"),
    (1, "binary (1 bit)"),
    (32, "complex64"),
    (128, "RGB24 (colour)"),
    (1536, "float128"),
    (1792, "complex128"),
    (2048, "complex256"),
    (2304, "RGBA32 (colour)"),
    (255, "all"),
];

impl Datatype {
    /// The type with this NIfTI code, or the name of a type that cannot be read.
    pub(super) fn from_code(code: i64) -> Result<Self, String> {
        if let Some(row) = TABLE.iter().find(|row| row.1 == code) {
            return Ok(row.0);
        }
        let name = UNSUPPORTED.iter().find(|row| row.0 == code).map_or("no NIfTI type", |row| row.1);
        Err(format!("{code} ({name})"))
    }

    fn row(self) -> &'static (Datatype, i64, &'static str, usize) {
        // Every variant is in the table: `the_table_holds_every_type_once`.
        TABLE.iter().find(|row| row.0 == self).expect("datatype table is complete")
    }

    /// The code that NIfTI headers use.
    pub fn code(self) -> i64 {
        self.row().1
    }

    /// Bytes of one voxel.
    pub fn bytes(self) -> usize {
        self.row().3
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().2)
    }
}

/// A number as it is stored in a file.
pub(super) trait Stored: Copy + Send + Sync {
    const BYTES: usize;
    fn load(bytes: &[u8], big_endian: bool) -> Self;
    fn store(self, bytes: &mut [u8], big_endian: bool);
    fn to_f64(self) -> f64;
    /// The nearest number of this type (ties away from zero, clamped to its range) and whether it was in range.
    fn nearest(value: f64) -> (Self, bool);
}

macro_rules! stored {
    ($t:ty, $nearest:expr) => {
        impl Stored for $t {
            const BYTES: usize = size_of::<$t>();
            #[inline]
            fn load(bytes: &[u8], big_endian: bool) -> Self {
                let mut raw = [0; size_of::<$t>()];
                raw.copy_from_slice(bytes);
                if big_endian { Self::from_be_bytes(raw) } else { Self::from_le_bytes(raw) }
            }
            #[inline]
            fn store(self, bytes: &mut [u8], big_endian: bool) {
                bytes.copy_from_slice(&if big_endian { self.to_be_bytes() } else { self.to_le_bytes() });
            }
            #[inline]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline]
            fn nearest(value: f64) -> (Self, bool) {
                $nearest(value)
            }
        }
    };
}

macro_rules! stored_int {
    ($($t:ty),*) => {$(
        // `as` clamps to the range of the integer. (MAX as f64 rounds up for 64 bits, where 2^63 then counts as in range.)
        stored!($t, |value: f64| {
            let rounded = value.round();
            (rounded as $t, rounded >= <$t>::MIN as f64 && rounded <= <$t>::MAX as f64)
        });
    )*};
}
stored_int!(u8, i8, u16, i16, u32, i32, u64, i64);
stored!(f32, |value: f64| (value as f32, (value as f32).is_finite()));
stored!(f64, |value: f64| (value, value.is_finite()));

/// Runs `$body` with the type `$t` that `$datatype` stands for.
macro_rules! with_stored {
    ($datatype:expr, $t:ident => $body:expr) => {
        match $datatype {
            $crate::io::nifti::Datatype::U8 => {
                type $t = u8;
                $body
            }
            $crate::io::nifti::Datatype::I8 => {
                type $t = i8;
                $body
            }
            $crate::io::nifti::Datatype::U16 => {
                type $t = u16;
                $body
            }
            $crate::io::nifti::Datatype::I16 => {
                type $t = i16;
                $body
            }
            $crate::io::nifti::Datatype::U32 => {
                type $t = u32;
                $body
            }
            $crate::io::nifti::Datatype::I32 => {
                type $t = i32;
                $body
            }
            $crate::io::nifti::Datatype::U64 => {
                type $t = u64;
                $body
            }
            $crate::io::nifti::Datatype::I64 => {
                type $t = i64;
                $body
            }
            $crate::io::nifti::Datatype::F32 => {
                type $t = f32;
                $body
            }
            $crate::io::nifti::Datatype::F64 => {
                type $t = f64;
                $body
            }
        }
    };
}
pub(super) use with_stored;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_every_type_once() {
        use Datatype::*;
        for datatype in [U8, I8, U16, I16, U32, I32, U64, I64, F32, F64] {
            assert_eq!(TABLE.iter().filter(|row| row.0 == datatype).count(), 1);
            assert_eq!(Datatype::from_code(datatype.code()), Ok(datatype));
            with_stored!(datatype, T => assert_eq!(<T as Stored>::BYTES, datatype.bytes()));
        }
        assert_eq!(Datatype::from_code(128).unwrap_err(), "128 (RGB24 (colour))");
        assert_eq!(Datatype::from_code(77).unwrap_err(), "77 (no NIfTI type)");
    }

    #[test]
    fn the_nearest_number_is_rounded_and_clamped() {
        assert_eq!(i16::nearest(-1000.5), (-1001, true));
        assert_eq!(i16::nearest(40_000.0), (i16::MAX, false));
        assert_eq!(u8::nearest(-0.4), (0, true));
        assert_eq!(u8::nearest(-1.0), (0, false));
        assert_eq!(f32::nearest(0.1), (0.1_f32, true));
        assert_eq!(u16::nearest(f64::NAN), (0, false));
    }
}
