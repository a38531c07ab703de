//! `record.json`: everything that an output follows from and what is in it. No times and no folders: the same inputs
//! and settings give the same bytes.
use super::output::OutputRecord;
use super::{Also, BatchOptions};
use crate::dataset::{CaseSource, SourceFile};
use crate::diffusion::DiffusionConfig;
use crate::error::{Error, Result};
use crate::run::sha256;
use crate::synthesis::{GateRecord, Generator, SynthesisOptions, Synthesizer, TumorRecord, Variant};
use difftumor_ct::mass_effect;
use difftumor_ct::realism::Gate;
use difftumor_ct::tumor_mask::fit::FitOptions;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The resolved settings: all that an output depends on besides the case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// This program's version.
    pub program_version: String,
    /// `default` or `paper`.
    pub preset: String,
    /// `diffusion` or `handcrafted`.
    pub method: String,
    /// Size class, `early`, `mixed`, or `A..B mm`.
    pub size: String,
    /// Sizes of a growth series; empty if there is none.
    #[serde(default)]
    pub growth_mm: Vec<f64>,
    /// Smallest and largest number of tumors in each organ; none if the preset draws it.
    pub tumors: Option<(i64, i64)>,
    /// The one seed.
    pub seed: u64,
    /// Organs as asked for.
    pub organs: Vec<String>,
    /// Where a tumor may lie.
    pub fit: FitSettings,
    /// Difference from the organ around it below which a tumor is drawn again.
    pub min_contrast_hu: f64,
    /// What tumors must pass, if anything.
    #[serde(default)]
    pub gate: Option<GateSettings>,
    /// How larger tumors push the tissue around them, if they do.
    #[serde(default)]
    pub mass_effect: Option<mass_effect::Options>,
    /// The models that paint.
    pub models: Vec<ModelSettings>,
    /// The device that they run on.
    pub device: String,
    /// Whether a picture is written.
    pub preview: bool,
    /// Whether the scan is kept as it was, too.
    #[serde(default)]
    pub pair: bool,
    /// Further files that are written.
    #[serde(default)]
    pub also: Vec<Also>,
}

/// See [`difftumor_ct::tumor_mask::fit::FitOptions`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in FitOptions")]
pub struct FitSettings {
    pub min_inside: f64,
    pub gap_vox: usize,
    pub min_axis_ratio: f64,
    pub tries: usize,
}

/// The gate that tumors must pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateSettings {
    /// Where its ranges of real tumors are from.
    pub compared_with: Vec<String>,
    /// SHA-256 of the ranges as JSON.
    pub ranges_sha256: String,
}

/// A diffusion model and its autoencoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSettings {
    /// SHA-256 of the denoiser's weights.
    pub weights_sha256: String,
    /// SHA-256 of the autoencoder's weights.
    pub autoencoder_sha256: String,
    /// HU that become -1 and 1.
    pub window_hu: [f64; 2],
    /// Its resolved config.
    pub config: DiffusionConfig,
}

/// What `record.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseRecord {
    /// The case's id.
    pub case: String,
    /// Which synthesis of the case, from 1.
    pub copy: u64,
    /// How many times it was rejected in a review and drawn again.
    #[serde(default)]
    pub redraw: u64,
    /// Longest axis that its tumors have grown to, of a growth series.
    #[serde(default)]
    pub grown_to_mm: Option<f64>,
    /// What it was made with.
    pub settings: Settings,
    /// What it was made from.
    pub sources: Vec<SourceFile>,
    /// The files beside this one.
    pub files: Vec<String>,
    /// Meaning of the values of `labels.nii.gz`.
    pub labels: BTreeMap<u16, String>,
    /// Voxels of `ct.nii.gz` whose stored bytes differ from the scan's.
    pub voxels_changed: usize,
    /// Voxels that were allowed to change.
    pub voxels_in_blend_zone: usize,
    /// Changed ones that were not; always 0, or there would be no output.
    pub voxels_changed_outside_blend_zone: usize,
    /// The new tumors.
    pub tumors: Vec<TumorRecord>,
    /// Tumors that found no place.
    pub not_placed: Vec<String>,
    /// What the gate said, if there was one.
    #[serde(default)]
    pub gate: Option<GateRecord>,
    /// What looked wrong in the inputs.
    pub warnings: Vec<String>,
}

impl Settings {
    pub(super) fn new(synthesizer: &Synthesizer, batch: &BatchOptions) -> Self {
        // Taken apart by name, so that a new option cannot be forgotten here.
        let SynthesisOptions {
            preset,
            size,
            growth_mm,
            tumors,
            seed,
            fit,
            min_contrast_hu,
            gate,
            mass_effect,
        } = &synthesizer.options;
        let FitOptions { min_inside, gap_vox, min_axis_ratio, tries } = *fit;
        let models = match &synthesizer.generator {
            Generator::Handcrafted => &[][..],
            Generator::Diffusion(models) => models,
        };
        Self {
            program_version: env!("CARGO_PKG_VERSION").into(),
            preset: preset.name().into(),
            method: synthesizer.generator.name().into(),
            size: size.to_string(),
            growth_mm: growth_mm.clone(),
            tumors: *tumors,
            seed: *seed,
            organs: batch.organs.iter().map(ToString::to_string).collect(),
            fit: FitSettings { min_inside, gap_vox, min_axis_ratio, tries },
            min_contrast_hu: *min_contrast_hu,
            gate: gate.as_ref().map(GateSettings::new),
            mass_effect: *mass_effect,
            models: models
                .iter()
                .map(|model| ModelSettings {
                    weights_sha256: model.weights_sha256().into(),
                    autoencoder_sha256: model.autoencoder_sha256().into(),
                    window_hu: [model.window().min_hu, model.window().max_hu].map(f64::from),
                    config: model.config().clone(),
                })
                .collect(),
            device: batch.device.clone(),
            preview: batch.preview,
            pair: batch.pair,
            also: batch.also.clone(),
        }
    }
}

impl GateSettings {
    fn new(gate: &Gate) -> Self {
        let ranges = serde_json::to_vec(gate).expect("names and numbers");
        Self {
            compared_with: gate.sources().into_iter().map(Into::into).collect(),
            ranges_sha256: sha256(&ranges),
        }
    }
}

impl CaseRecord {
    /// Checks that the output would come out the same today (drawn as many times as it was).
    ///
    /// # Errors
    /// [`Error::Settings`] naming what differs, and what reading the sources can give.
    pub(super) fn require_same(
        &self,
        source: &CaseSource,
        Variant { copy, grown_to_mm, .. }: Variant,
        settings: &Settings,
        folder: &Path,
    ) -> Result<()> {
        let now = Self {
            case: source.id.clone(),
            copy,
            grown_to_mm,
            settings: settings.clone(),
            sources: source.hash_again(&self.sources)?,
            ..self.clone()
        };
        require_same(self, &now, folder)
    }
}

impl OutputRecord for CaseRecord {
    fn files(&self) -> &[String] {
        &self.files
    }
}

/// Checks that a record is the one that would be written now.
///
/// # Errors
/// [`Error::Settings`] naming what differs.
pub(crate) fn require_same<R: Serialize>(was: &R, now: &R, folder: &Path) -> Result<()> {
    let json = |record: &R| serde_json::to_value(record).expect("a record is made of texts and numbers");
    let mut found = vec![];
    differences("", &json(was), &json(now), &mut found);
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::Settings { path: folder.to_path_buf(), difference: found.join(", ") })
}

/// Lists `key was A and is B` for every leaf that differs.
fn differences(key: &str, was: &Value, is: &Value, found: &mut Vec<String>) {
    let below = |name: &str| if key.is_empty() { name.to_string() } else { format!("{key}.{name}") };
    match (was, is) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let of = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or_default();
                differences(&below(name), &of(a), &of(b), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{key}[{i}]"), a, b, found);
            }
        }
        _ if was != is => found.push(format!("{key} was {was} and is {is}")),
        _ => {}
    }
}
