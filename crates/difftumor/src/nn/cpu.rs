//! CPU kernels on plain slices, and the way from and to Burn's tensors.
//!
//! Burn's own CPU backend spends 1 to 18 times the time of these on this project's layers, mostly on element-wise
//! work without threads and on layout changes. They run for tensors on the CPU device, also for those that record
//! gradients where a kernel has its own (`tape.rs`); tensors on a GPU take Burn's operations.
pub mod attention;
pub mod attention_grad;
pub mod attention_grad_head;
pub mod attention_grad_linear;
pub mod attention_grad_product;
pub mod attention_grad_weights;
pub mod conv;
pub mod nearest;
pub mod norm;
pub mod product;
pub mod tape;
pub mod tile;
pub mod window_attention;
pub mod window_attention_grad;
pub mod window_attention_layout;
pub mod winograd;

use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;

/// A CPU tensor's values, contiguous, shared with the tensor.
#[derive(Clone)]
pub struct Values(FlexTensor);

impl Values {
    /// Copies only if the tensor is not contiguous.
    fn of(t: FlexTensor) -> Self {
        Self(if t.is_contiguous() { t } else { t.to_contiguous() })
    }

    /// Sides of the tensor.
    pub fn shape(&self) -> Vec<usize> {
        self.0.layout().shape().to_vec()
    }

    /// The elements in C order.
    pub fn get(&self) -> &[f32] {
        let layout = self.0.layout();
        let start = layout.start_offset();
        &self.0.storage::<f32>()[start..start + layout.num_elements()]
    }
}

/// The values of a tensor on the plain CPU device; `None` for tensors that record gradients or lie elsewhere.
pub fn values<const D: usize>(x: &Tensor<D>) -> Option<Values> {
    Some(Values::of(x.clone().try_into_primitive::<Flex>().ok()?))
}

/// A CPU tensor from values in C order.
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
}
