//! Reports as one page of HTML each: style, plots and pictures are in it, nothing is fetched, so it can be mailed or kept.
use crate::error::Result;
use base64::Engine;
use difftumor_ct::io::write_atomically;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::io::Write;
use std::path::Path;

const STYLE: &str = "
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1f24; max-width: 74rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #d0d7de; padding-bottom: .2rem; }
table { border-collapse: collapse; margin: .6rem 0; } caption { text-align: left; color: #57606a; padding-bottom: .3rem; }
th, td { padding: .22rem .7rem; text-align: right; border-bottom: 1px solid #e4e8ec; white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; } th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #8c959f; }
td small { color: #57606a; } td.text { white-space: normal; text-align: left; }
.wide { overflow-x: auto; } .pictures { display: flex; flex-wrap: wrap; gap: .8rem; } figure { margin: 0; width: 240px; }
figure img { width: 240px; display: block; background: #181818; } figcaption { font-size: .82rem; overflow-wrap: anywhere; }
.note { color: #57606a; } svg { max-width: 100%; height: auto; }
";

/// The page's name in an output folder.
pub(crate) const REPORT: &str = "report.html";

/// Writes a page.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(folder: &Path, html: &str) -> Result<()> {
    Ok(write_atomically(&folder.join(REPORT), |file| file.write_all(html.as_bytes()))?)
}

/// A page. `title` is text, `body` is made by [`maud::html!`], which escapes what it is given.
pub(crate) fn page(title: &str, body: &Markup) -> String {
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
                (body)
                p.note { "difftumor " (env!("CARGO_PKG_VERSION")) ". For research; not a medical device." }
            }
        }
    }
    .into_string()
}

/// A table with a line above it. The first column holds names.
pub(crate) fn table(caption: &str, header: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.wide { table {
            caption { (caption) }
            thead { tr { @for name in header { th { (name) } } } }
            tbody { @for row in rows { tr { @for cell in row { (cell) } } } }
        } }
    }
}

/// A cell of a table.
pub(crate) fn cell(text: &str) -> Markup {
    html! { td { (text) } }
}

/// A cell with something smaller behind what it says.
pub(crate) fn cell_with(text: &str, small: &str) -> Markup {
    html! { td { (text) @if !small.is_empty() { " " small { (small) } } } }
}

/// A plot of [`plots`](super::plots), with a line below it.
pub(crate) fn plot(svg: &str, caption: &str) -> Markup {
    html! { div { (PreEscaped(svg)) p.note { (caption) } } }
}

/// A picture with a line below it; `png` is a file's bytes.
pub(crate) fn picture(png: &[u8], caption: &str) -> Markup {
    let data = base64::engine::general_purpose::STANDARD.encode(png);
    html! { figure { img src=(format!("data:image/png;base64,{data}")) alt=(caption); figcaption { (caption) } } }
}
