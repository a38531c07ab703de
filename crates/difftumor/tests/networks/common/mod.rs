//! What several of these tests share.
pub mod golden;
pub mod models;
pub mod rule;
