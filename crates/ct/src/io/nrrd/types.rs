//! Names of sample types: each has several spellings.
use crate::io::nifti::Datatype;
use crate::io::problem::{Problem, problem};

/// Spellings (NRRD format, "type"), all in lower case.
const TYPES: [(Datatype, &[&str]); 10] = [
    (Datatype::I8, &["signed char", "int8", "int8_t"]),
    (Datatype::U8, &["uchar", "unsigned char", "uint8", "uint8_t"]),
    (Datatype::I16, &["short", "short int", "signed short", "signed short int", "int16", "int16_t"]),
    (Datatype::U16, &["ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"]),
    (Datatype::I32, &["int", "signed int", "int32", "int32_t"]),
    (Datatype::U32, &["uint", "unsigned int", "uint32", "uint32_t"]),
    (
        Datatype::I64,
        &[
            "longlong",
            "long long",
            "long long int",
            "signed long long",
            "signed long long int",
            "int64",
            "int64_t",
        ],
    ),
    (Datatype::U64, &["ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"]),
    (Datatype::F32, &["float"]),
    (Datatype::F64, &["double"]),
];

/// The type that a header names.
pub(super) fn parse(text: &str) -> Result<Datatype, Problem> {
    let name = text.to_lowercase();
    TYPES.iter().find(|row| row.1.contains(&name.as_str())).map(|row| row.0).ok_or_else(|| {
        let expected = "an integer of 8 to 64 bits, float or double";
        problem("type", expected, format!("'{text}'"), "convert the image to int16 or float")
    })
}

/// How the types that are written are called.
pub(super) fn name(datatype: Datatype) -> &'static str {
    // Every variant is in the table, and every row has a name: `every_type_is_there_once`.
    TYPES.iter().find(|row| row.0 == datatype).map_or("", |row| row.1[row.1.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_there_once() {
        use Datatype::*;
        for datatype in [U8, I8, U16, I16, U32, I32, U64, I64, F32, F64] {
            assert_eq!(TYPES.iter().filter(|row| row.0 == datatype).count(), 1);
            assert_eq!(parse(name(datatype)).ok(), Some(datatype));
        }
        let mut names: Vec<_> = TYPES.iter().flat_map(|row| row.1).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        assert_eq!(parse("Unsigned Char").ok(), Some(U8));
        assert!(parse("block").is_err() && parse("").is_err());
    }
}
