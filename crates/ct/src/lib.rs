//! What is true of a CT with no neural network: volumes, files, masks, tumor shapes, blending.
pub mod analysis;
pub mod blend;
pub mod components;
pub mod distance;
pub mod draws;
pub mod error;
pub mod filter;
pub mod grid;
pub mod handcrafted;
pub mod hu_check;
pub mod intensity;
pub mod io;
pub mod label;
pub mod mass_effect;
pub mod measure;
pub mod metrics;
pub mod morphology;
pub mod orient;
pub mod patch;
pub mod radiomics;
pub mod realism;
pub mod resample;
pub mod tumor_mask;
pub mod volume;

pub use error::{Error, Result};
pub use volume::{Affine, Grid, Image, Labels, Mask, Volume};
