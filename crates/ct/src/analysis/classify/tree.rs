//! Shallow decision trees of weighted rows, for AdaBoost.
use ndarray::{ArrayView1, ArrayView2};

/// A split has to lower the impurity by more than rounding.
const LEAST_GAIN: f64 = 1e-12;

/// A decision tree: CART with Gini's impurity (Breiman et al. 1984).
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    Leaf {
        class: usize,
    },
    /// Rows with at most `threshold` go on at `children[0]`.
    Split {
        column: usize,
        threshold: f64,
        children: [usize; 2],
    },
}

/// Rows to grow trees from, in the order of each column: all trees of a boosting share it.
pub(super) struct Rows<'a> {
    features: ArrayView2<'a, f64>,
    classes: &'a [usize],
    number: usize,
    /// Rows by rising value, for each column.
    orders: Vec<Vec<usize>>,
}

/// The best split of a node so far.
struct Best {
    gain: f64,
    column: usize,
    threshold: f64,
}

impl<'a> Rows<'a> {
    pub fn new(features: ArrayView2<'a, f64>, classes: &'a [usize], number: usize) -> Self {
        let order = |column: ArrayView1<'_, f64>| {
            let mut order: Vec<usize> = (0..column.len()).collect();
            order.sort_by(|a, b| column[*a].total_cmp(&column[*b]));
            order
        };
        Self { features, classes, number, orders: features.columns().into_iter().map(order).collect() }
    }

    /// Weight of each class among `rows`.
    fn counts(&self, weights: &[f64], rows: &[bool]) -> Vec<f64> {
        let mut counts = vec![0.0; self.number];
        (0..rows.len()).filter(|r| rows[*r]).for_each(|r| counts[self.classes[r]] += weights[r]);
        counts
    }

    /// The split that lowers impurity most; of equal ones that of the first column and the lowest threshold.
    fn best_split(&self, weights: &[f64], rows: &[bool]) -> Option<Best> {
        let all = self.counts(weights, rows);
        let (whole, impure) = (all.iter().sum::<f64>(), impurity(&all));
        let mut best: Option<Best> = None;
        for (column, order) in self.orders.iter().enumerate() {
            let mut low = vec![0.0; self.number];
            let mut high = all.clone();
            let mut last: Option<f64> = None;
            for row in order.iter().copied().filter(|r| rows[*r]) {
                let value = self.features[[row, column]];
                if let Some(last) = last.filter(|last| *last < value) {
                    let gain = (impure - impurity(&low) - impurity(&high)) / whole;
                    if gain > best.as_ref().map_or(LEAST_GAIN, |b| b.gain + LEAST_GAIN) {
                        best = Some(Best { gain, column, threshold: last + 0.5 * (value - last) });
                    }
                }
                low[self.classes[row]] += weights[row];
                high[self.classes[row]] -= weights[row];
                last = Some(value);
            }
        }
        best
    }
}

/// Gini's impurity times the weight.
fn impurity(counts: &[f64]) -> f64 {
    let whole: f64 = counts.iter().sum();
    if whole <= 0.0 { 0.0 } else { whole - counts.iter().map(|c| c * c).sum::<f64>() / whole }
}

impl Tree {
    /// Grows a tree with at most `depth` splits one after the other.
    pub fn grow(rows: &Rows<'_>, weights: &[f64], depth: usize) -> Self {
        let mut tree = Self { nodes: vec![] };
        tree.add(rows, weights, &vec![true; weights.len()], depth);
        tree
    }

    /// Adds the node of the rows `here`, and what is below. Returns its place.
    fn add(&mut self, rows: &Rows<'_>, weights: &[f64], here: &[bool], depth: usize) -> usize {
        let counts = rows.counts(weights, here);
        let class =
            counts.iter().enumerate().fold(0, |best, (c, w)| if *w > counts[best] { c } else { best });
        let place = self.nodes.len();
        self.nodes.push(Node::Leaf { class });
        let split = if depth == 0 { None } else { rows.best_split(weights, here) };
        if let Some(Best { column, threshold, .. }) = split {
            let children = [true, false].map(|low| {
                let side = |r: usize| here[r] && (rows.features[[r, column]] <= threshold) == low;
                let side: Vec<bool> = (0..here.len()).map(side).collect();
                self.add(rows, weights, &side, depth - 1)
            });
            self.nodes[place] = Node::Split { column, threshold, children };
        }
        place
    }

    /// The class of a row.
    pub fn class_of(&self, row: ArrayView1<'_, f64>) -> usize {
        let mut place = 0;
        loop {
            match &self.nodes[place] {
                Node::Leaf { class } => return *class,
                Node::Split { column, threshold, children } => {
                    place = children[usize::from(row[*column] > *threshold)];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn weights_decide_where_it_is_split() {
        let features = array![[0.0, 5.0], [1.0, 4.0], [2.0, 5.0], [3.0, 4.0]];
        let classes = [0, 0, 1, 0];
        let rows = Rows::new(features.view(), &classes, 2);
        // Even: below 1.5 all are 0; above, one of two, and the first class wins.
        let even = Tree::grow(&rows, &[0.25; 4], 1);
        assert!(matches!(even.nodes[0], Node::Split { column: 0, threshold: 1.5, .. }), "{even:?}");
        // The last weighs next to nothing: 2 and 3 are of class 1.
        let uneven = Tree::grow(&rows, &[0.3, 0.3, 0.39, 0.01], 1);
        assert_eq!([0, 1, 2, 3].map(|r| uneven.class_of(features.row(r))), [0, 0, 1, 1]);
        // Two splits tell all.
        let deep = Tree::grow(&rows, &[0.25; 4], 2);
        assert_eq!([0, 1, 2, 3].map(|r| deep.class_of(features.row(r))), classes);
        // Nothing to split: all the same.
        let same = array![[1.0], [1.0]];
        assert_eq!(Tree::grow(&Rows::new(same.view(), &[1, 0], 2), &[0.6, 0.4], 3).nodes.len(), 1);
    }
}
