//! What the neighbours of every voxel are like: one pass for NGTDM and GLDM.
//!
//! Everything is counted in whole numbers, so the order in which threads add up cannot matter.
use super::levels::Levels;
use super::size_table::SizeTable;
use rayon::prelude::*;

/// Voxels that one task looks at.
const PIECE: usize = 1 << 13;

/// Counts over all voxels of a region.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Number of neighbours that a voxel can have, plus one.
    width: usize,
    /// `[rank * width + neighbours in the region]`: sum of |neighbours * level - sum of their levels|.
    differences: Vec<u64>,
    /// The same: number of voxels.
    voxels: Vec<u32>,
    /// `[rank * (width + 1) + dependent voxels]`, the voxel itself among them.
    dependences: Vec<u32>,
}

/// One row of the NGTDM.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    /// The level.
    pub level: f64,
    /// Number of voxels.
    pub voxels: f64,
    /// Sum of the differences to the mean of the neighbours.
    pub difference: f64,
}

impl Neighbours {
    /// Looks at the voxels `offsets` away. Those within `alpha` levels are dependent.
    pub(super) fn of(levels: &Levels, offsets: &[[i32; 3]], alpha: u32) -> Self {
        let steps: Vec<isize> = offsets.iter().map(|offset| levels.step(*offset)).collect();
        let empty = || Self::empty(levels.distinct() + 1, steps.len() + 1);
        let pieces = levels.voxels().par_chunks(PIECE);
        let count = |mut sums: Self, piece: &[u32]| {
            piece.iter().for_each(|cell| sums.add(levels, *cell as usize, &steps, alpha));
            sums
        };
        pieces.fold(empty, count).reduce(empty, Self::plus)
    }

    fn empty(ranks: usize, width: usize) -> Self {
        let (differences, voxels) = (vec![0; ranks * width], vec![0; ranks * width]);
        Self { width, differences, voxels, dependences: vec![0; ranks * (width + 1)] }
    }

    fn add(&mut self, levels: &Levels, cell: usize, steps: &[isize], alpha: u32) {
        let (cells, grey) = (levels.cells(), levels.grey());
        let rank = usize::from(cells[cell]);
        let level = grey[rank];
        // The voxel depends on itself.
        let (mut sum, mut count, mut dependent) = (0_u64, 0_usize, 1_usize);
        for step in steps {
            let other = usize::from(cells[cell.wrapping_add_signed(*step)]);
            let near = grey[other];
            sum += u64::from(near);
            count += usize::from(other != 0);
            dependent += usize::from((other != 0) & (near.abs_diff(level) <= alpha));
        }
        let at = rank * self.width + count;
        self.differences[at] += (count as u64 * u64::from(level)).abs_diff(sum);
        self.voxels[at] += 1;
        self.dependences[rank * (self.width + 1) + dependent] += 1;
    }

    fn plus(mut self, other: Self) -> Self {
        self.differences.iter_mut().zip(&other.differences).for_each(|(a, b)| *a += b);
        self.voxels.iter_mut().zip(&other.voxels).for_each(|(a, b)| *a += b);
        self.dependences.iter_mut().zip(&other.dependences).for_each(|(a, b)| *a += b);
        self
    }

    /// Rows of the NGTDM, for levels with a voxel. PyRadiomics counts voxels that have no neighbours (`lonely`), IBSI does not.
    pub(super) fn tones(&self, grey: &[u32], lonely: bool) -> Vec<Tone> {
        let rows = self.voxels.chunks(self.width).zip(self.differences.chunks(self.width)).zip(grey);
        rows.filter_map(|((voxels, differences), level)| {
            let from = usize::from(!lonely);
            let count: u32 = voxels[from..].iter().sum();
            let shares = differences.iter().enumerate().skip(1).map(|(n, sum)| *sum as f64 / n as f64);
            let tone = Tone { level: f64::from(*level), voxels: f64::from(count), difference: shares.sum() };
            (count > 0).then_some(tone)
        })
        .collect()
    }

    /// The GLDM: dependent voxels by level.
    pub(super) fn dependences(&self) -> SizeTable {
        SizeTable::of_counts(&self.dependences, self.width + 1)
    }
}
