//! Which features give synthetic tumors away: permutation importance (Breiman 2001) on tumors that the model has not seen.
//!
//! Features that say the same are shuffled together: shuffled one by one, each would seem to matter little, as the others are
//! still there.
use super::TwoSetsOptions;
use super::correlated::groups;
use super::pair::Pair;
use super::told_apart::{Fold, Question, area};
use crate::analysis::scores::MeanSd;
use crate::analysis::split::shuffle;
use crate::draws::Stream;
use ndarray::Axis;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// What a classifier goes by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Giveaways {
    /// Name of the classifier.
    pub classifier: String,
    /// Groups of features, the most important first.
    pub groups: Vec<Giveaway>,
}

/// A feature, or several that say the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Giveaway {
    /// Names; joined by chains of Spearman's |rho| > 0.9 over both sets.
    pub features: Vec<String>,
    /// By how much the area under the ROC curve falls when they are shuffled between tumors of a fold; over repeats. Around 0, so
    /// below it too, when they do not matter.
    pub importance: MeanSd,
}

impl Giveaways {
    pub(super) fn of(pair: &Pair, question: &Question, folds: &[Fold], options: &TwoSetsOptions) -> Self {
        let groups = groups(question.values.view());
        let whole =
            area(folds.iter().map(|f| f.concordance(&f.looks(&f.rows)))).expect("both sets in every fold");
        let repeats = options.importance_repeats;
        let falls: Vec<f64> = (0..groups.len() * repeats)
            .into_par_iter()
            .map(|job| {
                let shuffled = folds.iter().enumerate().map(|(number, fold)| {
                    // The same order for all groups: they are then compared on the same footing.
                    let part = (job % repeats * folds.len() + number) as u64;
                    let mut order: Vec<usize> = (0..fold.rows.nrows()).collect();
                    shuffle(&mut order, &mut Stream::new(options.seed, 0, "analysis/giveaway", part));
                    let mut rows = fold.rows.clone();
                    for column in &groups[job / repeats] {
                        let moved = fold.rows.column(*column).select(Axis(0), &order);
                        rows.column_mut(*column).assign(&moved);
                    }
                    fold.concordance(&fold.looks(&rows))
                });
                whole - area(shuffled).expect("both sets in every fold")
            })
            .collect();
        let of = |(group, falls): (&Vec<usize>, &[f64])| Giveaway {
            features: group.iter().map(|c| pair.names[*c].clone()).collect(),
            importance: MeanSd::of(falls),
        };
        let mut groups: Vec<Giveaway> = groups.iter().zip(falls.chunks(repeats)).map(of).collect();
        groups.sort_by(|a, b| {
            b.importance.mean.total_cmp(&a.importance.mean).then_with(|| a.features.cmp(&b.features))
        });
        Self { classifier: options.classifiers[0].name().into(), groups }
    }
}
