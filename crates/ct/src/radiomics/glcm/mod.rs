//! Which grey levels lie beside which: GLCM (Haralick et al. 1973), as PyRadiomics 3.0.1.
mod correlation;
mod formulas;

use super::levels::Levels;
use super::mean::mean_of;
use super::offsets::one_way;
use super::settings::{Settings, WeightingNorm};
use rayon::prelude::*;

pub use formulas::FEATURES;

/// Co-occurrences of levels: `p[i * ranks + j]` is the probability that a voxel of rank i+1 has a neighbour of rank j+1.
#[derive(Debug, Clone)]
pub struct Cooccurrence {
    p: Vec<f64>,
    /// Number of pairs, or sum of their weights; above 0.
    total: f64,
}

/// The features: means over directions, or those of the weighted sum of matrices. NaN when no voxel has a neighbour.
pub(super) fn features(levels: &Levels, spacing_mm: [f64; 3], settings: &Settings) -> [f64; 24] {
    let offsets = one_way(levels.shape(), &settings.distances_vox, settings.flat_axis);
    let symmetrical = settings.symmetrical_glcm;
    let Some(norm) = settings.weighting_norm else {
        let each: Vec<[f64; 24]> = (offsets.par_iter())
            .filter_map(|offset| Cooccurrence::along(levels, *offset, symmetrical))
            .map(|matrix| matrix.features(levels))
            .collect();
        return mean_of(&each);
    };
    let matrices: Vec<_> =
        offsets.par_iter().map(|offset| Cooccurrence::along(levels, *offset, symmetrical)).collect();
    let weighted = matrices.iter().zip(&offsets).filter_map(|(matrix, offset)| {
        matrix.as_ref().map(|matrix| (matrix, weight(norm, *offset, spacing_mm)))
    });
    Cooccurrence::sum(weighted).map_or([f64::NAN; 24], |matrix| matrix.features(levels))
}

/// Near neighbours weigh more.
fn weight(norm: WeightingNorm, offset: [i32; 3], spacing_mm: [f64; 3]) -> f64 {
    match norm {
        WeightingNorm::NoWeighting => 1.0,
        norm => (-norm.length_mm(offset, spacing_mm).powi(2)).exp(),
    }
}

impl Cooccurrence {
    /// Counts pairs one step apart; `symmetrical`: in both directions. `None` when there is no pair.
    pub(super) fn along(levels: &Levels, offset: [i32; 3], symmetrical: bool) -> Option<Self> {
        let (cells, step, n) = (levels.cells(), levels.step(offset), levels.distinct());
        // Row and column 0 take what lies outside of the region: no branch for each pair.
        let mut counts = vec![0_u32; (n + 1) * (n + 1)];
        for cell in levels.voxels() {
            let (a, b) = (cells[*cell as usize], cells[(*cell as usize).wrapping_add_signed(step)]);
            counts[usize::from(a) * (n + 1) + usize::from(b)] += 1;
        }
        let count = |i: usize, j: usize| f64::from(counts[(i + 1) * (n + 1) + j + 1]);
        let mut weights = vec![0.0; n * n];
        for (i, row) in weights.chunks_mut(n).enumerate() {
            for (j, weight) in row.iter_mut().enumerate() {
                *weight = if symmetrical { count(i, j) + count(j, i) } else { count(i, j) };
            }
        }
        Self::of_weights(weights)
    }

    fn of_weights(mut weights: Vec<f64>) -> Option<Self> {
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= total);
        (total > 0.0).then_some(Self { p: weights, total })
    }

    /// The weighted sum of matrices. `None` when nothing is left.
    pub(super) fn sum<'a>(matrices: impl IntoIterator<Item = (&'a Self, f64)>) -> Option<Self> {
        let mut sum: Option<Vec<f64>> = None;
        for (matrix, weight) in matrices {
            let sum = sum.get_or_insert_with(|| vec![0.0; matrix.p.len()]);
            sum.iter_mut().zip(&matrix.p).for_each(|(s, p)| *s += weight * matrix.total * p);
        }
        sum.and_then(Self::of_weights)
    }

    /// The features, in the order of [`FEATURES`].
    pub(super) fn features(&self, levels: &Levels) -> [f64; 24] {
        formulas::features(&self.p, &levels.grey()[1..], levels.highest())
    }
}
