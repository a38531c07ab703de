//! Training of the autoencoder (paper 3.1, Eq. 1 to 4, App. E.2; spec/autoencoder.md sections 4 to 7).
use super::codebook_update::{CodebookUpdate, donors, perplexity, rows};
use super::gan::{Discriminators, GanWeights, GeneratorTerms, Planes, discriminator_loss, generator_terms};
use super::objective::{Reconstruction, reconstruct, reconstruct_unquantised};
use super::perceptual::{Perceptual, PerceptualConfig};
use super::{Autoencoder, AutoencoderConfig};
use crate::error::{Error, Result};
use crate::nn::ema::Ema;
use crate::nn::optim::{Adam, AdamConfig};
use crate::nn::state::fill_from_run;
use crate::nn::{params, state};
use crate::run::{Model, NewRun, Run, Tensors, Training};
use crate::tensor::{from_crop, to_crop};
use crate::train::checkpoint::{Checkpoint, Checkpoints};
use crate::train::crops::{self, CropBatch, CropSettings};
use crate::train::learning_rate::LearningRate;
use crate::train::log::{Log, Means, Pace, Progress};
use crate::train::prefetch::Prefetch;
use crate::train::scans::{TrainingScan, cache};
use crate::train::{Output, TrainingPlace, pictures, settings};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::label::OrganSpec;
use ndarray::{Array3, Axis};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Settings that may change when a training is resumed: they say how long and how often, not what.
const FREE: [&str; 2] = ["steps", "output"];

/// Every number of the training. The default is the paper's, or the authors' code's where the paper is silent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoencoderTraining {
    /// Everything that is drawn follows from it: 1234, authors' code.
    pub seed: u64,
    /// Optimiser steps: 200,000 (paper E.2).
    pub steps: u64,
    /// Largest norm of all gradients together: 1, authors' code. Larger ones are scaled down.
    pub max_gradient_norm: f64,
    /// β of Adam: 0.9 and 0.999 (paper E.2; the authors' code has 0.5 and 0.9).
    pub betas: [f64; 2],
    /// Decay of the averaged weights. Ours: the published autoencoder has no average.
    pub ema_decay: f64,
    /// The learning rate: 3e-4 (paper E.2).
    pub learning_rate: LearningRate,
    /// The step from which latents are replaced by codes, which are latents of that step's batch at first. 1, authors'
    /// code. Later ones let the encoder settle: with batches much smaller than the codebook, codes that start with the
    /// encoder lose its latents within tens of steps (7 of 16384 were in use).
    pub quantise_from_step: u64,
    /// The architecture.
    pub model: AutoencoderConfig,
    /// How crops are drawn.
    pub crops: CropSettings,
    /// How codes follow the latents.
    pub codebook: CodebookUpdate,
    /// Weights of the loss's further terms.
    pub weights: GanWeights,
    /// The perceptual distance. Published: LPIPS, whose weights must be imported.
    pub perceptual: PerceptualConfig,
    /// The networks that tell scans from reconstructions.
    pub discriminators: DiscriminatorSettings,
    /// What is written, and how often.
    pub output: Output,
}

/// The networks that tell scans from reconstructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiscriminatorSettings {
    /// Whether there are any.
    pub enabled: bool,
    /// Channels of their first stage: 64, authors' code.
    pub width: usize,
    /// Steps made before they begin: 5000 (authors' code, whose 10,000 count the steps of both optimisers).
    pub start_step: u64,
}

impl Default for DiscriminatorSettings {
    fn default() -> Self {
        Self { enabled: true, width: 64, start_step: 5000 }
    }
}

impl Default for AutoencoderTraining {
    fn default() -> Self {
        Self {
            seed: 1234,
            steps: 200_000,
            max_gradient_norm: 1.0,
            betas: [0.9, 0.999],
            ema_decay: 0.999,
            learning_rate: LearningRate::default(),
            quantise_from_step: 1,
            model: AutoencoderConfig::default(),
            crops: CropSettings::default(),
            codebook: CodebookUpdate::default(),
            weights: GanWeights::default(),
            perceptual: PerceptualConfig::default(),
            discriminators: DiscriminatorSettings::default(),
            output: Output::default(),
        }
    }
}

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

/// What is saved beside tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    best_psnr_db: Option<f64>,
    /// Whether the codebook has been filled: a resumed training must not fill it again (pitfall B6).
    codebook_filled: bool,
}

/// Everything that changes from step to step.
struct Learner {
    model: Autoencoder,
    optimizer: Adam,
    ema: Ema,
    adversary: Option<Adversary>,
    perceptual: Option<Perceptual>,
    codebook_filled: bool,
    best_psnr_db: Option<f64>,
}

/// The discriminators with their optimiser.
struct Adversary {
    networks: Discriminators,
    optimizer: Adam,
}

impl AutoencoderTraining {
    /// Checks numbers that would make a training impossible.
    ///
    /// # Errors
    /// Names the first that is out of its range.
    pub fn check(&self) -> Result<()> {
        self.model.check()?;
        let unit = 1 << self.model.downsamplings;
        let side = self.crops.side_vox;
        let problems = [
            (
                side == 0 || side % unit != 0 || side > 512,
                "crops.side_vox",
                format!("a multiple of {unit} up to 512"),
                side.to_string(),
            ),
            (self.discriminators.width == 0, "discriminators.width", "at least 1".into(), "0".into()),
            (self.crops.scans == 0, "crops.scans", "at least 1".into(), "0".into()),
            (self.crops.per_scan == 0, "crops.per_scan", "at least 1".into(), "0".into()),
            (
                !(self.ema_decay >= 0.0 && self.ema_decay < 1.0),
                "ema_decay",
                "0 to below 1".into(),
                self.ema_decay.to_string(),
            ),
            (
                !(self.learning_rate.rate > 0.0),
                "learning_rate.rate",
                "above 0".into(),
                self.learning_rate.rate.to_string(),
            ),
            (
                !(self.max_gradient_norm > 0.0),
                "max_gradient_norm",
                "above 0".into(),
                self.max_gradient_norm.to_string(),
            ),
        ];
        match problems.into_iter().find(|p| p.0) {
            None => self.output.check(),
            Some((_, what, expected, found)) => {
                Err(difftumor_ct::Error::Argument { what: what.into(), expected, found }.into())
            }
        }
    }

    fn adam(&self) -> AdamConfig {
        AdamConfig { betas: self.betas, max_norm: Some(self.max_gradient_norm), ..AdamConfig::default() }
    }
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
    let resolved = settings::resolved(settings);
    let checkpoints = place.prepare(&resolved, &FREE)?;
    let device = place.device.clone().autodiff();
    crate::memory::keep_freed();
    let (mut learner, first) = match checkpoints.latest()? {
        None => (Learner::new(settings, &device)?.start_from(place.init.as_deref())?, 1),
        Some(checkpoint) => (Learner::restore(settings, &device, &checkpoint)?, checkpoint.step + 1),
    };
    let scans = cache(data.scans.clone(), data.organs.clone(), settings.crops.side_vox, place.cache_bytes);
    let fixed = validation_crops(&data, settings, place.cache_bytes)?;
    let (crops, seed) = (settings.crops, settings.seed);
    let scans = Arc::new(scans);
    let mut batches = Prefetch::new(first, settings.steps, place.threads, move |step| {
        crops::batch(&scans, &crops, seed, step)
    });
    let mut log = Log::open(&place.records(), first - 1, settings.steps)?;
    let (mut means, mut pace) = (Means::default(), Pace::start());
    for step in first..=settings.steps {
        let batch = batches.next()?;
        means.add(&learner.step(settings, &device, step, &batch)?);
        let last = step == settings.steps;
        if last || step % settings.output.record_every == 0 {
            let mut metrics = means.take();
            metrics.extend(pace.since(step + 1 - first, batches.waited()));
            watch(&log.record(step, &metrics)?);
        }
        if last || step % settings.output.validate_every == 0 {
            let model = learner.averaged(settings, &place.device);
            let (psnr_db, size, png) =
                validate(&model, &fixed, step >= settings.quantise_from_step, &place.device);
            watch(&log.record(step, &[("validation_psnr_db", psnr_db)])?);
            log.picture(step, "reconstruction", size, &png)?;
            let new = new_run(settings, &model, step, Some(psnr_db), place);
            Run::publish(&place.run, &new, step)?;
            if learner.best_psnr_db.is_none_or(|best| psnr_db > best) {
                learner.best_psnr_db = Some(psnr_db);
                Run::create(place.run.join("best"), &new, true)?;
            }
        }
        if last || step % settings.output.checkpoint_every == 0 {
            learner.save(&checkpoints, step)?;
        }
    }
    Run::open(&place.run)
}

impl Learner {
    fn new(settings: &AutoencoderTraining, device: &Device) -> Result<Self> {
        device.seed(settings.seed);
        let model = settings.model.init(device);
        let d = settings.discriminators;
        let adversary = d.enabled.then(|| Adversary {
            networks: Discriminators::new(d.width, device),
            optimizer: settings.adam().init(),
        });
        params::draw(&model);
        if let Some(a) = &adversary {
            params::draw(&a.networks);
        }
        let perceptual = settings.perceptual.open(device)?;
        if let Some(p) = &perceptual {
            let (least, side) = (p.smallest_side(), settings.crops.side_vox);
            if side < least {
                let expected = format!("at least {least}, for the perceptual distance");
                let found = side.to_string();
                return Err(
                    difftumor_ct::Error::Argument { what: "crops.side_vox".into(), expected, found }.into()
                );
            }
        }
        let ema = Ema::new(&model);
        Ok(Self {
            ema,
            optimizer: settings.adam().init(),
            model,
            adversary,
            perceptual,
            codebook_filled: false,
            best_psnr_db: None,
        })
    }

    /// The same with the weights of a Run, if there is one, and its codebook.
    fn start_from(mut self, run: Option<&Path>) -> Result<Self> {
        if let Some(dir) = run {
            let run = Run::open(dir)?;
            run.autoencoder_config()?;
            self.model = fill_from_run(self.model, &run, Autoencoder::published_name)?;
            self.ema = Ema::new(&self.model);
            self.codebook_filled = true;
        }
        Ok(self)
    }

    fn restore(settings: &AutoencoderTraining, device: &Device, from: &Checkpoint) -> Result<Self> {
        let fits = |difference: crate::error::Difference| match difference.is_empty() {
            true => Ok(()),
            false => Err(Error::StateDict {
                path: from.dir().into(),
                architecture: "autoencoder of this training".into(),
                difference: Box::new(difference),
                hint: "the checkpoint is damaged: remove its folder to go on from the one before".into(),
            }),
        };
        let fresh = Self::new(settings, device)?;
        let (model, difference) = state::fill(fresh.model, from.tensors("model")?, str::to_string);
        fits(difference)?;
        let (ema, difference) = Ema::restore(&model, from.tensors("ema")?);
        fits(difference)?;
        let (optimizer, difference) = Adam::restore(settings.adam(), &model, from.tensors("optimizer")?);
        fits(difference)?;
        let mut adversary = None;
        if let Some(a) = fresh.adversary {
            let (networks, difference) =
                state::fill(a.networks, from.tensors("discriminators")?, str::to_string);
            fits(difference)?;
            let saved = from.tensors("discriminators-optimizer")?;
            let (optimizer, difference) = Adam::restore(settings.adam(), &networks, saved);
            fits(difference)?;
            adversary = Some(Adversary { networks, optimizer });
        }
        let State { best_psnr_db, codebook_filled } = from.state()?;
        Ok(Self {
            model,
            optimizer,
            ema,
            adversary,
            perceptual: fresh.perceptual,
            codebook_filled,
            best_psnr_db,
        })
    }

    fn save(&self, checkpoints: &Checkpoints, step: u64) -> Result<()> {
        let mut parts: Vec<(&str, Tensors)> = vec![
            ("model", state::read(&self.model, str::to_string)),
            ("ema", self.ema.state()),
            ("optimizer", self.optimizer.state()),
        ];
        if let Some(a) = &self.adversary {
            parts.push(("discriminators", state::read(&a.networks, str::to_string)));
            parts.push(("discriminators-optimizer", a.optimizer.state()));
        }
        checkpoints.save(
            step,
            &parts,
            &State { best_psnr_db: self.best_psnr_db, codebook_filled: self.codebook_filled },
        )
    }

    /// One step: a forward pass of the autoencoder that serves both losses (the published code makes two), a backward pass and
    /// a step of its weights, the same of the discriminators, and a step of the codebook.
    fn step(
        &mut self,
        settings: &AutoencoderTraining,
        device: &Device,
        step: u64,
        batch: &CropBatch,
    ) -> Result<Vec<(&'static str, f64)>> {
        let x = Tensor::cat(batch.crops.iter().map(|c| from_crop(c, device)).collect(), 0); // [B, 1, D, H, W]
        let mut draws = Stream::new(settings.seed, step, "codebook", 0);
        let [codes, channels] = self.model.codebook().embeddings.val().dims();
        let quantised = step >= settings.quantise_from_step;
        if quantised && !self.codebook_filled {
            self.codebook_filled = true;
            let z = self.model.encode(x.clone()).without_autodiff();
            let first = donors(&rows(&z), codes, channels, &mut draws);
            let codebook = self.model.codebook().clone().initialise(&settings.codebook, first);
            self.model = self.model.clone().with_codebook(codebook);
        }
        let r = if quantised {
            reconstruct(&self.model, x.clone())
        } else {
            reconstruct_unquantised(&self.model, x.clone())
        };
        let planes = draw_planes(settings, step, batch.crops.len());
        let adversary = self.adversary.as_mut().filter(|_| step > settings.discriminators.start_step);
        // Without gradients of their own: the generator's pass must not compute them.
        let frozen = adversary.as_ref().map(|a| a.networks.clone().no_grad());
        let terms =
            generator_terms(&x, &r, &planes, self.perceptual.as_ref(), frozen.as_ref(), &settings.weights);
        let rate = settings.learning_rate.at(step, settings.steps);
        let mut metrics = values(&terms);
        metrics.push(("perplexity", perplexity(r.indices.clone(), codes)));
        metrics.push(("learning_rate", rate));
        require_finite(&metrics, step, batch)?;
        let gradients = GradientsParams::from_grads(terms.total.backward(), &self.model);
        self.model = self.optimizer.step(self.model.clone(), gradients, rate);
        if let Some(a) = adversary {
            let loss = discriminator_loss(&a.networks, &x, &r.image, &planes[0]);
            let of_adversary =
                [("discriminator_image", value(&loss.image)), ("discriminator_volume", value(&loss.volume))];
            require_finite(&of_adversary, step, batch)?;
            metrics.extend(of_adversary);
            let gradients = GradientsParams::from_grads(loss.total.backward(), &a.networks);
            let mut networks = a.optimizer.step(a.networks.clone(), gradients, rate);
            for seen in terms.statistics.iter().chain([&loss.statistics]) {
                networks = networks.fold_in(seen);
            }
            a.networks = networks;
        }
        if quantised {
            self.follow(settings, r, &mut draws);
        }
        // Young averages forget their beginning faster.
        let decay = settings.ema_decay.min((1.0 + step as f64) / (10.0 + step as f64));
        self.ema.update(&self.model, decay);
        Ok(metrics)
    }

    /// The codes after a batch.
    fn follow(&mut self, settings: &AutoencoderTraining, r: Reconstruction, draws: &mut Stream) {
        let codebook = self.model.codebook().clone();
        let [codes, channels] = codebook.embeddings.val().dims();
        let z = r.latents.without_autodiff();
        let donors = donors(&rows(&z), codes, channels, draws);
        let codebook = codebook.update(&settings.codebook, z, r.indices, donors);
        self.model = self.model.clone().with_codebook(codebook);
    }

    /// The averaged weights with the codebook of now, outside of autodiff: codes that were restarted have no average.
    fn averaged(&self, settings: &AutoencoderTraining, device: &Device) -> Autoencoder {
        let mut codes = std::collections::BTreeMap::new();
        params::visit(&self.model, |name, _, value| {
            if name.starts_with("codebook.") {
                codes.insert(name, value);
            }
        });
        let model = self.ema.apply(settings.model.init(device));
        params::map(model, |name, averaged| codes.get(name).cloned().unwrap_or(averaged))
    }
}

/// One slice of each item for each plane.
fn draw_planes(settings: &AutoencoderTraining, step: u64, items: usize) -> Planes {
    let mut draws = Stream::new(settings.seed, step, "slices", 0);
    std::array::from_fn(|_| (0..items).map(|_| draws.index(settings.crops.side_vox)).collect())
}

fn value(t: &Tensor<1>) -> f64 {
    f64::from(t.clone().into_scalar::<f32>())
}

fn values(terms: &GeneratorTerms) -> Vec<(&'static str, f64)> {
    let all = [
        ("loss", &terms.total),
        ("reconstruction", &terms.reconstruction),
        ("commitment", &terms.commitment),
        ("perceptual", &terms.perceptual),
        ("generator_image", &terms.image_generator),
        ("generator_volume", &terms.volume_generator),
        ("feature_matching", &terms.feature_matching),
    ];
    all.into_iter().map(|(name, t)| (name, value(t))).collect()
}

fn require_finite(metrics: &[(&'static str, f64)], step: u64, batch: &CropBatch) -> Result<()> {
    let Some((name, value)) = metrics.iter().find(|(_, v)| !v.is_finite()) else { return Ok(()) };
    let hint = "lower learning_rate.rate, or look at these scans; the last checkpoint is as it was";
    Err(Error::NotFinite {
        step,
        what: name.to_string(),
        value: *value,
        batch: batch.origins.join("; "),
        hint,
    })
}

fn new_run(
    settings: &AutoencoderTraining,
    model: &Autoencoder,
    step: u64,
    psnr_db: Option<f64>,
    place: &TrainingPlace,
) -> NewRun {
    NewRun {
        model: Model::Autoencoder(settings.model.clone()),
        licence: place.licence.clone(),
        origin: None,
        training: Some(Training {
            step,
            averaged: true,
            validation: psnr_db.map(|v| ("psnr_db".to_string(), v)),
        }),
        tensors: state::read(model, Autoencoder::published_name),
        autoencoder: None,
    }
}

/// Crops of the validation.
const FIXED_CROPS: usize = 6;

fn validation_crops(
    data: &AutoencoderData,
    settings: &AutoencoderTraining,
    cache_bytes: usize,
) -> Result<Vec<Array3<f32>>> {
    let scans = if data.validation.is_empty() { &data.scans } else { &data.validation };
    let scans = cache(scans.clone(), vec![], settings.crops.side_vox, cache_bytes);
    let how = CropSettings { scans: 1, per_scan: 1, rotated_share: 0.0, ..settings.crops };
    let mut crops = vec![];
    for k in 1..=FIXED_CROPS as u64 {
        crops.extend(crops::batch(&scans, &how, settings.seed ^ 0x5A5A, k)?.crops);
    }
    Ok(crops)
}

/// PSNR (range 2) of the reconstruction over all crops, and a picture of them.
fn validate(
    model: &Autoencoder,
    crops: &[Array3<f32>],
    quantised: bool,
    device: &Device,
) -> (f64, [usize; 2], Vec<u8>) {
    let decoded: Vec<Array3<f32>> = crops
        .iter()
        .map(|crop| {
            let z = model.encode(from_crop(crop, device));
            let image = if quantised { model.decode(z) } else { model.decode_quantised(z) };
            to_crop(image).mapv(|v| v.clamp(-1.0, 1.0))
        })
        .collect();
    let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
    let squares: f64 =
        crops.iter().zip(&decoded).map(|(a, b)| a.iter().zip(b).map(square).sum::<f64>()).sum();
    let voxels: usize = crops.iter().map(Array3::len).sum();
    let psnr_db = 10.0 * (4.0 / (squares / voxels as f64)).log10();
    let differences: Vec<Array3<f32>> = crops.iter().zip(&decoded).map(|(a, b)| 4.0 * (b - a)).collect();
    let middle = |c: &'_ Array3<f32>| c.dim().2 / 2;
    let rows: Vec<Vec<_>> = (0..crops.len())
        .map(|i| [&crops[i], &decoded[i], &differences[i]].map(|c| c.index_axis(Axis(2), middle(c))).to_vec())
        .collect();
    let (size, png) = pictures::grid(&["scan", "decoded", "4 x difference"], &rows, 2);
    (psnr_db, size, png)
}
