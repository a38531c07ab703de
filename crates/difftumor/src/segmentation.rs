//! Stage 3's networks: organ and tumor segmentation (paper 3.3, App. E.2; spec/segmentation.md).
pub mod loss;
pub mod sliding_window;
pub mod unet;

pub use loss::dice_ce;
pub use unet::{Unet, UnetConfig};
