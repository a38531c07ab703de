//! Runs of one grey level along a line: GLRLM (Galloway 1975), as PyRadiomics 3.0.1.
use super::levels::Levels;
use super::mean::mean_of;
use super::offsets::one_way;
use super::settings::Settings;
use super::size_table::{SizeFeatures, SizeTable};
use rayon::prelude::*;

/// Names of the features, in the order of [`features`].
pub const FEATURES: [&str; 16] = [
    "GrayLevelNonUniformity",
    "GrayLevelNonUniformityNormalized",
    "GrayLevelVariance",
    "HighGrayLevelRunEmphasis",
    "LongRunEmphasis",
    "LongRunHighGrayLevelEmphasis",
    "LongRunLowGrayLevelEmphasis",
    "LowGrayLevelRunEmphasis",
    "RunEntropy",
    "RunLengthNonUniformity",
    "RunLengthNonUniformityNormalized",
    "RunPercentage",
    "RunVariance",
    "ShortRunEmphasis",
    "ShortRunHighGrayLevelEmphasis",
    "ShortRunLowGrayLevelEmphasis",
];

/// The features: means over directions, or those of the weighted sum of matrices. NaN when there is no run in any direction.
pub(super) fn features(levels: &Levels, spacing_mm: [f64; 3], settings: &Settings) -> [f64; 16] {
    let offsets = one_way(levels.shape(), &[1], settings.flat_axis);
    let tables: Vec<SizeTable> = offsets.par_iter().map(|offset| runs_or_none(levels, *offset)).collect();
    let Some(norm) = settings.weighting_norm else {
        let each: Vec<[f64; 16]> =
            tables.par_iter().map(|table| in_order(&table.features(levels.grey()))).collect();
        return mean_of(&each);
    };
    let weighted =
        tables.iter().zip(&offsets).map(|(table, offset)| (table, norm.length_mm(*offset, spacing_mm)));
    in_order(&SizeTable::sum(weighted).features(levels.grey()))
}

fn in_order(f: &SizeFeatures) -> [f64; 16] {
    [
        f.grey_nonuniformity,
        f.grey_nonuniformity_normalized,
        f.grey_variance,
        f.high,
        f.large,
        f.large_high,
        f.large_low,
        f.low,
        f.entropy,
        f.size_nonuniformity,
        f.size_nonuniformity_normalized,
        f.percentage,
        f.size_variance,
        f.small,
        f.small_high,
        f.small_low,
    ]
}

/// Runs along one direction; none when no line has two voxels of the region: PyRadiomics takes such a direction to say nothing.
fn runs_or_none(levels: &Levels, offset: [i32; 3]) -> SizeTable {
    let found = runs(levels, offset);
    let alone = found.largest() < 2 && !levels.shares_lines(offset);
    if alone { SizeTable::default() } else { found }
}

/// Runs along one direction.
pub(super) fn runs(levels: &Levels, offset: [i32; 3]) -> SizeTable {
    let (cells, step) = (levels.cells(), levels.step(offset));
    let width = levels.longest_line(offset) + 1;
    let mut counts = vec![0_u32; (levels.distinct() + 1) * width];
    for cell in levels.voxels() {
        let first = *cell as usize;
        let rank = cells[first];
        if cells[first.wrapping_add_signed(-step)] == rank {
            continue;
        }
        let (mut at, mut length) = (first, 0);
        while cells[at] == rank {
            at = at.wrapping_add_signed(step);
            length += 1;
        }
        counts[usize::from(rank) * width + length] += 1;
    }
    SizeTable::of_counts(&counts, width)
}
