//! What is true of a CT with no neural network: volumes, files, masks, tumor shapes, blending.
pub mod error;
pub mod hu_check;
pub mod io;
pub mod label;
pub mod volume;

pub use error::{Error, Result};
pub use volume::{Affine, Grid, Image, Labels, Mask, Volume};
