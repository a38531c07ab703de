//! The report as a page: how many pass, what speaks against them, every figure beside those of real tumors, and the tumors themselves.
use super::{Report, TumorFigures};
use crate::analyze::sheet::Pictures;
use crate::report::page::{self, cell, cell_with};
use base64::Engine;
use difftumor_ct::analysis::ranges::Grade;
use difftumor_ct::realism::{FIGURES, Gate};
use maud::{Markup, html};

/// The page's text.
pub(super) fn page(report: &Report, gate: &Gate, pictures: &Pictures) -> String {
    let (n, g) = (report.tumors.len(), report.grades);
    let body = html! {
        p { (n) " tumors of " (report.annotation) ": " b { (g.pass) " pass, " (g.warn) " with a warning, " (g.fail) " fail" } "." }
        p.note { "Compared with " (report.compared_with.join(", ")) ", and with fixed rules. A warning: few real tumors are so. Failed: next to none is. A figure that cannot be
            measured, or that nothing is known of, is not judged." }
        @if !report.failed.is_empty() {
            h2 { "Cases that could not be read" }
            ul { @for (case, why) in &report.failed { li { (case) ": " (why) } } }
        }
        @if !report.without_tumor.is_empty() { p { "Without a tumor of at least 8 voxels: " (report.without_tumor.join(", ")) "." } }
        h2 { "What speaks against them" }
        @if report.objections.is_empty() { p.note { "Nothing." } } @else { (objections(report)) }
        h2 { "Figures" }
        (figures(report, gate))
        h2 { "Tumors, the worst first" }
        (tumors(report, pictures))
    };
    page::page("Realism of tumors", &body)
}

fn objections(report: &Report) -> Markup {
    let row =
        |o: &super::Objection| vec![cell(o.figure), cell(&o.failed.to_string()), cell(&o.warned.to_string())];
    let rows: Vec<Vec<Markup>> = report.objections.iter().map(row).collect();
    page::table("number of tumors", &["figure", "failed by it", "warned by it"], &rows)
}

fn figures(report: &Report, gate: &Gate) -> Markup {
    // Ranges of some figures depend on the size: those for the median tumor are shown.
    let mut longest: Vec<f64> = report.tumors.iter().map(|t| t.figures.shape.longest_axis_mm).collect();
    longest.sort_by(f64::total_cmp);
    let typical_mm = longest.get(longest.len() / 2).copied().unwrap_or_default();
    let row = |(name, r): &(&'static str, super::Range)| {
        let unit = FIGURES.iter().find(|f| f.name == *name).map_or("", |f| f.unit);
        let real = gate.range(name, typical_mm);
        let (range, source) = real.map_or((String::new(), ""), |(range, source)| {
            (format!("{} to {}", number(range.usual.low), number(range.usual.high)), source)
        });
        vec![
            cell_with(name, unit),
            cell_with(&number(r.median), &format!("{} to {}", number(r.low), number(r.high))),
            cell(&r.n.to_string()),
            cell(&range),
            html! { td.text { small { (source) } } },
        ]
    };
    let rows: Vec<Vec<Markup>> = report.ranges.iter().map(row).collect();
    let caption = format!(
        "median with 5 to 95 % of these tumors, and where real ones usually lie (of a longest axis of {typical_mm:.0} mm, where that matters)"
    );
    page::table(&caption, &["figure", "these tumors", "tumors", "real tumors", "from"], &rows)
}

fn tumors(report: &Report, pictures: &Pictures) -> Markup {
    let mut order: Vec<&TumorFigures> = report.tumors.iter().collect();
    order.sort_by_key(|t| std::cmp::Reverse((t.verdict.grade, faults(t))));
    let shown: Vec<_> = order.iter().filter_map(|t| Some((t, pictures.of(&t.case, t.number)?))).collect();
    html! {
        @if shown.len() < order.len() { p.note { "Pictures of " (shown.len()) " of " (order.len()) "; all are in the report as JSON." } }
        @for (tumor, png) in shown {
            (one(tumor, png))
        }
    }
}

/// Checks that it does not pass.
fn faults(tumor: &TumorFigures) -> usize {
    tumor.verdict.checks.iter().filter(|c| c.grade > Grade::Pass).count()
}

fn one(tumor: &TumorFigures, png: &[u8]) -> Markup {
    let f = &tumor.figures;
    let (word, colour) = match tumor.verdict.grade {
        Grade::Pass => ("passes", "#1a7f37"),
        Grade::Warn => ("warning", "#9a6700"),
        Grade::Fail => ("fails", "#cf222e"),
    };
    let contrast = f.density.contrast_hu.map_or(String::new(), |c| format!(", {c:+.0} HU against its organ"));
    let caption = format!("{} no {}", tumor.case, tumor.number);
    html! {
        div style="display: flex; gap: 1rem; align-items: flex-start; margin: .8rem 0" {
            div style="flex: none" { (wide_picture(png, &caption)) }
            div {
                b { (caption) } " " b style=(format!("color: {colour}")) { (word) }
                p style="margin: .2rem 0" { (format!("{:.0} mm, {:.0} HU{contrast}", f.shape.equivalent_diameter_mm, f.density.inside_hu)) }
                ul style="margin: .2rem 0; padding-left: 1.2rem" {
                    @for check in tumor.verdict.checks.iter().filter(|c| c.grade > Grade::Pass) { li { (check.reason) } }
                }
            }
        }
    }
}

/// A pair of views, wider than other pictures.
fn wide_picture(png: &[u8], caption: &str) -> Markup {
    let data = base64::engine::general_purpose::STANDARD.encode(png);
    html! { img src=(format!("data:image/png;base64,{data}")) alt=(caption) width="486" style="display: block"; }
}

fn number(v: f64) -> String {
    match v.abs() {
        a if a >= 100.0 => format!("{v:.0}"),
        a if a >= 10.0 => format!("{v:.1}"),
        _ => format!("{v:.2}"),
    }
}
