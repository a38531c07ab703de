//! What every test of gradients shares: an operation on flat inputs, run on the CPU kernels, on Burn's own
//! operations, and against central differences of an f64 reference.
use burn::tensor::{Device, Tensor, TensorData};

/// An operation on flat tensors, which reshapes them itself; the result is flat too.
pub type Op<'a> = &'a (dyn Fn(&[Tensor<1>]) -> Tensor<1> + Sync);

/// `n` numbers from -1 to 1 that look random.
pub fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// A device whose tensors record gradients with checkpointing: the CPU kernels do not take them, so Burn's
/// operations run, as on a GPU.
pub fn fallback() -> Device {
    Device::flex().autodiff().gradient_checkpointing()
}

pub fn values(t: Tensor<1>) -> Vec<f32> {
    t.into_data().try_to_vec::<f32>().expect("f32")
}

/// Result, and the gradients of all `wanted` inputs for the sum of the result times fixed weights.
pub fn run(op: Op, inputs: &[Vec<f32>], wanted: &[bool], device: &Device) -> (Vec<f32>, Vec<Vec<f32>>) {
    let leaves: Vec<Tensor<1>> = inputs
        .iter()
        .zip(wanted)
        .map(|(v, w)| Tensor::from_data(TensorData::new(v.clone(), [v.len()]), device).set_require_grad(*w))
        .collect();
    let y = op(&leaves);
    let n = y.dims()[0];
    let weights = Tensor::from_data(TensorData::new(numbers(n, 99), [n]), device);
    let gradients = (y.clone() * weights).sum().backward();
    let found = leaves
        .iter()
        .zip(wanted)
        .filter(|(_, w)| **w)
        .map(|(leaf, _)| values(leaf.grad(&gradients).expect("a gradient for each wanted input")))
        .collect();
    (values(y.inner()), found)
}

pub fn assert_close(found: &[f32], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), want.len(), "{what}");
    let largest = want.iter().fold(1e-30f64, |m, v| m.max(v.abs()));
    let worst = found.iter().zip(want).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0f64, f64::max);
    println!("{what}: {:.2e} of the largest value", worst / largest);
    assert!(worst <= tolerance * largest, "{what}: {worst} of {largest}");
}

fn widen(v: &[f32]) -> Vec<f64> {
    v.iter().map(|v| f64::from(*v)).collect()
}

/// The kernels against Burn's operations; recorded or not, and with one thread or two, they give the same bits.
pub fn against_burn(op: Op, inputs: &[Vec<f32>], wanted: &[bool], tolerance: f64, what: &str) {
    let device = Device::flex().autodiff();
    let in_pool = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| run(op, inputs, wanted, &device))
    };
    let (out, gradients) = in_pool(2);
    assert_eq!((&out, &gradients), (&in_pool(1).0, &in_pool(1).1), "{what}: depends on the threads");
    let plain: Vec<Tensor<1>> = inputs
        .iter()
        .map(|v| Tensor::from_data(TensorData::new(v.clone(), [v.len()]), &Device::flex()))
        .collect();
    assert_eq!(out, values(op(&plain)), "{what}: depends on whether gradients are recorded");
    let (slow, want) = run(op, inputs, wanted, &fallback());
    assert_close(&out, &widen(&slow), tolerance, &format!("{what}: value"));
    for (i, (found, want)) in gradients.iter().zip(&want).enumerate() {
        assert_close(found, &widen(want), tolerance, &format!("{what}: gradient {i}"));
    }
}

/// The kernels' gradients against central differences of `naive`, the same operation in f64.
pub fn against_differences(
    op: Op,
    naive: &dyn Fn(&[Vec<f64>]) -> Vec<f64>,
    inputs: &[Vec<f32>],
    tolerance: f64,
    what: &str,
) {
    let (out, gradients) = run(op, inputs, &vec![true; inputs.len()], &Device::flex().autodiff());
    let mut exact: Vec<Vec<f64>> = inputs.iter().map(|v| widen(v)).collect();
    assert_close(&out, &naive(&exact), tolerance, &format!("{what}: value against f64"));
    let weights = widen(&numbers(out.len(), 99));
    let step = 1e-6; // rounding 1e-16 / 1e-6 and curvature 1e-12: both far below the tolerances
    for i in 0..inputs.len() {
        let mut slopes = Vec::new();
        for k in 0..inputs[i].len() {
            let old = exact[i][k];
            let mut at = |x: f64| {
                exact[i][k] = x;
                naive(&exact).iter().zip(&weights).map(|(y, w)| y * w).sum::<f64>()
            };
            let slope = (at(old + step) - at(old - step)) / (2.0 * step);
            exact[i][k] = old;
            slopes.push(slope);
        }
        assert_close(&gradients[i], &slopes, tolerance, &format!("{what}: gradient {i} against differences"));
    }
}
