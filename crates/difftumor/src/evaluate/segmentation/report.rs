//! `report.html`: the figures laid out as in the paper's tables, plots by size and by patients, and the worst cases in pictures.
use super::pictures::{Kind, Picture};
use super::summary::{MaskMeans, Mean, Share, Summary};
use super::{CaseReport, Evaluation};
use crate::evaluate::words::{limits, mean, percent, percent_limits, percent_with_deviation, share};
use crate::report::page::{cell, cell_with, page, picture, plot, table};
use crate::report::plots::{Bar, Curve, Series, bars, curves};
use difftumor_ct::metrics::detection::{Detection, Stage};
use difftumor_ct::metrics::detection_summary::Found;
use difftumor_ct::metrics::froc::{RATES, sensitivity_at};
use difftumor_ct::metrics::interval::Interval;
use maud::{Markup, html};

/// Upper ends of the bins of diameters; above the last is one more.
const SIZES_MM: [f64; 6] = [5.0, 10.0, 15.0, 20.0, 30.0, 50.0];
const SIZES: [&str; 7] =
    ["up to 5", "5 to 10", "10 to 15", "15 to 20", "20 to 30", "30 to 50", "above 50 mm"];
/// Per scan: beyond it, nobody works with a curve.
const MOST_FALSE_POSITIVES: f64 = 10.0;
/// Cases in the table of all; more are in `cases.csv` alone.
const MOST_CASES: usize = 200;

/// Tumors and those found, by diameter of the ball of their volume.
#[derive(Debug, Default)]
pub(super) struct BySize([Found; SIZES.len()]);

impl BySize {
    pub(super) fn add(&mut self, detection: &Detection) {
        for lesion in &detection.lesions {
            let bin = SIZES_MM.iter().position(|end| lesion.extent.equivalent_diameter_mm <= *end);
            let found = &mut self.0[bin.unwrap_or(SIZES_MM.len())];
            found.lesions += 1;
            found.found += usize::from(lesion.found);
        }
    }

    fn plot(&self) -> String {
        let groups: Vec<String> =
            SIZES.iter().zip(&self.0).map(|(name, f)| format!("{name} ({})", f.lesions)).collect();
        let bar = |f: &Found| Bar { value: f.sensitivity(), limits: Interval::of_share(f.found, f.lesions) };
        bars(
            "tumors found",
            &groups,
            &[Series { name: String::new(), bars: self.0.iter().map(bar).collect() }],
        )
    }
}

/// The page.
pub(super) fn report(evaluation: &Evaluation, by_size: &BySize, pictures: &[Picture]) -> String {
    let s = &evaluation.summary;
    let body = html! {
        p {
            (s.cases) " cases, " (s.cases_with_tumors) " of them with tumors"
            @if s.failed > 0 { "; " strong { (s.failed) " failed" } " (listed below, in no figure)" }
            ". Truth: " code { (evaluation.settings.organ) } ". Small figures are 95 % limits; ± is the standard deviation over cases."
        }
        h2 { "Segmentation" }
        (segmentation(s, evaluation.settings.tolerance_mm))
        h2 { "Detection" }
        (detection(s))
        (plot(&by_size.plot(), "Tumors found by diameter (of the ball of the same volume), with their number. Limits by Clopper-Pearson, as if tumors of one patient were independent."))
        (froc(evaluation))
        (groups(evaluation))
        (worst(pictures, Kind::Miss, "Largest tumors that are missed"))
        (worst(pictures, Kind::FalseAlarm, "Largest findings where there is no tumor"))
        (cases(&evaluation.cases))
        (remarks(evaluation))
    };
    page("Segmentation of organ and tumors", &body)
}

fn segmentation(s: &Summary, tolerance_mm: f64) -> Markup {
    let row = |name: &str, m: &MaskMeans| {
        let in_percent =
            |m: &Mean| cell_with(&percent_with_deviation(m), &percent_limits(m.interval.as_ref()));
        let in_mm = |m: &Mean| cell_with(&mean(m, 1), &limits(m.interval.as_ref(), 1));
        vec![
            cell(name),
            cell(&m.dsc.cases.to_string()),
            in_percent(&m.dsc),
            in_percent(&m.nsd),
            in_mm(&m.hd95_mm),
            in_mm(&m.assd_mm),
        ]
    };
    let nsd = format!("NSD (%), {tolerance_mm} mm");
    table(
        "As in Tables 3 to 7 of the paper",
        &["", "cases", "DSC (%)", &nsd, "HD95 (mm)", "ASSD (mm)"],
        &[row("tumors", &s.tumor), row("organ", &s.organ)],
    )
}

fn detection(s: &Summary) -> Markup {
    let of = |share: &Share| cell_with(&percent(share.share), &percent_limits(share.interval.as_ref()));
    let row = |name: &str, what: &Share| vec![cell(name), cell(&share(what)), of(what)];
    let mut rows = vec![row("tumors found", &s.found.all)];
    for stage in Stage::ALL {
        let name = ["up to 20 mm (early, Table 2)", "above 20 to 50 mm", "above 50 mm"][stage as usize];
        rows.push(row(name, &s.found.by_stage[&stage]));
    }
    rows.push(row("patients with a tumor in whom one is predicted (sensitivity)", &s.patients.sensitivity));
    rows.push(row("patients without in whom none is (specificity)", &s.patients.specificity));
    let false_positives = &s.false_positives_per_scan;
    html! {
        (table("By tumor and by patient", &["", "", "%"], &rows))
        p { "False positives per scan: " (mean(false_positives, 2)) " " small.note { (limits(false_positives.interval.as_ref(), 2)) } }
    }
}

fn froc(evaluation: &Evaluation) -> Markup {
    let points = &evaluation.froc;
    if points.is_empty() {
        return html! {};
    }
    let at = |p: &difftumor_ct::metrics::froc::FrocPoint| Some([p.false_positives_per_scan?, p.sensitivity?]);
    // The threshold falls along the curve.
    let shown = points.iter().rev().filter_map(at).filter(|[x, _]| *x <= MOST_FALSE_POSITIVES);
    let curve = Curve { name: String::new(), points: shown.collect() };
    let header: Vec<String> = RATES.iter().map(ToString::to_string).collect();
    let names: Vec<&str> =
        ["false positives per scan"].into_iter().chain(header.iter().map(String::as_str)).collect();
    let found = RATES.iter().map(|rate| cell(&percent(sensitivity_at(points, *rate))));
    html! {
        h2 { "FROC" }
        (plot(&curves("false positives per scan", "tumors found", &[curve]), "A point for each threshold of the predicted probability; those with more than 10 false positives per scan are in froc.csv alone."))
        (table("Sensitivity (%) at the best threshold with at most that many", &names, &[std::iter::once(cell("sensitivity")).chain(found).collect()]))
    }
}

/// As Fig. 4 and its like.
fn groups(evaluation: &Evaluation) -> Markup {
    let Some(groupings) = &evaluation.groups else { return html! {} };
    html! {
        h2 { "By patients" }
        @for grouping in &groupings.columns {
            @let dsc = grouping.groups.iter().map(|g| Bar { value: g.summary.tumor.dsc.mean, limits: g.summary.tumor.dsc.interval });
            @let found = grouping.groups.iter().map(|g| Bar { value: g.summary.found.all.share, limits: g.summary.found.all.interval });
            @let names: Vec<String> = grouping.groups.iter().map(|g| format!("{} ({})", g.value, g.summary.cases)).collect();
            h3 { (grouping.column) }
            (plot(&bars("", &names, &[
                Series { name: "tumor DSC".into(), bars: dsc.collect() },
                Series { name: "tumors found".into(), bars: found.collect() },
            ]), "As in Fig. 4 of the paper; in brackets the number of cases."))
            (table("", &[grouping.column.as_str(), "cases", "tumor DSC (%)", "tumors found", "%", "sensitivity of patients", "specificity", "false positives per scan"],
                &grouping.groups.iter().map(|g| group_row(&g.value, &g.summary)).collect::<Vec<_>>()))
        }
        @for (column, reason) in &groupings.unused { p.note { "Not used: " (column) ", for " (reason) "." } }
    }
}

fn group_row(value: &str, s: &Summary) -> Vec<Markup> {
    vec![
        cell(value),
        cell(&s.cases.to_string()),
        cell_with(&percent_with_deviation(&s.tumor.dsc), &percent_limits(s.tumor.dsc.interval.as_ref())),
        cell(&share(&s.found.all)),
        cell_with(&percent(s.found.all.share), &percent_limits(s.found.all.interval.as_ref())),
        cell(&share(&s.patients.sensitivity)),
        cell(&share(&s.patients.specificity)),
        cell(&mean(&s.false_positives_per_scan, 2)),
    ]
}

fn worst(pictures: &[Picture], kind: Kind, title: &str) -> Markup {
    let mine: Vec<&Picture> = pictures.iter().filter(|p| p.place.kind == kind).collect();
    if mine.is_empty() {
        return html! {};
    }
    html! {
        h2 { (title) }
        p.note { "Axial slice through the middle, window -150 to 250 HU, the patient's right on the left. Green: truth, magenta: prediction." }
        div.pictures { @for one in mine {
            @let [x, y, z] = one.place.extent.centroid_ras_mm;
            @let caption = format!("{} no. {}, {:.1} mm, at {x:.0} {y:.0} {z:.0} (RAS, mm)", one.place.case, one.place.number, one.place.extent.equivalent_diameter_mm);
            @match &one.png {
                Ok(png) => { (picture(png, &caption)) }
                Err(reason) => { figure { figcaption { (caption) ": no picture: " (reason) } } }
            }
        } }
    }
}

fn cases(cases: &[CaseReport]) -> Markup {
    let mut by_dsc: Vec<_> = cases.iter().filter_map(|case| Some((case, case.figures.as_ref()?))).collect();
    // Worst first; those without a tumor last.
    by_dsc.sort_by(|(_, a), (_, b)| a.tumor.dsc.unwrap_or(2.0).total_cmp(&b.tumor.dsc.unwrap_or(2.0)));
    let rows: Vec<Vec<Markup>> = by_dsc
        .iter()
        .take(MOST_CASES)
        .map(|(case, f)| {
            vec![
                cell(&case.case),
                cell(&percent(f.tumor.dsc)),
                cell(&percent(f.tumor.nsd)),
                cell(&format!("{} of {}", f.tumors.all.found, f.tumors.all.lesions)),
                cell(&f.tumors.false_positives.to_string()),
                cell(&percent(f.organ.dsc)),
            ]
        })
        .collect();
    html! {
        h2 { "Cases" }
        @if by_dsc.len() > MOST_CASES { p.note { "The " (MOST_CASES) " with the lowest DSC of tumors; all are in cases.csv." } }
        (table("", &["case", "tumor DSC (%)", "tumor NSD (%)", "tumors found", "false positives", "organ DSC (%)"], &rows))
        @let failed: Vec<_> = cases.iter().filter_map(|case| Some((case, case.message.as_ref()?))).collect();
        @if !failed.is_empty() {
            h3 { "Failed" }
            ul { @for (case, message) in failed { li { (case.case) ": " (message) } } }
        }
    }
}

fn remarks(evaluation: &Evaluation) -> Markup {
    let settings = serde_json::to_string(&evaluation.settings).expect("settings are texts and numbers");
    html! {
        h2 { "How it was measured" }
        ul {
            @if !evaluation.settings.anywhere { li { "Predicted tumors outside of the true organ were dropped (the published rule)." } }
            li { "Figures of tumors are means over cases with a tumor; a case in which nothing is predicted counts with 0." }
            li { "Limits of patients' shares by Clopper-Pearson, all others by bootstrap over patients." }
            @if !evaluation.without_case.is_empty() { li { (evaluation.without_case.len()) " predictions belong to no case." } }
        }
        p.note { "Settings: " code { (settings) } }
    }
}
