//! Sets whose difference is known.
use super::*;
use crate::analysis::table::Tumor;
use crate::analysis::table::tests::same_but_for_rounding;
use crate::draws::{Draws, Stream};

/// Number of normal features; `f1` is `f0` with a tenth of noise.
const FEATURES: usize = 6;

/// `n` tumors, two to a patient; `shift` is added to feature `shifted`.
fn set(name: &str, n: usize, seed: u64, shifted: usize, shift: f64) -> FeatureTable {
    let mut draws = Stream::new(seed, 0, name, 0);
    let values = (0..n).map(|_| {
        let mut row = vec![0.0; FEATURES];
        draws.normals(&mut row);
        row[1] = row[0] + 0.1 * row[1];
        row[shifted] += shift;
        row
    });
    let values = values.collect();
    let tumor = |i: usize| Tumor {
        id: format!("{name}{i}"),
        group: name.into(),
        patient: format!("{name} patient {}", i / 2),
        stage: None,
    };
    let columns = (0..FEATURES).map(|c| format!("f{c}")).collect();
    FeatureTable::new((0..n).map(tumor).collect(), columns, values).unwrap()
}

/// Fewer of everything, for time.
fn quick(seed: u64) -> TwoSetsOptions {
    TwoSetsOptions {
        bootstrap_samples: 100,
        halvings: 10,
        permutations: 199,
        importance_repeats: 3,
        seed,
        ..TwoSetsOptions::default()
    }
}

#[test]
fn like_sets_are_not_told_apart() {
    let seeds = 8;
    let found: Vec<TwoSets> = (0..seeds)
        .map(|seed| {
            TwoSets::of(&set("real", 80, seed, 0, 0.0), &set("synthetic", 80, seed, 0, 0.0), &quick(seed))
                .unwrap()
        })
        .collect();
    let count = |of: &dyn Fn(&TwoSets) -> bool| found.iter().filter(|f| of(f)).count();
    // A p value of 5 % comes in one of 20 by chance: three or more of eight with a probability of 0.6 %.
    assert!(
        count(&|f| f.mmd.p_value <= 0.05) <= 2,
        "{:?}",
        found.iter().map(|f| f.mmd.p_value).collect::<Vec<_>>()
    );
    for i in 0..2 {
        let half = |v: &crate::metrics::interval::Interval| v.low <= 0.5 && 0.5 <= v.high;
        // Limits of 95 % miss in one of 20 each, somewhat more often here, as folds share what they learn from.
        assert!(count(&|f| half(&f.discriminators[i].accuracy_interval)) >= 5);
        assert!(count(&|f| half(&f.discriminators[i].auc_interval)) >= 5);
        assert!(count(&|f| f.discriminators[i].p_value <= 0.05) <= 2);
    }
    assert!(count(&|f| f.effects.iter().any(|e| e.p_corrected < 0.05)) <= 2);
    for f in &found {
        // Halves lie as far apart as half of one set and half of the other.
        let (floor, other) = (f.frechet.halves.real_real, f.frechet.halves.real_synthetic);
        assert!((floor.mean - other.mean).abs() < 3.0 * (floor.sd + other.sd), "{:?}", f.frechet);
        assert_eq!((f.frechet.halves.tumors, f.frechet.shrinkage), (40, None));
        assert!(f.frechet.interval.low < 0.2, "{:?}", f.frechet);
        // 2000 such sets made with numpy: shares of 0.07, 0.1 % above 0.275; ratios of 1.00, 0.1 % above 1.32.
        assert!(
            f.nearest.share_near < 0.3 && (f.nearest.ratio.unwrap() - 1.0).abs() < 0.35,
            "{:?}",
            f.nearest
        );
    }
}

#[test]
fn one_feature_that_differs_is_found() {
    let real = set("real", 80, 1, 0, 0.0);
    let found = TwoSets::of(&real, &set("synthetic", 120, 2, 4, 2.0), &quick(3)).unwrap();
    assert_eq!(
        (found.effects[0].feature.as_str(), found.giveaways.groups[0].features.join(" ")),
        ("f4", "f4".into())
    );
    // Two normals two deviations apart: the second is larger in Φ(√2) = 92 % of pairs, delta 0.84; a deviation of 0.03.
    assert!((found.effects[0].cliffs_delta - 0.84).abs() < 0.12, "{:?}", found.effects[0]);
    assert!(
        found.effects[0].p_corrected < 1e-9 && found.effects[1].p_corrected > 0.01,
        "{:?}",
        found.effects
    );
    assert!((found.effects[0].synthetic_median - found.effects[0].real_median - 2.0).abs() < 0.6);
    // No permutation of 199 comes near.
    assert_eq!((found.mmd.p_value, found.discriminators[0].p_value), (0.005, 0.005));
    for told in &found.discriminators {
        // At best Φ(1) = 84 % and 92 %.
        assert!(told.accuracy > 0.7 && told.accuracy < 0.93 && told.accuracy_interval.low > 0.55, "{told:?}");
        assert!(
            told.auc > 0.8 && told.auc_interval.low <= told.auc && told.auc <= told.auc_interval.high,
            "{told:?}"
        );
        assert_eq!(told.tumors, 80);
    }
    let giveaways = &found.giveaways.groups;
    assert!(giveaways[0].importance.mean > 0.2 && giveaways[1].importance.mean < 0.1, "{giveaways:?}");
    // Features that say the same stand together.
    assert!(giveaways.iter().any(|g| g.features == ["f0", "f1"]) && giveaways.len() == FEATURES - 1);
    // Means 2 apart: 4, and what samples of 80 and 120 add.
    assert!(found.frechet.distance > 3.0 && found.frechet.distance < 6.5, "{:?}", found.frechet);
    assert!(
        found.frechet.interval.low > 2.0 && found.frechet.interval.low < 4.0 && found.frechet.excess > 0.0
    );
    assert!(found.frechet.halves.real_synthetic.mean > found.frechet.halves.real_real.mean + 2.0);
}

#[test]
fn copies_are_named() {
    let real = set("real", 60, 1, 0, 0.0);
    let synthetic = set("synthetic", 40, 2, 0, 0.0);
    let mut rows: Vec<Vec<f64>> = synthetic.values().rows().into_iter().map(|r| r.to_vec()).collect();
    rows[7] = real.values().row(33).to_vec();
    rows[9] = real.values().row(12).iter().map(|v| v + 0.01).collect();
    let synthetic =
        FeatureTable::new(synthetic.tumors().to_vec(), synthetic.columns().to_vec(), rows).unwrap();
    let found = TwoSets::of(&real, &synthetic, &quick(0)).unwrap().nearest;
    let names: Vec<(&str, &str, bool)> =
        found.suspicious[..2].iter().map(|p| (p.synthetic.as_str(), p.real.as_str(), p.exact_copy)).collect();
    assert_eq!(names, [("synthetic7", "real33", true), ("synthetic9", "real12", false)]);
    assert_eq!((found.suspicious[0].distance, found.suspicious[0].share_of_real), (0.0, 0.0));
    assert!(found.suspicious[1].distance < 0.02 && found.share_near >= 0.05, "{found:?}");
    // All copied: nothing is further than 0.
    let all = TwoSets::of(&real, &real, &quick(0)).unwrap();
    assert_eq!(
        (all.nearest.ratio, all.nearest.share_near, all.nearest.suspicious.len()),
        (Some(0.0), 1.0, 60)
    );
    assert!(all.frechet.distance < 1e-9 && all.effects.iter().all(|e| e.cliffs_delta == 0.0));
}

#[test]
fn results_do_not_depend_on_threads_and_are_replayed_from_json() {
    let (real, synthetic) = (set("real", 30, 1, 0, 0.0), set("synthetic", 24, 2, 3, 1.0));
    let of = |threads, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| TwoSets::of(&real, &synthetic, &quick(seed)).unwrap());
        serde_json::to_string(&found).unwrap()
    };
    let one = of(1, 1);
    assert_eq!(one, of(4, 1));
    assert_ne!(one, of(1, 2));
    let again: TwoSets = serde_json::from_str(&one).unwrap();
    same_but_for_rounding(&again, &serde_json::from_str::<serde_json::Value>(&one).unwrap());
}

#[test]
fn columns_are_matched_by_name_and_wide_tables_are_shrunk() {
    let (real, synthetic) = (set("real", 12, 1, 0, 0.0), set("synthetic", 10, 2, 3, 3.0));
    let turned = synthetic.with_columns(&[5, 4, 3, 2, 1, 0]);
    let options = TwoSetsOptions { folds: 2, ..quick(1) };
    assert_eq!(
        TwoSets::of(&real, &turned, &options).unwrap(),
        TwoSets::of(&real, &synthetic, &options).unwrap()
    );
    // Six features and six tumors.
    let few = synthetic.with_rows(&[0, 1, 2, 3, 4, 5]);
    let found = TwoSets::of(&real, &few, &options).unwrap();
    let [a, b] = found.frechet.shrinkage.unwrap();
    assert!(a > 0.0 && a <= 1.0 && b > 0.0 && b <= 1.0 && found.frechet.distance.is_finite());
    assert_eq!((found.real_tumors, found.synthetic_tumors, found.discriminators[0].tumors), (12, 6, 6));
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let (real, synthetic) = (set("real", 20, 1, 0, 0.0), set("synthetic", 20, 2, 0, 0.0));
    let fails = |real: &FeatureTable, synthetic: &FeatureTable, options: &TwoSetsOptions| {
        TwoSets::of(real, synthetic, options).unwrap_err().to_string()
    };
    let error = fails(&real, &synthetic.with_columns(&[0, 1, 2, 3, 4]), &quick(0));
    assert!(error.contains("without [f5]"), "{error}");
    let few = synthetic.with_rows(&[0, 1, 2, 3]);
    let error = fails(&real, &few, &quick(0));
    assert!(error.contains("'synthetic': expected at least 5") && error.contains("found 2"), "{error}");
    assert!(
        fails(&real, &synthetic.with_rows(&[0, 2]), &quick(0))
            .contains("synthetic tumors: expected at least 4")
    );
    let flat = |table: &FeatureTable| {
        FeatureTable::new(table.tumors().to_vec(), vec!["f".into()], vec![vec![1.0]; table.tumors().len()])
            .unwrap()
    };
    assert!(fails(&flat(&real), &flat(&synthetic), &quick(0)).contains("all constant over 20 tumors"));
    for options in [
        TwoSetsOptions { folds: 1, ..quick(0) },
        TwoSetsOptions { permutations: 0, ..quick(0) },
        TwoSetsOptions { classifiers: vec![], ..quick(0) },
        TwoSetsOptions { suspicious_share: 1.5, ..quick(0) },
    ] {
        assert!(fails(&real, &synthetic, &options).contains("expected"));
    }
    // Constant over the real tumors alone: left out, named, and seen among the effects.
    let with = |table: &FeatureTable, value: fn(usize) -> f64| {
        let values = table.values();
        let rows =
            values.rows().into_iter().enumerate().map(|(i, r)| [&r.to_vec()[..], &[value(i)]].concat());
        let rows = rows.collect();
        let columns = [table.columns(), &["mark".to_string()]].concat();
        FeatureTable::new(table.tumors().to_vec(), columns, rows).unwrap()
    };
    let found = TwoSets::of(&with(&real, |_| 1.0), &with(&synthetic, |i| 2.0 + i as f64), &quick(0)).unwrap();
    assert_eq!((found.constant.join(" "), found.features), ("mark".into(), FEATURES));
    assert_eq!((found.effects[0].feature.as_str(), found.effects[0].cliffs_delta), ("mark", 1.0));
}
