//! Naive f64 attention, written from the definitions, and the inputs of its cases.
use difftumor::nn::attention::Axis;

/// Operands in a fixed order, from one seed each.
fn operand(n: usize, seed: u64, factor: f32, offset: f32) -> Vec<f32> {
    crate::gradients_attention::numbers(n, seed).into_iter().map(|v| v * factor + offset).collect()
}

fn softmax(row: &mut [f64]) {
    let most = row.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v));
    let sum: f64 = row.iter().map(|v| (v - most).exp()).sum();
    for v in row.iter_mut() {
        *v = (*v - most).exp() / sum;
    }
}

/// `x + Attention(LayerNorm(x))`. Operands: x, gamma, to_qkv, to_out, out_bias, bias of the scores.
#[derive(Clone, Copy, Debug)]
pub struct AttentionCase {
    pub dims: [usize; 5],
    pub axis: Axis,
    pub linear: bool,
    pub positions: bool,
    pub heads: usize,
    pub head_channels: usize,
    pub out_bias: bool,
}

impl AttentionCase {
    pub fn len(&self) -> usize {
        let [_, _, f, h, w] = self.dims;
        if self.axis == Axis::Depth { f } else { h * w }
    }

    pub fn operands(&self) -> Vec<Vec<f32>> {
        let (c, inner, len) = (self.dims[1], self.heads * self.head_channels, self.len());
        vec![
            operand(self.dims.iter().product(), 1, 1.5, 0.3),
            operand(c, 2, 0.3, 1.0),
            operand(3 * inner * c, 3, 2.0 / (c as f32).sqrt(), 0.0),
            operand(c * inner, 4, 1.7 / (inner as f32).sqrt(), 0.0),
            operand(c, 5, 0.2, 0.0),
            operand(self.heads * len * len, 6, 1.0, 0.0),
        ]
    }

    /// cos and sin of the rotary angles, `[len, head_channels / 2]`.
    pub fn angles(&self) -> (Vec<f32>, Vec<f32>) {
        let angles = crate::gradients_attention::numbers(self.len() * (self.head_channels / 2), 7);
        angles.iter().map(|a| ((3.0 * a).cos(), (3.0 * a).sin())).unzip()
    }

    pub fn forward(&self, v: &[Vec<f64>]) -> Vec<f64> {
        let [b, c, f, h, w] = self.dims;
        let mut y = v[0].clone();
        let at = |item: usize, ch: usize, z: usize, p: usize| ((item * c + ch) * f + z) * h * w + p;
        for item in 0..b {
            let sequences: Vec<Vec<(usize, usize)>> = match self.axis {
                Axis::Depth => (0..h * w).map(|p| (0..f).map(|z| (z, p)).collect()).collect(),
                Axis::Slice => (0..f).map(|z| (0..h * w).map(|p| (z, p)).collect()).collect(),
            };
            for sequence in sequences {
                let rows: Vec<Vec<f64>> = sequence
                    .iter()
                    .map(|(z, p)| (0..c).map(|ch| v[0][at(item, ch, *z, *p)]).collect())
                    .collect();
                for ((z, p), out) in sequence.iter().zip(self.sequence(&rows, v)) {
                    for (ch, value) in out.into_iter().enumerate() {
                        y[at(item, ch, *z, *p)] += value;
                    }
                }
            }
        }
        y
    }

    /// Attention(LayerNorm(x)) of one sequence's rows.
    fn sequence(&self, rows: &[Vec<f64>], v: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let (c, hc, len) = (self.dims[1], self.head_channels, rows.len());
        let inner = self.heads * hc;
        let normal: Vec<Vec<f64>> = rows
            .iter()
            .map(|x| {
                let mean = x.iter().sum::<f64>() / c as f64;
                let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / c as f64;
                x.iter().zip(&v[1]).map(|(x, g)| (x - mean) / (var + 1e-5).sqrt() * g).collect()
            })
            .collect();
        let project = |x: &[f64], o: usize| (0..c).map(|i| x[i] * v[2][o * c + i]).sum::<f64>();
        let mut attended = vec![vec![0f64; inner]; len];
        for head in 0..self.heads {
            let part = |part: usize| -> Vec<Vec<f64>> {
                let row = |i: usize| part * inner + head * hc + i;
                normal.iter().map(|x| (0..hc).map(|i| project(x, row(i))).collect()).collect()
            };
            let (q, k, values) = (part(0), part(1), part(2));
            let out =
                if self.linear { self.linear(q, k, &values) } else { self.softmax(q, k, &values, head, v) };
            for (i, row) in out.into_iter().enumerate() {
                attended[i][head * hc..][..hc].copy_from_slice(&row);
            }
        }
        let bias = |ch: usize| if self.out_bias { v[4][ch] } else { 0.0 };
        let out = |a: &Vec<f64>| {
            (0..c).map(|ch| (0..inner).map(|e| a[e] * v[3][ch * inner + e]).sum::<f64>() + bias(ch)).collect()
        };
        attended.iter().map(out).collect()
    }

    fn linear(&self, mut q: Vec<Vec<f64>>, k: Vec<Vec<f64>>, values: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let (hc, len) = (self.head_channels, q.len());
        q.iter_mut().for_each(|q| softmax(q));
        let mut columns: Vec<Vec<f64>> = (0..hc).map(|d| k.iter().map(|k| k[d]).collect()).collect();
        columns.iter_mut().for_each(|k| softmax(k));
        let context = |d: usize, e: usize| (0..len).map(|n| columns[d][n] * values[n][e]).sum::<f64>();
        let context: Vec<Vec<f64>> = (0..hc).map(|d| (0..hc).map(|e| context(d, e)).collect()).collect();
        let scale = (hc as f64).powf(-0.5);
        let row = |q: &Vec<f64>| {
            (0..hc).map(|e| (0..hc).map(|d| scale * q[d] * context[d][e]).sum::<f64>()).collect()
        };
        q.iter().map(row).collect()
    }

    fn softmax(
        &self,
        q: Vec<Vec<f64>>,
        k: Vec<Vec<f64>>,
        values: &[Vec<f64>],
        head: usize,
        v: &[Vec<f64>],
    ) -> Vec<Vec<f64>> {
        let (hc, len) = (self.head_channels, q.len());
        let turn = |x: &[f64], n: usize| -> Vec<f64> {
            if !self.positions {
                return x.to_vec();
            }
            let (cos, sin) = self.angles();
            let angle = |i: usize| {
                let at = n * (hc / 2) + i / 2;
                (f64::from(cos[at]), f64::from(sin[at]))
            };
            let one = |i: usize| {
                let (cos, sin) = angle(i);
                if i.is_multiple_of(2) { x[i] * cos - x[i + 1] * sin } else { x[i] * cos + x[i - 1] * sin }
            };
            (0..hc).map(one).collect()
        };
        let q: Vec<Vec<f64>> = q.iter().enumerate().map(|(n, x)| turn(x, n)).collect();
        let k: Vec<Vec<f64>> = k.iter().enumerate().map(|(n, x)| turn(x, n)).collect();
        let row = |i: usize| -> Vec<f64> {
            let score = |j: usize| {
                let product: f64 = q[i].iter().zip(&k[j]).map(|(a, b)| a * b).sum();
                let bias = if self.positions { v[5][(head * len + i) * len + j] } else { 0.0 };
                product * (hc as f64).powf(-0.5) + bias
            };
            let mut p: Vec<f64> = (0..len).map(score).collect();
            softmax(&mut p);
            (0..hc).map(|e| (0..len).map(|j| p[j] * values[j][e]).sum()).collect()
        };
        (0..len).map(row).collect()
    }
}

/// Attention within windows, `[B, D, H, W, C]`. Operands: x, qkv and its bias, proj and its bias, table.
#[derive(Clone, Copy, Debug)]
pub struct WindowCase {
    pub dims: [usize; 5],
    pub heads: usize,
    pub window: usize,
    pub shift: usize,
    pub corrected: bool,
}

impl WindowCase {
    pub fn operands(&self) -> Vec<Vec<f32>> {
        let c = self.dims[4];
        let factor = 1.7 / (c as f32).sqrt();
        vec![
            operand(self.dims.iter().product(), 11, 1.5, 0.1),
            operand(3 * c * c, 12, factor, 0.0),
            operand(3 * c, 13, 0.5, 0.0),
            operand(c * c, 14, factor, 0.0),
            operand(c, 15, 0.5, 0.0),
            operand((2 * self.window - 1).pow(3) * self.heads, 16, 1.0, 0.0),
        ]
    }

    /// Pads, rolls, parts into windows, attends, and goes the same way back.
    pub fn forward(&self, v: &[Vec<f64>]) -> Vec<f64> {
        let [b, d, h, w, c] = self.dims;
        let sides = [d, h, w];
        let window = sides.map(|n| n.min(self.window));
        let shift = sides.map(|n| if n <= self.window { 0 } else { self.shift });
        let padded: [usize; 3] = std::array::from_fn(|a| sides[a].div_ceil(window[a]) * window[a]);
        let regions = self.regions(padded, window, shift);
        let mut y = vec![0f64; v[0].len()];
        for item in 0..b {
            for first in grid(std::array::from_fn(|a| padded[a] / window[a])) {
                // Places in the rolled volume, and where they come from.
                let rolled: Vec<[usize; 3]> = grid(window)
                    .into_iter()
                    .map(|i| std::array::from_fn(|a| first[a] * window[a] + i[a]))
                    .collect();
                let source = |p: &[usize; 3]| -> Option<usize> {
                    let o: [usize; 3] = std::array::from_fn(|a| (p[a] + shift[a]) % padded[a]);
                    let inside = (0..3).all(|a| o[a] < sides[a]);
                    inside.then(|| (((item * d + o[0]) * h + o[1]) * w + o[2]) * c)
                };
                let rows: Vec<Vec<f64>> = rolled
                    .iter()
                    .map(|p| source(p).map_or(vec![0.0; c], |s| v[0][s..s + c].to_vec()))
                    .collect();
                let of = |p: &[usize; 3]| regions[(p[0] * padded[1] + p[1]) * padded[2] + p[2]];
                let regions: Vec<usize> = rolled.iter().map(of).collect();
                for (p, out) in rolled.iter().zip(self.window(&rows, &regions, window, v)) {
                    if let Some(s) = source(p) {
                        y[s..s + c].copy_from_slice(&out);
                    }
                }
            }
        }
        y
    }

    /// Numbers of the 27 boxes of the rolled volume, written one after the other as the published code does.
    fn regions(&self, padded: [usize; 3], window: [usize; 3], shift: [usize; 3]) -> Vec<usize> {
        let ranges: [[(usize, usize); 3]; 3] = std::array::from_fn(|a| {
            let (n, w, s) = (padded[a], window[a], shift[a]);
            // Python's slice(-s, None) with s = 0 is the whole axis, and slice(-w, 0) is empty.
            let last = if s == 0 { (0, n) } else { (n - s, n) };
            [(0, n - w), (n - w, if s == 0 { 0 } else { n - s }), last]
        });
        let mut out = vec![0; padded.iter().product()];
        for (number, [i, j, k]) in grid([3; 3]).into_iter().enumerate() {
            for z in ranges[0][i].0..ranges[0][i].1 {
                for y in ranges[1][j].0..ranges[1][j].1 {
                    for x in ranges[2][k].0..ranges[2][k].1 {
                        out[(z * padded[1] + y) * padded[2] + x] = number;
                    }
                }
            }
        }
        out
    }

    fn window(
        &self,
        rows: &[Vec<f64>],
        regions: &[usize],
        window: [usize; 3],
        v: &[Vec<f64>],
    ) -> Vec<Vec<f64>> {
        let (c, n) = (self.dims[4], rows.len());
        let hc = c / self.heads;
        let linear = |x: &[f64], o: usize, weight: &[f64], bias: &[f64]| {
            (0..c).map(|i| x[i] * weight[o * c + i]).sum::<f64>() + bias[o]
        };
        // The stored index is that of the full window's tokens.
        let places = grid(if self.corrected { window } else { [self.window; 3] });
        let entry = |i: usize, j: usize| {
            let offset = |a: usize| places[i][a] + self.window - 1 - places[j][a];
            (offset(0) * (2 * self.window - 1) + offset(1)) * (2 * self.window - 1) + offset(2)
        };
        let qkv: Vec<Vec<f64>> =
            rows.iter().map(|x| (0..3 * c).map(|o| linear(x, o, &v[1], &v[2])).collect()).collect();
        let mut attended = vec![vec![0f64; c]; n];
        for head in 0..self.heads {
            for i in 0..n {
                let score = |j: usize| {
                    let (q, k) = (&qkv[i][head * hc..][..hc], &qkv[j][c + head * hc..][..hc]);
                    let product: f64 = q.iter().zip(k).map(|(q, k)| q * (hc as f64).powf(-0.5) * k).sum();
                    let mask = if regions[i] == regions[j] { 0.0 } else { -100.0 };
                    product + v[5][entry(i, j) * self.heads + head] + mask
                };
                let mut p: Vec<f64> = (0..n).map(score).collect();
                softmax(&mut p);
                for e in 0..hc {
                    attended[i][head * hc + e] = (0..n).map(|j| p[j] * qkv[j][2 * c + head * hc + e]).sum();
                }
            }
        }
        attended.iter().map(|x| (0..c).map(|o| linear(x, o, &v[3], &v[4])).collect()).collect()
    }
}

/// All places of a box, in C order.
fn grid(n: [usize; 3]) -> Vec<[usize; 3]> {
    (0..n[0] * n[1] * n[2]).map(|i| [i / (n[1] * n[2]), i / n[2] % n[1], i % n[2]]).collect()
}
