//! Tumor-wise detection: the rules on scans whose answer is known, and what holds for every pair of masks.
use difftumor_ct::components::Connectivity;
use difftumor_ct::metrics::detection::{Detection, DetectionOptions, FoundRule, Stage, StageDiameter};
use difftumor_ct::metrics::detection_summary::{DetectionSummary, Found};
use difftumor_ct::metrics::overlap::Overlap;
use difftumor_ct::{Affine, Error, Mask};
use ndarray::Array3;
use proptest::prelude::*;

const SIDE: usize = 70;

/// A mask on a grid of 2 mm.
fn mask(inside: impl Fn([usize; 3]) -> bool) -> Mask {
    let mut affine = Affine::from_spacing_mm([2.0; 3]);
    affine.0[0][3] = -100.0;
    Mask { data: Array3::from_shape_fn((SIDE, SIDE, SIDE), |(x, y, z)| inside([x, y, z])), affine }
}

fn in_ball(at: [usize; 3], centre: [usize; 3], radius_vox: f64) -> bool {
    (0..3).map(|a| at[a].abs_diff(centre[a]).pow(2)).sum::<usize>() as f64 <= radius_vox * radius_vox
}

fn in_box(at: [usize; 3], start: [usize; 3], end: [usize; 3]) -> bool {
    (0..3).all(|a| (start[a]..end[a]).contains(&at[a]))
}

fn with_rule(rule: FoundRule) -> DetectionOptions {
    DetectionOptions { rule, ..DetectionOptions::default() }
}

/// Balls of 12, 36 and 64 mm; the first is touched by one voxel, the second missed, the third found with a shift.
/// Two findings lie where there is no tumor, one of them outside of the organ (x < 60).
fn scan() -> (Mask, Mask, Mask) {
    let truth = mask(|at| {
        in_ball(at, [6, 6, 6], 3.0) || in_ball(at, [12, 50, 12], 9.0) || in_ball(at, [36, 30, 40], 16.0)
    });
    let prediction = mask(|at| {
        in_box(at, [6, 6, 9], [8, 8, 12])
            || in_ball(at, [38, 30, 40], 16.0)
            || in_box(at, [5, 30, 60], [7, 33, 62])
            || in_box(at, [62, 10, 10], [65, 13, 13])
    });
    (truth, prediction, mask(|at| at[0] < 60))
}

#[test]
fn tumors_of_three_stages_with_an_organ() {
    let (truth, prediction, organ) = scan();
    let found = Detection::between(&truth, &prediction, Some(&organ), &DetectionOptions::default()).unwrap();
    let stages: Vec<_> = found.lesions.iter().map(|lesion| (lesion.stage, lesion.found)).collect();
    assert_eq!(stages, [(Stage::UpTo20Mm, true), (Stage::UpTo50Mm, false), (Stage::Above50Mm, true)]);
    assert_eq!(found.lesions[0].overlap.both_vox, 1);
    // Findings in scan order: the false one at x = 5, the one at the small tumor, the shifted ball.
    let touched: Vec<_> = found.findings.iter().map(|finding| finding.lesions.clone()).collect();
    assert_eq!(touched, [vec![], vec![1], vec![3]]);
    assert_eq!(
        found.lesions.iter().map(|l| l.findings.clone()).collect::<Vec<_>>(),
        [vec![2], vec![], vec![3]]
    );
    assert_eq!(found.false_positives(), 1);

    let small = &found.lesions[0].extent;
    // A ball of radius 3 around a voxel has 123 of them.
    assert_eq!((small.voxels, small.volume_mm3), (123, 984.0));
    assert_eq!((small.centroid_vox, small.centroid_ras_mm), ([6.0; 3], [-88.0, 12.0, 12.0]));
    assert!((small.equivalent_diameter_mm - (6.0 * 984.0 / std::f64::consts::PI).cbrt()).abs() < 1e-12);
    // 6 voxels between the outermost centres, and one for their halves.
    assert_eq!(small.longest_axial_diameter_mm, 14.0);
    let large = &found.lesions[2];
    assert_eq!(large.extent.centroid_vox, [36.0, 30.0, 40.0]);
    assert_eq!((large.overlap.dice(), large.overlap.iou()), (Some(large.dice), Some(large.iou)));
    assert!((0.85..1.0).contains(&large.dice), "{}", large.dice);

    let without = Detection::between(&truth, &prediction, None, &DetectionOptions::default()).unwrap();
    assert_eq!((without.false_positives(), without.lesions), (2, found.lesions));
}

#[test]
fn rules_differ_in_what_is_found() {
    let (truth, prediction, organ) = scan();
    let found = |rule| {
        let detection = Detection::between(&truth, &prediction, Some(&organ), &with_rule(rule)).unwrap();
        // Whatever the rule, a finding that touches a tumor is no false positive.
        assert_eq!(detection.false_positives(), 1);
        detection.lesions.iter().map(|lesion| lesion.found).collect::<Vec<_>>()
    };
    assert_eq!(found(FoundRule::AnyOverlap), [true, false, true]);
    assert_eq!(found(FoundRule::Dice(0.5)), [false, false, true]);
    assert_eq!(found(FoundRule::Dice(0.0)), [true, false, true]);
    assert_eq!(found(FoundRule::Iou(0.5)), [false, false, true]);
    assert_eq!(found(FoundRule::Iou(1.0)), [false, false, false]);
    // The finding at the small tumor touches it with its end only: its centroid is outside.
    assert_eq!(found(FoundRule::Centroid), [false, false, true]);
}

#[test]
fn a_finding_that_joins_two_tumors_is_held_against_each() {
    let truth = mask(|at| in_box(at, [10; 3], [20, 20, 20]) || in_box(at, [10, 10, 22], [20, 20, 32]));
    let prediction = mask(|at| in_box(at, [10; 3], [20, 20, 32]));
    let found = Detection::between(&truth, &prediction, None, &with_rule(FoundRule::Dice(0.7))).unwrap();
    for lesion in &found.lesions {
        // 1000 voxels of the finding's 2200.
        assert_eq!((lesion.dice, lesion.iou, lesion.found), (2000.0 / 3200.0, 1000.0 / 2200.0, false));
    }
    assert_eq!(found.findings[0].lesions, [1, 2]);
    // And pieces are taken together: a tumor predicted in two parts.
    let found = Detection::between(&prediction, &truth, None, &with_rule(FoundRule::Dice(0.7))).unwrap();
    assert_eq!((found.lesions[0].findings.len(), found.lesions[0].dice), (2, 4000.0 / 4200.0));
    assert!(found.lesions[0].found);
}

#[test]
fn stages_follow_the_chosen_diameter_and_include_their_upper_ends() {
    assert_eq!(
        [0.0, 20.0, 20.1, 50.0, 50.1].map(Stage::of),
        [Stage::UpTo20Mm, Stage::UpTo20Mm, Stage::UpTo50Mm, Stage::UpTo50Mm, Stage::Above50Mm]
    );
    // A rod of 60 mm in the plane with the volume of a ball of 15 mm.
    let rod = mask(|at| in_box(at, [10; 3], [40, 14, 11]));
    let stage = |stage_diameter| {
        let options = DetectionOptions { stage_diameter, ..DetectionOptions::default() };
        Detection::between(&rod, &rod, None, &options).unwrap().lesions[0].stage
    };
    assert_eq!(stage(StageDiameter::EquivalentSphere), Stage::UpTo20Mm);
    assert_eq!(stage(StageDiameter::LongestAxial), Stage::Above50Mm);
}

#[test]
fn voxels_at_a_corner_are_one_tumor_or_two() {
    let truth = mask(|at| at == [5; 3] || at == [6; 3]);
    let count = |connectivity| {
        let options = DetectionOptions { connectivity, ..DetectionOptions::default() };
        Detection::between(&truth, &mask(|_| false), None, &options).unwrap().lesions.len()
    };
    assert_eq!((count(Connectivity::Corners), count(Connectivity::Faces)), (1, 2));
}

#[test]
fn summaries_count_tumors_and_patients() {
    let none = mask(|_| false);
    let (truth, prediction, organ) = scan();
    let scans = [(&truth, &prediction), (&truth, &none), (&none, &prediction), (&none, &none)]
        .map(|(t, p)| Detection::between(t, p, Some(&organ), &DetectionOptions::default()).unwrap());
    let summary = DetectionSummary::of(&scans);
    assert_eq!((summary.scans, summary.all), (4, Found { lesions: 6, found: 2 }));
    assert_eq!(summary.by_stage.map(|s| s.sensitivity()), [Some(0.5), Some(0.0), Some(0.5)]);
    // One beside the tumors, three where no tumor is.
    assert_eq!(summary.false_positives_per_scan(), Some(1.0));
    assert_eq!((summary.patients.sensitivity(), summary.patients.specificity()), (Some(0.5), Some(0.5)));
    let text = serde_json::to_string(&(&scans[0], &summary)).unwrap();
    let back: (Detection, DetectionSummary) = serde_json::from_str(&text).unwrap();
    // serde_json reads numbers to within a unit in the last place, so fractions are compared with that in mind.
    assert_eq!(back.1, summary);
    assert_eq!(back.0.findings, scans[0].findings);
    for (read, written) in back.0.lesions.iter().zip(&scans[0].lesions) {
        assert_eq!((read.found, read.stage, read.overlap), (written.found, written.stage, written.overlap));
        assert!((read.dice - written.dice).abs() <= f64::EPSILON);
    }
    let nothing = DetectionSummary::default();
    assert_eq!((nothing.all.sensitivity(), nothing.false_positives_per_scan()), (None, None));
    assert_eq!((nothing.patients.sensitivity(), nothing.patients.specificity()), (None, None));
}

#[test]
fn bad_input_is_refused() {
    let (truth, prediction, mut organ) = scan();
    organ.affine.0[2][3] = 30.0;
    let options = DetectionOptions::default();
    let error = Detection::between(&truth, &prediction, Some(&organ), &options).unwrap_err();
    assert!(
        matches!(error, Error::GridMismatch { .. }) && error.to_string().contains("organ mask"),
        "{error}"
    );
    assert!(Detection::between(&truth, &organ, None, &options).is_err());
    for threshold in [-0.1, 1.5, f64::NAN] {
        for rule in [FoundRule::Dice(threshold), FoundRule::Iou(threshold)] {
            let error = Detection::between(&truth, &prediction, None, &with_rule(rule)).unwrap_err();
            assert!(error.to_string().contains("from 0 to 1"), "{error}");
        }
    }
    assert!(
        serde_json::from_str::<DetectionOptions>(r#"{"rule": {"dice": 0.5}, "conectivity": "faces"}"#)
            .is_err()
    );
    let read: DetectionOptions = serde_json::from_str(r#"{"rule": {"dice": 0.5}}"#).unwrap();
    assert_eq!(read, with_rule(FoundRule::Dice(0.5)));
}

proptest! {
    #[test]
    fn records_add_up_to_the_masks(
        shape in prop::array::uniform3(1_usize..9),
        values in prop::collection::vec(prop::array::uniform3(0_u8..100), 512),
        levels in prop::array::uniform3(0_u8..101),
        faces in any::<bool>(),
    ) {
        let mut values = values.into_iter();
        let values = Array3::from_shape_simple_fn(shape, || values.next().unwrap());
        let affine = Affine::from_spacing_mm([0.8, 1.0, 2.0]);
        let [truth, prediction, organ] = [0, 1, 2].map(|i| Mask { data: values.mapv(|v| v[i] < levels[i]), affine });
        let options = DetectionOptions {
            connectivity: if faces { Connectivity::Faces } else { Connectivity::Corners },
            ..DetectionOptions::default()
        };
        let found = Detection::between(&truth, &prediction, Some(&organ), &options).unwrap();
        let inside = &prediction.data & &organ.data;
        let total = Overlap::of(&truth.data, &inside);
        let sum = |count: &dyn Fn(&Overlap) -> u64| found.lesions.iter().map(|l| count(&l.overlap)).sum::<u64>();
        prop_assert_eq!(sum(&|o| o.truth_vox), total.truth_vox);
        prop_assert_eq!(sum(&|o| o.both_vox), total.both_vox);
        let predicted_vox: usize = found.findings.iter().map(|f| f.extent.voxels).sum();
        prop_assert_eq!(predicted_vox as u64, total.prediction_vox);
        for lesion in &found.lesions {
            prop_assert_eq!(lesion.found, !lesion.findings.is_empty());
            for finding in &lesion.findings {
                prop_assert!(found.findings[*finding as usize - 1].lesions.contains(&lesion.lesion));
            }
        }
        // The other way round, a missed tumor is a false positive.
        let back = Detection::between(&Mask { data: inside, affine }, &truth, None, &options).unwrap();
        prop_assert_eq!(back.false_positives(), found.lesions.iter().filter(|l| !l.found).count());
    }
}

#[test]
fn stages_are_written_by_their_names() {
    for stage in Stage::ALL {
        assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
    }
    assert_eq!(Stage::of(20.0).name(), "up_to_20_mm");
}
