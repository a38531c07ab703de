use super::*;
use crate::patch::{Fill, crop_image};
use proptest::prelude::*;

fn oblique_affine() -> Affine {
    Affine([[0.6, -0.3, 0.1, -20.0], [0.2, 0.7, -0.4, 5.0], [0.1, 0.5, 2.5, 7.0], [0.0, 0.0, 0.0, 1.0]])
}

fn noise(shape: [usize; 3]) -> Array3<f32> {
    let value =
        |(x, y, z): (usize, usize, usize)| ((x * 7919 + y * 104_729 + z * 1_299_709) % 2003) as f32 - 1000.0;
    Array3::from_shape_fn(shape, value)
}

/// Trilinear interpolation from its definition.
fn brute_linear(src: &Array3<f32>, position: [f64; 3], outside: Outside<f32>) -> f64 {
    let n = [src.dim().0, src.dim().1, src.dim().2];
    if let Outside::Constant(value) = outside
        && (0..3).any(|a| (position[a] + 0.5) * (n[a] as f64 - 0.5 - position[a]) < -1e-9)
    {
        return f64::from(value);
    }
    let p: [f64; 3] = std::array::from_fn(|a| position[a].clamp(0.0, (n[a] - 1) as f64));
    src.indexed_iter()
        .map(|((x, y, z), v)| {
            let weight = |a: usize, i: usize| (1.0 - (p[a] - i as f64).abs()).max(0.0);
            weight(0, x) * weight(1, y) * weight(2, z) * f64::from(*v)
        })
        .sum()
}

/// Targets that are turned, flipped, scaled, shifted beyond the source, oblique and degenerate.
fn targets(src: &Grid) -> Vec<Grid> {
    let permuted =
        Affine([[0.0, 0.0, 0.7, -1.0], [-1.3, 0.0, 0.0, 6.0], [0.0, 0.45, 0.0, 0.2], [0.0, 0.0, 0.0, 1.0]]);
    let turned =
        Affine([[0.9, -0.3, 0.1, -0.6], [0.2, 1.1, -0.2, 0.4], [0.1, 0.3, 0.8, -0.3], [0.0, 0.0, 0.0, 1.0]]);
    [permuted, turned, Affine::from_spacing_mm([0.5, 2.0, 0.9])]
        .into_iter()
        .flat_map(|a| [[7, 6, 9], [1, 5, 3]].map(|shape| Grid { shape, affine: src.affine.compose(&a) }))
        .collect()
}

#[test]
fn linear_equals_its_definition_on_every_kind_of_grid() {
    for shape in [[5, 6, 7], [1, 4, 3]] {
        let src = Image { data: noise(shape), affine: oblique_affine() };
        for dst in targets(&src.grid()) {
            let to_source = src.affine.inverse().unwrap().compose(&dst.affine);
            for outside in [Outside::Edge, Outside::Constant(-7.5)] {
                let out = linear(&src, &dst, outside).unwrap();
                assert_eq!(out.grid(), dst);
                for ((x, y, z), v) in out.data.indexed_iter() {
                    let expected =
                        brute_linear(&src.data, to_source.apply([x as f64, y as f64, z as f64]), outside);
                    // f32 rounding at size 1000 is 6e-5.
                    assert!((f64::from(*v) - expected).abs() < 1e-4, "{dst:?} {v} {expected}");
                }
            }
        }
    }
}

#[test]
fn nearest_takes_the_closest_voxel() {
    let src = Image {
        data: Array3::from_shape_fn((5, 6, 7), |(x, y, z)| (x * 100 + y * 10 + z) as u16),
        affine: oblique_affine(),
    };
    for dst in targets(&src.grid()) {
        let to_source = src.affine.inverse().unwrap().compose(&dst.affine);
        let edge = nearest(&src, &dst, Outside::Edge).unwrap();
        let constant = nearest(&src, &dst, Outside::Constant(999)).unwrap();
        for ((x, y, z), v) in edge.data.indexed_iter() {
            let p = to_source.apply([x as f64, y as f64, z as f64]).map(|c| (c * 1e5).round() / 1e5);
            let i: [f64; 3] = p.map(|c| (c + 0.5).floor());
            let c: [usize; 3] = std::array::from_fn(|a| i[a].clamp(0.0, [4.0, 5.0, 6.0][a]) as usize);
            assert_eq!(*v, src.data[c]);
            let inside = (0..3).all(|a| i[a] == c[a] as f64);
            assert_eq!(constant.data[[x, y, z]], if inside { src.data[c] } else { 999 });
        }
    }
}

#[test]
fn average_is_the_mean_over_the_target_voxels_box() {
    let src = Image { data: noise([6, 7, 20]), affine: oblique_affine() };
    let grids = [
        Affine::from_spacing_mm([0.8, 1.0, 5.0]),
        Affine([[2.2, 0.0, 0.0, 0.3], [0.0, 0.0, -1.5, 4.0], [0.0, 3.0, 0.0, -1.0], [0.0, 0.0, 0.0, 1.0]]),
        Affine([[2.2, 0.1, 0.0, 0.3], [0.2, 0.8, 0.1, 1.0], [0.0, 0.3, 3.0, 1.0], [0.0, 0.0, 0.0, 1.0]]),
    ];
    for (a, n) in grids.into_iter().zip([[1, 1, 5], [3, 3, 2], [3, 1, 3]]) {
        let dst = Grid { shape: [3, 4, 5], affine: src.affine.compose(&a) };
        for outside in [Outside::Edge, Outside::Constant(-7.5)] {
            let out = average(&src, &dst, outside).unwrap();
            for ((x, y, z), v) in out.data.indexed_iter() {
                let mut sum = 0.0;
                for k in 0..n[0] * n[1] * n[2] {
                    let k = [k % n[0], k / n[0] % n[1], k / n[0] / n[1]];
                    let at = std::array::from_fn(|d| {
                        [x, y, z][d] as f64 + (k[d] as f64 + 0.5) / n[d] as f64 - 0.5
                    });
                    sum += brute_linear(&src.data, a.apply(at), outside);
                }
                let expected = sum / (n[0] * n[1] * n[2]) as f64;
                assert!((f64::from(*v) - expected).abs() < 1e-4, "{a:?} {v} {expected}");
            }
            // A part of the target is the same voxels.
            let part = average(&src, &dst.crop([1, 2, 1], [2, 2, 3]), outside).unwrap();
            let cut = crop_image(&out, [1, 2, 1], [2, 2, 3], Fill::Edge);
            assert!(part.data.iter().zip(&cut.data).all(|(a, b)| (a - b).abs() < 1e-4));
        }
    }
}

#[test]
fn cubic_reproduces_a_cubic_inside_and_the_edge_outside() {
    // Along one axis a natural probe: far from the mirror boundary (its influence falls by 3.7 per voxel) a cubic
    // polynomial is its own spline.
    let p = |t: f64| 0.01 * t.powi(3) - 0.5 * t * t + 3.0 * t - 7.0;
    let data = Array3::from_shape_fn((1, 60, 2), |(_, y, _)| p(y as f64) as f32);
    let src = Image { data, affine: Affine::from_spacing_mm([1.0; 3]) };
    let dst = Grid { shape: [1, 90, 2], affine: Affine::from_spacing_mm([1.0, 0.7, 1.0]) };
    let out = cubic(&src, &dst, Outside::Edge).unwrap();
    for y in 36..50 {
        // 25 voxels from either end: 500 * 3.7^-25 is far below f32 rounding (3e-5 at 400).
        assert!((f64::from(out.data[[0, y, 1]]) - p(0.7 * y as f64)).abs() < 2e-4);
    }
    assert_eq!(out.data[[0, 89, 0]], src.data[[0, 59, 0]]);
    let filled = cubic(&src, &dst, Outside::Constant(5.0)).unwrap();
    assert_eq!((filled.data[[0, 84, 0]], filled.data[[0, 86, 0]]), (out.data[[0, 84, 0]], 5.0));
}

#[test]
fn unusable_grids_are_errors() {
    let src = Image { data: noise([2, 2, 2]), affine: Affine::from_spacing_mm([1.0; 3]) };
    let flat = Grid { shape: [2, 2, 2], affine: Affine::from_spacing_mm([1.0, 1.0, 0.0]) };
    assert!(linear(&src, &flat, Outside::Edge).unwrap_err().to_string().contains("invertible"));
    let huge = Grid { shape: [1 << 40, 1 << 40, 2], affine: src.affine };
    assert!(nearest(&src, &huge, Outside::Edge).unwrap_err().to_string().contains("at most"));
    let empty = Image { data: noise([0, 2, 2]), affine: src.affine };
    assert!(
        cubic(&empty, &src.grid(), Outside::Edge).unwrap_err().to_string().contains("at least one voxel")
    );
    let nothing = Grid { shape: [0, 3, 2], affine: src.affine };
    assert!(linear(&src, &nothing, Outside::Edge).unwrap().data.is_empty());
}

proptest! {
    #[test]
    fn onto_its_own_grid_is_the_identity_bit_for_bit(
        entries in prop::array::uniform12(-3.0_f64..3.0),
        shape in prop::array::uniform3(1_usize..6),
        salt in any::<u32>(),
    ) {
        let mut affine = Affine::from_spacing_mm([1.0; 3]);
        for (i, v) in entries.into_iter().enumerate() {
            affine.0[i / 4][i % 4] = v;
        }
        // A condition number beyond this is no image, and its inverse loses more digits than the snapping allows.
        prop_assume!(affine.determinant().abs() > 0.05);
        let mut data = noise(shape).mapv(|v| v * (salt as f32 + 0.1));
        data[[0; 3]] = -0.0;
        let src = Image { data, affine };
        let bits = |image: &Volume| image.data.mapv(f32::to_bits);
        for outside in [Outside::Edge, Outside::Constant(3.0)] {
            for f in [linear, cubic, average] {
                prop_assert_eq!(bits(&f(&src, &src.grid(), outside).unwrap()), bits(&src));
            }
            prop_assert_eq!(bits(&nearest(&src, &src.grid(), outside).unwrap()), bits(&src));
        }
    }

    #[test]
    fn a_linear_ramp_stays_the_same_ramp_in_the_world(
        entries in prop::array::uniform12(-1.0_f64..1.0),
        slope in prop::array::uniform3(-50.0_f64..50.0),
    ) {
        let affine = oblique_affine();
        let ramp = |w: [f64; 3]| (0..3).map(|a| slope[a] * w[a]).sum::<f64>();
        let at = |x: usize, y: usize, z: usize| affine.apply([x as f64, y as f64, z as f64]);
        let src = Image { data: Array3::from_shape_fn((9, 8, 7), |(x, y, z)| ramp(at(x, y, z)) as f32), affine };
        let mut step = Affine::from_spacing_mm([1.0; 3]);
        for (i, v) in entries.into_iter().enumerate() {
            // The middle of the source, with steps of at most one voxel.
            step.0[i / 4][i % 4] = if i % 4 == 3 { 3.0 + v } else { v };
        }
        prop_assume!(step.determinant().abs() > 1e-3);
        let dst = Grid { shape: [4, 4, 4], affine: affine.compose(&step) };
        let out = linear(&src, &dst, Outside::Edge).unwrap();
        for ((x, y, z), v) in out.data.indexed_iter() {
            let p = step.apply([x as f64, y as f64, z as f64]);
            if (0..3).all(|a| p[a] >= 0.0 && p[a] <= [8.0, 7.0, 6.0][a]) {
                // f32 rounding of source and result: values reach 50 * (30 + 15 + 30) = 4e3, one ulp 2.4e-4.
                prop_assert!((f64::from(*v) - ramp(affine.apply(p))).abs() < 1e-3);
            }
        }
    }
}
