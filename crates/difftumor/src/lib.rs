//! Tumor synthesis in CT: the models, synthesis, and everything around them (library of the `difftumor` binary).
pub mod autoencoder;
pub mod diffusion;
pub mod nn;
//! x
pub mod autoencoder {
    //! x
    pub mod config;
}
pub mod checkpoint;
pub mod diffusion {
pub mod error;
pub mod import;
pub mod run;
pub mod state_dict;
