//! Figures against what the formula says.
use super::super::spectrum::Spectrum;
use super::super::{FIGURES, Figures, Input, Shape, surroundings};
use super::{NOISE_HU, Phantom, ball, in_ball, in_box};
use crate::draws::{Draws, Stream};
use crate::filter::gaussian;
use crate::patch::{Fill, bounding_box, crop_image};
use crate::{Affine, Mask, Volume};
use ndarray::Array3;
use std::f64::consts::PI;

/// Every figure that is there is a number.
fn all_finite(figures: &Figures) {
    for figure in &FIGURES {
        assert!((figure.value)(figures).is_none_or(f64::is_finite), "{} of {figures:?}", figure.name);
    }
}

#[test]
fn a_ball_is_round_and_as_dense_as_it_was_made() {
    let f = ball().figures();
    all_finite(&f);
    assert!((f.shape.equivalent_diameter_mm - 24.0).abs() < 0.1, "{f:?}");
    // Blur by less than a voxel: the surface is that of a ball to 2 %.
    assert!(f.shape.sphericity.unwrap() > 0.98, "{f:?}");
    assert!(f.shape.elongation > 0.99 && f.shape.flatness > 0.99 && (f.shape.fill - 1.0).abs() < 0.01);
    // The middle is at the corner of eight voxels, 0.87 mm from their centres.
    assert!((21.5..=24.0).contains(&f.shape.thickness_mm) && f.shape.parts == 1, "{f:?}");
    assert!((f.density.inside_hu - 60.0).abs() < 1.5, "{f:?}");
    assert!((f.density.contrast_hu.unwrap() + 40.0).abs() < 2.0, "{f:?}");
    assert_eq!((f.density.fluid, f.density.air_share), (Some(false), 0.0));
    // Blurs of the ring alone take some of its noise along.
    assert!((f.density.noise_hu.unwrap() / NOISE_HU - 1.0).abs() < 0.15, "{f:?}");
    // 10 to 90 % of a Gaussian edge: 2.563 standard deviations, widened a little by voxels and bins.
    assert!((f.edge_mm.unwrap() - 2.56).abs() < 0.6, "{f:?}");
    // The scan was changed by the edge's blur alone: 1 mm of it against 12 mm of radius.
    let change = f.change.unwrap();
    assert!(change.outside_share.unwrap() < 1e-3 && change.far_share == 0.0, "{change:?}");
    let texture = f.texture.unwrap();
    assert!((texture.band_ratio[0].unwrap().ratio - 1.0).abs() < 0.1, "{texture:?}");
    assert!((texture.correlation_ratio.unwrap().ratio - 1.0).abs() < 0.1, "{texture:?}");
}

#[test]
fn a_scan_cut_down_to_the_surroundings_gives_the_same_figures() {
    // Not in the middle, so that boxes beside it lie on one side only.
    let phantom =
        Phantom::of([1.0, 1.0, 2.0], 60.0, 1.0, |p| in_ball(4.0)([p[0] + 15.0, p[1] - 8.0, p[2] + 4.0]));
    let bounds = bounding_box(&phantom.tumor.data).unwrap();
    let b = surroundings(&bounds, [1.0, 1.0, 2.0], phantom.tumor.grid().shape);
    assert!(b.shape()[1] < phantom.tumor.grid().shape[1], "{b:?}");
    let start = b.start.map(|v| v as i64);
    let volume = |v: &Volume| crop_image(v, start, b.shape(), Fill::Constant(0.0));
    let (ct, before) = (volume(&phantom.ct), volume(&phantom.before));
    let tumor = crop_image(&phantom.tumor, start, b.shape(), Fill::Constant(false));
    let input = Input { ct: &ct, tumor: &tumor, before: Some(&before), ..phantom.input() };
    assert_eq!(Figures::of(&input), Some(phantom.figures()));
}

#[test]
fn thick_slices_do_not_flatten_a_ball() {
    for radius_mm in [9.0, 14.0, 20.0] {
        let f = Phantom::of([0.8, 0.8, 5.0], 60.0, 1.0, in_ball(radius_mm)).figures();
        assert!(f.shape.sphericity.unwrap() > 0.93, "{radius_mm}: {:?}", f.shape);
        // Four slices at the smallest: the voxel's own extent lengthens an axis by a tenth.
        assert!(f.shape.flatness > 0.8 && f.shape.depth > 0.7, "{radius_mm}: {:?}", f.shape);
    }
}

#[test]
fn a_box_has_its_surface_and_proportions() {
    let phantom = Phantom::of([1.0; 3], 60.0, 0.0, in_box([20.0, 10.0, 5.0]));
    let shape = Shape::of(&phantom.tumor).unwrap();
    // 40 x 20 x 10 mm: area 2 (800 + 400 + 200). Blur rounds the 280 mm of its edges, each by some 1.5 mm²/mm: 15 % less area.
    let expected = (36.0 * PI * 8000.0 * 8000.0_f64).cbrt() / 2800.0;
    let found = shape.sphericity.unwrap();
    assert!(found > expected && found < 1.22 * expected, "{found} against {expected}");
    assert!((shape.elongation - 0.5).abs() < 1e-9 && (shape.flatness - 0.25).abs() < 1e-9);
    assert!((shape.thickness_mm - 10.0).abs() <= 0.5, "{shape:?}");
    assert_eq!(shape.slenderness, shape.thickness_mm / shape.longest_axis_mm);
}

#[test]
fn parts_are_counted_but_stray_voxels_are_not() {
    let two = Phantom::of([1.0; 3], 60.0, 0.0, |p| {
        in_ball(5.0)([p[0] - 8.0, p[1], p[2]]) || in_ball(5.0)([p[0] + 8.0, p[1], p[2]])
    });
    let mut mask = two.tumor;
    assert_eq!(Shape::of(&mask).unwrap().parts, 2);
    mask.data[[0, 0, 0]] = true;
    assert_eq!(Shape::of(&mask).unwrap().parts, 2);
}

#[test]
fn noise_has_the_power_and_correlation_it_was_made_with() {
    let mut white = vec![0.0; 64 * 64 * 20];
    Stream::new(4, 0, "white", 0).normals(&mut white);
    let white =
        Array3::from_shape_vec((64, 64, 20), white.iter().map(|v| 10.0 * *v as f32).collect()).unwrap();
    let region =
        Array3::from_shape_fn(white.dim(), |(x, y, _)| x.abs_diff(32).pow(2) + y.abs_diff(32).pow(2) < 900);
    // White noise of 10 HU: 100 HU² times the area of a pixel in every band; half a pixel or so until it is uncorrelated.
    let spacing_mm = [0.7, 0.7, 3.0];
    let s = Spectrum::of(&white, &region, spacing_mm).unwrap();
    for power in s.power {
        assert!((power.unwrap() / 49.0 - 1.0).abs() < 0.15, "{:?}", s.power);
    }
    assert!(s.correlation_mm.unwrap() < 0.7);
    // Blurred by s, noise has the autocorrelation exp(-r² / 4 s²): 1/e at 2 s.
    let soft = gaussian(&white, [1.0 / 0.7, 1.0 / 0.7, 0.0]);
    let s = Spectrum::of(&soft, &region, spacing_mm).unwrap();
    assert!((s.correlation_mm.unwrap() - 2.0).abs() < 0.15, "{:?}", s.correlation_mm);
    assert!(s.power[2].unwrap() < 0.5 * s.power[1].unwrap() && s.power[1].unwrap() < s.power[0].unwrap());
    assert!(Spectrum::of(&Array3::zeros(white.dim()), &region, spacing_mm).is_none());
}

#[test]
fn tumors_at_the_border_and_of_one_voxel_are_measured() {
    let corner = Phantom::of([1.0; 3], 60.0, 1.0, |p| in_ball(12.0)(p.map(|v| v + 29.5)));
    let f = corner.figures();
    all_finite(&f);
    // An eighth of a ball, with the three planes' own voxels.
    assert!((f.shape.fill - 0.9).abs() < 0.1 && f.texture.is_some(), "{f:?}");
    let mut one = ball();
    one.tumor.data.fill(false);
    one.tumor.data[[30, 30, 30]] = true;
    let f = one.figures();
    all_finite(&f);
    assert_eq!((f.shape.sphericity, f.texture, f.seams.slice_jump), (None, None, None));
    let whole = Mask { data: Array3::from_elem(one.ct.data.dim(), true), affine: one.ct.affine };
    let f = Figures::of(&Input { tumor: &whole, ..one.input() }).unwrap();
    all_finite(&f);
    assert_eq!((f.density.around_hu, f.density.fluid, f.edge_mm), (None, None, None));
}

#[test]
fn voxels_that_are_no_numbers() {
    let mut phantom = ball();
    let clean = phantom.figures();
    for at in [[30, 30, 47], [0, 0, 0], [30, 13, 30]] {
        phantom.ct.data[at] = f32::NAN;
        phantom.before.data[at] = f32::INFINITY;
    }
    let f = phantom.figures();
    all_finite(&f);
    assert!((f.density.around_hu.unwrap() - clean.density.around_hu.unwrap()).abs() < 0.1, "{f:?}");
    phantom.ct.data[[30, 30, 30]] = f32::NAN;
    assert_eq!(Figures::of(&phantom.input()), None);
    phantom.tumor.data.fill(false);
    assert_eq!(Figures::of(&phantom.input()), None);
    let mut flat = ball();
    flat.ct.affine = Affine::from_spacing_mm([1.0, 0.0, 1.0]);
    assert_eq!(Figures::of(&flat.input()), None);
}

#[test]
#[should_panic(expected = "organ against scan")]
fn an_organ_of_another_shape_is_a_mistake() {
    let phantom = ball();
    let organ = Mask { data: Array3::from_elem((3, 3, 3), true), affine: phantom.ct.affine };
    let _ = Figures::of(&Input { organ: Some(&organ), ..phantom.input() });
}

#[test]
fn slices_are_found_on_whatever_axis_they_are() {
    let phantom = Phantom::of([0.8, 0.8, 3.0], 60.0, 1.0, in_ball(14.0));
    let turned = |data: &Array3<f32>| data.view().reversed_axes().as_standard_layout().into_owned();
    // The first axis runs along the body.
    let affine =
        Affine([[0.0, 0.0, 0.8, 0.0], [0.0, 0.8, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]);
    let mut other = phantom.clone();
    other.ct.data = turned(&phantom.ct.data);
    other.before.data = turned(&phantom.before.data);
    other.tumor.data = phantom.tumor.data.view().reversed_axes().as_standard_layout().into_owned();
    (other.ct.affine, other.before.affine, other.tumor.affine) = (affine, affine, affine);
    let (a, b) = (phantom.figures(), other.figures());
    // The same sums, with rows and columns of some in another order.
    for figure in &FIGURES {
        let (a, b) = ((figure.value)(&a), (figure.value)(&b));
        assert_eq!(a.is_some(), b.is_some(), "{}", figure.name);
        let (a, b) = (a.unwrap_or(0.0), b.unwrap_or(0.0));
        assert!((a - b).abs() <= 1e-3 * a.abs().max(1.0), "{} {a} {b}", figure.name);
    }
}
