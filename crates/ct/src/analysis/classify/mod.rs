//! The paper's three classifiers: support vector machine, random forest, AdaBoost.
//!
//! The forest's trees are those of the crate smartcore. Its support vector machine is not used: it panics when there are more
//! features than tumors, and each step looks through all pairs of support vectors (n³ in all). It has no
//! AdaBoost; that of linfa-ensemble stands on trees that add up classes in the order of a hash map, other in every run.
//!
//! Features should be z-scores ([`super::standardise`]); the support vector machine needs it.
mod boost;
mod forest;
mod svm;
mod tree;

pub use boost::AdaBoostOptions;
pub use forest::ForestOptions;
pub use svm::{Gamma, SvmOptions};

use super::table::argument;
use crate::error::Result;
use ndarray::{Array2, ArrayView2};

/// A classifier to be fitted.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Classifier {
    /// Support vector machine.
    Svm(SvmOptions),
    /// Random forest.
    RandomForest(ForestOptions),
    /// AdaBoost.
    AdaBoost(AdaBoostOptions),
}

/// A fitted classifier.
#[derive(Debug)]
pub struct Model(Kind);

#[derive(Debug)]
enum Kind {
    Svm(svm::Machines),
    Forest(forest::Forest),
    AdaBoost(boost::Boosted),
}

impl Classifier {
    /// The paper's three, with default options.
    pub fn all() -> [Self; 3] {
        [
            Self::Svm(SvmOptions::default()),
            Self::RandomForest(ForestOptions::default()),
            Self::AdaBoost(AdaBoostOptions::default()),
        ]
    }

    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Svm(_) => "SVM",
            Self::RandomForest(_) => "random forest",
            Self::AdaBoost(_) => "AdaBoost",
        }
    }

    /// Learns the `classes`, 0 to `number` - 1, of the rows of `features` `[rows, columns]`. The same seed gives the same
    /// model for any number of threads.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] when an option is out of its range, there is one class only, or a class has no row.
    ///
    /// # Panics
    /// When a row has no class, or one that is not below `number`.
    pub fn fit(
        &self,
        features: ArrayView2<'_, f64>,
        classes: &[usize],
        number: usize,
        seed: u64,
    ) -> Result<Model> {
        assert_eq!(features.nrows(), classes.len(), "rows and classes");
        assert!(classes.iter().all(|c| *c < number), "classes {classes:?}: expected below {number}");
        let missing = (0..number).find(|class| !classes.contains(class));
        if number < 2 || missing.is_some() || features.ncols() == 0 {
            let found = missing.map_or(format!("{number} with {} features", features.ncols()), |class| {
                format!("class {class} of {number} without a row")
            });
            return Err(argument("classes to learn", "at least two, each with rows, and features", found));
        }
        let kind = match self {
            Self::Svm(options) => Kind::Svm(svm::Machines::fit(features, classes, number, options)?),
            Self::RandomForest(options) => {
                Kind::Forest(forest::Forest::fit(features, classes, number, options, seed)?)
            }
            Self::AdaBoost(options) => {
                Kind::AdaBoost(boost::Boosted::fit(features, classes, number, options)?)
            }
        };
        Ok(Model(kind))
    }
}

impl Model {
    /// How much each row looks like each class, `[rows, classes]`; comparable between rows, and larger is more.
    ///
    /// Support vector machine: machines won, and by how much. Forest: share of trees. AdaBoost: share of votes.
    ///
    /// # Panics
    /// When there are not as many columns as there were to fit.
    pub fn scores(&self, features: ArrayView2<'_, f64>) -> Array2<f64> {
        match &self.0 {
            Kind::Svm(machines) => machines.scores(features),
            Kind::Forest(forest) => forest.scores(features),
            Kind::AdaBoost(boosted) => boosted.scores(features),
        }
    }

    /// The class with the highest score for each row; the first of several.
    ///
    /// # Panics
    /// As [`Model::scores`].
    pub fn predict(&self, features: ArrayView2<'_, f64>) -> Vec<usize> {
        let best = |row: ndarray::ArrayView1<'_, f64>| {
            row.iter().enumerate().fold(0, |best, (c, score)| if *score > row[best] { c } else { best })
        };
        self.scores(features).rows().into_iter().map(best).collect()
    }
}

#[cfg(test)]
mod tests;
