//! TensorBoard's event file: scalars and pictures.
//!
//! A file of records (length, masked CRC-32C of the length, bytes, masked CRC-32C of the bytes; TensorFlow's `record_writer.h`),
//! each a protobuf `Event` (`event.proto`, `summary.proto`). Only the five fields needed here are written.
use crc32c::crc32c;

/// A scalar of a step.
pub fn scalar(wall_time_s: f64, step: u64, tag: &str, value: f32) -> Vec<u8> {
    let mut inner = bytes_field(1, tag.as_bytes());
    inner.extend(key(2, 5)); // simple_value
    inner.extend(value.to_le_bytes());
    record(&event(wall_time_s, step, &inner))
}

/// A grey or colour picture of a step.
pub fn picture(wall_time_s: f64, step: u64, tag: &str, [width, height]: [usize; 2], png: &[u8]) -> Vec<u8> {
    let mut image = vec![];
    for (field, value) in [(1, height as u64), (2, width as u64), (3, 3)] {
        image.extend(key(field, 0)); // height, width, colour space RGB
        image.extend(varint(value));
    }
    image.extend(bytes_field(4, png));
    let mut inner = bytes_field(1, tag.as_bytes());
    inner.extend(bytes_field(4, &image));
    record(&event(wall_time_s, step, &inner))
}

/// The first record of a file.
pub fn version(wall_time_s: f64) -> Vec<u8> {
    let mut event = key(1, 1);
    event.extend(wall_time_s.to_le_bytes());
    event.extend(bytes_field(3, b"brain.Event:2"));
    record(&event)
}

fn event(wall_time_s: f64, step: u64, value: &[u8]) -> Vec<u8> {
    let mut event = key(1, 1);
    event.extend(wall_time_s.to_le_bytes());
    event.extend(key(2, 0));
    event.extend(varint(step));
    event.extend(bytes_field(5, &bytes_field(1, value))); // summary, its value
    event
}

fn key(field: u64, wire_type: u64) -> Vec<u8> {
    varint(field << 3 | wire_type)
}

fn bytes_field(field: u64, bytes: &[u8]) -> Vec<u8> {
    [key(field, 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = vec![];
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first record as TensorFlow writes it; its check sums are those of a file of `tf.summary.create_file_writer`.
    #[test]
    fn records_have_the_known_bytes() {
        let got = version(1.0);
        assert_eq!(got[..8], 24u64.to_le_bytes());
        // The length 24 is in every such file: its masked check sum is known.
        assert_eq!(got[8..12], [0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(&got[12..21], [9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(&got[21..36], b"\x1a\x0dbrain.Event:2");
        assert_eq!(got.len(), 12 + 24 + 4);
    }

    #[test]
    fn a_scalar_holds_step_tag_and_value() {
        let got = scalar(0.0, 300, "loss", 0.5);
        // wall_time, step 300 = 0xac 0x02, summary > value > tag, simple_value
        let want = [
            &[9, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0xac, 0x02, 0x2a, 13, 0x0a, 11, 0x0a, 4][..],
            b"loss",
            &[0x15, 0, 0, 0, 0x3f],
        ]
        .concat();
        assert_eq!(&got[12..got.len() - 4], want);
    }
}
