//! Training of the diffusion model (paper 3.2, Eq. 5 and 6, App. E.2; spec/diffusion.md sections 4, 6 and 7): from one
//! annotated tumor on.
use super::objective::noise_loss;
use super::{Condition, DiffusionConfig, LatentScale, NoiseSource, Schedule, Unet3d, sample};
use crate::autoencoder::Autoencoder;
use crate::dataset::CaseSource;
use crate::error::{Error, Result};
use crate::nn::ema::Ema;
use crate::nn::optim::{Adam, AdamConfig};
use crate::nn::state::{self, fill_from_run};
use crate::run::{Model, NewRun, Run, Tensors, Training, read_tensors, write_tensors};
use crate::tensor::{from_crop, to_crop};
use crate::train::cache::Cache;
use crate::train::checkpoint::{Checkpoint, Checkpoints};
use crate::train::learning_rate::LearningRate;
use crate::train::log::{Log, Means, Pace, Progress};
use crate::train::prefetch::Prefetch;
use crate::train::tumors::{self, TumorCropSettings, TumorLabels, TumorScan};
use crate::train::{Output, TrainingPlace, pictures, settings};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use difftumor_ct::draws::{Draws, Stream};
use ndarray::{Array3, Axis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Settings that may change when a training is resumed: they say how long and how often, not what.
const FREE: [&str; 2] = ["steps", "output"];

/// Every number of the training. The default is the paper's, or the authors' code's where the paper is silent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiffusionTraining {
    /// Everything that is drawn follows from it. The authors' code sets none.
    pub seed: u64,
    /// Optimiser steps: 60,000 (paper E.2).
    pub steps: u64,
    /// Crops in each step: 10 (paper E.2).
    pub batch: usize,
    /// Crops that go through the network at one time; gradients are summed. 1 needs the least memory, and on a CPU more is
    /// not faster.
    pub at_once: usize,
    /// β of Adam: 0.9 and 0.999 (paper E.2).
    pub betas: [f64; 2],
    /// The learning rate: 1e-4 (paper E.2).
    pub learning_rate: LearningRate,
    /// The averaged weights, which are used.
    pub ema: EmaSettings,
    /// Architecture, schedule and sampler. `timesteps` is 4 for early tumors and 200 for larger ones.
    pub model: DiffusionConfig,
    /// How crops are drawn.
    pub crops: TumorCropSettings,
    /// What is written, and how often.
    pub output: Output,
}

/// How weights are averaged (authors' code; the paper is silent).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmaSettings {
    /// What the average keeps: 0.995.
    pub decay: f64,
    /// Steps between updates: 10.
    pub every: u64,
    /// Until then the average is the model itself: 2000.
    pub start_step: u64,
}

impl Default for EmaSettings {
    fn default() -> Self {
        Self { decay: 0.995, every: 10, start_step: 2000 }
    }
}

impl Default for DiffusionTraining {
    fn default() -> Self {
        Self {
            seed: 1234,
            steps: 60_000,
            batch: 10,
            at_once: 1,
            betas: [0.9, 0.999],
            learning_rate: LearningRate { rate: 1e-4, ..LearningRate::default() },
            ema: EmaSettings::default(),
            model: DiffusionConfig::default(),
            crops: TumorCropSettings::default(),
            output: Output::default(),
        }
    }
}

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

/// What is saved beside tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    best_loss: Option<f64>,
    autoencoder_sha256: String,
}

/// A crop as the model sees it.
#[derive(Debug, Clone)]
struct Encoded {
    /// Latents of the scan with its tumor, `[1, C, d, h, w]`.
    z0: Tensor<5>,
    /// `[1, C + 1, d, h, w]`.
    condition: Tensor<5>,
    origin: String,
}

/// Turns crops into latents.
struct Encoder {
    autoencoder: Autoencoder,
    device: Device,
    cases: Cache<TumorScan>,
    crops: TumorCropSettings,
    seed: u64,
    /// Where encoded crops are kept.
    dir: PathBuf,
}

/// Everything that changes from step to step.
struct Learner {
    model: Unet3d,
    optimizer: Adam,
    ema: Ema,
    best_loss: Option<f64>,
}

impl DiffusionTraining {
    /// Checks numbers that would make a training impossible, alone or with the autoencoder's.
    ///
    /// # Errors
    /// Names the first that is out of its range.
    pub fn check(&self) -> Result<()> {
        self.model.check()?;
        let e = &self.ema;
        let rules = [
            (self.batch > 0, "batch", "at least 1", self.batch.to_string()),
            (
                self.at_once > 0 && self.at_once <= self.batch,
                "at_once",
                "1 to batch",
                self.at_once.to_string(),
            ),
            (
                self.learning_rate.rate > 0.0,
                "learning_rate.rate",
                "above 0",
                self.learning_rate.rate.to_string(),
            ),
            ((0.0..1.0).contains(&e.decay), "ema.decay", "0 to below 1", e.decay.to_string()),
            (e.every > 0, "ema.every", "at least 1", e.every.to_string()),
            (
                (1..=512).contains(&self.crops.side_vox),
                "crops.side_vox",
                "1 to 512",
                self.crops.side_vox.to_string(),
            ),
        ];
        for (holds, what, expected, found) in rules {
            require(holds, what, expected, found)?;
        }
        self.output.check()
    }

    /// Checks what must fit the autoencoder.
    fn check_with(&self, latent_channels: usize, downsamplings: usize) -> Result<()> {
        let found = self.model.latent_channels;
        let expected = format!("{latent_channels}, the autoencoder's");
        require(found == latent_channels, "model.latent_channels", &expected, found.to_string())?;
        let unit = 1 << (downsamplings + self.model.multipliers.len() - 1);
        let side = self.crops.side_vox;
        let expected = format!("a multiple of {unit}, which autoencoder and U-Net divide by");
        require(side.is_multiple_of(unit), "crops.side_vox", &expected, side.to_string())
    }

    fn adam(&self) -> AdamConfig {
        AdamConfig { betas: self.betas, ..AdamConfig::default() }
    }
}

fn require(holds: bool, what: &str, expected: &str, found: String) -> Result<()> {
    match holds {
        true => Ok(()),
        false => {
            Err(difftumor_ct::Error::Argument { what: what.into(), expected: expected.into(), found }.into())
        }
    }
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
    let checkpoints = place.prepare(&settings::resolved(settings), &FREE)?;
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
    let side = settings.crops.side_vox;
    let encoder = |cases: &[CaseSource], dir: &str| -> Result<Encoder> {
        Ok(Encoder {
            autoencoder: Autoencoder::open(&autoencoder_run, &place.device)?,
            device: place.device.clone(),
            cases: tumors::cache(cases.to_vec(), data.labels, side, place.cache_bytes),
            crops: settings.crops,
            seed: settings.seed,
            dir: place.records().join(dir),
        })
    };
    let measured = if data.validation.is_empty() { &data.cases } else { &data.validation };
    let fixed = Fixed::new(&encoder(measured, "latents-validation")?)?;
    let (encoder, batch) = (encoder(&data.cases, "latents")?, settings.batch as u64);
    let mut batches = Prefetch::new(first, settings.steps, place.threads, move |step| {
        ((step - 1) * batch..step * batch).map(|item| encoder.item(item)).collect::<Result<Vec<Encoded>>>()
    });
    let schedule = Schedule::cosine(settings.model.timesteps);
    let mut log = Log::open(&place.records(), first - 1, settings.steps)?;
    let (mut means, mut pace) = (Means::default(), Pace::start());
    for step in first..=settings.steps {
        let batch = batches.next()?;
        means.add(&learner.step(settings, &schedule, &device, step, &batch)?);
        let last = step == settings.steps;
        if last || step % settings.output.record_every == 0 {
            let mut metrics = means.take();
            metrics.extend(pace.since(step + 1 - first, batches.waited()));
            watch(&log.record(step, &metrics)?);
        }
        if last || step % settings.output.validate_every == 0 {
            let model = learner.ema.apply(settings.model.init(&place.device));
            let loss = fixed.loss(&model, &schedule);
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
        if last || step % settings.output.checkpoint_every == 0 {
            learner.save(&checkpoints, step, &sha256)?;
        }
    }
    Run::open(&place.run)
}

fn require_autoencoder(checkpoint: &Checkpoint, now: &str) -> Result<()> {
    let before = checkpoint.state::<State>()?.autoencoder_sha256;
    if before == now {
        return Ok(());
    }
    Err(Error::Hash {
        path: checkpoint.dir().into(),
        what: "weights of the autoencoder that the training was started with",
        expected: before,
        found: now.into(),
        hint: "name the same --autoencoder, or start anew in another --out",
    })
}

impl Encoder {
    /// Item number `item` of all batches.
    fn item(&self, item: u64) -> Result<Encoded> {
        let (index, scan, number) = tumors::choose(&self.cases, &self.crops, self.seed, item)?;
        if self.crops.encoded_per_case == 0 {
            return Ok(self.encode(&scan, number));
        }
        let path = self.dir.join(format!("{index:05}-{number:05}.safetensors"));
        if path.is_file() {
            // One that a full disk or a cut wire has damaged is made again.
            if let Ok(encoded) = self.kept(&path) {
                return Ok(encoded);
            }
        }
        let encoded = self.encode(&scan, number);
        std::fs::create_dir_all(&self.dir).map_err(Error::io(&self.dir, "create"))?;
        let of = |t: &Tensor<5>| (t.dims().to_vec(), values(t));
        let kept = BTreeMap::from([
            ("z0".to_string(), of(&encoded.z0)),
            ("condition".to_string(), of(&encoded.condition)),
            (encoded.origin.clone(), (vec![0], vec![])),
        ]);
        write_tensors(&path, &kept)?;
        Ok(encoded)
    }

    fn kept(&self, path: &Path) -> Result<Encoded> {
        let mut tensors = read_tensors(path)?;
        let bad = |found: &str| {
            Error::format(path, "encoded crop", "z0, condition and origin", found, "remove the file")
        };
        let mut take = |name: &str| {
            let (shape, values) = tensors.remove(name).ok_or_else(|| bad("less"))?;
            let shape: [usize; 5] = shape.try_into().map_err(|_| bad("another shape"))?;
            Ok::<_, Error>(Tensor::from_data(TensorData::new(values, shape), &self.device))
        };
        let (z0, condition) = (take("z0")?, take("condition")?);
        let origin = tensors.into_keys().next().ok_or_else(|| bad("no origin"))?;
        Ok(Encoded { z0, condition, origin })
    }

    fn encode(&self, scan: &TumorScan, number: u64) -> Encoded {
        let crop = tumors::crop(scan, &self.crops, self.seed, number);
        let (image, mask) = self.tensors(&crop);
        let z0 = LatentScale::of(&self.autoencoder).normalise(self.autoencoder.encode(image.clone()));
        let Condition(condition) = Condition::new(&self.autoencoder, image, mask);
        Encoded { z0, condition, origin: crop.origin }
    }

    fn tensors(&self, crop: &tumors::TumorCrop) -> (Tensor<5>, Tensor<5>) {
        let mask = crop.mask.mapv(|m| f32::from(u8::from(m)));
        (from_crop(&crop.image, &self.device), from_crop(&mask, &self.device))
    }
}

fn values(t: &Tensor<5>) -> Vec<f32> {
    t.to_data().convert::<f32>().try_to_vec::<f32>().expect("a float tensor")
}

/// Standard normal noise of a stream.
struct Noise(Stream);

impl NoiseSource for Noise {
    fn normal(&mut self, n: usize) -> Vec<f32> {
        let mut out = vec![0f64; n];
        self.0.normals(&mut out);
        out.into_iter().map(|v| v as f32).collect()
    }
}

impl Learner {
    fn new(settings: &DiffusionTraining, device: &Device) -> Self {
        device.seed(settings.seed);
        let model = settings.model.init(device);
        Self { ema: Ema::new(&model), optimizer: settings.adam().init(), model, best_loss: None }
    }

    /// The same with the weights of a Run, if there is one.
    fn start_from(mut self, run: Option<&Path>) -> Result<Self> {
        if let Some(dir) = run {
            let run = Run::open(dir)?;
            run.diffusion_config()?;
            self.model = fill_from_run(self.model, &run, Unet3d::published_name)?;
            self.ema = Ema::new(&self.model);
        }
        Ok(self)
    }

    fn restore(settings: &DiffusionTraining, device: &Device, from: &Checkpoint) -> Result<Self> {
        let (model, a) = state::fill(settings.model.init(device), from.tensors("model")?, str::to_string);
        let (ema, b) = Ema::restore(&model, from.tensors("ema")?);
        let (optimizer, c) = Adam::restore(settings.adam(), &model, from.tensors("optimizer")?);
        if let Some(difference) = [a, b, c].into_iter().find(|d| !d.is_empty()) {
            return Err(Error::StateDict {
                path: from.dir().into(),
                architecture: "diffusion model of this training".into(),
                difference: Box::new(difference),
                hint: "the checkpoint is damaged: remove its folder to go on from the one before".into(),
            });
        }
        Ok(Self { model, optimizer, ema, best_loss: from.state::<State>()?.best_loss })
    }

    fn save(&self, checkpoints: &Checkpoints, step: u64, autoencoder_sha256: &str) -> Result<()> {
        let parts: [(&str, Tensors); 3] = [
            ("model", state::read(&self.model, str::to_string)),
            ("ema", self.ema.state()),
            ("optimizer", self.optimizer.state()),
        ];
        let state = State { best_loss: self.best_loss, autoencoder_sha256: autoencoder_sha256.into() };
        checkpoints.save(step, &parts, &state)
    }

    fn step(
        &mut self,
        settings: &DiffusionTraining,
        schedule: &Schedule,
        device: &Device,
        step: u64,
        batch: &[Encoded],
    ) -> Result<Vec<(&'static str, f64)>> {
        let mut draws = Stream::new(settings.seed, step, "noise", 0);
        let t: Vec<usize> = batch.iter().map(|_| draws.index(schedule.timesteps())).collect();
        let mut noise = Noise(draws);
        let mut sum = GradientsAccumulator::new();
        let mut mean = 0.0;
        for (items, t) in batch.chunks(settings.at_once).zip(t.chunks(settings.at_once)) {
            let cat = |of: fn(&Encoded) -> &Tensor<5>| {
                let all: Vec<Tensor<5>> =
                    items.iter().map(|e| Tensor::from_data(of(e).to_data(), device)).collect();
                Tensor::cat(all, 0)
            };
            let (z0, condition) = (cat(|e| &e.z0), cat(|e| &e.condition));
            let drawn = TensorData::new(noise.normal(z0.dims().iter().product()), z0.dims());
            let loss = noise_loss(&self.model, schedule, z0, condition, t, Tensor::from_data(drawn, device));
            let share = items.len() as f64 / batch.len() as f64;
            let value = f64::from(loss.clone().into_scalar::<f32>());
            require_finite(value, step, items)?;
            mean += value * share;
            let gradients = GradientsParams::from_grads((loss * share).backward(), &self.model);
            sum.accumulate(&self.model, gradients);
        }
        let rate = settings.learning_rate.at(step, settings.steps);
        self.model = self.optimizer.step(self.model.clone(), sum.grads(), rate);
        let e = settings.ema;
        if step % e.every == 0 || step < e.start_step {
            self.ema.update(&self.model, if step < e.start_step { 0.0 } else { e.decay });
        }
        Ok(vec![("loss", mean), ("learning_rate", rate)])
    }
}

fn require_finite(value: f64, step: u64, items: &[Encoded]) -> Result<()> {
    if value.is_finite() {
        return Ok(());
    }
    let batch = items.iter().map(|e| e.origin.as_str()).collect::<Vec<_>>().join("; ");
    let hint = "lower learning_rate.rate, or look at these cases; the last checkpoint is as it was";
    Err(Error::NotFinite { step, what: "loss".into(), value, batch, hint })
}

/// Crops of the validation, and of its pictures.
const FIXED_CROPS: u64 = 8;
const FIXED_PICTURES: usize = 4;

/// Crops that are measured on: always the same, with the same noise.
struct Fixed {
    encoded: Vec<Encoded>,
    /// Crop and mask of the first of them that show a tumor, and which they are.
    shown: Vec<(usize, Array3<f32>, Array3<bool>)>,
    autoencoder: Autoencoder,
    scale: LatentScale,
    device: Device,
    seed: u64,
}

impl Fixed {
    fn new(encoder: &Encoder) -> Result<Self> {
        let (mut encoded, mut shown) = (vec![], vec![]);
        let crops =
            TumorCropSettings { encoded_per_case: 0, tumor_share: 1.0, rotated_share: 0.0, ..encoder.crops };
        let encoder_seed = encoder.seed ^ 0x5A5A;
        for item in 0..FIXED_CROPS {
            let (_, scan, number) = tumors::choose(&encoder.cases, &crops, encoder_seed, item)?;
            let crop = tumors::crop(&scan, &crops, encoder_seed, number);
            let (image, mask) = encoder.tensors(&crop);
            let scale = LatentScale::of(&encoder.autoencoder);
            let z0 = scale.normalise(encoder.autoencoder.encode(image.clone()));
            let Condition(condition) = Condition::new(&encoder.autoencoder, image, mask);
            if shown.len() < FIXED_PICTURES {
                shown.push((encoded.len(), crop.image, crop.mask));
            }
            encoded.push(Encoded { z0, condition, origin: crop.origin });
        }
        Ok(Self {
            encoded,
            shown,
            scale: LatentScale::of(&encoder.autoencoder),
            autoencoder: encoder.autoencoder.clone(),
            device: encoder.device.clone(),
            seed: encoder_seed,
        })
    }

    /// Mean loss, with steps spread evenly over the schedule.
    fn loss(&self, model: &Unet3d, schedule: &Schedule) -> f64 {
        let n = self.encoded.len();
        let of = |(i, e): (usize, &Encoded)| {
            let t = (2 * i + 1) * schedule.timesteps() / (2 * n);
            let mut noise = Noise(Stream::new(self.seed, i as u64, "validation", 0));
            let drawn = TensorData::new(noise.normal(e.z0.dims().iter().product()), e.z0.dims());
            let noise = Tensor::from_data(drawn, &self.device);
            let loss = noise_loss(model, schedule, e.z0.clone(), e.condition.clone(), &[t], noise);
            f64::from(loss.into_scalar::<f32>())
        };
        self.encoded.iter().enumerate().map(of).sum::<f64>() / n as f64
    }

    /// Tumors painted where real ones are: the scan, the region that is painted, what the model paints there.
    fn picture(&self, model: &Unet3d, config: &DiffusionConfig) -> ([usize; 2], Vec<u8>) {
        let paint = |(i, image, mask): &(usize, Array3<f32>, Array3<bool>)| {
            let mut noise = Noise(Stream::new(self.seed, *i as u64, "picture", 0));
            let condition = Condition(self.encoded[*i].condition.clone());
            let x = sample(model, config, &condition, &mut noise);
            let painted = to_crop(self.autoencoder.decode(self.scale.restore(x)));
            let blank = ndarray::Zip::from(image).and(mask).map_collect(|v, m| if *m { 0.0 } else { *v });
            let mixed = ndarray::Zip::from(image)
                .and(mask)
                .and(&painted)
                .map_collect(|v, m, p| if *m { *p } else { *v });
            // The slice with most tumor.
            let area = |z: &usize| mask.index_axis(Axis(2), *z).iter().filter(|m| **m).count();
            let z = (0..mask.dim().2).max_by_key(area).unwrap_or(0);
            [image.clone(), blank, painted, mixed].map(|a| a.index_axis(Axis(2), z).to_owned())
        };
        let painted: Vec<_> = self.shown.iter().map(paint).collect();
        let rows: Vec<Vec<_>> = painted.iter().map(|row| row.iter().map(|a| a.view()).collect()).collect();
        pictures::grid(&["real tumor", "region", "painted", "put into the scan"], &rows, 2)
    }
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
        training: Some(Training { step, averaged: true, validation: Some(("loss".into(), loss)) }),
        tensors,
        autoencoder: Some(Box::new(autoencoder.clone())),
    }
}
