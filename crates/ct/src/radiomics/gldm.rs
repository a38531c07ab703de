//! How many neighbours are alike: GLDM (Sun & Wee 1983), as PyRadiomics 3.0.1.
use super::size_table::SizeFeatures;

/// Names of the features, in the order of [`in_order`].
pub const FEATURES: [&str; 14] = [
    "DependenceEntropy",
    "DependenceNonUniformity",
    "DependenceNonUniformityNormalized",
    "DependenceVariance",
    "GrayLevelNonUniformity",
    "GrayLevelVariance",
    "HighGrayLevelEmphasis",
    "LargeDependenceEmphasis",
    "LargeDependenceHighGrayLevelEmphasis",
    "LargeDependenceLowGrayLevelEmphasis",
    "LowGrayLevelEmphasis",
    "SmallDependenceEmphasis",
    "SmallDependenceHighGrayLevelEmphasis",
    "SmallDependenceLowGrayLevelEmphasis",
];

/// The features by the order of their names.
pub(super) fn in_order(f: &SizeFeatures) -> [f64; 14] {
    [
        f.entropy,
        f.size_nonuniformity,
        f.size_nonuniformity_normalized,
        f.size_variance,
        f.grey_nonuniformity,
        f.grey_variance,
        f.high,
        f.large,
        f.large_high,
        f.large_low,
        f.low,
        f.small,
        f.small_high,
        f.small_low,
    ]
}
