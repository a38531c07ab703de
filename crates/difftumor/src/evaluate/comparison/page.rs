//! `report.html`: methods as in the paper's Tables 3 to 7, and what chance leaves of their differences.
use super::pairs::Pair;
use super::{Comparison, MethodFigures};
use crate::evaluate::segmentation::{Mean, Share, Summary};
use crate::evaluate::words::{limits, mean, percent, percent_limits, percent_with_deviation, share};
use crate::report::page::{cell, cell_with, page as whole_page, plot, table};
use crate::report::plots::{Bar, Series, bars};
use difftumor_ct::metrics::detection::Stage;
use maud::{Markup, html};

pub(super) fn page(c: &Comparison) -> String {
    let body = html! {
        p {
            (c.cases.len()) " cases that all methods have figures of. "
            "Small figures are 95 % limits by bootstrap over patients; ± is the standard deviation over cases."
        }
        @if !c.left_out.is_empty() {
            p { strong { (c.left_out.len()) " cases are left out" } ", for not all methods have figures of them: "
                @for (i, one) in c.left_out.iter().enumerate() { @if i > 0 { ", " } (one.case) " (" (one.without.join(", ")) ")" } "." }
        }
        h2 { "Methods" }
        (methods(c))
        (plot(&by_stage(&c.methods), "Tumors found, by diameter."))
        (folds(c))
        @for pair in &c.pairs { (tests(pair)) }
        h2 { "How they were compared" }
        ul {
            li { "Differences are the other method minus the first, over the same patients." }
            li { "p of means over patients: Wilcoxon's signed-rank test, two-sided; patients without a difference have no part in it." }
            li { "p of shares: McNemar's exact test, two-sided. For tumors it takes those of one patient for independent; the limits do not." }
            li { "Nothing is corrected for the number of figures that are tested." }
        }
    };
    let names: Vec<&str> = c.methods.iter().map(|m| m.name.as_str()).collect();
    whole_page(&format!("Comparison: {}", names.join(", ")), &body)
}

fn methods(c: &Comparison) -> Markup {
    let of = |m: &Mean| cell_with(&percent_with_deviation(m), &percent_limits(m.interval.as_ref()));
    let found = |s: &Share| {
        cell_with(&percent(s.share), &format!("{}; {}", share(s), percent_limits(s.interval.as_ref())))
    };
    let row = |m: &MethodFigures| {
        let s = &m.summary;
        vec![
            cell(&m.name),
            of(&s.tumor.dsc),
            of(&s.tumor.nsd),
            of(&s.organ.dsc),
            found(&s.found.all),
            found(&s.found.by_stage[&Stage::UpTo20Mm]),
            cell_with(
                &mean(&s.false_positives_per_scan, 2),
                &limits(s.false_positives_per_scan.interval.as_ref(), 2),
            ),
        ]
    };
    let nsd = format!("tumor NSD (%), {} mm", c.settings.tolerance_mm);
    let header = [
        "method",
        "tumor DSC (%)",
        &nsd,
        "organ DSC (%)",
        "tumors found (%)",
        "up to 20 mm (%)",
        "false positives per scan",
    ];
    table("As in Tables 2, 3 and 7 of the paper", &header, &c.methods.iter().map(row).collect::<Vec<_>>())
}

fn by_stage(methods: &[MethodFigures]) -> String {
    let name = |stage: Stage| {
        let n = methods.first().map_or(0, |m| m.summary.found.by_stage[&stage].whole);
        format!("{} ({n})", ["up to 20 mm", "20 to 50 mm", "above 50 mm"][stage as usize])
    };
    let series = methods.iter().map(|m| Series {
        name: m.name.clone(),
        bars: m.summary.found.by_stage.values().map(|s| Bar { value: s.share, limits: s.interval }).collect(),
    });
    bars("tumors found", &Stage::ALL.map(name), &series.collect::<Vec<_>>())
}

/// As Tables 4 to 6: the average is that of the folds.
fn folds(c: &Comparison) -> Markup {
    let most = c.methods.iter().map(|m| m.folds.len()).max().unwrap_or(0);
    if most == 0 {
        return html! {};
    }
    let figure = |m: &MethodFigures, name: &str, of: fn(&Summary) -> Option<f64>| {
        let values: Vec<Option<f64>> = m.folds.iter().map(of).collect();
        let there: Vec<f64> = values.iter().flatten().copied().collect();
        let average = (!there.is_empty()).then(|| there.iter().sum::<f64>() / there.len() as f64);
        let mut row = vec![cell(&m.name), cell(name)];
        row.extend((0..most).map(|fold| cell(&percent(values.get(fold).copied().flatten()))));
        row.push(cell(&percent(average)));
        row
    };
    let rows = c.methods.iter().filter(|m| !m.folds.is_empty()).flat_map(|m| {
        [
            figure(m, "DSC (%)", |s| s.tumor.dsc.mean),
            figure(m, "NSD (%)", |s| s.tumor.nsd.mean),
            figure(m, "found up to 20 mm (%)", |s| s.found.by_stage[&Stage::UpTo20Mm].share),
        ]
    });
    let names: Vec<String> = (0..most).map(|fold| format!("fold{fold}")).collect();
    let header: Vec<&str> =
        ["method", "tumors"].into_iter().chain(names.iter().map(String::as_str)).chain(["average"]).collect();
    html! {
        h2 { "Folds" }
        (table("As in Tables 4 to 6 of the paper", &header, &rows.collect::<Vec<_>>()))
    }
}

fn tests(pair: &Pair) -> Markup {
    let number = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:+.3}"));
    let p = |p: Option<f64>| {
        p.map_or("-".into(), |p| if p < 0.001 { "< 0.001".into() } else { format!("{p:.3}") })
    };
    let means = pair.means.iter().map(|(name, m)| {
        let test = m.signed_ranks.map(|r| (r.p_value, format!("{} of {} higher", r.positive, r.differences)));
        vec![
            cell(&words(name)),
            cell(&format!("{} patients", m.patients)),
            cell_with(&number(m.difference), &limits(m.interval.as_ref(), 3)),
            cell_with(&p(test.as_ref().map(|t| t.0)), test.as_ref().map_or("", |t| t.1.as_str())),
        ]
    });
    let shares = pair.shares.iter().map(|(name, s)| {
        let unit = if name.starts_with("patient") { "patients" } else { "tumors" };
        let only = format!(
            "{} by the first alone, {} by the other",
            s.discordant.first_only, s.discordant.second_only
        );
        vec![
            cell(&words(name)),
            cell(&format!("{} {unit}", s.whole)),
            cell_with(&number(s.difference), &limits(s.interval.as_ref(), 3)),
            cell_with(&p((s.whole > 0).then_some(s.p_value)), &only),
        ]
    });
    html! {
        h2 { (pair.other) " against " (pair.first) }
        (table("", &["figure", "over", "difference", "p"], &means.chain(shares).collect::<Vec<_>>()))
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ").replace("dsc", "DSC").replace("nsd", "NSD")
}
