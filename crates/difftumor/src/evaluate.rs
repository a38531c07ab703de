//! How good models are, on data that they never saw: figures as JSON, pictures for a person.
pub mod autoencoder;
pub mod bounds;
pub mod comparison;
pub mod segmentation;
pub mod similarity;
mod words;
