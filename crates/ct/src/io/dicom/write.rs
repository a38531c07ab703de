//! CT series and segmentations out.
//!
//! A series is written from a scan in HU and a [`SeriesTemplate`]: the series that the scan was read from, or nobody. Uncompressed,
//! explicit VR little-endian, 16 bits, one file a slice, texts in UTF-8. Headers say that the image is derived and synthetic (Synthetic Data
//! (0008,001C) is YES). Identifiers come from the content: the same input gives the same bytes.
//!
//! Paper: none. Format: DICOM PS3.3 A.3 (CT image), A.51 (segmentation), C.7.6.16 (functional groups), C.12.1 (SOP common); PS3.5.
mod elements;
mod file;
mod frames;
mod image;
mod keep;
mod plane;
mod reference;
mod segmentation;
mod series;
mod stored;
mod template;
mod uid;

pub use reference::SeriesReference;
pub use segmentation::write_seg;
pub use series::{WrittenSeries, write_series};
pub use template::SeriesTemplate;
