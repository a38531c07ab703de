//! `difftumor evaluate segmentation` on boxes whose figures can be computed by hand.

use crate::patients::*;
use crate::phantom::*;
use serde_json::Value;

#[test]
fn figures_of_cases_are_those_by_hand() {
    let patients = Patients::new();
    let evaluation = patients.summary("out", &[]);
    let figures = |i: usize| &evaluation["cases"][i]["figures"];
    // 27 of 28 planes; all faces are moved by a voxel of 2 mm or stay, and the two that move are a quarter of the surface.
    let a = figures(0);
    near(&a["organ"]["dsc"], 27.0 / 28.0);
    near(&a["organ"]["nsd"], 1.0);
    near(&a["organ"]["hd95_mm"], 2.0);
    near(&a["organ"]["true_volume_mm3"], 28.0 * 16.0 * 8.0 * 20.0);
    // 896 voxels of truth, 720 + 8 predicted, 720 in both.
    near(&a["tumor"]["dsc"], 1440.0 / 1624.0);
    near(&a["tumor"]["predicted_volume_mm3"], 728.0 * 20.0);
    assert_eq!(a["tumors"]["all"], serde_json::json!({ "lesions": 2, "found": 1 }));
    assert_eq!([&a["tumors"]["findings"], &a["tumors"]["false_positives"]], [2, 1]);
    // Without a tumor in the truth, and what lies outside of the liver is dropped: 0/0.
    let b = figures(1);
    near(&b["organ"]["dsc"], 2.0 * 3584.0 / (2.0 * 3584.0 + 8.0));
    assert_eq!(b["tumor_voxels_outside_organ"], 8);
    for figure in ["dsc", "nsd", "hd95_mm", "assd_mm"] {
        assert!(b["tumor"][figure].is_null(), "{figure}");
    }
    // Nothing is predicted: no overlap, and no distance.
    let c = &figures(2)["tumor"];
    assert_eq!([c["dsc"].as_f64(), c["nsd"].as_f64(), c["hd95_mm"].as_f64()], [Some(0.0), Some(0.0), None]);
    // The cyst counts as organ.
    let d = figures(3);
    for (part, figure, expected) in [("organ", "dsc", 1.0), ("tumor", "nsd", 1.0), ("tumor", "assd_mm", 0.0)]
    {
        near(&d[part][figure], expected);
    }
    near(&d["tumor"]["true_volume_mm3"], 480.0);
}

#[test]
fn the_summary_says_what_means_are_over() {
    let patients = Patients::new();
    let (code, stdout, _) = patients.evaluate("out", &[]);
    assert_eq!(code, 0);
    let evaluation = json(&patients.out("out").join("summary.json"));
    let summary = &evaluation["summary"];
    assert_eq!([&summary["cases"], &summary["failed"], &summary["cases_with_tumors"]], [4, 0, 3]);
    let organ = &summary["organ"]["dsc"];
    let values = [27.0 / 28.0, 7168.0 / 7176.0, 1.0, 1.0];
    near(&organ["mean"], values.iter().sum::<f64>() / 4.0);
    assert_eq!(organ["cases"], 4);
    let [low, high] = ["low", "high"].map(|end| organ["interval"][end].as_f64().unwrap());
    assert!(values[0] <= low && low < organ["mean"].as_f64().unwrap() && high <= 1.0 && high > low);
    // Of tumors: a, c and d; distances without c.
    near(&summary["tumor"]["dsc"]["mean"], (1440.0 / 1624.0 + 0.0 + 1.0) / 3.0);
    assert_eq!([&summary["tumor"]["dsc"]["cases"], &summary["tumor"]["hd95_mm"]["cases"]], [3, 2]);
    let share = |of: &Value| [of["part"].as_u64(), of["whole"].as_u64()].map(Option::unwrap);
    let found = &summary["found"];
    assert_eq!(share(&found["all"]), [2, 4]);
    let stages = ["up_to_20_mm", "up_to_50_mm", "above_50_mm"].map(|stage| &found["by_stage"][stage]);
    assert_eq!(stages.map(share), [[1, 3], [1, 1], [0, 0]]);
    // Small tumors: 0 of 1, 0 of 1 and 1 of 1. One patient has a larger one, and there is none of the largest.
    assert_eq!(stages[0]["interval"], serde_json::json!({ "low": 0.0, "high": 1.0 }));
    assert!(stages[1]["interval"].is_null() && stages[2]["share"].is_null());
    // Two of three patients, and one of one: Clopper-Pearson.
    let sensitivity = &summary["patients"]["sensitivity"];
    assert_eq!(share(sensitivity), [2, 3]);
    for (end, expected) in [("low", 0.094_299_3), ("high", 0.991_596_2)] {
        let limit = sensitivity["interval"][end].as_f64().unwrap();
        assert!((limit - expected).abs() < 1e-6, "{end}: {limit}");
    }
    assert_eq!(share(&summary["patients"]["specificity"]), [1, 1]);
    near(&summary["false_positives_per_scan"]["mean"], 0.25);
    for line in [
        "cases            4, 3 with tumors\n",
        ", 3 cases; HD95 ",
        " mm, 2 cases\n",
        "up to 20 mm      1 of 3 (0.00 to 1.00)\n",
        "up to 50 mm      1 of 1\n",
        "sensitivity      2 of 3 (0.09 to 0.99) patients\n",
    ] {
        assert!(stdout.contains(line), "{line:?} is not in\n{stdout}");
    }
}

#[test]
fn tables_have_a_line_for_each_tumor_and_false_positive() {
    let patients = Patients::new();
    let (code, _, stderr) = patients.evaluate("out", &[]);
    assert_eq!(code, 0, "{stderr}");
    let lesions = patients.lines("out", "lesions.csv");
    assert_eq!(lesions.len(), 1 + 4);
    let columns: Vec<&str> = lesions[2].split(',').collect();
    // Findings in scan order: the false one at x = 10, then that of the large tumor. Voxel (20.5, 9.5, 4.5).
    assert_eq!(columns[..6], ["a", "2", "31", "19", "52.5", "17280"]);
    assert_eq!((columns[8], columns[9], columns[12]), ("up_to_50_mm", "true", "2"));
    let numbers = [6, 7, 10, 11].map(|i| columns[i].parse::<f64>().unwrap());
    let diameter_mm = (6.0 * 17280.0 / std::f64::consts::PI).cbrt();
    // Between the centres of voxels 22 mm apart along both axes, and one voxel more.
    let expected = [diameter_mm, 22.0 * 2.0_f64.sqrt() + 2.0, 1440.0 / 1584.0, 720.0 / 864.0];
    for (found, expected) in numbers.into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }
    let missed: Vec<&str> = lesions[1].split(',').collect();
    assert_eq!(missed[8..], ["up_to_20_mm", "false", "0", "0", ""]);
    let false_positives = patients.lines("out", "false_positives.csv");
    assert_eq!(false_positives.len(), 2);
    assert!(false_positives[1].starts_with("a,1,11,21,62.5,160,"), "{}", false_positives[1]);
    let cases = patients.lines("out", "cases.csv");
    assert_eq!(cases.len(), 5);
    let column = |line: &str, name: &str| {
        let place = cases[0].split(',').position(|column| column == name).unwrap();
        line.split(',').nth(place).unwrap().to_string()
    };
    assert_eq!([&cases[2], &cases[3]].map(|line| column(line, "tumor_hd95_mm")), ["", "inf"]);
    assert_eq!(column(&cases[1], "organ_dsc"), (27.0_f64 / 28.0).to_string());
}

#[test]
fn every_option_has_its_effect() {
    let patients = Patients::new();
    let of = |out: &str, more: &[&str]| patients.summary(out, more)["summary"].clone();
    // What lies outside of the liver in b: a false alarm, which means of tumors do not see.
    let anywhere = of("anywhere", &["--anywhere"]);
    assert_eq!(anywhere["patients"]["specificity"]["part"], 0);
    assert_eq!([&anywhere["false_positives"], &anywhere["tumor"]["dsc"]["cases"]], [2, 3]);
    // The large tumor's IoU is 0.83, its DSC 0.91; found or not, its finding is no false positive.
    for (rule, found) in [("iou:0.8", 2), ("iou:0.9", 1), ("dice:0.9", 2), ("dice:0.95", 1), ("centroid", 2)]
    {
        let summary = of(rule, &["--found", rule]);
        assert_eq!(summary["found"]["all"]["part"], found, "{rule}");
        assert_eq!(summary["false_positives"], 1);
    }
    let faces = of("faces", &["--connectivity", "faces"]);
    assert_eq!(faces["found"]["all"]["whole"], 5);
    let axial = of("axial", &["--stage-diameter", "axial"]);
    assert_eq!(axial["found"]["by_stage"]["up_to_50_mm"]["whole"], 2);
    let strict = of("strict", &["--tolerance-mm", "1.9"]);
    assert!(strict["organ"]["nsd"]["mean"].as_f64().unwrap() < 0.95);
    // Values of predictions, told otherwise.
    write_labels(
        &patients.predictions.join("d/labels.nii.gz"),
        &[(7, LIVER.1, LIVER.2), (9, LONG.1, LONG.2)],
        GRID,
    );
    let only_d = patients.out("d.csv");
    std::fs::write(&only_d, "id,ct,labels\nd,ct.nii.gz,truth/d.nii.gz\n").unwrap();
    let d = Patients { cases: only_d, ..patients };
    let other = d.summary("other", &["--predicted", "liver=7:tumor=9"]);
    near(&other["summary"]["tumor"]["dsc"]["mean"], 1.0);
    near(&other["summary"]["organ"]["dsc"]["mean"], 1.0);
    assert!(other["summary"]["organ"]["dsc"]["interval"].is_null());
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let patients = Patients::new();
    assert_eq!(patients.evaluate_with("one", &["--seed", "5"], "1").0, 0);
    let table = std::fs::read_to_string(&patients.cases).unwrap();
    let mut rows: Vec<&str> = table.lines().collect();
    rows[1..].reverse();
    std::fs::write(&patients.cases, rows.join("\n")).unwrap();
    assert_eq!(patients.evaluate_with("two", &["--seed", "5"], "3").0, 0);
    assert_same(&patients.out("one"), &patients.out("two"));
    assert_eq!(tree(&patients.out("one")).len(), 5);
}

#[test]
fn a_case_that_fails_is_told_and_stops_no_other() {
    let patients = Patients::new();
    let predictions = &patients.predictions;
    let mut elsewhere = GRID;
    elsewhere.0[2][3] += 5.0;
    write_labels(&predictions.join("a/labels.nii.gz"), &[LIVER], elsewhere);
    write_labels(&predictions.join("b.nii.gz"), &[LIVER, (5, [4, 4, 4], [5, 5, 7])], GRID);
    std::fs::remove_file(predictions.join("c.nii")).unwrap();
    write_labels(&patients.out("truth/e.nii.gz"), &[SMALL], GRID);
    write_labels(&predictions.join("e.nii.gz"), &[LIVER], GRID);
    std::fs::write(patients.out("truth/f.nii.gz"), "no image").unwrap();
    write_labels(&predictions.join("f.nii.gz"), &[LIVER], GRID);
    write_labels(&predictions.join("of-nobody.nii.gz"), &[LIVER], GRID);
    let table = std::fs::read_to_string(&patients.cases).unwrap();
    std::fs::write(&patients.cases, table + "\ne,e,truth/e.nii.gz\nf,f,truth/f.nii.gz\n").unwrap();

    // The liver alone, and a slice higher: 7 of 8 slices agree, once grids need not.
    let (code, _, stderr) = patients.evaluate("resampled", &["--resample"]);
    assert!(code == 1 && !stderr.contains("failed: a: "), "{stderr}");
    near(&json(&patients.out("resampled/summary.json"))["cases"][0]["figures"]["organ"]["dsc"], 7.0 / 8.0);
    let (code, stdout, stderr) = patients.evaluate("out", &[]);
    assert_eq!(code, 1, "{stderr}");
    for (case, says) in [
        ("a", &["truth/a.nii.gz and ", "a/labels.nii.gz do not lie on the same grid", "5.000 mm"][..]),
        (
            "b",
            &[
                "b.nii.gz: label values: expected 0 and those of organ=1:tumor=2",
                "also 5: 3 voxels",
                "--predicted",
            ],
        ),
        ("c", &["prediction of 'c'", "c/labels.nii.gz, c.nii.gz, c.nii, found none"]),
        ("e", &["truth/e.nii.gz: organ 'liver=1:tumor=2:cyst=3'", "no voxel has this value"]),
        ("f", &["truth/f.nii.gz"]),
    ] {
        let line = stderr.lines().find(|line| line.starts_with(&format!("failed: {case}: "))).unwrap();
        assert!(says.iter().all(|part| line.contains(part)), "{line}");
    }
    assert!(
        stderr.contains("note: predictions without a case in ") && stderr.contains(": of-nobody\n"),
        "{stderr}"
    );
    assert!(stdout.contains("1, 1 with tumors, 5 failed"), "{stdout}");
    let evaluation = json(&patients.out("out").join("summary.json"));
    assert_eq!([&evaluation["summary"]["cases"], &evaluation["summary"]["failed"]], [1, 5]);
    assert_eq!(evaluation["without_case"], serde_json::json!(["of-nobody"]));
    assert!(evaluation["cases"][2]["figures"].is_null());
    let cases = patients.lines("out", "cases.csv");
    assert!(
        cases.len() == 7 && cases[3].starts_with("c,,,") && cases[3].contains("found none"),
        "{}",
        cases[3]
    );
}

#[test]
fn outputs_are_replaced_only_when_told_and_only_figures() {
    let patients = Patients::new();
    assert_eq!(patients.evaluate("out", &[]).0, 0);
    let before = tree(&patients.out("out"));
    let (code, _, stderr) = patients.evaluate("out", &["--anywhere"]);
    assert!(code == 1 && stderr.contains("--force"), "{stderr}");
    assert_eq!(tree(&patients.out("out")), before);
    assert_eq!(patients.evaluate("out", &["--anywhere", "--force"]).0, 0);
    assert_ne!(tree(&patients.out("out")), before);
    let mine = patients.out("out/mine.txt");
    std::fs::write(&mine, "precious").unwrap();
    let (code, _, stderr) = patients.evaluate("out", &["--force"]);
    assert!(code == 1 && stderr.contains("never replaced"), "{stderr}");
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "precious");
    // Nothing but what was there, and nothing hidden.
    let mut names: Vec<String> = std::fs::read_dir(patients.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["cases.csv", "out", "predictions", "truth"]);
    let gone = Patients { predictions: patients.out("gone"), ..patients };
    let (code, _, stderr) = gone.evaluate("new", &[]);
    assert!(code == 1 && stderr.contains("gone") && !gone.out("new").exists(), "{stderr}");
}

#[test]
fn arguments_that_cannot_be_met_are_told() {
    let patients = Patients::new();
    for (arguments, says) in [
        (["--organ", "liver=1"], "the tumors' value too"),
        (["--organ", "liver=0:tumor=2"], "NAME=VALUE"),
        (["--predicted", "organ=1"], "organ=1:tumor=2"),
        (["--predicted", "liver"], "organ=1:tumor=2"),
        (["--found", "iou:1.5"], "from 0 to 1"),
        (["--found", "most"], "dice:X"),
        (["--tolerance-mm", "nan"], "tolerance in mm"),
        (["--bootstrap", "0"], "100"),
    ] {
        let (code, _, stderr) = patients.evaluate("out", &arguments);
        assert_eq!(code, 2, "{arguments:?}\n{stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
    assert!(!patients.out("out").exists());
    // Values that no truth has are no mistake as such, but look like one.
    let (code, _, stderr) = patients.evaluate("out", &["--organ", "liver=1+2+3:tumor=9"]);
    assert!(code == 0 && stderr.contains("no truth has a tumor"), "{stderr}");
}
