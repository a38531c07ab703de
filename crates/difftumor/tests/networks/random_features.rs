//! The perceptual distance without trained weights: what it finds alike, and the whole loss with and without its parts.

use crate::common::models::gradients_of;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use difftumor::autoencoder::gan::{Discriminators, GanWeights, GeneratorTerms, generator_terms};
use difftumor::autoencoder::objective::{Reconstruction, reconstruct};
use difftumor::autoencoder::random_features::RandomFeatures;
use difftumor::autoencoder::{Autoencoder, AutoencoderConfig, Perceptual, PerceptualConfig};
use difftumor_ct::draws::{Draws, Stream};

const SIDE: usize = 96;

fn noise(seed: u64) -> Vec<f32> {
    let mut out = vec![0.0; SIDE * SIDE];
    Stream::new(seed, 0, "noise", 0).normals(&mut out);
    out.into_iter().map(|v| v as f32).collect()
}

/// An abdomen of 57 HU in fat of -100 HU in air, and an organ of 133 HU in it, in [-1, 1].
fn abdomen() -> Vec<f32> {
    let voxel = |i: usize| {
        let (y, x) = ((i / SIDE) as f32 - 48.0, (i % SIDE) as f32 - 48.0);
        let (body, organ) = (y.hypot(x), y.hypot(x - 10.0));
        match body {
            44.0.. => -1.0,
            38.0.. => -0.65,
            _ if organ < 12.0 => 0.45,
            _ => 0.25,
        }
    };
    (0..SIDE * SIDE).map(voxel).collect()
}

/// With noise of 15 HU where there is no air.
fn noisy(clean: &[f32], noise: &[f32]) -> Vec<f32> {
    clean.iter().zip(noise).map(|(c, e)| if *c > -1.0 { c + 0.07 * e } else { *c }).collect()
}

fn mean_absolute(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len() as f32
}

#[test]
fn texture_of_the_right_kind_is_nearer_than_none() {
    let clean = abdomen();
    let (real, other) = (noisy(&clean, &noise(1)), noisy(&clean, &noise(2)));
    let slice = |v: &[f32]| {
        Tensor::<5>::from_data(TensorData::new(v.to_vec(), [1, 1, 1, SIDE, SIDE]), &Device::flex())
    };
    let perceptual = RandomFeatures::default().init(&Device::flex());
    let distance = |v: &[f32]| perceptual.distance(slice(v), slice(&real)).into_scalar::<f32>();
    let brighter: Vec<f32> = real.iter().map(|v| v + 0.02).collect();
    let (none, right, level) = (distance(&clean), distance(&other), distance(&brighter));
    println!("no texture {none:.3}, another of its kind {right:.3}, 4 HU brighter {level:.5}");
    // Found: 0.24, 0.17, 0.00001. The mean absolute error says the opposite: 0.036 and 0.051.
    assert!(mean_absolute(&other, &real) > 1.3 * mean_absolute(&clean, &real));
    assert!(right < 0.8 * none && level < 0.01 * none && none < 1.0);
    assert_eq!(distance(&real), 0.0);
}

struct Case {
    autoencoder: Autoencoder,
    x: Tensor<5>,
    reconstruction: Reconstruction,
}

fn case() -> Case {
    let device = Device::flex().autodiff();
    let config = AutoencoderConfig { base_channels: 4, codes: 32, norm_groups: 4, ..Default::default() };
    let autoencoder = config.init(&device);
    let values: Vec<f32> = noise(3)[..2 * 16 * 12 * 8].to_vec();
    let x = Tensor::from_data(TensorData::new(values, [2, 1, 16, 12, 8]), &device);
    let reconstruction = reconstruct(&autoencoder, x.clone());
    Case { autoencoder, x, reconstruction }
}

impl Case {
    fn terms(
        &self,
        perceptual: Option<&Perceptual>,
        discriminators: Option<&Discriminators>,
    ) -> GeneratorTerms {
        let planes = [vec![15, 0], vec![3, 11], vec![7, 7]];
        let weights = GanWeights::default();
        generator_terms(&self.x, &self.reconstruction, &planes, perceptual, discriminators, &weights)
    }
}

#[test]
fn parts_that_are_off_are_zero_and_frozen_ones_get_no_gradient() {
    let case = case();
    let device = case.x.device();
    let value = |t: &Tensor<1>| t.clone().into_scalar::<f32>();
    assert!(PerceptualConfig::Off.open(&device).unwrap().is_none());
    let bare = case.terms(None, None);
    let two = value(&bare.reconstruction) + value(&bare.commitment);
    assert!(
        value(&bare.perceptual) == 0.0 && value(&bare.feature_matching) == 0.0 && bare.statistics.is_none()
    );
    assert_eq!(value(&bare.total), two);

    // The smallest side of these slices is 8, which three levels halve to 2.
    let perceptual = PerceptualConfig::default().open(&device).unwrap();
    let discriminators = Discriminators::new(4, &device).no_grad();
    let whole = case.terms(perceptual.as_ref(), Some(&discriminators));
    let all = [&whole.perceptual, &whole.image_generator, &whole.volume_generator, &whole.feature_matching];
    let sum = two + all.map(value).iter().sum::<f32>();
    assert!((value(&whole.total) - sum).abs() < 1e-5 * sum.abs()); // another order of five additions
    let gradients = whole.total.backward();
    assert!(gradients_of(&discriminators, &gradients, Discriminators::published_name).is_empty());
    assert!(!gradients_of(&case.autoencoder, &gradients, Autoencoder::published_name).is_empty());
}

#[test]
fn the_loss_and_its_gradients_do_not_depend_on_the_threads() {
    let discriminators = Discriminators::new(20, &Device::flex().autodiff());
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let device = Device::flex().autodiff();
            let values: Vec<f32> = noise(4)[..2 * 1728].to_vec();
            let image = |from: usize| {
                let part = values[from..][..1728].to_vec();
                Tensor::<5>::from_data(TensorData::new(part, [1, 1, 12, 12, 12]), &device)
            };
            let fake = image(0).require_grad();
            let zero = Tensor::<1>::zeros([1], &device);
            let reconstruction = Reconstruction {
                image: fake.clone(),
                reconstruction: zero.clone(),
                commitment: zero,
                latents: image(0),
                indices: burn::tensor::Tensor::zeros([1], &device),
            };
            let perceptual = RandomFeatures::default().init(&device);
            let planes = [vec![3], vec![5], vec![7]];
            let weights = GanWeights::default();
            let terms = generator_terms(
                &image(1728),
                &reconstruction,
                &planes,
                Some(&perceptual),
                Some(&discriminators),
                &weights,
            );
            let gradients = terms.total.backward();
            let dx = fake.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
            let of_weights = gradients_of(&discriminators, &gradients, Discriminators::published_name);
            (terms.total.into_scalar::<f32>().to_bits(), dx, of_weights)
        })
    };
    assert_eq!(run(1), run(2));
}
