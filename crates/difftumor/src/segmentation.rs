//! Stage 3: organ and tumor segmentation, its networks and their work on scans (paper 3.3, App. E.2; spec/segmentation.md).
mod backbone;
pub mod batch;
mod blocks;
pub mod dynunet;
pub mod findings;
pub mod loss;
pub mod segmenter;
pub mod sliding_window;
pub mod swin;
pub mod train;
pub mod unet;

pub use backbone::{Architecture, Backbone, SegmentationNetwork};
pub use dynunet::{DynUnet, DynUnetConfig};
pub use loss::dice_ce;
pub use swin::{SwinUnetr, SwinUnetrConfig, SwinVariant};
pub use unet::{Unet, UnetConfig};
