//! Stage 1: the 3-D VQ-GAN autoencoder (paper 3.1; spec/autoencoder.md).
pub mod codebook;
pub mod codebook_update;
pub mod config;
mod engine;
pub mod objective;
pub mod train;
pub mod vqgan;

pub use codebook::Codebook;
pub use codebook_update::CodebookUpdate;
pub use config::AutoencoderConfig;
pub use vqgan::Autoencoder;
