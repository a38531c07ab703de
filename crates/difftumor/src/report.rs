//! What reports are made of: a folder that appears whole, a page that needs nothing beside it, and plots.
pub(crate) mod output;
pub(crate) mod page;
pub(crate) mod plots;
