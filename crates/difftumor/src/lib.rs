//! x
pub mod autoencoder {
    //! x
    pub mod config;
}
pub mod checkpoint;
pub mod diffusion {
    //! x
    pub mod config;
}
pub mod error;
pub mod import;
pub mod run;
pub mod state_dict;
