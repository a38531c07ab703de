//! Against plain sums in f64, at odd sides, with more channels than a block and for boxes.
use super::*;
use crate::nn::cpu::channels_last::{Frame, Pool};

/// Numbers in [-1, 1) of a small generator.
fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Input voxel (padded by its nearest voxel) and tap that meet at output `o`, along one axis.
fn terms(kind: Kind, o: usize) -> Vec<(isize, usize)> {
    match kind {
        Kind::Same => (0..3).map(|t| ((o + t) as isize - 1, t)).collect(),
        Kind::Down => (0..4).map(|t| ((2 * o + t) as isize - 1, t)).collect(),
        Kind::Up => (0..2).map(|k| ((o / 2 + o % 2 + k) as isize - 1, 3 - o % 2 - 2 * k)).collect(),
    }
}

/// One output of one channel.
fn naive(
    kind: Kind,
    value: &dyn Fn([usize; 3], usize) -> f64,
    n: [usize; 3],
    case: &Case,
    o: [usize; 3],
    c: usize,
) -> f64 {
    let side = if kind == Kind::Same { 3 } else { 4 };
    let (taps, mut sum) = (side * side * side, f64::from(case.bias[c]));
    let near = |i: isize, a: usize| i.clamp(0, n[a] as isize - 1) as usize;
    for (d, td) in terms(kind, o[0]) {
        for (h, th) in terms(kind, o[1]) {
            for (w, tw) in terms(kind, o[2]) {
                let (at, tap) = ([near(d, 0), near(h, 1), near(w, 2)], (td * side + th) * side + tw);
                for i in 0..case.inputs {
                    let first = if kind == Kind::Up { i * case.bias.len() + c } else { c * case.inputs + i };
                    sum += value(at, i) * f64::from(case.weight[first * taps + tap]);
                }
            }
        }
    }
    sum
}

struct Case {
    inputs: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Case {
    /// Weights that keep values near 1.
    fn new(kind: Kind, inputs: usize, outputs: usize) -> Self {
        let (taps, used) = match kind {
            Kind::Same => (27, 27),
            Kind::Down => (64, 64),
            Kind::Up => (64, 8),
        };
        let scale = (3.0 / (inputs * used) as f32).sqrt();
        let weight = numbers(inputs * outputs * taps, 1).iter().map(|v| v * scale).collect();
        Self { inputs, weight, bias: numbers(outputs, 2) }
    }
}

fn sides(kind: Kind, n: [usize; 3]) -> [usize; 3] {
    match kind {
        Kind::Same => n,
        Kind::Down => n.map(|v| v / 2),
        Kind::Up => n.map(|v| v * 2),
    }
}

#[test]
fn layers_agree_with_plain_sums() {
    for (kind, n, inputs) in [
        (Kind::Same, [5, 7, 9], 32),
        (Kind::Same, [2, 1, 3], 48),
        (Kind::Same, [18, 14, 34], 16),
        (Kind::Down, [6, 10, 14], 16),
        (Kind::Down, [2, 2, 2], 32),
        (Kind::Up, [5, 7, 9], 48),
        (Kind::Up, [1, 2, 1], 16),
    ] {
        let outputs = 2 * block();
        let case = Case::new(kind, inputs, outputs);
        let layer = Layer::new(kind, &case.weight, &case.bias);
        let data = numbers(n.iter().product::<usize>() * inputs, 3);
        let x = ChannelsLast { data, channels: inputs, frame: Frame::whole(n) };
        let norm = [numbers(inputs, 4), numbers(inputs, 5)];
        let out_sides = sides(kind, n);
        let pool = Pool::default();
        for normed in [false, true] {
            let rows = if normed { Rows::Normalised(&x, &norm) } else { Rows::Plain(&x) };
            let value = |[d, h, w]: [usize; 3], i: usize| {
                let v = f64::from(x.data[x.row(d, h, w..w + 1)][i]);
                let z = v * f64::from(norm[0][i]) + f64::from(norm[1][i]);
                if normed { z / (1.0 + (-z).exp()) } else { v }
            };
            let mut out = pool.take(outputs, Frame::whole(out_sides));
            let residual = numbers(out.frame.voxels() * outputs, 6);
            out.data[..residual.len()].copy_from_slice(&residual);
            let moments = layer.run(&rows, &mut out, normed);
            // Every 7th voxel and channel keep the plain sums quick.
            for (v, got) in out.data[..residual.len()].chunks_exact(outputs).enumerate().step_by(7) {
                let [_, oh, ow] = out_sides;
                let o = [v / (oh * ow), v / ow % oh, v % ow];
                for c in (0..outputs).step_by(7) {
                    let added = if normed { f64::from(residual[v * outputs + c]) } else { 0.0 };
                    let want = naive(kind, &value, n, &case, o, c) + added;
                    // Sums of up to 3072 products of size 0.02 in f32, with factors up to 8 on one axis: 2e-5 of 1.
                    assert!((f64::from(got[c]) - want).abs() < 2e-5, "{kind:?} {n:?} {o:?} {c}");
                }
            }
            check_moments(&out.data[..residual.len()], outputs, &moments);
            pool.give(out);
        }
    }
}

/// Moments in f32 stretches: a few units of 1e-6 of the values' size.
fn check_moments(data: &[f32], channels: usize, moments: &Moments) {
    let count = (data.len() / channels) as f64;
    assert_eq!(moments.count, count);
    for c in (0..channels).step_by(5) {
        let values = || data.iter().skip(c).step_by(channels).map(|v| f64::from(*v));
        let mean = values().sum::<f64>() / count;
        let squares: f64 = values().map(|v| (v - mean).powi(2)).sum();
        assert!((moments.mean[c] - mean).abs() < 1e-5, "mean of {c}");
        assert!((moments.squares[c] - squares).abs() <= 2e-5 * (squares + 1.0), "squares of {c}");
    }
}

/// A box whose start is that of a tile is the whole's to the bit.
#[test]
fn boxes_are_parts_of_the_whole() {
    for (kind, n) in [(Kind::Same, [12, 15, 22]), (Kind::Up, [6, 7, 11]), (Kind::Down, [24, 20, 28])] {
        let case = Case::new(kind, 32, block());
        let layer = Layer::new(kind, &case.weight, &case.bias);
        let data = numbers(n.iter().product::<usize>() * 32, 7);
        let x = ChannelsLast { data, channels: 32, frame: Frame::whole(n) };
        let volume = sides(kind, n);
        let pool = Pool::default();
        let mut whole = pool.take(block(), Frame::whole(volume));
        layer.run(&Rows::Plain(&x), &mut whole, false);
        let frame = Frame { volume, start: [4, 4, 4], end: volume.map(|v| v - 1) };
        let mut part = pool.take(block(), frame);
        layer.run(&Rows::Plain(&x), &mut part, false);
        let (n, whole) = (frame.voxels() * block(), whole.cut(frame));
        assert!(part.data[..n] == whole.data[..n], "{kind:?}");
    }
}
