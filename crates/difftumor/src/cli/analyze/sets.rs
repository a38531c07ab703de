//! `difftumor analyze sets`.
use crate::cli::print;
use difftumor::analyze::sets;
use difftumor_ct::analysis::table::FeatureTable;
use difftumor_ct::analysis::two_sets::{TwoSets, TwoSetsOptions};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Table of real tumors, of `analyze radiomics`; for the question of copies, those that the model was trained on
    #[arg(long, value_name = "CSV", required = true, num_args = 1..)]
    real: Vec<PathBuf>,
    /// Table of synthetic tumors with the same features
    #[arg(long, value_name = "CSV", required = true, num_args = 1..)]
    synthetic: Vec<PathBuf>,
    /// Output folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace what is in the output folder
    #[arg(long)]
    force: bool,
    /// Parts that the patients are divided into; each is tested on in turn
    #[arg(long, value_name = "N", default_value_t = TwoSetsOptions::default().folds)]
    folds: usize,
    /// Folds, samples and classifiers follow from it
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub fn run(a: &Arguments) -> anyhow::Result<ExitCode> {
    let read = |paths: &[PathBuf]| -> anyhow::Result<FeatureTable> {
        let tables = paths.iter().map(FeatureTable::read_csv).collect::<Result<Vec<_>, _>>()?;
        Ok(FeatureTable::joined(&tables)?)
    };
    let options = TwoSetsOptions { folds: a.folds, seed: a.seed, ..TwoSetsOptions::default() };
    let found = sets::run(&read(&a.real)?, &read(&a.synthetic)?, &options, &a.out, a.force)?;
    print(&lines(&found))?;
    Ok(ExitCode::SUCCESS)
}

/// Groups of features, and features of each, that are named.
const NAMED: usize = 3;

fn lines(found: &TwoSets) -> String {
    let mut text = format!(
        "{} real and {} synthetic tumors; told apart with 95 % limits (0.5 is guessing)\n",
        found.real_tumors, found.synthetic_tumors
    );
    for d in &found.discriminators {
        let [low, high] = [d.auc_interval.low, d.auc_interval.high];
        text += &format!("{:<14} AUC {:.2} ({low:.2} to {high:.2}), p {:.3}\n", d.name, d.auc, d.p_value);
    }
    for g in found.giveaways.groups.iter().filter(|g| g.importance.mean > 0.0).take(NAMED) {
        let more = g.features.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} that say the same") } else { String::new() };
        let named = g.features[..g.features.len().min(NAMED)].join(", ");
        text += &format!("given away by  {named}{more} (AUC {:+.3})\n", -g.importance.mean);
    }
    text + &format!("suspiciously near to a real one: {}\n", found.nearest.suspicious.len())
}
