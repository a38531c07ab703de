//! Options, refused inputs and the record.
use super::*;
use crate::error::Error;
use crate::mass_effect::Record;

#[test]
fn bad_inputs_are_told() {
    let (grid, affine) = ([40; 3], Affine(CUBIC));
    let (scan, tumor) = (tissue(grid, affine), ball(grid, affine, 12.0));
    let told = |scan: &Volume, tumor: &Mask, options: &Options| {
        Displacement::of(&Input { scan, tumor, organ: None }, options).unwrap_err().to_string()
    };
    let default = Options::default();
    let empty = shape(grid, affine, |_| false);
    assert!(told(&scan, &empty, &default).contains("empty"));
    let one = shape(grid, affine, |d| length(d) < 0.1);
    assert!(told(&scan, &one, &default).contains("1 voxels"));
    assert!(told(&scan, &one, &Options { min_diameter_mm: 0.0, ..default }).contains("1 voxels"));
    assert!(told(&scan, &ball(grid, affine, 8.0), &default).contains("15."));
    for strength in [0.0, -0.5, 1.01, f64::NAN] {
        let text = told(&scan, &tumor, &Options { strength, ..default });
        assert!(text.contains("strength") && text.contains(&strength.to_string()), "{text}");
    }
    for compression in [0.0, 1.0, f64::NAN] {
        assert!(told(&scan, &tumor, &Options { compression, ..default }).contains("compression"));
    }
    let mut holed = scan.clone();
    holed.data[[21, 20, 19]] = f32::NAN;
    assert!(told(&holed, &tumor, &default).contains("NaN at voxel [21, 20, 19]"));
    let d = push(&scan, &tumor, None, &default);
    assert!(d.apply_scan(&holed).unwrap_err().to_string().contains("NaN"));
    let other = tissue([40, 40, 41], affine);
    assert!(matches!(d.apply_scan(&other), Err(Error::GridMismatch { .. })));
    assert!(matches!(
        Displacement::of(&Input { scan: &other, tumor: &tumor, organ: None }, &default),
        Err(Error::GridMismatch { .. })
    ));
    let flat = Affine::from_spacing_mm([1.0, 1.0, 0.0]);
    let text = told(&tissue(grid, flat), &Image { data: tumor.data.clone(), affine: flat }, &default);
    assert!(!text.is_empty());
    let json = serde_json::to_string(d.record()).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&json).unwrap().zone_mm3, d.record.zone_mm3);
}

#[test]
fn options_come_from_toml_and_misspelt_ones_are_refused() {
    let options: Options = toml::from_str("strength = 0.9\nreach_radii = 3").unwrap();
    assert_eq!(options, Options { strength: 0.9, reach_radii: 3.0, ..Options::default() });
    assert_eq!(toml::from_str::<Options>("").unwrap(), Options::default());
    assert_eq!(toml::from_str::<Options>(&toml::to_string(&options).unwrap()).unwrap(), options);
    assert!(toml::from_str::<Options>("strenght = 0.9").unwrap_err().to_string().contains("strenght"));
}
