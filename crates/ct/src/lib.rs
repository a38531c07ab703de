//! What is true of a CT with no neural network: volumes, files, masks, tumor shapes, blending.
pub mod components;
pub mod distance;
pub mod error;
pub mod filter;
pub mod grid;
pub mod intensity;
pub mod morphology;
pub mod orient;
pub mod patch;
pub mod resample;
pub mod blend;
pub mod draws;
pub mod handcrafted;
pub mod measure;
pub mod tumor_mask;
pub mod io;
pub mod volume;

pub use error::{Error, Result};
pub use volume::{Affine, Grid, Image, Labels, Mask, Volume};
