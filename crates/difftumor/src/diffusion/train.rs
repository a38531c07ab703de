//! Training of the diffusion model (paper 3.2, Eq. 5 and 6, App. E.2; spec/diffusion.md sections 4, 6 and 7): from one
//! annotated tumor on.
mod encoder;
mod fixed;
mod learner;
mod settings;

pub use settings::{DiffusionTraining, EmaSettings};

use super::{Schedule, Unet3d};
use crate::autoencoder::Autoencoder;
use crate::dataset::CaseSource;
use crate::error::Result;
use crate::nn::state;
use crate::run::{Model, NewRun, Run, Tensors, Training};
use crate::train::TrainingPlace;
use crate::train::cache::Folder;
use crate::train::log::{Log, Means, Pace, Progress};
use crate::train::prefetch::Prefetch;
use crate::train::settings::resolved;
use crate::train::tumors::{self, TumorLabels};
use encoder::{Encoded, Encoder};
use fixed::Fixed;
use learner::{Learner, require_autoencoder};
use std::path::PathBuf;

/// What the training learns from.
#[derive(Debug, Clone)]
pub struct DiffusionData {
    /// Scans with annotated tumors.
    pub cases: Vec<CaseSource>,
    /// Cases to measure on and never train on. Without any, fixed crops of the training cases are measured on.
    pub validation: Vec<CaseSource>,
    /// Label values.
    pub labels: TumorLabels,
    /// Run of the autoencoder.
    pub autoencoder: PathBuf,
}

/// Trains a diffusion model, or goes on with a training, until `settings.steps`. `watch` sees every recorded step.
///
/// # Errors
/// When settings are impossible or not those that the training in `place` was started with, the autoencoder is not the
/// one it was started with, no case has a tumor, a loss is not finite, or something cannot be written. The latest
/// checkpoint stays.
pub fn train(
    place: &TrainingPlace,
    settings: &DiffusionTraining,
    data: DiffusionData,
    watch: &dyn Fn(&Progress),
) -> Result<Run> {
    settings.check()?;
    let autoencoder_run = Run::open(&data.autoencoder)?;
    let config = autoencoder_run.autoencoder_config()?;
    settings.check_with(config.latent_channels, config.downsamplings)?;
    let checkpoints = place.prepare(&resolved(settings), data.cases.iter().map(|c| c.id.as_str()))?;
    let device = place.device.clone().autodiff();
    crate::memory::keep_freed();
    let sha256 = autoencoder_run.manifest().weights.sha256.clone();
    let (mut learner, first) = match checkpoints.latest()? {
        None => (Learner::new(settings, &device).start_from(place.init.as_deref())?, 1),
        Some(checkpoint) => {
            require_autoencoder(&checkpoint, &sha256)?;
            (Learner::restore(settings, &device, &checkpoint)?, checkpoint.step + 1)
        }
    };
    let inner = autoencoder_run.to_new()?;
    let (side, folder) = (settings.crops.side_vox, Folder::of(place));
    let encoder = |cases: &[CaseSource]| -> Result<Encoder> {
        Ok(Encoder {
            autoencoder: Autoencoder::open(&autoencoder_run, &place.device)?,
            device: place.device.clone(),
            cases: tumors::cache(cases.to_vec(), data.labels, side, &folder),
            crops: settings.crops,
            scale: settings.model.scale,
            seed: settings.seed,
            dir: place.records().join("latents"),
        })
    };
    let measured = if data.validation.is_empty() { &data.cases } else { &data.validation };
    let fixed = Fixed::new(&encoder(measured)?)?;
    let (encoder, batch) = (encoder(&data.cases)?, settings.batch as u64);
    let mut batches = Prefetch::new(first, settings.steps, place.threads, move |step| {
        ((step - 1) * batch..step * batch).map(|item| encoder.item(item)).collect::<Result<Vec<Encoded>>>()
    });
    let schedule = Schedule::cosine(settings.model.timesteps);
    let mut log = Log::open(&place.records(), first - 1, settings.steps)?;
    let (mut means, mut pace) = (Means::default(), Pace::default());
    for step in first..=settings.steps {
        let batch = pace.wait(|| batches.take())?;
        means.add(&pace.step(|| learner.step(settings, &schedule, &device, step, &batch))?);
        let last = step == settings.steps;
        if last || step.is_multiple_of(settings.output.record_every) {
            let mut metrics = means.take();
            metrics.extend(pace.take());
            watch(&log.record(step, &metrics)?);
        }
        if last || step.is_multiple_of(settings.output.validate_every) {
            let model = learner.ema.apply(settings.model.init(&place.device));
            let loss = fixed.loss(&model, settings.objective(), &schedule);
            watch(&log.record(step, &[("validation_loss", loss)])?);
            let (size, png) = fixed.picture(&model, &settings.model);
            log.picture(step, "tumors", size, &png)?;
            let new = new_run(settings, &model, step, loss, place, &inner);
            Run::publish(&place.run, &new, step)?;
            if learner.best_loss.is_none_or(|best| loss < best) {
                learner.best_loss = Some(loss);
                Run::create(place.run.join("best"), &new, true)?;
            }
        }
        if last || step.is_multiple_of(settings.output.checkpoint_every) {
            learner.save(&checkpoints, step, &sha256)?;
        }
    }
    Run::open(&place.run)
}

fn new_run(
    settings: &DiffusionTraining,
    model: &Unet3d,
    step: u64,
    loss: f64,
    place: &TrainingPlace,
    autoencoder: &NewRun,
) -> NewRun {
    // Published names go with published shapes: a weight of [C] may be [1, C, 1, 1, 1] there.
    let mut read = state::read(model, Unet3d::published_name);
    let published = Model::Diffusion(settings.model.clone()).shapes();
    let shaped = |(name, shape): (String, Vec<usize>)| {
        let (_, values) = read.remove(&name).expect("the module has every published weight");
        (name, (shape, values))
    };
    let tensors: Tensors = published.into_iter().map(shaped).collect();
    NewRun {
        model: Model::Diffusion(settings.model.clone()),
        licence: place.licence.clone(),
        origin: None,
        training: Some(Training {
            step,
            averaged: true,
            validation: Some(("loss".into(), loss)),
            crop_vox: None,
        }),
        tensors,
        autoencoder: Some(Box::new(autoencoder.clone())),
    }
}
