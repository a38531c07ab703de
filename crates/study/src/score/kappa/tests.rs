use super::*;

fn rows<const K: usize>(rows: &[[usize; K]]) -> Vec<Vec<usize>> {
    rows.iter().map(|row| row.to_vec()).collect()
}

#[track_caller]
fn close(found: Option<f64>, expected: f64, tolerance: f64) {
    assert!((found.unwrap() - expected).abs() <= tolerance, "{found:?}, expected {expected}");
}

/// Fleiss 1971, Table 1: 30 patients, 6 psychiatrists; depression, personality disorder, schizophrenia, neurosis, other.
const DIAGNOSES: [[usize; 5]; 30] = [
    [0, 0, 0, 6, 0],
    [0, 3, 0, 0, 3],
    [0, 1, 4, 0, 1],
    [0, 0, 0, 0, 6],
    [0, 3, 0, 3, 0],
    [2, 0, 4, 0, 0],
    [0, 0, 4, 0, 2],
    [2, 0, 3, 1, 0],
    [2, 0, 0, 4, 0],
    [0, 0, 0, 0, 6],
    [1, 0, 0, 5, 0],
    [1, 1, 0, 4, 0],
    [0, 3, 3, 0, 0],
    [1, 0, 0, 5, 0],
    [0, 2, 0, 3, 1],
    [0, 0, 5, 0, 1],
    [3, 0, 0, 1, 2],
    [5, 1, 0, 0, 0],
    [0, 2, 0, 4, 0],
    [1, 0, 2, 0, 3],
    [0, 0, 0, 0, 6],
    [0, 1, 0, 5, 0],
    [0, 2, 0, 1, 3],
    [2, 0, 0, 4, 0],
    [1, 0, 0, 4, 1],
    [0, 5, 0, 1, 0],
    [4, 0, 0, 0, 2],
    [0, 2, 0, 4, 0],
    [1, 0, 5, 0, 0],
    [0, 0, 0, 0, 6],
];

#[test]
fn fleiss_equals_the_example_of_1971() {
    let found = Fleiss::of(&rows(&DIAGNOSES)).unwrap();
    assert_eq!((found.items, found.raters), (30, 6));
    // The paper's kappa; that of kappam.fleiss of R's irr to all its digits, and its z, by the variance of 1979.
    close(found.kappa, 0.430, 0.0005);
    close(found.kappa, 0.430_244_5, 5e-8);
    let share = [26.0, 26.0, 30.0, 55.0, 43.0].map(|n| n / 180.0);
    close(found.kappa.map(|kappa| kappa / null_error(&share, 30.0, 6.0)), 17.651_83, 5e-6);
    assert!(found.p_value.unwrap() < 1e-60);
}

#[test]
fn fleiss_equals_the_example_of_fourteen_raters() {
    // Wikipedia, "Fleiss' kappa": mean agreement .378, expected .213, kappa .210.
    let counts = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ];
    let found = Fleiss::of(&rows(&counts)).unwrap();
    close(Some(found.agreement), 0.378, 0.0005);
    close(found.kappa, 0.210, 0.0005);
}

#[test]
fn the_standard_error_of_fleiss_is_that_of_leaving_out_one_item() {
    let all = rows(&DIAGNOSES);
    let found = Fleiss::of(&all).unwrap();
    let without = |i: usize| {
        let mut some = all.clone();
        some.remove(i);
        Fleiss::of(&some).unwrap().kappa.unwrap()
    };
    let kappas: Vec<f64> = (0..30).map(without).collect();
    let mean = kappas.iter().sum::<f64>() / 30.0;
    let jackknife = (29.0 / 30.0 * kappas.iter().map(|kappa| (kappa - mean).powi(2)).sum::<f64>()).sqrt();
    // Both are first-order: they differ by terms of 1 / 30.
    close(found.standard_error, jackknife, 0.05 * jackknife);
    let limits = found.limits.unwrap();
    close(Some(limits.high - limits.low), 2.0 * 1.96 * jackknife, 0.2 * jackknife);
}

#[test]
fn cohen_equals_published_examples() {
    // Cohen 1960, three categories and 200 items: agreement .70, by chance .41, kappa .492.
    let found = Cohen::of(&rows(&[[88, 14, 18], [10, 40, 10], [2, 6, 12]])).unwrap();
    assert_eq!(found.items, 200);
    close(Some(found.agreement), 0.70, 1e-12);
    close(found.kappa, 0.29 / 0.59, 1e-12);
    // An example of SAS' manual (PROC FREQ): kappa, its standard error and limits, as printed.
    let found = Cohen::of(&rows(&[[0, 4, 1], [0, 8, 0], [0, 1, 5]])).unwrap();
    let limits = found.limits.unwrap();
    close(found.kappa, 0.4842, 5e-5);
    close(found.standard_error, 0.1380, 5e-5);
    close(Some(limits.low), 0.2137, 5e-5);
    close(Some(limits.high), 0.7547, 5e-5);
    // 20 yes and 15 no of both of 50: agreement .7, by chance .5.
    close(Cohen::of(&rows(&[[20, 5], [10, 15]])).unwrap().kappa, 0.4, 1e-12);
}

/// Kappa as a function of shares, for derivatives.
fn plain_kappa(p: &[[f64; 3]; 3]) -> f64 {
    let sum: f64 = p.iter().flatten().sum();
    let row = |i: usize| p[i].iter().sum::<f64>() / sum;
    let column = |j: usize| p.iter().map(|row| row[j]).sum::<f64>() / sum;
    let observed: f64 = (0..3).map(|i| p[i][i] / sum).sum();
    let expected: f64 = (0..3).map(|i| row(i) * column(i)).sum();
    (observed - expected) / (1.0 - expected)
}

#[test]
fn the_standard_error_of_cohen_is_that_of_the_delta_method() {
    let counts = [[53, 5, 2], [11, 14, 5], [1, 6, 3]];
    let p = counts.map(|row| row.map(|count| count as f64 / 100.0));
    let (mut mean, mut square) = (0.0, 0.0);
    for i in 0..3 {
        for j in 0..3 {
            let moved = |by: f64| {
                let mut p = p;
                p[i][j] += by;
                plain_kappa(&p)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            mean += p[i][j] * slope;
            square += p[i][j] * slope * slope;
        }
    }
    let found = Cohen::of(&rows(&counts)).unwrap();
    close(found.standard_error, ((square - mean * mean) / 100.0).sqrt(), 1e-7);
}

#[test]
fn nothing_to_agree_on() {
    assert_eq!(Cohen::of(&rows(&[[0, 0], [0, 0]])), None);
    let one_answer = Cohen::of(&rows(&[[7, 0], [0, 0]])).unwrap();
    assert_eq!((one_answer.agreement, one_answer.kappa, one_answer.limits), (1.0, None, None));
    // Always of another mind: as far below chance as can be.
    close(Cohen::of(&rows(&[[0, 5], [5, 0]])).unwrap().kappa, -1.0, 1e-12);
    let always = Cohen::of(&rows(&[[5, 0], [0, 5]])).unwrap();
    close(always.kappa, 1.0, 1e-12);
    close(always.standard_error, 0.0, 1e-8);
    assert_eq!(always.limits, None);

    assert_eq!(Fleiss::of(&[]), None);
    assert_eq!(Fleiss::of(&rows(&[[1, 0], [0, 1]])), None);
    let one_answer = Fleiss::of(&rows(&[[3, 0], [3, 0]])).unwrap();
    assert_eq!((one_answer.agreement, one_answer.kappa, one_answer.p_value), (1.0, None, None));
    let one_item = Fleiss::of(&rows(&[[2, 1]])).unwrap();
    assert_eq!(one_item.standard_error, None);
    close(Fleiss::of(&rows(&[[3, 0], [0, 3]])).unwrap().kappa, 1.0, 1e-12);
}
