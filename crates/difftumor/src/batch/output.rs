//! One output folder: filled under a name of its own, then renamed.
use super::Existing;
use super::record::{CaseRecord, RECORD, Settings};
use crate::dataset::LoadedCase;
use crate::error::{Error, Result};
use crate::preview;
use crate::synthesis::Synthesis;
use difftumor_ct::io::write_atomically;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Name of the picture in an output's folder.
const PREVIEW: &str = "preview.png";

/// Where an output goes.
pub(super) struct Target {
    folder: PathBuf,
    /// The folder's temporary name.
    part: PathBuf,
    /// Where an output that is being replaced waits.
    old: PathBuf,
}

impl Target {
    pub(super) fn new(folder: PathBuf) -> Self {
        // `.` and `..` have no name, and `a/.` has that of `a`: the canonical path always has one but for the root.
        let folder = fs::canonicalize(&folder).unwrap_or(folder);
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let beside = |extension: &str| folder.with_file_name(format!(".{name}.{extension}"));
        Self { part: beside("part"), old: beside("old"), folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// # Errors
    /// When there is a file, or a folder that is not empty.
    pub(super) fn require_free(&self) -> Result<()> {
        if self.is_occupied()? {
            let problem = "there is something already; name another --out, keep what is done with --resume, or make it anew with --force";
            return Err(Error::Exists { path: self.folder.clone(), problem });
        }
        Ok(())
    }

    fn is_something_else(&self) -> Error {
        let problem = "the folder holds something that is no output of this program and is never replaced; name another --out";
        Error::Exists { path: self.folder.clone(), problem }
    }

    fn is_occupied(&self) -> Result<bool> {
        match fs::read_dir(&self.folder) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io(&self.folder, "write to the folder")(e)),
        }
    }

    /// Removes what a killed run has left of this output.
    pub(super) fn remove_leftovers(&self) -> Result<()> {
        if !self.folder.exists() && self.old.join(RECORD).is_file() {
            // Killed between the two renames of a replacement: the old output is still the output.
            fs::rename(&self.old, &self.folder).map_err(Error::io(&self.old, "restore"))?;
        }
        remove(&self.part)?;
        remove(&self.old)
    }

    /// The record of a finished output; `None` if there is nothing.
    ///
    /// # Errors
    /// When something else is in the way, or a file of the output is gone.
    pub(super) fn finished(&self) -> Result<Option<CaseRecord>> {
        if !self.is_occupied()? {
            return Ok(None);
        }
        let path = self.folder.join(RECORD);
        if !path.is_file() {
            return Err(self.is_something_else());
        }
        let hint = "name another --out, or remove this folder";
        let text = fs::read_to_string(&path).map_err(Error::io(&path, "read"))?;
        let record: CaseRecord = serde_json::from_str(&text).map_err(|e| {
            Error::format(&path, "record", "that of an output of this program", e.to_string(), hint)
        })?;
        match record.files.iter().find(|file| !self.folder.join(file).is_file()) {
            Some(file) => {
                Err(Error::format(&self.folder, "output", format!("the file {file}"), "none", hint))
            }
            None => Ok(Some(record)),
        }
    }

    /// Writes the output.
    ///
    /// # Errors
    /// When a file cannot be written (nothing is left then), or a voxel outside of the blend zone would change.
    pub(super) fn write(
        &self,
        loaded: &LoadedCase,
        synthesis: &Synthesis,
        copy: u64,
        settings: &Settings,
        existing: Existing,
    ) -> Result<CaseRecord> {
        let result = self.fill(loaded, synthesis, copy, settings).and_then(|record| {
            self.put_in_place(existing)?;
            Ok(record)
        });
        if result.is_err() {
            // The first error is the one to report.
            let _ = remove(&self.part);
        }
        result
    }

    fn fill(
        &self,
        loaded: &LoadedCase,
        synthesis: &Synthesis,
        copy: u64,
        settings: &Settings,
    ) -> Result<CaseRecord> {
        let LoadedCase { image, case, sources, warnings } = loaded;
        let ct = image.with_changes(&case.ct, &synthesis.case.ct);
        let changed = ct.changed_voxels(image).expect("only voxels are stored anew");
        let zone = &synthesis.blend_zone;
        let outside = changed.iter().zip(zone).filter(|(changed, zone)| **changed && !**zone).count();
        if outside > 0 {
            return Err(Error::BlendZone { case: case.id.clone(), voxels: outside });
        }
        fs::create_dir_all(&self.part).map_err(Error::io(&self.part, "create"))?;
        let images = [
            ("ct.nii.gz", ct),
            ("labels.nii.gz", image.with_labels(&synthesis.case.labels())),
            ("tumors.nii.gz", image.with_labels(&synthesis.instances)),
        ];
        let mut files = vec![];
        for (name, image) in images {
            image.write(self.part.join(name))?;
            files.push(name.to_string());
        }
        if settings.preview {
            preview::write(&self.part.join(PREVIEW), &case.ct, synthesis)?;
            files.push(PREVIEW.into());
        }
        let record = CaseRecord {
            case: case.id.clone(),
            copy,
            settings: settings.clone(),
            sources: sources.clone(),
            files,
            labels: synthesis.case.label_names().into_iter().collect(),
            voxels_changed: changed.iter().filter(|c| **c).count(),
            voxels_in_blend_zone: zone.iter().filter(|z| **z).count(),
            voxels_changed_outside_blend_zone: outside,
            tumors: synthesis.records.clone(),
            not_placed: synthesis.not_placed.clone(),
            warnings: warnings.clone(),
        };
        let mut text = serde_json::to_string_pretty(&record).expect("a record is made of texts and numbers");
        text.push('\n');
        write_atomically(&self.part.join(RECORD), |file| file.write_all(text.as_bytes()))?;
        Ok(record)
    }

    /// Gives the filled folder its name. Only an output of this program is ever replaced.
    fn put_in_place(&self, existing: Existing) -> Result<()> {
        if self.is_occupied()? {
            if existing != Existing::Replace {
                return self.require_free();
            }
            if !self.folder.join(RECORD).is_file() {
                return Err(self.is_something_else());
            }
            fs::rename(&self.folder, &self.old).map_err(Error::io(&self.folder, "replace"))?;
        } else if self.folder.exists() {
            fs::remove_dir(&self.folder).map_err(Error::io(&self.folder, "replace"))?; // empty
        }
        fs::rename(&self.part, &self.folder).map_err(Error::io(&self.folder, "create"))?;
        remove(&self.old)
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(folder, "remove")(e)),
        _ => Ok(()),
    }
}
