//! AdaBoost for any number of classes: SAMME (Zhu, Zou, Rosset & Hastie 2009) over shallow trees.
//!
//! Trees grow one after the other; rows that the last one got wrong weigh more for the next. No randomness is in it.
use super::tree::{Rows, Tree};
use crate::analysis::table::argument;
use crate::error::Result;
use ndarray::{Array2, ArrayView2};

/// Options of AdaBoost. Defaults: 50 trees of one split, as scikit-learn's `AdaBoostClassifier`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AdaBoostOptions {
    /// Number of trees at most.
    pub trees: usize,
    /// Splits one after the other in each.
    pub depth: usize,
    /// What a tree's vote is multiplied by.
    pub rate: f64,
}

impl Default for AdaBoostOptions {
    fn default() -> Self {
        Self { trees: 50, depth: 1, rate: 1.0 }
    }
}

/// Trees with their votes.
#[derive(Debug)]
pub(super) struct Boosted {
    number: usize,
    trees: Vec<(Tree, f64)>,
}

impl Boosted {
    pub fn fit(
        features: ArrayView2<'_, f64>,
        classes: &[usize],
        number: usize,
        options: &AdaBoostOptions,
    ) -> Result<Self> {
        if options.trees == 0 || options.depth == 0 || !(options.rate > 0.0 && options.rate.is_finite()) {
            let expected = "trees, depth and rate above 0";
            return Err(argument("options of AdaBoost", expected, format!("{options:?}")));
        }
        let rows = Rows::new(features, classes, number);
        let mut weights = vec![1.0 / classes.len() as f64; classes.len()];
        let mut trees = vec![];
        while trees.len() < options.trees {
            let tree = Tree::grow(&rows, &weights, options.depth);
            let wrong: Vec<usize> =
                (0..classes.len()).filter(|r| tree.class_of(features.row(*r)) != classes[*r]).collect();
            let error: f64 = wrong.iter().map(|r| weights[*r]).sum();
            if wrong.is_empty() {
                trees.push((tree, 1.0));
                break;
            }
            // No better than a guess: more trees of these weights would be the same.
            if error >= 1.0 - 1.0 / number as f64 {
                trees.extend(trees.is_empty().then_some((tree, 1.0)));
                break;
            }
            let vote = options.rate * (libm::log((1.0 - error) / error) + libm::log((number - 1) as f64));
            wrong.iter().for_each(|r| weights[*r] *= libm::exp(vote));
            let whole: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= whole);
            trees.push((tree, vote));
        }
        Ok(Self { number, trees })
    }

    /// Share of the votes for each class.
    pub fn scores(&self, features: ArrayView2<'_, f64>) -> Array2<f64> {
        let whole: f64 = self.trees.iter().map(|(_, vote)| vote).sum();
        let mut scores = Array2::zeros((features.nrows(), self.number));
        for (row, mut out) in features.rows().into_iter().zip(scores.rows_mut()) {
            self.trees.iter().for_each(|(tree, vote)| out[tree.class_of(row)] += vote / whole);
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{right, rings};
    use super::super::{Classifier, Model};
    use super::*;

    /// AdaBoostClassifier(DecisionTreeClassifier(max_depth=d, random_state=0), n_estimators=t), scikit-learn 1.9.1 on the rings
    /// of `tests.rs`: depth, trees, rows told of 150 and of 300 others.
    const SCIKIT: [(usize, usize, usize, usize); 6] = [
        (1, 1, 65, 126),
        (1, 5, 68, 123),
        (1, 20, 86, 157),
        (1, 50, 96, 177),
        (2, 1, 84, 144),
        (2, 5, 92, 165),
    ];

    #[test]
    fn trees_and_votes_equal_those_of_scikit_learn() {
        let (train, classes) = rings(150, 1);
        let (test, truth) = rings(300, 1000);
        for (depth, trees, told, told_of_others) in SCIKIT {
            let options = AdaBoostOptions { trees, depth, rate: 1.0 };
            let model: Model = Classifier::AdaBoost(options).fit(train.view(), &classes, 3, 0).unwrap();
            let found = (right(&model, &train, &classes), right(&model, &test, &truth));
            assert_eq!(found, (told, told_of_others), "depth {depth}, {trees} trees");
        }
        let boosted = Boosted::fit(train.view(), &classes, 3, &AdaBoostOptions::default()).unwrap();
        // .estimator_weights_[:3]
        let expected = [0.42488319396526647, 0.6273617764678111, 0.7430017407851643];
        assert!(boosted.trees.iter().zip(expected).all(|(t, e)| (t.1 - e).abs() < 1e-12));
    }

    #[test]
    fn it_ends_when_all_are_told_or_nothing_can_be() {
        let of = |values: [f64; 4], classes: [usize; 4]| {
            let features = Array2::from_shape_vec((4, 1), values.to_vec()).unwrap();
            Boosted::fit(features.view(), &classes, 2, &AdaBoostOptions::default()).unwrap().trees.len()
        };
        assert_eq!(of([0.0, 1.0, 2.0, 3.0], [0, 0, 1, 1]), 1);
        // All rows alike, half of either class: the only tree is a guess.
        assert_eq!(of([1.0; 4], [0, 1, 0, 1]), 1);
    }
}
