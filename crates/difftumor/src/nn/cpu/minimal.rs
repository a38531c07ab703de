//! Minimal filtering on one axis: a few outputs of a short filter from fewer products than taps × outputs
//! (Winograd; Lavin & Gray 2016). Convolutions in three dimensions use one [`Axis`] for each of D, H and W.
//!
//! A tile of inputs is mapped to points (`input`), each point is multiplied by the filter's value there (`kernel`), and
//! the products are mapped to a tile of outputs (`output`). Exact but for rounding: the maps are sums with small factors.
use pulp::Simd;

/// Most inputs, points and products of a tile.
pub const MOST: usize = 6;
/// Most outputs of a tile.
pub const MOST_OUTPUTS: usize = 4;
/// Outputs of every algorithm's tiles divide this.
pub const WIDEST_TILE: usize = MOST_OUTPUTS;
/// Most filter taps.
pub const MOST_TAPS: usize = 4;

/// An algorithm for one axis. Arrays are as long as the longest algorithm needs; the rest is not looked at.
pub trait Axis: Sync {
    /// Inputs of a tile.
    const INPUTS: usize;
    /// Inputs from one tile to the next.
    const STEP: usize;
    /// Points that inputs are mapped to.
    const X_POINTS: usize;
    /// Products.
    const PRODUCTS: usize;
    /// Points that are summed into one product: their filter values stand side by side, so that it is one longer row of
    /// a matrix product.
    const RUNS: usize;
    /// Outputs of a tile.
    const OUTPUTS: usize;
    /// Filter taps.
    const TAPS: usize;

    /// Where the first input of a tile lies whose first output is `o`.
    fn first_input(o: usize) -> isize;
    /// The input point of a product's run.
    fn x_point(product: usize, _run: usize) -> usize {
        product
    }
    /// Inputs to points.
    fn input<S: Simd>(simd: S, x: [S::f32s; MOST]) -> [S::f32s; MOST];
    /// Products to outputs.
    fn output<S: Simd>(simd: S, m: [S::f32s; MOST]) -> [S::f32s; MOST_OUTPUTS];
    /// Taps to the filter's values, by product and run.
    fn kernel(w: [f64; MOST_TAPS]) -> [[f64; 2]; MOST];
}

/// 3 taps, stride 1: 2 outputs from 4 products instead of 6.
pub struct Two;
impl Axis for Two {
    const INPUTS: usize = 4;
    const STEP: usize = 2;
    const X_POINTS: usize = 4;
    const PRODUCTS: usize = 4;
    const RUNS: usize = 1;
    const OUTPUTS: usize = 2;
    const TAPS: usize = 3;

    fn first_input(o: usize) -> isize {
        o as isize - 1
    }
    #[inline(always)]
    fn input<S: Simd>(simd: S, x: [S::f32s; MOST]) -> [S::f32s; MOST] {
        let zero = simd.splat_f32s(0.0);
        [
            simd.sub_f32s(x[0], x[2]),
            simd.add_f32s(x[1], x[2]),
            simd.sub_f32s(x[2], x[1]),
            simd.sub_f32s(x[1], x[3]),
            zero,
            zero,
        ]
    }
    #[inline(always)]
    fn output<S: Simd>(simd: S, m: [S::f32s; MOST]) -> [S::f32s; MOST_OUTPUTS] {
        let zero = simd.splat_f32s(0.0);
        let (sum, difference) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
        [simd.add_f32s(m[0], sum), simd.sub_f32s(difference, m[3]), zero, zero]
    }
    fn kernel(w: [f64; MOST_TAPS]) -> [[f64; 2]; MOST] {
        let [a, b, c, _] = w;
        single([a, (a + b + c) / 2.0, (a - b + c) / 2.0, c, 0.0, 0.0])
    }
}

/// 3 taps, stride 1: 4 outputs from 6 products instead of 12 (points 0, ±1, ±2, ∞).
pub struct Four;
impl Axis for Four {
    const INPUTS: usize = 6;
    const STEP: usize = 4;
    const X_POINTS: usize = 6;
    const PRODUCTS: usize = 6;
    const RUNS: usize = 1;
    const OUTPUTS: usize = 4;
    const TAPS: usize = 3;

    fn first_input(o: usize) -> isize {
        o as isize - 1
    }
    #[inline(always)]
    fn input<S: Simd>(simd: S, x: [S::f32s; MOST]) -> [S::f32s; MOST] {
        let [x0, x1, x2, x3, x4, x5] = x;
        let four = simd.splat_f32s(4.0);
        let five = simd.splat_f32s(5.0);
        let two = simd.splat_f32s(2.0);
        let even = simd.negate_mul_add_e_f32s(four, x2, x4); // x4 - 4 x2
        let odd = simd.negate_mul_add_e_f32s(four, x1, x3); // x3 - 4 x1
        let near = simd.sub_f32s(x4, x2);
        let far = simd.mul_f32s(two, simd.sub_f32s(x3, x1));
        [
            simd.mul_add_e_f32s(four, x0, simd.negate_mul_add_e_f32s(five, x2, x4)),
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            simd.add_f32s(near, far),
            simd.sub_f32s(near, far),
            simd.mul_add_e_f32s(four, x1, simd.negate_mul_add_e_f32s(five, x3, x5)),
        ]
    }
    #[inline(always)]
    fn output<S: Simd>(simd: S, m: [S::f32s; MOST]) -> [S::f32s; MOST_OUTPUTS] {
        let [m0, m1, m2, m3, m4, m5] = m;
        let (two, four, eight) = (simd.splat_f32s(2.0), simd.splat_f32s(4.0), simd.splat_f32s(8.0));
        let (a, b) = (simd.add_f32s(m1, m2), simd.sub_f32s(m1, m2));
        let (c, d) = (simd.add_f32s(m3, m4), simd.sub_f32s(m3, m4));
        [
            simd.add_f32s(m0, simd.add_f32s(a, c)),
            simd.mul_add_e_f32s(two, d, b),
            simd.mul_add_e_f32s(four, c, a),
            simd.add_f32s(m5, simd.mul_add_e_f32s(eight, d, b)),
        ]
    }
    fn kernel(w: [f64; MOST_TAPS]) -> [[f64; 2]; MOST] {
        let [a, b, c, _] = w;
        single([
            a / 4.0,
            -(a + b + c) / 6.0,
            -(a - b + c) / 6.0,
            (a + 2.0 * b + 4.0 * c) / 24.0,
            (a - 2.0 * b + 4.0 * c) / 24.0,
            c,
        ])
    }
}

/// Transposed, 4 taps, stride 2: outputs of either parity are a filter of 2 taps over the inputs, two of which cost 3
/// products instead of 4 (spec/autoencoder.md section 2: output 2m is `x[m]·w[3] + x[m+1]·w[1]`, output 2m+1 is
/// `x[m+1]·w[2] + x[m+2]·w[0]` in inputs padded by one).
pub struct Up;
impl Axis for Up {
    const INPUTS: usize = 4;
    const STEP: usize = 2;
    const X_POINTS: usize = 5;
    const PRODUCTS: usize = 6;
    const RUNS: usize = 1;
    const OUTPUTS: usize = 4;
    const TAPS: usize = 4;

    fn first_input(o: usize) -> isize {
        assert!(o.is_multiple_of(2), "tiles of a transposed convolution begin at even outputs, not at {o}");
        (o / 2) as isize - 1
    }
    fn x_point(product: usize, _run: usize) -> usize {
        // The last of the even and the first of the odd parity meet.
        [0, 1, 2, 2, 3, 4][product]
    }
    #[inline(always)]
    fn input<S: Simd>(simd: S, x: [S::f32s; MOST]) -> [S::f32s; MOST] {
        let zero = simd.splat_f32s(0.0);
        [simd.sub_f32s(x[0], x[1]), x[1], simd.sub_f32s(x[1], x[2]), x[2], simd.sub_f32s(x[2], x[3]), zero]
    }
    #[inline(always)]
    fn output<S: Simd>(simd: S, m: [S::f32s; MOST]) -> [S::f32s; MOST_OUTPUTS] {
        [
            simd.add_f32s(m[0], m[1]),
            simd.add_f32s(m[3], m[4]),
            simd.sub_f32s(m[1], m[2]),
            simd.sub_f32s(m[4], m[5]),
        ]
    }
    fn kernel(w: [f64; MOST_TAPS]) -> [[f64; 2]; MOST] {
        single([w[3], w[3] + w[1], w[1], w[2], w[2] + w[0], w[0]])
    }
}

/// 4 taps, stride 2: even and odd inputs each meet a filter of 2 taps; 2 outputs from 6 products instead of 8, and the
/// two parities' products are summed before they are mapped.
pub struct Down;
impl Axis for Down {
    const INPUTS: usize = 6;
    const STEP: usize = 4;
    const X_POINTS: usize = 6;
    const PRODUCTS: usize = 3;
    const RUNS: usize = 2;
    const OUTPUTS: usize = 2;
    const TAPS: usize = 4;

    fn first_input(o: usize) -> isize {
        2 * o as isize - 1
    }
    fn x_point(product: usize, run: usize) -> usize {
        3 * run + product
    }
    #[inline(always)]
    fn input<S: Simd>(simd: S, x: [S::f32s; MOST]) -> [S::f32s; MOST] {
        let [x0, x1, x2, x3, x4, x5] = x;
        [simd.sub_f32s(x0, x2), x2, simd.sub_f32s(x2, x4), simd.sub_f32s(x1, x3), x3, simd.sub_f32s(x3, x5)]
    }
    #[inline(always)]
    fn output<S: Simd>(simd: S, m: [S::f32s; MOST]) -> [S::f32s; MOST_OUTPUTS] {
        let zero = simd.splat_f32s(0.0);
        [simd.add_f32s(m[0], m[1]), simd.sub_f32s(m[1], m[2]), zero, zero]
    }
    fn kernel(w: [f64; MOST_TAPS]) -> [[f64; 2]; MOST] {
        let zero = [0.0; 2];
        [[w[0], w[1]], [w[0] + w[2], w[1] + w[3]], [w[2], w[3]], zero, zero, zero]
    }
}

fn single(values: [f64; MOST]) -> [[f64; 2]; MOST] {
    values.map(|v| [v, 0.0])
}
