//! Blinded reader studies and the viewer: what a browser sees of tumors. No networks; a crate of its own because it needs none of them.
//!
//! A study is a folder ([`format::Study`]) that holds nothing of the truth, and a key ([`format::Key`]) that is kept elsewhere. Readers
//! answer in a browser; the answers go to a file of their own, and are scored against the key.
//!
//! Source: paper 2 (1), 4.1, App. A, Table 1.
mod bounded;
pub mod digest;
pub mod error;
pub mod format;
mod http;
pub mod make;
mod problem;
pub mod score;
pub mod serve;
pub mod store;
pub mod view;

pub use error::{Error, Result};
