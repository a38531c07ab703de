//! Grey levels of a region: what all texture matrices are counted from.
//!
//! Layout: the region's bounding box with a border of empty cells on every side, C order (z fastest). A cell holds the rank of its level
//! among the levels that occur, from 1; 0 outside of the region. So a neighbour is one addition away and never needs a check, and matrices
//! have no empty rows.
use crate::error::{Error, Result};
use ndarray::Array3;

/// A higher level than this is taken for a bin width that does not fit the intensities.
pub const HIGHEST_LEVEL: u32 = 1 << 16;
/// Levels that occur, at most: co-occurrences take the square of it (4096: 256 MiB for every direction at work).
pub const MOST_LEVELS: usize = 1 << 12;

/// Discretised voxels of a region.
#[derive(Debug, Clone)]
pub struct Levels {
    shape: [usize; 3],
    border: [usize; 3],
    cells: Vec<u16>,
    voxels: Vec<u32>,
    grey: Vec<u32>,
    counts: Vec<u32>,
}

impl Levels {
    /// Takes the levels (from 1) of the voxels of `mask` in C order. `reach` is the longest step to a neighbour that will be asked for.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are more levels than [`MOST_LEVELS`], one above [`HIGHEST_LEVEL`], or the box is too large.
    ///
    /// # Panics
    /// When the mask has not as many voxels as there are levels, or a level is 0.
    pub fn new(mask: &Array3<bool>, levels: &[u32], reach: usize) -> Result<Self> {
        let shape = [mask.dim().0, mask.dim().1, mask.dim().2];
        let border = shape.map(|side| reach.min(side.saturating_sub(1)));
        let (grey, rank_of) = ranks(levels)?;
        let padded: [usize; 3] = std::array::from_fn(|a| shape[a] + 2 * border[a]);
        let cells = padded.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
        let Some(cells) = cells.filter(|cells| u32::try_from(*cells).is_ok()) else {
            return Err(Error::Argument {
                what: "size of the region for texture features".into(),
                expected: "a bounding box below 2^32 voxels, with its border for neighbours".into(),
                found: format!("{padded:?} voxels; resample to larger voxels or use smaller distances"),
            });
        };
        let mut this = Self {
            shape,
            border,
            cells: vec![0; cells],
            voxels: Vec::with_capacity(levels.len()),
            counts: vec![0; grey.len()],
            grey,
        };
        let mut levels = levels.iter();
        for ((x, y, z), _) in mask.indexed_iter().filter(|(_, inside)| **inside) {
            let level = *levels.next().expect("a level for every voxel of the mask");
            this.put(this.cell([x, y, z]), rank_of[level as usize]);
        }
        assert_eq!(levels.len(), 0, "levels without a voxel");
        Ok(this)
    }

    fn put(&mut self, cell: usize, rank: u16) {
        self.cells[cell] = rank;
        self.voxels.push(cell as u32);
        self.counts[usize::from(rank)] += 1;
    }

    fn cell(&self, at: [usize; 3]) -> usize {
        let [_, sy, sz] = std::array::from_fn(|a| self.shape[a] + 2 * self.border[a]);
        let [x, y, z] = std::array::from_fn(|a| at[a] + self.border[a]);
        (x * sy + y) * sz + z
    }

    /// Where a cell lies in the box with its border.
    fn position(&self, cell: usize) -> [usize; 3] {
        let [_, sy, sz]: [usize; 3] = std::array::from_fn(|a| self.shape[a] + 2 * self.border[a]);
        [cell / (sy * sz), cell / sz % sy, cell % sz]
    }

    /// Sides of the box without its border.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The padded box: rank of each cell, 0 outside.
    pub(super) fn cells(&self) -> &[u16] {
        &self.cells
    }

    /// Cells of the region's voxels, ascending.
    pub(super) fn voxels(&self) -> &[u32] {
        &self.voxels
    }

    /// Levels of the region's voxels, in C order.
    pub fn region_levels(&self) -> impl Iterator<Item = u32> + '_ {
        self.voxels.iter().map(|cell| self.grey[usize::from(self.cells[*cell as usize])])
    }

    /// Level of each rank; that of rank 0 is 0.
    pub(super) fn grey(&self) -> &[u32] {
        &self.grey
    }

    /// Voxels of each rank.
    pub(super) fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Number of levels that occur.
    pub(super) fn distinct(&self) -> usize {
        self.grey.len() - 1
    }

    /// The highest level.
    pub(super) fn highest(&self) -> u32 {
        self.grey[self.grey.len() - 1]
    }

    /// By how many cells a step of `offset` voxels moves.
    ///
    /// # Panics
    /// When the step is longer than the border.
    pub(super) fn step(&self, offset: [i32; 3]) -> isize {
        let within = (0..3).all(|a| offset[a].unsigned_abs() as usize <= self.border[a]);
        assert!(within, "offset {offset:?} beyond the border {:?}", self.border);
        let [_, sy, sz]: [usize; 3] = std::array::from_fn(|a| self.shape[a] + 2 * self.border[a]);
        let [x, y, z] = offset.map(|o| o as isize);
        (x * sy as isize + y) * sz as isize + z
    }

    /// The largest number of voxels on a line along `offset`.
    pub(super) fn longest_line(&self, offset: [i32; 3]) -> usize {
        let along = (0..3).filter(|a| offset[*a] != 0);
        along.map(|a| self.shape[a].div_ceil(offset[a].unsigned_abs() as usize)).min().unwrap_or(1)
    }

    /// Whether any line along `offset` holds more than one voxel of the region.
    pub(super) fn shares_lines(&self, offset: [i32; 3]) -> bool {
        let mut lines: Vec<[i64; 3]> = (self.voxels.iter())
            .map(|cell| {
                let at = self.position(*cell as usize).map(|p| p as i64);
                // The line's own name: where it was when the first moving axis was at 0.
                let first = (0..3).find(|a| offset[*a] != 0).expect("an offset that moves");
                let steps = at[first] * i64::from(offset[first]);
                std::array::from_fn(|a| at[a] - steps * i64::from(offset[a]))
            })
            .collect();
        lines.sort_unstable();
        lines.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// The slices across `axis` that hold a voxel, each on its own. Levels and their ranks stay those of the whole.
    pub fn slices(&self, axis: usize) -> Vec<Self> {
        let mut slices: Vec<Option<Self>> = vec![None; self.shape[axis]];
        let mut shape = self.shape;
        shape[axis] = 1;
        for cell in &self.voxels {
            let mut at = self.position(*cell as usize);
            (0..3).for_each(|a| at[a] -= self.border[a]);
            let slice = slices[at[axis]].get_or_insert_with(|| self.empty(shape));
            at[axis] = 0;
            slice.put(slice.cell(at), self.cells[*cell as usize]);
        }
        slices.into_iter().flatten().collect()
    }

    fn empty(&self, shape: [usize; 3]) -> Self {
        let border: [usize; 3] = std::array::from_fn(|a| self.border[a].min(shape[a] - 1));
        let cells = (0..3).map(|a| shape[a] + 2 * border[a]).product();
        let counts = vec![0; self.grey.len()];
        Self { shape, border, cells: vec![0; cells], voxels: Vec::new(), grey: self.grey.clone(), counts }
    }
}

/// Levels by rank (the first one is 0, of what lies outside), and the rank of each level.
fn ranks(levels: &[u32]) -> Result<(Vec<u32>, Vec<u16>)> {
    let too_many = |found: String| Error::Argument {
        what: "number of grey levels".into(),
        expected: format!("levels up to {HIGHEST_LEVEL}, of which at most {MOST_LEVELS} occur"),
        found: format!("{found}; raise binWidth or use binCount"),
    };
    let highest = levels.iter().copied().max().unwrap_or(0);
    if highest > HIGHEST_LEVEL {
        return Err(too_many(format!("level {highest}")));
    }
    assert!(levels.iter().all(|level| *level > 0), "levels start at 1");
    let mut occurs = vec![false; highest as usize + 1];
    levels.iter().for_each(|level| occurs[*level as usize] = true);
    let mut grey = vec![0];
    grey.extend((1..=highest).filter(|level| occurs[*level as usize]));
    if grey.len() - 1 > MOST_LEVELS {
        return Err(too_many(format!("{} levels", grey.len() - 1)));
    }
    let mut rank_of = vec![0; highest as usize + 1];
    grey.iter().enumerate().for_each(|(rank, level)| rank_of[*level as usize] = rank as u16);
    Ok((grey, rank_of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_keep_their_place_and_get_ranks() {
        let mask = Array3::from_shape_vec((1, 2, 3), vec![true, false, true, true, true, false]).unwrap();
        let levels = Levels::new(&mask, &[7, 2, 7, 9], 1).unwrap();
        assert_eq!((levels.grey(), levels.counts()), (&[0, 2, 7, 9][..], &[0, 1, 2, 1][..]));
        // No border along the axis of one voxel; one cell along the others.
        assert_eq!(levels.cells().len(), 4 * 5);
        assert_eq!(levels.cells()[6..9], [2, 0, 1]);
        assert_eq!(levels.cells()[11..14], [2, 3, 0]);
        assert_eq!(levels.step([0, 1, -1]), 4);
        let slices = levels.slices(1);
        assert_eq!(slices.iter().map(|s| s.voxels().len()).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(slices[1].counts(), [0, 0, 1, 1]);
    }

    #[test]
    fn lines_are_shared_or_not() {
        let mask = Array3::from_shape_fn((3, 3, 1), |(x, y, _)| x == y);
        let levels = Levels::new(&mask, &[1, 2, 3], 1).unwrap();
        assert!(levels.shares_lines([1, 1, 0]));
        assert!(!levels.shares_lines([1, -1, 0]) && !levels.shares_lines([1, 0, 0]));
        assert_eq!((levels.longest_line([1, 1, 0]), levels.longest_line([0, 1, 0])), (3, 3));
    }

    #[test]
    fn too_many_levels_say_what_to_do() {
        let mask = Array3::from_elem((1, 1, 5000), true);
        let many: Vec<u32> = (1..=5000).collect();
        let error = Levels::new(&mask, &many, 1).unwrap_err().to_string();
        assert!(error.contains("5000 levels") && error.contains("raise binWidth"), "{error}");
        let mask = Array3::from_elem((1, 1, 2), true);
        let error = Levels::new(&mask, &[1, 70_000], 1).unwrap_err().to_string();
        assert!(error.contains("level 70000"), "{error}");
    }
}
