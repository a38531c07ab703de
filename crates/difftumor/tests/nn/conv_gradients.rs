//! Gradients of convolutions and transposed convolutions against the sums they stand for, written out in f64, at odd
//! sizes, more than one item and every kernel shape in use; and once through the whole tape against Burn's own.
//!
//! Tolerance 5e-6 of the largest value: f32 sums of up to 6000 products in another order.
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use difftumor::nn::*;

const TOLERANCE: f64 = 5e-6;

/// A layer's linear map as a list of (tap, output voxel, input voxel): every gradient is a sum over it.
type Links = Vec<[usize; 3]>;

fn index(i: [usize; 3], n: [usize; 3]) -> usize {
    (i[0] * n[1] + i[1]) * n[2] + i[2]
}

fn positions(n: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..n[0] * n[1] * n[2]).map(move |i| [i / (n[1] * n[2]), i / n[2] % n[1], i % n[2]])
}

fn conv_links(g: &ConvGeometry, n: [usize; 3]) -> Links {
    let m = g.output_shape(n);
    let mut links = vec![];
    for o in positions(m) {
        for t in positions(g.kernel) {
            let source: Option<Vec<usize>> = (0..3)
                .map(|a| {
                    let i = (o[a] * g.stride[a] + t[a]) as isize - g.pad_before[a] as isize;
                    let inside = i.clamp(0, n[a] as isize - 1);
                    (g.padding == Padding::Edge || i == inside).then_some(inside as usize)
                })
                .collect();
            if let Some(i) = source {
                links.push([index(t, g.kernel), index(o, m), index([i[0], i[1], i[2]], n)]);
            }
        }
    }
    links
}

fn transposed_links(g: &TransposedGeometry, n: [usize; 3]) -> Links {
    let (m, rim) = (g.output_shape(n), g.rim());
    let mut links = vec![];
    for i in positions(std::array::from_fn(|a| n[a] + 2 * rim[a])) {
        for t in positions(g.kernel) {
            let to: Option<Vec<usize>> = (0..3)
                .map(|a| {
                    let full = i[a] * g.stride[a] + t[a];
                    full.checked_sub(g.trim_before[a] + rim[a] * g.stride[a]).filter(|o| *o < m[a])
                })
                .collect();
            if let Some(o) = to {
                let i = std::array::from_fn(|a| i[a].saturating_sub(rim[a]).min(n[a] - 1));
                links.push([index(t, g.kernel), index([o[0], o[1], o[2]], m), index(i, n)]);
            }
        }
    }
    links
}

fn random<const D: usize>(shape: [usize; D]) -> Vec<f32> {
    let t = Tensor::<D>::random(shape, Distribution::Normal(0.1, 1.0), &Device::flex());
    t.into_data().try_to_vec().unwrap()
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data().try_to_vec().unwrap()
}

fn assert_close(found: &[f32], want: &[f64], what: &str) {
    assert_eq!(found.len(), want.len(), "{what}");
    // At least 1, the size of what is summed: a single sum may cancel to less than its terms' rounding allows.
    let largest = want.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    let worst = found.iter().zip(want).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(worst <= TOLERANCE * largest, "{what}: {worst} of {largest}");
}

/// What is compared: the result and the gradients of x, weight and bias for the result's gradient `g`.
struct Case<'a> {
    links: &'a Links,
    /// Items, input and output channels, taps, input and output voxels.
    sizes: [usize; 6],
    /// Position of (input channel, output channel, tap) in the weight.
    weight_at: &'a dyn Fn(usize, usize, usize) -> usize,
}

impl Case<'_> {
    fn expected(&self, x: &[f32], w: &[f32], b: &[f32], g: &[f32]) -> [Vec<f64>; 4] {
        let [items, ci, co, _, vn, vm] = self.sizes;
        let mut y: Vec<f64> = (0..g.len()).map(|i| f64::from(b[i / vm % co])).collect();
        let (mut dx, mut dw, mut db) = (vec![0f64; x.len()], vec![0f64; w.len()], vec![0f64; co]);
        for (i, v) in g.iter().enumerate() {
            db[i / vm % co] += f64::from(*v);
        }
        for item in 0..items {
            for &[t, o, i] in self.links {
                for c in 0..ci {
                    for k in 0..co {
                        let (at_x, at_g) = ((item * ci + c) * vn + i, (item * co + k) * vm + o);
                        let at_w = (self.weight_at)(c, k, t);
                        let (x, w, g) = (f64::from(x[at_x]), f64::from(w[at_w]), f64::from(g[at_g]));
                        y[at_g] += x * w;
                        dx[at_x] += g * w;
                        dw[at_w] += g * x;
                    }
                }
            }
        }
        [y, dx, dw, db]
    }
}

fn kernels() -> Device {
    Device::flex().autodiff()
}

/// The kernels do not know gradient checkpointing: Burn's operations run.
fn burns_own() -> Device {
    kernels().gradient_checkpointing()
}

/// Runs a layer on tensors that record gradients: the result and the gradients.
fn run(
    device: &Device,
    [x_shape, w_shape, y_shape]: [[usize; 5]; 3],
    [x, w, b, g]: [&[f32]; 4],
    layer: impl Fn(Tensor<5>, Tensor<5>, Tensor<1>) -> Tensor<5>,
) -> [Vec<f32>; 4] {
    let leaf =
        |v: &[f32], shape| Tensor::<5>::from_data(TensorData::new(v.to_vec(), shape), device).require_grad();
    let (x, w) = (leaf(x, x_shape), leaf(w, w_shape));
    let b = Tensor::<1>::from_data(TensorData::new(b.to_vec(), [b.len()]), device).require_grad();
    let y = layer(x.clone(), w.clone(), b.clone());
    let g = Tensor::<5>::from_data(TensorData::new(g.to_vec(), y_shape), device);
    let grads = (y.clone() * g).sum().backward();
    [
        values(y.inner()),
        values(x.grad(&grads).unwrap()),
        values(w.grad(&grads).unwrap()),
        values(b.grad(&grads).unwrap()),
    ]
}

fn check_conv(g: ConvGeometry, n: [usize; 3], [ci, co]: [usize; 2], items: usize) {
    let (m, taps) = (g.output_shape(n), g.kernel.iter().product::<usize>());
    let [kd, kh, kw] = g.kernel;
    let shapes = [[items, ci, n[0], n[1], n[2]], [co, ci, kd, kh, kw], [items, co, m[0], m[1], m[2]]];
    let (x, w, b, dy) = (random(shapes[0]), random(shapes[1]), random([co]), random(shapes[2]));
    let sizes = [items, ci, co, taps, n.iter().product(), m.iter().product()];
    let weight_at = |c, k, t| (k * ci + c) * taps + t;
    let links = conv_links(&g, n);
    let want = Case { links: &links, sizes, weight_at: &weight_at }.expected(&x, &w, &b, &dy);
    let layer = |x: Tensor<5>, w, b| {
        let mut conv = Conv3dConfig { channels: [ci, co], geometry: g, bias: true }.init(&x.device());
        conv.weight = burn::module::Param::from_tensor(w);
        conv.bias = Some(burn::module::Param::from_tensor(b));
        conv.forward(x)
    };
    let found = run(&kernels(), shapes, [&x, &w, &b, &dy], layer);
    for (i, name) in ["result", "x", "weight", "bias"].into_iter().enumerate() {
        assert_close(&found[i], &want[i], &format!("{name} of {g:?}, {n:?}, {ci} to {co}"));
    }
}

fn check_transposed(g: TransposedGeometry, n: [usize; 3], [ci, co]: [usize; 2], items: usize) {
    let (m, taps) = (g.output_shape(n), g.kernel.iter().product::<usize>());
    let [kd, kh, kw] = g.kernel;
    let shapes = [[items, ci, n[0], n[1], n[2]], [ci, co, kd, kh, kw], [items, co, m[0], m[1], m[2]]];
    let (x, w, b, dy) = (random(shapes[0]), random(shapes[1]), random([co]), random(shapes[2]));
    let sizes = [items, ci, co, taps, n.iter().product(), m.iter().product()];
    let weight_at = |c, k, t| (c * co + k) * taps + t;
    let links = transposed_links(&g, n);
    let want = Case { links: &links, sizes, weight_at: &weight_at }.expected(&x, &w, &b, &dy);
    let layer = |x: Tensor<5>, w, b| {
        let mut conv =
            ConvTranspose3dConfig { channels: [ci, co], geometry: g, bias: true }.init(&x.device());
        conv.weight = burn::module::Param::from_tensor(w);
        conv.bias = Some(burn::module::Param::from_tensor(b));
        conv.forward(x)
    };
    let found = run(&kernels(), shapes, [&x, &w, &b, &dy], layer);
    let burns = run(&burns_own(), shapes, [&x, &w, &b, &dy], layer);
    for (i, name) in ["result", "x", "weight", "bias"].into_iter().enumerate() {
        let what = format!("{name} of {g:?}, {n:?}, {ci} to {co}");
        assert_close(&found[i], &want[i], &what);
        assert_close(&burns[i], &want[i], &format!("Burn's {what}"));
    }
}

#[test]
fn convolutions() {
    let kernels = [
        ([1; 3], [1; 3]),
        ([2; 3], [2; 3]),
        ([3; 3], [1; 3]),
        ([3; 3], [2; 3]),
        ([4; 3], [2; 3]),
        ([1, 3, 3], [1; 3]),
        ([1, 4, 4], [1, 2, 2]),
        ([1, 7, 7], [1; 3]),
        ([1; 3], [2; 3]),
    ];
    // Few channels on either side, and counts that fill no vector.
    for (kernel, stride) in kernels {
        for padding in [Padding::Zero, Padding::Edge] {
            let g = ConvGeometry::same(kernel, stride, padding);
            check_conv(g, [5, 6, 7], [3, 5], 2);
            check_conv(g, [4, 7, 9], [17, 33], 1);
            check_conv(g, [4, 8, 6], [1, 2], 3);
            check_conv(g, [6, 5, 8], [5, 1], 2);
        }
    }
    // The discriminators': two voxels of padding on each side, with stride 2 and 1.
    for (kernel, stride, pad) in [
        ([4; 3], [2; 3], [2; 3]),
        ([4; 3], [1; 3], [2; 3]),
        ([1, 4, 4], [1, 2, 2], [0, 2, 2]),
        ([1, 4, 4], [1; 3], [0, 2, 2]),
    ] {
        let g = ConvGeometry { kernel, stride, pad_before: pad, pad_after: pad, padding: Padding::Zero };
        check_conv(g, [5, 6, 7], [3, 5], 2);
        check_conv(g, [6, 5, 4], [1, 17], 2);
        check_conv(g, [5, 3, 4], [33, 1], 1);
    }
    // Padding before differs from "same", and a last voxel that no output reaches.
    let uneven = ConvGeometry { pad_after: [1; 3], ..ConvGeometry::same([3; 3], [2; 3], Padding::Zero) };
    check_conv(uneven, [9, 8, 7], [4, 6], 2);
}

/// Sizes at which the forward pass and the data gradient go by Winograd's way.
#[test]
fn large_convolutions() {
    for padding in [Padding::Zero, Padding::Edge] {
        check_conv(ConvGeometry::same([3; 3], [1; 3], padding), [17, 16, 19], [16, 17], 1);
        check_conv(ConvGeometry::same([1, 3, 3], [1; 3], padding), [15, 17, 18], [17, 16], 2);
    }
}

#[test]
fn transposed_convolutions() {
    let kernels = [
        ([4; 3], [2; 3], [1; 3]),
        ([3; 3], [2; 3], [1; 3]),
        ([2; 3], [2; 3], [0; 3]),
        ([1, 4, 4], [1, 2, 2], [0, 1, 1]),
    ];
    for (kernel, stride, trim_before) in kernels {
        for padding in [Padding::Zero, Padding::Edge] {
            let g = TransposedGeometry { kernel, stride, trim_before, padding };
            if padding == Padding::Edge && kernel == [3; 3] {
                continue; // its output needs more than one voxel of padding: no network uses it
            }
            check_transposed(g, [3, 4, 5], [3, 5], 2);
            check_transposed(g, [2, 3, 9], [17, 33], 1);
            check_transposed(g, [2, 2, 3], [1, 1], 1);
        }
    }
}

#[test]
fn a_residual_and_a_frozen_layer() {
    let geometry = ConvGeometry::same([3; 3], [1; 3], Padding::Edge);
    let config = Conv3dConfig { channels: [3, 3], geometry, bias: false };
    let shape = [2, 3, 4, 5, 6];
    let (x, r, g, w) = (random(shape), random(shape), random(shape), random([3, 3, 3, 3, 3]));
    let gradients = |device: Device| {
        let t = |v: &[f32], shape: [usize; 5]| {
            Tensor::<5>::from_data(TensorData::new(v.to_vec(), shape), &device)
        };
        let mut layer = config.init(&device);
        layer.weight = burn::module::Param::from_tensor(t(&w, [3, 3, 3, 3, 3]));
        let layer = burn::module::Module::no_grad(layer);
        let (x, r) = (t(&x, shape).require_grad(), t(&r, shape).require_grad());
        let y = layer.forward_add(x.clone(), Some(r.clone()));
        let grads = (y * t(&g, shape)).sum().backward();
        assert!(layer.weight.val().grad(&grads).is_none());
        [values(x.grad(&grads).unwrap()), values(r.grad(&grads).unwrap())]
    };
    let (found, want) = (gradients(kernels()), gradients(burns_own()));
    for (f, w) in found.iter().zip(&want) {
        assert_close(f, &w.iter().map(|v| f64::from(*v)).collect::<Vec<_>>(), "residual");
    }
    assert_eq!(found[1], g, "the residual's gradient is the result's");
}
