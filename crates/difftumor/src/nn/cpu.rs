//! CPU kernels on plain slices, and the way from and to Burn's tensors.
//!
//! Burn's own CPU backend spends 1 to 18 times the time of these on this project's layers, mostly on element-wise
//! work without threads and on layout changes. They run for tensors on the CPU device; those of layers that go
//! through `tape` record their gradients too. Tensors on a GPU, or with gradient checkpointing, take Burn's operations.
pub mod activation;
pub mod adam;
pub mod attention;
pub mod attention_grad;
pub mod attention_grad_head;
pub mod attention_grad_linear;
pub mod attention_grad_product;
pub mod attention_grad_weights;
pub mod buffer;
pub mod channel_norm;
pub mod channels_last;
pub mod conv;
pub mod conv_grad;
pub mod dice_ce;
pub mod elementwise;
pub mod feature_distance;
pub mod fused;
pub mod layer_norm;
pub mod linear;
pub mod max_pool;
pub mod minimal;
pub mod narrow;
pub mod nearest;
pub mod norm_grad;
pub mod normalise;
pub(crate) mod planar;
pub mod product;
pub mod rows;
pub mod sum;
pub mod tape;
pub mod tile;
pub mod transposed;
mod weight_grad;
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

/// A CPU tensor's values, to be changed in place; copied first if another tensor shares them.
pub struct ValuesMut(FlexTensor);

impl ValuesMut {
    /// `None` for tensors that record gradients or lie elsewhere.
    pub fn of<const D: usize>(x: Tensor<D>) -> Option<Self> {
        Some(Self(Values::of(x.try_into_primitive::<Flex>().ok()?).0))
    }

    /// The elements in C order.
    pub fn get(&mut self) -> &mut [f32] {
        let layout = self.0.layout();
        let (start, n) = (layout.start_offset(), layout.num_elements());
        &mut self.0.storage_mut::<f32>()[start..start + n]
    }

    /// The tensor of the changed values.
    pub fn tensor<const D: usize>(self) -> Tensor<D> {
        Tensor::from_primitive::<Flex>(self.0)
    }
}
