//! Datasets that describe themselves in `dataset.json`.
use super::super::folders;
use super::{Parts, entries, meaning, name_of};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

const DESCRIPTION: &str = "dataset.json";

/// Of Decathlon, nnU-Net v1 and v2.
#[derive(Debug, Deserialize)]
struct Description {
    /// v2; before, it was `modality`.
    channel_names: Option<serde_json::Value>,
    training: Option<Vec<Training>>,
    /// Paths, or lists of them.
    #[serde(default)]
    test: Vec<serde_json::Value>,
    /// Names by value, or (v2) values by name.
    #[serde(default)]
    labels: BTreeMap<String, serde_json::Value>,
    /// v2.
    file_ending: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Training {
    image: PathBuf,
    label: PathBuf,
}

impl Description {
    fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(DESCRIPTION);
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "read"))?;
        let parsed = serde_json::from_str(&text);
        parsed.map(Some).map_err(|e| {
            let expected = "that of the Decathlon or of nnU-Net";
            Error::format(
                &path,
                "description",
                expected,
                e.to_string(),
                "mend it, or give the cases as a table",
            )
        })
    }

    /// Names of the labels by value.
    fn names(&self) -> BTreeMap<u16, String> {
        let entry = |(key, value): (&String, &serde_json::Value)| match (key.parse(), value) {
            (Ok(number), serde_json::Value::String(name)) => Some((number, name.clone())),
            (_, serde_json::Value::Number(n)) => Some((u16::try_from(n.as_u64()?).ok()?, key.clone())),
            // nnU-Net's regions and the like.
            _ => None,
        };
        self.labels.iter().filter_map(entry).collect()
    }
}

pub(super) fn decathlon(folder: &Path) -> Result<Option<Parts>> {
    let Some(description) = Description::read(folder)? else { return Ok(None) };
    let Some(training) = &description.training else { return Ok(None) };
    let mut parts = Parts { organ: meaning::organ(&description.names()), ..Parts::default() };
    for Training { image, label } in training {
        parts.add(folder, image, Some(label))?;
    }
    for test in &description.test {
        if let Some(image) = test.as_str() {
            parts.add(folder, Path::new(image), None)?;
        }
    }
    Ok(Some(parts))
}

impl Parts {
    /// A scan as `dataset.json` names it. nnU-Net v1 leaves out the channel's number.
    fn add(&mut self, folder: &Path, image: &Path, label: Option<&Path>) -> Result<()> {
        let inside = |path: &Path| {
            let plain = |c: Component| matches!(c, Component::Normal(_) | Component::CurDir);
            match path.components().all(plain) {
                true => Ok(folder.join(path)),
                false => {
                    let found = path.display().to_string();
                    let hint = "mend it, or give the cases as a table";
                    Err(Error::format(
                        &folder.join(DESCRIPTION),
                        "paths",
                        "those of files in this folder",
                        found,
                        hint,
                    ))
                }
            }
        };
        let named = inside(image)?;
        let id = name_of(image);
        let ct = match (named.exists(), folders::with_channel(&named)) {
            (false, Some(channel)) if channel.exists() => channel,
            _ => named,
        };
        let labels = label.map(inside).transpose()?;
        let missing = std::iter::once(&ct).chain(&labels).find(|path| !path.exists());
        match missing {
            Some(path) => {
                let hint = "fetch it, or take it out of dataset.json";
                let error = Error::format(path, "file", "one, for dataset.json names it", "none", hint);
                self.unusable.push((id, error));
            }
            None => self.cases.push((id, ct, labels)),
        }
        Ok(())
    }
}

pub(super) fn nnunet_2(folder: &Path) -> Result<Option<Parts>> {
    let Some(description) = Description::read(folder)? else { return Ok(None) };
    if description.channel_names.is_none() {
        return Ok(None);
    }
    let ending = description.file_ending.as_deref().unwrap_or(".nii.gz");
    let channel = format!("_0000{ending}");
    let mut parts = Parts { organ: meaning::organ(&description.names()), ..Parts::default() };
    for (images, labels) in [("imagesTr", Some("labelsTr")), ("imagesTs", None)] {
        let images = folder.join(images);
        if !images.is_dir() {
            continue;
        }
        for ct in entries(&images)? {
            let name = ct.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(id) = name.strip_suffix(&channel) else { continue };
            let labels = labels.map(|labels| folder.join(labels).join(format!("{id}{ending}")));
            match &labels {
                Some(path) if !path.is_file() => {
                    let error = Error::format(path, "labels", "a file", "none", "add it, or remove the scan");
                    parts.unusable.push((id.into(), error));
                }
                _ => parts.cases.push((id.into(), ct, labels)),
            }
        }
    }
    Ok(Some(parts))
}
