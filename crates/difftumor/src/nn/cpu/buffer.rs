//! Results that are written once: kernels fill uninitialised memory piece by piece.
//!
//! `vec![0.0; n]` would send every result through the memory twice, once on one thread: a third of the time of a
//! kernel that only reads one tensor and writes another.
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Elements that one task computes at least: smaller ones cost more to hand out than to compute.
const MIN_TASK: usize = 1 << 13;
/// Elements of a usual piece: 64 kB, so that it is still in the cache after it was zeroed.
pub const PIECE: usize = 1 << 14;

/// Zeroes are written while the piece comes into the cache, where it stays for the kernel.
fn zeroed(piece: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    piece.fill(MaybeUninit::new(0.0));
    // SAFETY: every element was written by the line above.
    unsafe { piece.assume_init_mut() }
}

/// `rows` rows of `len` elements in pieces of at most `piece`: `make(row, start, out)` computes the piece that begins
/// at element `start` of its row, and comes zeroed. What it returns is handed back, in the order of the pieces.
pub fn filled<T: Send>(
    rows: usize,
    len: usize,
    piece: usize,
    make: impl Fn(usize, usize, &mut [f32]) -> T + Sync,
) -> (Vec<f32>, Vec<T>) {
    let mut out = Vec::<f32>::with_capacity(rows * len);
    if rows * len == 0 {
        return (out, Vec::new());
    }
    let pieces: Vec<_> = out.spare_capacity_mut()[..rows * len]
        .chunks_exact_mut(len)
        .enumerate()
        .flat_map(|(r, row)| row.chunks_mut(piece).enumerate().map(move |(p, part)| (r, p * piece, part)))
        .collect();
    let found = pieces
        .into_par_iter()
        .with_min_len(MIN_TASK.div_ceil(piece.min(len)))
        .map(|(row, start, part)| make(row, start, zeroed(part)))
        .collect();
    // SAFETY: the pieces of all rows cover `rows * len` elements exactly, and each was zeroed.
    unsafe { out.set_len(rows * len) };
    (out, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_made_once_at_its_place() {
        for (rows, len, piece) in
            [(0, 5, 3), (3, 0, 3), (7, 1, 1), (3, 5000, 5000), (2, 3 * PIECE + 11, PIECE)]
        {
            let (made, starts) = filled(rows, len, piece, |row, start, out| {
                for (i, o) in out.iter_mut().enumerate() {
                    *o += (row * len + start + i) as f32;
                }
                row * len + start
            });
            assert!(made.iter().enumerate().all(|(i, v)| *v == i as f32) && made.len() == rows * len);
            assert!(starts.is_sorted() && starts.len() == rows * len.div_ceil(piece));
        }
    }
}
