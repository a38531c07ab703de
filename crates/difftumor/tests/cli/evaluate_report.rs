//! What `difftumor evaluate` makes of figures: the page, groups of patients, the FROC curve, and methods against each other.

use crate::patients::*;
use crate::phantom::*;
use difftumor_ct::Volume;
use difftumor_ct::io::nifti::{Datatype, NiftiImage};
use ndarray::{Array3, s};
use serde_json::Value;
use std::path::Path;

/// A scan of the patients' grid, for pictures.
fn write_scan(path: &Path) {
    let data = Array3::from_shape_fn(GRID_SHAPE, |(x, y, _)| if (x + y) % 2 == 0 { 80.0 } else { 100.0 });
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    NiftiImage::from_volume(&Volume { data, affine: GRID }, Datatype::I16, "ct").write(path).unwrap();
}

#[test]
fn the_page_needs_nothing_beside_it() {
    let patients = Patients::new();
    write_scan(&patients.out("scans-are-not-read/a.nii.gz"));
    patients.summary("out", &[]);
    let page = std::fs::read_to_string(patients.out("out/report.html")).unwrap();
    for part in [
        "<!DOCTYPE html>",
        "</html>",
        "DSC (%)",
        "up to 20 mm (early, Table 2)",
        "1 of 3",
        "<svg",
        "not a medical device",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Two tumors are missed (a's small one, c's), one finding is false. Of a there is a scan, of c none.
    assert_eq!(page.matches("data:image/png;base64,").count(), 2);
    assert!(page.contains("c no. 1, ") && page.contains("no picture: "), "{page}");
    for fetched in ["http://", "https://", "<script", "<link"] {
        let outside_of_svg = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside_of_svg.contains(fetched), "{fetched}");
    }
}

#[test]
fn names_of_cases_cannot_write_the_page() {
    let patients = Patients::new();
    let table = std::fs::read_to_string(&patients.cases).unwrap();
    std::fs::write(&patients.cases, table.replace("\na,", "\n<b>a&,")).unwrap();
    let (code, ..) = patients.evaluate("out", &[]);
    assert_eq!(code, 1);
    let page = std::fs::read_to_string(patients.out("out/report.html")).unwrap();
    assert!(page.contains("&lt;b&gt;a&amp;") && !page.contains("<b>a"));
}

#[test]
fn figures_are_grouped_by_what_is_known_of_patients() {
    let patients = Patients::new();
    let metadata = patients.out("metadata.csv");
    std::fs::write(&metadata, "Sex,id,Age,Site,empty\nF,a,61,x,\nM,b,70,x,\nF,c,,y,\nM,nobody,3,y,\n")
        .unwrap();
    let (code, _, stderr) = patients.evaluate("out", &["--metadata", text(&metadata)]);
    assert_eq!(code, 0, "{stderr}");
    for told in [
        "note: cases without a row in the metadata, which are grouped as not given: d\n",
        "note: rows of the metadata without a case: nobody\n",
        "note: the column 'empty' makes no groups: it has no value for any case\n",
    ] {
        assert!(stderr.contains(told), "{told} is not in\n{stderr}");
    }
    let evaluation = json(&patients.out("out").join("summary.json"));
    let columns = evaluation["groups"]["columns"].as_array().unwrap();
    let groups = |column: &Value| -> Vec<(String, u64)> {
        let group =
            |g: &Value| (g["value"].as_str().unwrap().to_string(), g["summary"]["cases"].as_u64().unwrap());
        column["groups"].as_array().unwrap().iter().map(group).collect()
    };
    let named = |groups: &[(&str, u64)]| groups.iter().map(|g| (g.0.to_string(), g.1)).collect::<Vec<_>>();
    assert_eq!(
        columns.iter().map(|c| c["column"].as_str().unwrap()).collect::<Vec<_>>(),
        ["sex", "age", "site"]
    );
    assert_eq!(groups(&columns[0]), named(&[("F", 2), ("M", 1), ("not given", 1)]));
    assert_eq!(groups(&columns[1]), named(&[("61", 1), ("70", 1), ("not given", 2)]));
    // Women: a, one of two tumors found, and c, none of one.
    let women = &columns[0]["groups"][0]["summary"];
    assert_eq!([&women["found"]["all"]["part"], &women["found"]["all"]["whole"]], [1, 3]);
    near(&women["tumor"]["dsc"]["mean"], 1440.0 / 1624.0 / 2.0);
    near(&women["tumor"]["dsc"]["deviation"], 1440.0 / 1624.0 / 2.0_f64.sqrt());
    let lines = patients.lines("out", "groups.csv");
    assert_eq!(lines.len(), 1 + 3 + 3 + 3);
    assert!(lines[1].starts_with("sex,F,2,2,0.443"), "{}", lines[1]);
    let page = std::fs::read_to_string(patients.out("out/report.html")).unwrap();
    assert!(page.contains("As in Fig. 4") && page.contains("not given (1)"));
    // One column alone.
    let one = patients.summary("one", &["--metadata", text(&metadata), "--by", "SEX"]);
    assert_eq!(one["groups"]["columns"].as_array().unwrap().len(), 1);
    let (code, _, stderr) = patients.evaluate("none", &["--metadata", text(&metadata), "--by", "height"]);
    assert!(code == 1 && stderr.contains("expected 'height', found sex, age, site, empty"), "{stderr}");
}

#[test]
fn the_froc_curve_follows_the_probability() {
    let patients = Patients::new();
    let (code, _, stderr) = patients.evaluate("out", &["--froc"]);
    assert!(
        code == 1 && stderr.contains("probability of tumor of 'a'") && stderr.contains("--probabilities"),
        "{stderr}"
    );
    // Of a: the small tumor at 0.4, the large one at 0.9, something else at 0.7. Of c: its first part at 0.2.
    let boxes: [(&str, &[(f32, Part)]); 4] = [
        ("a/tumor_probability.nii.gz", &[(0.4, SMALL), (0.9, LARGE), (0.7, (2, [10, 10, 6], [12, 12, 8]))]),
        ("b_tumor_probability.nii.gz", &[]),
        ("c/tumor_probability.nii.gz", &[(0.2, SMALL)]),
        ("d/tumor_probability.nii.gz", &[(0.9, LONG)]),
    ];
    for (file, parts) in boxes {
        let mut data = Array3::zeros(GRID_SHAPE);
        for (p, (_, a, b)) in parts {
            data.slice_mut(s![a[0]..b[0], a[1]..b[1], a[2]..b[2]]).fill(*p);
        }
        let path = patients.predictions.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        NiftiImage::from_volume(&Volume { data, affine: GRID }, Datatype::F32, "p").write(path).unwrap();
    }
    let evaluation = patients.summary("out", &["--froc", "--force"]);
    let points = evaluation["froc"].as_array().unwrap();
    assert_eq!(points.len(), 20);
    let at = |threshold: f64| {
        let p = points.iter().find(|p| (p["threshold"].as_f64().unwrap() - threshold).abs() < 1e-9).unwrap();
        (p["found"].as_u64().unwrap(), p["false_positives_per_scan"].as_f64().unwrap())
    };
    assert_eq!(
        [at(0.1), at(0.35), at(0.5), at(0.8), at(1.0)],
        [(4, 0.25), (3, 0.25), (2, 0.25), (2, 0.0), (0, 0.0)]
    );
    assert_eq!(patients.lines("out", "froc.csv").len(), 21);
    assert!(std::fs::read_to_string(patients.out("out/report.html")).unwrap().contains("FROC"));
    // The curve is no part of what else is measured.
    assert_eq!(evaluation["summary"], patients.summary("plain", &[])["summary"]);
}

/// Exit code, stdout and stderr of a comparison.
fn compare(patients: &Patients, arguments: &[&str]) -> (i32, String, String) {
    let out = patients.out("comparison");
    let mut all = vec!["evaluate", "comparison", "--out", text(&out)];
    all.extend(arguments);
    let output = command(&all).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
    (output.status.code().expect("not killed"), stdout, stderr)
}

#[test]
fn methods_are_tested_on_the_same_patients() {
    let patients = Patients::new();
    patients.summary("poor", &[]);
    // A better method: c's tumor is found, and nothing where there is none.
    write_labels(&patients.predictions.join("c.nii"), &[LIVER, SMALL, AT_AN_EDGE], GRID);
    write_labels(&patients.predictions.join("a/labels.nii.gz"), &[LIVER, LARGE], GRID);
    patients.summary("good", &[]);
    let folders = ["poor", "good"].map(|name| format!("{name}={}", patients.out(name).display()));
    let (code, stdout, stderr) = compare(&patients, &[&folders[0], &folders[1]]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("poor") && stdout.contains("3 of 4"), "{stdout}");
    let comparison = json(&patients.out("comparison/comparison.json"));
    assert_eq!(comparison["cases"], serde_json::json!(["a", "b", "c", "d"]));
    let pair = &comparison["pairs"][0];
    assert_eq!([&pair["first"], &pair["other"]], ["poor", "good"]);
    // Tumors of a: 1440 of 1624, then 1728 of 1760; of c: none, then all; of d the same.
    let dsc = &pair["means"]["tumor_dsc"];
    assert_eq!(dsc["patients"], 3);
    near(&dsc["difference"], (1728.0 / 1760.0 - 1440.0 / 1624.0 + 1.0) / 3.0);
    let ranks = &dsc["signed_ranks"];
    assert_eq!([&ranks["differences"], &ranks["positive"]], [2, 2]);
    near(&ranks["p_value"], 0.5);
    near(&pair["means"]["false_positives"]["difference"], -0.25);
    let found = &pair["shares"]["found"];
    assert_eq!([&found["discordant"]["first_only"], &found["discordant"]["second_only"]], [0, 1]);
    near(&found["difference"], 0.25);
    near(&found["p_value"], 1.0);
    assert_eq!(pair["shares"]["found_up_to_20_mm"]["whole"], 3);
    near(&pair["shares"]["patient_sensitivity"]["difference"], 1.0 / 3.0);
    assert!(comparison["methods"][0]["folds"].as_array().unwrap().is_empty());
    let lines = patients.lines("comparison", "methods.csv");
    assert!(lines.len() == 3 && lines[2].starts_with("good,all,4,"), "{lines:?}");
    assert_eq!(patients.lines("comparison", "tests.csv").len(), 1 + 5 + 6);
    let page = std::fs::read_to_string(patients.out("comparison/report.html")).unwrap();
    assert!(page.contains("good against poor") && page.contains("1 by the other"), "{page}");
}

#[test]
fn folds_of_one_method_are_put_together() {
    let patients = Patients::new();
    let table = std::fs::read_to_string(&patients.cases).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    let mut arguments = vec![];
    for method in ["real", "ours"] {
        for (fold, rows) in [[1, 2], [3, 4]].into_iter().enumerate() {
            let cases = patients.out(&format!("fold{fold}.csv"));
            std::fs::write(&cases, [lines[0], lines[rows[0]], lines[rows[1]]].join("\n")).unwrap();
            let name = format!("{method}-{fold}");
            let all =
                ["evaluate", "segmentation", "--organ", "liver=1:tumor=2:cyst=3", "--cases", text(&cases)];
            let out = patients.out(&name);
            let more = ["--predictions", text(&patients.predictions), "--out", text(&out)];
            assert!(command(&[&all[..], &more[..]].concat()).output().unwrap().status.success());
            arguments.push(format!("{method}={}", out.display()));
        }
    }
    let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, _, stderr) = compare(&patients, &given);
    assert_eq!(code, 0, "{stderr}");
    let comparison = json(&patients.out("comparison/comparison.json"));
    assert_eq!(comparison["methods"][1]["folds"].as_array().unwrap().len(), 2);
    assert_eq!(comparison["methods"][1]["summary"]["cases"], 4);
    assert!(comparison["pairs"][0]["means"]["tumor_dsc"]["signed_ranks"].is_null());
    let page = std::fs::read_to_string(patients.out("comparison/report.html")).unwrap();
    assert!(page.contains("fold1") && page.contains("As in Tables 4 to 6"));
    // A fold twice, and a method alone.
    let (code, _, stderr) = compare(&patients, &[given[0], given[0], given[2], "--force"]);
    assert!(code == 1 && stderr.contains("'a' again"), "{stderr}");
    let (code, _, stderr) = compare(&patients, &[given[0], given[1], "--force"]);
    assert!(code == 1 && stderr.contains("two or more"), "{stderr}");
    // Half of a method's cases.
    let (code, _, stderr) = compare(&patients, &[given[0], given[1], given[2], "--force"]);
    assert!(code == 0 && stderr.contains("left out: c: no figures of ours"), "{stderr}");
}

#[test]
fn what_cannot_be_compared_is_told() {
    let patients = Patients::new();
    patients.summary("one", &[]);
    patients.summary("other", &["--tolerance-mm", "3"]);
    let [one, other] = ["one", "other"].map(|name| format!("{name}={}", patients.out(name).display()));
    let (code, _, stderr) = compare(&patients, &[&one, &other]);
    assert!(
        code == 1 && stderr.contains("other: settings") && stderr.contains("in the same way"),
        "{stderr}"
    );
    // Another truth.
    write_labels(&patients.out("truth/d.nii.gz"), &[LIVER, SMALL], GRID);
    patients.summary("truth2", &[]);
    let second = format!("second={}", patients.out("truth2").display());
    let (code, _, stderr) = compare(&patients, &[&one, &second]);
    assert!(code == 1 && stderr.contains("truth of 'd'"), "{stderr}");
    let nothing = format!("second={}", patients.dir.path().display());
    let (code, _, stderr) = compare(&patients, &[&one, &nothing]);
    assert!(code == 1 && stderr.contains("summary.json"), "{stderr}");
    let (code, _, stderr) = compare(&patients, &[&one, "no-name"]);
    assert!(code == 2 && stderr.contains("NAME=FOLDER"), "{stderr}");
    assert!(!patients.out("comparison").exists());
}
