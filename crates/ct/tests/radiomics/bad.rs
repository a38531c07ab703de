//! Regions that cannot be measured, and those at the edge of what can.
use super::ball;
use difftumor_ct::radiomics::{Bins, Features, Resampling, Settings, extract, extract_label};
use difftumor_ct::{Affine, Error, Labels, Mask, Volume};
use ndarray::Array3;

const SHAPE: [usize; 3] = [6, 5, 4];

fn image(value: impl Fn(usize, usize, usize) -> f32) -> Volume {
    let data = Array3::from_shape_fn(SHAPE, |(x, y, z)| value(x, y, z));
    Volume { data, affine: Affine::from_spacing_mm([1.0, 2.0, 3.0]) }
}

fn mask(inside: impl Fn(usize, usize, usize) -> bool) -> Mask {
    let data = Array3::from_shape_fn(SHAPE, |(x, y, z)| inside(x, y, z));
    Mask { data, affine: Affine::from_spacing_mm([1.0, 2.0, 3.0]) }
}

fn ramp() -> Volume {
    image(|x, y, z| (100 * x + 30 * y + 7 * z) as f32)
}

fn region_error(image: &Volume, mask: &Mask, settings: &Settings) -> String {
    let error = extract(image, mask, settings).unwrap_err();
    assert!(matches!(error, Error::Region { .. }), "{error}");
    error.to_string()
}

fn argument(image: &Volume, mask: &Mask, settings: &Settings) -> String {
    let error = extract(image, mask, settings).unwrap_err();
    assert!(matches!(error, Error::Argument { .. }), "{error}");
    error.to_string()
}

#[test]
fn small_regions_are_refused_as_pyradiomics_does() {
    let default = Settings::default();
    assert!(region_error(&ramp(), &mask(|_, _, _| false), &default).contains("no voxel"));
    let one = mask(|x, y, z| [x, y, z] == [2, 2, 2]);
    for minimum_roi_dimensions in [1, 2, 3] {
        let settings = Settings { minimum_roi_dimensions, ..Settings::default() };
        assert!(region_error(&ramp(), &one, &settings).contains("0 axes"));
    }
    let line = mask(|_, y, z| [y, z] == [2, 2]);
    let error = region_error(&ramp(), &line, &default);
    assert!(error.contains("1 axes") && error.contains("minimumROIDimensions"), "{error}");
    let settings = Settings { minimum_roi_size_vox: Some(30), ..Settings::default() };
    let plane = mask(|_, _, z| z == 2);
    let error = region_error(&ramp(), &plane, &settings);
    assert!(error.contains("30 voxels, more than 30"), "{error}");
    assert!(extract(&ramp(), &plane, &default).is_ok());
}

#[test]
fn one_voxel_is_measured_when_allowed() {
    let settings = Settings { minimum_roi_dimensions: 0, ..Settings::default() };
    let found = extract(&ramp(), &mask(|x, y, z| [x, y, z] == [0, 0, 0]), &settings).unwrap();
    let value = |name: &str| found.get(&format!("original_{name}")).unwrap();
    assert_eq!(found.len(), 107);
    assert_eq!(
        [value("shape_VoxelVolume"), value("firstorder_Mean"), value("glszm_ZonePercentage")],
        [6.0, 0.0, 1.0]
    );
    assert_eq!([value("ngtdm_Coarseness"), value("gldm_SmallDependenceEmphasis")], [1e6, 1.0]);
    // No pair, no direction: there is no value.
    assert!(value("glcm_Contrast").is_nan() && value("glrlm_RunEntropy").is_nan());
    let text = serde_json::to_string(&found).unwrap();
    assert!(text.contains(r#""original_glcm_Contrast":null"#), "{text}");
}

#[test]
fn a_flat_region_has_values() {
    let found = extract(&image(|_, _, _| 40.0), &mask(|_, _, _| true), &Settings::default()).unwrap();
    let value = |name: &str| found.get(&format!("original_{name}")).unwrap();
    // PyRadiomics' baselines `brain1_flatRegion`.
    assert_eq!([value("glcm_Correlation"), value("glcm_MCC"), value("glcm_JointEnergy")], [1.0; 3]);
    assert_eq!([value("ngtdm_Coarseness"), value("ngtdm_Busyness"), value("glcm_Imc2")], [1e6, 0.0, 0.0]);
    assert!(found.iter().all(|(_, value)| value.is_finite()));
}

#[test]
fn a_region_at_the_border_equals_the_same_inside() {
    let (whole, all) = (ramp(), mask(|_, _, _| true));
    let at_border = extract(&whole, &all, &Settings::default()).unwrap();
    let pad = |shape: [usize; 3]| shape.map(|side| side + 4);
    let start = [-2; 3];
    let image =
        difftumor_ct::patch::crop_image(&whole, start, pad(SHAPE), difftumor_ct::patch::Fill::Constant(0.0));
    let mask =
        difftumor_ct::patch::crop_image(&all, start, pad(SHAPE), difftumor_ct::patch::Fill::Constant(false));
    assert_eq!(extract(&image, &mask, &Settings::default()).unwrap(), at_border);
    let resampling = Some(Resampling { spacing_mm: [0.7; 3], interpolator: Default::default() });
    let resampled = Settings { resampling, ..Settings::default() };
    assert!(extract(&whole, &all, &resampled).unwrap().iter().all(|(_, value)| value.is_finite()));
}

#[test]
fn voxels_that_are_no_numbers_are_told() {
    let inside = mask(|x, _, _| x < 3);
    for bad in [f32::NAN, f32::INFINITY] {
        let broken = |at: usize| image(move |x, y, z| if [x, y, z] == [at, 1, 1] { bad } else { x as f32 });
        let error = region_error(&broken(1), &inside, &Settings::default());
        assert!(error.contains("1 of its voxels are NaN or infinite"), "{error}");
        // Outside of the region nobody looks.
        assert!(extract(&broken(5), &inside, &Settings::default()).is_ok());
    }
}

#[test]
fn grids_and_labels_that_do_not_fit_are_told() {
    let mut shifted = mask(|x, _, _| x < 3);
    shifted.affine.0[0][3] = 1.0;
    let error = extract(&ramp(), &shifted, &Settings::default()).unwrap_err();
    assert!(matches!(error, Error::GridMismatch { .. }), "{error}");
    let corrected = Settings { correct_mask: true, ..Settings::default() };
    let found: Features = extract(&ramp(), &shifted, &corrected).unwrap();
    assert_eq!(found, extract(&ramp(), &mask(|x, _, _| (1..4).contains(&x)), &corrected).unwrap());
    shifted.affine.0[0][3] = 4.0;
    assert!(region_error(&ramp(), &shifted, &corrected).contains("outside of the image"));
    let loose = Settings { geometry_tolerance_vox: Some(5.0), ..Settings::default() };
    assert!(extract(&ramp(), &shifted, &loose).is_ok());
    let labels = Labels { data: Array3::from_elem(SHAPE, 3), affine: ramp().affine };
    let error = extract_label(&ramp(), &labels, &Settings::default()).unwrap_err().to_string();
    assert!(error.contains("label 1") && error.contains("[3]"), "{error}");
    assert!(extract_label(&ramp(), &labels, &Settings { label: 3, ..Settings::default() }).is_ok());
}

#[test]
fn settings_that_cannot_be_are_told() {
    let all = mask(|_, _, _| true);
    let bins = |bins: Bins| Settings { bins, ..Settings::default() };
    assert!(argument(&ramp(), &all, &bins(Bins::WidthHu(0.0))).contains("binWidth"));
    assert!(argument(&ramp(), &all, &bins(Bins::Count(0))).contains("binCount"));
    let error = argument(&ramp(), &all, &bins(Bins::WidthHu(1e-6)));
    assert!(error.contains("grey levels") && error.contains("raise binWidth"), "{error}");
    let (image, inside) = ball(30);
    let error = argument(&image, &inside, &bins(Bins::WidthHu(0.01)));
    assert!(error.contains("levels"), "{error}");
    let mut names = Settings::default();
    names.classes[2].features = vec!["Homogeneity".into()];
    assert!(argument(&ramp(), &all, &names).contains("Homogeneity"));
    let resampling = Some(Resampling { spacing_mm: [1e-6; 3], interpolator: Default::default() });
    let error = argument(&ramp(), &all, &Settings { resampling, ..Settings::default() });
    assert!(error.contains("resampledPixelSpacing"), "{error}");
    let mut flat = ramp();
    flat.affine.0[2][2] = 0.0;
    assert!(argument(&flat, &all, &Settings::default()).contains("inverted"));
}
