//! One training step at batch 1: forward, gradients, optimiser.
use super::{Run, device, random, segmentation};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Int, Tensor};
use difftumor::autoencoder::AutoencoderConfig;
use difftumor::autoencoder::objective::reconstruct;
use difftumor::diffusion::objective::{Objective, denoising_loss};
use difftumor::diffusion::{DiffusionConfig, Schedule};
use difftumor::nn::optim::{AdamConfig, WeightDecay};
use difftumor::segmentation::dice_ce;

fn steps<M: Module + 'static>(
    model: M,
    optimizer: AdamConfig,
    lr: f64,
    loss: impl Fn(&M) -> Tensor<1> + 'static,
) -> Run {
    let (mut model, mut optimizer) = (Some(model), optimizer.init());
    Box::new(move || {
        let m = model.take().expect("put back after each step");
        let gradients = GradientsParams::from_grads(loss(&m).backward(), &m);
        model = Some(optimizer.step(m, gradients, lr));
    })
}

pub fn train(network: &str) -> Option<Run> {
    difftumor::memory::keep_freed();
    let device = device().autodiff();
    let adam = AdamConfig::default();
    Some(match network {
        "autoencoder" => {
            let x = random([1, 1, 96, 96, 96], &device).clamp(-1.0, 1.0);
            steps(AutoencoderConfig::default().init(&device), adam, 3e-4, move |m| {
                let r = reconstruct(m, x.clone());
                r.reconstruction + r.commitment
            })
        }
        "diffusion" => {
            let config = DiffusionConfig::default();
            let (x, noise) = (random([1, 8, 24, 24, 24], &device), random([1, 8, 24, 24, 24], &device));
            let (schedule, condition) =
                (Schedule::cosine(config.timesteps), random([1, 9, 24, 24, 24], &device));
            steps(config.init(&device), adam, 1e-4, move |m| {
                denoising_loss(
                    m,
                    Objective::PUBLISHED,
                    &schedule,
                    x.clone(),
                    condition.clone(),
                    &[1],
                    noise.clone(),
                )
            })
        }
        name => {
            let network = segmentation(name)?.init(&device);
            let x = random([1, 1, 96, 96, 96], &device);
            let labels = Tensor::<1, Int>::arange(0..96 * 96 * 96, &device).remainder_scalar(3);
            let labels = labels.reshape([1, 96, 96, 96]);
            let adamw = AdamConfig { weight_decay: WeightDecay::Decoupled(0.01), ..adam };
            steps(network, adamw, 2e-4, move |m| dice_ce(m.forward(x.clone()), labels.clone()))
        }
    })
}
