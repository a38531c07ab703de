//! Training of a segmentation model on real and synthetic tumors (paper 3.3 and 4.2, App. E.2; spec/segmentation.md section 4).
mod augment;
mod folds;
mod items;
mod learner;
mod order;
mod pool;
mod scans;
mod settings;
mod validation;

pub use augment::{Augmentation, Shares};
pub use folds::{Dealt, FoldData, FoldScore, FoldScores, cross_validate};
pub use items::SegmentationCrops;
pub use order::HealthyShare;
pub use pool::PoolSettings;
pub use scans::LabelledCase;
pub use settings::{PaintedBy, SegmentationTraining, SizeSetting, SyntheticShare};

use super::SegmentationNetwork;
use crate::dataset::CaseSource;
use crate::dataset::patients::origins;
use crate::error::Result;
use crate::nn::state;
use crate::run::{Model, NewRun, Run, Tensors, Training};
use crate::synthesis::{Generator, SizeChoice, SynthesisOptions, Synthesizer};
use crate::train::TrainingPlace;
use crate::train::cache::Folder;
use crate::train::log::{Log, Means, Pace, Progress};
use crate::train::prefetch::Prefetch;
use crate::train::require;
use crate::train::settings::resolved;
use items::{Item, Items, Tumors};
use learner::Learner;
use order::Order;
use pool::Pool;
use std::collections::BTreeSet;
use std::sync::Arc;
use validation::Validation;

/// What the training learns from.
pub struct SegmentationData {
    /// Annotated cases, and healthy ones.
    pub cases: Vec<LabelledCase>,
    /// Annotated cases to measure on and never train on.
    pub validation: Vec<LabelledCase>,
    /// What paints tumors into healthy crops; none trains without synthetic tumors.
    pub generator: Option<Generator>,
}

/// Trains a segmentation model, or goes on with a training, until `settings.steps`. `watch` sees every recorded step.
///
/// # Errors
/// When settings are impossible or not those that the training in `place` was started with, no case can be used, a case is
/// trained and measured on, a loss is not finite, or something cannot be written. The latest checkpoint stays.
pub fn train(
    place: &TrainingPlace,
    settings: &SegmentationTraining,
    data: SegmentationData,
    watch: &dyn Fn(&Progress),
) -> Result<Run> {
    settings.check()?;
    check(settings, &data)?;
    let ids = data.cases.iter().map(|c| c.source.id.as_str());
    let checkpoints = place.prepare(&resolved(settings), ids)?;
    let device = place.device.clone().autodiff();
    crate::memory::keep_freed();
    let (mut learner, first) = match checkpoints.latest()? {
        None => (Learner::new(settings, &device).start_from(place.init.as_deref())?, 1),
        Some(checkpoint) => (Learner::restore(settings, &device, &checkpoint)?, checkpoint.step + 1),
    };
    let (side, folder) = (settings.crops.side_vox, Folder::of(place));
    let validation = Validation::new(data.validation, side, settings.validation_overlap, &folder);
    if first <= settings.steps {
        validation.require_usable()?;
    }
    let items = Arc::new(items(settings, data.cases, data.generator, &folder, first));
    let _painter = items.paint_ahead();
    let batch = settings.batch as u64;
    let mut batches = Prefetch::new(first, settings.steps, place.threads, move |step| {
        ((step - 1) * batch..step * batch).map(|n| items.item(n)).collect::<Result<Vec<Item>>>()
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
            let model = learner.plain(settings, &place.device);
            let (size, png) = validation::picture(&model, &batch, &place.device);
            log.picture(step, "segmentation", size, &png)?;
            let scores = validation.scores(&model, &place.device)?;
            let score = scores.as_ref().map(|s| s.score());
            if let Some(scores) = &scores {
                watch(&log.record(step, &scores.metrics())?);
            }
            let new = new_run(settings, &model, step, score, place);
            Run::publish(&place.run, &new, step)?;
            if score.is_some() && learner.best_score.is_none_or(|best| score > Some(best)) {
                learner.best_score = score;
                Run::create(place.run.join("best"), &new, true)?;
            }
        }
        if last || step.is_multiple_of(settings.output.checkpoint_every) {
            learner.save(&checkpoints, step)?;
        }
    }
    Run::open(&place.run)
}

/// What only settings and data together can get wrong.
fn check(settings: &SegmentationTraining, data: &SegmentationData) -> Result<()> {
    let healthy = data.cases.iter().filter(|c| c.healthy).count();
    let annotated = data.cases.len() - healthy;
    require(
        annotated > 0 || (healthy > 0 && data.generator.is_some()),
        "cases with tumors",
        "annotated cases, or healthy ones and synthetic tumors",
        format!("{healthy} healthy ones, without synthetic tumors"),
    )?;
    let there = match settings.healthy_share {
        HealthyShare::Listed => true,
        HealthyShare::Share(share) => (share == 0.0 || healthy > 0) && (share == 1.0 || annotated > 0),
    };
    require(
        there,
        "healthy_share",
        "\"listed\", or cases of both kinds (0 for annotated ones alone, 1 for healthy ones alone)",
        format!("{annotated} annotated and {healthy} healthy cases"),
    )?;
    if let Some(generator) = &data.generator {
        synthesis_options(settings).check(generator)?;
    }
    let trained: BTreeSet<_> = data.cases.iter().map(|c| &c.source.ct).collect();
    let both = data.validation.iter().find(|c| trained.contains(&c.source.ct));
    require(
        both.is_none(),
        "validation",
        "no scan that is trained on",
        both.map(|c| c.source.ct.display().to_string()).unwrap_or_default(),
    )?;
    no_patient_twice(data)
}

/// Neither another scan nor a synthetic copy of a patient who is measured on may be trained on.
fn no_patient_twice(data: &SegmentationData) -> Result<()> {
    if data.validation.is_empty() {
        return Ok(());
    }
    let sources: Vec<CaseSource> =
        data.validation.iter().chain(&data.cases).map(|c| c.source.clone()).collect();
    let origins = origins(&sources);
    let (measured, trained) = origins.split_at(data.validation.len());
    let measured: BTreeSet<&str> = measured.iter().map(|o| o.patient.as_str()).collect();
    let both = trained.iter().position(|o| measured.contains(o.patient.as_str()));
    require(
        both.is_none(),
        "cases to train on",
        "no patient who is measured on, and no synthetic copy of one (a column 'patient' in the tables says whose a case is)",
        both.map(|i| format!("'{}' of patient '{}'", data.cases[i].source.id, trained[i].patient))
            .unwrap_or_default(),
    )
}

fn synthesis_options(settings: &SegmentationTraining) -> SynthesisOptions {
    SynthesisOptions {
        size: SizeChoice::from(settings.synthesis.size),
        seed: settings.seed,
        ..SynthesisOptions::default()
    }
}

/// Where items come from, in a training whose next step is `first`.
fn items(
    settings: &SegmentationTraining,
    cases: Vec<LabelledCase>,
    generator: Option<Generator>,
    folder: &Folder,
    first: u64,
) -> Items {
    let order = Order::new(cases.iter().map(|c| c.healthy), settings.healthy_share, settings.seed);
    let share = settings.synthesis.share;
    let made = (first - 1) * settings.batch as u64;
    let needed = items::needed(&order, share, made);
    let tumors = |generator| Tumors {
        synthesizer: Synthesizer { options: synthesis_options(settings), generator },
        share,
        pool: Pool::new(settings.synthesis.pool, needed),
    };
    Items {
        scans: scans::cache(cases, settings.crops.side_vox, folder),
        order,
        crops: settings.crops,
        augmentation: settings.augmentation,
        tumors: generator.map(tumors),
        seed: settings.seed,
    }
}

fn new_run(
    settings: &SegmentationTraining,
    model: &SegmentationNetwork,
    step: u64,
    score: Option<f64>,
    place: &TrainingPlace,
) -> NewRun {
    let tensors: Tensors = state::read(model, settings.model.published_name());
    NewRun {
        model: Model::Segmentation(settings.model.clone()),
        licence: place.licence.clone(),
        origin: None,
        training: Some(Training {
            step,
            averaged: false,
            validation: score.map(|score| ("tumor_dsc".into(), score)),
            crop_vox: Some(settings.crops.side_vox),
        }),
        tensors,
        autoencoder: None,
    }
}
