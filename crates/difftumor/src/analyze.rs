//! What tumors look like, real and synthetic ones alike: figures of each, and pictures side by side.
pub mod appearance;
pub mod organs;
pub mod radiomics;
pub mod realism;
pub mod sets;
pub mod sheet;
pub mod similarity;
pub(crate) mod texture;
pub(crate) mod tumors;
