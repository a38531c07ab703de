//! t-SNE (van der Maaten & Hinton 2008): a map in which tumors with like features lie together (the paper's Fig. 2(b)).
//!
//! The exact method, with the settings of scikit-learn: started at the principal components, early exaggeration, a learning rate
//! that follows the number of tumors, gains. The crate bhtsne was looked at: it adds up its exact gradient's sum in parallel in
//! whatever order threads come, so the same start gives other bits each time, and such a difference grows (300 points, 300 steps
//! from the same start: two runs lay up to 0.8 apart); and it needs two
//! libraries of Fourier transforms, more to build than all else here. Work is n² an iteration, so n is limited.
//!
//! Distances within a cluster and between clusters, and sizes of clusters, mean little in such a map.
use super::linear::squared_distance;
use super::pca::components;
use super::standardise::Standardiser;
use super::table::{FeatureTable, argument};
use crate::draws::{Draws, Stream};
use crate::error::Result;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Most tumors that are laid out.
pub const LARGEST: usize = 2000;

/// Least tumors: with fewer, none has three neighbours.
const SMALLEST: usize = 4;

/// Deviation of the start along the first component.
const START: f64 = 1e-4;

/// Random part of the start, as a share of it: tumors with equal features must not stay in one place for ever.
const JITTER: f64 = 0.01;

/// Iterations with exaggerated attraction, and by how much (van der Maaten 2014).
const EXAGGERATION: (usize, f64) = (250, 12.0);

/// How a map is made. Defaults: those of scikit-learn's `TSNE`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TsneOptions {
    /// About how many neighbours each tumor has. For few tumors it is lowered to a third of the others.
    pub perplexity: f64,
    /// Number of steps.
    pub iterations: usize,
    /// All draws follow from it.
    pub seed: u64,
}

impl Default for TsneOptions {
    fn default() -> Self {
        Self { perplexity: 30.0, iterations: 1000, seed: 0 }
    }
}

/// Tumors in two dimensions.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Tsne {
    /// A place for each tumor; directions and scale have no meaning.
    pub points: Vec<[f64; 2]>,
    /// The perplexity that was used.
    pub perplexity: f64,
    /// What was minimised, the Kullback-Leibler divergence of neighbourhoods, at the end.
    pub divergence: f64,
}

impl Tsne {
    /// Lays out the table's z-scores.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] when there are fewer than 4 or more than [`LARGEST`] tumors, all features are constant, or the
    /// perplexity is not above 1.
    pub fn of(table: &FeatureTable, options: &TsneOptions) -> Result<Self> {
        let n = table.tumors().len();
        if !(SMALLEST..=LARGEST).contains(&n) {
            let expected = format!("{SMALLEST} to {LARGEST} (take a sample, or principal components)");
            return Err(argument("tumors of a t-SNE map", expected, n.to_string()));
        }
        if !(options.perplexity > 1.0 && options.perplexity.is_finite()) {
            let found = options.perplexity.to_string();
            return Err(argument("perplexity", "a number above 1, usually 5 to 50", found));
        }
        let rows: Vec<usize> = (0..n).collect();
        let scores = Standardiser::fit(table.values(), &rows)?.transform(table.values(), &rows);
        let perplexity = options.perplexity.min((n - 1) as f64 / 3.0).max(1.0 + 1e-9);
        let attraction = attractions(scores.view(), perplexity);
        let points = descend(&attraction, start(scores.view(), options.seed), options.iterations);
        let divergence = divergence(&attraction, &points);
        Ok(Self { points, perplexity, divergence })
    }
}

/// The first two principal components, made small, and a random part.
fn start(scores: ArrayView2<'_, f64>, seed: u64) -> Vec<[f64; 2]> {
    let (points, _) = components(scores);
    let sd = points.column(0).std(0.0);
    let mut jitter = vec![0.0; points.len()];
    Stream::new(seed, 0, "analysis/tsne", 0).normals(&mut jitter);
    let place = |i: usize, axis: usize| START * (points[[i, axis]] / sd + JITTER * jitter[2 * i + axis]);
    (0..points.nrows()).map(|i| [place(i, 0), place(i, 1)]).collect()
}

/// Joint probabilities `[n, n]` that two tumors are neighbours.
fn attractions(scores: ArrayView2<'_, f64>, perplexity: f64) -> Array2<f64> {
    let n = scores.nrows();
    let rows: Vec<Vec<f64>> = (0..n)
        .into_par_iter()
        .map(|i| {
            let squares: Vec<f64> = (0..n).map(|j| squared_distance(scores.row(i), scores.row(j))).collect();
            neighbours(&squares, i, perplexity)
        })
        .collect();
    Array2::from_shape_fn((n, n), |(i, j)| (rows[i][j] + rows[j][i]) / (2.0 * n as f64))
}

/// Probabilities that each is a neighbour of `own`: Gaussian, as wide as makes their entropy the logarithm of `perplexity`.
fn neighbours(squares: &[f64], own: usize, perplexity: f64) -> Vec<f64> {
    let others = (0..squares.len()).filter(|j| *j != own);
    let nearest = others.map(|j| squares[j]).fold(f64::INFINITY, f64::min);
    let at = |precision: f64| {
        // From the nearest on, or all could vanish.
        let weight = |j: usize| if j == own { 0.0 } else { libm::exp(-(squares[j] - nearest) * precision) };
        let weights: Vec<f64> = (0..squares.len()).map(weight).collect();
        let whole: f64 = weights.iter().sum();
        let mean: f64 = weights.iter().zip(squares).map(|(w, s)| w * (s - nearest)).sum::<f64>() / whole;
        (libm::log(whole) + precision * mean, weights.iter().map(|w| w / whole).collect::<Vec<f64>>())
    };
    let wanted = libm::log(perplexity);
    let (mut low, mut high, mut precision) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..100 {
        let entropy = at(precision).0;
        if (entropy - wanted).abs() < 1e-7 {
            break;
        }
        if entropy > wanted {
            low = precision;
        } else {
            high = precision;
        }
        precision = if high.is_finite() { (low + high) / 2.0 } else { precision * 2.0 };
    }
    at(precision).1
}

/// Student's kernel of two places.
fn student(a: [f64; 2], b: [f64; 2]) -> f64 {
    1.0 / (1.0 + (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2))
}

/// Sum of the kernel over all pairs. Each row is added up on its own, then the rows in their order.
fn whole(points: &[[f64; 2]]) -> f64 {
    let of = |a: &[f64; 2]| points.iter().map(|b| student(*a, *b)).sum::<f64>() - 1.0;
    points.par_iter().map(of).collect::<Vec<f64>>().into_iter().sum()
}

/// Gradient descent with momentum and gains (Jacobs 1988).
fn descend(attraction: &Array2<f64>, mut points: Vec<[f64; 2]>, iterations: usize) -> Vec<[f64; 2]> {
    let n = points.len();
    let rate = (n as f64 / EXAGGERATION.1 / 4.0).max(50.0);
    let (mut speed, mut gains) = (vec![[0.0; 2]; n], vec![[1.0_f64; 2]; n]);
    for iteration in 0..iterations {
        let early = iteration < EXAGGERATION.0;
        let (exaggeration, momentum) = if early { (EXAGGERATION.1, 0.5) } else { (1.0, 0.8) };
        let whole = whole(&points);
        let gradient: Vec<[f64; 2]> = (0..n)
            .into_par_iter()
            .map(|i| {
                let mut sum = [0.0; 2];
                for (j, other) in points.iter().enumerate() {
                    let kernel = student(points[i], *other);
                    let force = 4.0 * (exaggeration * attraction[[i, j]] - kernel / whole) * kernel;
                    sum[0] += force * (points[i][0] - other[0]);
                    sum[1] += force * (points[i][1] - other[1]);
                }
                sum
            })
            .collect();
        for (i, axis) in (0..n).flat_map(|i| [(i, 0), (i, 1)]) {
            let against = (speed[i][axis] < 0.0) == (gradient[i][axis] > 0.0);
            gains[i][axis] = if against { gains[i][axis] + 0.2 } else { (gains[i][axis] * 0.8).max(0.01) };
            speed[i][axis] = momentum * speed[i][axis] - rate * gains[i][axis] * gradient[i][axis];
            points[i][axis] += speed[i][axis];
        }
    }
    let centre = [0, 1].map(|axis| points.iter().map(|p| p[axis]).sum::<f64>() / n as f64);
    points.into_iter().map(|p| [p[0] - centre[0], p[1] - centre[1]]).collect()
}

/// Kullback-Leibler divergence of the map's neighbourhoods from those of the features.
fn divergence(attraction: &Array2<f64>, points: &[[f64; 2]]) -> f64 {
    let whole = whole(points);
    let term = |((i, j), p): ((usize, usize), &f64)| {
        if *p == 0.0 { 0.0 } else { p * libm::log(p * whole / student(points[i], points[j])) }
    };
    attraction.indexed_iter().map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::table::tests::tumor;

    /// Two normal clouds in 6 dimensions, `apart` standard deviations apart along each.
    fn clouds(n: usize, apart: f64) -> FeatureTable {
        let mut draws = Stream::new(3, 0, "clouds", 0);
        let values = (0..n).map(|i| {
            let mut row = vec![0.0; 6];
            draws.normals(&mut row);
            row.iter().map(|v| v + if i % 2 == 0 { apart } else { 0.0 }).collect()
        });
        let values = values.collect();
        let tumors = (0..n).map(|i| tumor(&i.to_string(), ["a", "b"][i % 2])).collect();
        FeatureTable::new(tumors, (0..6).map(|c| format!("f{c}")).collect(), values).unwrap()
    }

    /// Share of points whose nearest other one is of their cloud.
    fn purity(points: &[[f64; 2]]) -> f64 {
        let square = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
        let nearest = |i: usize| {
            let others = (0..points.len()).filter(|j| *j != i);
            others
                .min_by(|a, b| square(points[i], points[*a]).total_cmp(&square(points[i], points[*b])))
                .unwrap()
        };
        (0..points.len()).filter(|i| nearest(*i) % 2 == i % 2).count() as f64 / points.len() as f64
    }

    #[test]
    fn clouds_stay_apart_and_one_cloud_stays_mixed() {
        let options = TsneOptions::default();
        let found = Tsne::of(&clouds(120, 5.0), &options).unwrap();
        assert!(purity(&found.points) > 0.95, "{}", purity(&found.points));
        assert!(found.points.iter().flatten().all(|v| v.is_finite()) && found.divergence > 0.0);
        // By chance 59 of 119 others are of one's own cloud; a deviation of 0.046.
        let mixed = Tsne::of(&clouds(120, 0.0), &options).unwrap();
        assert!((purity(&mixed.points) - 0.5).abs() < 0.19, "{}", purity(&mixed.points));
        // A start without any step has not come near to the neighbourhoods.
        let still = Tsne::of(&clouds(120, 5.0), &TsneOptions { iterations: 0, ..options }).unwrap();
        assert!(found.divergence < 0.5 * still.divergence, "{} {}", found.divergence, still.divergence);
    }

    #[test]
    fn seeds_decide_and_threads_do_not() {
        let table = clouds(60, 1.0);
        let of = |threads, seed| {
            let options = TsneOptions { iterations: 300, seed, ..TsneOptions::default() };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Tsne::of(&table, &options).unwrap())
        };
        assert_eq!(of(1, 1), of(4, 1));
        assert_ne!(of(1, 1).points, of(1, 2).points);
    }

    #[test]
    fn neighbourhoods_have_their_perplexity() {
        let squares = [0.0, 1.0, 4.0, 9.0, 16.0, 0.5, 2.0];
        let found = neighbours(&squares, 0, 3.0);
        let entropy: f64 = found.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
        assert!((entropy.exp() - 3.0).abs() < 1e-5 && found[0] == 0.0, "{found:?}");
    }

    #[test]
    fn equal_tumors_and_few_tumors_have_a_place() {
        let values = [1.0, 1.0, 1.0, 2.0, 5.0].map(|v| vec![v]).to_vec();
        let tumors = (0..5).map(|i| tumor(&i.to_string(), "g")).collect();
        let table = FeatureTable::new(tumors, vec!["f".into()], values).unwrap();
        let found = Tsne::of(&table, &TsneOptions::default()).unwrap();
        assert!(found.points.iter().flatten().all(|v| v.is_finite()));
        assert!((found.perplexity - 4.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_laid_out_is_refused() {
        let of = |n, perplexity| {
            Tsne::of(&clouds(n, 1.0), &TsneOptions { perplexity, iterations: 1, ..TsneOptions::default() })
        };
        assert!(of(3, 30.0).unwrap_err().to_string().contains("expected 4 to 2000"));
        assert!(of(2001, 30.0).unwrap_err().to_string().contains("found 2001"));
        assert!(of(10, 1.0).is_err() && of(10, f64::NAN).is_err() && of(4, 30.0).is_ok());
    }
}
