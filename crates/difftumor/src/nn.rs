//! 3-D layers that Burn lacks, and fast CPU kernels. Knows nothing of the paper.
//!
//! Every layer runs on any device; on the CPU device it uses the kernels of `cpu/`.
pub mod attention;
pub mod conv3d;
pub mod conv_transpose3d;
pub mod cpu;
pub mod group_norm;
pub mod linear;
pub mod nearest;
pub mod state;

pub use attention::{Attention, AttentionConfig, AttentionKind};
pub use conv_transpose3d::{ConvTranspose3d, ConvTranspose3dConfig, TransposedGeometry};
pub use conv3d::{Conv3d, Conv3dConfig, ConvGeometry, Padding};
pub use group_norm::GroupNorm;
pub use linear::Linear;
