//! Differences to the mean of the neighbours: NGTDM (Amadasun & King 1989), as PyRadiomics 3.0.1.
use super::neighbours::Tone;

/// Names of the features, in the order of [`features`].
pub const FEATURES: [&str; 5] = ["Busyness", "Coarseness", "Complexity", "Contrast", "Strength"];

/// Coarseness where no voxel differs from its neighbours.
const FLAT_COARSENESS: f64 = 1e6;

/// The features. Where PyRadiomics would divide by zero they are 0, coarseness 10^6; all NaN when no voxel was counted.
pub(super) fn features(tones: &[Tone]) -> [f64; 5] {
    if tones.is_empty() {
        return [f64::NAN; 5];
    }
    let total: f64 = tones.iter().map(|t| t.voxels).sum();
    let rows: Vec<[f64; 3]> = tones.iter().map(|t| [t.level, t.voxels / total, t.difference]).collect();
    let mut pairs = [0.0; 4];
    for [i, p, s] in &rows {
        for [j, q, t] in &rows {
            let step = i - j;
            let complexity = step.abs() * (p * s + q * t) / (p + q);
            let terms = [p * q * step * step, (i * p - j * q).abs(), complexity, (p + q) * step * step];
            pairs.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
    }
    let [contrast, busyness, complexity, strength] = pairs;
    let weighted: f64 = rows.iter().map(|[_, p, s]| p * s).sum();
    let differences: f64 = rows.iter().map(|[_, _, s]| s).sum();
    let levels = rows.len() as f64;
    let or =
        |divisor: f64, value: f64, otherwise: f64| if divisor == 0.0 { otherwise } else { value / divisor };
    [
        or(busyness, weighted, 0.0),
        or(weighted, 1.0, FLAT_COARSENESS),
        complexity / total,
        or(levels * (levels - 1.0), contrast * differences / total, 0.0),
        or(differences, strength, 0.0),
    ]
}
