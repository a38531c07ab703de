//! Matrices of grey level by size: runs (GLRLM), zones (GLSZM) and dependences (GLDM) share their formulas.
//!
//! PyRadiomics 3.0.1, documentation of the classes; IBSI-1 reference manual (arXiv:1612.07003), sections 3.7, 3.8 and 3.11.
use std::collections::BTreeMap;

/// How often each size occurs at each level; weights may make it no whole number.
#[derive(Debug, Clone, Default)]
pub struct SizeTable {
    /// Rank of the level, size, how often. Sorted by rank, then size; none twice.
    entries: Vec<(u32, u32, f64)>,
}

/// The features of such a matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SizeFeatures {
    /// Short runs, small zones, low dependence.
    pub small: f64,
    /// Long runs, large zones, high dependence.
    pub large: f64,
    /// Low grey levels.
    pub low: f64,
    /// High grey levels.
    pub high: f64,
    /// Small sizes at low levels.
    pub small_low: f64,
    /// Small sizes at high levels.
    pub small_high: f64,
    /// Large sizes at low levels.
    pub large_low: f64,
    /// Large sizes at high levels.
    pub large_high: f64,
    /// Grey level non-uniformity.
    pub grey_nonuniformity: f64,
    /// The same by the number of runs, zones or voxels.
    pub grey_nonuniformity_normalized: f64,
    /// Size non-uniformity.
    pub size_nonuniformity: f64,
    /// The same by the number of runs, zones or voxels.
    pub size_nonuniformity_normalized: f64,
    /// Number of runs or zones for each voxel.
    pub percentage: f64,
    /// Variance of grey levels.
    pub grey_variance: f64,
    /// Variance of sizes.
    pub size_variance: f64,
    /// Entropy in bits.
    pub entropy: f64,
    /// Sum of squared probabilities.
    pub energy: f64,
}

impl SizeTable {
    /// From entries in any order, each counted once.
    pub(super) fn of_items(mut items: Vec<(u32, u32)>) -> Self {
        items.sort_unstable();
        let groups = items.chunk_by(|a, b| a == b);
        Self { entries: groups.map(|group| (group[0].0, group[0].1, group.len() as f64)).collect() }
    }

    /// From counts `[rank * width + size]`.
    pub(super) fn of_counts(counts: &[u32], width: usize) -> Self {
        let occurring = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let entries =
            occurring.map(|(i, count)| ((i / width) as u32, (i % width) as u32, f64::from(*count))).collect();
        Self { entries }
    }

    /// The weighted sum of tables.
    pub(super) fn sum<'a>(tables: impl IntoIterator<Item = (&'a Self, f64)>) -> Self {
        let mut sums: BTreeMap<(u32, u32), f64> = BTreeMap::new();
        for (table, weight) in tables {
            for (rank, size, count) in &table.entries {
                *sums.entry((*rank, *size)).or_default() += weight * count;
            }
        }
        Self { entries: sums.into_iter().map(|((rank, size), count)| (rank, size, count)).collect() }
    }

    /// The largest size; 0 when nothing was counted.
    pub(super) fn largest(&self) -> u32 {
        self.entries.iter().map(|(_, size, _)| *size).max().unwrap_or(0)
    }

    /// Whether nothing was counted.
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The features; `grey` holds the level of each rank. All NaN for an empty table.
    pub(super) fn features(&self, grey: &[u32]) -> SizeFeatures {
        let mut by_grey = vec![0.0; grey.len()];
        let mut by_size: BTreeMap<u32, f64> = BTreeMap::new();
        for (rank, size, count) in &self.entries {
            by_grey[*rank as usize] += count;
            *by_size.entry(*size).or_default() += count;
        }
        let total: f64 = by_grey.iter().sum();
        let grey_counts =
            || by_grey.iter().enumerate().map(|(r, count)| (f64::from(grey[r]), *count)).skip(1);
        let size_counts = || by_size.iter().map(|(size, count)| (f64::from(*size), *count));
        let over_grey = |f: &dyn Fn(f64) -> f64| grey_counts().map(|(i, c)| c * f(i)).sum::<f64>() / total;
        let over_size = |f: &dyn Fn(f64) -> f64| size_counts().map(|(j, c)| c * f(j)).sum::<f64>() / total;
        let (mean_grey, mean_size) = (over_grey(&|i| i), over_size(&|j| j));
        let squared = |counts: &mut dyn Iterator<Item = (f64, f64)>| counts.map(|(_, c)| c * c).sum::<f64>();
        let (grey_squares, size_squares) = (squared(&mut grey_counts()), squared(&mut size_counts()));
        let [small_low, small_high, large_low, large_high, entropy, energy] = self.joint(grey, total);
        SizeFeatures {
            small: over_size(&|j| 1.0 / (j * j)),
            large: over_size(&|j| j * j),
            low: over_grey(&|i| 1.0 / (i * i)),
            high: over_grey(&|i| i * i),
            small_low,
            small_high,
            large_low,
            large_high,
            grey_nonuniformity: grey_squares / total,
            grey_nonuniformity_normalized: grey_squares / (total * total),
            size_nonuniformity: size_squares / total,
            size_nonuniformity_normalized: size_squares / (total * total),
            percentage: 1.0 / mean_size,
            grey_variance: over_grey(&|i| (i - mean_grey).powi(2)),
            size_variance: over_size(&|j| (j - mean_size).powi(2)),
            // -0 would be printed.
            entropy: entropy + 0.0,
            energy,
        }
    }

    /// Sums over levels and sizes together.
    fn joint(&self, grey: &[u32], total: f64) -> [f64; 6] {
        if self.is_empty() {
            return [f64::NAN; 6];
        }
        let mut joint = [0.0; 6];
        for (rank, size, count) in &self.entries {
            let (i, j) = (f64::from(grey[*rank as usize]), f64::from(*size));
            let (i2, j2, p) = (i * i, j * j, count / total);
            let terms = [p / (i2 * j2), p * i2 / j2, p * j2 / i2, p * i2 * j2, -p * p.log2(), p * p];
            joint.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        joint
    }
}
