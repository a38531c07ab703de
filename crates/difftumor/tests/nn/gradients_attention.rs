//! Attention layers' gradients on the CPU: against Burn's autodiff of the same layer in Burn's operations, and against
//! central differences of naive f64 references; the window attention's result against its reference too.
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use difftumor::diffusion::DiffusionConfig;
use difftumor::diffusion::unet::bucket;
use difftumor::nn::attention::{Axis, Positions};
use difftumor::nn::{
    Attention, AttentionConfig, AttentionKind, RelativeIndex, WindowAttention, WindowAttentionConfig,
};

use crate::attention_reference::{AttentionCase, WindowCase};

fn recording() -> Device {
    Device::flex().autodiff()
}

/// Numbers in [-1, 1) that depend on the seed alone.
pub fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let one = |i: u64| {
        let mut x = (seed << 32 | i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..n as u64).map(one).collect()
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &recording())
}

fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    tensor(&numbers(shape.iter().product(), seed), shape)
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data().try_to_vec::<f32>().unwrap()
}

/// Smallest scale of a comparison: some gradients are 0 (of a bias on a single score), and sums of numbers of order 1
/// that cancel to it leave rounding behind.
const SCALE: f64 = 0.1;

/// The worst difference, in units of the reference's largest value.
fn difference(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(SCALE, |m, v| m.max(v.abs()));
    got.iter().zip(want).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / largest
}

/// f32 sums of up to a few thousand products in another order, through a softmax and a norm.
const TOLERANCE: f64 = 5e-6;

fn assert_close(got: &[f32], want: &[f64], what: &str) {
    let worst = difference(got, want);
    assert!(worst <= TOLERANCE, "{what}: {worst:e} of the largest value");
}

fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|v| f64::from(*v)).collect()
}

/// Result and gradients of all operands (x first), from one forward and backward pass.
struct Pass {
    y: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

fn gradient<const D: usize>(t: &Tensor<D>, gradients: &Gradients) -> Vec<f32> {
    values(t.grad(gradients).expect("a gradient"))
}

/// The direction of a loss `sum y · direction`.
fn direction(n: usize) -> Vec<f32> {
    numbers(n, 99)
}

// --- attention along the depth and within slices ---

fn attention(case: &AttentionCase, fast: bool) -> Pass {
    let config = AttentionConfig {
        channels: case.dims[1],
        heads: case.heads,
        head_channels: case.head_channels,
        axis: case.axis,
        kind: if case.linear { AttentionKind::Linear } else { AttentionKind::Softmax },
        out_bias: case.out_bias,
    };
    let (c, inner, len) = (case.dims[1], case.heads * case.head_channels, case.len());
    let v = case.operands();
    let param = |i: usize, shape: [usize; 2]| Param::from_tensor(tensor(&v[i], shape));
    let mut layer: Attention = config.init(&recording());
    layer.gamma = Param::from_tensor(tensor(&v[1], [c]));
    layer.to_qkv = param(2, [3 * inner, c]);
    layer.to_out = param(3, [c, inner]);
    layer.out_bias = case.out_bias.then(|| Param::from_tensor(tensor(&v[4], [c])));
    let x = tensor(&v[0], case.dims).require_grad();
    let half = case.head_channels / 2;
    let positions = case.positions.then(|| {
        let (cos, sin) = case.angles();
        Positions {
            rotary: (tensor(&cos, [len, half]), tensor(&sin, [len, half])),
            bias: tensor(&v[5], [case.heads, len, len]).require_grad(),
        }
    });
    let y = if fast {
        layer.forward(x.clone(), positions.as_ref())
    } else {
        layer.forward_any(x.clone(), positions.as_ref())
    };
    let g = (y.clone() * tensor(&direction(v[0].len()), case.dims)).sum().backward();
    let mut gradients = vec![
        gradient(&x, &g),
        gradient(&layer.gamma.val(), &g),
        gradient(&layer.to_qkv.val(), &g),
        gradient(&layer.to_out.val(), &g),
    ];
    gradients.push(layer.out_bias.map_or(vec![], |b| gradient(&b.val(), &g)));
    gradients.push(positions.map_or(vec![], |p| gradient(&p.bias, &g)));
    Pass { y: values(y), gradients }
}

const OPERANDS: [&str; 6] = ["x", "gamma", "to_qkv", "to_out", "out_bias", "position bias"];

fn attention_cases() -> Vec<AttentionCase> {
    let case = |dims, axis, linear, positions, heads, head_channels| AttentionCase {
        dims,
        axis,
        linear,
        positions,
        heads,
        head_channels,
        out_bias: linear || heads == 2,
    };
    vec![
        case([2, 5, 7, 3, 2], Axis::Depth, false, true, 3, 12),
        case([1, 24, 9, 5, 3], Axis::Depth, false, true, 8, 32),
        case([3, 7, 1, 2, 2], Axis::Depth, false, true, 1, 2), // sequences of one
        case([2, 17, 2, 5, 9], Axis::Slice, false, false, 2, 10),
        case([1, 20, 3, 1, 1], Axis::Slice, false, false, 4, 16),
        case([1, 6, 2, 13, 11], Axis::Slice, false, false, 1, 8), // more than one block of queries
        case([2, 20, 3, 5, 7], Axis::Slice, true, false, 3, 12),
        case([1, 24, 2, 6, 6], Axis::Slice, true, false, 8, 32),
        case([2, 3, 5, 1, 1], Axis::Slice, true, false, 5, 3),
        case([2, 9, 6, 3, 4], Axis::Depth, true, false, 7, 17),
    ]
}

#[test]
fn attention_gradients_agree_with_autodiff() {
    for case in attention_cases() {
        let (fast, slow) = (attention(&case, true), attention(&case, false));
        assert_close(&fast.y, &wide(&slow.y), &format!("{case:?}: y"));
        for ((fast, slow), name) in fast.gradients.iter().zip(&slow.gradients).zip(OPERANDS) {
            assert_close(fast, &wide(slow), &format!("{case:?}: {name}"));
        }
    }
}

/// Central differences of `forward` along up to 12 elements of each operand. In f64 with a step of 1e-5 they err by
/// about 1e-9, so the tolerance is that of the f32 kernels alone.
fn assert_differences(
    operands: &[Vec<f32>],
    gradients: &[Vec<f32>],
    names: &[&str],
    what: &str,
    forward: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) {
    let operands: Vec<Vec<f64>> = operands.iter().map(|v| wide(v)).collect();
    let step = 1e-5;
    for (k, (found, name)) in gradients.iter().zip(names).enumerate().filter(|(_, (g, _))| !g.is_empty()) {
        let stride = (found.len() / 12).max(1);
        let at: Vec<usize> = (0..found.len()).step_by(stride).collect();
        let loss = |i: usize, d: f64| -> f64 {
            let mut moved = operands.clone();
            moved[k][i] += d;
            let y = forward(&moved);
            let direction = direction(y.len());
            y.iter().zip(&direction).map(|(y, d)| y * f64::from(*d)).sum()
        };
        let want: Vec<f64> = at.iter().map(|i| (loss(*i, step) - loss(*i, -step)) / (2.0 * step)).collect();
        let got: Vec<f32> = at.iter().map(|i| found[*i]).collect();
        // The scale is the whole gradient's: single elements may be small by cancellation.
        let largest = found.iter().fold(SCALE, |m, v| m.max(f64::from(v.abs())));
        let worst = got.iter().zip(&want).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        let worst = worst / largest;
        assert!(worst <= TOLERANCE, "{what}: {name}: {worst:e}");
    }
}

#[test]
fn attention_gradients_agree_with_differences() {
    for case in attention_cases() {
        let found = attention(&case, true);
        let what = format!("{case:?}");
        let operands = case.operands();
        let y = case.forward(&operands.iter().map(|v| wide(v)).collect::<Vec<_>>());
        assert_close(&found.y, &y, &what);
        assert_differences(&operands, &found.gradients, &OPERANDS, &what, |v| case.forward(v));
    }
}

#[test]
fn attention_without_gradients_takes_the_same_kernel() {
    for case in attention_cases().into_iter().filter(|c| !c.positions) {
        let plain = Device::flex();
        let config = AttentionConfig {
            channels: case.dims[1],
            heads: case.heads,
            head_channels: case.head_channels,
            axis: case.axis,
            kind: if case.linear { AttentionKind::Linear } else { AttentionKind::Softmax },
            out_bias: case.out_bias,
        };
        let layer = config.init(&plain);
        let x = random(case.dims, 1);
        // Weights that record nothing, x that does: only x gets a gradient.
        let tracked = x.clone().require_grad();
        let y = layer.forward(tracked.clone(), None);
        assert_eq!(values(y.clone().inner()), values(layer.forward(x.inner(), None)), "{case:?}");
        assert!(tracked.grad(&y.sum().backward()).is_some());
    }
}

// --- attention within windows ---

fn window_layer(case: &WindowCase) -> (WindowAttention, Tensor<5>) {
    let config = WindowAttentionConfig {
        channels: case.dims[4],
        heads: case.heads,
        window: case.window,
        shift: case.shift,
        index: if case.corrected { RelativeIndex::Corrected } else { RelativeIndex::Published },
    };
    let (c, v) = (case.dims[4], case.operands());
    let mut layer = config.init(&recording());
    layer.qkv.weight = Param::from_tensor(tensor(&v[1], [3 * c, c]));
    layer.qkv.bias = Some(Param::from_tensor(tensor(&v[2], [3 * c])));
    layer.proj.weight = Param::from_tensor(tensor(&v[3], [c, c]));
    layer.proj.bias = Some(Param::from_tensor(tensor(&v[4], [c])));
    let entries = (2 * case.window - 1).pow(3);
    layer.relative_position_bias_table = Param::from_tensor(tensor(&v[5], [entries, case.heads]));
    (layer, tensor(&v[0], case.dims).require_grad())
}

fn window(case: &WindowCase, fast: bool) -> Pass {
    let (layer, x) = window_layer(case);
    let y = if fast { layer.forward(x.clone()) } else { layer.forward_any(x.clone()) };
    let n = case.dims.iter().product();
    let g = (y.clone() * tensor(&direction(n), case.dims)).sum().backward();
    let gradients = vec![
        gradient(&x, &g),
        gradient(&layer.qkv.weight.val(), &g),
        gradient(&layer.qkv.bias.as_ref().unwrap().val(), &g),
        gradient(&layer.proj.weight.val(), &g),
        gradient(&layer.proj.bias.as_ref().unwrap().val(), &g),
        gradient(&layer.relative_position_bias_table.val(), &g),
    ];
    Pass { y: values(y), gradients }
}

const WINDOW_OPERANDS: [&str; 6] = ["x", "qkv.weight", "qkv.bias", "proj.weight", "proj.bias", "table"];

fn window_cases() -> Vec<WindowCase> {
    let case = |dims, heads, window, shift, corrected| WindowCase { dims, heads, window, shift, corrected };
    vec![
        case([2, 5, 7, 4, 6], 3, 3, 1, false),  // padding on every axis, shifted
        case([1, 6, 4, 4, 8], 1, 2, 1, true),   // no padding, shifted
        case([2, 4, 8, 4, 20], 4, 4, 2, false), // shrunk along two axes, shifted along one
        case([1, 3, 5, 2, 24], 8, 4, 1, true),  // shrunk to 3 and 2, padded
        case([1, 3, 5, 2, 24], 8, 4, 1, false), // with the published index
        case([3, 2, 2, 3, 7], 7, 3, 1, false),  // one window in all
        case([1, 1, 1, 1, 4], 2, 3, 1, false),  // one token
        case([2, 5, 1, 9, 10], 5, 3, 0, false), // not shifted, padded
        case([1, 9, 7, 8, 48], 3, 7, 3, false), // the published sizes of heads and windows
        case([1, 6, 6, 6, 32], 2, 7, 3, false), // as the last stage of a 96³ patch
    ]
}

#[test]
fn window_attention_agrees_with_the_reference() {
    for case in window_cases() {
        let want = case.forward(&case.operands().iter().map(|v| wide(v)).collect::<Vec<_>>());
        assert_close(&window(&case, true).y, &want, &format!("{case:?}"));
        assert_close(&window(&case, false).y, &want, &format!("{case:?}, Burn's operations"));
    }
}

#[test]
fn window_gradients_agree_with_autodiff() {
    for case in window_cases() {
        let (fast, slow) = (window(&case, true), window(&case, false));
        for ((fast, slow), name) in fast.gradients.iter().zip(&slow.gradients).zip(WINDOW_OPERANDS) {
            assert_close(fast, &wide(slow), &format!("{case:?}: {name}"));
        }
    }
}

#[test]
fn window_gradients_agree_with_differences() {
    // The f64 reference of the two largest cases takes seconds for each difference.
    for case in window_cases().into_iter().filter(|c| c.dims.iter().product::<usize>() < 4000) {
        let found = window(&case, true);
        let what = format!("{case:?}");
        assert_differences(&case.operands(), &found.gradients, &WINDOW_OPERANDS, &what, |v| case.forward(v));
    }
}

// --- both ---

/// Large enough for several pieces and, in the second and fourth, groups of heads.
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let case = |dims, axis, linear| AttentionCase {
        dims,
        axis,
        linear,
        positions: !linear,
        heads: 8,
        head_channels: 8,
        out_bias: linear,
    };
    let attentions = [
        case([2, 24, 9, 20, 21], Axis::Depth, false),
        case([1, 24, 9, 5, 3], Axis::Depth, false),
        case([1, 24, 19, 12, 13], Axis::Slice, true),
        case([1, 24, 2, 3, 3], Axis::Slice, true),
    ];
    let windows = [([2, 9, 15, 8, 24], 3, 4, 2), ([1, 4, 4, 4, 24], 6, 4, 2)]
        .map(|(dims, heads, window, shift)| WindowCase { dims, heads, window, shift, corrected: false });
    let with = |threads: usize| -> Vec<Vec<f32>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let passes =
                attentions.iter().map(|c| attention(c, true)).chain(windows.iter().map(|c| window(c, true)));
            passes.flat_map(|p| std::iter::once(p.y).chain(p.gradients)).collect()
        })
    };
    let one = with(1);
    for threads in [2, 3] {
        assert!(one == with(threads), "{threads} threads");
    }
}

/// The bias of all depth attentions is looked up in one table: its gradient is the sum over all pairs of positions of
/// one bucket.
#[test]
fn the_gradient_of_the_position_bias_reaches_its_table() {
    struct Table<'a>(&'a Gradients, Option<Vec<f32>>, Vec<String>);
    impl ModuleVisitor for Table<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.2.push(name.into());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.2.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.2.join(".") == "position_bias" {
                self.1 = param.val().grad(self.0).map(values);
            }
        }
    }
    let n = 13;
    let model = DiffusionConfig::default().init(&recording());
    let bias = model.positions(n, &recording()).bias;
    let [heads, ..] = bias.dims();
    let direction = numbers(heads * n * n, 5);
    let gradients = (bias * tensor(&direction, [heads, n, n])).sum().backward();
    let mut table = Table(&gradients, None, vec![]);
    model.visit(&mut table);
    let mut want = vec![0f64; 32 * heads];
    for (i, d) in direction.iter().enumerate() {
        let (head, query, key) = (i / (n * n), i / n % n, i % n);
        want[bucket(query as i64 - key as i64) * heads + head] += f64::from(*d);
    }
    assert_close(&table.1.expect("a gradient of the table"), &want, "table");
}
