//! Training on random splits, and what comes out: confusions in training and test, and deep features.
use super::crops::TumorCrop;
use super::network::{Architecture, OrganNetwork};
use crate::error::{Error, Result};
use crate::nn::optim::{AdamConfig, WeightDecay};
use crate::nn::state;
use crate::train::crops::rotated;
use burn::optim::GradientsParams;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use difftumor_ct::analysis::scores::Confusion;
use difftumor_ct::analysis::similarity::{Experiment, Outcomes, Question, SimilarityOptions};
use difftumor_ct::analysis::table::{FeatureTable, Tumor};
use difftumor_ct::draws::{Draws, Stream};
use ndarray::{Array3, s};
use serde::{Deserialize, Serialize};

/// How the networks are trained. The paper gives none of these numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingOptions {
    /// Which networks.
    pub architectures: Vec<Architecture>,
    /// Random splits of the patients; each trains every network anew.
    pub repeats: usize,
    /// Share of the patients of each group that are tested on.
    pub test_share: f64,
    /// Passes over the training crops.
    pub epochs: usize,
    /// Crops of a step.
    pub batch: usize,
    /// Of AdamW, falling to 0 along a cosine.
    pub learning_rate: f64,
    /// Everything that is drawn follows from it.
    pub seed: u64,
}

impl Default for TrainingOptions {
    fn default() -> Self {
        Self {
            architectures: Architecture::ALL.to_vec(),
            repeats: 3,
            test_share: 0.3,
            epochs: 40,
            batch: 8,
            learning_rate: 1e-3,
            seed: 0,
        }
    }
}

/// Decay of AdamW.
const WEIGHT_DECAY: f64 = 1e-2;
/// Crops that pass a network at once when nothing is learnt.
const AT_ONCE: usize = 16;

/// Trains every network on every split. Gives what they came to, and deep features of all tumors: those of each network of the first
/// split, which has seen the training tumors of that split. `watch` gets the network, the repeat, the epoch and its mean loss.
///
/// # Errors
/// When there are fewer than two groups, a group has fewer than two patients, an option is out of its range, or a loss is not finite.
pub fn experiment(
    crops: &[TumorCrop],
    options: &TrainingOptions,
    device: &Device,
    watch: &dyn Fn(Architecture, usize, usize, f64),
) -> Result<(Experiment, Vec<(Architecture, FeatureTable)>)> {
    check(options)?;
    let tumors: Vec<Tumor> = crops.iter().map(|crop| crop.tumor.clone()).collect();
    let similarity = SimilarityOptions {
        repeats: options.repeats,
        test_share: options.test_share,
        seed: options.seed,
        ..SimilarityOptions::default()
    };
    let question = Question::of(&tumors, &similarity)?;
    let (mut outcomes, mut features) = (vec![], vec![]);
    for architecture in options.architectures.iter().copied() {
        let mut confusions = vec![];
        for (repeat, split) in question.splits.iter().enumerate() {
            let seen = |epoch, loss| watch(architecture, repeat, epoch, loss);
            let task =
                Task { crops, classes: &question.classes, number: question.names.len(), repeat, options };
            let network = task.fit(architecture, &split.train, device, &seen)?;
            let of = |rows: &[usize]| task.confusion(&network, rows, device);
            confusions.push((of(&split.train), of(&split.test)));
            if repeat == 0 {
                features.push((architecture, deep_features(&network, crops, device)?));
            }
        }
        outcomes.push(Outcomes::of(architecture.name(), &confusions));
    }
    Ok((Experiment::made(&tumors, &question, outcomes), features))
}

/// What a network makes of each tumor, as a table.
///
/// # Errors
/// When there is no tumor, or a feature is not finite.
pub fn deep_features(network: &OrganNetwork, crops: &[TumorCrop], device: &Device) -> Result<FeatureTable> {
    let mut values = vec![];
    for some in crops.chunks(AT_ONCE) {
        let images: Vec<Array3<f32>> = some.iter().map(|crop| crop.image.clone()).collect();
        let features = network.features(tensor(&images, device));
        let width = features.dims()[1];
        let numbers = features.into_data().convert::<f32>().try_to_vec::<f32>().expect("a float tensor");
        values
            .extend(numbers.chunks(width).map(|row| row.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>()));
    }
    let width = values.first().map_or(0, Vec::len);
    let columns = (0..width).map(|i| format!("deep_{i:03}")).collect();
    Ok(FeatureTable::new(crops.iter().map(|crop| crop.tumor.clone()).collect(), columns, values)?)
}

fn check(options: &TrainingOptions) -> Result<()> {
    let bad = |what: &str, expected: &str, found: String| -> Result<()> {
        Err(difftumor_ct::Error::Argument { what: what.into(), expected: expected.into(), found }.into())
    };
    let numbers =
        [("networks", options.architectures.len()), ("epochs", options.epochs), ("batch", options.batch)];
    if let Some((what, n)) = numbers.into_iter().find(|(_, n)| *n == 0) {
        return bad(what, "1 or more", n.to_string());
    }
    if !(options.learning_rate > 0.0 && options.learning_rate.is_finite()) {
        return bad("learning rate", "a number above 0", options.learning_rate.to_string());
    }
    Ok(())
}

/// One network to be fitted.
struct Task<'a> {
    crops: &'a [TumorCrop],
    classes: &'a [usize],
    /// Of classes.
    number: usize,
    repeat: usize,
    options: &'a TrainingOptions,
}

impl Task<'_> {
    fn fit(
        &self,
        architecture: Architecture,
        rows: &[usize],
        device: &Device,
        watch: &dyn Fn(usize, f64),
    ) -> Result<OrganNetwork> {
        let (options, learning) = (self.options, device.clone().autodiff());
        learning.seed(options.seed.wrapping_add(self.repeat as u64));
        let mut network = architecture.init(self.number, &learning);
        let decay = WeightDecay::Decoupled(WEIGHT_DECAY);
        let mut optimizer = AdamConfig { weight_decay: decay, ..AdamConfig::default() }.init();
        let weights = self.weights(rows);
        let steps = (options.epochs * rows.len().div_ceil(options.batch)) as f64;
        let mut step = 0;
        for epoch in 0..options.epochs {
            let mut draws = Stream::new(options.seed, epoch as u64, architecture.name(), self.repeat as u64);
            let mut order = rows.to_vec();
            (1..order.len()).rev().for_each(|i| order.swap(i, draws.index(i + 1)));
            let mut sum = 0.0;
            for batch in order.chunks(options.batch) {
                let images: Vec<Array3<f32>> =
                    batch.iter().map(|row| turned(self.crops[*row].image.clone(), &mut draws)).collect();
                let (logits, seen) = network.forward_training(tensor(&images, &learning));
                let loss = self.loss(logits, batch, &weights);
                let value = f64::from(loss.clone().into_scalar::<f32>());
                if !value.is_finite() {
                    let names: Vec<&str> =
                        batch.iter().map(|row| self.crops[*row].tumor.id.as_str()).collect();
                    let hint = "lower the learning rate";
                    return Err(Error::NotFinite {
                        step,
                        what: "loss".into(),
                        value,
                        batch: names.join("; "),
                        hint,
                    });
                }
                let gradients = GradientsParams::from_grads(loss.backward(), &network);
                let part = step as f64 / steps;
                let rate = options.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * part).cos());
                network = optimizer.step(network, gradients, rate).fold_in(&seen);
                sum += value * batch.len() as f64;
                step += 1;
            }
            watch(epoch, sum / rows.len() as f64);
        }
        // The same weights without gradients.
        let weights = state::read(&network, str::to_string);
        let (network, difference) =
            state::fill(architecture.init(self.number, device), weights, str::to_string);
        assert!(difference.is_empty(), "a network of the same sizes: {difference}");
        Ok(network)
    }

    /// Rare classes weigh more: every class as much as any other.
    fn weights(&self, rows: &[usize]) -> Vec<f64> {
        let count = |class| rows.iter().filter(|row| self.classes[**row] == class).count().max(1) as f64;
        (0..self.number).map(|class| rows.len() as f64 / (self.number as f64 * count(class))).collect()
    }

    /// Weighted cross entropy.
    fn loss(&self, logits: Tensor<2>, rows: &[usize], weights: &[f64]) -> Tensor<1> {
        let mut wanted = vec![0.0f32; rows.len() * self.number];
        for (i, row) in rows.iter().enumerate() {
            let class = self.classes[*row];
            wanted[i * self.number + class] = weights[class] as f32 / rows.len() as f32;
        }
        let wanted =
            Tensor::<2>::from_data(TensorData::new(wanted, [rows.len(), self.number]), &logits.device());
        (log_softmax(logits, 1) * wanted).sum().neg()
    }

    fn confusion(&self, network: &OrganNetwork, rows: &[usize], device: &Device) -> Confusion {
        let mut predicted = vec![];
        for some in rows.chunks(AT_ONCE) {
            let images: Vec<Array3<f32>> = some.iter().map(|row| self.crops[*row].image.clone()).collect();
            let logits = network.forward(tensor(&images, device));
            let numbers = logits.into_data().convert::<f32>().try_to_vec::<f32>().expect("a float tensor");
            let best =
                |row: &[f32]| (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
            predicted.extend(numbers.chunks(self.number).map(best));
        }
        let truth: Vec<usize> = rows.iter().map(|row| self.classes[*row]).collect();
        Confusion::of(&truth, &predicted, self.number)
    }
}

/// Mirrored from right to left in half of the cases, and turned by quarters about the long axis of the body.
fn turned(crop: Array3<f32>, draws: &mut Stream) -> Array3<f32> {
    let crop = if draws.index(2) == 1 {
        crop.slice_move(s![..;-1, .., ..]).as_standard_layout().into_owned()
    } else {
        crop
    };
    rotated(crop, draws.index(4))
}

fn tensor(images: &[Array3<f32>], device: &Device) -> Tensor<5> {
    let (x, y, z) = images[0].dim();
    let values: Vec<f32> = images.iter().flat_map(|image| image.iter().copied()).collect();
    Tensor::from_data(TensorData::new(values, [images.len(), 1, x, y, z]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Balls of 1 in the first group and of 0.4 in the second.
    fn crops(n: usize) -> Vec<TumorCrop> {
        let crop = |i: usize| {
            let (group, value) = if i.is_multiple_of(2) { ("liver", 1.0) } else { ("kidney", 0.4) };
            let radius2 = (9 + i % 5) as f64;
            let image = Array3::from_shape_fn((16, 16, 16), |(x, y, z)| {
                let distance2: f64 = [x, y, z].iter().map(|v| (*v as f64 - 8.0).powi(2)).sum();
                if distance2 < radius2 { value } else { 0.0 }
            });
            let tumor =
                Tumor { id: i.to_string(), group: group.into(), patient: format!("p{i}"), stage: None };
            TumorCrop { tumor, image }
        };
        (0..n).map(crop).collect()
    }

    #[test]
    fn networks_tell_bright_from_dark_balls() {
        let device = Device::flex();
        let crops = crops(24);
        let options = TrainingOptions { repeats: 1, epochs: 30, batch: 8, ..TrainingOptions::default() };
        let (experiment, features) = experiment(&crops, &options, &device, &|_, _, _, _| {}).unwrap();
        assert_eq!(experiment.classifiers.len(), 2);
        for outcome in &experiment.classifiers {
            // One of the eight that are tested on may be taken for the other.
            assert!(outcome.test.recall.mean > 0.87, "{}: {:?}", outcome.name, outcome.test);
        }
        assert_eq!(features.iter().map(|(_, table)| table.columns().len()).collect::<Vec<_>>(), [128, 90]);
        // Equal seeds, equal networks.
        let short = TrainingOptions { epochs: 2, ..options };
        let run = || super::experiment(&crops, &short, &device, &|_, _, _, _| {}).unwrap();
        assert_eq!(run(), run());
    }

    #[test]
    fn what_cannot_be_learnt_is_told() {
        let device = Device::flex();
        let try_with = |crops: &[TumorCrop], options: &TrainingOptions| {
            experiment(crops, options, &device, &|_, _, _, _| {}).unwrap_err().to_string()
        };
        let options = TrainingOptions::default();
        let one: Vec<TumorCrop> = crops(8).into_iter().step_by(2).collect();
        assert!(try_with(&one, &options).contains("at least two"));
        assert!(try_with(&[], &options).contains("none"));
        assert!(try_with(&crops(3), &options).contains("kidney"));
        assert!(try_with(&crops(8), &TrainingOptions { epochs: 0, ..options.clone() }).contains("epochs"));
        assert!(
            try_with(&crops(8), &TrainingOptions { learning_rate: 0.0, ..options }).contains("learning rate")
        );
    }
}
