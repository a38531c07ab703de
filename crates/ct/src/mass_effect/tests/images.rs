//! Scans, masks and label maps that were moved.
use super::*;
use crate::filter::gaussian;
use crate::mass_effect::VolumesMm3;

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

/// Volume in mm³ of an organ that was moved, from a lattice with `cuts` points per voxel's side.
fn moved_mm3(d: &Displacement, organ: &Mask, cuts: usize) -> f64 {
    let inverse = organ.affine.inverse().unwrap();
    let shape = organ.grid().shape;
    let at = |i: usize| (i as f64 + 0.5) / cuts as f64 - 0.5;
    let fine = Array3::from_shape_fn(shape.map(|n| n * cuts), |(x, y, z)| {
        let p = organ.affine.apply([at(x), at(y), at(z)]);
        // Nothing of the organ gets this far.
        if length(std::array::from_fn(|a| p[a] - d.record.centre_mm[a])) > 27.0 {
            return false;
        }
        d.backward_mm(p).is_none_or(|from| {
            let voxel = inverse.apply(from).map(|v| v.round().max(0.0) as usize);
            organ.data.get(voxel).is_some_and(|v| *v)
        })
    });
    let points = fine.iter().filter(|v| **v).count() as f64;
    points * organ.affine.determinant().abs() / cuts.pow(3) as f64
}

#[test]
fn the_organ_grows_by_what_is_pushed_and_labels_add_up() {
    for (grid, affine) in [([70; 3], CUBIC), ([90, 90, 40], OBLIQUE)] {
        let affine = Affine(affine);
        let (tumor, organ) = (ball(grid, affine, 14.0), ball(grid, affine, 20.0));
        for outside_share in [1.0, 0.7] {
            let options = Options { strength: 0.8, outside_share, ..Options::default() };
            let d = push(&tissue(grid, affine), &tumor, Some(&organ), &options);
            let v = d.apply_mask(&organ, true).unwrap().volumes_mm3[&true];
            // The organ's tissue takes its volume times the determinant, and the hole is added. Voxels are summed beside
            // their middles: those lie on rays through the tables' nodes, where slopes jump and differences mix them.
            let voxel_mm3 = affine.determinant().abs();
            let lost: f64 = organ
                .data
                .indexed_iter()
                .filter(|(_, inside)| **inside)
                .map(|((x, y, z), _)| affine.apply([x as f64 + 0.11, y as f64 - 0.07, z as f64 + 0.05]))
                .filter(|p| length(std::array::from_fn(|a| p[a] - d.record.centre_mm[a])) > 1.0)
                .map(|p| (1.0 - determinant(&d, p)) * voxel_mm3)
                .sum();
            let grown_mm3 = 0.8 * d.record.tumor_mm3 - lost;
            // All that is pushed leaves the organ, less what its surface damps. Rows of voxels are within 2 % of the ball.
            let share = lost / (0.8 * d.record.tumor_mm3);
            assert!((share - (1.0 - outside_share)).abs() < 0.02, "{share} of the push is lost");
            // A lattice that is h wide is off by up to h/2 where it runs along the surface. Voxels of H make terraces there, the
            // largest of 2π r H, two per axis; smaller ones differ in sign.
            let r = 21.7;
            let squares: f64 = affine.spacing_mm().iter().map(|h| h * h).sum();
            let terraces_mm3 = 2.0 * std::f64::consts::PI * r * squares;
            for (cuts, off_mm3) in [(1, terraces_mm3), (4, terraces_mm3 / 4.0)] {
                let after = moved_mm3(&d, &organ, cuts);
                let error = after - v.before - grown_mm3;
                println!(
                    "outside {outside_share}, {cuts} cuts: off by {error:.0} of {grown_mm3:.0} mm³, {off_mm3:.0} allowed"
                );
                assert!(error.abs() < off_mm3, "{after} from {} by {grown_mm3} mm³, cut {cuts}", v.before);
            }
            assert!((moved_mm3(&d, &organ, 1) - v.after).abs() < 1e-6);
        }
    }
}

#[test]
fn every_label_is_accounted_for() {
    let (grid, affine) = ([70; 3], Affine(CUBIC));
    let tumor = ball(grid, affine, 14.0);
    let d = push(&tissue(grid, affine), &tumor, None, &Options::default());
    let labels =
        Image { data: Array3::from_shape_fn(grid, |(x, y, _)| (x / 20 + 4 * (y / 30)) as u16), affine };
    let moved = d.apply_labels(&labels, 77).unwrap();
    let sum = |of: fn(&VolumesMm3) -> f64| moved.volumes_mm3.values().map(of).sum::<f64>();
    assert!((sum(|v| v.before) - sum(|v| v.after)).abs() < 1e-3);
    assert_eq!(moved.volumes_mm3[&77].before, 0.0);
    assert!((moved.volumes_mm3[&77].after - d.record.hole_mm3).abs() < 1e-6);
    for (value, v) in &moved.volumes_mm3 {
        let count = moved.image.data.iter().filter(|l| *l == value).count();
        assert!((v.after - count as f64 * 1.5_f64.powi(3)).abs() < 1e-6, "{value}: {v:?}");
    }
    let json = serde_json::to_value(&moved.volumes_mm3).unwrap();
    assert_eq!(json["77"]["before"], 0.0);
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
