//! The whole loss of the autoencoder's training (paper Eq. 1 to 4; spec/autoencoder.md section 5): what the reconstruction,
//! the latents, a perceptual network and two discriminators say of an image and its reconstruction.
use super::discriminator::{BatchStatistics, PatchDiscriminator, PatchDiscriminatorConfig};
use super::objective::Reconstruction;
use super::perceptual::Perceptual;
use crate::error::{Error, Result};
use crate::nn::loss::mean_absolute_error;
use crate::nn::slices::slices;
use crate::nn::state::fill;
use crate::run::Run;
use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Weights of the loss's terms beside those of [`Reconstruction`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GanWeights {
    /// Of the perceptual distances on all three planes: 4, authors' code.
    pub perceptual: f64,
    /// Of the slice discriminator's opinion: 1, authors' code.
    pub image: f64,
    /// Of the volume discriminator's opinion: 1, authors' code.
    pub volume: f64,
    /// Of the feature matching of both: 4, authors' code.
    pub feature_matching: f64,
}

impl Default for GanWeights {
    fn default() -> Self {
        Self { perceptual: 4.0, image: 1.0, volume: 1.0, feature_matching: 4.0 }
    }
}

/// Which slice of each item is looked at: one index for each item, for the planes D (axial), H and W.
pub type Planes = [Vec<usize>; 3];

/// Axis of the slices that the discriminator sees: D.
const AXIAL: usize = 2;

/// Both discriminators.
#[derive(Module, Debug)]
pub struct Discriminators {
    /// Of axial slices.
    pub image: PatchDiscriminator,
    /// Of volumes.
    pub volume: PatchDiscriminator,
}

/// What the four passes of [`generator_terms`] or of [`discriminator_loss`] showed of their batches, in the published order of
/// the calls.
#[derive(Clone, Debug, PartialEq)]
pub struct DiscriminatorStatistics {
    image: [BatchStatistics; 2],
    volume: [BatchStatistics; 2],
}

impl Discriminators {
    /// Random weights; `width` is that of [`PatchDiscriminatorConfig`].
    pub fn new(width: usize, device: &Device) -> Self {
        let of = |planar| PatchDiscriminatorConfig { planar, width }.init(device);
        Self { image: of(true), volume: of(false) }
    }

    /// The discriminators that an imported autoencoder's Run was told to keep.
    ///
    /// # Errors
    /// When it holds none, or others than the published ones.
    pub fn open(run: &Run, device: &Device) -> Result<Self> {
        run.autoencoder_config()?;
        let mut tensors = run.load_tensors()?;
        // The number of batches says nothing that the statistics, with their fixed momentum, need.
        let is_weight =
            |name: &str| name.contains("_discriminator.") && !name.ends_with("num_batches_tracked");
        tensors.retain(|name, _| is_weight(name));
        let model = Self::new(PatchDiscriminatorConfig::default().width, device);
        let (model, difference) = fill(model, tensors, Self::published_name);
        if difference.is_empty() {
            return Ok(model);
        }
        Err(Error::StateDict {
            path: run.dir().to_path_buf(),
            architecture: "discriminators".into(),
            difference: Box::new(difference),
            hint: "import the autoencoder with --keep-training-parts".into(),
        })
    }

    /// The same, with running statistics moved towards what the passes showed.
    pub fn fold_in(self, found: &DiscriminatorStatistics) -> Self {
        let fold = |d: PatchDiscriminator, of: &[BatchStatistics; 2]| of.iter().fold(d, |d, s| d.fold_in(s));
        Self { image: fold(self.image, &found.image), volume: fold(self.volume, &found.volume) }
    }

    /// The name in the published state dict of the parameter at a field path.
    pub fn published_name(path: &str) -> String {
        let (part, inner) = path.split_once('.').expect("a parameter of one of the two");
        let part = if part == "image" { "image_discriminator" } else { "video_discriminator" };
        format!("{part}.{}", PatchDiscriminator::published_name(inner))
    }
}

/// The terms of the autoencoder's loss, weighted, each `[1]`; 0 where there is none.
pub struct GeneratorTerms {
    /// Mean absolute error.
    pub reconstruction: Tensor<1>,
    /// Distance of the latents from their codes.
    pub commitment: Tensor<1>,
    /// Perceptual distance on three planes.
    pub perceptual: Tensor<1>,
    /// How little the slices look real to the discriminator.
    pub image_generator: Tensor<1>,
    /// How little the volume looks real to the discriminator.
    pub volume_generator: Tensor<1>,
    /// Distance of both discriminators' features.
    pub feature_matching: Tensor<1>,
    /// The sum of all.
    pub total: Tensor<1>,
    /// For [`Discriminators::fold_in`], if there were any.
    pub statistics: Option<DiscriminatorStatistics>,
}

/// The discriminators' loss, `[1]` each.
pub struct DiscriminatorLoss {
    /// Hinge loss of the slices.
    pub image: Tensor<1>,
    /// Hinge loss of the volumes.
    pub volume: Tensor<1>,
    /// The sum.
    pub total: Tensor<1>,
    /// For [`Discriminators::fold_in`].
    pub statistics: DiscriminatorStatistics,
}

/// The whole loss of a reconstruction of `x` `[B, 1, D, H, W]`. Discriminators that should get no gradient must come without
/// (`no_grad`): then their weights' gradients are not computed.
pub fn generator_terms(
    x: &Tensor<5>,
    reconstruction: &Reconstruction,
    planes: &Planes,
    perceptual: Option<&Perceptual>,
    discriminators: Option<&Discriminators>,
    weights: &GanWeights,
) -> GeneratorTerms {
    let fake = &reconstruction.image;
    let none = Tensor::zeros([1], &x.device());
    let mut terms = GeneratorTerms {
        reconstruction: reconstruction.reconstruction.clone(),
        commitment: reconstruction.commitment.clone(),
        perceptual: none.clone(),
        image_generator: none.clone(),
        volume_generator: none.clone(),
        feature_matching: none.clone(),
        total: none,
        statistics: None,
    };
    if let Some(p) = perceptual {
        let of_plane = |(i, at): (usize, &Vec<usize>)| {
            p.distance(slices(fake.clone(), AXIAL + i, at), slices(x.clone(), AXIAL + i, at))
        };
        terms.perceptual = sum(planes.iter().enumerate().map(of_plane)) * weights.perceptual;
    }
    if let Some(d) = discriminators {
        let (image_fake, s1) = d.image.forward(slices(fake.clone(), AXIAL, &planes[0]));
        let (volume_fake, s2) = d.volume.forward(fake.clone());
        let (image_real, s3) = d.image.forward(slices(x.clone(), AXIAL, &planes[0]));
        let (volume_real, s4) = d.volume.forward(x.clone());
        let opinion = |outputs: &[Tensor<5>]| -outputs[outputs.len() - 1].clone().mean();
        terms.image_generator = opinion(&image_fake) * weights.image;
        terms.volume_generator = opinion(&volume_fake) * weights.volume;
        let features =
            feature_matching(&image_fake, &image_real) + feature_matching(&volume_fake, &volume_real);
        terms.feature_matching = features * weights.feature_matching;
        terms.statistics = Some(DiscriminatorStatistics { image: [s1, s3], volume: [s2, s4] });
    }
    let t = &terms;
    let generator = [&t.image_generator, &t.volume_generator, &t.feature_matching];
    let all = [&t.reconstruction, &t.commitment, &t.perceptual].into_iter().chain(generator);
    terms.total = sum(all.cloned());
    terms
}

fn sum(terms: impl Iterator<Item = Tensor<1>>) -> Tensor<1> {
    terms.reduce(|a, b| a + b).expect("a term")
}

/// Sum of the mean absolute differences of all stages but the last. The gradient goes to `fake` alone.
pub fn feature_matching(fake: &[Tensor<5>], real: &[Tensor<5>]) -> Tensor<1> {
    let stages = fake.len() - 1;
    sum(fake.iter().zip(real).take(stages).map(|(f, r)| mean_absolute_error(f.clone(), r.clone().detach())))
}

/// Hinge loss of logits for real and for reconstructed images (Lim & Ye 2017), `[1]`.
pub fn hinge(real: Tensor<5>, fake: Tensor<5>) -> Tensor<1> {
    (relu(-real + 1.0).mean() + relu(fake + 1.0).mean()) * 0.5
}

/// The discriminators' loss for images `real` and reconstructions `fake`, both `[B, 1, D, H, W]` and detached here; `axial` is the
/// slice of each item.
pub fn discriminator_loss(
    d: &Discriminators,
    real: &Tensor<5>,
    fake: &Tensor<5>,
    axial: &[usize],
) -> DiscriminatorLoss {
    let (real, fake) = (real.clone().detach(), fake.clone().detach());
    let logits = |(mut outputs, statistics): (Vec<Tensor<5>>, BatchStatistics)| {
        (outputs.pop().expect("five stages"), statistics)
    };
    let (image_real, s1) = logits(d.image.forward(slices(real.clone(), AXIAL, axial)));
    let (volume_real, s2) = logits(d.volume.forward(real));
    let (image_fake, s3) = logits(d.image.forward(slices(fake.clone(), AXIAL, axial)));
    let (volume_fake, s4) = logits(d.volume.forward(fake));
    let (image, volume) = (hinge(image_real, image_fake), hinge(volume_real, volume_fake));
    DiscriminatorLoss {
        total: image.clone() + volume.clone(),
        image,
        volume,
        statistics: DiscriminatorStatistics { image: [s1, s3], volume: [s2, s4] },
    }
}
