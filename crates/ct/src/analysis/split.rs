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
}

/// Rows to learn from and rows to test on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Split {
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
        let class = counts.into_iter().find(|(_, count)| *count == most).expect("it is there").0;
        Patient { rows, class }
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
        let members = shuffled(patients, class, name, 2, draws)?;
        let wanted = (members.len() as f64 * test_share).round() as usize;
        let (tested, learnt) = members.split_at(wanted.clamp(1, members.len() - 1));
        test.extend(tested.iter().flat_map(|p| &p.rows));
        train.extend(learnt.iter().flat_map(|p| &p.rows));
    }
    train.sort_unstable();
    test.sort_unstable();
    Ok(Split { train, test })
}

/// One split for each of `folds`: every patient is tested on once, and every class is in every fold.
///
/// # Errors
/// [`crate::Error::Argument`] when a class has fewer patients than there are folds.
pub(super) fn folds(
    patients: &[Patient],
    names: &[String],
    folds: usize,
    draws: &mut impl Draws,
) -> Result<Vec<Split>> {
    let mut tests = vec![vec![]; folds];
    let mut next = 0;
    for (class, name) in names.iter().enumerate() {
        // Dealt on from where the last class ended, so that the remainders of classes do not meet in the first folds.
        for patient in shuffled(patients, class, name, folds, draws)? {
            tests[next % folds].extend(&patient.rows);
            next += 1;
        }
    }
    let all = patients.iter().map(|p| p.rows.len()).sum();
    let split = |mut test: Vec<usize>| {
        test.sort_unstable();
        Split { train: (0..all).filter(|row| test.binary_search(row).is_err()).collect(), test }
    };
    Ok(tests.into_iter().map(split).collect())
}

/// The patients of a class in random order.
fn shuffled<'a>(
    patients: &'a [Patient],
    class: usize,
    name: &str,
    least: usize,
    draws: &mut impl Draws,
) -> Result<Vec<&'a Patient>> {
    let mut members: Vec<&Patient> = patients.iter().filter(|p| p.class == class).collect();
    if members.len() < least {
        return Err(argument(
            format!("patients of group '{name}'"),
            format!("at least {least}, so that each part has one (take fewer folds, or leave the group out)"),
            format!("{} (a patient counts for the group of most of its tumors)", members.len()),
        ));
    }
    shuffle(&mut members, draws);
    Ok(members)
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
        let found = folds(&patients, &names(), 5, &mut Stream::new(1, 0, "t", 0)).unwrap();
        let mut tested: Vec<usize> = found.iter().flat_map(|s| s.test.clone()).collect();
        tested.sort_unstable();
        assert_eq!(tested, (0..25).collect::<Vec<_>>());
        assert!(found.iter().all(|s| s.test.len() == 5 && s.train.len() == 20));
        assert!(found.iter().all(|s| s.test.iter().filter(|r| **r >= 20).count() == 1));
    }

    #[test]
    fn too_few_patients_are_refused() {
        let mut draws = Stream::new(1, 0, "t", 0);
        let error = folds(&example(), &names(), 6, &mut draws).unwrap_err().to_string();
        assert!(error.contains("'kidney': expected at least 6") && error.contains("found 5"), "{error}");
        let one = patients(&[tumor("a", "liver"), tumor("b", "kidney")], &[0, 1]);
        assert!(split(&one, &names(), 0.3, &mut draws).is_err());
    }

    #[test]
    fn a_patient_counts_for_most_of_its_tumors() {
        let of = |classes: &[usize]| patients(&vec![tumor("a", "g"); classes.len()], classes)[0].class;
        assert_eq!((of(&[1, 0, 1]), of(&[1, 0]), of(&[2])), (1, 0, 2));
    }
}
