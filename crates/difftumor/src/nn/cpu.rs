//! CPU kernels on plain slices, and the way from and to Burn's tensors.
//!
//! Burn's own CPU backend spends 1 to 18 times the time of these on this project's layers, mostly on element-wise
//! work without threads and on layout changes. They run for tensors on the plain CPU device; tensors that record
//! gradients, or lie on a GPU, take Burn's operations.
pub mod attention;
pub mod channels_last;
pub mod conv;
pub mod fused;
pub mod minimal;
pub mod narrow;
pub mod nearest;
pub mod norm;
pub mod product;
pub mod rows;
pub mod tile;
pub mod winograd;

use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;

/// A CPU tensor's values, contiguous, shared with the tensor.
pub struct Values(FlexTensor);

impl Values {
    /// The elements in C order.
    pub fn get(&self) -> &[f32] {
        let layout = self.0.layout();
        let start = layout.start_offset();
        &self.0.storage::<f32>()[start..start + layout.num_elements()]
    }
}

/// The values of a tensor on the plain CPU device; `None` for tensors that record gradients or lie elsewhere.
pub fn values<const D: usize>(x: &Tensor<D>) -> Option<Values> {
    let t = x.clone().try_into_primitive::<Flex>().ok()?;
    Some(Values(if t.is_contiguous() { t } else { t.to_contiguous() }))
}

/// A CPU tensor from values in C order.
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
}
