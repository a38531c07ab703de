//! DICOM's run-length encoding (PS3.5, annex G): the bytes of all pixels apart, the high ones first, each packed as in TIFF's PackBits.
use super::{Problem, problem};

/// Number of segments and 15 offsets, four bytes each.
const HEADER_BYTES: usize = 64;

/// Decodes one frame of `pixels` pixels of `width` bytes to little-endian bytes.
///
/// # Errors
/// When the segments are not those of such pixels, or end too early.
pub(super) fn decode(frame: &[u8], pixels: usize, width: usize) -> Result<Vec<u8>, Problem> {
    let number =
        |i: usize| frame.get(4 * i..4 * i + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    let segments = number(0).unwrap_or(0);
    if frame.len() < HEADER_BYTES || segments != width {
        let expected = format!("a header with {width} segments");
        return Err(bad(expected, format!("{segments} segments in {} bytes", frame.len())));
    }
    // A run of 128 takes two bytes: nothing is allocated for a frame that cannot be that long.
    if pixels * width > frame.len() * 64 {
        return Err(bad(format!("{} bytes", pixels * width), format!("{} bytes packed", frame.len())));
    }
    let mut out = vec![0; pixels * width];
    for segment in 0..segments {
        let start = number(segment + 1).unwrap_or(0);
        let end = if segment + 1 < segments { number(segment + 2).unwrap_or(0) } else { frame.len() };
        let packed = frame.get(start..end).filter(|_| start >= HEADER_BYTES);
        let packed =
            packed.ok_or_else(|| bad("segments inside of the frame", format!("{start} to {end}")))?;
        // The highest byte comes first, and is the last in little-endian order.
        let place = width - 1 - segment;
        let found = unpack(packed, out.iter_mut().skip(place).step_by(width));
        if found < pixels {
            return Err(bad(format!("{pixels} pixels"), format!("{found} in segment {}", segment + 1)));
        }
    }
    Ok(out)
}

/// Fills `out` and returns how many bytes there were for it. What is left over is padding.
fn unpack<'a>(packed: &[u8], out: impl Iterator<Item = &'a mut u8>) -> usize {
    let mut at = 0;
    let mut bytes = std::iter::from_fn(|| {
        let control = loop {
            let control = *packed.get(at)? as i8;
            at += 1;
            if control != i8::MIN {
                break control;
            }
        };
        let length = usize::from(control.unsigned_abs()) + 1;
        let (from, step) = (at, usize::from(control >= 0));
        at += if control >= 0 { length } else { 1 };
        Some((0..length).map_while(move |i| packed.get(from + i * step)))
    })
    .flatten();
    let mut found = 0;
    for slot in out {
        let Some(byte) = bytes.next() else { break };
        *slot = *byte;
        found += 1;
    }
    found
}

fn bad(expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Problem {
    problem("pixels (RLE)", expected, found, "the file is damaged; copy or export it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_literals_as_in_the_standard_example_of_packbits() {
        let packed =
            [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa, 0x80];
        let expected = [
            0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22, 0xaa, 0xaa,
            0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        ];
        let mut out = [0; 24];
        assert_eq!(unpack(&packed, out.iter_mut()), 24);
        assert_eq!(out, expected);
        // Cut off in a literal and in a run.
        assert_eq!(unpack(&packed[..5], out.iter_mut()), 5);
        assert_eq!(unpack(&packed[..7], out.iter_mut()), 6);
    }
}
