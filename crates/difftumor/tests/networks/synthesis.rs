//! The synthesizer on phantoms: geometry, bookkeeping, determinism and the bad inputs that only it sees.
use difftumor::synthesis::{Case, Generator, Preset, SizeChoice, Synthesis, SynthesisOptions, Synthesizer};
use difftumor_ct::label::OrganMask;
use difftumor_ct::tumor_mask::size::Size;
use difftumor_ct::tumor_mask::sizes_mm::DiameterRange;
use difftumor_ct::{Affine, Mask, Volume};
use ndarray::Array3;

/// An ellipsoidal organ of 110 HU with noise in fat, on any grid. Half axes in mm.
fn phantom(id: &str, shape: [usize; 3], affine: Affine, half_axes_mm: [f64; 3]) -> Case {
    let centre = affine.apply(shape.map(|n| (n as f64 - 1.0) / 2.0));
    let inside = |x: usize, y: usize, z: usize| {
        let p = affine.apply([x as f64, y as f64, z as f64]);
        (0..3).map(|a| ((p[a] - centre[a]) / half_axes_mm[a]).powi(2)).sum::<f64>() < 1.0
    };
    let organ = Array3::from_shape_fn(shape, |(x, y, z)| inside(x, y, z));
    let data = Array3::from_shape_fn(shape, |(x, y, z)| {
        let noise = ((x * 7919 + y * 104_729 + z * 1_299_709) % 41) as f32 - 20.0;
        if organ[[x, y, z]] { 110.0 + noise } else { -95.0 + noise }
    });
    Case {
        id: id.into(),
        ct: Volume { data, affine },
        hu_step: Some(1.0),
        organs: vec![OrganMask {
            name: "liver".into(),
            organ: Mask { data: organ, affine },
            tumor: None,
            cyst: None,
            sources: vec![],
        }],
    }
}

fn spacing(mm: [f64; 3]) -> Affine {
    Affine::from_spacing_mm(mm)
}

/// Left-posterior-superior axes, as most CT files have them.
fn lps(mm: [f64; 3]) -> Affine {
    let mut a = spacing(mm);
    a.0[0][0] *= -1.0;
    a.0[1][1] *= -1.0;
    a.0[0][3] = 120.0;
    a
}

/// Turned by 20 degrees about x and 10 about z.
fn oblique(mm: [f64; 3]) -> Affine {
    let (s, c) = 20f64.to_radians().sin_cos();
    let (t, d) = 10f64.to_radians().sin_cos();
    let rotation = Affine([
        [d, -t * c, t * s, -31.0],
        [t, d * c, -d * s, 12.0],
        [0.0, s, c, 900.0],
        [0.0, 0.0, 0.0, 1.0],
    ]);
    rotation.compose(&spacing(mm))
}

fn synthesizer(options: SynthesisOptions) -> Synthesizer {
    Synthesizer { options, generator: Generator::Handcrafted }
}

fn with(size: SizeChoice, tumors: i64, seed: u64) -> SynthesisOptions {
    SynthesisOptions { size, tumors: Some((tumors, tumors)), seed, ..Default::default() }
}

/// What holds for every result of the default preset.
fn check(case: &Case, s: &Synthesis) {
    assert_eq!(s.case.ct.affine, case.ct.affine);
    assert_eq!(s.changed_outside_blend_zone(&case.ct), 0);
    let organ = &case.organs[0].organ.data;
    let tumor = &s.case.organs[0].tumor.as_ref().expect("a tumor mask").data;
    for (((t, o), i), z) in tumor.iter().zip(organ).zip(&s.instances.data).zip(&s.blend_zone) {
        assert!(!t || (*o && *z), "tumors lie in the organ and in the blend zone");
        assert!(!z || *o, "nothing outside of the organ may change");
        assert_eq!(*t, *i > 0);
    }
    for r in &s.records {
        let voxels = s.instances.data.iter().filter(|i| **i == r.number).count();
        assert_eq!(voxels, r.voxels);
        assert!(voxels > 0);
        let (inside, before) = (r.hu_inside.expect("voxels"), r.hu_before.expect("voxels"));
        assert!(
            before.mean_hu - inside.mean_hu >= 5.0,
            "a hand-crafted tumor is darker: {before:?} {inside:?}"
        );
        assert!(inside.mean_hu > 0.0, "and no fat: {inside:?}");
        let volume_mm3 = 4.0 / 3.0 * std::f64::consts::PI * (r.equivalent_diameter_mm / 2.0).powi(3);
        assert!((volume_mm3 / r.volume_mm3 - 1.0).abs() < 1e-6);
        assert_eq!(case.ct.affine.apply(r.centre_vox), r.centre_mm);
    }
    let labels = s.case.labels();
    assert_eq!(labels.data.iter().filter(|l| **l == 2).count(), tumor.iter().filter(|t| **t).count());
}

#[test]
fn any_grid_works() {
    let cases = [
        phantom("iso", [80, 70, 60], spacing([1.0; 3]), [35.0, 30.0, 25.0]),
        phantom("thick", [64, 60, 14], lps([1.3, 1.3, 5.0]), [35.0, 33.0, 30.0]),
        phantom("oblique", [70, 66, 40], oblique([1.1, 1.1, 2.0]), [30.0, 30.0, 30.0]),
        phantom("coarse", [30, 30, 30], lps([3.0, 3.0, 3.0]), [36.0, 34.0, 36.0]),
        phantom("fine", [110, 110, 60], spacing([0.6, 0.6, 0.8]), [28.0, 28.0, 20.0]),
    ];
    for case in &cases {
        let range = DiameterRange::new(12.0, 18.0).unwrap();
        let s = synthesizer(with(SizeChoice::DiameterMm(range), 2, 3)).synthesize(case, 0).unwrap();
        assert_eq!(s.records.len(), 2, "{}: {:?}", case.id, s.not_placed);
        check(case, &s);
        for r in &s.records {
            // The label shrinks by blur (half weight) and partial volume, and clipping may take a fifth.
            let longest = r.axes_mm[0];
            assert!((7.0..22.0).contains(&longest), "{}: asked for 12 to 18 mm, got {longest}", case.id);
        }
    }
}

#[test]
fn every_size_class_works_and_sizes_are_ordered() {
    let case = phantom("sizes", [130, 120, 110], spacing([1.0; 3]), [62.0, 58.0, 53.0]);
    let mut last = 0.0;
    for size in [Size::Tiny, Size::Small, Size::Medium, Size::Large] {
        let s = synthesizer(with(SizeChoice::Class(size), 1, 5)).synthesize(&case, 0).unwrap();
        check(&case, &s);
        let volume = s.records[0].volume_mm3;
        assert!(volume > last, "{size:?}: {volume} after {last}");
        last = volume;
    }
}

#[test]
fn tumors_keep_apart_and_old_ones_stay() {
    let mut case = phantom("many", [110, 100, 90], spacing([1.0; 3]), [50.0, 48.0, 43.0]);
    let old = Array3::from_shape_fn((110, 100, 90), |(x, y, z)| {
        (45..60).contains(&x) && (45..60).contains(&y) && (40..55).contains(&z)
    });
    case.organs[0].tumor = Some(Mask { data: old.clone(), affine: case.ct.affine });
    let s = synthesizer(with(SizeChoice::Class(Size::Tiny), 15, 1)).synthesize(&case, 0).unwrap();
    assert_eq!(s.records.len(), 15);
    for ((x, y, z), i) in s.instances.data.indexed_iter() {
        assert!(*i == 0 || !old[[x, y, z]], "new tumors keep off the old one");
        if *i > 0 && x + 1 < 110 {
            let next = s.instances.data[[x + 1, y, z]];
            assert!(next == 0 || next == *i, "tumors touch");
        }
    }
    let all = &s.case.organs[0].tumor.as_ref().unwrap().data;
    assert!(old.iter().zip(all).all(|(o, a)| !o || *a));
}

#[test]
fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
    let case = phantom("threads", [70, 70, 60], lps([1.2, 1.2, 1.5]), [38.0, 36.0, 40.0]);
    let run = |threads: usize, seed: u64, copy: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let s =
            pool.install(|| synthesizer(with(SizeChoice::Mixed, 2, seed)).synthesize(&case, copy).unwrap());
        (s.case.ct.data.mapv(f32::to_bits), s.instances.data, format!("{:?}", s.records))
    };
    let one = run(1, 9, 0);
    assert_eq!(one, run(3, 9, 0));
    assert_ne!(one.0, run(1, 10, 0).0, "another seed");
    assert_ne!(one.0, run(1, 9, 1).0, "another copy");
}

#[test]
fn float_scans_keep_fractions_and_integer_scans_get_whole_steps() {
    let mut case = phantom("steps", [60, 60, 60], spacing([1.0; 3]), [28.0; 3]);
    let options = with(SizeChoice::Class(Size::Small), 1, 2);
    let s = synthesizer(options.clone()).synthesize(&case, 0).unwrap();
    assert!(s.case.ct.data.iter().all(|v| v.fract() == 0.0));
    case.hu_step = None;
    let s = synthesizer(options).synthesize(&case, 0).unwrap();
    assert!(s.case.ct.data.iter().any(|v| v.fract() != 0.0));
    check(&case, &s);
}

#[test]
fn the_paper_preset_runs_hu_2023_on_the_whole_organ() {
    let case = phantom("paper", [90, 90, 80], spacing([1.0; 3]), [42.0, 40.0, 36.0]);
    let options = SynthesisOptions {
        preset: Preset::Paper,
        size: SizeChoice::Class(Size::Small),
        seed: 4,
        ..Default::default()
    };
    let s = synthesizer(options).synthesize(&case, 0).unwrap();
    assert_eq!(s.changed_outside_blend_zone(&case.ct), 0);
    assert_eq!(s.records.len(), 1, "one record for the crop");
    // 3 to 10 tumors of half axes 6 to 10 mm: at least three balls of 6 mm, less what clipping takes.
    assert!(s.records[0].volume_mm3 > 900.0, "{}", s.records[0].volume_mm3);
}

fn message(options: SynthesisOptions, case: &Case) -> String {
    synthesizer(options).synthesize(case, 0).unwrap_err().to_string()
}

#[test]
fn impossible_wishes_are_told() {
    let case = phantom("small", [60, 60, 60], spacing([1.0; 3]), [12.0; 3]);
    let too_large = with(SizeChoice::DiameterMm(DiameterRange::new(60.0, 70.0).unwrap()), 1, 1);
    let text = message(too_large, &case);
    assert!(text.contains("liver") && text.contains("smaller tumors"), "{text}");
    let mut empty = case.clone();
    empty.organs[0].organ.data.fill(false);
    assert!(message(SynthesisOptions::default(), &empty).contains("empty"));
    let paper = SynthesisOptions { preset: Preset::Paper, tumors: Some((2, 2)), ..Default::default() };
    assert!(message(paper, &case).contains("number of tumors"));
    assert!(message(with(SizeChoice::Mixed, 0, 1), &case).contains("number of tumors"));
}

#[test]
fn a_plate_of_an_organ_gets_no_sickles() {
    let plate = |half_mm| phantom("plate", [100, 100, 40], spacing([1.0; 3]), [45.0, 45.0, half_mm]);
    let options = |seed| with(SizeChoice::Class(Size::Small), 2, seed);
    // Half axes of 6 to 10 mm: in 3 mm less than half of any would be left.
    assert!(synthesizer(options(1)).synthesize(&plate(1.5), 0).is_err());
    // In 6 mm only squat shapes that are hardly cut fit; none is a disc.
    for seed in 0..4 {
        for r in synthesizer(options(seed)).synthesize(&plate(3.0), 0).iter().flat_map(|s| &s.records) {
            assert!(r.axes_mm[2] >= 0.3 * r.axes_mm[0], "{:?}", r.axes_mm);
        }
    }
}
