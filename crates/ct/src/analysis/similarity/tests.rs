use super::*;
use crate::analysis::table::Tumor;
use crate::analysis::table::tests::same_but_for_rounding;

/// `n` tumors of three organs, two to a patient, of five normal features and one that is constant; the first feature of
/// organ 1 lies `shift` higher, the second of organ 2 as well. Every third patient is `late`.
fn organs(n: usize, shift: f64) -> FeatureTable {
    let mut draws = Stream::new(11, 0, "organs", 0);
    let mut rows = vec![];
    let tumors = (0..n).map(|i| {
        let (patient, organ) = (i / 2, i / 2 % 3);
        let mut row = vec![0.0; 5];
        draws.normals(&mut row);
        for feature in 0..2 {
            row[feature] += if organ == feature + 1 { shift } else { 0.0 };
        }
        row.push(7.0);
        rows.push(row);
        Tumor {
            id: format!("t{i}"),
            group: ["kidney", "liver", "pancreas"][organ].into(),
            patient: format!("p{patient}"),
            stage: Some(if patient / 3 % 4 == 0 { "late" } else { "early" }.into()),
        }
    });
    let tumors = tumors.collect();
    FeatureTable::new(tumors, (0..6).map(|c| format!("f{c}")).collect(), rows).unwrap()
}

#[test]
fn like_organs_are_not_told_and_unlike_ones_are() {
    let alike = Similarity::of(&organs(180, 0.0), &SimilarityOptions::default()).unwrap();
    let apart = Similarity::of(&organs(180, 8.0), &SimilarityOptions::default()).unwrap();
    for (alike, apart) in alike.all.classifiers.iter().zip(&apart.all.classifiers) {
        // Tests are on 3 * 9 patients, 54 tumors: one accuracy has a deviation of 0.064; the mean over ten splits of the same
        // 180 tumors between 0.02 and 0.035 (1 / √180).
        for score in [alike.test.accuracy, alike.test.precision, alike.test.recall] {
            assert!((score.mean - 1.0 / 3.0).abs() < 0.12, "{}: {score:?}", alike.name);
        }
        // Two normal clouds 8 deviations apart overlap by 3e-5.
        assert!(apart.test.precision.mean > 0.97 && apart.test.recall.mean > 0.97, "{apart:?}");
        assert_eq!(apart.confusion.counts.as_slice().concat().iter().sum::<usize>(), 540);
        assert_eq!((apart.repeats.len(), apart.train.accuracy.mean > 0.97), (10, true));
    }
    // A forest knows what it has learnt, whether or not there was anything to be learnt.
    assert_eq!(alike.all.classifiers[1].train.accuracy, MeanSd { mean: 1.0, sd: 0.0 });
    assert_eq!((alike.all.constant.join(" "), alike.all.features), ("f5".into(), 6));
    assert_eq!(alike.all.chance, Chance { macro_score: 1.0 / 3.0, majority_accuracy: 1.0 / 3.0 });
    let kidney = Group { name: "kidney".into(), tumors: 60, patients: 30 };
    assert_eq!(alike.all.groups[0], kidney);
}

#[test]
fn stages_are_on_their_own_and_results_are_replayed_from_json() {
    let options = SimilarityOptions { repeats: 2, ..SimilarityOptions::default() };
    let found = Similarity::of(&organs(60, 8.0), &options).unwrap();
    let stages: Vec<&str> = found.stages.iter().map(|s| s.stage.as_str()).collect();
    assert_eq!(stages, ["early", "late"]);
    let Outcome::Made(early) = &found.stages[0].outcome else { panic!("{:?}", found.stages[0]) };
    assert!(early.groups.iter().map(|g| g.tumors).sum::<usize>() < 60);
    let json = serde_json::to_string(&found).unwrap();
    let again: Similarity = serde_json::from_str(&json).unwrap();
    same_but_for_rounding(&again, &found);
    assert_eq!(Similarity::of(&organs(60, 8.0), &options).unwrap(), found);
    let other = SimilarityOptions { seed: 1, ..options };
    assert_ne!(Similarity::of(&organs(60, 1.0), &other).unwrap().all, found.all);
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    let table = organs(60, 0.0);
    let fails = |table: &FeatureTable, options: &SimilarityOptions| {
        Similarity::of(table, options).unwrap_err().to_string()
    };
    let options = SimilarityOptions::default();
    let one = table.filter(|t| t.group == "liver").unwrap();
    assert!(
        fails(&one, &options).contains("groups to tell apart: expected at least two, found only 'liver'")
    );
    let few = table.filter(|t| t.group != "liver" || t.patient == "p1").unwrap();
    assert!(fails(&few, &options).contains("patients of group 'liver': expected at least 2"));
    let constant = table.with_columns(&[5]);
    assert!(fails(&constant, &options).contains("all constant"));
    assert!(
        fails(&table, &SimilarityOptions { test_share: 1.0, ..options.clone() }).contains("between 0 and 1")
    );
    assert!(fails(&table, &SimilarityOptions { repeats: 0, ..options }).contains("repeats"));
    // Late tumors are of one patient in twelve: too few of them, and it is said.
    let few = organs(18, 0.0);
    let found =
        Similarity::of(&few, &SimilarityOptions { repeats: 1, ..SimilarityOptions::default() }).unwrap();
    let Outcome::Impossible(why) = &found.stages[1].outcome else { panic!("{:?}", found.stages[1]) };
    assert!(why.contains("expected at least 2"), "{why}");
}
