//! Random forest: trees that each see a bootstrap sample of every class, and at each node some of the columns.
use crate::analysis::linear::dense;
use crate::analysis::table::argument;
use crate::draws::{Draws, Stream};
use crate::error::Result;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use smartcore::ensemble::random_forest_classifier::{
    RandomForestClassifier, RandomForestClassifierParameters,
};
use smartcore::linalg::basic::matrix::DenseMatrix;

/// Options of a random forest. Defaults: 100 trees that grow until leaves are pure, √columns at each node (Breiman 2001, and
/// scikit-learn).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ForestOptions {
    /// Number of trees.
    pub trees: usize,
    /// Splits one after the other at most; as many as it takes when `None`.
    pub depth: Option<u16>,
}

impl Default for ForestOptions {
    fn default() -> Self {
        Self { trees: 100, depth: None }
    }
}

type Tree = RandomForestClassifier<f64, u32, DenseMatrix<f64>, Vec<u32>>;

/// Forests of one tree each: smartcore's larger ones tell which class has most trees, not how many; and theirs do not grow in
/// parallel.
#[derive(Debug)]
pub(super) struct Forest {
    number: usize,
    trees: Vec<Tree>,
}

impl Forest {
    pub fn fit(
        features: ArrayView2<'_, f64>,
        classes: &[usize],
        number: usize,
        options: &ForestOptions,
        seed: u64,
    ) -> Result<Self> {
        if options.trees == 0 || options.depth == Some(0) {
            let expected = "at least one tree, and a depth of at least 1";
            return Err(argument("options of the random forest", expected, format!("{options:?}")));
        }
        let features = dense(features);
        let classes: Vec<u32> = classes.iter().map(|c| *c as u32).collect();
        let mut draws = Stream::new(seed, 0, "analysis/forest", 0);
        let seeds: Vec<u64> =
            (0..options.trees).map(|_| draws.integer(0, i64::from(u32::MAX)) as u64).collect();
        let grow = |seed: u64| {
            let mut parameters = RandomForestClassifierParameters::default().with_n_trees(1).with_seed(seed);
            parameters.max_depth = options.depth;
            Tree::fit(&features, &classes, parameters)
        };
        let trees: Result<Vec<Tree>, _> = seeds.into_par_iter().map(grow).collect();
        // What it refuses, `Classifier::fit` has refused before.
        Ok(Self { number, trees: trees.expect("rows, columns and two classes") })
    }

    /// Share of the trees for each class.
    pub fn scores(&self, features: ArrayView2<'_, f64>) -> Array2<f64> {
        let rows = dense(features);
        let told = |tree: &Tree| tree.predict(&rows).expect("a fitted tree");
        let mut scores = Array2::zeros((features.nrows(), self.number));
        // Whole numbers up to the end: their sum is the same in any order.
        for tree in &self.trees {
            told(tree).into_iter().enumerate().for_each(|(row, class)| scores[[row, class as usize]] += 1.0);
        }
        scores / self.trees.len() as f64
    }
}
