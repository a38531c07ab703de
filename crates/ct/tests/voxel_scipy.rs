//! Voxel operations against numpy, scipy and nibabel, on the fixture that `reference/voxel_fixture.py` wrote.
use difftumor_ct::components::{Connectivity, components};
use difftumor_ct::morphology::{Element, Options, dilate, erode};
use difftumor_ct::orient::AxisCodes;
use difftumor_ct::resample::{Outside, cubic, linear};
use difftumor_ct::{Affine, Grid, Image, distance, filter};
use ndarray::{Array3, ArrayD, IxDyn};
use safetensors::{Dtype, SafeTensors};

const FIXTURE: &[u8] = include_bytes!("fixtures/voxel_scipy.safetensors");
const NEIGHBOURHOODS: [(&str, Connectivity); 3] =
    [("faces", Connectivity::Faces), ("edges", Connectivity::Edges), ("corners", Connectivity::Corners)];

/// A tensor of the fixture; f32 and u8 widened.
fn tensor(name: &str) -> ArrayD<f64> {
    let file = SafeTensors::deserialize(FIXTURE).unwrap();
    let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let bytes = view.data();
    let values = match view.dtype() {
        Dtype::F64 => bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        Dtype::F32 => {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect()
        }
        Dtype::U8 => bytes.iter().map(|b| f64::from(*b)).collect(),
        other => panic!("{name}: {other:?}"),
    };
    ArrayD::from_shape_vec(IxDyn(view.shape()), values).unwrap()
}

fn volume(name: &str) -> Array3<f64> {
    tensor(name).into_dimensionality().unwrap()
}

fn triple(name: &str) -> [f64; 3] {
    tensor(name).into_raw_vec_and_offset().0.try_into().unwrap()
}

fn mask(name: &str) -> Array3<bool> {
    volume(name).mapv(|v| v != 0.0)
}

fn affine_from(values: impl IntoIterator<Item = f64>) -> Affine {
    let mut affine = Affine::from_spacing_mm([1.0; 3]);
    for (i, v) in values.into_iter().enumerate() {
        affine.0[i / 4][i % 4] = v;
    }
    affine
}

fn worst<'a>(found: impl IntoIterator<Item = f64>, expected: impl IntoIterator<Item = &'a f64>) -> f64 {
    found.into_iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn gaussian_equals_scipy() {
    let sigma = triple("gaussian.sigma");
    let found = filter::gaussian(&volume("gaussian.in32").mapv(|v| v as f32), sigma);
    let off = worst(found.iter().map(|v| f64::from(*v)), &volume("gaussian.out32"));
    let found = filter::gaussian_f64(&volume("gaussian.in64"), sigma);
    let off64 = worst(found.iter().copied(), &volume("gaussian.out64"));
    println!("gaussian: worst {off:e} (f32), {off64:e} (f64)");
    // The weights may differ in the last bit (order of their sum): at most one f32 ulp at 300, and f64 rounding.
    assert!(off <= 3.1e-5, "{off}");
    assert!(off64 <= 1e-11, "{off64}");
}

#[test]
fn linear_and_cubic_resampling_equal_scipy() {
    let src = Image {
        data: volume("resample.in").mapv(|v| v as f32),
        affine: affine_from([2.0, 0.3, 0.0, 5.0, 0.0, -0.7, 0.1, 9.0, 0.2, 0.0, 1.5, -3.0]),
    };
    for name in ["straight", "oblique"] {
        let matrix = affine_from(tensor(&format!("resample.{name}.matrix")));
        let dst = Grid { shape: [6, 5, 7], affine: src.affine.compose(&matrix) };
        for (kind, f) in [("linear", linear as fn(&_, &_, _) -> _), ("cubic", cubic)] {
            let found = f(&src, &dst, Outside::Edge).unwrap();
            let expected = volume(&format!("resample.{name}.{kind}"));
            let off = worst(found.data.iter().map(|v| f64::from(*v)), &expected);
            println!("{name} {kind}: worst {off:e}");
            // Rounding of the result to f32 at sizes up to 1000: 3e-5.
            assert!(off < 6e-5, "{name} {kind}: {off}");
        }
    }
}

#[test]
fn distances_equal_scipy() {
    let found = distance::distance_mm(&mask("mask"), triple("edt.sampling"));
    let off = worst(found.iter().map(|v| f64::from(*v)), &volume("edt.out"));
    println!("distance: worst {off:e} mm");
    // Rounding to f32 of distances up to 4 mm: half an ulp is 1.2e-7.
    assert!(off < 1.3e-7 * 2.0, "{off}");
}

#[test]
fn erosion_and_dilation_equal_scipy() {
    for (name, connectivity) in NEIGHBOURHOODS {
        let element = Element::neighbours(connectivity);
        for (number, border) in [false, true].into_iter().enumerate() {
            for (kind, f) in [("erode", erode as fn(&_, &_, _) -> _), ("dilate", dilate)] {
                let found = f(&mask("mask"), &element, Options { iterations: 2, border });
                assert_eq!(found, mask(&format!("{kind}.{name}.border{number}")), "{kind} {name} {border}");
            }
        }
    }
}

#[test]
fn components_equal_scipy() {
    for (name, connectivity) in NEIGHBOURHOODS {
        let found = components(&mask("mask"), connectivity).labels();
        assert_eq!(found.mapv(f64::from), volume(&format!("label.{name}")), "{name}");
    }
}

#[test]
fn axis_codes_equal_nibabel() {
    let (affines, codes) = (tensor("axcodes.affine"), tensor("axcodes.codes"));
    for (affine, codes) in affines.outer_iter().zip(codes.outer_iter()) {
        let expected: String = codes.iter().map(|c| *c as u8 as char).collect();
        let affine = affine_from(affine.iter().copied());
        assert_eq!(AxisCodes::of(&affine).unwrap().to_string(), expected, "{affine:?}");
    }
}
