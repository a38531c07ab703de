//! Small matrix products that can add to what is there: gradients are sums over tasks.
//!
//! `tile.rs` begins each sum from one row (a bias), and always works on two vectors of columns. Here the sums begin
//! from the result itself, and the last columns may be one vector: heads of 16 channels fill one with AVX-512, and
//! would waste half of every tile.
use super::tile::lanes;
use pulp::{Simd, WithSimd};

/// Left factor: element (i, j) at `i * row + j * step`. Transposed, row and step change places.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    /// Its elements.
    pub values: &'a [f32],
    /// From one row to the next.
    pub row: usize,
    /// From one column to the next.
    pub step: usize,
}

/// Right factor: rows of contiguous columns, readable up to whole vectors.
#[derive(Clone, Copy)]
pub struct Right<'a> {
    /// Its elements.
    pub values: &'a [f32],
    /// From one row to the next.
    pub row: usize,
}

/// Result: rows of contiguous columns, writable up to whole vectors.
pub struct Out<'a> {
    /// Its elements.
    pub values: &'a mut [f32],
    /// From one row to the next.
    pub row: usize,
    /// Whether the product is added to what is there.
    pub add: bool,
}

/// `n` elements widened to whole vectors.
pub fn padded(n: usize) -> usize {
    n.next_multiple_of(lanes())
}

struct Job<'a, S> {
    simd: S,
    size: [usize; 3],
    a: Left<'a>,
    b: Right<'a>,
    out: Out<'a>,
}

/// `out[m × n] = a[m × k] · b[k × n]`, or `+=`. Sums run over k in order.
#[inline(always)]
pub fn product<'a, S: Simd>(simd: S, size: [usize; 3], a: Left<'a>, b: Right<'a>, out: Out<'a>) {
    // A call of its own, so that the tiles are compiled once and not at every place of use.
    simd.vectorize(Job { simd, size, a, b, out });
}

impl<S: Simd> WithSimd for Job<'_, S> {
    type Output = ();
    #[inline(always)]
    fn with_simd<T: Simd>(self, _: T) {
        let Self { simd, size: [m, k, n], a, b, out } = self;
        if m == 0 || k == 0 || n == 0 {
            assert!(out.add || m == 0 || n == 0, "an empty sum needs something to add to");
            return;
        }
        let lanes = S::F32_LANES;
        let columns = n.next_multiple_of(lanes);
        assert!(a.values.len() > (m - 1) * a.row + (k - 1) * a.step);
        assert!(b.values.len() >= (k - 1) * b.row + columns);
        assert!(out.values.len() >= (m - 1) * out.row + columns);
        let mut at = 0;
        while at < columns {
            // SAFETY: rows below m, terms below k and columns below `columns`, which the assertions cover.
            unsafe {
                let job = Tile {
                    a: a.values.as_ptr(),
                    b: b.values.as_ptr().add(at),
                    out: out.values.as_mut_ptr().add(at),
                    strides: (a.row, a.step, b.row, out.row),
                    k,
                    add: out.add,
                };
                if columns - at >= 2 * lanes {
                    job.rows::<S, 2>(simd, m);
                    at += 2 * lanes;
                } else {
                    job.rows::<S, 1>(simd, m);
                    at += lanes;
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Tile {
    a: *const f32,
    b: *const f32,
    out: *mut f32,
    /// Rows and steps of a, rows of b, rows of out.
    strides: (usize, usize, usize, usize),
    k: usize,
    add: bool,
}

impl Tile {
    /// # Safety
    /// All elements of `m` rows, `k` terms and `V` vectors of columns must be readable, and writable in `out`.
    #[inline(always)]
    unsafe fn rows<S: Simd, const V: usize>(self, simd: S, m: usize) {
        // SAFETY: passed on from the caller. Rows side by side have addresses known at compile time: products with one
        // vector of columns take 0.74 of the time.
        unsafe {
            match self.strides.0 {
                1 => self.rows_of::<S, V, true>(simd, m),
                _ => self.rows_of::<S, V, false>(simd, m),
            }
        }
    }

    /// # Safety
    /// As for `rows`; `TURNED` only if rows of `a` lie side by side.
    #[inline(always)]
    unsafe fn rows_of<S: Simd, const V: usize, const TURNED: bool>(self, simd: S, m: usize) {
        // Sums and weights must fit the registers: 32 of them with AVX-512 and NEON, 16 with AVX2.
        let tall = S::REGISTER_COUNT >= 32;
        let mut r = 0;
        while r < m {
            // SAFETY: rows from r on, fewer than are left.
            unsafe {
                let at =
                    Self { a: self.a.add(r * self.strides.0), out: self.out.add(r * self.strides.3), ..self };
                r += match m - r {
                    12.. if tall => at.run::<S, 12, V, TURNED>(simd),
                    6.. => at.run::<S, 6, V, TURNED>(simd),
                    4.. => at.run::<S, 4, V, TURNED>(simd),
                    2.. => at.run::<S, 2, V, TURNED>(simd),
                    _ => at.run::<S, 1, V, TURNED>(simd),
                };
            }
        }
    }

    /// `R` rows; returns `R`.
    ///
    /// # Safety
    /// As for `rows_of`, for `R` rows.
    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize, const V: usize, const TURNED: bool>(self, simd: S) -> usize {
        let (a_row, a_step, b_row, out_row) = self.strides;
        let a_row = if TURNED { 1 } else { a_row };
        // SAFETY: the caller vouches for all addresses.
        unsafe {
            let load = |p: *const f32| p.cast::<S::f32s>().read_unaligned();
            let mut sums = [[simd.splat_f32s(0.0); V]; R];
            if self.add {
                for r in 0..R {
                    for v in 0..V {
                        sums[r][v] = load(self.out.add(r * out_row + v * S::F32_LANES));
                    }
                }
            }
            let (mut a, mut b) = (self.a, self.b);
            for _ in 0..self.k {
                let mut row = [simd.splat_f32s(0.0); V];
                for v in 0..V {
                    row[v] = load(b.add(v * S::F32_LANES));
                }
                for r in 0..R {
                    let x = simd.splat_f32s(*a.add(r * a_row));
                    for v in 0..V {
                        sums[r][v] = simd.mul_add_e_f32s(x, row[v], sums[r][v]);
                    }
                }
                // The last step may leave the buffer, so it must not be `add`.
                a = a.wrapping_add(a_step);
                b = b.wrapping_add(b_row);
            }
            for r in 0..R {
                for v in 0..V {
                    let to = self.out.add(r * out_row + v * S::F32_LANES);
                    to.cast::<S::f32s>().write_unaligned(sums[r][v]);
                }
            }
        }
        R
    }
}

/// `to[c][r] = from[r][c]` for `rows × columns` elements; rows of `from` and `to` lie `strides` apart.
#[inline(always)]
pub fn transpose(
    from: &[f32],
    to: &mut [f32],
    rows: usize,
    columns: usize,
    (from_row, to_row): (usize, usize),
) {
    // Squares of four, which the compiler turns with shuffles: half the time of single elements.
    const SIDE: usize = 4;
    let (whole_rows, whole_columns) = (rows / SIDE * SIDE, columns / SIDE * SIDE);
    for r in (0..whole_rows).step_by(SIDE) {
        for c in (0..whole_columns).step_by(SIDE) {
            let mut square = [[0f32; SIDE]; SIDE];
            for i in 0..SIDE {
                square[i].copy_from_slice(&from[(r + i) * from_row + c..][..SIDE]);
            }
            for j in 0..SIDE {
                let line: [f32; SIDE] = std::array::from_fn(|i| square[i][j]);
                to[(c + j) * to_row + r..][..SIDE].copy_from_slice(&line);
            }
        }
    }
    for c in 0..columns {
        for r in if c < whole_columns { whole_rows } else { 0 }..rows {
            to[c * to_row + r] = from[r * from_row + c];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tile::arch;
    use super::*;

    struct Run<'a>([usize; 3], Left<'a>, Right<'a>, Out<'a>);
    impl WithSimd for Run<'_> {
        type Output = ();
        fn with_simd<S: Simd>(self, simd: S) {
            product(simd, self.0, self.1, self.2, self.3);
        }
    }

    /// Small whole numbers: every sum is exact in f32, so the product must equal the naive one.
    #[test]
    fn products_are_exact_on_whole_numbers() {
        for (m, k, n) in [(1, 1, 1), (5, 3, 17), (24, 9, 48), (31, 7, 100)] {
            let a: Vec<f32> = (0..m * k).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
            let width = padded(n);
            let b: Vec<f32> = (0..k * width).map(|i| (i * 5 % 13) as f32 - 6.0).collect();
            for (add, row, step) in [(false, k, 1), (true, 1, m)] {
                let mut out = vec![2f32; m * width];
                let left = Left { values: &a, row, step };
                let to = Out { values: &mut out, row: width, add };
                arch().dispatch(Run([m, k, n], left, Right { values: &b, row: width }, to));
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let sum: f32 = (0..k).map(|t| a[i * row + t * step] * b[t * width + j]).sum();
                    assert_eq!(out[i * width + j], sum + if add { 2.0 } else { 0.0 }, "{m} {k} {n}: {i} {j}");
                }
            }
        }
    }
}
