//! Results that are written once: kernels fill uninitialised memory piece by piece.
//!
//! `vec![0.0; n]` would send every result through the memory twice, once on one thread: a third of the time of a
//! kernel that only reads one tensor and writes another.
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Elements that one task computes at least: smaller ones cost more to hand out than to compute.
const MIN_TASK: usize = 1 << 13;
/// Elements of a usual piece: 4 kB. Zeroing 16 kB or more at once (which memset does in another way) made SiLU take
/// 1.7 times as long.
pub const PIECE: usize = 1 << 10;

/// Zeroes are written while the piece comes into the cache, where it stays for the kernel.
fn zeroed(piece: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    piece.fill(MaybeUninit::new(0.0));
    // SAFETY: every element was written by the line above.
    unsafe { piece.assume_init_mut() }
}

/// A piece of a result that is taken bit by bit, each of them zeroed just before it is computed.
pub struct Fresh<'a> {
    piece: &'a mut [MaybeUninit<f32>],
    taken: usize,
}

impl Fresh<'_> {
    /// The next `n` elements.
    pub fn take(&mut self, n: usize) -> &mut [f32] {
        let next = &mut self.piece[self.taken..][..n];
        let next = zeroed(next);
        self.taken += n; // after the slice: a wrong `n` panics before it counts
        next
    }

    /// All elements that were taken so far.
    pub fn taken(&mut self) -> &mut [f32] {
        // SAFETY: `take` zeroes what it counts.
        unsafe { self.piece[..self.taken].assume_init_mut() }
    }
}

/// [`filled_bit_by_bit`] where a piece is taken as a whole.
pub fn filled<T: Send>(
    rows: usize,
    len: usize,
    piece: usize,
    make: impl Fn(usize, usize, &mut [f32]) -> T + Sync,
) -> (Vec<f32>, Vec<T>) {
    filled_bit_by_bit(rows, len, piece, |row, start, out| make(row, start, out.take(out.piece.len())))
}

/// `rows` rows of `len` elements in pieces of at most `piece`: `make(row, start, out)` computes the piece that begins
/// at element `start` of its row. What it leaves becomes 0. What it returns is handed back, in the order of the pieces.
pub fn filled_bit_by_bit<T: Send>(
    rows: usize,
    len: usize,
    piece: usize,
    make: impl Fn(usize, usize, &mut Fresh) -> T + Sync,
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
        .map(|(row, start, part)| {
            let mut fresh = Fresh { piece: part, taken: 0 };
            let found = make(row, start, &mut fresh);
            let left = fresh.taken;
            zeroed(&mut fresh.piece[left..]);
            found
        })
        .collect();
    // SAFETY: the pieces of all rows cover `rows * len` elements exactly, and each was zeroed by `take` or
    // after `make`.
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
