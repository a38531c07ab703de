//! Nearest row of a codebook.
use super::cpu::nearest::Codes;
use super::cpu::tape::Operand;
use burn::tensor::{Int, Tensor, TensorData};

/// Rows of latents that one matrix product compares with all codes where the CPU kernel cannot run: bounds the
/// distance matrix to 1024 × codes.
const ROWS_AT_ONCE: usize = 1024;

/// Index of the nearest code (squared Euclidean distance; the first of equals) of each row.
///
/// # Shapes
/// `rows` `[n, C]`, `codes` `[k, C]` → `[n]`.
pub fn nearest(rows: Tensor<2>, codes: Tensor<2>) -> Tensor<1, Int> {
    let [n, c] = rows.dims();
    // An index has no gradient: tensors that record them need no more than their values.
    if let (Some(r), Some(e)) = (Operand::of(&rows), Operand::of(&codes)) {
        let found = Codes::new(e.get(), c).nearest(r.get());
        let found: Vec<i64> = found.into_iter().map(i64::from).collect();
        return Tensor::from_data(TensorData::new(found, [n]), &rows.device());
    }
    let half_norm = codes.clone().powi_scalar(2).sum_dim(1).transpose() / 2.0; // [1, k]
    let mut found = Vec::new();
    for start in (0..n).step_by(ROWS_AT_ONCE) {
        let part = rows.clone().slice_dim(0, start..(start + ROWS_AT_ONCE).min(n));
        let distance = half_norm.clone() - part.matmul(codes.clone().transpose());
        found.push(distance.argmin(1).flatten(0, 1));
    }
    Tensor::cat(found, 0)
}
