//! Can a network tell from an early tumor alone in which organ it lies? The paper's deep features (section 2 (3)).
//!
//! The paper names ResNet and DenseNet and gives their precision and recall, not their sizes nor how they were trained. Here they are
//! small 3-D versions for crops of 48 mm, trained from nothing: what remains of a crop is the tumor and a thin rim (App. A), all else is 0.
mod crops;
mod network;
mod train;

pub use crops::{CropOptions, Crops, TumorCrop, crops};
pub use network::{Architecture, OrganNetwork};
pub use train::{TrainingOptions, deep_features, experiment};
