//! A picture of how often each reader was right, beside what chance alone would give.
use super::{Scores, Share};
use maud::{Markup, html};

/// Left end, width and height of the scale, and the height of a row, in pixels.
const LEFT: f64 = 190.0;
const WIDTH: f64 = 420.0;
const ROW: f64 = 26.0;

/// Each reader's accuracy over all organs with its limits; a broken line is chance. Readers without answers have none.
pub(super) fn accuracies(scores: &Scores) -> Markup {
    let rows: Vec<(&str, Share, f64)> = scores
        .readers
        .iter()
        .filter_map(|reader| {
            let (accuracy, chance) = match (&reader.confusion, reader.turing.last()) {
                (Some(confusion), _) => (confusion.accuracy, confusion.chance),
                (None, all) => (all?.accuracy, 0.5),
            };
            (accuracy.whole > 0).then_some((reader.reader.as_str(), accuracy, chance))
        })
        .collect();
    let Some(&(_, _, chance)) = rows.first() else {
        return html! {};
    };
    let height = ROW * rows.len() as f64;
    let at = |share: f64| format!("{:.1}", LEFT + WIDTH * share);
    let middle = |row: usize| format!("{:.1}", ROW * (row as f64 + 0.5));
    html! {
        svg viewBox=(format!("0 0 {} {}", LEFT + WIDTH + 40.0, height + 38.0)) width=(LEFT + WIDTH + 40.0) role="img"
            aria-label="Accuracy of each reader with limits" font-size="13" {
            @for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
                line x1=(at(tick)) x2=(at(tick)) y1="0" y2=(height) stroke="#e4e8ec" {}
                text x=(at(tick)) y=(height + 16.0) text-anchor="middle" fill="#57606a" { (100.0 * tick) }
            }
            line x1=(at(chance)) x2=(at(chance)) y1="0" y2=(height) stroke="#cf222e" stroke-dasharray="4 3" {}
            @for (i, (name, accuracy, _)) in rows.iter().enumerate() {
                text x=(LEFT - 12.0) y=(middle(i)) text-anchor="end" dominant-baseline="central" { (shortened(name)) }
                @if let Some(limits) = accuracy.limits {
                    line x1=(at(limits.low)) x2=(at(limits.high)) y1=(middle(i)) y2=(middle(i)) stroke="#0969da" stroke-width="2" {}
                }
                @if let Some(share) = accuracy.share { circle cx=(at(share)) cy=(middle(i)) r="4.5" fill="#0969da" {} }
            }
            text x=(at(0.5)) y=(height + 32.0) text-anchor="middle" fill="#57606a" { "accuracy (%), limits; red: chance" }
        }
    }
}

/// A name that fits beside the plot.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 24;
    match name.char_indices().nth(LONGEST) {
        None => name.into(),
        Some((end, _)) => format!("{}…", &name[..end]),
    }
}
