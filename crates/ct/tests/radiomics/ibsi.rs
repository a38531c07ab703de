//! IBSI-1's reference values: the digital phantom, and a lung tumor processed in five ways.
use super::{fixture, shared};
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::radiomics::Interpolator::{BSpline, Linear};
use difftumor_ct::radiomics::ibsi::{Bins, Prepared, Processing, features, prepare};
use difftumor_ct::{Affine, Mask, Volume};
use ndarray::Array3;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Slices of the phantom by z, y and x; 0 lies outside of the region (IBSI-1 reference manual, section 5.1).
const PHANTOM: [[[u8; 5]; 4]; 4] = [
    [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
    [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
    [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
    [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
];

/// Features that none of the classes has: what the mask's shape and the intensities are like in other ways, peaks, histograms' gradients,
/// volume histograms, distance zones.
const OTHER: [&str; 38] = [
    "morph_asphericity",
    "morph_com",
    "morph_vol_dens_aabb",
    "morph_area_dens_aabb",
    "morph_vol_dens_ombb",
    "morph_area_dens_ombb",
    "morph_vol_dens_aee",
    "morph_area_dens_aee",
    "morph_vol_dens_mvee",
    "morph_area_dens_mvee",
    "morph_vol_dens_conv_hull",
    "morph_area_dens_conv_hull",
    "morph_integ_int",
    "morph_moran_i",
    "morph_geary_c",
    "loc_peak_loc",
    "loc_peak_glob",
    "stat_medad",
    "stat_cov",
    "stat_qcod",
    "ih_mode",
    "ih_medad",
    "ih_cov",
    "ih_qcod",
    "ih_max_grad",
    "ih_max_grad_g",
    "ih_min_grad",
    "ih_min_grad_g",
    "ivh_v10",
    "ivh_v90",
    "ivh_i10",
    "ivh_i90",
    "ivh_diff_v10_v90",
    "ivh_diff_i10_i90",
    "ivh_auc",
    "dzm",
    "img",
    "roi",
];

/// `value;tolerance;tag`.
fn reference(path: &Path) -> BTreeMap<String, [f64; 2]> {
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().skip(1).map(|line| line.split(';').collect::<Vec<_>>());
    // Features on which there is no consensus have a tag and no value.
    let settled = rows.filter(|row| !row[0].is_empty() && !row[1].is_empty());
    settled.map(|row| (row[2].to_string(), [row[0].parse().unwrap(), row[1].parse().unwrap()])).collect()
}

fn is_other(tag: &str) -> bool {
    OTHER.contains(&tag) || tag.starts_with("dzm_") || tag.ends_with("_img") || tag.ends_with("_roi")
}

/// Compares everything that both sides have; returns the number, and prints what is left out.
fn check(name: &str, found: &[(String, f64)], expected: &BTreeMap<String, [f64; 2]>) -> usize {
    let mut off = Vec::new();
    for (tag, value) in found {
        let Some([reference, tolerance]) = expected.get(tag) else { continue };
        // References are given with three significant digits.
        let digit = 10_f64.powf(reference.abs().log10().floor() - 2.0);
        if (value - reference).abs() > tolerance.max(0.5 * digit) * (1.0 + 1e-9) {
            off.push(format!("{tag}: {value}, reference {reference} ± {tolerance}"));
        }
    }
    assert!(off.is_empty(), "{name}: {off:#?}");
    let tags: BTreeSet<&str> = found.iter().map(|(tag, _)| tag.as_str()).collect();
    let missing: Vec<&str> = expected.keys().map(String::as_str).filter(|tag| !tags.contains(tag)).collect();
    let unexplained: Vec<&&str> = missing.iter().filter(|tag| !is_other(tag)).collect();
    assert!(unexplained.is_empty(), "{name}: no feature for {unexplained:?}");
    let checked = tags.iter().filter(|tag| expected.contains_key(**tag)).count();
    println!("{name}: {checked} of {} values checked; none of the classes has {missing:?}", expected.len());
    checked
}

fn phantom(by_slice: bool) -> Prepared {
    let affine = Affine::from_spacing_mm([2.0; 3]);
    let at = |(x, y, z): (usize, usize, usize)| PHANTOM[z][y][x];
    let image = Volume { data: Array3::from_shape_fn((5, 4, 4), |p| f32::from(at(p))), affine };
    let mask = Mask { data: Array3::from_shape_fn((5, 4, 4), |p| at(p) > 0), affine };
    prepare(&image, &mask, &Processing { by_slice, ..Processing::default() }).unwrap()
}

#[test]
fn the_digital_phantom_has_the_reference_values() {
    let mut found = features(&phantom(false));
    found.extend(features(&phantom(true)));
    let checked = check("phantom", &found, &reference(&fixture("ibsi_1_dig_phantom.csv")));
    assert_eq!(checked, PHANTOM_CHECKED);
}

#[test]
#[ignore = "images under CC BY-NC: DIFFTUMOR_SHARED_DATA=FOLDER cargo test -p difftumor-ct --test radiomics -- --ignored --nocapture"]
fn a_lung_tumor_has_the_reference_values() {
    let folder = shared("lung_tumor_ibsi");
    let image = NiftiImage::read(folder.join("ct.nii.gz")).and_then(|image| image.to_volume()).unwrap();
    let labels = NiftiImage::read(folder.join("gtv.nii.gz")).and_then(|mask| mask.to_labels()).unwrap();
    let mask = Mask { data: labels.data.mapv(|label| label == 1), affine: labels.affine };
    let width = |from_hu| Bins::Width { width_hu: 25.0, from_hu };
    let outliers_sd = Some(3.0);
    let volume = |interpolator| Some(([2.0; 3], interpolator));
    let in_plane = Some(([2.0, 2.0, 0.0], Linear));
    let none = Processing::default;
    let configurations = [
        ("a", Processing { range_hu: Some([-500.0, 400.0]), bins: width(-500.0), by_slice: true, ..none() }),
        (
            "b",
            Processing {
                resampling: in_plane,
                range_hu: Some([-500.0, 400.0]),
                bins: Bins::Count(32),
                by_slice: true,
                ..none()
            },
        ),
        (
            "c",
            Processing {
                resampling: volume(Linear),
                range_hu: Some([-1000.0, 400.0]),
                bins: width(-1000.0),
                ..none()
            },
        ),
        ("d", Processing { resampling: volume(Linear), outliers_sd, bins: Bins::Count(32), ..none() }),
        (
            "e",
            Processing {
                resampling: volume(BSpline),
                range_hu: Some([-1000.0, 400.0]),
                outliers_sd,
                bins: Bins::Count(32),
                ..none()
            },
        ),
    ];
    let checked = configurations.map(|(name, processing)| {
        let found = features(&prepare(&image, &mask, &processing).unwrap());
        let expected = reference(&folder.join(format!("ibsi_1_chest_config_{name}.csv")));
        check(&format!("configuration {name}"), &found, &expected)
    });
    assert_eq!(checked, TUMOR_CHECKED);
}

/// Numbers of values compared.
const PHANTOM_CHECKED: usize = 404;
const TUMOR_CHECKED: [usize; 5] = [284, 284, 164, 164, 164];
