//! Zones of neighbouring voxels of one grey level: GLSZM (Thibault et al. 2009), as PyRadiomics 3.0.1.
use super::levels::Levels;
use super::offsets::all;
use super::settings::Settings;
use super::size_table::{SizeFeatures, SizeTable};

/// Names of the features, in the order of [`features`].
pub const FEATURES: [&str; 16] = [
    "GrayLevelNonUniformity",
    "GrayLevelNonUniformityNormalized",
    "GrayLevelVariance",
    "HighGrayLevelZoneEmphasis",
    "LargeAreaEmphasis",
    "LargeAreaHighGrayLevelEmphasis",
    "LargeAreaLowGrayLevelEmphasis",
    "LowGrayLevelZoneEmphasis",
    "SizeZoneNonUniformity",
    "SizeZoneNonUniformityNormalized",
    "SmallAreaEmphasis",
    "SmallAreaHighGrayLevelEmphasis",
    "SmallAreaLowGrayLevelEmphasis",
    "ZoneEntropy",
    "ZonePercentage",
    "ZoneVariance",
];

/// The features.
pub(super) fn features(levels: &Levels, settings: &Settings) -> [f64; 16] {
    in_order(&zones(levels, settings.flat_axis).features(levels.grey()))
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
        f.size_nonuniformity,
        f.size_nonuniformity_normalized,
        f.small,
        f.small_high,
        f.small_low,
        f.entropy,
        f.percentage,
        f.size_variance,
    ]
}

/// Zones of voxels that touch at a face, edge or corner; in planes across `flat_axis` when there is one.
pub(super) fn zones(levels: &Levels, flat_axis: Option<usize>) -> SizeTable {
    let steps: Vec<isize> =
        all(levels.shape(), &[1], flat_axis).into_iter().map(|offset| levels.step(offset)).collect();
    // Cells of zones that were found become empty.
    let mut cells = levels.cells().to_vec();
    let (mut zones, mut open) = (Vec::new(), Vec::new());
    for cell in levels.voxels() {
        let rank = std::mem::take(&mut cells[*cell as usize]);
        if rank == 0 {
            continue;
        }
        let mut size = 0_u32;
        open.push(*cell as usize);
        while let Some(at) = open.pop() {
            size += 1;
            for step in &steps {
                let next = at.wrapping_add_signed(*step);
                if cells[next] == rank {
                    cells[next] = 0;
                    open.push(next);
                }
            }
        }
        zones.push((u32::from(rank), size));
    }
    SizeTable::of_items(zones)
}
