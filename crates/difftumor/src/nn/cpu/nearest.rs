//! Nearest code of each latent vector, without the rows × codes distance matrix.
use super::tile::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Codes are compared in lanes of this width; every vector unit's width divides it.
const LANES: usize = 16;
/// Latent rows that share one pass over the codes.
const ROWS: usize = 4;

/// Codes rearranged once for the search: blocks of 16 codes, `[block][dimension][lane]`, with half squared norms.
pub struct Codes {
    packed: Vec<f32>,
    half_norm: Vec<f32>,
    dim: usize,
}

impl Codes {
    /// `codes` is `[n, dim]`.
    pub fn new(codes: &[f32], dim: usize) -> Self {
        let n = codes.len() / dim;
        let blocks = n.div_ceil(LANES);
        let mut packed = vec![0f32; blocks * dim * LANES];
        // Lanes past the last code can never win.
        let mut half_norm = vec![f32::INFINITY; blocks * LANES];
        for (i, code) in codes.chunks_exact(dim).enumerate() {
            for (d, v) in code.iter().enumerate() {
                packed[(i / LANES * dim + d) * LANES + i % LANES] = *v;
            }
            half_norm[i] = (code.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 2.0) as f32;
        }
        Self { packed, half_norm, dim }
    }

    /// Index of the nearest code of each row of `rows` `[n, dim]`; the first of equals.
    pub fn nearest(&self, rows: &[f32]) -> Vec<u32> {
        let mut out = vec![0u32; rows.len() / self.dim];
        out.par_chunks_mut(ROWS).zip(rows.par_chunks(ROWS * self.dim)).with_min_len(16).for_each(|(o, r)| {
            let mut full = vec![0f32; ROWS * self.dim];
            full[..r.len()].copy_from_slice(r);
            let best = arch().dispatch(Search { codes: self, rows: &full });
            o.copy_from_slice(&best[..o.len()]);
        });
        out
    }
}

struct Search<'a> {
    codes: &'a Codes,
    rows: &'a [f32],
}
impl WithSimd for Search<'_> {
    type Output = [u32; ROWS];
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [u32; ROWS] {
        let dim = self.codes.dim;
        // |f - e|² / 2 = |f|²/2 + (|e|²/2 - f·e): only the bracket matters.
        let mut best = [[f32::INFINITY; LANES]; ROWS];
        let mut index = [[0u32; LANES]; ROWS];
        let blocks =
            self.codes.packed.chunks_exact(dim * LANES).zip(self.codes.half_norm.chunks_exact(LANES));
        for (b, (block, half)) in blocks.enumerate() {
            let half: &[f32; LANES] = half.try_into().expect("chunk of LANES");
            let mut d = [*half; ROWS];
            for k in 0..dim {
                let e: &[f32; LANES] = block[k * LANES..][..LANES].try_into().expect("chunk of LANES");
                for r in 0..ROWS {
                    let f = -self.rows[r * dim + k];
                    for l in 0..LANES {
                        d[r][l] += f * e[l];
                    }
                }
            }
            for r in 0..ROWS {
                for l in 0..LANES {
                    let closer = d[r][l] < best[r][l];
                    best[r][l] = if closer { d[r][l] } else { best[r][l] };
                    index[r][l] = if closer { b as u32 } else { index[r][l] };
                }
            }
        }
        std::array::from_fn(|r| {
            (0..LANES)
                .map(|l| (best[r][l], index[r][l] * LANES as u32 + l as u32))
                .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
                .expect("LANES > 0")
                .1
        })
    }
}
