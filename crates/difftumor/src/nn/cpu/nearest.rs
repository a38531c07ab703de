//! Nearest code of each latent vector, without the rows × codes distance matrix.
use super::tile::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Codes of a block: four vectors of the widest unit.
const BLOCK: usize = 64;
/// Latent rows that share one pass over the codes. With four vectors of codes they fill 32 registers with sums.
const ROWS: usize = 6;
/// Lanes of the widest vector unit.
const MOST_LANES: usize = 16;

/// Codes rearranged once for the search: blocks of codes, `[block][dimension][code]`, with half squared norms.
pub struct Codes {
    packed: Vec<f32>,
    half_norm: Vec<f32>,
    dim: usize,
}

impl Codes {
    /// `codes` is `[n, dim]`.
    pub fn new(codes: &[f32], dim: usize) -> Self {
        let n = codes.len() / dim;
        let blocks = n.div_ceil(BLOCK);
        let mut packed = vec![0f32; blocks * dim * BLOCK];
        // Codes past the last one can never win.
        let mut half_norm = vec![f32::INFINITY; blocks * BLOCK];
        for (i, code) in codes.chunks_exact(dim).enumerate() {
            for (d, v) in code.iter().enumerate() {
                packed[(i / BLOCK * dim + d) * BLOCK + i % BLOCK] = *v;
            }
            half_norm[i] = (code.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 2.0) as f32;
        }
        Self { packed, half_norm, dim }
    }

    /// Index of the nearest code of each row of `rows` `[n, dim]`; the first of equals.
    pub fn nearest(&self, rows: &[f32]) -> Vec<u32> {
        let mut out = vec![0u32; rows.len() / self.dim];
        out.par_chunks_mut(ROWS).zip(rows.par_chunks(ROWS * self.dim)).with_min_len(16).for_each_init(
            || vec![0f32; ROWS * self.dim],
            |negated, (o, r)| {
                for (n, v) in negated.iter_mut().zip(r) {
                    *n = -v;
                }
                let best = arch().dispatch(Search { codes: self, negated });
                o.copy_from_slice(&best[..o.len()]);
            },
        );
        out
    }
}

/// Searches for the codes nearest to some rows, which are given with the opposite sign.
struct Search<'a> {
    codes: &'a Codes,
    negated: &'a [f32],
}

impl WithSimd for Search<'_> {
    type Output = [u32; ROWS];
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [u32; ROWS] {
        if S::REGISTER_COUNT >= 32 { self.search::<S, 4>(simd) } else { self.search::<S, 2>(simd) }
    }
}

impl Search<'_> {
    /// `V` vectors of codes at a time.
    #[inline(always)]
    fn search<S: Simd, const V: usize>(&self, simd: S) -> [u32; ROWS] {
        let dim = self.codes.dim;
        let rows: [&[f32]; ROWS] = std::array::from_fn(|r| &self.negated[r * dim..(r + 1) * dim]);
        let mut best = [simd.splat_f32s(f32::INFINITY); ROWS];
        let mut found = [simd.splat_u32s(0); ROWS];
        let parts = BLOCK / (V * S::F32_LANES); // of a block
        for part in 0..self.codes.half_norm.len() / BLOCK * parts {
            let at = simd.splat_u32s(part as u32);
            let d = self.distances::<S, V, ROWS>(simd, rows, part);
            // Only where a lane's smallest distance lies is kept, not in which of the vectors.
            for r in 0..ROWS {
                let smallest = d[r].into_iter().reduce(|a, b| simd.min_f32s(a, b)).expect("V > 0");
                let closer = simd.less_than_f32s(smallest, best[r]);
                best[r] = simd.select_f32s(closer, smallest, best[r]);
                found[r] = simd.select_u32s(closer, at, found[r]);
            }
        }
        std::array::from_fn(|r| self.first_of::<S, V>(simd, rows[r], best[r], found[r]))
    }

    /// |f - e|² / 2 = |f|²/2 + (|e|²/2 - f·e): the bracket, which is all that matters.
    #[inline(always)]
    fn distances<S: Simd, const V: usize, const R: usize>(
        &self,
        simd: S,
        rows: [&[f32]; R],
        part: usize,
    ) -> [[S::f32s; V]; R] {
        let (dim, columns) = (self.codes.dim, V * S::F32_LANES);
        let (block, first) = (part * columns / BLOCK, part * columns % BLOCK);
        let vectors = |values: &[f32]| -> [S::f32s; V] {
            let (v, _) = S::as_simd_f32s(&values[first..first + columns]);
            std::array::from_fn(|i| v[i])
        };
        let mut d = [vectors(&self.codes.half_norm[block * BLOCK..][..BLOCK]); R];
        let codes = &self.codes.packed[block * dim * BLOCK..][..dim * BLOCK];
        for (k, e) in codes.chunks_exact(BLOCK).enumerate() {
            let e = vectors(e);
            for r in 0..R {
                let f = simd.splat_f32s(rows[r][k]);
                for v in 0..V {
                    d[r][v] = simd.mul_add_e_f32s(f, e[v], d[r][v]);
                }
            }
        }
        d
    }

    /// The first code of the smallest distance: looks once more where it lies.
    #[inline(always)]
    fn first_of<S: Simd, const V: usize>(&self, simd: S, row: &[f32], best: S::f32s, found: S::u32s) -> u32 {
        let (mut values, mut parts) = ([f32::INFINITY; MOST_LANES], [0u32; MOST_LANES]);
        let lanes = S::F32_LANES;
        S::as_mut_simd_f32s(&mut values[..lanes]).0[0] = best;
        S::as_mut_simd_u32s(&mut parts[..lanes]).0[0] = found;
        let smallest = values[..lanes].iter().copied().fold(f32::INFINITY, f32::min);
        let part =
            (0..lanes).filter(|l| values[*l] == smallest).map(|l| parts[l]).min().unwrap_or(0) as usize;
        let [d] = self.distances::<S, V, 1>(simd, [row], part);
        let mut all = [f32::INFINITY; BLOCK];
        S::as_mut_simd_f32s(&mut all[..V * lanes]).0.copy_from_slice(&d);
        // Rows that are no numbers are nearest to nothing.
        let offset = all.iter().position(|v| *v == smallest).unwrap_or(0);
        (part * V * lanes + offset) as u32
    }
}
