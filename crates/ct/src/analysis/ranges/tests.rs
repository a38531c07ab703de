use super::*;
use crate::analysis::table::tests::tumor;

/// A table of one feature.
fn table(feature: &str, values: impl IntoIterator<Item = f64>) -> FeatureTable {
    let values: Vec<Vec<f64>> = values.into_iter().map(|v| vec![v]).collect();
    let tumors = (0..values.len()).map(|i| tumor(&i.to_string(), "g")).collect();
    FeatureTable::new(tumors, vec![feature.into()], values).unwrap()
}

fn ranges(feature: &str, values: impl IntoIterator<Item = f64>) -> ReferenceRanges {
    ReferenceRanges::of(&table(feature, values), "made up").unwrap()
}

#[test]
fn many_tumors_have_percentiles() {
    // 0, 0.01, …, 2: percentiles of type 7 are 0.02 times the percent.
    let found = ranges("shape_Sphericity", (0..=200).rev().map(|i| f64::from(i) / 100.0));
    let range = &found.ranges[0];
    let ends = [range.possible.low, range.usual.low, range.median, range.usual.high, range.possible.high];
    assert!(ends.iter().zip([0.02, 0.1, 1.0, 1.9, 1.98]).all(|(a, b)| (a - b).abs() < 1e-12), "{range:?}");
    for (value, grade, words) in [
        (0.01, Grade::Fail, "shape_Sphericity 0.01 is below 99 % of 201 real tumors (0.02 to 1.98)"),
        (0.05, Grade::Warn, "shape_Sphericity 0.05 is below 95 % of 201 real tumors (0.10 to 1.90)"),
        (
            0.1,
            Grade::Pass,
            "shape_Sphericity 0.10 is within the middle 90 % of 201 real tumors (0.10 to 1.90)",
        ),
        (1.95, Grade::Warn, "shape_Sphericity 1.95 is above 95 % of 201 real tumors (0.10 to 1.90)"),
        (12.0, Grade::Fail, "shape_Sphericity 12.0 is above 99 % of 201 real tumors (0.02 to 1.98)"),
    ] {
        // 0.01 has no short binary form: the value itself is given.
        let verdict = found.judge("shape_Sphericity", value).unwrap();
        assert_eq!((verdict.grade, verdict.reason.as_str()), (grade, words));
    }
}

#[test]
fn few_tumors_have_wider_ranges_and_it_is_said() {
    // 40 tumors: usual from percentiles, possible from 0 - 1 to 39 + 1.
    let some = ranges("volume", (0..40).map(f64::from));
    let range = &some.ranges[0];
    assert_eq!((range.usual.kind, range.possible.kind), (Kind::Percentiles, Kind::WidenedExtremes));
    assert_eq!((range.possible.low, range.possible.high), (-1.0, 40.0));
    assert!((range.usual.low - 1.95).abs() < 1e-12 && (range.usual.high - 37.05).abs() < 1e-12, "{range:?}");
    let verdict = some.judge("volume", 41.0).unwrap();
    let words = "volume 41.0 is above all 40 real tumors (-1.00 to 40.0 with a margin, as they are too few for percentiles)";
    assert_eq!((verdict.grade, verdict.reason.as_str()), (Grade::Fail, words));
    assert_eq!(some.judge("volume", 39.5).unwrap().grade, Grade::Warn);
    // 5 tumors: usual from 0 to 8, possible from -2 to 10.
    let few = ranges("volume", (0..5).map(|i| f64::from(2 * i)));
    let grades = [-2.1, -1.0, 0.0, 8.0, 9.0, 10.5].map(|v| few.judge("volume", v).unwrap().grade);
    use Grade::{Fail, Pass, Warn};
    assert_eq!(grades, [Fail, Warn, Pass, Pass, Warn, Fail]);
    let words = "volume 9.00 is above all 5 real tumors (0.00 to 8.00; too few for percentiles)";
    assert_eq!(few.judge("volume", 9.0).unwrap().reason, words);
    // The rule never makes the possible range narrower than the usual one.
    for n in [5, 19, 20, 99, 100, 101] {
        let range = &ranges("f", (0..n).map(|i| f64::from(i * i))).ranges[0];
        assert!(
            range.possible.low <= range.usual.low && range.usual.high <= range.possible.high,
            "{n}: {range:?}"
        );
    }
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let error = ReferenceRanges::of(&table("f", [1.0; 4]), "x").unwrap_err().to_string();
    assert!(error.contains("expected at least 5, found 4"), "{error}");
    let found = ranges("f", [1.0; 6]);
    assert!(found.judge("g", 1.0).unwrap_err().to_string().contains("one of f"));
    assert!(found.judge("f", f64::NAN).is_err());
    assert_eq!(
        (found.judge("f", 1.0).unwrap().grade, found.judge("f", 1.1).unwrap().grade),
        (Grade::Pass, Grade::Fail)
    );
}

#[test]
fn numbers_are_short() {
    let short = [0.4219, 0.0, -56.789, 1234.5, 0.00012, 2.5e7, 999.6].map(|v| Short(v).to_string());
    assert_eq!(short, ["0.42", "0.00", "-56.8", "1234", "1.20e-4", "2.50e7", "1000"]);
}
