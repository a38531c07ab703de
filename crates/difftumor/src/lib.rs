//! Tumor synthesis in CT: the models, synthesis, and everything around them (library of the `difftumor` binary).
pub mod analyze;
pub mod autoencoder;
pub mod batch;
pub mod checkpoint;
pub mod dataset;
pub mod device;
pub mod diffusion;
pub mod error;
pub mod evaluate;
pub mod export;
pub mod import;
pub mod index;
pub mod memory;
pub mod nn;
pub mod objects;
pub mod organ_classifier;
pub mod preview;
mod report;
pub mod run;
pub mod segmentation;
pub mod shard;
pub mod state_dict;
pub mod study;
pub mod synthesis;
pub mod tensor;
pub mod train;

pub use error::{Error, Result};
