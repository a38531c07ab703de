//! Additions, concatenations and the losses' differences, on all threads.
use super::buffer::{PIECE, filled};
use super::tile::arch;
use pulp::{Simd, WithSimd};

struct Add<'a> {
    a: &'a [f32],
    b: &'a [f32],
    out: &'a mut [f32],
}
impl WithSimd for Add<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((o, a), b) in self.out.iter_mut().zip(self.a).zip(self.b) {
            *o = a + b;
        }
    }
}

/// `a + b`.
pub fn add(a: &[f32], b: &[f32]) -> Vec<f32> {
    assert_eq!(a.len(), b.len());
    filled(1, a.len(), PIECE, |_, start, out| {
        let range = start..start + out.len();
        arch().dispatch(Add { a: &a[range.clone()], b: &b[range], out });
    })
    .0
}

/// Items of `a` and of `b` behind each other: `[B, n]` and `[B, m]` → `[B, n + m]`.
pub fn concat(a: &[f32], b: &[f32], items: usize) -> Vec<f32> {
    let (n, m) = (a.len() / items, b.len() / items);
    assert!(a.len() == n * items && b.len() == m * items, "whole items");
    filled(items, n + m, PIECE, |item, start, out| {
        let (a, b) = (&a[item * n..][..n], &b[item * m..][..m]);
        let from_a = n.saturating_sub(start).min(out.len());
        let (head, tail) = out.split_at_mut(from_a);
        if !head.is_empty() {
            head.copy_from_slice(&a[start..][..from_a]);
        }
        if !tail.is_empty() {
            let from = start + from_a - n;
            tail.copy_from_slice(&b[from..][..tail.len()]);
        }
    })
    .0
}

/// The part of `[B, whole]` that begins at element `first` of each item: `[B, len]`.
pub fn part(x: &[f32], items: usize, first: usize, len: usize) -> Vec<f32> {
    let whole = x.len() / items;
    assert!(x.len() == whole * items && first + len <= whole);
    filled(items, len, PIECE, |item, start, out| {
        out.copy_from_slice(&x[item * whole + first + start..][..out.len()]);
    })
    .0
}

/// Sums of the columns of `x` `[rows, columns]`.
pub fn column_sums(x: &[f32], columns: usize) -> Vec<f32> {
    /// Rows summed in f32 before their sum goes to f64.
    const ROWS: usize = 256;
    let piece = ROWS * columns;
    let pieces = x.len().div_ceil(piece);
    let (parts, _) = filled(pieces, columns, columns, |p, _, sums| {
        let x = &x[p * piece..((p + 1) * piece).min(x.len())];
        arch().dispatch(Columns { x, sums });
    });
    let mut total = vec![0f64; columns];
    for part in parts.chunks_exact(columns) {
        for (t, p) in total.iter_mut().zip(part) {
            *t += f64::from(*p);
        }
    }
    total.into_iter().map(|t| t as f32).collect()
}

struct Columns<'a> {
    x: &'a [f32],
    sums: &'a mut [f32],
}
impl WithSimd for Columns<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.x.chunks_exact(self.sums.len()) {
            for (s, x) in self.sums.iter_mut().zip(row) {
                *s += x;
            }
        }
    }
}

struct Slope<'a> {
    a: &'a [f32],
    b: &'a [f32],
    factor: f32,
    squared: bool,
    out: &'a mut [f32],
}
impl WithSimd for Slope<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { a, b, factor, squared, out } = self;
        if squared {
            for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
                *o = (a - b) * (2.0 * factor);
            }
        } else {
            for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
                let d = a - b;
                let sign = f32::from(i8::from(d > 0.0) - i8::from(d < 0.0));
                *o = sign * factor;
            }
        }
    }
}

/// `factor` times the gradient for `a` of the sum of `|a - b|`, or of `(a - b)²`.
pub fn difference_grad(a: &[f32], b: &[f32], squared: bool, factor: f32) -> Vec<f32> {
    assert_eq!(a.len(), b.len());
    filled(1, a.len(), PIECE, |_, start, out| {
        let range = start..start + out.len();
        arch().dispatch(Slope { a: &a[range.clone()], b: &b[range], factor, squared, out });
    })
    .0
}
