//! What tumors look like, real and synthetic ones alike: figures of each, and pictures side by side.
pub mod appearance;
pub mod realism;
pub mod sheet;
pub(crate) mod texture;
