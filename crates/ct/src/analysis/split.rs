//! Training and test, and folds, by whole patients and with all classes on either side.
use super::table::{Tumor, argument};
use crate::draws::Draws;
use crate::error::Result;
use std::collections::BTreeMap;

/// A patient's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patient {
    /// Ascending.
    pub rows: Vec<usize>,
    /// The class that most of them have; the first such class when several do.
    pub class: usize,
    /// All classes that they have, ascending.
    pub classes: Vec<usize>,
}

/// Rows to learn from and rows to test on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Ascending.
    pub train: Vec<usize>,
    /// Ascending.
    pub test: Vec<usize>,
}

/// Patients sorted by name, so that the order of rows does not matter. `classes` has one for each tumor.
pub(super) fn patients<'a>(tumors: impl IntoIterator<Item = &'a Tumor>, classes: &[usize]) -> Vec<Patient> {
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, tumor) in tumors.into_iter().enumerate() {
        rows.entry(&tumor.patient).or_default().push(row);
    }
    let patient = |rows: Vec<usize>| {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        rows.iter().for_each(|r| *counts.entry(classes[*r]).or_default() += 1);
        let most = counts.values().copied().max().expect("a patient has a row");
        let class = *counts.iter().find(|(_, count)| **count == most).expect("it is there").0;
        Patient { rows, class, classes: counts.into_keys().collect() }
    };
    rows.into_values().map(patient).collect()
}

/// Tests on `test_share` of the patients of every class, rounded, but at least one; at least one is left to learn from.
///
/// # Errors
/// [`crate::Error::Argument`] when a class has fewer than two patients.
pub(super) fn split(
    patients: &[Patient],
    names: &[String],
    test_share: f64,
    draws: &mut impl Draws,
) -> Result<Split> {
    let (mut train, mut test) = (vec![], vec![]);
    for (class, name) in names.iter().enumerate() {
        let mut members: Vec<&Patient> = patients.iter().filter(|p| p.class == class).collect();
        enough(members.len(), 2, name, " (a patient counts for the group of most of its tumors)")?;
        shuffle(&mut members, draws);
        let wanted = (members.len() as f64 * test_share).round() as usize;
        let (tested, learnt) = members.split_at(wanted.clamp(1, members.len() - 1));
        test.extend(tested.iter().flat_map(|p| &p.rows));
        train.extend(learnt.iter().flat_map(|p| &p.rows));
    }
    train.sort_unstable();
    test.sort_unstable();
    Ok(Split { train, test })
}

/// One split for each of `folds`, of two classes: every patient is tested on once, and both classes are in every fold. Patients
/// may have both.
///
/// # Errors
/// [`crate::Error::Argument`] when a class has fewer patients than there are folds.
pub(super) fn folds(
    patients: &[Patient],
    names: [&str; 2],
    folds: usize,
    draws: &mut impl Draws,
) -> Result<Vec<Split>> {
    for (class, name) in names.iter().enumerate() {
        let members = patients.iter().filter(|p| p.classes.contains(&class)).count();
        enough(members, folds, name, "")?;
    }
    // Dealt in turn, those with both classes in the middle: then the patients of either class come one after the other, and no
    // fold is left without.
    let kinds: [&[usize]; 3] = [&[0], &[0, 1], &[1]];
    let mut order: Vec<&Patient> = vec![];
    for kind in kinds {
        let mut members: Vec<&Patient> = patients.iter().filter(|p| p.classes == kind).collect();
        shuffle(&mut members, draws);
        order.extend(members);
    }
    let mut tests = vec![vec![]; folds];
    order.into_iter().enumerate().for_each(|(i, patient)| tests[i % folds].extend(&patient.rows));
    let all = patients.iter().map(|p| p.rows.len()).sum();
    let split = |mut test: Vec<usize>| {
        test.sort_unstable();
        Split { train: (0..all).filter(|row| test.binary_search(row).is_err()).collect(), test }
    };
    Ok(tests.into_iter().map(split).collect())
}

/// # Errors
/// [`crate::Error::Argument`] when there are too few patients.
pub(super) fn enough(found: usize, least: usize, name: &str, note: &str) -> Result<()> {
    if found >= least {
        return Ok(());
    }
    Err(argument(
        format!("patients of group '{name}'"),
        format!("at least {least}, so that each part has one (take fewer folds, or leave the group out)"),
        format!("{found}{note}"),
    ))
}

/// Fisher and Yates.
pub(super) fn shuffle<T>(items: &mut [T], draws: &mut impl Draws) {
    for last in (1..items.len()).rev() {
        items.swap(last, draws.index(last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::table::tests::tumor;
    use crate::draws::Stream;

    /// 10 patients of class 0 with two tumors each, 5 of class 1 with one each.
    fn example() -> Vec<Patient> {
        let ids: Vec<usize> = (0..10).flat_map(|p| [p, p]).chain(10..15).collect();
        let tumors: Vec<Tumor> =
            ids.iter().map(|p| Tumor { patient: format!("{p:02}"), ..tumor("t", "g") }).collect();
        let classes: Vec<usize> = ids.iter().map(|p| usize::from(*p >= 10)).collect();
        patients(&tumors, &classes)
    }

    fn names() -> Vec<String> {
        vec!["liver".into(), "kidney".into()]
    }

    #[test]
    fn splits_keep_patients_together_and_classes_apart() {
        let patients = example();
        for seed in 0..20 {
            let found = split(&patients, &names(), 0.3, &mut Stream::new(seed, 0, "t", 0)).unwrap();
            // 3 of 10 patients with 2 tumors, 2 of 5 (1.5 rounded) with one.
            assert_eq!((found.test.len(), found.train.len()), (8, 17));
            assert_eq!(found.test.iter().filter(|r| **r >= 20).count(), 2);
            assert!(
                patients
                    .iter()
                    .all(|p| p.rows.iter().filter(|r| found.test.contains(r)).count() % p.rows.len() == 0)
            );
        }
    }

    #[test]
    fn folds_test_every_row_once() {
        let patients = example();
        let found = folds(&patients, ["real", "synthetic"], 5, &mut Stream::new(1, 0, "t", 0)).unwrap();
        let mut tested: Vec<usize> = found.iter().flat_map(|s| s.test.clone()).collect();
        tested.sort_unstable();
        assert_eq!(tested, (0..25).collect::<Vec<_>>());
        assert!(found.iter().all(|s| s.test.len() == 5 && s.train.len() == 20));
        assert!(found.iter().all(|s| s.test.iter().filter(|r| **r >= 20).count() == 1));
    }

    #[test]
    fn folds_have_both_classes_when_patients_do() {
        // 3 patients of class 0, 4 of both, 3 of class 1: 7 of each, and so 7 folds.
        let ids: Vec<(usize, usize)> = (0..7).map(|p| (p, 0)).chain((3..10).map(|p| (p, 1))).collect();
        let tumors: Vec<Tumor> =
            ids.iter().map(|(p, _)| Tumor { patient: p.to_string(), ..tumor("t", "g") }).collect();
        let classes: Vec<usize> = ids.iter().map(|(_, class)| *class).collect();
        let patients = patients(&tumors, &classes);
        for seed in 0..20 {
            let found =
                folds(&patients, ["real", "synthetic"], 7, &mut Stream::new(seed, 0, "t", 0)).unwrap();
            let both = |s: &Split| [0, 1].iter().all(|c| s.test.iter().any(|r| classes[*r] == *c));
            assert!(found.iter().all(both), "{found:?}");
        }
    }

    #[test]
    fn too_few_patients_are_refused() {
        let mut draws = Stream::new(1, 0, "t", 0);
        let error = folds(&example(), ["real", "synthetic"], 6, &mut draws).unwrap_err().to_string();
        assert!(error.contains("'synthetic': expected at least 6") && error.contains("found 5"), "{error}");
        let one = patients(&[tumor("a", "liver"), tumor("b", "kidney")], &[0, 1]);
        assert!(split(&one, &names(), 0.3, &mut draws).is_err());
    }

    #[test]
    fn a_patient_counts_for_most_of_its_tumors() {
        let of = |classes: &[usize]| patients(&vec![tumor("a", "g"); classes.len()], classes)[0].class;
        assert_eq!((of(&[1, 0, 1]), of(&[1, 0]), of(&[2])), (1, 0, 2));
    }
}
