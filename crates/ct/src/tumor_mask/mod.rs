//! Where and in which shape a tumor grows: the masks of Sec. 3.3 of the paper.
//!
//! Two ways lead to a mask. [`generate`] is the published generator (the paper's preset and that of Hu et al. 2023),
//! equal to it voxel for voxel. [`sizes_mm`], [`smooth`] and [`fit`] are the default preset: sizes in millimetres,
//! shapes with the statistics of real tumors, and placement that keeps clear of vessels and of other tumors.
pub mod fit;
pub mod generate;
pub mod place;
pub mod shape;
pub mod size;
pub mod sizes_mm;
pub mod smooth;
