//! How good models are, on data that they never saw: figures as JSON, pictures for a person.
pub mod autoencoder;
pub mod bounds;
pub mod segmentation;
pub mod similarity;
