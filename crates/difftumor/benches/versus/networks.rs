//! Whole networks, and tumors made with them.
use super::{Run, device, random, run};
use burn::tensor::Tensor;
use difftumor::autoencoder::{Autoencoder, AutoencoderConfig};
use difftumor::diffusion::{Condition, DiffusionConfig, LatentScale, ScaleOf, sample};
use difftumor_ct::draws::Stream;
use std::hint::black_box;

/// Condition, four U-Net calls, decoding, for the items of a batch.
fn early_tumors(autoencoder: Autoencoder, image: Tensor<5>) -> Run {
    let batch = image.dims()[0];
    let config = DiffusionConfig::default();
    let unet = config.init(&device());
    let mask = Tensor::<5>::zeros([batch, 1, 96, 96, 96], &device());
    let cube = [0..batch, 0..1, 40..56, 40..56, 40..56];
    let mask = mask.slice_assign(cube, Tensor::<5>::ones([batch, 1, 16, 16, 16], &device()));
    let mut noise = Stream::new(1, 0, "versus", 0);
    run(move || {
        let scale = LatentScale::of(&autoencoder, ScaleOf::Codebook);
        let condition = Condition::new(&autoencoder, &scale, image.clone(), mask.clone());
        let x = sample(&unet, &config, &condition, &mut noise);
        autoencoder.decode(scale.restore(x))
    })
}

/// A whole network, or several.
pub fn network(stage: &str) -> Option<Run> {
    let autoencoder = || AutoencoderConfig::default().init(&device());
    let (image, latents) =
        (|| random([1, 1, 96, 96, 96], &device()).clamp(-1.0, 1.0), || random([1, 8, 24, 24, 24], &device()));
    Some(match stage {
        "encode" => {
            let (a, x) = (autoencoder(), image());
            run(move || a.encode(x.clone()))
        }
        "search" => {
            let (a, z) = (autoencoder(), latents());
            Box::new(move || drop(black_box(a.indices(z.clone()))))
        }
        "decode" => {
            let (a, z) = (autoencoder(), latents());
            run(move || a.decode(z.clone()))
        }
        "unet" => {
            let (unet, x) = (DiffusionConfig::default().init(&device()), latents());
            let condition = random([1, 9, 24, 24, 24], &device());
            run(move || unet.forward(x.clone(), &[1], condition.clone()))
        }
        "tumor" => early_tumors(autoencoder(), image()),
        "tumors8" => early_tumors(autoencoder(), image().repeat_dim(0, 8)),
        _ => return None,
    })
}
