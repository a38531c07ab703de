//! Features under the tags of IBSI-1's reference values.
use super::Prepared;
use crate::radiomics::glcm::{self, Cooccurrence};
use crate::radiomics::glrlm::runs;
use crate::radiomics::glszm::zones;
use crate::radiomics::levels::Levels;
use crate::radiomics::mean::mean_of;
use crate::radiomics::neighbours::Neighbours;
use crate::radiomics::offsets::{all, one_way};
use crate::radiomics::size_table::{SizeFeatures, SizeTable};
use crate::radiomics::{firstorder, ngtdm, shape};
use rayon::prelude::*;

/// Slices lie across the third axis.
const SLICE_AXIS: usize = 2;
/// Of a normal distribution, which IBSI takes off.
const NORMAL_KURTOSIS: f64 = 3.0;

/// Tag without its prefix, and PyRadiomics' name of the same feature.
type Tags = &'static [(&'static str, &'static str)];

const SHAPE: Tags = &[
    ("volume", "MeshVolume"),
    ("vol_approx", "VoxelVolume"),
    ("area_mesh", "SurfaceArea"),
    ("av", "SurfaceVolumeRatio"),
    ("comp_1", "Compactness1"),
    ("comp_2", "Compactness2"),
    ("sph_dispr", "SphericalDisproportion"),
    ("sphericity", "Sphericity"),
    ("diam", "Maximum3DDiameter"),
    ("pca_maj_axis", "MajorAxisLength"),
    ("pca_min_axis", "MinorAxisLength"),
    ("pca_least_axis", "LeastAxisLength"),
    ("pca_elongation", "Elongation"),
    ("pca_flatness", "Flatness"),
];

/// Of intensities, and of grey levels.
const INTENSITY: Tags = &[
    ("mean", "Mean"),
    ("var", "Variance"),
    ("skew", "Skewness"),
    ("kurt", "Kurtosis"),
    ("median", "Median"),
    ("min", "Minimum"),
    ("p10", "10Percentile"),
    ("p90", "90Percentile"),
    ("max", "Maximum"),
    ("iqr", "InterquartileRange"),
    ("range", "Range"),
    ("mad", "MeanAbsoluteDeviation"),
    ("rmad", "RobustMeanAbsoluteDeviation"),
];

/// Of intensities alone.
const ENERGY: Tags = &[("energy", "Energy"), ("rms", "RootMeanSquared")];

/// Of grey levels alone.
const HISTOGRAM: Tags = &[("entropy", "Entropy"), ("uniformity", "Uniformity")];

const GLCM: Tags = &[
    ("joint_max", "MaximumProbability"),
    ("joint_avg", "JointAverage"),
    ("joint_var", "SumSquares"),
    ("joint_entr", "JointEntropy"),
    ("diff_avg", "DifferenceAverage"),
    ("diff_var", "DifferenceVariance"),
    ("diff_entr", "DifferenceEntropy"),
    ("sum_avg", "SumAverage"),
    ("sum_var", "ClusterTendency"),
    ("sum_entr", "SumEntropy"),
    ("energy", "JointEnergy"),
    ("contrast", "Contrast"),
    ("dissimilarity", "DifferenceAverage"),
    ("inv_diff", "Id"),
    ("inv_diff_norm", "Idn"),
    ("inv_diff_mom", "Idm"),
    ("inv_diff_mom_norm", "Idmn"),
    ("inv_var", "InverseVariance"),
    ("corr", "Correlation"),
    ("auto_corr", "Autocorrelation"),
    ("clust_tend", "ClusterTendency"),
    ("clust_shade", "ClusterShade"),
    ("clust_prom", "ClusterProminence"),
    ("info_corr1", "Imc1"),
    ("info_corr2", "Imc2"),
];

const NGTDM: Tags = &[
    ("coarseness", "Coarseness"),
    ("contrast", "Contrast"),
    ("busyness", "Busyness"),
    ("complexity", "Complexity"),
    ("strength", "Strength"),
];

/// Tags in the order of [`by_size`].
const RUNS: [&str; 16] = [
    "sre",
    "lre",
    "lgre",
    "hgre",
    "srlge",
    "srhge",
    "lrlge",
    "lrhge",
    "glnu",
    "glnu_norm",
    "rlnu",
    "rlnu_norm",
    "r_perc",
    "gl_var",
    "rl_var",
    "rl_entr",
];
const ZONES: [&str; 16] = [
    "sze",
    "lze",
    "lgze",
    "hgze",
    "szlge",
    "szhge",
    "lzlge",
    "lzhge",
    "glnu",
    "glnu_norm",
    "zsnu",
    "zsnu_norm",
    "z_perc",
    "gl_var",
    "zs_var",
    "zs_entr",
];
const DEPENDENCES: [&str; 17] = [
    "lde",
    "hde",
    "lgce",
    "hgce",
    "ldlge",
    "ldhge",
    "hdlge",
    "hdhge",
    "glnu",
    "glnu_norm",
    "dcnu",
    "dcnu_norm",
    "dc_perc",
    "gl_var",
    "dc_var",
    "dc_entr",
    "dc_energy",
];

/// All features that have a tag.
pub fn features(prepared: &Prepared) -> Vec<(String, f64)> {
    let parts = [shape_features(prepared), intensity_features(prepared), texture_features(prepared)];
    parts.concat()
}

/// Features of the mask's shape: `morph_…`.
pub fn shape_features(prepared: &Prepared) -> Vec<(String, f64)> {
    let mut values = shape::features(&prepared.shape, prepared.intensity.spacing_mm);
    // The covariance is divided by one less than the number of voxels.
    let voxels = prepared.shape.iter().filter(|inside| **inside).count() as f64;
    for axis in ["MajorAxisLength", "MinorAxisLength", "LeastAxisLength"] {
        let at = shape::FEATURES.iter().position(|f| *f == axis).expect("a feature");
        values[at] *= (voxels / (voxels - 1.0).max(1.0)).sqrt();
    }
    named("morph", SHAPE, &shape::FEATURES, &values, "")
}

/// Features of intensities, `stat_…`, and of grey levels, `ih_…`.
pub fn intensity_features(prepared: &Prepared) -> Vec<(String, f64)> {
    let counts = prepared.levels.counts();
    let voxel_mm3 = prepared.intensity.spacing_mm.iter().product();
    let mut levels: Vec<f64> = prepared.levels.region_levels().map(f64::from).collect();
    let mut intensities = prepared.intensity.region_values();
    let of = |values: &mut [f64]| {
        let mut found = firstorder::features(values, counts, 0.0, voxel_mm3);
        let kurtosis = firstorder::FEATURES.iter().position(|f| *f == "Kurtosis").expect("a feature");
        found[kurtosis] -= NORMAL_KURTOSIS;
        found
    };
    let (stat, histogram) = (of(&mut intensities), of(&mut levels));
    let names = &firstorder::FEATURES;
    [
        named("stat", INTENSITY, names, &stat, ""),
        named("stat", ENERGY, names, &stat, ""),
        named("ih", INTENSITY, names, &histogram, ""),
        named("ih", HISTOGRAM, names, &histogram, ""),
    ]
    .concat()
}

/// Features of texture: `cm_…` (GLCM), `rlm_…`, `szm_…`, `ngt_…`, `ngl_…` (GLDM).
pub fn texture_features(prepared: &Prepared) -> Vec<(String, f64)> {
    let whole = std::slice::from_ref(&prepared.levels);
    if !prepared.by_slice {
        return of_parts(whole, None, "_3D");
    }
    let slices = prepared.levels.slices(SLICE_AXIS);
    [of_parts(&slices, Some(SLICE_AXIS), "_2D"), of_parts(whole, Some(SLICE_AXIS), "_2_5D")].concat()
}

/// Features averaged over parts of the region: slices, or one part that is the whole.
fn of_parts(parts: &[Levels], flat_axis: Option<usize>, suffix: &str) -> Vec<(String, f64)> {
    let each: Vec<Part> = parts.par_iter().map(|levels| Part::of(levels, flat_axis)).collect();
    let by_direction: Vec<_> = each.iter().flat_map(|part| part.glcm.iter().copied()).collect();
    let merged: Vec<_> = each.iter().filter_map(|part| part.glcm_merged).collect();
    let runs_by_direction: Vec<_> = each.iter().flat_map(|part| part.runs.iter().copied()).collect();
    let mean_by = |f: fn(&Part) -> [f64; 17]| mean_of(&each.iter().map(f).collect::<Vec<_>>());
    let tones = mean_of(&each.iter().map(|part| part.tones).collect::<Vec<_>>());
    let [avg, comb] = ["avg", "comb"].map(|how| format!("{suffix}_{how}"));
    [
        named("cm", GLCM, &glcm::FEATURES, &mean_of(&by_direction), &avg),
        named("cm", GLCM, &glcm::FEATURES, &mean_of(&merged), &comb),
        listed("rlm", &RUNS, &mean_of(&runs_by_direction), &avg),
        listed("rlm", &RUNS, &mean_by(|part| part.runs_merged), &comb),
        listed("szm", &ZONES, &mean_by(|part| part.zones), suffix),
        named("ngt", NGTDM, &ngtdm::FEATURES, &tones, suffix),
        listed("ngl", &DEPENDENCES, &mean_by(|part| part.dependences), suffix),
    ]
    .concat()
}

/// Features of one part, by direction where there are any.
struct Part {
    glcm: Vec<[f64; 24]>,
    glcm_merged: Option<[f64; 24]>,
    runs: Vec<[f64; 17]>,
    runs_merged: [f64; 17],
    zones: [f64; 17],
    tones: [f64; 5],
    dependences: [f64; 17],
}

impl Part {
    fn of(levels: &Levels, flat_axis: Option<usize>) -> Self {
        let grey = levels.grey();
        let offsets = one_way(levels.shape(), &[1], flat_axis);
        let pairs = offsets.iter().filter_map(|offset| Cooccurrence::along(levels, *offset, true));
        let pairs: Vec<Cooccurrence> = pairs.collect();
        let lines: Vec<SizeTable> = offsets.iter().map(|offset| runs(levels, *offset)).collect();
        let neighbours = Neighbours::of(levels, &all(levels.shape(), &[1], flat_axis), 0);
        let mut dependences = by_size(&neighbours.dependences().features(grey));
        // Every voxel is one centre.
        dependences[12] = 1.0;
        Self {
            glcm: pairs.iter().map(|pairs| pairs.features(levels)).collect(),
            glcm_merged: Cooccurrence::sum(pairs.iter().map(|p| (p, 1.0))).map(|sum| sum.features(levels)),
            runs: lines.iter().map(|table| by_size(&table.features(grey))).collect(),
            runs_merged: by_size(&SizeTable::sum(lines.iter().map(|table| (table, 1.0))).features(grey)),
            zones: by_size(&zones(levels, flat_axis).features(grey)),
            tones: ngtdm::features(&neighbours.tones(grey, false)),
            dependences,
        }
    }
}

/// In IBSI's order.
fn by_size(f: &SizeFeatures) -> [f64; 17] {
    [
        f.small,
        f.large,
        f.low,
        f.high,
        f.small_low,
        f.small_high,
        f.large_low,
        f.large_high,
        f.grey_nonuniformity,
        f.grey_nonuniformity_normalized,
        f.size_nonuniformity,
        f.size_nonuniformity_normalized,
        f.percentage,
        f.grey_variance,
        f.size_variance,
        f.entropy,
        f.energy,
    ]
}

fn named(prefix: &str, tags: Tags, names: &[&str], values: &[f64], suffix: &str) -> Vec<(String, f64)> {
    let value = |name: &str| {
        let at = names.iter().position(|known| *known == name);
        values[at.unwrap_or_else(|| panic!("{name} is not one of {names:?}"))]
    };
    tags.iter().map(|(tag, name)| (format!("{prefix}_{tag}{suffix}"), value(name))).collect()
}

fn listed(prefix: &str, tags: &[&str], values: &[f64], suffix: &str) -> Vec<(String, f64)> {
    tags.iter().zip(values).map(|(tag, value)| (format!("{prefix}_{tag}{suffix}"), *value)).collect()
}
