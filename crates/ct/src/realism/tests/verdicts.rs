//! What the gate says of tumors that are wrong in one way.
use super::super::{FIGURES, Figures, Gate, Input, Verdict};
use super::{Phantom, ball, in_ball, in_box};
use crate::Mask;
use crate::analysis::ranges::Grade;
use crate::filter::gaussian;
use ndarray::Zip;

fn judge(phantom: &Phantom) -> Verdict {
    Gate::built_in().judge(&phantom.figures())
}

/// Asserts that a figure has at least that grade for a reason with these words.
fn objects(phantom: &Phantom, figure: &str, least: Grade, words: &str) {
    let verdict = judge(phantom);
    let mut of_figure = verdict.checks.iter().filter(|check| check.figure == figure);
    let found = of_figure.any(|check| check.grade >= least && check.reason.contains(words));
    assert!(found, "{figure} {words}: {verdict:#?}");
    assert!(verdict.grade >= least);
}

#[test]
fn a_ball_in_the_organs_noise_passes() {
    for (name, phantom) in [
        ("ball", ball()),
        ("large", Phantom::of([1.0; 3], 60.0, 1.0, in_ball(18.0))),
        ("ellipsoid", Phantom::of([1.0; 3], 70.0, 1.0, |p| in_ball(12.0)([p[0] * 0.9, p[1], p[2] * 1.1]))),
    ] {
        let verdict = judge(&phantom);
        assert!(verdict.checks.len() > 20, "{name}: {verdict:#?}");
        assert_eq!(verdict.grade, Grade::Pass, "{name}: {verdict:#?}");
    }
}

#[test]
fn a_ball_in_thick_slices_does_not_fail() {
    for radius_mm in [9.0, 14.0] {
        let verdict = judge(&Phantom::of([0.8, 0.8, 5.0], 60.0, 1.0, in_ball(radius_mm)));
        assert!(verdict.grade < Grade::Fail, "{radius_mm}: {verdict:#?}");
    }
}

#[test]
fn strips_sheets_and_sickles_fail() {
    let strip = Phantom::of([1.0; 3], 60.0, 1.0, in_box([20.0, 3.0, 1.6]));
    objects(&strip, "slenderness", Grade::Fail, "a strip 52 mm long");
    let sheet = Phantom::of([1.0; 3], 60.0, 1.0, in_box([15.0, 13.0, 1.6]));
    objects(&sheet, "flatness", Grade::Fail, "a sheet");
    let sickle =
        Phantom::of([1.0; 3], 60.0, 1.0, |p| in_ball(14.0)(p) && !in_ball(14.0)([p[0] - 7.0, p[1], p[2]]));
    objects(&sickle, "depth", Grade::Fail, "sickle-shaped");
}

#[test]
fn densities_of_something_else_fail() {
    objects(&Phantom::of([1.0; 3], -90.0, 1.0, in_ball(12.0)), "fat_share", Grade::Fail, "as dark as fat");
    objects(&Phantom::of([1.0; 3], 3.0, 1.0, in_ball(12.0)), "fluid", Grade::Fail, "as fluid: 3 HU");
    objects(&Phantom::of([1.0; 3], 500.0, 1.0, in_ball(12.0)), "bone_share", Grade::Fail, "as bone");
    objects(&Phantom::of([1.0; 3], -700.0, 1.0, in_ball(12.0)), "air_share", Grade::Fail, "is air");
    // The same HU with tissue in it are no fluid.
    let mut mixed = Phantom::of([1.0; 3], 3.0, 1.0, in_ball(12.0));
    Zip::indexed(&mut mixed.ct.data).and(&mixed.tumor.data).for_each(|(x, _, _), v, t| {
        *v += if !*t {
            0.0
        } else if x % 12 < 6 {
            -15.0
        } else {
            15.0
        };
    });
    let verdict = judge(&mixed);
    assert!(verdict.checks.iter().any(|c| c.figure == "fluid" && c.grade == Grade::Pass), "{verdict:#?}");
}

#[test]
fn missing_noise_and_too_much_of_it_are_told() {
    let mut smooth = ball();
    let blurred = gaussian(&smooth.ct.data, [1.5, 1.5, 0.0]);
    Zip::from(&mut smooth.ct.data).and(&blurred).and(&smooth.tumor.data).for_each(|v, b, t| {
        if *t {
            *v = *b;
        }
    });
    objects(&smooth, "band_ratio_below_1mm", Grade::Fail, "smoother than its organ");
    objects(&smooth, "power_ratio_below_4mm", Grade::Warn, "smoother than its organ");
    let mut noisy = ball();
    let before = &noisy.before.data;
    Zip::from(&mut noisy.ct.data).and(before).and(&noisy.tumor.data).for_each(|v, b, t| {
        if *t {
            *v += 2.0 * (b - 100.0);
        }
    });
    objects(&noisy, "band_ratio_below_1mm", Grade::Fail, "noisier than its organ");
}

#[test]
fn a_pasted_edge_is_sharp() {
    objects(&Phantom::of([1.0; 3], 40.0, 0.0, in_ball(12.0)), "edge_mm", Grade::Fail, "as if pasted");
}

#[test]
fn changes_elsewhere_and_their_border_are_told() {
    // A cube around the tumor came back 20 HU brighter.
    let mut cube = ball();
    cube.ct.data.indexed_iter_mut().for_each(|((x, y, z), v)| {
        *v += if [x, y, z].iter().all(|i| (12..48).contains(i)) { 20.0 } else { 0.0 };
    });
    objects(&cube, "border_step", Grade::Fail, "a seam in the organ");
    objects(&cube, "change_near_hu", Grade::Warn, "the organ outside of it was changed");
    objects(&cube, "change_outside_share", Grade::Warn, "of all change lies beyond its edge");
    let mut far = ball();
    far.ct.data.indexed_iter_mut().for_each(|((x, _, _), v)| *v += if x < 3 { 5.0 } else { 0.0 });
    objects(&far, "change_far_share", Grade::Fail, "more than 15 mm away");
}

#[test]
fn a_seam_between_two_slices_is_told() {
    let mut seam = ball();
    Zip::indexed(&mut seam.ct.data).and(&seam.tumor.data).for_each(|(_, _, z), v, t| {
        *v += if *t && z >= 32 { 30.0 } else { 0.0 };
    });
    objects(&seam, "slice_jump", Grade::Fail, "between two slices");
}

#[test]
fn ranges_are_of_figures_that_exist_and_can_be_ones_own() {
    let built_in = Gate::built_in();
    assert!(built_in.ranges.iter().all(|r| r.ranges.tumors >= crate::analysis::ranges::FEWEST));
    for range in built_in.ranges.iter().flat_map(|r| &r.ranges.ranges) {
        assert!(FIGURES.iter().any(|f| f.name == range.feature), "{range:?}");
        assert!(
            range.possible.low <= range.usual.low && range.usual.high <= range.possible.high,
            "{range:?}"
        );
    }
    let own: Vec<_> = (0..5)
        .map(|i| {
            let contrast = i as f32;
            Phantom::of([1.0; 3], 60.0 + contrast, 1.0, in_ball(10.0 + i as f64)).figures()
        })
        .collect();
    assert!(Gate::fitted(&own[..4], "ours").unwrap_err().to_string().contains("at least 5"));
    let gate = Gate::fitted(&own, "ours").unwrap();
    assert!(own.iter().all(|f| gate.judge(f).grade == Grade::Pass));
    // Brighter than all of them, which no built-in range knows of.
    let bright = Phantom::of([1.0; 3], 140.0, 1.0, in_ball(12.0)).figures();
    let verdict = gate.judge(&bright);
    let check = verdict.checks.iter().find(|c| c.figure == "contrast_hu").unwrap();
    assert!(check.grade == Grade::Fail && check.reason.contains("bright: 140 HU"), "{check:?}");
    assert!(check.low.unwrap() < check.high.unwrap() && check.high.unwrap() < check.value);
    let read: Gate = serde_json::from_str(&serde_json::to_string(&gate).unwrap()).unwrap();
    assert_eq!(read.ranges.len(), gate.ranges.len());
}

#[test]
fn ranges_are_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ranges.json");
    let gate = Gate::built_in();
    gate.write(&path).unwrap();
    let read = Gate::read(&path).unwrap();
    assert_eq!(read.sources(), gate.sources());
    let figures = ball().figures();
    assert_eq!(read.judge(&figures).grade, gate.judge(&figures).grade);
    let (range, source) = read.range("elongation", 15.0).unwrap();
    assert!(range.usual.low > 0.5 && source.contains("KiTS19"), "{range:?}");
    assert_eq!(read.range("inside_hu", 15.0), None);
    let text = std::fs::read_to_string(&path).unwrap();
    for (bad, says) in [
        (text.replace("\"elongation\"", "\"beauty\""), "'beauty', which is not measured"),
        (text.replace("\"low\": 0.", "\"low\": 90."), "not in order"),
        ("[]".into(), "ranges of real tumors as JSON"),
    ] {
        std::fs::write(&path, bad).unwrap();
        let error = Gate::read(&path).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("ranges.json"), "{error}");
    }
    assert!(Gate::read(&folder.path().join("none.json")).is_err());
}

#[test]
fn small_tumors_have_the_benefit_of_chance() {
    // 3 mm across in white noise: the outline alone makes the grain of one place differ from that of another by a quarter.
    let small = Phantom::of([1.0; 3], 60.0, 0.5, in_ball(2.6));
    let figures = small.figures();
    let texture = figures.texture.expect("places in the organ");
    assert!(texture.places >= 20 && texture.band_ratio[0].unwrap().spread > 0.05, "{texture:?}");
    let verdict = Gate::built_in().judge(&figures);
    let failed = verdict.checks.iter().filter(|c| c.grade == Grade::Fail && c.figure.contains("ratio"));
    assert_eq!(failed.count(), 0, "{verdict:#?}");
    // Without room in the organ nothing is said of it.
    let shell = Mask {
        data: ndarray::Array3::from_shape_fn(small.tumor.data.dim(), |(x, y, z)| {
            [x, y, z].iter().all(|v| (20..40).contains(v))
        }),
        affine: small.tumor.affine,
    };
    let input = Input { organ: Some(&shell), ..small.input() };
    assert_eq!(Figures::of(&input).unwrap().texture, None);
}
