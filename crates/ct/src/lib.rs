//! What is true of a CT with no neural network: volumes, files, masks, tumor shapes, blending.
pub mod blend;
pub mod draws;
pub mod error;
pub mod filter;
pub mod handcrafted;
pub mod measure;
pub mod tumor_mask;
pub mod volume;

pub use error::{Error, Result};
pub use volume::{Affine, Grid, Image, Labels, Mask, Volume};
