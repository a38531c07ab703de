//! The loss of the autoencoder's training against tensors recorded from the published implementation (spec/goldens.md):
//! one generator pass and one discriminator pass, term by term, with codebook, BatchNorm statistics and gradients.
//!
//! Tolerances: 1e-5 for means of numbers of order 1, which both sides sum in f32 in another order; 1e-4 for outputs
//! of networks (an f64 run of the same networks differs from the recorded ones by 6e-6). Gradients are not continuous: the
//! signs of the mean absolute errors and the bends of ReLU fall on one side or the other by rounding, at some of 10⁵
//! features that lie within 1e-6 of 0. Burn's own operations and the kernels for AVX-512, AVX2 and scalar code differ by
//! 1e-4 to 2.5e-3 of a tensor's largest gradient from the recorded ones and as much among each other; the same operations are held
//! to 5e-6 where there are no bends (`nn_*gradients*`).

use crate::common::golden::{Golden, goldens};
use crate::common::models::gradients_of;
use crate::common::rule::{hash_sym, rule_value};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use difftumor::autoencoder::codebook_update::{CodebookUpdate, donors, perplexity, rows};
use difftumor::autoencoder::gan::{
    Discriminators, GanWeights, GeneratorTerms, Planes, discriminator_loss, generator_terms,
};
use difftumor::autoencoder::objective::{Reconstruction, reconstruct};
use difftumor::autoencoder::perceptual::{LpipsConfig, Perceptual};
use difftumor::autoencoder::{Autoencoder, AutoencoderConfig};
use difftumor::nn::loss::mean_absolute_error;
use difftumor::nn::slices::slices;
use difftumor::nn::state::{fill, read};
use difftumor::run::Tensors;
use difftumor_ct::draws::Draws;

const TERM: f32 = 1e-5;
const NETWORK: f32 = 1e-4;
const GRADIENT: f64 = 5e-3;
const GRADIENT_NORM: f64 = 1e-3;

fn device() -> Device {
    Device::flex().autodiff()
}

/// A model with the weight rule's numbers. The rule goes by the published name and shape: slices' weights are 4-D there, which
/// changes nothing.
fn by_rule<M: Module>(model: M, published: impl Fn(&str) -> String + Copy, part: &str) -> M {
    let state: Tensors = read(&model, published)
        .into_iter()
        .map(|(name, (shape, _))| {
            // Heads `[C]` are `[1, C, 1, 1]` in the published dict.
            let published = if name.starts_with("lin") { vec![1, shape[0], 1, 1] } else { shape.clone() };
            let values = rule_value(&format!("{part}{name}"), &published).unwrap();
            (name, (shape, values))
        })
        .collect();
    let (model, mismatch) = fill(model, state, published);
    assert!(mismatch.is_empty(), "{mismatch}");
    model
}

struct Models {
    autoencoder: Autoencoder,
    discriminators: Discriminators,
    perceptual: Perceptual,
}

fn models() -> Models {
    let d = device();
    Models {
        autoencoder: by_rule(AutoencoderConfig::default().init(&d), Autoencoder::published_name, ""),
        discriminators: by_rule(Discriminators::new(64, &d), Discriminators::published_name, ""),
        perceptual: by_rule(LpipsConfig::default().init(&d), Perceptual::published_name, "perceptual_model."),
    }
}

fn t5(g: &Golden, name: &str) -> Tensor<5> {
    let (shape, values) = g.get(name);
    Tensor::from_data(TensorData::new(values.to_vec(), <[usize; 5]>::try_from(shape).unwrap()), &device())
}

fn values<const D: usize>(t: &Tensor<D>) -> Vec<f32> {
    t.clone().into_data().try_to_vec::<f32>().unwrap()
}

fn planes(g: &Golden) -> Planes {
    let at = g.get("frames_T_H_W").1;
    let items = at.len() / 3;
    std::array::from_fn(|p| at[p * items..][..items].iter().map(|v| *v as usize).collect())
}

/// The Euclidean norm as it was recorded: in f32, in eight sums. Of the 8 million elements of the largest weight that is
/// 3.3e-4 less than the norm is.
fn norm(v: &[f32]) -> f64 {
    let mut sums = [0f32; 8];
    v.chunks(8).for_each(|part| sums.iter_mut().zip(part).for_each(|(s, v)| *s += v * v));
    f64::from(sums.iter().sum::<f32>().sqrt())
}

/// Full gradients where the file has them, and the norms of all that `norms` names.
fn compare_gradients(g: &Golden, prefix: &str, norms: &str, ours: &Tensors) {
    let norms: serde_json::Value = serde_json::from_str(&g.meta[norms]).unwrap();
    let norms = norms.as_object().unwrap();
    let largest_norm = norms.values().filter_map(serde_json::Value::as_f64).fold(0.0, f64::max);
    let (mut worst, mut compared) = ((0.0, String::new()), 0);
    for (name, (_, values)) in ours {
        if let Some((_, want)) = g.find(&format!("{prefix}{name}")) {
            let largest = want.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
            g.compare(&format!("{prefix}{name}"), values, (GRADIENT * f64::from(largest)) as f32);
        }
        let want = norms[name].as_f64().unwrap();
        // Where a gradient is zero but for rounding (a bias before a norm), its norm is noise of the others'.
        let difference = (norm(values) - want).abs() / (want + 1e-2 * largest_norm);
        compared += 1;
        if difference > worst.0 {
            worst = (difference, name.clone());
        }
    }
    println!(
        "golden {}: {compared} gradient norms of {}, largest relative difference {worst:?}",
        g.name,
        norms.len()
    );
    assert!(compared > 0 && worst.0 <= GRADIENT_NORM, "{worst:?}");
}

#[test]
fn golden_generator_pass() {
    for g in goldens("autoencoder_loss", &[]) {
        let (m, x, planes) = (models(), t5(&g, "x"), planes(&g));
        let r = reconstruct(&m.autoencoder, x.clone());
        g.compare("x_recon", &values(&r.image), NETWORK);
        g.compare("encodings", &ints(&r.indices), 0.0);
        let (p, d) = (Some(&m.perceptual), Some(&m.discriminators));
        let terms = generator_terms(&x, &r, &planes, p, d, &GanWeights::default());
        compare_terms(&g, &terms);
        compare_perceptual(&g, &m.perceptual, &x, &r.image, &planes);
        compare_stages(&g, &m.discriminators, &x, &r.image, &planes[0]);
        let folded = m.discriminators.clone().fold_in(terms.statistics.as_ref().unwrap());
        let buffers = read(&folded, Discriminators::published_name);
        for (ours, name) in [("mean", "img_disc_bn_running_mean"), ("var", "img_disc_bn_running_var")] {
            g.compare(name, &buffers[&format!("image_discriminator.model1.1.running_{ours}")].1, TERM);
        }
        compare_codebook(&g, &m.autoencoder, &r);

        let gradients = terms.total.backward();
        let mut all = gradients_of(&m.autoencoder, &gradients, Autoencoder::published_name);
        all.extend(gradients_of(&m.discriminators, &gradients, Discriminators::published_name));
        compare_gradients(&g, "grad.", "grad_norms", &all);
        let frozen = gradients_of(&m.perceptual, &gradients, Perceptual::published_name);
        assert!(frozen.is_empty(), "the perceptual network is frozen");
        g.done();
    }
}

fn ints(t: &Tensor<1, Int>) -> Vec<f32> {
    t.clone().into_data().convert::<f32>().try_to_vec::<f32>().unwrap()
}

fn compare_terms(g: &Golden, t: &GeneratorTerms) {
    let of = |t: &Tensor<1>| values(t)[0];
    let single = |name: &str, value: f32| {
        // Sums of numbers up to 20.
        g.compare(name, &[value], TERM * value.abs().max(1.0));
    };
    single("loss.recon_loss", of(&t.reconstruction));
    single("loss.commitment_loss", of(&t.commitment));
    single("loss.perceptual_loss", of(&t.perceptual));
    single("loss.log_g_image_loss", of(&t.image_generator));
    single("loss.log_g_video_loss", of(&t.volume_generator));
    single("loss.aeloss", of(&t.image_generator) + of(&t.volume_generator));
    single("loss.gan_feat_loss", of(&t.feature_matching));
    single("loss.total", of(&t.total));
}

/// The distance of each item on each plane.
fn compare_perceptual(g: &Golden, p: &Perceptual, x: &Tensor<5>, fake: &Tensor<5>, planes: &Planes) {
    for (i, (name, at)) in ["lpips_T", "lpips_H", "lpips_W"].into_iter().zip(planes).enumerate() {
        let pick = |t: &Tensor<5>, item: usize| slices(t.clone(), 2 + i, at).slice_dim(0, item..item + 1);
        let ours: Vec<f32> =
            (0..at.len()).map(|k| values(&p.distance(pick(fake, k), pick(x, k)))[0]).collect();
        g.compare(name, &ours, TERM);
    }
}

fn compare_stages(g: &Golden, d: &Discriminators, x: &Tensor<5>, fake: &Tensor<5>, at: &[usize]) {
    let slice = |t: &Tensor<5>| slices(t.clone(), 2, at);
    let of_images = [d.image.forward(slice(fake)).0, d.image.forward(slice(x)).0];
    let of_volumes = [d.volume.forward(fake.clone()).0, d.volume.forward(x.clone()).0];
    for (name, [fake, real]) in [("image", of_images), ("video", of_volumes)] {
        g.compare(&format!("{name}_logits_fake"), &values(&fake[4]), NETWORK);
        g.compare(&format!("{name}_logits_real"), &values(&real[4]), NETWORK);
        for (i, (f, r)) in fake.into_iter().zip(real).enumerate() {
            g.compare(&format!("{name}_feat{i}_l1"), &values(&mean_absolute_error(f, r)), TERM);
        }
    }
}

/// Replays the recorded noise and permutation.
struct Replay {
    noise: Vec<f32>,
    permutation: Vec<usize>,
    /// Where each candidate is by now, and what is at each place.
    place: Vec<usize>,
    at: Vec<usize>,
    drawn: usize,
}

impl Draws for Replay {
    fn integer(&mut self, _: i64, _: i64) -> i64 {
        unreachable!("donors draw no integers")
    }
    fn uniform(&mut self, _: f64, _: f64) -> f64 {
        unreachable!("donors draw no reals")
    }
    fn normals(&mut self, out: &mut [f64]) {
        assert_eq!(out.len(), self.noise.len());
        out.iter_mut().zip(&self.noise).for_each(|(o, v)| *o = f64::from(*v));
    }
    /// The index by which a shuffle puts the recorded candidate to its place.
    fn index(&mut self, n: usize) -> usize {
        let i = self.drawn;
        assert_eq!(n, self.at.len() - i);
        let wanted = self.permutation[i];
        let j = self.place[wanted];
        self.at.swap(i, j);
        (self.place[self.at[i]], self.place[self.at[j]]) = (i, j);
        self.drawn += 1;
        j - i
    }
}

fn compare_codebook(g: &Golden, autoencoder: &Autoencoder, r: &Reconstruction) {
    let codes = g.get("perm").1.len();
    let mut replay = Replay {
        noise: hash_sym("golden/ae/tile_noise", &[codes, 8]),
        permutation: g.get("perm").1.iter().map(|v| *v as usize).collect(),
        place: (0..codes).collect(),
        at: (0..codes).collect(),
        drawn: 0,
    };
    let donors = donors(&rows(&r.latents), codes, 8, &mut replay);
    let after = autoencoder.codebook().clone().update(
        &CodebookUpdate::default(),
        r.latents.clone(),
        r.indices.clone(),
        donors,
    );
    g.compare("codebook_N_after", &values(&after.n.val()), 1e-6);
    // Codes are sums of latents by weights as small as 1: latents differ by 3e-6.
    g.compare("codebook_embeddings_after", &values(&after.embeddings.val()), TERM);
    g.compare("codebook_z_avg_after_first2048", &values(&after.z_avg.val())[..2048 * 8], 1e-6);
    let perplexity = perplexity(r.indices.clone(), codes) as f32;
    // exp of an entropy that the reference sums in f32: 651 × 1e-6.
    g.compare("loss.perplexity", &[perplexity], 1e-3);
}

#[test]
fn golden_discriminator_pass() {
    for g in goldens("autoencoder_loss", &[]) {
        let (m, x, planes) = (models(), t5(&g, "x"), planes(&g));
        let r = reconstruct(&m.autoencoder, x.clone());
        let loss = discriminator_loss(&m.discriminators, &x, &r.image, &planes[0]);
        g.compare("loss.D.log_d_image_loss", &values(&loss.image), TERM);
        g.compare("loss.D.log_d_video_loss", &values(&loss.volume), TERM);
        g.compare("loss.D.discloss", &values(&loss.total), TERM);
        let gradients = loss.total.backward();
        let all = gradients_of(&m.discriminators, &gradients, Discriminators::published_name);
        compare_gradients(&g, "dgrad.", "disc_grad_norms", &all);
        let none = gradients_of(&m.autoencoder, &gradients, Autoencoder::published_name);
        assert!(none.is_empty(), "the reconstruction is detached");
        g.done();
    }
}
