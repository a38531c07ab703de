//! Weights of an attention layer head by head, sums of their gradients, and how the work falls into units.
use super::attention_grad_head::Head;
use super::attention_grad_product::padded;
use rayon::prelude::*;

/// Largest number of pieces that sum gradients side by side.
const PIECES: usize = 16;
/// Units of work below which the heads are shared out too: eight keep a few threads evenly busy.
const UNITS: usize = 8;
/// Numbers in all pieces' sums together (64 MB).
const SUMS: usize = 16 << 20;

/// Projections of an attention layer in the published layout.
#[derive(Clone, Copy)]
pub struct Projections<'a> {
    /// `[3 * heads * channels of a head, C]`.
    pub to_qkv: &'a [f32],
    /// `[C, heads * channels of a head]`.
    pub to_out: &'a [f32],
    /// Multiplies the C inputs (a norm's weight); none is 1.
    pub gamma: Option<&'a [f32]>,
    /// Bias of q, k and v.
    pub qkv_bias: Option<&'a [f32]>,
    /// C.
    pub channels: usize,
    /// Number of heads.
    pub heads: usize,
    /// One head of one sequence.
    pub head: Head,
    /// Multiplies q.
    pub scale: f32,
    /// Rotary pairs (2j, 2j+1) of q and k are parted into halves: products of q and k do not change, and a rotation
    /// works on whole vectors.
    pub paired: bool,
}

/// The weights of one head, with gamma and the scale of q folded in.
pub struct Packed {
    /// To q, k and v: `[C][row]`.
    pub to_qkv: Vec<f32>,
    /// Turned: `[row][C, widened]`.
    pub from_qkv: Vec<f32>,
    /// `[C][width]`.
    pub to_out: Vec<f32>,
    /// `[row]`.
    pub bias: Vec<f32>,
}

impl Projections<'_> {
    /// Of each row of `to_qkv` of a head: its column in packed rows, and its factor.
    fn rows(&self, head: usize) -> impl Iterator<Item = (usize, usize, f32)> {
        let (hc, w, heads) = (self.head.channels, self.head.width(), self.heads);
        let (paired, scale) = (self.paired, self.scale);
        (0..3 * hc).map(move |i| {
            let (part, i) = (i / hc, i % hc);
            let from = if paired && part < 2 { i % (hc / 2) * 2 + i / (hc / 2) } else { i };
            (part * heads * hc + head * hc + from, part * w + i, if part == 0 { scale } else { 1.0 })
        })
    }

    fn gamma(&self, c: usize) -> f32 {
        self.gamma.map_or(1.0, |g| g[c])
    }

    /// Packs all heads.
    pub fn pack(&self) -> Vec<Packed> {
        let (c, cp, row, w) = (self.channels, padded(self.channels), self.head.row(), self.head.width());
        let (hc, inner) = (self.head.channels, self.heads * self.head.channels);
        assert_eq!(self.to_qkv.len(), 3 * inner * c);
        assert_eq!(self.to_out.len(), c * inner);
        let head = |h: usize| {
            let mut p = Packed {
                to_qkv: vec![0.0; c * row],
                from_qkv: vec![0.0; row * cp],
                to_out: vec![0.0; c * w],
                bias: vec![0.0; row],
            };
            for (from, column, factor) in self.rows(h) {
                for (ch, v) in self.to_qkv[from * c..][..c].iter().enumerate() {
                    let v = v * factor * self.gamma(ch);
                    p.to_qkv[ch * row + column] = v;
                    p.from_qkv[column * cp + ch] = v;
                }
                p.bias[column] = self.qkv_bias.map_or(0.0, |b| b[from] * factor);
            }
            for ch in 0..c {
                p.to_out[ch * w..][..hc].copy_from_slice(&self.to_out[ch * inner + h * hc..][..hc]);
            }
            p
        };
        (0..self.heads).map(head).collect()
    }

    /// Sums of zero for one head; `bias` numbers for a bias on its scores.
    pub fn zeros(&self, bias: usize) -> HeadSums {
        HeadSums {
            to_qkv: vec![0.0; self.channels * self.head.row()],
            to_out: vec![0.0; self.channels * self.head.width()],
            qkv_bias: vec![0.0; if self.qkv_bias.is_some() { self.head.row() } else { 0 }],
            bias: vec![0.0; bias],
        }
    }

    /// Pieces of `tasks` tasks, and heads of each group, by the problem's size alone.
    pub fn partition(&self, tasks: usize, bias: usize) -> Partition {
        let per_head = self.channels * (self.head.row() + self.head.width()) + bias;
        Partition::new(tasks, PIECES.min(SUMS / (per_head * self.heads)), self.heads)
    }

    /// Gradients in the published layout from each head's sums.
    pub fn unpack(&self, sums: &[HeadSums]) -> ProjectionGradients {
        let (c, row, w) = (self.channels, self.head.row(), self.head.width());
        let (hc, inner) = (self.head.channels, self.heads * self.head.channels);
        let mut g = ProjectionGradients {
            to_qkv: vec![0.0; self.to_qkv.len()],
            to_out: vec![0.0; self.to_out.len()],
            gamma: vec![0.0; if self.gamma.is_some() { c } else { 0 }],
            qkv_bias: vec![0.0; if self.qkv_bias.is_some() { 3 * inner } else { 0 }],
        };
        for (h, s) in sums.iter().enumerate() {
            for (to, column, factor) in self.rows(h) {
                for ch in 0..c {
                    let v = s.to_qkv[ch * row + column] * factor;
                    g.to_qkv[to * c + ch] = v * self.gamma(ch);
                    if let Some(gamma) = g.gamma.get_mut(ch) {
                        *gamma += v * self.to_qkv[to * c + ch];
                    }
                }
                if let Some(bias) = g.qkv_bias.get_mut(to) {
                    *bias = s.qkv_bias[column] * factor;
                }
            }
            for ch in 0..c {
                g.to_out[ch * inner + h * hc..][..hc].copy_from_slice(&s.to_out[ch * w..][..hc]);
            }
        }
        g
    }
}

/// Sums of one head's gradients, packed as [`Packed`], before gamma and scale.
pub struct HeadSums {
    /// `[C][row]`.
    pub to_qkv: Vec<f32>,
    /// `[C][width]`.
    pub to_out: Vec<f32>,
    /// `[row]`, or empty.
    pub qkv_bias: Vec<f32>,
    /// `[key][query, widened]`, or empty.
    pub bias: Vec<f32>,
}

/// Gradients of [`Projections`].
pub struct ProjectionGradients {
    /// As `to_qkv`.
    pub to_qkv: Vec<f32>,
    /// As `to_out`.
    pub to_out: Vec<f32>,
    /// As `gamma`, or empty.
    pub gamma: Vec<f32>,
    /// As `qkv_bias`, or empty.
    pub qkv_bias: Vec<f32>,
}

/// Pieces of tasks times groups of heads. Few tasks leave threads idle, so their heads are shared out.
#[derive(Clone, Copy, Debug)]
pub struct Partition {
    tasks: usize,
    per_piece: usize,
    pieces: usize,
    heads: usize,
    per_group: usize,
}

/// One unit of work.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Its tasks, to do in order.
    pub tasks: std::ops::Range<usize>,
    /// Its heads.
    pub heads: std::ops::Range<usize>,
    /// Its group of heads.
    pub group: usize,
}

impl Partition {
    /// At most `pieces` pieces, and groups of heads where these are few.
    pub fn new(tasks: usize, pieces: usize, heads: usize) -> Self {
        let per_piece = tasks.div_ceil(pieces.clamp(1, tasks));
        let pieces = tasks.div_ceil(per_piece);
        let groups = UNITS.div_ceil(pieces).min(heads);
        Self { tasks, per_piece, pieces, heads, per_group: heads.div_ceil(groups) }
    }

    /// Groups of heads.
    pub fn groups(&self) -> usize {
        self.heads.div_ceil(self.per_group)
    }

    /// All units, the pieces of one group after those of another.
    pub fn units(&self) -> Vec<Unit> {
        let unit = |u: usize| {
            let (group, piece) = (u / self.pieces, u % self.pieces);
            let (task, head) = (piece * self.per_piece, group * self.per_group);
            Unit {
                tasks: task..(task + self.per_piece).min(self.tasks),
                heads: head..(head + self.per_group).min(self.heads),
                group,
            }
        };
        (0..self.groups() * self.pieces).map(unit).collect()
    }

    /// Each head's sums over the pieces, added in order; `units` as [`Partition::units`] gives them.
    pub fn combine(&self, units: Vec<Vec<HeadSums>>) -> Vec<HeadSums> {
        let mut of_head: Vec<Vec<HeadSums>> = (0..self.heads).map(|_| vec![]).collect();
        for (unit, sums) in self.units().into_iter().zip(units) {
            for (head, sums) in unit.heads.zip(sums) {
                of_head[head].push(sums);
            }
        }
        of_head.into_par_iter().map(|pieces| pieces.into_iter().reduce(add).expect("a piece")).collect()
    }
}

fn add(mut a: HeadSums, b: HeadSums) -> HeadSums {
    add_to(&mut a.to_qkv, &b.to_qkv);
    add_to(&mut a.to_out, &b.to_out);
    add_to(&mut a.qkv_bias, &b.qkv_bias);
    add_to(&mut a.bias, &b.bias);
    a
}

/// `a += b`.
#[inline(always)]
pub fn add_to(a: &mut [f32], b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

/// The sum of the groups' results, in order.
pub fn sum_groups(groups: Vec<Vec<f32>>) -> Vec<f32> {
    let sum = |mut a: Vec<f32>, b: Vec<f32>| {
        add_to(&mut a, &b);
        a
    };
    groups.into_iter().reduce(sum).expect("a group of heads")
}
