//! Scores as files.
use super::*;

#[test]
fn json_has_shares_and_limits() {
    let scores = turing_files().score(&turing_answers()).unwrap();
    let json: serde_json::Value = serde_json::to_value(&scores).unwrap();
    let row = &json["readers"][0]["turing"][1];
    assert_eq!((&row["organ"], &row["accuracy"]["share"]), (&"liver".into(), &0.75.into()));
    assert_eq!(
        (&json["kind"], &row["sensitivity"]["limits"]["high"]),
        (&"visual_turing".into(), &1.0.into())
    );
    assert!(json["readers"][2]["turing"][0]["accuracy"]["share"].is_null());
}

#[test]
fn csv_has_a_row_for_each_reader_and_organ() {
    let mut files = turing_files();
    files.readers.readers[0].name = "Doe, \"J\"".into();
    let mut answers = turing_answers();
    answers.iter_mut().filter(|a| a.reader == "R1").for_each(|a| a.reader = "Doe, \"J\"".into());
    let text = csv(&files.score(&answers).unwrap());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + 3 * 3);
    assert!(
        lines[0].starts_with("reader,organ,sensitivity,sensitivity_low,sensitivity_high,sensitivity_part,")
    );
    assert!(lines[0].ends_with("accuracy,accuracy_low,accuracy_high,accuracy_part,accuracy_of,p"));
    assert!(lines[2].starts_with("\"Doe, \"\"J\"\"\",liver,1,0.158"), "{}", lines[2]);
    assert!(lines[3].ends_with(",4,8,1"), "{}", lines[3]);
    assert_eq!(lines[7], "R3,kidney,,,,0,0,,,,0,0,,,,0,0,");
    let text = csv(&organ_files().score(&organ_answers()).unwrap());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + 4 * 4);
    assert_eq!(lines[13], "all readers,kidney,1,,,4,4,0.6666666666666666,,,4,6");
    assert_eq!(lines[16], "all readers,all,0.75,,,9,12,0.75,,,9,12");
}

#[test]
fn pages_hold_the_figures_and_escape_names() {
    let page = html(&turing_files().score(&turing_answers()).unwrap(), "Scores & more");
    for text in [
        "<title>Scores &amp; more</title>",
        "A &lt;study&gt;: 8 tumors, 2 of them shown twice",
        "100 <small>(15.8 to 100)</small><br><small>2 of 2</small>",
        "all organs",
        "Fleiss' kappa of 2 readers on the 7 tumors",
        "R1 and R2",
        "0.09 (",
        "4.0 <small>(2.5 to 5.5)</small>",
    ] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    // The plot has a dot for each reader who answered: 50 % is in the middle of 420 pixels.
    assert_eq!(page.matches("<circle").count(), 2);
    assert!(page.contains(r#"<circle cx="400.0" cy="13.0""#), "{page}");
    // Nothing is fetched.
    assert!(!page.contains("http") && !page.contains("src="));
    let page = html(&organ_files().score(&organ_answers()).unwrap(), "Organs");
    for text in [
        "All readers: accuracy 75 %, by guessing 33.3 %",
        "R1: accuracy 50 (11.8 to 88.2) %",
        "tumor in",
        "66.7",
    ] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
}

#[test]
fn a_study_nobody_has_read_is_scored_too() {
    for files in [turing_files(), organ_files()] {
        let scores = files.score(&[]).unwrap();
        assert!(scores.agreement.pairs.is_empty() && scores.agreement.all.is_none());
        assert!(html(&scores, "None").contains("No two readers"));
        assert!(csv(&scores).lines().count() > 9);
    }
}
