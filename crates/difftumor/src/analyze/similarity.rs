//! Do tumors of different organs look alike? The paper's study on features (section 2 (2), Fig. 2), as files and a page.
//!
//! ```text
//! OUT/
//!   similarity.json   everything below as numbers
//!   map.csv           each tumor's place on the t-SNE map and on the principal components
//!   map.svg           the t-SNE map
//!   report.html       tables and plots as the paper's Fig. 2
//! ```
use crate::batch::write_json;
use crate::error::{Error, Result};
use crate::report::output::Output;
use crate::report::page::{self, REPORT, cell, cell_with};
use crate::report::plots::{self, Bar, Cloud, Series};
use difftumor_ct::analysis::pca::Principal;
use difftumor_ct::analysis::scores::MeanSd;
use difftumor_ct::analysis::similarity::{Experiment, Outcome, Similarity, SimilarityOptions, Summary};
use difftumor_ct::analysis::table::FeatureTable;
use difftumor_ct::analysis::tsne::{Tsne, TsneOptions};
use difftumor_ct::io::write_atomically;
use difftumor_ct::metrics::interval::Interval;
use maud::{Markup, html};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

const RESULT: &str = "similarity.json";
const MAP: &str = "map.csv";
const PLOT: &str = "map.svg";
const FILES: [&str; 4] = [RESULT, MAP, PLOT, REPORT];

/// What `similarity.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Study {
    /// Classifiers.
    pub similarity: Similarity,
    /// How the map was made.
    pub tsne_options: TsneOptions,
    /// The map.
    pub tsne: Tsne,
    /// The cheap map.
    pub principal: Principal,
}

/// Makes the study of a table and writes it. The output folder appears whole.
///
/// # Errors
/// When the table has fewer than two groups, a group has fewer than two patients, there are too few or too many tumors, or the
/// output cannot be written.
pub fn run(
    table: &FeatureTable,
    options: &SimilarityOptions,
    tsne_options: TsneOptions,
    out: &Path,
    replace: bool,
) -> Result<Study> {
    let output = Output::start(out, &FILES, replace)?;
    let study = Study {
        similarity: Similarity::of(table, options)?,
        tsne: Tsne::of(table, &tsne_options)?,
        principal: Principal::of(table)?,
        tsne_options,
    };
    let folder = output.folder();
    write_json(&folder.join(RESULT), &study)?;
    write_map(&folder.join(MAP), table, &study)?;
    let map = plots::scatter(&clouds(table, &study.tsne.points));
    write_atomically(&folder.join(PLOT), |file| file.write_all(map.as_bytes()))?;
    page::write(folder, &report(table, &study, &map))?;
    output.finish()?;
    Ok(study)
}

fn write_map(path: &Path, table: &FeatureTable, study: &Study) -> Result<()> {
    let mut writer = csv::Writer::from_writer(vec![]);
    let failed = |e: csv::Error| Error::io(path, "write")(std::io::Error::other(e));
    writer.write_record(["id", "group", "tsne_1", "tsne_2", "component_1", "component_2"]).map_err(failed)?;
    for (i, tumor) in table.tumors().iter().enumerate() {
        let places = [study.tsne.points[i], study.principal.points[i]].concat();
        let texts = [tumor.id.clone(), tumor.group.clone()].into_iter();
        writer.write_record(texts.chain(places.iter().map(|v| format!("{v:.4}")))).map_err(failed)?;
    }
    let bytes = writer.into_inner().expect("writing to memory does not fail");
    Ok(write_atomically(path, |file| file.write_all(&bytes))?)
}

/// Points of each group.
pub(super) fn clouds(table: &FeatureTable, points: &[[f64; 2]]) -> Vec<Cloud> {
    let of = |name: String| {
        let mine = table.tumors().iter().zip(points).filter(|(tumor, _)| tumor.group == name);
        Cloud { points: mine.map(|(_, point)| *point).collect(), name }
    };
    table.groups().into_iter().map(of).collect()
}

fn report(table: &FeatureTable, study: &Study, map: &str) -> String {
    let stages = study.similarity.stages.iter().map(|stage| match &stage.outcome {
        Outcome::Made(experiment) => {
            html! { h2 { "Tumors " (stage.stage.replace('_', " ")) } (tables(experiment)) }
        }
        Outcome::Impossible(reason) => {
            html! { h2 { "Tumors " (stage.stage.replace('_', " ")) } p.note { "Not made: " (reason) } }
        }
    });
    let components = plots::scatter(&clouds(table, &study.principal.points));
    let [first, second] = study.principal.explained.map(|share| 100.0 * share);
    let body = html! {
        p { (table.tumors().len()) " tumors, " (table.columns().len()) " features. Precision and recall are means over the groups, then over "
            (study.similarity.options.repeats) " random splits; tumors of one patient are on one side of a split. Near chance in the test means that the groups look alike
            to a classifier; well above it that they do not." }
        h2 { "All tumors (as Fig. 2a)" }
        (tables(&study.similarity.all))
        @for stage in stages { (stage) }
        h2 { "Maps (as Fig. 2b)" }
        (page::plot(map, &format!("t-SNE of the z-scores of all features, perplexity {:.0}", study.tsne.perplexity)))
        (page::plot(&components, &format!("principal components: {first:.0} % and {second:.0} % of the variance")))
    };
    page::page("Do these tumors look alike?", &body)
}

pub(super) fn tables(experiment: &Experiment) -> Markup {
    let score = |s: MeanSd| cell_with(&format!("{:.2}", s.mean), &format!("± {:.2}", s.sd));
    let row = |name: &str, part: &str, s: &Summary| {
        vec![cell(name), cell(part), score(s.precision), score(s.recall), score(s.accuracy)]
    };
    let rows: Vec<Vec<Markup>> = (experiment.classifiers.iter())
        .flat_map(|c| [row(&c.name, "training", &c.train), row(&c.name, "test", &c.test)])
        .collect();
    let groups: Vec<String> = experiment
        .groups
        .iter()
        .map(|g| format!("{}: {} tumors of {} patients", g.name, g.tumors, g.patients))
        .collect();
    let names: Vec<String> = experiment.classifiers.iter().map(|c| c.name.clone()).collect();
    let bar = |s: MeanSd| Bar {
        value: Some(s.mean),
        limits: Some(Interval { low: s.mean - s.sd, high: (s.mean + s.sd).min(1.0) }),
    };
    let series = |name: &str, of: fn(&(Summary, Summary)) -> MeanSd| Series {
        name: name.into(),
        bars: experiment.classifiers.iter().map(|c| bar(of(&(c.train, c.test)))).collect(),
    };
    let bars = plots::bars(
        "precision and recall",
        &names,
        &[
            series("precision, training", |s| s.0.precision),
            series("recall, training", |s| s.0.recall),
            series("precision, test", |s| s.1.precision),
            series("recall, test", |s| s.1.recall),
        ],
    );
    let chance = format!("chance: {:.2}", experiment.chance.macro_score);
    html! {
        p { (groups.join("; ")) }
        (page::table(&chance, &["classifier", "", "precision", "recall", "accuracy"], &rows))
        (page::plot(&bars, "means; lines reach one standard deviation over the splits"))
        @for classifier in &experiment.classifiers { (confusion(experiment, &classifier.name, &classifier.confusion.counts)) }
    }
}

fn confusion(experiment: &Experiment, name: &str, counts: &[Vec<usize>]) -> Markup {
    let groups: Vec<&str> = experiment.groups.iter().map(|g| g.name.as_str()).collect();
    let header: Vec<&str> = std::iter::once("is, and is taken for").chain(groups.iter().copied()).collect();
    let rows: Vec<Vec<Markup>> = groups
        .iter()
        .zip(counts)
        .map(|(group, row)| {
            std::iter::once(cell(group)).chain(row.iter().map(|n| cell(&n.to_string()))).collect()
        })
        .collect();
    page::table(&format!("{name}, tests of all splits together"), &header, &rows)
}
