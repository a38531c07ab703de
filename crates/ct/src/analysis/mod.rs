//! Statistics over tables of features of tumors (radiomics): do tumors of different organs look alike, and do synthetic
//! ones look like real ones?
//!
//! | question | where | in the paper |
//! |---|---|---|
//! | can a classifier tell the organs of early tumors apart? | [`similarity`] | section 2 (2), Fig. 2(a) |
//! | how do the features lie in two dimensions? | [`pca`], [`tsne`] | Fig. 2(b) |
//! | do two sets of tumors differ, in what, and is one copied from the other? | [`two_sets`] | |
//! | does one tumor look like any real one? | [`ranges`] | what went wrong, F.2 |
//!
//! All start from a [`table::FeatureTable`]. Tumors of one patient are alike, so patients are never torn apart: not between
//! training and test, nor when they are resampled or change sides. Every draw follows from a seed and a name
//! ([`crate::draws::Stream`]), and sums have a fixed order: the same bytes for any number of threads.
pub mod classify;
mod linear;
pub mod pca;
pub mod ranges;
pub mod scores;
pub mod similarity;
mod split;
pub mod standardise;
pub mod table;
pub mod tsne;
pub mod two_sets;
