//! Turns published checkpoint files into Run directories: `difftumor import FILE --out RUN`.
//!
//! What a file is follows from the names of its tensors, never from the file's name. Understood are the autoencoder
//! (`AutoencoderModel.ckpt`) and the diffusion models (`ORGAN_early.pt`, `ORGAN_noearly.pt`), which contain the
//! autoencoder that they were trained on, and the segmentation networks. Of the two copies of the U-Net in a diffusion file the
//! averaged one (`ema`) is taken, as the published pipeline does. For the autoencoder's training, torchvision's VGG16 becomes a Run of its perceptual network.
mod perceptual;
mod segmentation;

use crate::autoencoder::config::AutoencoderConfig;
use crate::checkpoint::{self, Checkpoint, TensorRef};
use crate::diffusion::config::{DiffusionConfig, Sampler, cosine_betas};
use crate::error::{Error, Result};
use crate::run::{Model, NewRun, Origin, Run, Tensors, sha256_file};
use crate::segmentation::Architecture;
use crate::state_dict::{self, AUTOENCODER_TRAINING_PARTS, Shapes};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What the user can choose.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Replace an existing Run.
    pub force: bool,
    /// Also keep the autoencoder's discriminators and perceptual network, which only its training needs.
    pub keep_training_parts: bool,
    /// LPIPS' file for VGG16, which torchvision's VGG16 becomes a perceptual network with.
    pub lpips_heads: Option<PathBuf>,
    /// The network that a segmentation must be of; another is an error.
    pub backbone: Option<Architecture>,
    /// Terms under which the weights may be used, as their publisher states them; checkpoints do not hold them.
    pub licence: Option<String>,
}

/// What was imported and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// `autoencoder`, `diffusion`, `perceptual` or `segmentation`.
    pub kind: &'static str,
    /// Name of the network of a segmentation.
    pub backbone: Option<&'static str>,
    /// The Run that was written.
    pub run: PathBuf,
    /// The state dict that was taken; empty for the outermost.
    pub section: String,
    /// Tensors in the Run, with those of the autoencoder in it.
    pub tensors: usize,
    /// Training step that the file gives.
    pub step: Option<i64>,
    /// Epoch that the file gives.
    pub epoch: Option<i64>,
    /// Diffusion steps T.
    pub timesteps: Option<usize>,
    /// Names of the tensors of that state dict that are not in the Run.
    pub skipped_tensors: Vec<String>,
    /// Python classes and functions that the file asks for and that were not made or called.
    pub foreign_classes: Vec<String>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Tensors of a state dict by name.
type Refs = BTreeMap<String, TensorRef>;

/// Sections in order of preference: the averaged weights, those of trainers, the live weights, a bare state dict.
const SECTIONS: [&str; 4] = ["ema", "state_dict", "model", ""];

/// Prefixes that wrappers put before every name.
const WRAPPERS: [&str; 2] = ["module.", "backbone."];

/// Frequencies that the depth attention computes; published files repeat them for every user.
const ROTARY_BUFFER: &str = ".rotary_emb.freqs";
const UNET_PREFIX: &str = "denoise_fn.";
const AUTOENCODER_PREFIX: &str = "vqgan.";

/// What a file can be, and a tensor that only such files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Diffusion,
    Autoencoder,
    Perceptual,
    Segmentation(Architecture),
}

impl Kind {
    /// For messages.
    fn name(self) -> &'static str {
        match self {
            Self::Diffusion => "a diffusion model",
            Self::Autoencoder => "an autoencoder",
            Self::Perceptual => "VGG16",
            Self::Segmentation(architecture) => architecture.name(),
        }
    }
}

const SIGNATURES: [(Kind, &str); 7] = [
    (Kind::Diffusion, "denoise_fn.init_conv.weight"),
    (Kind::Autoencoder, "codebook.embeddings"),
    (Kind::Perceptual, "features.24.weight"),
    (Kind::Perceptual, "net.slice5.24.weight"),
    (Kind::Segmentation(Architecture::Unet), "model.0.conv.unit0.conv.weight"),
    (Kind::Segmentation(Architecture::Nnunet), "input_block.conv1.conv.weight"),
    (Kind::Segmentation(Architecture::SwinUnetr), "swinViT.patch_embed.proj.weight"),
];

/// A state dict of a known kind, found in a checkpoint.
struct Found {
    kind: Kind,
    section: &'static str,
    refs: Refs,
}

/// Imports `file` into the Run directory `out`.
///
/// # Errors
/// When the file is damaged or of an unknown kind, when tensors are missing, unknown or of another shape (all are listed),
/// when its diffusion schedule is not the published one, or when `out` is occupied.
pub fn import(file: &Path, out: &Path, options: &ImportOptions) -> Result<ImportReport> {
    let checkpoint = checkpoint::read(file)?;
    let found = recognise(&checkpoint)?;
    if let (Some(heads), false) = (&options.lpips_heads, found.kind == Kind::Perceptual) {
        let hint = "give --lpips-heads with torchvision's VGG16 only";
        return Err(Error::format(
            file,
            "state dict",
            "VGG16, for the heads",
            heads.display().to_string(),
            hint,
        ));
    }
    if let (Some(wanted), false) = (options.backbone, matches!(found.kind, Kind::Segmentation(_))) {
        let expected = format!("a segmentation by {wanted}");
        let hint = "leave --backbone out: it is for segmentations";
        return Err(Error::format(file, "state dict", expected, found.kind.name(), hint));
    }
    let mut import = Import { checkpoint: &checkpoint, options, taken: BTreeSet::new(), notes: vec![] };
    let origin = Origin {
        file: file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned(),
        sha256: sha256_file(file)?,
        section: found.section.into(),
        step: checkpoint.integer("step").or_else(|| checkpoint.integer("global_step")),
        epoch: checkpoint.integer("epoch"),
        skipped: vec![],
    };
    let mut new = match found.kind {
        Kind::Autoencoder => import.autoencoder(&found.refs)?,
        Kind::Diffusion => import.diffusion(&found)?,
        Kind::Perceptual => import.perceptual(&found.refs)?,
        Kind::Segmentation(architecture) => import.segmentation(architecture, &found.refs)?,
    };
    let (taken, notes) = (std::mem::take(&mut import.taken), import.notes);
    let skipped: Vec<String> = found.refs.into_keys().filter(|name| !taken.contains(name)).collect();
    let origin = Origin { skipped: summary(&skipped), ..origin };
    if let Some(autoencoder) = &mut new.autoencoder {
        autoencoder.origin = Some(origin.clone());
    }
    new.origin = Some(origin.clone());
    let run = Run::create(out, &new, options.force)?;
    Ok(ImportReport {
        kind: new.model.kind(),
        backbone: match &new.model {
            Model::Segmentation(backbone) => Some(backbone.architecture().name()),
            _ => None,
        },
        run: run.dir().to_path_buf(),
        section: origin.section,
        tensors: taken.len(),
        step: origin.step,
        epoch: origin.epoch,
        timesteps: match &new.model {
            Model::Diffusion(config) => Some(config.timesteps),
            _ => None,
        },
        skipped_tensors: skipped,
        foreign_classes: checkpoint.tree().foreign_classes().into_iter().map(String::from).collect(),
        notes,
    })
}

/// Finds the state dict and what it belongs to.
fn recognise(checkpoint: &Checkpoint) -> Result<Found> {
    for section in SECTIONS {
        let refs = unwrapped(checkpoint.section(section));
        if let Some((kind, _)) = SIGNATURES.into_iter().find(|(_, name)| refs.contains_key(*name)) {
            return Ok(Found { kind, section, refs });
        }
    }
    let mut names = vec![];
    for section in checkpoint.section_names().into_iter().take(10) {
        names
            .extend(checkpoint.section(section).into_keys().take(3).map(|name| format!("{section}: {name}")));
    }
    let found = if names.is_empty() { "no tensors".into() } else { format!("tensors such as {names:?}") };
    let expected = "the tensors of an autoencoder, a diffusion model, VGG16, or a segmentation by U-Net, nnU-Net or Swin UNETR";
    let hint = "name AutoencoderModel.ckpt, ORGAN_early.pt, ORGAN_noearly.pt or a file of SegmentationModel, or a safetensors file with the same names";
    Err(Error::format(checkpoint.path(), "state dict", expected, found, hint))
}

/// Takes off the prefixes that wrappers put before every name.
fn unwrapped(mut refs: Refs) -> Refs {
    while let Some(prefix) =
        WRAPPERS.iter().find(|p| !refs.is_empty() && refs.keys().all(|n| n.starts_with(*p)))
    {
        refs = refs.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_string(), tensor)).collect();
    }
    refs
}

/// An import under way.
struct Import<'a> {
    checkpoint: &'a Checkpoint,
    options: &'a ImportOptions,
    /// Names, as in the state dict, of what goes into the Run.
    taken: BTreeSet<String>,
    notes: Vec<String>,
}

impl Import<'_> {
    fn autoencoder(&mut self, refs: &Refs) -> Result<NewRun> {
        let config = AutoencoderConfig::default();
        let expected = state_dict::autoencoder(&config);
        self.compare(
            "autoencoder",
            &expected,
            refs,
            &["encoder.", "decoder.", "codebook.", "pre_vq", "post_vq"],
        )?;
        self.autoencoder_run(config, refs, "")
    }

    fn autoencoder_run(&mut self, config: AutoencoderConfig, refs: &Refs, prefix: &str) -> Result<NewRun> {
        let mut names: Vec<String> = state_dict::autoencoder(&config).into_keys().collect();
        if self.options.keep_training_parts {
            let inner = refs.keys().filter_map(|name| name.strip_prefix(prefix));
            let is_part = |name: &&str| AUTOENCODER_TRAINING_PARTS.iter().any(|part| name.starts_with(part));
            names.extend(inner.filter(is_part).map(String::from));
        }
        let tensors = self.load(refs, prefix, names)?;
        Ok(self.new_run(Model::Autoencoder(config), tensors, None))
    }

    fn diffusion(&mut self, found: &Found) -> Result<NewRun> {
        if found.section != "ema" {
            let section = found.section;
            self.notes.push(format!(
                "the file holds no averaged weights ('ema'); those of '{section}' were taken, which the published pipeline never uses"
            ));
        }
        let config = self.diffusion_config(&found.refs)?;
        let unet = state_dict::diffusion(&config);
        let autoencoder_config = AutoencoderConfig::default();
        let prefixed = |shapes: Shapes, prefix: &'static str| {
            shapes.into_iter().map(move |(name, shape)| (format!("{prefix}{name}"), shape))
        };
        let autoencoder = state_dict::autoencoder(&autoencoder_config);
        let expected =
            prefixed(unet.clone(), UNET_PREFIX).chain(prefixed(autoencoder, AUTOENCODER_PREFIX)).collect();
        let own = [
            UNET_PREFIX,
            "vqgan.encoder.",
            "vqgan.decoder.",
            "vqgan.codebook.",
            "vqgan.pre_vq",
            "vqgan.post_vq",
        ];
        self.compare("diffusion model and its autoencoder", &expected, &found.refs, &own)?;
        let inner = self.autoencoder_run(autoencoder_config, &found.refs, AUTOENCODER_PREFIX)?;
        let tensors = self.load(&found.refs, UNET_PREFIX, unet.into_keys().collect())?;
        Ok(self.new_run(Model::Diffusion(config), tensors, Some(Box::new(inner))))
    }

    /// The published architecture with the file's number of steps; checks that its schedule is the one computed here.
    fn diffusion_config(&self, refs: &Refs) -> Result<DiffusionConfig> {
        // Buffers are stored in f32: rounding moves a beta below 1 by at most 6e-8.
        const TOLERANCE: f64 = 1e-6;
        let bad = |expected: String, found: String| {
            let hint = "the model was trained with another schedule, which this program does not have";
            Error::format(self.checkpoint.path(), "noise schedule 'betas'", expected, found, hint)
        };
        let expected = "a list of 1 to 100000 numbers";
        let betas = refs.get("betas").ok_or_else(|| bad(expected.into(), "no such tensor".into()))?;
        let [timesteps @ 1..=100_000] = *betas.shape.as_slice() else {
            return Err(bad(expected.into(), format!("shape {:?}", betas.shape)));
        };
        let stored = self.checkpoint.load_f32("betas", betas)?;
        for (t, (stored, computed)) in stored.into_iter().zip(cosine_betas(timesteps)).enumerate() {
            let off = (f64::from(stored) - computed).abs();
            if off.is_nan() || off > TOLERANCE {
                let expected = format!("{computed} at step {t} of {timesteps} (cosine schedule)");
                return Err(bad(expected, stored.to_string()));
            }
        }
        Ok(DiffusionConfig { timesteps, sampler: Sampler::published(timesteps), ..Default::default() })
    }

    /// Missing and misshapen tensors are errors, unknown ones too when they are under one of the architecture's `own`
    /// prefixes: a network with more layers is another network.
    fn compare(&self, architecture: &str, expected: &Shapes, refs: &Refs, own: &[&str]) -> Result<()> {
        let is_own = |name: &String| {
            expected.contains_key(name)
                || own.iter().any(|prefix| name.starts_with(prefix)) && !name.ends_with(ROTARY_BUFFER)
        };
        let found =
            refs.iter().filter(|(name, _)| is_own(name)).map(|(n, t)| (n.clone(), t.shape.clone())).collect();
        let difference = state_dict::compare(expected, &found);
        if difference.is_empty() {
            return Ok(());
        }
        Err(Error::StateDict {
            path: self.checkpoint.path().to_path_buf(),
            architecture: architecture.into(),
            difference: Box::new(difference),
            hint: "the file belongs to another version of the architecture, or is incomplete".into(),
        })
    }

    fn load(&mut self, refs: &Refs, prefix: &str, names: Vec<String>) -> Result<Tensors> {
        let mut tensors = Tensors::new();
        for name in names {
            let full = format!("{prefix}{name}");
            let tensor = &refs[&full];
            tensors.insert(name, (tensor.shape.clone(), self.checkpoint.load_f32(&full, tensor)?));
            self.taken.insert(full);
        }
        Ok(tensors)
    }

    fn new_run(&self, model: Model, tensors: Tensors, autoencoder: Option<Box<NewRun>>) -> NewRun {
        let unknown = "not stated in the checkpoint: ask its publisher before you pass the weights on";
        let licence = self.options.licence.clone().unwrap_or_else(|| unknown.into());
        NewRun { model, licence, origin: None, training: None, tensors, autoencoder }
    }
}

/// Names, shortened where many share their first component: `perceptual_model.* (33 tensors)`.
fn summary(names: &[String]) -> Vec<String> {
    let group = |name: &str| {
        if name.ends_with(ROTARY_BUFFER) {
            return format!("*{ROTARY_BUFFER}");
        }
        let inner =
            name.strip_prefix(AUTOENCODER_PREFIX).or_else(|| name.strip_prefix(UNET_PREFIX)).unwrap_or(name);
        let end = name.len() - inner.len() + inner.find('.').unwrap_or(inner.len());
        format!("{}.*", &name[..end])
    };
    let mut groups: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for name in names {
        groups.entry(group(name)).or_default().push(name);
    }
    let line = |(group, names): (String, Vec<&String>)| match names.as_slice() {
        [one] => (*one).clone(),
        many => format!("{group} ({} tensors)", many.len()),
    };
    groups.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_averaged_weights_are_taken_and_not_the_live_ones() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/checkpoints/ema_and_model.pt");
        let checkpoint = checkpoint::read(path).unwrap();
        let found = recognise(&checkpoint).unwrap();
        assert_eq!((found.kind, found.section), (Kind::Diffusion, "ema"));
        let elements = checkpoint.load_f32("", &found.refs["denoise_fn.init_conv.weight"]).unwrap();
        assert_eq!(elements[23], 23.0); // `model` holds half of it
    }

    #[test]
    fn skipped_tensors_are_summed_up() {
        let names = [
            "betas",
            "vqgan.p.a",
            "vqgan.p.b",
            "denoise_fn.x.rotary_emb.freqs",
            "denoise_fn.y.rotary_emb.freqs",
        ];
        let lines = summary(&names.map(String::from));
        assert_eq!(lines, ["*.rotary_emb.freqs (2 tensors)", "betas", "vqgan.p.* (2 tensors)"]);
    }
}
