//! What the diffusion model is conditioned on (paper 3.2; spec/diffusion.md section 1): the latents of the scan with
//! the tumor region blanked, and the tumor mask on the latent grid.
use super::config::ScaleOf;
use crate::autoencoder::Autoencoder;
use burn::tensor::Tensor;

/// Maps latents to about [-1, 1], and back, each channel by a range of its own.
#[derive(Debug, Clone)]
pub struct LatentScale {
    /// `[1, C, 1, 1, 1]`, as all.
    low: Tensor<5>,
    width: Tensor<5>,
}

/// Standard deviations of the codes from their mean to both ends of the range of [`ScaleOf::UsedCodes`].
const USED_CODES_SD: f32 = 3.0;

impl LatentScale {
    /// The scale of a model on an autoencoder.
    pub fn of(autoencoder: &Autoencoder, kind: ScaleOf) -> Self {
        let codebook = autoencoder.codebook();
        let codes = codebook.embeddings.val();
        let [_, channels] = codes.dims();
        let (low, high) = match kind {
            ScaleOf::Codebook => {
                let (min, max) = codebook.range();
                let all = |v: f32| Tensor::<1>::full([channels], v, &codes.device());
                (all(min), all(max))
            }
            ScaleOf::UsedCodes => {
                // Counts are never negative in trained weights; a file may hold anything.
                let used = codebook.n.val().clamp_min(0.0);
                let share = (used.clone() / used.sum().clamp_min(f32::MIN_POSITIVE)).unsqueeze_dim::<2>(1);
                let mean = (codes.clone() * share.clone()).sum_dim(0);
                let sd = ((codes - mean.clone()).powi_scalar(2) * share).sum_dim(0).sqrt();
                // A channel that no code uses keeps a width.
                let reach = sd.clamp_min(1e-3) * USED_CODES_SD;
                ((mean.clone() - reach.clone()).squeeze_dim(0), (mean + reach).squeeze_dim(0))
            }
        };
        let shaped = |t: Tensor<1>| t.reshape([1, channels, 1, 1, 1]);
        Self { low: shaped(low.clone()), width: shaped(high - low) }
    }

    /// Latents → model space. Not clipped: unquantised latents may lie outside of [-1, 1].
    pub fn normalise(&self, z: Tensor<5>) -> Tensor<5> {
        (z - self.low.clone()) / self.width.clone() * 2.0 - 1.0
    }

    /// Model space → latents.
    pub fn restore(&self, x: Tensor<5>) -> Tensor<5> {
        (x + 1.0) / 2.0 * self.width.clone() + self.low.clone()
    }
}

/// Condition of a batch, `[B, 9, d, h, w]`: 8 channels of masked latents, 1 of the mask in {-1, 1}.
#[derive(Debug, Clone)]
pub struct Condition(pub Tensor<5>);

impl Condition {
    /// `image` in [-1, 1] and `mask` in {0, 1}, both `[B, 1, D, H, W]`.
    ///
    /// Blanked voxels become 0, that is mid grey (37.5 HU) and not air: the published weights know it so.
    pub fn new(autoencoder: &Autoencoder, scale: &LatentScale, image: Tensor<5>, mask: Tensor<5>) -> Self {
        assert_eq!(image.dims(), mask.dims(), "image against mask");
        let masked = image * (mask.clone() * -1.0 + 1.0);
        let latents = scale.normalise(autoencoder.encode(masked));
        let [b, _, d, h, w] = latents.dims();
        let [_, _, full_d, full_h, full_w] = mask.dims();
        // Nearest: source index floor(i * in / out), which is every (in / out)-th voxel.
        let mut small = mask;
        for (axis, (full, out)) in [(full_d, d), (full_h, h), (full_w, w)].into_iter().enumerate() {
            let every = burn::tensor::Slice::new(0, Some(full as isize), (full / out) as isize);
            small = small.slice_dim(axis + 2, every);
        }
        let small = small.reshape([b, 1, d, h, w]) * 2.0 - 1.0;
        Self(Tensor::cat(vec![latents, small], 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoencoder::AutoencoderConfig;
    use crate::nn::state::{fill, read};
    use burn::tensor::{Device, Distribution};

    #[test]
    fn used_codes_set_the_scale_of_each_channel() {
        let device = Device::flex();
        let config = AutoencoderConfig { base_channels: 4, norm_groups: 4, codes: 3, ..Default::default() };
        let model = config.init(&device);
        let mut state = read(&model, str::to_string);
        // Channel 0 of the codes: -1 and 3, half each, and an extreme one that nobody uses.
        let channels = config.latent_channels;
        let mut codes = vec![0.0; 3 * channels];
        (codes[0], codes[channels], codes[2 * channels]) = (-1.0, 3.0, 900.0);
        state.insert("codebook.embeddings".into(), (vec![3, channels], codes));
        state.insert("codebook.n".into(), (vec![3], vec![5.0, 5.0, 0.0]));
        let (model, difference) = fill(model, state, str::to_string);
        assert!(difference.is_empty(), "{difference}");
        let scale = LatentScale::of(&model, ScaleOf::UsedCodes);
        // Mean 1, standard deviation 2: -5 to 7.
        let x = Tensor::<5>::ones([1, channels, 1, 1, 1], &device);
        let first = |t: Tensor<5>| t.slice([0..1, 0..1]).into_scalar::<f32>();
        assert_eq!(first(scale.restore(x.clone())), 7.0);
        assert_eq!(first(scale.restore(-x)), -5.0);
        assert_eq!(
            LatentScale::of(&model, ScaleOf::Codebook).low.into_data().try_to_vec::<f32>().unwrap()[0],
            -1.0
        );
        let z = Tensor::random([2, channels, 2, 3, 2], Distribution::Normal(0.0, 1.0), &device);
        for kind in [ScaleOf::Codebook, ScaleOf::UsedCodes] {
            let scale = LatentScale::of(&model, kind);
            let worst =
                (scale.restore(scale.normalise(z.clone())) - z.clone()).abs().max().into_scalar::<f32>();
            // f32 sums with numbers up to 900.
            assert!(worst < 2e-4, "{kind:?}: {worst}");
        }
    }
}
