//! What changes from step to step of the diffusion model's training, and one step (paper Eq. 6; spec/diffusion.md sections 4
//! and 6).
use super::encoder::Encoded;
use super::settings::DiffusionTraining;
use crate::diffusion::objective::denoising_loss;
use crate::diffusion::{NoiseSource, Schedule, Unet3d};
use crate::error::{Error, Result};
use crate::nn::ema::Ema;
use crate::nn::optim::Adam;
use crate::nn::state::{self, fill_from_run};
use crate::run::{Run, Tensors};
use crate::train::checkpoint::{Checkpoint, Checkpoints};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use difftumor_ct::draws::{Draws, Stream};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is saved beside tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    best_loss: Option<f64>,
    autoencoder_sha256: String,
}

/// Everything that changes from step to step.
pub(super) struct Learner {
    model: Unet3d,
    optimizer: Adam,
    pub(super) ema: Ema,
    pub(super) best_loss: Option<f64>,
}

impl Learner {
    pub(super) fn new(settings: &DiffusionTraining, device: &Device) -> Self {
        device.seed(settings.seed);
        let model = settings.model.init(device);
        Self { ema: Ema::new(&model), optimizer: settings.adam().init(), model, best_loss: None }
    }

    /// The same with the weights of a Run, if there is one.
    pub(super) fn start_from(mut self, run: Option<&Path>) -> Result<Self> {
        if let Some(dir) = run {
            let run = Run::open(dir)?;
            run.diffusion_config()?;
            self.model = fill_from_run(self.model, &run, Unet3d::published_name)?;
            self.ema = Ema::new(&self.model);
        }
        Ok(self)
    }

    pub(super) fn restore(settings: &DiffusionTraining, device: &Device, from: &Checkpoint) -> Result<Self> {
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

    pub(super) fn save(&self, checkpoints: &Checkpoints, step: u64, autoencoder_sha256: &str) -> Result<()> {
        let parts: [(&str, Tensors); 3] = [
            ("model", state::read(&self.model, str::to_string)),
            ("ema", self.ema.state()),
            ("optimizer", self.optimizer.state()),
        ];
        let state = State { best_loss: self.best_loss, autoencoder_sha256: autoencoder_sha256.into() };
        checkpoints.save(step, &parts, &state)
    }

    pub(super) fn step(
        &mut self,
        settings: &DiffusionTraining,
        schedule: &Schedule,
        device: &Device,
        step: u64,
        batch: &[Encoded],
    ) -> Result<Vec<(&'static str, f64)>> {
        let mut draws = Stream::new(settings.seed, step, "noise", 0);
        let t: Vec<usize> = batch.iter().map(|_| draws.index(schedule.timesteps())).collect();
        let mut sum = GradientsAccumulator::new();
        let mut mean = 0.0;
        for (items, t) in batch.chunks(settings.at_once).zip(t.chunks(settings.at_once)) {
            let cat = |of: fn(&Encoded) -> &Tensor<5>| {
                let all: Vec<Tensor<5>> =
                    items.iter().map(|e| Tensor::from_data(of(e).to_data(), device)).collect();
                Tensor::cat(all, 0)
            };
            let (z0, condition) = (cat(|e| &e.z0), cat(|e| &e.condition));
            let drawn = TensorData::new(draws.normal(z0.dims().iter().product()), z0.dims());
            let noise = Tensor::from_data(drawn, device);
            let loss = denoising_loss(&self.model, settings.objective(), schedule, z0, condition, t, noise);
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
        if step.is_multiple_of(e.every) || step < e.start_step {
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

pub(super) fn require_autoencoder(checkpoint: &Checkpoint, now: &str) -> Result<()> {
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
