//! Compressed frames, written by the letter of the standards and independently of the code under test.

/// DICOM's RLE (PS3.5, annex G): runs of two and more, literals for the rest.
pub fn rle(pixels: &[u16]) -> Vec<u8> {
    let segments = [8, 0].map(|shift| pack(&pixels.iter().map(|p| (p >> shift) as u8).collect::<Vec<_>>()));
    let mut frame = vec![0; 64];
    let offsets = [2, 64, 64 + segments[0].len() as u32];
    for (i, number) in offsets.iter().enumerate() {
        frame[4 * i..4 * i + 4].copy_from_slice(&number.to_le_bytes());
    }
    frame.extend(segments.concat());
    frame
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![];
    for run in bytes.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(128)) {
        match run.len() {
            1 => packed.extend([0, run[0]]),
            n => packed.extend([(1 - n as i16) as u8, run[0]]),
        }
    }
    if packed.len() % 2 == 1 {
        packed.push(0x80);
    }
    packed
}

/// What a lossless JPEG says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Jpeg {
    pub size: [u16; 2],
    pub restart_interval: u16,
    pub point_transform: u8,
}

/// JPEG lossless (T.81, process 14, prediction from the left): all 17 categories of differences have codes of 5 bits.
pub fn jpeg_lossless(pixels: &[u16], jpeg: Jpeg) -> Vec<u8> {
    let [columns, rows] = jpeg.size;
    let mut out = vec![0xff, 0xd8];
    let mut segment = |marker: u8, content: &[u8]| {
        out.extend([0xff, marker]);
        out.extend((content.len() as u16 + 2).to_be_bytes());
        out.extend(content);
    };
    let [h, w] = [rows, columns].map(u16::to_be_bytes);
    segment(0xc3, &[16, h[0], h[1], w[0], w[1], 1, 1, 0x11, 0]);
    segment(0xc4, &[&[0, 0, 0, 0, 0, 17], &[0; 11][..], &(0..17).collect::<Vec<u8>>()].concat());
    if jpeg.restart_interval > 0 {
        segment(0xdd, &jpeg.restart_interval.to_be_bytes());
    }
    segment(0xda, &[1, 1, 0, 1, 0, jpeg.point_transform]);
    let (mut buffer, mut held) = (0_u64, 0);
    let columns = usize::from(columns);
    let mut put = |value: u32, bits: u32, out: &mut Vec<u8>| {
        buffer = buffer << bits | u64::from(value);
        held += bits;
        while held >= 8 {
            held -= 8;
            let byte = (buffer >> held) as u8;
            out.push(byte);
            if byte == 0xff {
                out.push(0);
            }
        }
    };
    for (i, pixel) in pixels.iter().enumerate() {
        let predicted = match (i % columns, i / columns) {
            (0, 0) => 1 << 15,
            (0, _) => pixels[i - columns],
            _ => pixels[i - 1],
        };
        let difference = i32::from(pixel.wrapping_sub(predicted) as i16);
        let category = 32 - difference.unsigned_abs().leading_zeros();
        put(category, 5, &mut out);
        if (1..16).contains(&category) {
            let low = if difference < 0 { difference - 1 } else { difference } as u32;
            put(low & ((1 << category) - 1), category, &mut out);
        }
    }
    put(0x7f, 7, &mut out);
    out.extend([0xff, 0xd9]);
    out
}

/// `files::stored` of slice 0 in JPEG 2000, lossless, signed 16 bits; made with OpenJPEG 2.5.2.
pub const JPEG_2000_FRAME: &[u8] = &[
    0xff, 0x4f, 0xff, 0x51, 0x00, 0x29, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x05, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x8f, 0x01, 0x01, 0xff, 0x52, 0x00, 0x0c, 0x00, 0x00,
    0x00, 0x01, 0x00, 0x01, 0x04, 0x04, 0x00, 0x01, 0xff, 0x5c, 0x00, 0x07, 0x40, 0x80, 0x88, 0x88, 0x90,
    0xff, 0x64, 0x00, 0x25, 0x00, 0x01, 0x43, 0x72, 0x65, 0x61, 0x74, 0x65, 0x64, 0x20, 0x62, 0x79, 0x20,
    0x4f, 0x70, 0x65, 0x6e, 0x4a, 0x50, 0x45, 0x47, 0x20, 0x76, 0x65, 0x72, 0x73, 0x69, 0x6f, 0x6e, 0x20,
    0x32, 0x2e, 0x35, 0x2e, 0x32, 0xff, 0x90, 0x00, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x32, 0x00, 0x01,
    0xff, 0x93, 0xc0, 0xfe, 0x44, 0xc0, 0x0b, 0xec, 0xfa, 0xc8, 0x52, 0xd2, 0x48, 0x0b, 0x4c, 0x9d, 0x36,
    0x9c, 0x47, 0x0c, 0x85, 0x4d, 0x36, 0x8e, 0x67, 0xa0, 0x01, 0xf5, 0x04, 0x00, 0x02, 0x8c, 0x36, 0x63,
    0x8e, 0x86, 0xb3, 0x1f, 0xff, 0xd9, 0x00,
];
