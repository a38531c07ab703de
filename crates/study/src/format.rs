//! The files of a study.
//!
//! ```text
//! STUDY/study.json          what readers are asked, and the items: random ids and files. Nothing of the truth
//! STUDY/readers.json        names, hashes of their links' tokens, and the order in which each sees the items
//! STUDY/volumes/ID.nii.gz   what is shown
//! STUDY/answers.sqlite      what was answered
//! KEY.json                  the truth of each item; kept apart
//! LINKS.json                each reader's token; kept apart, handed out
//! ```
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What readers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Real or synthetic? (Paper 4.1, Table 1.)
    VisualTuring,
    /// Which organ is the tumor in? Only the tumor and a thin rim are shown. (Paper 2 (1), App. A.)
    OrganRecognition,
}

/// `study.json`: all of it may be seen by readers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// [`FORMAT`].
    pub format: String,
    /// What readers are asked.
    pub kind: Kind,
    /// Shown above the page.
    pub title: String,
    /// What may be answered: `real` and `synthetic`, or the organs in alphabetical order.
    pub choices: Vec<String>,
    /// Window that volumes open with, in HU: its centre and width.
    pub window_hu: [f64; 2],
    /// The items, sorted by id.
    pub items: Vec<Item>,
}

/// What a study's files begin with.
pub const FORMAT: &str = "difftumor study 1";

/// One thing that is shown. A case that is repeated has two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// 16 hexadecimal digits that mean nothing; its file is `volumes/ID.nii.gz`.
    pub id: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Where the lesion is, in voxels of the volume (first voxel 0): where the page opens.
    pub centre_vox: [f64; 3],
}

/// `readers.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Readers {
    /// [`FORMAT`].
    pub format: String,
    /// The readers.
    pub readers: Vec<Reader>,
}

/// One reader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reader {
    /// As it stands in the scores.
    pub name: String,
    /// SHA-256 of the token of the reader's link, in hexadecimal.
    pub token_sha256: String,
    /// Ids of all items in this reader's order; repeats lie far from what they repeat.
    pub order: Vec<String>,
}

/// The key's file: what the items are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// [`FORMAT`].
    pub format: String,
    /// SHA-256 of `study.json`: a key opens its own study alone.
    pub study_sha256: String,
    /// What ids, choice of cases and orders follow from.
    pub seed: u64,
    /// By item id.
    pub items: BTreeMap<String, Truth>,
}

/// What an item is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Truth {
    /// Whether the tumor is synthetic.
    pub synthetic: bool,
    /// The organ it is in.
    pub organ: String,
    /// The case it is from.
    pub case: String,
    /// Diameter of the ball of its volume, in mm.
    pub equivalent_diameter_mm: f64,
    /// The item that this one repeats.
    pub repeats: Option<String>,
}

/// The links' file: what each reader is handed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// [`FORMAT`].
    pub format: String,
    /// Token (32 hexadecimal digits from the system's source of randomness) by reader's name.
    pub tokens: BTreeMap<String, String>,
}

/// One answer as it is kept. A reader who goes back and answers anew adds a revision; the last one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The reader's name.
    pub reader: String,
    /// The item's id.
    pub item: String,
    /// One of [`Study::choices`].
    pub answer: String,
    /// From 1, for each reader and item.
    pub revision: u32,
    /// How long the item was in view before the answer, in ms; rests and hidden pages do not count.
    pub reading_ms: u64,
    /// When the server had it, in ms since 1970.
    pub received_unix_ms: u64,
}
