//! Are synthetic tumors as a set like real ones, and what gives them away? Tables of radiomics against each other, as files and a page.
//!
//! ```text
//! OUT/
//!   sets.json     everything below as numbers
//!   effects.csv   one feature a line: medians, effect, p
//!   report.html   the same as a page
//! ```
//!
//! Paper: none; its section 2 (1) asks radiologists.
use crate::batch::write_json;
use crate::error::{Error, Result};
use crate::report::output::Output;
use crate::report::page::{self, REPORT, cell, cell_with};
use crate::report::plots::{self, Cloud};
use difftumor_ct::analysis::pca::Principal;
use difftumor_ct::analysis::table::{FeatureTable, Tumor};
use difftumor_ct::analysis::two_sets::{Discriminator, Effect, Frechet, Nearest, TwoSets, TwoSetsOptions};
use difftumor_ct::io::write_atomically;
use difftumor_ct::metrics::interval::Interval;
use maud::{Markup, html};
use std::io::Write;
use std::path::Path;

const RESULT: &str = "sets.json";
const EFFECTS: &str = "effects.csv";
const FILES: [&str; 3] = [RESULT, EFFECTS, REPORT];
/// Features of each kind on the page.
const SHOWN: usize = 15;

/// Compares two tables and writes what came out. The output folder appears whole.
///
/// # Errors
/// When the tables have other columns, too few tumors or patients, or the output cannot be written.
pub fn run(
    real: &FeatureTable,
    synthetic: &FeatureTable,
    options: &TwoSetsOptions,
    out: &Path,
    replace: bool,
) -> Result<TwoSets> {
    let output = Output::start(out, &FILES, replace)?;
    let sets = TwoSets::of(real, synthetic, options)?;
    let folder = output.folder();
    write_json(&folder.join(RESULT), &sets)?;
    write_effects(&folder.join(EFFECTS), &sets.effects)?;
    page::write(folder, &report(&sets, &map(real, synthetic)?))?;
    output.finish()?;
    Ok(sets)
}

fn write_effects(path: &Path, effects: &[Effect]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(vec![]);
    for effect in effects {
        writer.serialize(effect).map_err(|e| Error::io(path, "write")(std::io::Error::other(e)))?;
    }
    let bytes = writer.into_inner().expect("writing to memory does not fail");
    Ok(write_atomically(path, |file| file.write_all(&bytes))?)
}

/// Both sets on the principal components of all tumors.
fn map(real: &FeatureTable, synthetic: &FeatureTable) -> Result<String> {
    let in_order = synthetic.with_order(real.columns())?;
    let named = |table: &FeatureTable, name: &str| -> Result<FeatureTable> {
        let tumor = |t: &Tumor| Tumor {
            id: format!("{name} {}", t.id),
            group: name.into(),
            stage: None,
            ..t.clone()
        };
        let values = table.values().rows().into_iter().map(|row| row.to_vec()).collect();
        Ok(FeatureTable::new(table.tumors().iter().map(tumor).collect(), table.columns().to_vec(), values)?)
    };
    let both = FeatureTable::joined(&[named(real, "real")?, named(&in_order, "synthetic")?])?;
    let points = Principal::of(&both)?.points;
    let (first, second) = points.split_at(real.tumors().len());
    let cloud = |name: &str, points: &[[f64; 2]]| Cloud { name: name.into(), points: points.to_vec() };
    Ok(plots::scatter(&[cloud("real", first), cloud("synthetic", second)]))
}

fn report(sets: &TwoSets, map: &str) -> String {
    let body = html! {
        p { (sets.real_tumors) " real and " (sets.synthetic_tumors) " synthetic tumors, " (sets.features) " features. Limits are 95 %,
            by resampling patients." }
        h2 { "Can they be told apart?" }
        (discriminators(&sets.discriminators))
        p.note { "0.5 is guessing: then synthetic tumors cannot be told from real ones by these features. Tumors of a patient are never in training and test at once." }
        h2 { "What gives them away" }
        (giveaways(sets))
        (effects(&sets.effects))
        h2 { "How far apart the sets are" }
        (distances(&sets.frechet, sets))
        (page::plot(map, "principal components of all tumors"))
        h2 { "Are they copies?" }
        (nearest(&sets.nearest))
    };
    page::page("Synthetic tumors against real ones", &body)
}

fn limits(i: &Interval) -> String {
    format!("{:.2} to {:.2}", i.low, i.high)
}

fn discriminators(all: &[Discriminator]) -> Markup {
    let row = |d: &Discriminator| {
        vec![
            cell(&d.name),
            cell_with(&format!("{:.2}", d.accuracy), &limits(&d.accuracy_interval)),
            cell_with(&format!("{:.2}", d.auc), &limits(&d.auc_interval)),
            cell(&probability(d.p_value)),
        ]
    };
    let rows: Vec<Vec<Markup>> = all.iter().map(row).collect();
    let of_each = all.first().map_or(0, |d| d.tumors);
    let caption = format!("classifier two-sample test, cross-validated, {of_each} tumors of each set");
    page::table(&caption, &["classifier", "accuracy", "area under the ROC curve", "p"], &rows)
}

fn giveaways(sets: &TwoSets) -> Markup {
    let row = |g: &difftumor_ct::analysis::two_sets::Giveaway| {
        let more = g.features.len().saturating_sub(3);
        let named = g.features.iter().take(3).map(|n| short(n)).collect::<Vec<_>>().join(", ");
        let named = if more > 0 { format!("{named} and {more} that say the same") } else { named };
        vec![
            html! { td.text { (named) } },
            cell_with(&format!("{:+.3}", g.importance.mean), &format!("± {:.3}", g.importance.sd)),
        ]
    };
    let rows: Vec<Vec<Markup>> = sets.giveaways.groups.iter().take(SHOWN).map(row).collect();
    let caption = format!(
        "by how much the {}'s area under the ROC curve falls when these features are shuffled",
        sets.giveaways.classifier
    );
    page::table(&caption, &["features", "fall"], &rows)
}

fn effects(effects: &[Effect]) -> Markup {
    let number = |v: f64| {
        if v != 0.0 && !(0.01..10_000.0).contains(&v.abs()) { format!("{v:.2e}") } else { format!("{v:.3}") }
    };
    let row = |e: &Effect| {
        vec![
            cell(short(&e.feature)),
            cell(&number(e.real_median)),
            cell(&number(e.synthetic_median)),
            cell(&format!("{:+.2}", e.cliffs_delta)),
            cell(&probability(e.p_corrected)),
        ]
    };
    let rows: Vec<Vec<Markup>> = effects.iter().take(SHOWN).map(row).collect();
    page::table(
        "features one by one, the largest effects (Cliff's delta: -1 all synthetic ones are below, +1 above); p of Mann-Whitney, corrected by Holm",
        &["feature", "real (median)", "synthetic (median)", "delta", "p"],
        &rows,
    )
}

fn distances(f: &Frechet, sets: &TwoSets) -> Markup {
    let halves = &f.halves;
    let shrunk = f.shrinkage.map_or(String::new(), |[a, b]| {
        format!(
            " Fewer tumors than features: covariances were shrunk by {a:.2} and {b:.2} (Ledoit and Wolf)."
        )
    });
    html! {
        p { "Fréchet distance of the standardised features (squared): " (format!("{:.2}", f.distance)) ", without what samples of this size are
            too large by " (limits(&f.interval)) "." (shrunk) }
        p { "Halves of the real tumors lie " (format!("{:.2} ± {:.2}", halves.real_real.mean, halves.real_real.sd)) " apart; a half of the real ones and as
            many synthetic ones " (format!("{:.2} ± {:.2}", halves.real_synthetic.mean, halves.real_synthetic.sd)) " (" (halves.tumors) " tumors each)." }
        p { "Maximum mean discrepancy (squared, without bias): " (format!("{:.4}", sets.mmd.squared)) ", p " (probability(sets.mmd.p_value)) "." }
    }
}

fn nearest(n: &Nearest) -> Markup {
    let ratio = n.ratio.map_or("-".into(), |r| format!("{r:.2}"));
    let row = |p: &difftumor_ct::analysis::two_sets::NearPair| {
        let kind = if p.exact_copy { "exact copy" } else { "" };
        vec![cell(&p.synthetic), cell(&p.real), cell_with(&format!("{:.3}", p.distance), kind)]
    };
    let rows: Vec<Vec<Markup>> = n.suspicious.iter().map(row).collect();
    html! {
        p { "A synthetic tumor's nearest real one is " (format!("{:.2}", n.synthetic_median)) " away (median), a real tumor's nearest of another patient "
            (format!("{:.2}", n.real_median)) ": ratio " (ratio) " (well below 1: copied). " (format!("{:.0}", 100.0 * n.share_near)) " % are nearer than 95 % of the
            real ones (" (limits(&n.share_near_interval)) ")." }
        @if rows.is_empty() { p.note { "None is suspiciously near." } }
        @else { (page::table("suspiciously near", &["synthetic", "real", "distance"], &rows)) }
    }
}

/// `0.012`, or `< 0.001`.
fn probability(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("{p:.3}") }
}

/// `glcm_Contrast` of `original_glcm_Contrast`.
fn short(feature: &str) -> &str {
    feature.strip_prefix("original_").unwrap_or(feature)
}
