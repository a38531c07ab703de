//! The networks: against goldens and other references, with weights by the rule, from checkpoints of every kind.
//!
//! One program for all of them: a program for each would link the whole library as many times.
mod autoencoder_paths;
mod checkpoint;
mod common;
mod golden_autoencoder_loss;
mod golden_networks;
mod golden_segmentation;
mod golden_sliding_window;
mod golden_training;
mod import;
mod random_features;
mod sampled_norms;
mod segmentation_networks;
mod synthesis;
mod training_step_devices;
