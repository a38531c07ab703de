use super::limits::Frame;
use super::*;
use crate::draws::{Draws, Stream};
use crate::filter::gaussian;
use crate::volume::{Affine, Image};

const CUBIC: [[f64; 4]; 4] =
    [[1.5, 0.0, 0.0, -60.0], [0.0, 1.5, 0.0, 30.0], [0.0, 0.0, 1.5, 7.0], [0.0, 0.0, 0.0, 1.0]];

/// Axes turned by 20 degrees about z, flipped x, slices of 3 mm, tilted.
const OBLIQUE: [[f64; 4]; 4] =
    [[-1.1, -0.4, 0.0, 40.0], [-0.4, 1.1, 0.3, -9.0], [0.0, 0.0, 3.0, 100.0], [0.0, 0.0, 0.0, 1.0]];

/// Voxels whose distance in mm from the middle of the grid `inside` holds for, given the offset in mm.
fn shape(grid: [usize; 3], affine: Affine, inside: impl Fn([f64; 3]) -> bool) -> Mask {
    let middle = affine.apply(grid.map(|n| (n / 2) as f64));
    let data = Array3::from_shape_fn(grid, |(x, y, z)| {
        let p = affine.apply([x, y, z].map(|v| v as f64));
        inside(std::array::from_fn(|a| p[a] - middle[a]))
    });
    Image { data, affine }
}

fn ball(grid: [usize; 3], affine: Affine, radius_mm: f64) -> Mask {
    shape(grid, affine, |d| length(d) < radius_mm)
}

fn tissue(grid: [usize; 3], affine: Affine) -> Volume {
    Image { data: Array3::from_elem(grid, 60.0), affine }
}

fn push(scan: &Volume, tumor: &Mask, organ: Option<&Mask>, options: &Options) -> Displacement {
    Displacement::of(&Input { scan, tumor, organ }, options).unwrap()
}

/// Determinant of the map's derivatives, by central differences of 1e-5 mm: few of them lie across a node's line, where slopes jump.
fn determinant(d: &Displacement, p: [f64; 3]) -> f64 {
    let mut m = [[0.0; 4]; 4];
    for c in 0..3 {
        let at = |h: f64| {
            let mut q = p;
            q[c] += h;
            d.forward_mm(q)
        };
        let (low, high) = (at(-1e-5), at(1e-5));
        (0..3).for_each(|r| m[r][c] = (high[r] - low[r]) / 2e-5);
    }
    Affine(m).determinant()
}

/// Points around the centre, 2 mm to `most_mm` away, in directions that do not line up with voxels.
fn points(d: &Displacement, most_mm: f64) -> Vec<[f64; 3]> {
    let mut draws = Stream::new(7, 0, "points", 0);
    (0..600)
        .map(|_| {
            let mut n = [0.0; 3];
            draws.normals(&mut n);
            let r = draws.uniform(2.0, most_mm) / length(n);
            std::array::from_fn(|a| d.record.centre_mm[a] + r * n[a])
        })
        .collect()
}

#[test]
fn an_exact_ball_is_pushed_by_the_formula() {
    let (radius, strength, affine) = (20.0_f64, 0.7, Affine(CUBIC));
    let table = |v: f64| Directions(vec![v; nodes().len()]);
    let centre_mm = [3.0, -5.0, 11.0];
    let field = Field {
        frame: Frame {
            centre_mm,
            world_from_voxel: affine,
            voxel_from_world: affine.inverse().unwrap(),
            shape: [9; 3],
        },
        asked_mm3: table(strength * radius.powi(3)),
        reach_mm: table(50.0),
        surface_mm: None,
        shared: Shared { core_share: 0.6, outside: 0.7, compression: 0.35 },
    };
    for d in [[1.0, 0.0, 0.0], [0.3, -2.0, 1.0], [-1.0, -1.0, -1.0]] {
        for r in [0.5, 5.0, 19.0, 20.0, 29.9] {
            let p = d.map(|c| c * r / length(d));
            let to = field.forward(p);
            let expected = (r.powi(3) + strength * radius.powi(3)).cbrt();
            for a in 0..3 {
                assert!((to[a] - p[a] / r * expected).abs() < 1e-9, "{p:?} to {to:?}");
            }
        }
        let far = d.map(|c| c * 50.0 / length(d) * (1.0 + 1e-12));
        assert_eq!(field.forward(far), far.map(|c| c * (length(far).powi(3).cbrt() / length(far))));
    }
}

#[test]
fn volume_is_kept_nothing_folds_and_the_inverse_fits() {
    for (grid, affine) in [([80; 3], CUBIC), ([110, 110, 44], OBLIQUE)] {
        let affine = Affine(affine);
        let tumor = shape(grid, affine, |d| length([d[0] / 1.3, d[1], d[2] * 1.1]) < 14.0);
        let options = Options { strength: 1.0, ..Options::default() };
        let d = push(&tissue(grid, affine), &tumor, None, &options);
        assert!((d.record.strength_used - 1.0).abs() < 2e-3, "{:?}", d.record);
        let core_mm = options.core_share * d.record.reach_mm[0];
        let mut in_core = 0;
        for p in points(&d, 1.1 * d.record.reach_mm[1]) {
            let r = length(std::array::from_fn(|a| p[a] - d.record.centre_mm[a]));
            let jacobian = determinant(&d, p);
            assert!((0.65 - 1e-3..1.0 + 1e-3).contains(&jacobian), "{jacobian} at {p:?}");
            if r < core_mm {
                in_core += 1;
                assert!((jacobian - 1.0).abs() < 1e-3, "{jacobian} at {p:?}, {r} mm");
            }
            let to = d.forward_mm(p);
            let back = d.backward_mm(to).expect("a source");
            for a in 0..3 {
                assert!((back[a] - p[a]).abs() < 1e-6, "{p:?} {to:?} {back:?}");
                assert!((d.forward_mm(back)[a] - to[a]).abs() < 1e-6);
            }
        }
        assert!(in_core > 100, "{in_core}");
        assert!(d.record.jacobian[0] > 0.65 && d.record.jacobian[1] == 1.0, "{:?}", d.record);
        // The hole is the tumor: its volume within the voxels' own error.
        assert!((d.record.hole_mm3 / d.record.tumor_mm3 - 1.0).abs() < 0.03, "{:?}", d.record);
    }
}

#[test]
fn voxels_outside_of_the_zone_keep_their_bits_for_any_number_of_threads() {
    let (grid, affine) = ([80; 3], Affine(CUBIC));
    let mut scan = tissue(grid, affine);
    let mut draws = Stream::new(1, 0, "bits", 0);
    scan.data.iter_mut().for_each(|v| *v += draws.uniform(-30.0, 30.0) as f32);
    let tumor = ball(grid, affine, 15.0);
    let d = push(&scan, &tumor, None, &Options::default());
    let zone = d.zone();
    let out = d.apply_scan(&scan).unwrap();
    let labels = Image { data: scan.data.mapv(|v| v as u16), affine };
    let moved = d.apply_labels(&labels, 9).unwrap().image;
    let (mut changed, mut count) = (0, 0);
    for (at, inside) in zone.indexed_iter() {
        let p = affine.apply([at.0, at.1, at.2].map(|v| v as f64));
        let r = length(std::array::from_fn(|a| p[a] - d.record.centre_mm[a]));
        assert!(if *inside { r < d.record.reach_mm[1] } else { r >= d.record.reach_mm[0] }, "{r}");
        count += usize::from(*inside);
        if *inside {
            changed += usize::from(out.data[at] != scan.data[at]);
        } else {
            assert_eq!(out.data[at].to_bits(), scan.data[at].to_bits());
            assert_eq!(moved.data[at], labels.data[at]);
        }
    }
    assert!(changed * 10 > count * 9, "{changed} of {count}");
    let volume = count as f64 * 1.5_f64.powi(3);
    assert!((volume - d.record.zone_mm3).abs() < 1e-6 * volume);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let again = push(&scan, &tumor, None, &Options::default());
            assert_eq!(again.record, d.record);
            assert_eq!(again.apply_scan(&scan).unwrap(), out);
        });
    }
}

#[test]
fn the_organ_grows_by_what_is_pushed_and_labels_add_up() {
    for (grid, affine) in [([80; 3], CUBIC), ([110, 110, 44], OBLIQUE)] {
        let affine = Affine(affine);
        let (tumor, organ) = (ball(grid, affine, 14.0), ball(grid, affine, 20.0));
        // Undamped and with the organ's surface in the core, all that is pushed leaves the organ's old outline.
        let options = Options { strength: 0.8, outside_share: 1.0, ..Options::default() };
        let d = push(&tissue(grid, affine), &tumor, Some(&organ), &options);
        let moved = d.apply_mask(&organ, true).unwrap();
        let v = moved.volumes_mm3[&true];
        let grown = (v.after - v.before) / (options.strength * d.record.tumor_mm3);
        assert!((grown - 1.0).abs() < 0.05, "{grown}: {:?}", d.record);
        let count = moved.image.data.iter().filter(|v| **v).count();
        assert!((v.after - count as f64 * affine.determinant().abs()).abs() < 1e-6);
        let outside = moved.volumes_mm3[&false];
        assert!((outside.before + v.before - outside.after - v.after).abs() < 1e-6);
        // Damped to 0.7; a surface of voxels lies partly within its mean, where more is left.
        let damped = push(
            &tissue(grid, affine),
            &tumor,
            Some(&organ),
            &Options { strength: 0.8, ..Options::default() },
        );
        let w = damped.apply_mask(&organ, true).unwrap().volumes_mm3[&true];
        let share = (w.after - w.before) / (options.strength * d.record.tumor_mm3);
        assert!((0.6..0.85).contains(&share), "{share}: {:?}", damped.record);
    }
}

#[test]
fn a_tumor_at_the_surface_pushes_less_outwards_and_says_so() {
    let (grid, affine) = ([80; 3], Affine(CUBIC));
    let tumor = ball(grid, affine, 15.0);
    let organ = shape(grid, affine, |d| d[0] < 15.0 && length(d) < 60.0);
    let d =
        push(&tissue(grid, affine), &tumor, Some(&organ), &Options { strength: 1.0, ..Options::default() });
    assert!((0.5..0.999).contains(&d.record.strength_used), "{:?}", d.record);
    let c = d.record.centre_mm;
    let moved = |d: &Displacement, x: f64| (d.forward_mm([c[0] + x, c[1], c[2]])[0] - c[0] - x).abs();
    assert!(moved(&d, 16.0) < 0.8 * moved(&d, -16.0));
    assert!(moved(&d, 16.0) > 0.5);
    for p in points(&d, 40.0) {
        assert!(determinant(&d, p) > 0.64, "{p:?}");
    }
}

#[test]
fn bone_air_and_the_border_stay() {
    let (grid, affine) = ([80; 3], Affine(CUBIC));
    let tumor = ball(grid, affine, 15.0);
    let mut scan = tissue(grid, affine);
    let middle = affine.apply([40.0; 3]);
    for ((x, y, z), v) in scan.data.indexed_iter_mut() {
        let p = affine.apply([x, y, z].map(|v| v as f64));
        let d: [f64; 3] = std::array::from_fn(|a| p[a] - middle[a]);
        // A rib 22 mm to one side, 10 mm thick; lung 24 mm to the other.
        if (d[0] - 24.0).hypot(d[1]) < 5.0 {
            *v = 700.0;
        } else if d[0] < -24.0 {
            *v = -850.0;
        }
    }
    let d = push(&scan, &tumor, None, &Options { strength: 1.0, ..Options::default() });
    let mut checked = 0;
    for ((x, y, z), v) in scan.data.indexed_iter() {
        if *v > 250.0 || *v < -400.0 {
            let p = affine.apply([x, y, z].map(|v| v as f64));
            let to = d.forward_mm(p);
            assert!(length(std::array::from_fn(|a| to[a] - p[a])) < 0.1, "{p:?} to {to:?}");
            checked += 1;
        }
    }
    assert!(checked > 10_000);
    assert!(d.record.strength_used < 0.9, "{:?}", d.record);
    assert!(d.record.jacobian[0] > 0.65 - 1e-9);
    // The scan ends 18 mm above the tumor's centre: its last plane stays, and what is near it hardly moves.
    let thin = [80, 80, 53];
    let tumor = shape(thin, affine, |d| length([d[0], d[1], d[2] - 20.0]) < 15.0);
    let d = push(&tissue(thin, affine), &tumor, None, &Options::default());
    assert!(d.zone().index_axis(Axis(2), 52).iter().all(|v| !v));
    assert!(d.zone().iter().any(|v| *v));
}

#[test]
fn a_vessel_ends_up_around_the_tumor() {
    let (grid, affine) = ([100; 3], Affine::from_spacing_mm([1.0; 3]));
    let tumor = ball(grid, affine, 16.0);
    // A straight tube of 4 mm radius that passes 7 mm beside the centre.
    let vessel = shape(grid, affine, |d| (d[1] - 7.0).hypot(d[2]) < 4.0);
    let mut scan = tissue(grid, affine);
    scan.data.zip_mut_with(&vessel.data, |v, inside| {
        if *inside {
            *v = 200.0
        }
    });
    // Fades nowhere near: what is measured is the core.
    let options = Options { strength: 1.0, ..Options::default() };
    let d = push(&scan, &tumor, None, &options);
    let moved = d.apply_mask(&vessel, false).unwrap();
    let v = moved.volumes_mm3[&true];
    assert!((v.after / v.before - 1.0).abs() < 0.05, "{v:?}");
    let crossing = |m: &Mask| m.data.iter().zip(&tumor.data).filter(|(a, b)| **a && **b).count() as f64;
    assert!(crossing(&vessel) > 1000.0);
    assert!(crossing(&moved.image) < 0.05 * crossing(&vessel), "{}", crossing(&moved.image));
    let out = d.apply_scan(&scan).unwrap();
    let bright =
        |s: &Volume| s.data.iter().zip(&tumor.data).filter(|(v, b)| **v > 130.0 && **b).count() as f64;
    assert!(bright(&out) < 0.05 * bright(&scan), "{} of {}", bright(&out), bright(&scan));
    // Still in one piece, and as bright.
    let parts = crate::components::components(&moved.image.data, crate::components::Connectivity::Corners);
    assert!(parts.largest().unwrap().voxels as f64 > 0.99 * v.after, "{} of {v:?}", parts.parts.len());
}

#[test]
fn noise_keeps_its_power() {
    let (grid, affine) = ([72; 3], Affine(CUBIC));
    let tumor = ball(grid, affine, 18.0);
    for sigma_vox in [0.0, 0.5, 0.7, 1.0, 1.5] {
        let mut draws = Stream::new(3, 0, "noise", 0);
        let mut values = vec![0.0; 72 * 72 * 72];
        draws.normals(&mut values);
        let white = Array3::from_shape_vec(grid, values.iter().map(|v| *v as f32).collect()).unwrap();
        let mut noise = gaussian(&white, [sigma_vox; 3]);
        let power = noise.iter().map(|v| v * v).sum::<f32>() / noise.len() as f32;
        noise.mapv_inplace(|v| 60.0 + 15.0 * v / power.sqrt());
        let scan = Image { data: noise, affine };
        let d = push(&scan, &tumor, None, &Options { strength: 0.8, ..Options::default() });
        let out = d.apply_scan(&scan).unwrap();
        // The moved tissue outside of the tumor, where it moves by more than a voxel's half.
        let region = Array3::from_shape_fn(grid, |(x, y, z)| {
            let p = affine.apply([x, y, z].map(|v| v as f64));
            let back = d.backward_mm(p);
            back.is_some_and(|b| length(std::array::from_fn(|a| b[a] - p[a])) > 0.75)
        });
        let power = |v: &Volume| {
            let inside = || v.data.iter().zip(&region).filter(|(_, r)| **r).map(|(v, _)| f64::from(*v));
            let (n, mean) = (inside().count() as f64, inside().sum::<f64>() / inside().count() as f64);
            inside().map(|v| (v - mean).powi(2)).sum::<f64>() / n
        };
        let ratio = power(&out) / power(&scan);
        println!("noise of {sigma_vox} voxels: power {ratio:.3}");
        assert!((ratio - 1.0).abs() < 0.1, "noise of {sigma_vox} voxels: power {ratio}");
    }
}

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
