//! What changes from step to step of the autoencoder's training, and one step (paper Eq. 1 to 4; spec/autoencoder.md
//! sections 4 and 5).
use super::settings::AutoencoderTraining;
use crate::autoencoder::Autoencoder;
use crate::autoencoder::codebook_update::{donors, perplexity, rows};
use crate::autoencoder::gan::{Discriminators, GeneratorTerms, Planes, discriminator_loss, generator_terms};
use crate::autoencoder::objective::{Reconstruction, reconstruct, reconstruct_unquantised};
use crate::autoencoder::perceptual::Perceptual;
use crate::error::{Error, Result};
use crate::nn::ema::Ema;
use crate::nn::optim::Adam;
use crate::nn::state::fill_from_run;
use crate::nn::{params, state};
use crate::run::{Run, Tensors};
use crate::tensor::from_crop;
use crate::train::checkpoint::{Checkpoint, Checkpoints};
use crate::train::crops::CropBatch;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use difftumor_ct::draws::{Draws, Stream};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is saved beside tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    best_psnr_db: Option<f64>,
    /// Whether the codebook has been filled: a resumed training must not fill it again (pitfall B6).
    codebook_filled: bool,
}

/// Everything that changes from step to step.
pub(super) struct Learner {
    model: Autoencoder,
    optimizer: Adam,
    ema: Ema,
    adversary: Option<Adversary>,
    perceptual: Option<Perceptual>,
    codebook_filled: bool,
    pub(super) best_psnr_db: Option<f64>,
}

/// The discriminators with their optimiser.
struct Adversary {
    networks: Discriminators,
    optimizer: Adam,
}

impl Learner {
    pub(super) fn new(settings: &AutoencoderTraining, device: &Device) -> Result<Self> {
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

    /// The same with the weights of a Run, if there is one. Its codes are kept if they are used from the first step on.
    pub(super) fn start_from(mut self, settings: &AutoencoderTraining, run: Option<&Path>) -> Result<Self> {
        if let Some(dir) = run {
            let run = Run::open(dir)?;
            run.autoencoder_config()?;
            self.model = fill_from_run(self.model, &run, Autoencoder::published_name)?;
            self.ema = Ema::new(&self.model);
            self.codebook_filled = settings.quantise_from_step <= 1;
        }
        Ok(self)
    }

    pub(super) fn restore(
        settings: &AutoencoderTraining,
        device: &Device,
        from: &Checkpoint,
    ) -> Result<Self> {
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

    pub(super) fn save(&self, checkpoints: &Checkpoints, step: u64) -> Result<()> {
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
    pub(super) fn step(
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
            self.best_psnr_db = None; // without codes it is easy to do better, and such a Run is no use
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
    pub(super) fn averaged(&self, settings: &AutoencoderTraining, device: &Device) -> Autoencoder {
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
