//! 3-D layers that Burn lacks, and fast CPU kernels. Knows nothing of the paper.
//!
//! Every layer runs on any device; on the plain CPU device it uses the kernels of `cpu/`.
pub mod attention;
pub mod conv3d;
pub mod cpu;
pub mod group_norm;
mod joined;
pub mod linear;
pub mod nearest;
pub mod state;

pub use attention::{Attention, AttentionConfig, AttentionKind};
pub use conv3d::{Conv3d, Conv3dConfig, ConvGeometry, ConvTranspose3d, ConvTranspose3dConfig, Padding};
pub use group_norm::GroupNorm;
pub use linear::Linear;
