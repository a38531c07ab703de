//! `difftumor analyze`.
mod organs;
mod radiomics;
mod realism;
mod sets;
mod similarity;

use clap::Subcommand;
use indicatif::MultiProgress;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: Analyzed,
}

#[derive(Debug, Subcommand)]
enum Analyzed {
    /// Radiomics features, named and defined as PyRadiomics': of one region, or a table of all tumors of a dataset
    Radiomics(radiomics::Arguments),
    /// Can classifiers tell groups of tumors (organs, sources) apart by their radiomics? Tables and maps as the paper's Fig. 2
    Similarity(similarity::Arguments),
    /// Can networks (ResNet, DenseNet) tell the organ from the tumor alone? Precision and recall, and deep features
    Organs(organs::Arguments),
    /// Are synthetic tumors as a set like real ones? Distances, classifiers, what gives them away, copies
    Sets(sets::Arguments),
    /// How tumors look against the tissue around them: HU, contrast, texture and edge of each, and the ranges of all
    Realism(realism::Arguments),
}

pub fn run(a: &Arguments, bars: &MultiProgress) -> anyhow::Result<ExitCode> {
    match &a.what {
        Analyzed::Radiomics(a) => radiomics::run(a, bars),
        Analyzed::Similarity(a) => similarity::run(a),
        Analyzed::Organs(a) => organs::run(a, bars),
        Analyzed::Sets(a) => sets::run(a),
        Analyzed::Realism(a) => realism::run(a, bars),
    }
}
