//! One case: the files it has, and its record as it is now.
use super::head::shape_vox;
use super::record::Record;
use crate::bounded;
use crate::digest::sha256;
use axum::body::Bytes;
use std::path::{Path, PathBuf};

/// Longest `record.json`, in bytes: a thousand tumors.
const LONGEST_RECORD: u64 = 4 << 20;

/// A kind of image, the name under which `synthesize` writes it, and the one under which the page asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ct,
    Healthy,
    Labels,
    Tumors,
}

/// Kind, in a request, in an output folder.
pub(super) const KINDS: [(Kind, &str, &str); 4] = [
    (Kind::Ct, "ct.nii.gz", "ct.nii.gz"),
    (Kind::Healthy, "healthy.nii.gz", "healthy_ct.nii.gz"),
    (Kind::Labels, "labels.nii.gz", "labels.nii.gz"),
    (Kind::Tumors, "tumors.nii.gz", "tumors.nii.gz"),
];

/// Where an image's bytes come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A NIfTI file, sent as it is.
    File(PathBuf),
    /// NIfTI made of another format.
    Memory(Bytes),
}

/// A case of the list that was made at the start.
#[derive(Debug)]
pub(super) struct Case {
    /// The folder's name, or the scan's.
    pub(super) name: String,
    pub(super) place: Place,
}

/// What a case is.
#[derive(Debug)]
pub(super) enum Place {
    /// An output folder of `synthesize`.
    Folder(PathBuf),
    /// A scan, and its labels if any.
    Scan { ct: Source, labels: Option<Source> },
}

/// A case's record as its file is now.
pub(super) enum Recorded {
    /// There is none to read: a scan.
    None,
    /// Read, with the SHA-256 of the file.
    Read { record: Record, sha256: String },
    /// It cannot be read, in words.
    Damaged(String),
}

impl Case {
    /// Its folder; none of a scan's.
    pub(super) fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder),
            Place::Scan { .. } => None,
        }
    }

    /// Where an image is, if the case has it.
    pub(super) fn source(&self, kind: Kind) -> Option<Source> {
        let source = match (&self.place, kind) {
            (Place::Folder(folder), _) => {
                let (_, _, name) = KINDS.iter().find(|(k, ..)| *k == kind).expect("a table of all kinds");
                Some(Source::File(folder.join(name)))
            }
            (Place::Scan { ct, .. }, Kind::Ct) => Some(ct.clone()),
            (Place::Scan { labels, .. }, Kind::Labels) => labels.clone(),
            (Place::Scan { .. }, _) => None,
        };
        // Pipes are waited for without end, and a folder is no image.
        source.filter(|source| {
            matches!(source, Source::Memory(_)) || matches!(source, Source::File(path) if path.is_file())
        })
    }

    /// Number of voxels of the scan's file along x, y, z; none of one in memory, and where it is missing.
    ///
    /// # Errors
    /// In words, when it is no image.
    pub(super) fn shape_vox(&self) -> Option<Result<[u64; 3], String>> {
        match self.source(Kind::Ct)? {
            Source::File(path) => Some(shape_vox(&path)),
            Source::Memory(_) => None,
        }
    }

    /// Reads the record.
    pub(super) fn recorded(&self) -> Recorded {
        let Some(folder) = self.folder() else { return Recorded::None };
        let bytes = bounded::read(&folder.join("record.json"), LONGEST_RECORD);
        let read = bytes.map_err(|e| format!("record.json cannot be read: {e}")).and_then(|bytes| {
            let record = Record::parse(&bytes).map_err(|e| format!("record.json is damaged: {e}"))?;
            Ok(Recorded::Read { record, sha256: sha256(bytes) })
        });
        read.unwrap_or_else(Recorded::Damaged)
    }

    /// What is missing or damaged, in words.
    pub(super) fn problem(&self, recorded: &Recorded) -> Option<String> {
        match recorded {
            _ if self.source(Kind::Ct).is_none() => Some(self.missing()),
            Recorded::Damaged(problem) => Some(problem.clone()),
            _ => None,
        }
    }

    fn missing(&self) -> String {
        match self.folder() {
            Some(_) => "ct.nii.gz is missing: synthesize this case again".into(),
            None => "the scan's file is no longer there".into(),
        }
    }
}
