//! Softmax attention of one head with one sequence in each vector lane: scores, softmax and weighted sums then need
//! neither transposed copies nor sums across lanes, and sequences of 24 fill whole vectors.
//!
//! A column buffer is `[row][member][lane]`: rows are channels, `pitch` elements apart.
use super::super::tile::exp_negative;
use pulp::Simd;

/// Vector of element-wise products `out[i][j] = sum_k a[i][k] * b[j][k]`, every factor a vector of lanes.
struct LaneProduct {
    a: *const f32,
    a_row: usize,
    a_step: usize,
    m: usize,
    b: *const f32,
    b_row: usize,
    b_step: usize,
    n: usize,
    k: usize,
    out: *mut f32,
    out_row: usize,
    out_col: usize,
}

impl LaneProduct {
    /// `R × C` results from (i, j).
    ///
    /// # Safety
    /// One vector must be readable at every `a` and `b`, and writable at every `out` that the formula reaches.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const C: usize>(&self, simd: S, i: usize, j: usize) {
        // SAFETY: the caller vouches for all addresses.
        unsafe {
            let load = |p: *const f32| p.cast::<S::f32s>().read_unaligned();
            let (mut a, mut b) = (self.a.add(i * self.a_row), self.b.add(j * self.b_row));
            let mut acc = [[simd.splat_f32s(0.0); C]; R];
            for _ in 0..self.k {
                let mut left = [simd.splat_f32s(0.0); R];
                for r in 0..R {
                    left[r] = load(a.add(r * self.a_row));
                }
                for c in 0..C {
                    let right = load(b.add(c * self.b_row));
                    for r in 0..R {
                        acc[r][c] = simd.mul_add_e_f32s(left[r], right, acc[r][c]);
                    }
                }
                a = a.wrapping_add(self.a_step);
                b = b.wrapping_add(self.b_step);
            }
            for r in 0..R {
                for c in 0..C {
                    let to = self.out.add((i + r) * self.out_row + (j + c) * self.out_col);
                    to.cast::<S::f32s>().write_unaligned(acc[r][c]);
                }
            }
        }
    }

    /// All results for `C` values of j: their vectors of `b` stay in the first-level cache.
    ///
    /// # Safety
    /// As for `tile`.
    #[inline(always)]
    unsafe fn strip<S: Simd, const C: usize>(&self, simd: S, j: usize) {
        let mut i = 0;
        // SAFETY: passed on.
        unsafe {
            while i + 3 <= self.m {
                self.tile::<S, 3, C>(simd, i, j);
                i += 3;
            }
            while i < self.m {
                self.tile::<S, 1, C>(simd, i, j);
                i += 1;
            }
        }
    }

    /// # Safety
    /// As for `tile`.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S) {
        let mut j = 0;
        // SAFETY: passed on.
        unsafe {
            // 3 × 8 sums and 4 factors of 32 registers, or 3 × 4 of 16.
            while S::REGISTER_COUNT >= 32 && j + 8 <= self.n {
                self.strip::<S, 8>(simd, j);
                j += 8;
            }
            while j + 4 <= self.n {
                self.strip::<S, 4>(simd, j);
                j += 4;
            }
            while j < self.n {
                self.strip::<S, 1>(simd, j);
                j += 1;
            }
        }
    }
}

/// Queries, keys and values of one head, each a column buffer.
pub(super) struct Head<'a> {
    /// `[head_channels]` rows.
    pub q: &'a [f32],
    /// `[head_channels]` rows.
    pub k: &'a [f32],
    /// Any number of rows.
    pub v: &'a [f32],
    /// From one row to the next.
    pub pitch: usize,
    /// Number of members of a sequence.
    pub len: usize,
    /// From one member to the next: the number of sequences.
    pub member: usize,
    /// Factor of the products of q and k.
    pub scale: f32,
    /// Added to them, `[query, key]`.
    pub bias: Option<&'a [f32]>,
}

impl Head<'_> {
    /// Writes the attended values, a column buffer with `rows` rows like those of `v`. `scores` is scratch.
    ///
    /// With fewer sequences than lanes the other lanes belong to the next member: what is written there is written again
    /// when its turn comes, and behind the last member every row has room for a vector.
    #[inline(always)]
    pub fn attend<S: Simd>(
        &self,
        simd: S,
        rows: usize,
        head_channels: usize,
        scores: &mut Vec<f32>,
        out: &mut [f32],
    ) {
        let (lanes, len) = (S::F32_LANES, self.len);
        let reach = (len - 1) * self.member + self.member.max(lanes);
        let used = |rows: usize| (rows - 1) * self.pitch + reach;
        assert!(len > 0 && self.pitch >= reach);
        assert!(self.q.len() >= used(head_channels) && self.k.len() >= used(head_channels));
        assert!(self.v.len() >= used(rows) && out.len() >= used(rows));
        assert!(self.bias.is_none_or(|b| b.len() == len * len));
        scores.resize(len * len * lanes, 0.0);
        for group in 0..self.member.div_ceil(lanes) {
            // The last group may overlap the one before it: it computes the same values again.
            let first = (group * lanes).min(self.member.saturating_sub(lanes));
            // SAFETY: the assertions above: every vector lies within its row.
            unsafe {
                LaneProduct {
                    a: self.q.as_ptr().add(first),
                    a_row: self.member,
                    a_step: self.pitch,
                    m: len,
                    b: self.k.as_ptr().add(first),
                    b_row: self.member,
                    b_step: self.pitch,
                    n: len,
                    k: head_channels,
                    out: scores.as_mut_ptr(),
                    out_row: len * lanes,
                    out_col: lanes,
                }
                .run(simd);
            }
            let (scores, _) = S::as_mut_simd_f32s(scores);
            for (i, row) in scores.chunks_exact_mut(len).enumerate() {
                softmax(simd, row, self.scale, self.bias.map(|b| &b[i * len..][..len]));
            }
            // SAFETY: as above; `scores` holds `len * len` vectors.
            unsafe {
                LaneProduct {
                    a: scores.as_ptr().cast(),
                    a_row: len * lanes,
                    a_step: lanes,
                    m: len,
                    b: self.v.as_ptr().add(first),
                    b_row: self.pitch,
                    b_step: self.member,
                    n: rows,
                    k: len,
                    out: out.as_mut_ptr().add(first),
                    out_row: self.member,
                    out_col: self.pitch,
                }
                .run(simd);
            }
        }
    }
}

/// Softmax over the vectors of a row, each lane by itself, of `scale * row + bias`.
#[inline(always)]
fn softmax<S: Simd>(simd: S, row: &mut [S::f32s], scale: f32, bias: Option<&[f32]>) {
    let factor = simd.splat_f32s(scale);
    let mut most = simd.splat_f32s(f32::NEG_INFINITY);
    match bias {
        Some(bias) => {
            for (v, b) in row.iter_mut().zip(bias) {
                *v = simd.mul_add_e_f32s(*v, factor, simd.splat_f32s(*b));
                most = simd.max_f32s(most, *v);
            }
        }
        None => {
            for v in row.iter_mut() {
                *v = simd.mul_f32s(*v, factor);
                most = simd.max_f32s(most, *v);
            }
        }
    }
    let mut sum = simd.splat_f32s(0.0);
    for v in row.iter_mut() {
        *v = exp_negative(simd, simd.sub_f32s(*v, most));
        sum = simd.add_f32s(sum, *v);
    }
    let inv = simd.div_f32s(simd.splat_f32s(1.0), sum);
    for v in row.iter_mut() {
        *v = simd.mul_f32s(*v, inv);
    }
}

/// Rotates rows 2j and 2j + 1 of a column buffer by each member's angles, `[len, rows / 2]`.
#[inline(always)]
pub(super) fn rotate<S: Simd>(
    simd: S,
    rows: &mut [f32],
    pitch: usize,
    len: usize,
    member: usize,
    (cos, sin): (&[f32], &[f32]),
) {
    let pairs = cos.len() / len;
    for j in 0..pairs {
        let (even, odd) = rows[2 * j * pitch..].split_at_mut(pitch);
        for i in 0..len {
            let (c, s) = (cos[i * pairs + j], sin[i * pairs + j]);
            let (a, a_rest) = S::as_mut_simd_f32s(&mut even[i * member..][..member]);
            let (b, b_rest) = S::as_mut_simd_f32s(&mut odd[i * member..][..member]);
            let (cv, sv) = (simd.splat_f32s(c), simd.splat_f32s(s));
            for (a, b) in a.iter_mut().zip(b) {
                let turned = simd.mul_add_e_f32s(*a, cv, simd.neg_f32s(simd.mul_f32s(*b, sv)));
                *b = simd.mul_add_e_f32s(*b, cv, simd.mul_f32s(*a, sv));
                *a = turned;
            }
            for (a, b) in a_rest.iter_mut().zip(b_rest) {
                (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
            }
        }
    }
}
