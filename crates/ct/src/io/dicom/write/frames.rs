//! Frames of a binary segmentation: one for each segment and slice in which it has a voxel, one bit a voxel.
use crate::volume::Labels;
use std::collections::BTreeMap;

/// A segment's part in a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Position of the segment, from 0.
    pub segment: usize,
    pub value: u16,
    pub z: usize,
}

/// All frames: by value, then along z.
pub(super) fn frames(labels: &Labels) -> Vec<Frame> {
    let slices = labels.data.dim().2;
    let mut held = BTreeMap::<u16, Vec<bool>>::new();
    // Neighbours mostly have the same value, and background is most.
    for ((_, _, z), &value) in labels.data.indexed_iter().filter(|(_, value)| **value > 0) {
        held.entry(value).or_insert_with(|| vec![false; slices])[z] = true;
    }
    let one = |(segment, (value, held)): (usize, (u16, Vec<bool>))| {
        let slices = (0..held.len()).filter(move |&z| held[z]);
        slices.map(move |z| Frame { segment, value, z })
    };
    held.into_iter().enumerate().flat_map(one).collect()
}

/// Bytes that the bits of `frames` fill, padded to an even number. `None` when they are more than an element can hold.
pub(super) fn packed_bytes(frames: usize, [columns, rows]: [usize; 2]) -> Option<usize> {
    let bits = frames.checked_mul(columns)?.checked_mul(rows)?;
    let bytes = bits.div_ceil(8).next_multiple_of(2);
    // The largest 32-bit number stands for an undefined length.
    (bytes < u32::MAX as usize).then_some(bytes)
}

/// Bits of all frames, row by row, without gaps between frames; the first in the lowest bit (PS3.5, 8.1.1, D).
pub(super) fn packed(labels: &Labels, frames: &[Frame], bytes: usize) -> Vec<u8> {
    let (columns, rows, _) = labels.data.dim();
    let mut packed = vec![0; bytes];
    for (i, frame) in frames.iter().enumerate() {
        let mut at = i * rows * columns;
        for y in 0..rows {
            for x in 0..columns {
                if labels.data[[x, y, frame.z]] == frame.value {
                    packed[at / 8] |= 1 << (at % 8);
                }
                at += 1;
            }
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;
    use ndarray::Array3;

    #[test]
    fn only_slices_with_voxels_have_frames_and_bits_have_no_gaps() {
        let mut data = Array3::zeros((3, 1, 4));
        (data[[0, 0, 1]], data[[2, 0, 1]], data[[1, 0, 3]], data[[2, 0, 3]]) = (7, 2, 7, 7);
        let labels = Labels { data, affine: Affine::from_spacing_mm([1.0; 3]) };
        let frames = frames(&labels);
        let found: Vec<_> = frames.iter().map(|f| (f.segment, f.value, f.z)).collect();
        assert_eq!(found, [(0, 2, 1), (1, 7, 1), (1, 7, 3)]);
        let bytes = packed_bytes(3, [3, 1]).unwrap();
        // 001 100 011, first bit lowest.
        assert_eq!(packed(&labels, &frames, bytes), [0b1000_1100, 0b1]);
        assert_eq!(packed_bytes(1 << 30, [512, 512]), None);
    }
}
