//! The program as its users call it, on small scans made of formulas.
//!
//! One program for all of them: a program for each would link the whole library as many times.
mod analyze;
mod bad_input;
mod dicom;
mod diffusion;
mod evaluate;
mod evaluate_report;
mod evaluate_segmentation;
#[cfg(unix)]
mod experiments;
mod gate;
mod grow;
mod index;
mod index_folder;
mod index_healthy;
mod layout;
mod objects;
mod outputs;
mod patients;
mod phantom;
mod radiomics;
mod review;
mod segment;
#[cfg(unix)]
mod served;
mod store;
#[cfg(unix)]
mod study;
mod train;
mod train_bad_input;
mod train_cache;
mod train_diffusion;
mod train_folds;
mod train_segmentation;
#[cfg(unix)]
mod view;
