//! Tumor synthesis in CT: the models, synthesis, and everything around them (library of the `difftumor` binary).
pub mod autoencoder;
pub mod diffusion;
pub mod nn;
