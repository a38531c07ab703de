//! Stage 1: the 3-D VQ-GAN autoencoder (paper 3.1; spec/autoencoder.md).
pub mod codebook;
pub mod codebook_update;
pub mod config;
pub mod discriminator;
mod engine;
pub mod gan;
pub mod objective;
pub mod perceptual;
pub mod random_features;
pub mod train;
pub mod vqgan;
pub mod whole_volume;

pub use codebook::Codebook;
pub use codebook_update::CodebookUpdate;
pub use config::AutoencoderConfig;
pub use discriminator::{PatchDiscriminator, PatchDiscriminatorConfig};
pub use gan::Discriminators;
pub use perceptual::{Perceptual, PerceptualConfig};
pub use vqgan::Autoencoder;
