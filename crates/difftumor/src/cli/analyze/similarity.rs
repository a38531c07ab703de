//! `difftumor analyze similarity`.
use crate::cli::print;
use difftumor::analyze::similarity::{self, Study};
use difftumor_ct::analysis::similarity::{Experiment, SimilarityOptions};
use difftumor_ct::analysis::table::FeatureTable;
use difftumor_ct::analysis::tsne::TsneOptions;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Tables of `analyze radiomics` (id, group, patient, stage, features), one or more with the same features
    #[arg(value_name = "CSV", required = true)]
    tables: Vec<PathBuf>,
    /// Output folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace a study that is in the output folder
    #[arg(long)]
    force: bool,
    /// Random splits into training and test
    #[arg(long, value_name = "N", default_value_t = SimilarityOptions::default().repeats)]
    repeats: usize,
    /// Share of the patients that are tested on
    #[arg(long, value_name = "SHARE", default_value_t = SimilarityOptions::default().test_share)]
    test_share: f64,
    /// About how many neighbours a tumor has on the map
    #[arg(long, value_name = "N", default_value_t = TsneOptions::default().perplexity)]
    perplexity: f64,
    /// Splits, classifiers and map follow from it
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub fn run(a: &Arguments) -> anyhow::Result<ExitCode> {
    let tables = a.tables.iter().map(FeatureTable::read_csv).collect::<Result<Vec<_>, _>>()?;
    let table = FeatureTable::joined(&tables)?;
    let options = SimilarityOptions {
        repeats: a.repeats,
        test_share: a.test_share,
        seed: a.seed,
        ..SimilarityOptions::default()
    };
    let map = TsneOptions { perplexity: a.perplexity, seed: a.seed, ..TsneOptions::default() };
    let study = similarity::run(&table, &options, map, &a.out, a.force)?;
    print(&lines(&study))?;
    Ok(ExitCode::SUCCESS)
}

fn lines(study: &Study) -> String {
    let all = &study.similarity.all;
    let groups: Vec<String> = all.groups.iter().map(|g| format!("{} {}", g.tumors, g.name)).collect();
    let mut text = format!(
        "{}; chance {:.2}\n{:<14} {:>9} {:>9}   means over {} splits\n",
        groups.join(", "),
        all.chance.macro_score,
        "test",
        "precision",
        "recall",
        study.similarity.options.repeats
    );
    text += &rows(all);
    text
}

fn rows(experiment: &Experiment) -> String {
    let row = |c: &difftumor_ct::analysis::similarity::Outcomes| {
        format!("{:<14} {:>9.2} {:>9.2}\n", c.name, c.test.precision.mean, c.test.recall.mean)
    };
    experiment.classifiers.iter().map(row).collect()
}
