//! What changes from step to step of a segmentation model's training, and one step (spec/segmentation.md section 4).
use super::items::Item;
use super::settings::SegmentationTraining;
use crate::error::{Error, Result};
use crate::nn::optim::Adam;
use crate::nn::state::{self, fill_from_run};
use crate::run::{Run, Tensors};
use crate::segmentation::{SegmentationNetwork, dice_ce};
use crate::train::checkpoint::{Checkpoint, Checkpoints};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is saved beside tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    best_score: Option<f64>,
}

/// Everything that changes from step to step.
pub(super) struct Learner {
    pub(super) model: SegmentationNetwork,
    optimizer: Adam,
    /// The best validation so far; higher is better.
    pub(super) best_score: Option<f64>,
}

impl Learner {
    pub(super) fn new(settings: &SegmentationTraining, device: &Device) -> Self {
        device.seed(settings.seed);
        Self { model: settings.model.init(device), optimizer: settings.adam().init(), best_score: None }
    }

    /// The same with the weights of a Run, if there is one.
    pub(super) fn start_from(mut self, run: Option<&Path>) -> Result<Self> {
        if let Some(dir) = run {
            let run = Run::open(dir)?;
            let published_name = run.segmentation_backbone()?.published_name();
            self.model = fill_from_run(self.model, &run, published_name)?;
        }
        Ok(self)
    }

    pub(super) fn restore(
        settings: &SegmentationTraining,
        device: &Device,
        from: &Checkpoint,
    ) -> Result<Self> {
        let (model, a) = state::fill(settings.model.init(device), from.tensors("model")?, str::to_string);
        let (optimizer, b) = Adam::restore(settings.adam(), &model, from.tensors("optimizer")?);
        if let Some(difference) = [a, b].into_iter().find(|d| !d.is_empty()) {
            return Err(Error::StateDict {
                path: from.dir().into(),
                architecture: "segmentation model of this training".into(),
                difference: Box::new(difference),
                hint: "the checkpoint is damaged: remove its folder to go on from the one before".into(),
            });
        }
        Ok(Self { model, optimizer, best_score: from.state::<State>()?.best_score })
    }

    /// The network as it is used: on that device, without gradients.
    pub(super) fn plain(&self, settings: &SegmentationTraining, device: &Device) -> SegmentationNetwork {
        let weights = state::read(&self.model, str::to_string);
        let (model, difference) = state::fill(settings.model.init(device), weights, str::to_string);
        assert!(difference.is_empty(), "a network of the same sizes: {difference}");
        model
    }

    pub(super) fn save(&self, checkpoints: &Checkpoints, step: u64) -> Result<()> {
        let parts: [(&str, Tensors); 2] =
            [("model", state::read(&self.model, str::to_string)), ("optimizer", self.optimizer.state())];
        checkpoints.save(step, &parts, &State { best_score: self.best_score })
    }

    /// Gradients of all crops are summed before the step. Dice is a mean over items, so this is the batch's own loss.
    pub(super) fn step(
        &mut self,
        settings: &SegmentationTraining,
        device: &Device,
        step: u64,
        batch: &[Item],
    ) -> Result<Vec<(&'static str, f64)>> {
        let mut sum = GradientsAccumulator::new();
        let mut mean = 0.0;
        for items in batch.chunks(settings.at_once) {
            let (x, labels) = tensors(items, device);
            let loss = dice_ce(self.model.forward(x), labels);
            let value = f64::from(loss.clone().into_scalar::<f32>());
            require_finite(value, step, items)?;
            let share = items.len() as f64 / batch.len() as f64;
            mean += value * share;
            let gradients = GradientsParams::from_grads((loss * share).backward(), &self.model);
            sum.accumulate(&self.model, gradients);
        }
        let rate = settings.learning_rate.at(step, settings.steps);
        self.model = self.optimizer.step(self.model.clone(), sum.grads(), rate);
        let synthetic = batch.iter().filter(|i| i.synthetic).count() as f64 / batch.len() as f64;
        Ok(vec![("loss", mean), ("learning_rate", rate), ("synthetic_share", synthetic)])
    }
}

/// Images `[B, 1, x, y, z]` and labels `[B, x, y, z]`: segmentation keeps the axes' order, as the published code does (the
/// autoencoder's is another).
fn tensors(items: &[Item], device: &Device) -> (Tensor<5>, Tensor<4, Int>) {
    let (x, y, z) = items[0].image.dim();
    let images: Vec<f32> = items.iter().flat_map(|i| i.image.iter().copied()).collect();
    let labels: Vec<i64> = items.iter().flat_map(|i| i.labels.iter().map(|l| i64::from(*l))).collect();
    let b = items.len();
    (
        Tensor::from_data(TensorData::new(images, [b, 1, x, y, z]), device),
        Tensor::from_data(TensorData::new(labels, [b, x, y, z]), device),
    )
}

fn require_finite(value: f64, step: u64, items: &[Item]) -> Result<()> {
    if value.is_finite() {
        return Ok(());
    }
    let batch = items.iter().map(|i| i.origin.as_str()).collect::<Vec<_>>().join("; ");
    let hint = "lower learning_rate.rate, or look at these cases; the last checkpoint is as it was";
    Err(Error::NotFinite { step, what: "loss".into(), value, batch, hint })
}
