//! Frames in JPEG lossless (ITU-T T.81, process 14) and JPEG 2000 (T.800). What a codestream says of its size is compared with the
//! header before the decoder allocates anything.
use super::slice::Slice;
use super::{Problem, problem};
use jpeg_decoder::{Decoder, PixelFormat};
use jpeg2k::{DecodeParameters, Image};

const DAMAGED: &str = "the file is damaged; copy or export it again";

/// Decodes a frame to stored numbers, row by row.
pub(super) fn jpeg_lossless(frame: &[u8], slice: &Slice) -> Result<Vec<u16>, Problem> {
    let bad =
        |found: String| problem("pixels (JPEG lossless)", "a frame of the header's size", found, DAMAGED);
    supported(frame)?;
    let mut decoder = Decoder::new(frame);
    decoder.read_info().map_err(|e| bad(e.to_string()))?;
    let info = decoder.info().ok_or_else(|| bad("no frame".into()))?;
    let size = [usize::from(info.width), usize::from(info.height)];
    let grey = matches!(info.pixel_format, PixelFormat::L8 | PixelFormat::L16);
    if size != [slice.columns, slice.rows] || !grey {
        return Err(bad(format!("{} x {} pixels, {:?}", size[0], size[1], info.pixel_format)));
    }
    let decoded = decoder.decode().map_err(|e| bad(e.to_string()))?;
    // The decoder gives two bytes a pixel for all but 8 bits, in the machine's order.
    let pixels = slice.columns * slice.rows;
    match decoded.len() / pixels {
        1 => Ok(decoded.into_iter().map(u16::from).collect()),
        2 => Ok(decoded.chunks_exact(2).map(|b| u16::from_ne_bytes([b[0], b[1]])).collect()),
        _ => Err(bad(format!("{} bytes for {pixels} pixels", decoded.len()))),
    }
}

/// Refuses what jpeg-decoder 0.3 decodes to wrong numbers without a word: point transforms, and restart intervals, after which it does not
/// begin the prediction anew. Also frames of more than one component, which it would panic at or turn into colours.
fn supported(frame: &[u8]) -> Result<(), Problem> {
    let hint = "decompress the series first, for instance with dcmdjpeg or gdcmconv --raw";
    let refuse =
        |found: String| Err(problem("pixels (JPEG lossless)", "a plain lossless frame", found, hint));
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = frame.get(at..at + 4).and_then(|m| m.first_chunk::<4>()) {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(segment) = frame.get(at + 4..at + 2 + length.max(2)) else { break };
        match (marker, segment) {
            (0xc3, [_, _, _, _, _, 1, ..]) => {}
            (0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, _) => {
                return refuse(format!("a frame of another process (marker FF{marker:02X}) or in colours"));
            }
            (0xdd, [0, 0]) => {}
            (0xdd, _) => return refuse("restart intervals".into()),
            (0xda, [.., last]) if last & 15 != 0 => return refuse("a point transform".into()),
            (0xda, _) => return Ok(()),
            _ => {}
        }
        at += 2 + length.max(2);
    }
    Err(problem("pixels (JPEG lossless)", "a JPEG frame", "none, or one that is cut off", DAMAGED))
}

/// Decodes a frame to stored numbers, row by row; of signed ones the low 16 bits.
pub(super) fn jpeg_2000(frame: &[u8], slice: &Slice) -> Result<Vec<u16>, Problem> {
    let bad = |found: String| problem("pixels (JPEG 2000)", "a frame of the header's size", found, DAMAGED);
    let size = [slice.columns, slice.rows];
    let told = codestream_size(frame).ok_or_else(|| bad("no codestream".into()))?;
    if told != (size, 1) {
        return Err(bad(format!("{} x {} pixels of {} components", told.0[0], told.0[1], told.1)));
    }
    // Strict: a codestream that was cut off is an error, and not a blurred slice.
    let parameters = DecodeParameters::new().strict(true);
    let image = Image::from_bytes_with(frame, parameters).map_err(|e| bad(e.to_string()))?;
    let [component] = image.components() else {
        return Err(bad(format!("{} components", image.components().len())));
    };
    let found = [component.width() as usize, component.height() as usize];
    if found != size {
        return Err(bad(format!("{} x {} pixels", found[0], found[1])));
    }
    if component.is_signed() && !slice.bits.signed {
        return Err(bad("signed numbers, although PixelRepresentation (0028,0103) is 0".into()));
    }
    Ok(component.data().iter().map(|v| *v as u16).collect())
}

/// Columns, rows and components of the first codestream in `frame` (marker SIZ, T.800 A.5.1), which may lie inside of a JP2 file.
fn codestream_size(frame: &[u8]) -> Option<([usize; 2], usize)> {
    let at = frame.windows(4).position(|w| w == [0xff, 0x4f, 0xff, 0x51])? + 4;
    let number = |i: usize| frame.get(at + i..at + i + 4)?.try_into().ok().map(u32::from_be_bytes);
    let side = |end, start| Some(number(end)?.checked_sub(number(start)?)? as usize);
    let components = u16::from_be_bytes(frame.get(at + 36..at + 38)?.try_into().ok()?);
    // Length 2, capabilities 2; then Xsiz, Ysiz, XOsiz, YOsiz.
    Some(([side(4, 12)?, side(8, 16)?], usize::from(components)))
}
