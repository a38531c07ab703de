//! Do two sets of tumors, real and synthetic, differ? By how much, in what, and is one copied from the other?
//!
//! | what | says |
//! |---|---|
//! | [`Frechet`] | how far apart they lie, against halves of the real ones |
//! | [`Mmd`] | whether chance alone could have made the difference |
//! | [`Discriminator`] | how well a classifier tells them apart |
//! | [`Giveaway`] | by which features it does |
//! | [`Effect`] | each feature on its own |
//! | [`Nearest`] | whether synthetic tumors are copies of real ones |
//!
//! Features are in standard deviations of the real tumors. Those that are constant over the real ones are left out, except
//! from [`Effect`]: there a synthetic tumor that differs is seen.
mod correlated;
mod effects;
mod frechet;
mod giveaway;
mod mann_whitney;
mod mmd;
mod nearest;
mod pair;
mod told_apart;

pub use effects::Effect;
pub use frechet::{Frechet, Halves, frechet_distance};
pub use giveaway::{Giveaway, Giveaways};
pub use mann_whitney::MannWhitney;
pub use mmd::Mmd;
pub use nearest::{NearPair, Nearest};
pub use told_apart::Discriminator;

use super::classify::{Classifier, ForestOptions, SvmOptions};
use super::table::{FeatureTable, argument};
use crate::error::Result;
use pair::Pair;
use serde::{Deserialize, Serialize};

/// How sets are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TwoSetsOptions {
    /// Samples of patients for every confidence interval.
    pub bootstrap_samples: usize,
    /// How often the real tumors are halved for [`Frechet`].
    pub halvings: usize,
    /// Random changes of sides for every p value.
    pub permutations: usize,
    /// Parts of the patients that are tested on in turn.
    pub folds: usize,
    /// What is to tell the sets apart. The first one's features are looked at in [`Giveaways`].
    pub classifiers: Vec<Classifier>,
    /// How often each group of features is shuffled for [`Giveaways`].
    pub importance_repeats: usize,
    /// Synthetic tumors are named when they are nearer to a real one than all but this share of the real ones are to each other.
    pub suspicious_share: f64,
    /// All draws follow from it.
    pub seed: u64,
}

impl Default for TwoSetsOptions {
    fn default() -> Self {
        Self {
            bootstrap_samples: 200,
            halvings: 20,
            permutations: 999,
            folds: 5,
            classifiers: vec![
                Classifier::RandomForest(ForestOptions::default()),
                Classifier::Svm(SvmOptions::default()),
            ],
            importance_repeats: 5,
            suspicious_share: 0.01,
            seed: 0,
        }
    }
}

/// Everything that was compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TwoSets {
    /// How it was done.
    pub options: TwoSetsOptions,
    /// Number of real tumors.
    pub real_tumors: usize,
    /// Number of synthetic tumors.
    pub synthetic_tumors: usize,
    /// Number of features that were compared.
    pub features: usize,
    /// Features that are constant over the real tumors, and were left out.
    pub constant: Vec<String>,
    /// How far apart the sets lie.
    pub frechet: Frechet,
    /// Whether chance could have made the difference.
    pub mmd: Mmd,
    /// One for each classifier of the options.
    pub discriminators: Vec<Discriminator>,
    /// What gives the synthetic tumors away.
    pub giveaways: Giveaways,
    /// One for each feature, the largest first.
    pub effects: Vec<Effect>,
    /// Whether synthetic tumors are copies.
    pub nearest: Nearest,
}

impl TwoSets {
    /// Compares `synthetic` tumors with the `real` ones: for [`Nearest`], those that the synthesis was trained on. Columns
    /// may be in another order. Groups do not matter.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] when columns differ, a set has fewer patients than there are folds or fewer than 4 tumors, all
    /// features are constant over the real tumors, all real tumors are of one patient, or an option is out of its range.
    pub fn of(real: &FeatureTable, synthetic: &FeatureTable, options: &TwoSetsOptions) -> Result<Self> {
        check(options)?;
        let pair = Pair::of(real, synthetic)?;
        let (discriminators, giveaways) = told_apart::discriminate(&pair, options)?;
        Ok(Self {
            real_tumors: pair.real.tumors().len(),
            synthetic_tumors: pair.synthetic.tumors().len(),
            features: pair.names.len(),
            constant: pair.constant.clone(),
            frechet: Frechet::of(&pair, options)?,
            mmd: Mmd::of(&pair, options)?,
            discriminators,
            giveaways,
            effects: effects::effects(&pair),
            nearest: Nearest::of(&pair, options)?,
            options: options.clone(),
        })
    }
}

fn check(options: &TwoSetsOptions) -> Result<()> {
    let numbers = [
        ("bootstrap samples", options.bootstrap_samples, 20),
        ("halvings", options.halvings, 1),
        ("permutations", options.permutations, 19),
        ("folds", options.folds, 2),
        ("classifiers", options.classifiers.len(), 1),
        ("repeats of importance", options.importance_repeats, 1),
    ];
    for (what, found, least) in numbers {
        if found < least {
            return Err(argument(what, format!("at least {least}"), found.to_string()));
        }
    }
    if !(0.0..1.0).contains(&options.suspicious_share) {
        return Err(argument("suspicious share", "0 to 1", options.suspicious_share.to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
