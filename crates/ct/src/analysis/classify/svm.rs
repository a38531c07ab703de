//! Support vector machines with Gaussian kernel, one for each pair of classes.
//!
//! Each is solved by sequential minimal optimisation with the working sets of Fan, Chen & Lin (2005, JMLR 6:1889), as in
//! LIBSVM and so in scikit-learn's `SVC`. No randomness is in it.
use crate::analysis::linear::squared_distance;
use crate::analysis::table::argument;
use crate::error::Result;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Smallest curvature: two equal rows have none (LIBSVM's value).
const CURVATURE: f64 = 1e-12;

/// From this number of steps on it is given up (LIBSVM's value).
const STEPS: usize = 10_000_000;

/// Width of the kernel exp(-gamma d²).
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gamma {
    /// 1 / (columns * variance of all values), as scikit-learn's `scale`.
    Scale,
    /// This.
    Value(f64),
}

/// Options of a support vector machine. Defaults: those of scikit-learn's `SVC`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SvmOptions {
    /// Price of a row on the wrong side; larger fits the training rows more closely.
    pub c: f64,
    /// Width of the kernel.
    pub gamma: Gamma,
    /// It ends when no pair of rows violates the optimum by more.
    pub tolerance: f64,
}

impl Default for SvmOptions {
    fn default() -> Self {
        Self { c: 1.0, gamma: Gamma::Scale, tolerance: 1e-3 }
    }
}

/// A machine for each pair of classes.
#[derive(Debug)]
pub(super) struct Machines {
    number: usize,
    gamma: f64,
    machines: Vec<Machine>,
}

/// Tells two classes apart: positive means the second.
#[derive(Debug)]
struct Machine {
    pair: [usize; 2],
    /// `[support vectors, columns]`
    support: Array2<f64>,
    weights: Vec<f64>,
    bias: f64,
}

impl Machines {
    pub fn fit(
        features: ArrayView2<'_, f64>,
        classes: &[usize],
        number: usize,
        options: &SvmOptions,
    ) -> Result<Self> {
        let gamma = match options.gamma {
            Gamma::Scale => 1.0 / (features.ncols() as f64 * features.var(0.0)),
            Gamma::Value(gamma) => gamma,
        };
        let above_0 = |v: f64| v.is_finite() && v > 0.0;
        if !(above_0(options.c) && above_0(gamma) && above_0(options.tolerance)) {
            let found = format!("{options:?}, gamma {gamma}");
            return Err(argument("options of the SVM", "C, gamma and tolerance above 0", found));
        }
        let pairs: Vec<[usize; 2]> = (0..number).flat_map(|b| (0..b).map(move |a| [a, b])).collect();
        let machines: Result<Vec<Machine>> = (pairs.into_par_iter())
            .map(|pair| {
                let rows: Vec<usize> = (0..classes.len()).filter(|r| pair.contains(&classes[*r])).collect();
                let second: Vec<bool> = rows.iter().map(|r| classes[*r] == pair[1]).collect();
                Machine::fit(pair, &features.select(Axis(0), &rows), &second, gamma, options)
            })
            .collect();
        Ok(Self { number, gamma, machines: machines? })
    }

    /// Machines won, and within a third of a machine by how much, as scikit-learn's `decision_function_shape="ovr"`.
    pub fn scores(&self, features: ArrayView2<'_, f64>) -> Array2<f64> {
        let mut scores = Array2::zeros((features.nrows(), self.number));
        for (row, mut out) in features.rows().into_iter().zip(scores.rows_mut()) {
            let mut margins = vec![0.0; self.number];
            for machine in &self.machines {
                let decision = machine.decide(row, self.gamma);
                let [first, second] = machine.pair;
                out[if decision > 0.0 { second } else { first }] += 1.0;
                margins[second] += decision;
                margins[first] -= decision;
            }
            out.iter_mut().zip(margins).for_each(|(o, m): (&mut f64, f64)| *o += m / (3.0 * (m.abs() + 1.0)));
        }
        scores
    }
}

impl Machine {
    fn fit(
        pair: [usize; 2],
        rows: &Array2<f64>,
        second: &[bool],
        gamma: f64,
        options: &SvmOptions,
    ) -> Result<Self> {
        let kernel = kernel(rows, gamma);
        let (weights, bias) = solve(&kernel, second, options)?;
        let used: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] != 0.0).collect();
        Ok(Self {
            pair,
            support: rows.select(Axis(0), &used),
            weights: used.iter().map(|i| weights[*i]).collect(),
            bias,
        })
    }

    fn decide(&self, row: ndarray::ArrayView1<'_, f64>, gamma: f64) -> f64 {
        let terms = self.support.rows().into_iter().zip(&self.weights);
        self.bias + terms.map(|(s, w)| w * libm::exp(-gamma * squared_distance(s, row))).sum::<f64>()
    }
}

/// `[rows, rows]`
fn kernel(rows: &Array2<f64>, gamma: f64) -> Array2<f64> {
    let n = rows.nrows();
    Array2::from_shape_fn((n, n), |(i, j)| libm::exp(-gamma * squared_distance(rows.row(i), rows.row(j))))
}

/// Weights and bias. A weight is the dual variable with the sign of its row's side, so it lies in 0..C for the second class
/// and in -C..0 for the first, and all add up to 0: a step moves one up and another down by the same.
fn solve(kernel: &Array2<f64>, second: &[bool], options: &SvmOptions) -> Result<(Vec<f64>, f64)> {
    let n = second.len();
    let low = |i: usize| if second[i] { 0.0 } else { -options.c };
    let high = |i: usize| low(i) + options.c;
    let mut weights = vec![0.0; n];
    // What each row is short of its side's margin, without the bias.
    let mut short: Vec<f64> = second.iter().map(|s| if *s { 1.0 } else { -1.0 }).collect();
    for _ in 0..STEPS {
        let up = (0..n).filter(|i| weights[*i] < high(*i));
        let up = up.reduce(|a, b| if short[b] > short[a] { b } else { a }).expect("both classes have rows");
        let curvature = |j: usize| (kernel[[up, up]] + kernel[[j, j]] - 2.0 * kernel[[up, j]]).max(CURVATURE);
        let (mut down, mut most, mut lowest) = (up, 0.0, f64::INFINITY);
        for j in (0..n).filter(|j| weights[*j] > low(*j)) {
            lowest = short[j].min(lowest);
            let violation = short[up] - short[j];
            let gain = violation * violation / curvature(j);
            if violation > 0.0 && gain > most {
                (down, most) = (j, gain);
            }
        }
        if short[up] - lowest < options.tolerance {
            let free = (0..n).filter(|i| weights[*i] > low(*i) && weights[*i] < high(*i));
            let free: Vec<f64> = free.map(|i| short[i]).collect();
            // Rows on their margin tell the bias; without any, it lies between the two sides.
            let mean = free.iter().sum::<f64>() / free.len().max(1) as f64;
            let bias = if free.is_empty() { (short[up] + lowest) / 2.0 } else { mean };
            return Ok((weights, bias));
        }
        let (room_up, room_down) = (high(up) - weights[up], weights[down] - low(down));
        let step = ((short[up] - short[down]) / curvature(down)).min(room_up).min(room_down);
        // Exactly on the limit, or rounding would leave a row that could still move by next to nothing.
        weights[up] = if step == room_up { high(up) } else { weights[up] + step };
        weights[down] = if step == room_down { low(down) } else { weights[down] - step };
        for (k, s) in short.iter_mut().enumerate() {
            *s -= step * (kernel[[up, k]] - kernel[[down, k]]);
        }
    }
    Err(argument("C of the SVM", format!("one for which {STEPS} steps suffice"), options.c.to_string()))
}
