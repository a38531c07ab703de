//! Training of the autoencoder (paper 3.1, Eq. 1 to 4, App. E.2; spec/autoencoder.md sections 4 to 7).
mod learner;
mod settings;
mod validation;

pub use settings::{AutoencoderTraining, DiscriminatorSettings};

use super::Autoencoder;
use crate::error::Result;
use crate::nn::state;
use crate::run::{Model, NewRun, Run, Training};
use crate::train::TrainingPlace;
use crate::train::cache::Folder;
use crate::train::crops;
use crate::train::log::{Log, Means, Pace, Progress};
use crate::train::prefetch::Prefetch;
use crate::train::scans::{TrainingScan, cache};
use crate::train::settings::resolved;
use difftumor_ct::label::OrganSpec;
use learner::Learner;
use validation::{validate, validation_crops};

/// What the training learns from.
#[derive(Debug, Clone, Default)]
pub struct AutoencoderData {
    /// Scans to train on.
    pub scans: Vec<TrainingScan>,
    /// Organs that crops are steered to, in scans with labels.
    pub organs: Vec<OrganSpec>,
    /// Scans to measure on and never train on. Without any, fixed crops of the training scans are measured on.
    pub validation: Vec<TrainingScan>,
}

/// Trains an autoencoder, or goes on with a training, until `settings.steps`. `watch` sees every recorded step.
///
/// # Errors
/// When settings are impossible or not those that the training in `place` was started with, no scan can be used, a loss
/// is not finite, or something cannot be written. The latest checkpoint stays.
pub fn train(
    place: &TrainingPlace,
    settings: &AutoencoderTraining,
    data: AutoencoderData,
    watch: &dyn Fn(&Progress),
) -> Result<Run> {
    settings.check()?;
    let scan_ids = data.scans.iter().map(|s| s.id.as_str());
    let checkpoints = place.prepare(&resolved(settings), scan_ids)?;
    let device = place.device.clone().autodiff();
    crate::memory::keep_freed();
    let (mut learner, first) = match checkpoints.latest()? {
        None => (Learner::new(settings, &device)?.start_from(settings, place.init.as_deref())?, 1),
        Some(checkpoint) => (Learner::restore(settings, &device, &checkpoint)?, checkpoint.step + 1),
    };
    let folder = Folder::of(place);
    let scans = cache(data.scans.clone(), data.organs.clone(), settings.crops.side_vox, &folder);
    let fixed = validation_crops(&data, settings, &folder)?;
    let (crops, seed) = (settings.crops, settings.seed);
    let mut batches = Prefetch::new(first, settings.steps, place.threads, move |step| {
        crops::batch(&scans, &crops, seed, step)
    });
    let mut log = Log::open(&place.records(), first - 1, settings.steps)?;
    let (mut means, mut pace) = (Means::default(), Pace::default());
    for step in first..=settings.steps {
        let batch = pace.wait(|| batches.take())?;
        means.add(&pace.step(|| learner.step(settings, &device, step, &batch))?);
        let last = step == settings.steps;
        if last || step.is_multiple_of(settings.output.record_every) {
            let mut metrics = means.take();
            metrics.extend(pace.take());
            watch(&log.record(step, &metrics)?);
        }
        if last || step.is_multiple_of(settings.output.validate_every) {
            let model = learner.averaged(settings, &place.device);
            let (psnr_db, size, png) =
                validate(&model, &fixed, step >= settings.quantise_from_step, &place.device);
            watch(&log.record(step, &[("validation_psnr_db", psnr_db)])?);
            log.picture(step, "reconstruction", size, &png)?;
            let new = new_run(settings, &model, step, psnr_db, place);
            Run::publish(&place.run, &new, step)?;
            if learner.best_psnr_db.is_none_or(|best| psnr_db > best) {
                learner.best_psnr_db = Some(psnr_db);
                Run::create(place.run.join("best"), &new, true)?;
            }
        }
        if last || step.is_multiple_of(settings.output.checkpoint_every) {
            learner.save(&checkpoints, step)?;
        }
    }
    Run::open(&place.run)
}

fn new_run(
    settings: &AutoencoderTraining,
    model: &Autoencoder,
    step: u64,
    psnr_db: f64,
    place: &TrainingPlace,
) -> NewRun {
    NewRun {
        model: Model::Autoencoder(settings.model.clone()),
        licence: place.licence.clone(),
        origin: None,
        training: Some(Training {
            step,
            averaged: true,
            validation: Some(("psnr_db".into(), psnr_db)),
            crop_vox: None,
        }),
        tensors: state::read(model, Autoencoder::published_name),
        autoencoder: None,
    }
}
