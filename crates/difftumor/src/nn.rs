//! 3-D layers that Burn lacks, and fast CPU kernels. Knows nothing of the paper.
//!
//! Every layer runs on any device; on the CPU device it uses the kernels of `cpu/`.
pub mod activation;
pub mod attention;
pub mod batch_norm;
pub mod conv3d;
pub mod conv_transpose3d;
pub mod cpu;
pub mod elementwise;
pub mod ema;
pub mod feature_distance;
pub mod group_norm;
pub(crate) mod joined;
pub mod layer_norm;
pub mod linear;
pub mod loss;
pub mod max_pool;
pub mod nearest;
pub mod norm;
pub mod optim;
pub mod params;
pub mod slices;
pub mod state;
pub mod window_attention;

pub use activation::Activation;
pub use attention::{Attention, AttentionConfig, AttentionKind};
pub use batch_norm::BatchNorm;
pub use conv_transpose3d::{ConvTranspose3d, ConvTranspose3dConfig, TransposedGeometry};
pub use conv3d::{Conv3d, Conv3dConfig, ConvGeometry, Padding};
pub use group_norm::GroupNorm;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use norm::{Norm, NormConfig};
pub use window_attention::{RelativeIndex, WindowAttention, WindowAttentionConfig};
