//! From a slice's file to its stored numbers.
use super::slice::{Bits, Coding, Slice};
use super::{Problem, compressed, file, problem, rle, tags};
use crate::error::Result;
use dicom_core::value::{PrimitiveValue, Value};
use dicom_object::DefaultDicomObject;

/// The numbers of a slice, row by row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// As many bits as are stored, extended by the sign if there is one.
    pub values: Vec<u16>,
    pub signed: bool,
    /// Bits outside of the stored ones were set, and not by a sign.
    pub foreign_bits: bool,
}

impl Stored {
    pub fn numbers(&self) -> impl Iterator<Item = i32> {
        let signed = self.signed;
        self.values.iter().map(move |v| if signed { i32::from(*v as i16) } else { i32::from(*v) })
    }
}

/// Reads a slice's pixels.
pub(super) fn stored(slice: &Slice) -> Result<Stored> {
    of(&file::read_pixels(&slice.file)?, slice)
}

/// The pixels of a slice's object.
pub(super) fn of(object: &DefaultDicomObject, slice: &Slice) -> Result<Stored> {
    let words = words(object, slice).map_err(|p| p.of(&slice.file))?;
    Ok(values(words, slice.bits))
}

/// Whole words, as they are allocated.
fn words(object: &DefaultDicomObject, slice: &Slice) -> Result<Vec<u16>, Problem> {
    let pixels = slice.columns * slice.rows;
    let width = slice.bits.allocated / 8;
    let bad = |expected: String, found: String| {
        Err(problem(
            tags::PIXEL_DATA.1,
            expected,
            found,
            "the file is cut off or damaged; copy or export it again",
        ))
    };
    let Some(element) = object.get(tags::PIXEL_DATA.0) else { return bad("pixels".into(), "none".into()) };
    match (slice.coding, element.value()) {
        (Coding::Plain, Value::Primitive(value)) => {
            let words = plain(value, width)?;
            // A length must be even: an odd number of bytes has one more.
            let padded = pixels + (pixels * width) % 2;
            match words.len() == pixels || words.len() == padded {
                true => Ok(words.into_iter().take(pixels).collect()),
                false => bad(format!("{pixels} pixels of {width} bytes"), format!("{}", words.len())),
            }
        }
        (Coding::Plain, _) => bad("plain pixels".into(), "compressed ones".into()),
        (coding, Value::PixelSequence(sequence)) => {
            let frame = sequence.fragments().concat();
            match coding {
                Coding::Rle => rle::decode(&frame, pixels, width).map(|bytes| join(&bytes, width)),
                Coding::JpegLossless => compressed::jpeg_lossless(&frame, slice),
                _ => compressed::jpeg_2000(&frame, slice),
            }
        }
        _ => bad("compressed pixels".into(), "plain ones".into()),
    }
}

fn plain(value: &PrimitiveValue, width: usize) -> Result<Vec<u16>, Problem> {
    match (value, width) {
        (PrimitiveValue::U16(words), 2) => Ok(words.to_vec()),
        // One byte a pixel in words of two: the first pixel is the low byte.
        (PrimitiveValue::U16(words), _) => {
            Ok(words.iter().flat_map(|w| w.to_le_bytes()).map(u16::from).collect())
        }
        (PrimitiveValue::U8(bytes), _) => Ok(join(bytes, width)),
        (PrimitiveValue::Empty, _) => Ok(vec![]),
        _ => {
            let hint = "the file is damaged; export it again";
            Err(problem(tags::PIXEL_DATA.1, "bytes or words", "neither", hint))
        }
    }
}

fn join(bytes: &[u8], width: usize) -> Vec<u16> {
    match width {
        1 => bytes.iter().map(|b| u16::from(*b)).collect(),
        _ => bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect(),
    }
}

/// Takes the stored bits out of words (PS3.5, 8.1.1).
fn values(mut words: Vec<u16>, bits: Bits) -> Stored {
    let down = bits.high + 1 - bits.stored;
    let up = 16 - bits.stored;
    let mut foreign_bits = false;
    for word in &mut words {
        let whole = *word;
        let kept = (whole >> down) << up;
        *word = if bits.signed { ((kept as i16) >> up) as u16 } else { kept >> up };
        // Both ways of filling unused bits are in use: zeros, and the sign. In 8 bits there are 8 of them.
        let back = *word << down;
        let mask = if bits.allocated == 8 { 0xff } else { 0xffff };
        foreign_bits |= whole != back & mask && whole != ((kept >> up) << down);
    }
    Stored { values: words, signed: bits.signed, foreign_bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_bits_are_taken_out_of_words() {
        let bits = |stored, high, signed| Bits { allocated: 16, stored, high, signed };
        let of = |word: u16, bits| {
            let stored = values(vec![word], bits);
            (stored.numbers().next().unwrap(), stored.foreign_bits)
        };
        assert_eq!(of(0xf830, bits(16, 15, true)), (-2000, false));
        assert_eq!(of(0xf830, bits(16, 15, false)), (63536, false));
        // 12 bits: the sign once extended by the writer, once not.
        assert_eq!(of(0xffff, bits(12, 11, true)), (-1, false));
        assert_eq!(of(0x0fff, bits(12, 11, true)), (-1, false));
        assert_eq!(of(0x0fff, bits(12, 11, false)), (4095, false));
        // An overlay in the bits above.
        assert_eq!(of(0x8123, bits(12, 11, false)), (0x123, true));
        // Values at the upper end of the word, with an overlay below.
        assert_eq!(of(0x1230, bits(12, 15, false)), (0x123, false));
        assert_eq!(of(0x1231, bits(12, 15, false)), (0x123, true));
        let eight = Bits { allocated: 8, stored: 8, high: 7, signed: true };
        assert_eq!(of(0x00ff, eight), (-1, false));
    }
}
