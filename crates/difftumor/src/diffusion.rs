//! Stage 2: the latent diffusion model (paper 3.2; spec/diffusion.md).
pub mod condition;
pub mod config;
pub mod objective;
pub mod sampler;
pub mod schedule;
pub mod train;
pub mod unet;

pub use condition::{Condition, LatentScale};
pub use config::{DiffusionConfig, Predicts, Sampler, ScaleOf};
pub use sampler::{NoiseSource, sample};
pub use schedule::{DdimSteps, Schedule};
pub use unet::Unet3d;
