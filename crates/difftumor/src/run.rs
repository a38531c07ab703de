//! Run directories: the only form in which a model is opened, so that weights and architecture cannot disagree.
//!
//! ```text
//! run.toml              kind, resolved config, preprocessing, hashes, licence, origin
//! weights.safetensors   f32, or f16 for passing on; the component's published names
//! autoencoder/          inside the Run of a diffusion model: the Run of the autoencoder that it was trained on
//! ```
//!
//! A Run is written to a temporary folder beside its place and then renamed, so a half-written one is never seen. Runs that
//! ship with the program are opened by names such as `shipped:compact-v1/early` ([`shipped`]).
mod manifest;
pub mod shipped;
mod weights;

pub use manifest::{AutoencoderLink, Manifest, Model, Origin, Preprocessing, Training, Weights};
pub(crate) use weights::sha256;
pub use weights::{Precision, read_tensors, sha256_file, write_tensors};

use crate::autoencoder::config::AutoencoderConfig;
use crate::diffusion::config::DiffusionConfig;
use crate::error::{Error, Result};
use crate::segmentation::Backbone;
use crate::state_dict::{self, AUTOENCODER_TRAINING_PARTS};
use difftumor_ct::io::write_atomically;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Name of the description inside a Run directory.
pub const MANIFEST: &str = "run.toml";
/// Version of the layout that this program writes and reads.
const FORMAT: u32 = 1;
const AUTOENCODER: &str = "autoencoder";

/// Tensors by name: shape and elements in C order.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// An opened Run directory.
#[derive(Debug, Clone)]
pub struct Run {
    dir: PathBuf,
    manifest: Manifest,
}

/// What a Run is made from.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// The architecture.
    pub model: Model,
    /// Terms of use.
    pub licence: String,
    /// Where imported weights come from.
    pub origin: Option<Origin>,
    /// How far weights that were trained here have come.
    pub training: Option<Training>,
    /// The weights.
    pub tensors: Tensors,
    /// For a diffusion model: its autoencoder, written into the Run.
    pub autoencoder: Option<Box<NewRun>>,
}

impl Run {
    /// Writes a Run. An existing folder is an error unless it is empty or, with `replace`, a Run itself.
    ///
    /// # Errors
    /// When something is in the way or cannot be written. Nothing is left behind then.
    pub fn create(dir: impl AsRef<Path>, new: &NewRun, replace: bool) -> Result<Self> {
        Self::create_as(dir, new, replace, Precision::F32)
    }

    /// [`Run::create`] with weights of that precision.
    ///
    /// # Errors
    /// As [`Run::create`], and when a weight is too large for the precision.
    pub fn create_as(
        dir: impl AsRef<Path>,
        new: &NewRun,
        replace: bool,
        precision: Precision,
    ) -> Result<Self> {
        let dir = dir.as_ref();
        let exists = |problem| Error::Exists { path: dir.to_path_buf(), problem };
        let occupied = match fs::read_dir(dir) {
            Ok(mut entries) => entries.next().is_some(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
            Err(e) => return Err(Error::io(dir, "read")(e)),
        };
        if occupied && !dir.join(MANIFEST).is_file() {
            return Err(exists(
                "the folder holds something that is not a Run and is never replaced; name another",
            ));
        }
        if occupied && !replace {
            return Err(exists("the folder holds a Run; name another, or replace it with --force"));
        }

        let temporary = temporary_for(dir)?;
        let manifest = write(temporary.path(), new, 0, precision)?;
        put_in_place(temporary.path(), dir)?;
        Ok(Self { dir: dir.to_path_buf(), manifest })
    }

    /// Opens a Run: reads and checks its description. The weights are read, and their hash checked, by
    /// [`Run::load_tensors`].
    ///
    /// # Errors
    /// When there is no Run, or its description has an unknown key, an impossible number or another format version.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let path = dir.join(MANIFEST);
        let bad = |what: &str, expected: &str, found: String| {
            let hint = "name a Run directory as `import` writes it";
            Error::format(&path, what, expected, found, hint)
        };
        let text = match shipped::file(&path)? {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => fs::read_to_string(&path).map_err(Error::io(&path, "read"))?,
        };
        let manifest: Manifest =
            toml::from_str(&text).map_err(|e| bad("description", "a Run's keys", e.to_string()))?;
        if manifest.format != FORMAT {
            return Err(bad("format", &FORMAT.to_string(), manifest.format.to_string()));
        }
        manifest.model.check().map_err(|e| bad("model", "possible numbers", e.to_string()))?;
        let needs_link = matches!(manifest.model, Model::Diffusion(_));
        if needs_link != manifest.autoencoder.is_some() {
            let found = if needs_link { "none" } else { "one" };
            let expected = "a link in the Run of a diffusion model, and in no other";
            return Err(bad("autoencoder", expected, found.into()));
        }
        Ok(Self { dir: dir.to_path_buf(), manifest })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What `run.toml` says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The config, if this is an autoencoder.
    ///
    /// # Errors
    /// [`Error::RunKind`] if it is something else.
    pub fn autoencoder_config(&self) -> Result<&AutoencoderConfig> {
        match &self.manifest.model {
            Model::Autoencoder(config) => Ok(config),
            other => Err(self.wrong_kind("autoencoder", other.kind())),
        }
    }

    /// The config, if this is a diffusion model.
    ///
    /// # Errors
    /// [`Error::RunKind`] if it is something else.
    pub fn diffusion_config(&self) -> Result<&DiffusionConfig> {
        match &self.manifest.model {
            Model::Diffusion(config) => Ok(config),
            other => Err(self.wrong_kind("diffusion", other.kind())),
        }
    }

    /// The network and its sizes, if this is a segmentation.
    ///
    /// # Errors
    /// [`Error::RunKind`] if it is something else.
    pub fn segmentation_backbone(&self) -> Result<&Backbone> {
        match &self.manifest.model {
            Model::Segmentation(backbone) => Ok(backbone),
            other => Err(self.wrong_kind("segmentation", other.kind())),
        }
    }

    pub(crate) fn wrong_kind(&self, expected: &'static str, found: &'static str) -> Error {
        Error::RunKind { path: self.dir.clone(), expected, found }
    }

    /// The autoencoder Run that a diffusion Run names.
    ///
    /// # Errors
    /// When this is no diffusion Run, or the one it names is gone, no autoencoder, or has other weights than recorded.
    pub fn autoencoder(&self) -> Result<Run> {
        self.diffusion_config()?;
        let link = self.manifest.autoencoder.as_ref().expect("checked when the Run was opened");
        let run = Run::open(self.dir.join(&link.path))?;
        run.autoencoder_config()?;
        let found = &run.manifest.weights.sha256;
        if *found != link.weights_sha256 {
            return Err(Error::Hash {
                path: run.dir.join(MANIFEST),
                what: "weights of the autoencoder that the diffusion model was trained on",
                expected: link.weights_sha256.clone(),
                found: found.clone(),
                hint: "the latents of another autoencoder mean something else: import both from the same release",
            });
        }
        Ok(run)
    }

    /// A part of the weights that only training needs, by the names behind `prefix` (`perceptual_model.`, say). Empty where
    /// the Run has it not.
    ///
    /// # Errors
    /// As [`Run::load_tensors`].
    pub fn load_part(&self, prefix: &str) -> Result<Tensors> {
        let inner = |(name, tensor): (String, _)| Some((name.strip_prefix(prefix)?.to_string(), tensor));
        Ok(self.load_tensors()?.into_iter().filter_map(inner).collect())
    }

    /// Reads the weights (f16 and bf16 are widened) and checks that they are what the description says.
    ///
    /// # Errors
    /// When the file is unreadable, its hash is not the recorded one, or its tensors are not the architecture's.
    pub fn load_tensors(&self) -> Result<Tensors> {
        let weights = &self.manifest.weights;
        let path = self.dir.join(&weights.file);
        let shipped = shipped::file(&path)?;
        let found = shipped.map_or_else(|| sha256_file(&path), |bytes| Ok(sha256(bytes)))?;
        if found != weights.sha256 {
            return Err(Error::Hash {
                path,
                what: "weights",
                expected: weights.sha256.clone(),
                found,
                hint: "the file is damaged or was changed: import it again",
            });
        }
        let section = match shipped {
            Some(bytes) => weights::tensors_of(&path, bytes)?,
            None => read_tensors(&path)?,
        };
        let is_extra =
            |name: &String| AUTOENCODER_TRAINING_PARTS.iter().any(|prefix| name.starts_with(prefix));
        let shapes = section.iter().filter(|(name, _)| !is_extra(name));
        let difference = state_dict::compare(
            &self.manifest.model.shapes(),
            &shapes.map(|(n, (shape, _))| (n.clone(), shape.clone())).collect(),
        );
        if !difference.is_empty() {
            return Err(Error::StateDict {
                path,
                architecture: format!("{} of {}", self.manifest.model.kind(), MANIFEST),
                difference: Box::new(difference),
                hint: "the description was changed after the weights were written: import them again".into(),
            });
        }
        Ok(section)
    }

    /// What this Run is made from, to put it into another or to write it anew.
    ///
    /// # Errors
    /// As [`Run::load_tensors`], for the autoencoder of a diffusion model too.
    pub fn to_new(&self) -> Result<NewRun> {
        let Manifest { licence, model, origin, training, autoencoder, .. } = self.manifest.clone();
        let autoencoder = match autoencoder {
            Some(_) => Some(Box::new(self.autoencoder()?.to_new()?)),
            None => None,
        };
        Ok(NewRun { model, licence, origin, training, tensors: self.load_tensors()?, autoencoder })
    }

    /// Replaces the weights of a Run that is being trained, or makes the Run: a new file, then the description that names
    /// it, and only then the old file goes, so that the Run can be opened at any time. The autoencoder inside of a diffusion
    /// Run must be the one that is there.
    ///
    /// # Errors
    /// When something cannot be written. The Run is as it was then.
    pub fn publish(dir: &Path, new: &NewRun, step: u64) -> Result<Self> {
        if !dir.join(MANIFEST).is_file() {
            fs::create_dir_all(dir).map_err(Error::io(dir, "create"))?;
            let manifest = write(dir, new, step, Precision::F32)?;
            return Ok(Self { dir: dir.to_path_buf(), manifest });
        }
        let old = Self::open(dir)?.manifest;
        let file = weights_name(step);
        let path = dir.join(&file);
        write_tensors(&path, &new.tensors, Precision::F32)?;
        let weights = Weights { sha256: sha256_file(&path)?, file };
        let manifest =
            Manifest { weights, model: new.model.clone(), training: new.training.clone(), ..old.clone() };
        write_manifest(dir, &manifest)?;
        if old.weights.file != manifest.weights.file {
            let path = dir.join(&old.weights.file);
            fs::remove_file(&path).map_err(Error::io(&path, "remove"))?;
        }
        Ok(Self { dir: dir.to_path_buf(), manifest })
    }
}

/// A folder beside `dir` that is filled and then put in its place; removed when that did not happen.
pub(crate) fn temporary_for(dir: &Path) -> Result<tempfile::TempDir> {
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(Error::io(parent, "create"))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".run-");
    #[cfg(unix)]
    {
        // The folder becomes the Run, which is not private; the umask still applies.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    builder.tempdir_in(parent).map_err(Error::io(parent, "create a folder in"))
}

/// Renames a folder of [`temporary_for`] to `dir`. What is there is moved away, not deleted, until the new one stands in its place.
pub(crate) fn put_in_place(temporary: &Path, dir: &Path) -> Result<()> {
    // An empty folder has nothing to lose, and its removal fails if it is none.
    if !dir.exists() || fs::remove_dir(dir).is_ok() {
        return fs::rename(temporary, dir).map_err(Error::io(dir, "create"));
    }
    let old = temporary_for(dir)?;
    let kept = old.path().join("old");
    fs::rename(dir, &kept).map_err(Error::io(dir, "replace"))?;
    if let Err(e) = fs::rename(temporary, dir) {
        fs::rename(&kept, dir).map_err(Error::io(dir, "restore"))?;
        return Err(Error::io(dir, "create")(e));
    }
    Ok(())
}

/// Writes the files of a Run into an existing folder.
fn write(dir: &Path, new: &NewRun, step: u64, precision: Precision) -> Result<Manifest> {
    let autoencoder = match &new.autoencoder {
        None => None,
        Some(inner) => {
            let inner_dir = dir.join(AUTOENCODER);
            fs::create_dir(&inner_dir).map_err(Error::io(&inner_dir, "create"))?;
            let weights_sha256 = write(&inner_dir, inner, 0, precision)?.weights.sha256;
            Some(AutoencoderLink { path: AUTOENCODER.into(), weights_sha256 })
        }
    };
    let file = weights_name(step);
    let path = dir.join(&file);
    write_tensors(&path, &new.tensors, precision)?;
    let manifest = Manifest {
        format: FORMAT,
        licence: new.licence.clone(),
        model: new.model.clone(),
        preprocessing: Preprocessing::default(),
        weights: Weights { file, sha256: sha256_file(&path)? },
        origin: new.origin.clone(),
        training: new.training.clone(),
        autoencoder,
    };
    write_manifest(dir, &manifest)?;
    Ok(manifest)
}

fn write_manifest(dir: &Path, manifest: &Manifest) -> Result<()> {
    let text = toml::to_string(manifest).expect("a manifest is made of tables, texts and numbers");
    Ok(write_atomically(&dir.join(MANIFEST), |file| file.write_all(text.as_bytes()))?)
}

/// Imported and finished weights are `weights.safetensors`; those of a training carry their step.
fn weights_name(step: u64) -> String {
    if step == 0 { "weights.safetensors".into() } else { format!("weights-{step}.safetensors") }
}
