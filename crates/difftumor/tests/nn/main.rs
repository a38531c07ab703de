//! Layers of the CPU: values and gradients against Burn's, f64 sums and finite differences.
//!
//! One program for all of them: a program for each would link the whole library as many times.
mod attention_reference;
mod conv_gradients;
mod gradients;
mod gradients_attention;
mod gradients_features;
mod gradients_norm;
mod optim;
mod paths;
