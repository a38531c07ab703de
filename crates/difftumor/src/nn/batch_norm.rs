//! BatchNorm as it is in training, and with its running statistics: each channel is normalised over all items and voxels of the batch.
//!
//! The batch lies beside the depth (`[1, C, B * D, H, W]`), so it is an InstanceNorm for the kernels.
use super::activation::Activation;
use super::norm::{Normalisation, normalise, normalise_measured};
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

/// Added to the variance: 1e-5, the value of published networks.
const EPS: f64 = 1e-5;
/// Weight of a batch in the running statistics: 0.1, the value of published networks.
const MOMENTUM: f32 = 0.1;

/// BatchNorm with weight, bias, and statistics that only follow what it sees.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// `[C]`.
    pub weight: Param<Tensor<1>>,
    /// `[C]`.
    pub bias: Param<Tensor<1>>,
    /// Running mean, `[C]`. Without gradient.
    pub running_mean: Param<Tensor<1>>,
    /// Running unbiased variance, `[C]`. Without gradient.
    pub running_var: Param<Tensor<1>>,
}

/// What one batch shows of each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelStatistics {
    /// `[C]`.
    pub mean: Vec<f32>,
    /// Unbiased, `[C]`.
    pub variance: Vec<f32>,
}

impl BatchNorm {
    /// Identity weights, and the statistics of a standard normal.
    pub fn new(channels: usize, device: &Device) -> Self {
        let constant = |of: Initializer| of.init([channels], device);
        Self {
            weight: constant(Initializer::Ones),
            bias: constant(Initializer::Zeros),
            running_mean: constant(Initializer::Zeros).set_require_grad(false),
            running_var: constant(Initializer::Ones).set_require_grad(false),
        }
    }

    /// `activation(norm(x))` with the batch's own statistics, which are handed back for [`BatchNorm::fold_in`].
    ///
    /// # Shapes
    /// `[B, C, D, H, W]` → the same.
    pub fn forward(&self, x: Tensor<5>, activation: Activation) -> (Tensor<5>, ChannelStatistics) {
        let [b, c, d, h, w] = x.dims();
        let normalisation = Normalisation {
            groups: c,
            eps: EPS,
            measured: true,
            affine: Some((self.weight.val(), self.bias.val())),
            film: None,
            activation,
            residual: None,
        };
        let x = if b == 1 { x } else { x.swap_dims(0, 1).reshape([1, c, b * d, h, w]) }; // [1, C, B * D, H, W]
        let (y, moments) = normalise_measured(x, &normalisation);
        let y = if b == 1 { y } else { y.reshape([c, b, d, h, w]).swap_dims(0, 1) }; // [B, C, D, H, W]
        let n = b * d * h * w;
        let unbiased = n as f64 / (n.max(2) - 1) as f64;
        let statistics = ChannelStatistics {
            mean: moments.iter().map(|m| m[0] as f32).collect(),
            variance: moments.iter().map(|m| (m[1] * unbiased) as f32).collect(),
        };
        (y, statistics)
    }

    /// `activation(norm(x))` with the running statistics: what an item becomes does not depend on those beside it.
    ///
    /// # Shapes
    /// `[B, C, D, H, W]` → the same.
    pub fn forward_running(&self, x: Tensor<5>, activation: Activation) -> Tensor<5> {
        let scale = self.weight.val() / (self.running_var.val() + EPS).sqrt();
        let shift = self.bias.val() - self.running_mean.val() * scale.clone();
        let (groups, affine) = (x.dims()[1], Some((scale, shift)));
        normalise(
            x,
            &Normalisation {
                groups,
                eps: EPS,
                measured: false,
                affine,
                film: None,
                activation,
                residual: None,
            },
        )
    }

    /// The layer with its running statistics moved a tenth of the way to those of a batch.
    pub fn fold_in(self, batch: &ChannelStatistics) -> Self {
        let moved = |param: Param<Tensor<1>>, new: &[f32]| {
            param.map(|old| {
                let device = old.device();
                let values = old.into_data().convert::<f32>().try_to_vec::<f32>().expect("a float tensor");
                assert_eq!(values.len(), new.len(), "statistics of other channels");
                let values: Vec<f32> =
                    values.iter().zip(new).map(|(old, new)| old + MOMENTUM * (new - old)).collect();
                Tensor::from_data(TensorData::new(values, [new.len()]), &device).set_require_grad(false)
            })
        };
        Self {
            running_mean: moved(self.running_mean, &batch.mean),
            running_var: moved(self.running_var, &batch.variance),
            ..self
        }
    }
}
