//! Surface figures against their definition, against shapes whose distances are known, and with masks of every kind.
use difftumor_ct::metrics::surface::{SurfaceDistances, area_table_mm2};
use difftumor_ct::{Affine, Error, Mask};
use ndarray::Array3;
use proptest::prelude::*;

/// Elements `(distance, area)` of the surface of `from`, by the definition, with the masks padded by an empty voxel.
fn brute(from: &Array3<bool>, to: &Array3<bool>, spacing_mm: [f64; 3]) -> Vec<(f64, f64)> {
    let surface = |mask: &Array3<bool>| {
        let (nx, ny, nz) = mask.dim();
        let areas_mm2 = area_table_mm2(spacing_mm);
        let mut found = Vec::new();
        for (x, y, z) in ndarray::indices((nx + 1, ny + 1, nz + 1)) {
            let code = (0..8).fold(0_usize, |code, i| {
                let at = [x + (i >> 2), y + (i >> 1 & 1), z + (i & 1)].map(|p| p.wrapping_sub(1));
                code << 1 | usize::from(mask.get(at).copied().unwrap_or(false))
            });
            if code != 0 && code != 255 {
                found.push(([x, y, z], areas_mm2[code]));
            }
        }
        found
    };
    let others = surface(to);
    let nearest_mm = |at: [usize; 3]| {
        let distance_mm = |other: &[usize; 3]| {
            let square = |a: usize| (at[a].abs_diff(other[a]) as f64 * spacing_mm[a]).powi(2);
            (square(0) + square(1) + square(2)).sqrt()
        };
        others.iter().map(|(other, _)| distance_mm(other)).fold(f64::INFINITY, f64::min)
    };
    let mut found: Vec<_> = surface(from).into_iter().map(|(at, area)| (nearest_mm(at), area)).collect();
    found.sort_by(|a, b| a.partial_cmp(b).unwrap());
    found
}

/// Whether two figures are equal: both undefined, both infinite, or off by no more than the rounding of some thousand
/// sums in another order.
fn same(found: Option<f64>, expected: Option<f64>) -> bool {
    match (found, expected) {
        (Some(a), Some(b)) => a == b || (a - b).abs() <= 1e-12 * b.abs().max(1.0),
        (a, b) => a == b,
    }
}

/// Two masks: any voxels, from none to all.
fn masks() -> impl Strategy<Value = (Array3<bool>, Array3<bool>)> {
    let shape = prop::array::uniform3(1_usize..13);
    (shape, 0_u8..101, 0_u8..101, prop::collection::vec((0_u8..100, 0_u8..100), 12 * 12 * 12)).prop_map(
        |(shape, a, b, values)| {
            let mut values = values.into_iter();
            let both = Array3::from_shape_simple_fn(shape, || values.next().unwrap());
            (both.mapv(|v| v.0 < a), both.mapv(|v| v.1 < b))
        },
    )
}

proptest! {
    #[test]
    fn surfaces_equal_the_definition(
        (truth, prediction) in masks(),
        spacing_mm in prop::array::uniform3(0.3_f64..6.0),
        tolerance_mm in 0.0_f64..6.0,
    ) {
        let found = SurfaceDistances::of(&truth, &prediction, spacing_mm);
        let a = brute(&truth, &prediction, spacing_mm);
        let b = brute(&prediction, &truth, spacing_mm);
        for (surface, expected) in [(&found.truth, &a), (&found.prediction, &b)] {
            prop_assert_eq!(surface.elements(), expected.len());
            let area_mm2: f64 = expected.iter().map(|e| e.1).sum();
            prop_assert!(same(Some(surface.area_mm2()), Some(area_mm2)));
            let largest_mm = expected.last().map(|e| e.0);
            prop_assert!(same(surface.percentile_mm(100.0), largest_mm));
            prop_assert!(same(surface.percentile_mm(0.0), expected.first().map(|e| e.0)));
            let moment: f64 = expected.iter().map(|e| e.0 * e.1).sum();
            prop_assert!(same(surface.average_mm(), largest_mm.map(|_| moment / area_mm2)));
        }
        let both = || a.iter().chain(&b);
        let total: f64 = both().map(|e| e.1).sum();
        let within: f64 = both().filter(|e| e.0 <= tolerance_mm).map(|e| e.1).sum();
        let defined = !a.is_empty() || !b.is_empty();
        prop_assert!(same(found.nsd(tolerance_mm), defined.then(|| within / total)));
        let moment: f64 = both().map(|e| e.0 * e.1).sum();
        prop_assert!(same(found.assd_mm(), defined.then(|| moment / total)));
    }

    #[test]
    fn sparse_masks_equal_the_definition(
        shape in prop::array::uniform3(2_usize..30),
        at in prop::collection::vec(prop::array::uniform3(0_usize..30), 2..8),
        spacing_mm in prop::array::uniform3(0.3_f64..6.0),
    ) {
        // Far apart in every direction: searches by lines, and lines that one search leaves to the next.
        let mut masks = [Array3::from_elem(shape, false), Array3::from_elem(shape, false)];
        for (i, at) in at.iter().enumerate() {
            masks[i % 2][std::array::from_fn::<_, 3, _>(|a| at[a] % shape[a])] = true;
        }
        let found = SurfaceDistances::of(&masks[0], &masks[1], spacing_mm);
        let expected = brute(&masks[0], &masks[1], spacing_mm);
        prop_assert!(same(found.truth.percentile_mm(100.0), expected.last().map(|e| e.0)));
        let (area, moment) = expected.iter().fold((0.0, 0.0), |(a, m), e| (a + e.1, m + e.0 * e.1));
        prop_assert!(same(found.truth.average_mm(), Some(moment / area)));
    }

    #[test]
    fn the_order_of_the_masks_does_not_matter((a, b) in masks(), spacing_mm in prop::array::uniform3(0.3_f64..6.0)) {
        let (there, back) = (SurfaceDistances::of(&a, &b, spacing_mm), SurfaceDistances::of(&b, &a, spacing_mm));
        prop_assert_eq!(&there.truth, &back.prediction);
        prop_assert_eq!(there.nsd(1.0), back.nsd(1.0));
        prop_assert_eq!(there.hd95_mm(), back.hd95_mm());
        prop_assert_eq!(there.assd_mm(), back.assd_mm());
    }

    #[test]
    fn a_mask_is_at_no_distance_from_itself((mask, _) in masks(), spacing_mm in prop::array::uniform3(0.3_f64..6.0)) {
        let found = SurfaceDistances::of(&mask, &mask, spacing_mm);
        let defined = mask.iter().any(|v| *v);
        prop_assert_eq!(found.nsd(0.0), defined.then_some(1.0));
        prop_assert_eq!(found.hausdorff_mm(100.0), defined.then_some(0.0));
        prop_assert_eq!(found.assd_mm(), defined.then_some(0.0));
    }

    #[test]
    fn a_larger_voxel_scales_every_distance((a, b) in masks(), spacing_mm in prop::array::uniform3(0.3_f64..6.0)) {
        // Twice is exact in binary, also for the squares and sums.
        let found = SurfaceDistances::of(&a, &b, spacing_mm);
        let twice = SurfaceDistances::of(&a, &b, spacing_mm.map(|s| 2.0 * s));
        prop_assert_eq!(twice.hd95_mm(), found.hd95_mm().map(|v| 2.0 * v));
        prop_assert_eq!(twice.assd_mm(), found.assd_mm().map(|v| 2.0 * v));
        prop_assert_eq!(twice.nsd(3.0), found.nsd(1.5));
        prop_assert_eq!(twice.truth.area_mm2(), 4.0 * found.truth.area_mm2());
    }

    #[test]
    fn empty_space_around_the_masks_does_not_matter((a, b) in masks(), margin in prop::array::uniform3(0_usize..4)) {
        let spacing_mm = [0.7, 1.1, 2.5];
        let padded = |mask: &Array3<bool>| {
            let (nx, ny, nz) = mask.dim();
            let mut out = Array3::from_elem((nx + 2 * margin[0], ny + margin[1], nz + 3 * margin[2]), false);
            for ((x, y, z), v) in mask.indexed_iter() {
                out[[x + margin[0], y + margin[1], z + margin[2]]] = *v;
            }
            out
        };
        let found = SurfaceDistances::of(&padded(&a), &padded(&b), spacing_mm);
        prop_assert_eq!(found, SurfaceDistances::of(&a, &b, spacing_mm));
    }
}

#[test]
fn surfaces_far_apart_along_every_axis() {
    // Two voxels 100, 150 and 200 voxels apart: beyond what a search by single steps reaches, so by lines.
    let spacing_mm = [0.5, 0.75, 2.0];
    for axis in 0..3 {
        let apart = [100, 150, 200][axis];
        let mut shape = [3; 3];
        shape[axis] = apart + 3;
        let voxel = |at: usize| {
            let mut position = [1; 3];
            position[axis] = at;
            let mut mask = Array3::from_elem(shape, false);
            mask[position] = true;
            mask
        };
        let found = SurfaceDistances::of(&voxel(1), &voxel(1 + apart), spacing_mm);
        // Half of a voxel's 8 corners are one voxel nearer.
        let mm = |voxels: usize| Some(voxels as f64 * spacing_mm[axis]);
        assert_eq!(found.hausdorff_mm(100.0), mm(apart));
        assert_eq!(found.truth.percentile_mm(50.0), mm(apart - 1));
        assert_eq!((found.nsd(mm(apart).unwrap()), found.nsd(1.0)), (Some(1.0), Some(0.0)));
        assert!(same(found.assd_mm(), Some((apart as f64 - 0.5) * spacing_mm[axis])));
    }
}

#[test]
fn a_shifted_slab_has_the_distance_of_the_shift() {
    // A slab through the whole plane, 3 voxels thick, shifted by k: a surface element in the middle of a face is k
    // voxels from the other slab's face, or less when the other face is nearer (its faces are 3 voxels apart).
    let spacing_mm = [0.8, 0.9, 2.5];
    for axis in 0..3 {
        let slab = |start: usize| {
            Array3::from_shape_fn((24, 26, 22), |(x, y, z)| (start..start + 3).contains(&[x, y, z][axis]))
        };
        for shift in 0..8 {
            let found = SurfaceDistances::of(&slab(6), &slab(6 + shift), spacing_mm);
            // The outer face is the farthest: `shift` from its own counterpart. The slabs end with the image, so in
            // the plane nothing moves.
            let expected_mm = shift as f64 * spacing_mm[axis];
            assert_eq!(found.hausdorff_mm(100.0), Some(expected_mm), "axis {axis}, shift {shift}");
            assert_eq!(found.nsd(expected_mm), Some(1.0));
            // The outer face is more than 5 % of the surface, so HD95 is the same.
            assert_eq!(found.hd95_mm(), Some(expected_mm));
        }
    }
}

#[test]
fn one_voxel_and_none() {
    let spacing_mm = [0.7, 0.9, 2.5];
    let none = Array3::from_elem((3, 4, 5), false);
    for corner in [[0, 0, 0], [2, 3, 4], [1, 2, 2]] {
        let mut one = none.clone();
        one[corner] = true;
        let found = SurfaceDistances::of(&one, &one, spacing_mm);
        // 8 corners cut off, wherever the voxel lies: surfaces are closed at the border too.
        assert_eq!((found.truth.elements(), found.nsd(0.0)), (8, Some(1.0)));
        assert!(same(Some(found.truth.area_mm2()), Some(8.0 * area_table_mm2(spacing_mm)[1])));
        for (a, b) in [(&one, &none), (&none, &one)] {
            let found = SurfaceDistances::of(a, b, spacing_mm);
            assert_eq!(found.nsd(1e9), Some(0.0));
            assert_eq!((found.hd95_mm(), found.assd_mm()), (Some(f64::INFINITY), Some(f64::INFINITY)));
        }
        let found = SurfaceDistances::of(&one, &none, spacing_mm);
        assert_eq!((found.truth.average_mm(), found.prediction.average_mm()), (Some(f64::INFINITY), None));
    }
    for empty in [none, Array3::from_elem((0, 4, 5), false)] {
        let found = SurfaceDistances::of(&empty, &empty, spacing_mm);
        assert_eq!((found.nsd(2.0), found.hd95_mm(), found.assd_mm()), (None, None, None));
        assert_eq!((found.truth.average_mm(), found.truth.percentile_mm(95.0)), (None, None));
    }
}

#[test]
fn other_layouts_in_memory_give_the_same() {
    let value =
        |x: usize, y: usize, z: usize, k: usize| (x * 7 + y * 5 + z * 3 + x * y * z).is_multiple_of(k);
    let (a, b) = ([9, 8, 7], |k| Array3::from_shape_fn((9, 8, 7), move |(x, y, z)| value(x, y, z, k)));
    let turned = |k| {
        let mut out = Array3::from_shape_fn((7, 8, 9), move |(z, y, x)| value(x, y, z, k));
        out.swap_axes(0, 2);
        assert!(!out.is_standard_layout() && out.dim() == (a[0], a[1], a[2]));
        out
    };
    let found = SurfaceDistances::of(&turned(4), &turned(5), [0.7, 0.8, 0.9]);
    assert_eq!(found, SurfaceDistances::of(&b(4), &b(5), [0.7, 0.8, 0.9]));
}

#[test]
fn grids_that_differ_are_refused() {
    let data = Array3::from_elem((3, 4, 5), true);
    let truth = Mask { data: data.clone(), affine: Affine::from_spacing_mm([1.0, 1.0, 2.0]) };
    let prediction = Mask { data, affine: Affine::from_spacing_mm([1.0, 1.0, 2.5]) };
    let error = SurfaceDistances::between(&truth, &prediction).unwrap_err();
    assert!(matches!(error, Error::GridMismatch { .. }), "{error}");
    let nan = Mask { affine: Affine::from_spacing_mm([1.0, f64::NAN, 2.0]), ..truth.clone() };
    assert!(SurfaceDistances::between(&nan, &nan).is_err());
    let long = Mask { data: Array3::from_elem((1, 70_000, 1), true), affine: truth.affine };
    let error = SurfaceDistances::between(&long, &long).unwrap_err();
    assert!(matches!(error, Error::Argument { .. }) && error.to_string().contains("70000"), "{error}");
}

#[test]
fn threads_do_not_matter() {
    let ball = |c: f64| {
        Array3::from_shape_fn((40, 42, 38), |(x, y, z)| {
            [x, y, z].iter().map(|v| (*v as f64 - c).powi(2)).sum::<f64>() < 200.0
        })
    };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| SurfaceDistances::of(&ball(18.0), &ball(21.5), [0.7, 0.7, 1.5]))
    };
    let one = run(1);
    assert_eq!(one, run(3));
    assert_eq!(one.nsd(1.0).map(f64::to_bits), run(2).nsd(1.0).map(f64::to_bits));
}
