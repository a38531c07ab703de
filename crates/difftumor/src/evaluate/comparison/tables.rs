//! The tables of a comparison. What is not there is empty.
use super::pairs::Pair;
use super::{Comparison, METHODS, TESTS};
use crate::error::{Error, Result};
use crate::evaluate::segmentation::{Mean, Share, Summary};
use difftumor_ct::metrics::interval::Interval;
use std::path::Path;

/// Columns of a method after its name and fold.
const FIGURES: [&str; 10] = [
    "cases",
    "tumor_dsc",
    "tumor_dsc_deviation",
    "tumor_nsd",
    "organ_dsc",
    "organ_nsd",
    "lesions",
    "found",
    "found_up_to_20_mm",
    "false_positives_per_scan",
];

pub(super) fn write(folder: &Path, comparison: &Comparison) -> Result<()> {
    let header = ["method", "fold"].into_iter().chain(FIGURES).map(String::from).collect();
    let mut lines = vec![header];
    for method in &comparison.methods {
        let line = |fold: String, s: &Summary| [vec![method.name.clone(), fold], figures(s)].concat();
        lines.extend(method.folds.iter().enumerate().map(|(fold, s)| line(fold.to_string(), s)));
        lines.push(line("all".into(), &method.summary));
    }
    save(&folder.join(METHODS), &lines)?;
    let header = ["first", "other", "figure", "units", "difference", "low", "high", "test", "p_value"];
    let mut lines = vec![header.map(String::from).to_vec()];
    lines.extend(comparison.pairs.iter().flat_map(pair));
    save(&folder.join(TESTS), &lines)
}

fn figures(s: &Summary) -> Vec<String> {
    let mean = |m: &Mean| optional(m.mean);
    let part = |s: &Share| optional(s.share);
    vec![
        s.cases.to_string(),
        mean(&s.tumor.dsc),
        optional(s.tumor.dsc.deviation),
        mean(&s.tumor.nsd),
        mean(&s.organ.dsc),
        mean(&s.organ.nsd),
        s.found.all.whole.to_string(),
        part(&s.found.all),
        optional(s.found.by_stage.values().next().and_then(|of| of.share)),
        mean(&s.false_positives_per_scan),
    ]
}

fn pair(pair: &Pair) -> Vec<Vec<String>> {
    let line = |figure: &str, units: usize, difference, limits: Option<Interval>, test: &str, p| {
        let texts = [&pair.first, &pair.other, figure].map(String::from);
        let numbers =
            [optional(difference), optional(limits.map(|i| i.low)), optional(limits.map(|i| i.high))];
        let mut line = texts.to_vec();
        line.push(units.to_string());
        line.extend(numbers);
        line.extend([test.to_string(), optional(p)]);
        line
    };
    let means = pair.means.iter().map(|(name, m)| {
        let p = m.signed_ranks.map(|ranks| ranks.p_value);
        line(name, m.patients, m.difference, m.interval, "wilcoxon", p)
    });
    let shares = pair
        .shares
        .iter()
        .map(|(name, s)| line(name, s.whole, s.difference, s.interval, "mcnemar", Some(s.p_value)));
    means.chain(shares).collect()
}

fn optional(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn save(path: &Path, lines: &[Vec<String>]) -> Result<()> {
    let mut writer =
        csv::Writer::from_path(path).map_err(|e| Error::io(path, "write")(std::io::Error::other(e)))?;
    for line in lines {
        writer.write_record(line).map_err(|e| Error::io(path, "write")(std::io::Error::other(e)))?;
    }
    writer.flush().map_err(Error::io(path, "write"))
}
