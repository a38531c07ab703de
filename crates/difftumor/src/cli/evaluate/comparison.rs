//! `difftumor evaluate comparison`.
use crate::cli::{bad, print};
use difftumor::evaluate::comparison::{self, Comparison, Named};
use difftumor_ct::metrics::bootstrap::Bootstrap;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Methods, each with the output folder of `evaluate segmentation`; those of one name are folds of one method. All others are
    /// tested against the first
    #[arg(value_name = "NAME=FOLDER", num_args = 2.., required = true)]
    methods: Vec<String>,
    /// Output folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace the figures that are in the output folder
    #[arg(long)]
    force: bool,
    /// Samples of patients from which limits are taken
    #[arg(long, value_name = "N", default_value_t = Bootstrap::default().samples as u32, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    bootstrap: u32,
    /// The samples follow from it
    #[arg(long, default_value_t = Bootstrap::default().seed)]
    seed: u64,
}

pub fn run(a: &Arguments) -> anyhow::Result<ExitCode> {
    let methods =
        a.methods.iter().map(|text| text.parse::<Named>().map_err(bad)).collect::<Result<Vec<_>, _>>()?;
    let bootstrap = Bootstrap { samples: a.bootstrap as usize, seed: a.seed };
    let comparison = comparison::run(&methods, &a.out, a.force, bootstrap)?;
    for left_out in &comparison.left_out {
        eprintln!("left out: {}: no figures of {}", left_out.case, left_out.without.join(", "));
    }
    print(&table(&comparison))?;
    Ok(ExitCode::SUCCESS)
}

fn table(comparison: &Comparison) -> String {
    let width = comparison.methods.iter().map(|m| m.name.len()).max().unwrap_or(0).max("method".len());
    let mut text = format!(
        "{} cases; difference to {} with 95 % limits\n{:<width$}  tumor DSC  found        DSC difference          p      found difference        p\n",
        comparison.cases.len(),
        comparison.methods[0].name,
        "method"
    );
    for method in &comparison.methods {
        let s = &method.summary;
        let dsc = s.tumor.dsc.mean.map_or("-".into(), |v| format!("{v:.3}"));
        let found = format!("{} of {}", s.found.all.part, s.found.all.whole);
        text += &format!("{:<width$}  {dsc:<9}  {found:<11}", method.name);
        if let Some(pair) = comparison.pairs.iter().find(|pair| pair.other == method.name) {
            let (dsc, found) = (&pair.means["tumor_dsc"], &pair.shares["found"]);
            let p = dsc.signed_ranks.map(|ranks| ranks.p_value);
            text += &difference(dsc.difference, dsc.interval.map(|i| [i.low, i.high]), p);
            text +=
                &difference(found.difference, found.interval.map(|i| [i.low, i.high]), Some(found.p_value));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn difference(difference: Option<f64>, limits: Option<[f64; 2]>, p: Option<f64>) -> String {
    let value = difference.map_or("-".into(), |v| format!("{v:+.3}"));
    let limits = limits.map_or(String::new(), |[low, high]| format!(" ({low:+.3} to {high:+.3})"));
    let p = p.map_or("-".into(), |p| format!("{p:.3}"));
    format!("  {:<22}  {p:<5}", value + &limits)
}
