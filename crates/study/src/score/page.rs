//! Scores as one page of HTML with nothing to fetch.
use super::plot::accuracies;
use super::{Again, Confusion, ReaderScores, Scores, Share, Spread, Turing};
use crate::format::Kind;
use difftumor_ct::metrics::interval::Interval;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1f24; max-width: 74rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #d0d7de; padding-bottom: .2rem; }
table { border-collapse: collapse; margin: .6rem 0; } caption { text-align: left; color: #57606a; padding-bottom: .3rem; }
th, td { padding: .22rem .7rem; text-align: right; border-bottom: 1px solid #e4e8ec; white-space: nowrap; vertical-align: top; }
th[scope=row] { text-align: left; font-weight: normal; } tr.first th, tr.first td { border-top: 2px solid #8c959f; }
thead th { border-bottom: 2px solid #8c959f; vertical-align: bottom; } thead th:first-child { text-align: left; }
small, .note { color: #57606a; } .tables { display: flex; flex-wrap: wrap; gap: 0 2.5rem; } .wide { overflow-x: auto; }
";

/// A page with all scores. `title` is text; it and all names are escaped.
pub fn html(scores: &Scores, title: &str) -> String {
    let body = match scores.kind {
        Kind::VisualTuring => turing(scores),
        Kind::OrganRecognition => organs(scores),
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p {
                    (scores.title) ": " (scores.tumors) " tumors, " (scores.repeats) " of them shown twice. "
                    "Limits in brackets cover " (percent(scores.confidence)) " %."
                }
                (body)
                (agreement(scores))
                (again(scores))
                (times(scores))
                p.note { "Study " code { (scores.study_sha256) } }
                p.note { "difftumor " (env!("CARGO_PKG_VERSION")) ". For research; not a medical device." }
            }
        }
    }
    .into_string()
}

/// A figure of Table 1: its name, and where it stands.
type Figure = (&'static str, fn(&Turing) -> Share);
const FIGURES: [Figure; 3] = [
    ("sensitivity (%)", |row| row.sensitivity),
    ("specificity (%)", |row| row.specificity),
    ("accuracy (%)", |row| row.accuracy),
];

/// Table 1 of the paper: organs and figures down, readers across.
fn turing(scores: &Scores) -> Markup {
    // All readers have the same organs.
    let rows = scores.readers.first().map_or(0, |reader| reader.turing.len());
    let organ = |i: usize| scores.readers[0].turing[i].organ.as_deref().unwrap_or("all organs");
    html! {
        h2 { "Real or synthetic?" }
        (accuracies(scores))
        div.wide { table {
            caption { "Positives are real tumors: sensitivity is the share of real tumors called real, "
                "specificity that of synthetic ones called synthetic." }
            thead { tr { th { "organ" } th {} @for reader in &scores.readers { th { (reader.reader) } } } }
            tbody { @for i in 0..rows {
                @for (k, (name, figure)) in FIGURES.iter().enumerate() {
                    tr class=[(k == 0).then_some("first")] {
                        th scope="row" { @if k == 0 { (organ(i)) } }
                        th scope="row" { (name) }
                        @for reader in &scores.readers { (share_cell(&figure(&reader.turing[i]))) }
                    }
                }
                tr {
                    th {}
                    th scope="row" { "p, by a coin" }
                    @for reader in &scores.readers { td { (p_value(reader.turing[i].p_value)) } }
                }
            } }
        } }
        p.note {
            "p: probability of an accuracy at least as far from 50 % if each answer were a coin's (exact binomial, two-sided). "
            "Shares have exact limits of Clopper and Pearson."
         }
    }
}

/// Confusion tables, as in Fig. 2 of the paper.
fn organs(scores: &Scores) -> Markup {
    // Who has answered nothing is told below.
    let active = scores.readers.iter().filter(|reader| reader.answered > 0);
    let of_readers = active.filter_map(|r| Some((r.reader.as_str(), r.confusion.as_ref()?)));
    let pooled = scores.pooled.as_ref().map(|pooled| ("All readers", pooled));
    html! {
        h2 { "Which organ?" }
        (accuracies(scores))
        div.tables { @for (name, confusion) in pooled.into_iter().chain(of_readers) { (confusion_table(name, confusion)) } }
        p.note {
            "Rows are the organs that tumors are in, columns the answers. "
            "Precision: of the answers that name an organ, those that are right. "
            "Answers of several readers to one tumor are not independent: those of all readers have no limits."
         }
    }
}

fn confusion_table(name: &str, confusion: &Confusion) -> Markup {
    // Darker for a larger share of the row; at its darkest, black text still has a contrast of 9 : 1.
    let shade = |row: &[usize], count: usize| {
        let share = count as f64 / row.iter().sum::<usize>().max(1) as f64;
        format!("background: rgb(9 105 218 / {:.2})", 0.45 * share)
    };
    html! {
        div { table {
            caption {
                (name) ": accuracy " (share_text(&confusion.accuracy)) " %, by guessing " (percent(confusion.chance)) " %"
                @if confusion.p_value.is_some() { "; p: " (p_value(confusion.p_value)) }
            }
            thead { tr { th { "tumor in" } @for organ in &confusion.organs { th { (organ) } } th { "recall (%)" } } }
            tbody {
                @for ((organ, row), recall) in confusion.organs.iter().zip(&confusion.counts).zip(&confusion.recall) {
                    tr {
                        th scope="row" { (organ) }
                        @for count in row { td style=(shade(row, *count)) { (count) } }
                        (share_cell(recall))
                    }
                }
                tr.first {
                    th scope="row" { "precision (%)" }
                    @for precision in &confusion.precision { (share_cell(precision)) }
                    td {}
                }
            }
        } }
    }
}

fn agreement(scores: &Scores) -> Markup {
    let agreement = &scores.agreement;
    html! {
        h2 { "Agreement between readers" }
        @match &agreement.all {
            None => p { "No two readers answered the same tumor, or not all readers did." },
            Some(all) => p {
                "Fleiss' kappa of " (all.raters) " readers on the " (all.items) " tumors that all answered: "
                strong { (kappa(all.kappa, all.limits)) } "; p: " (p_value(all.p_value)) "; "
                (percent(all.agreement)) " % of pairs of answers agree."
            },
        }
        @if !agreement.pairs.is_empty() {
            table {
                caption { "Cohen's kappa of each two readers, on tumors that both answered." }
                thead { tr { th { "readers" } th { "tumors" } th { "equal answers (%)" } th { "kappa" } } }
                tbody { @for pair in &agreement.pairs { tr {
                    th scope="row" { (pair.readers[0]) " and " (pair.readers[1]) }
                    @match &pair.cohen {
                        None => { td { "0" } td {} td {} },
                        Some(cohen) => {
                            td { (cohen.items) } td { (percent(cohen.agreement)) } td { (kappa(cohen.kappa, cohen.limits)) }
                        },
                    }
                } } }
            }
        }
        p.note {
            "1: always of one mind; 0: no more than by chance. “–”: one answer alone was given, so there is no kappa. "
            "Limits are those of large samples; where these come out as wide as nothing, they are left out."
        }
    }
}

fn again(scores: &Scores) -> Markup {
    let row = |Again { equal, cohen }: &Again| {
        let kappa = cohen.as_ref().map_or("–".into(), |cohen| kappa(cohen.kappa, cohen.limits));
        html! { td { (equal.whole) } (share_cell(equal)) td { (kappa) } }
    };
    html! {
        h2 { "Answers and repeats" }
        table {
            caption { "Tumors answered, and how far readers agree with themselves on those shown twice." }
            thead { tr {
                th { "reader" } th { "answered" } th { "not answered" } th { "repeats" } th { "equal answers (%)" } th { "Cohen's kappa" }
            } }
            tbody { @for reader in &scores.readers { tr {
                th scope="row" { (reader.reader) }
                td { (reader.answered) } td { (reader.unanswered) } (row(&reader.again))
            } } }
        }
    }
}

fn times(scores: &Scores) -> Markup {
    let truths = |reader: &ReaderScores| -> Vec<String> {
        reader.times.by_truth.iter().map(|(truth, _)| truth.clone()).collect()
    };
    let names = scores.readers.first().map(truths).unwrap_or_default();
    html! {
        h2 { "Reading times" }
        table {
            caption { "Median in s, with quartiles in brackets, repeats included." }
            thead { tr { th { "reader" } th { "total" } th { "all" } @for name in &names { th { (name) } } } }
            tbody { @for reader in &scores.readers { tr {
                th scope="row" { (reader.reader) }
                td { (duration(reader.times.all.total_s)) }
                (spread(&reader.times.all))
                @for (_, of_truth) in &reader.times.by_truth { (spread(of_truth)) }
            } } }
        }
    }
}

fn spread(spread: &Spread) -> Markup {
    html! { td { @match spread.quartiles_s {
        None => "–",
        Some([low, median, high]) => { (format!("{median:.1} ")) small { (format!("({low:.1} to {high:.1})")) } },
    } } }
}

fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round();
    if minutes < 1.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.0} h {:.0} min", (minutes / 60.0).floor(), minutes % 60.0)
    }
}

fn share_cell(share: &Share) -> Markup {
    html! { td {
        @match share.share { None => "–", Some(value) => (percent(value)) }
        @if let Some(limits) = share.limits { " " small { (brackets(limits)) } }
        @if share.whole > 0 { br; small { (share.part) " of " (share.whole) } }
    } }
}

fn share_text(share: &Share) -> String {
    let value = share.share.map_or("–".into(), percent);
    share.limits.map_or(value.clone(), |limits| format!("{value} {}", brackets(limits)))
}

fn brackets(limits: Interval) -> String {
    format!("({} to {})", percent(limits.low), percent(limits.high))
}

fn percent(share: f64) -> String {
    let percent = format!("{:.1}", 100.0 * share);
    percent.strip_suffix(".0").map(str::to_string).unwrap_or(percent)
}

fn kappa(kappa: Option<f64>, limits: Option<Interval>) -> String {
    let limits = limits.map_or(String::new(), |limits| format!(" ({:.2} to {:.2})", limits.low, limits.high));
    kappa.map_or("–".into(), |kappa| format!("{kappa:.2}{limits}"))
}

fn p_value(p: Option<f64>) -> String {
    match p {
        None => "–".into(),
        Some(p) if p < 0.001 => "below 0.001".into(),
        Some(p) => format!("{p:.3}"),
    }
}
