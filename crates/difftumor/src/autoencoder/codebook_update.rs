//! How the codebook learns: running means of the latents that chose each code, restart of codes that nobody chooses, and the
//! initialisation from a first batch (paper 3.1; van den Oord et al. 2017, appendix A.1; spec/autoencoder.md section 4).
//!
//! On the host, one thread: a batch of 27,648 latents (two crops of 96³) and 16384 codes of 8 numbers take under a
//! millisecond, and one order of summation gives equal bits everywhere.
use super::{Autoencoder, Codebook};
use burn::module::Param;
use burn::tensor::{Int, Tensor, TensorData};
use difftumor_ct::draws::Draws;
use serde::{Deserialize, Serialize};

/// Keeps codes that nobody chose from being divided by 0 (authors' code).
const LAPLACE: f32 = 1e-7;
/// Standard deviation of the noise on repeated latents, times the root of their channels (authors' code).
const TILE_NOISE: f64 = 0.01;

/// How codes follow the latents.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CodebookUpdate {
    /// What the running counts and sums keep at each step: 0.99, authors' code.
    pub decay: f32,
    /// Codes whose running count is below this become a latent of the batch; 0 for never. 1.0, authors' code.
    pub restart_below: f32,
    /// Running count that a restarted code gets, with a sum to match, so that it stays where it was put until latents
    /// move it. 0 leaves count and sum as they are (authors' code, pitfall B8): the code falls back with the next step.
    pub restart_count: f32,
}

impl Default for CodebookUpdate {
    fn default() -> Self {
        Self { decay: 0.99, restart_below: 1.0, restart_count: 0.0 }
    }
}

/// Latents as rows.
///
/// # Shapes
/// `[B, C, D, H, W]` → `B * D * H * W` rows of `C`, in the order of [`Codebook::indices`].
pub fn rows(z: &Tensor<5>) -> Vec<f32> {
    let [_, c, d, h, w] = z.dims();
    let z = z.to_data().convert::<f32>().try_to_vec::<f32>().expect("a float tensor");
    let voxels = d * h * w;
    let item = |item: &[f32]| -> Vec<f32> {
        (0..voxels).flat_map(|v| (0..c).map(move |k| item[k * voxels + v])).collect()
    };
    z.chunks_exact(c * voxels).flat_map(item).collect()
}

/// One latent of the batch for each code, drawn without repetition. Where there are fewer latents than codes they are
/// repeated first, with a little normal noise that keeps the repetitions apart.
///
/// # Shapes
/// `rows` n × `channels` → `codes` × `channels`.
pub fn donors(rows: &[f32], codes: usize, channels: usize, draws: &mut impl Draws) -> Vec<f32> {
    let found = rows.len() / channels;
    assert!(found > 0 && rows.len() == found * channels, "{} numbers in rows of {channels}", rows.len());
    let candidates = found * if found < codes { codes.div_ceil(found) } else { 1 };
    let mut noise = vec![0.0; if candidates > found { candidates * channels } else { 0 }];
    draws.normals(&mut noise);
    let deviation = (TILE_NOISE / (channels as f64).sqrt()) as f32;
    let noise: Vec<f32> = noise.into_iter().map(|v| v as f32 * deviation).collect();
    // The first `codes` places of a random permutation (Fisher and Yates).
    let mut order: Vec<usize> = (0..candidates).collect();
    let mut out = Vec::with_capacity(codes * channels);
    for i in 0..codes {
        let j = i + draws.index(candidates - i);
        order.swap(i, j);
        let (row, at) = (order[i] % found * channels, order[i] * channels);
        out.extend((0..channels).map(|k| rows[row + k] + noise.get(at + k).copied().unwrap_or(0.0)));
    }
    out
}

/// How many codes a batch uses as if equally: the exponential of the entropy of their frequencies, 1 to `codes`.
pub fn perplexity(indices: Tensor<1, Int>, codes: usize) -> f64 {
    let indices = host(indices);
    let mut counts = vec![0usize; codes];
    indices.iter().for_each(|k| counts[*k] += 1);
    let frequency = |n: usize| n as f64 / indices.len() as f64;
    let entropy: f64 = counts.into_iter().map(frequency).map(|p| -p * (p + 1e-10).ln()).sum();
    entropy.exp()
}

fn host(indices: Tensor<1, Int>) -> Vec<usize> {
    let indices = indices.into_data().convert::<i64>().try_to_vec::<i64>().expect("an integer tensor");
    indices.into_iter().map(|k| k as usize).collect()
}

fn values<const D: usize>(param: &Param<Tensor<D>>) -> Vec<f32> {
    param.val().into_data().convert::<f32>().try_to_vec::<f32>().expect("a float tensor")
}

/// The same parameter with other values.
fn set<const D: usize>(param: Param<Tensor<D>>, values: Vec<f32>) -> Param<Tensor<D>> {
    param.map(|old| {
        Tensor::from_data(TensorData::new(values, old.dims()), &old.device()).set_require_grad(false)
    })
}

impl Codebook {
    /// Codes that are latents of a first batch ([`donors`]), each with a running count of 1, or the one of a restart.
    pub fn initialise(self, how: &CodebookUpdate, donors: Vec<f32>) -> Self {
        let count = if how.restart_count > 0.0 { how.restart_count } else { 1.0 };
        let [codes, channels] = self.embeddings.val().dims();
        assert_eq!(donors.len(), codes * channels, "{codes} codes of {channels}");
        Self {
            embeddings: set(self.embeddings, donors.clone()),
            n: set(self.n, vec![count; codes]),
            z_avg: set(self.z_avg, donors.into_iter().map(|v| v * count).collect()),
        }
    }

    /// The codebook after a batch whose latents `z` chose the codes `indices`. Restarted codes take their own row of `donors`;
    /// their running count and sum stay (pitfall B8).
    ///
    /// # Shapes
    /// `z` `[B, C, D, H, W]`, `indices` `[B * D * H * W]`, `donors` codes × C.
    pub fn update(
        self,
        how: &CodebookUpdate,
        z: Tensor<5>,
        indices: Tensor<1, Int>,
        donors: Vec<f32>,
    ) -> Self {
        let [codes, channels] = self.embeddings.val().dims();
        let (rows, indices) = (rows(&z), host(indices));
        assert_eq!(rows.len(), indices.len() * channels, "one code for each latent");
        assert_eq!(donors.len(), codes * channels, "{codes} codes of {channels}");
        let (mut counts, mut sums) = (vec![0f32; codes], vec![0f64; codes * channels]);
        for (row, &k) in rows.chunks_exact(channels).zip(&indices) {
            counts[k] += 1.0;
            for (sum, v) in sums[k * channels..][..channels].iter_mut().zip(row) {
                *sum += f64::from(*v);
            }
        }
        let mean = |old: &f32, new: f32| how.decay * old + (1.0 - how.decay) * new;
        let mut n: Vec<f32> = values(&self.n).iter().zip(counts).map(|(old, new)| mean(old, new)).collect();
        let mut z_avg: Vec<f32> =
            values(&self.z_avg).iter().zip(sums).map(|(old, new)| mean(old, new as f32)).collect();
        let total = n.iter().copied().map(f64::from).sum::<f64>() as f32;
        let weight = |n: f32| (n + LAPLACE) / (total + codes as f32 * LAPLACE) * total;
        let mut embeddings = donors;
        for (k, n) in n.iter_mut().enumerate() {
            let own = k * channels..(k + 1) * channels;
            if *n >= how.restart_below {
                own.for_each(|i| embeddings[i] = z_avg[i] / weight(*n));
            } else if how.restart_count > 0.0 {
                *n = how.restart_count;
                own.for_each(|i| z_avg[i] = embeddings[i] * how.restart_count);
            }
        }
        Self {
            embeddings: set(self.embeddings, embeddings),
            n: set(self.n, n),
            z_avg: set(self.z_avg, z_avg),
        }
    }
}

impl Autoencoder {
    /// The same autoencoder with another codebook.
    pub fn with_codebook(mut self, codebook: Codebook) -> Self {
        let shape = |c: &Codebook| c.embeddings.val().dims();
        assert_eq!(shape(&codebook), shape(&self.codebook), "a codebook of another shape");
        self.codebook = codebook;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use difftumor_ct::draws::Stream;

    fn codebook(embeddings: &[f32], n: &[f32], z_avg: &[f32]) -> Codebook {
        let c = Codebook::new(n.len(), embeddings.len() / n.len(), &Device::flex());
        Codebook {
            embeddings: set(c.embeddings, embeddings.to_vec()),
            n: set(c.n, n.to_vec()),
            z_avg: set(c.z_avg, z_avg.to_vec()),
        }
    }

    fn latents(rows: &[[f32; 2]]) -> Tensor<5> {
        let first_channel = rows.iter().map(|r| r[0]);
        let values: Vec<f32> = first_channel.chain(rows.iter().map(|r| r[1])).collect();
        Tensor::from_data(TensorData::new(values, [1, 2, 1, 1, rows.len()]), &Device::flex())
    }

    fn ints(values: &[i64]) -> Tensor<1, Int> {
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &Device::flex())
    }

    fn close(ours: &[f32], want: &[f32]) {
        // Numbers of order 1 after some five roundings.
        assert!(
            ours.len() == want.len() && ours.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5),
            "{ours:?} {want:?}"
        );
    }

    #[test]
    fn a_step_by_hand() {
        let book = codebook(&[9.0; 6], &[2.0, 4.0, 0.0], &[2.0, 0.0, 4.0, 4.0, 0.0, 0.0]);
        let how = CodebookUpdate { decay: 0.5, restart_below: 1.0, restart_count: 0.0 };
        let donors = vec![7.0, 7.0, 7.0, 7.0, 5.0, 6.0];
        let z = latents(&[[1.0, 2.0], [3.0, 0.0], [10.0, 10.0]]);
        let after = book.clone().update(&how, z.clone(), ints(&[0, 0, 1]), donors.clone());
        // Code 0: n = (2 + 2) / 2, sum = ((2, 0) + (4, 2)) / 2; code 1: n = 2.5, sum = (7, 7); code 2: nothing, so restarted.
        close(&values(&after.n), &[2.0, 2.5, 0.0]);
        close(&values(&after.z_avg), &[3.0, 1.0, 7.0, 7.0, 0.0, 0.0]);
        close(&values(&after.embeddings), &[1.5, 0.5, 2.8, 2.8, 5.0, 6.0]);
        let kept = book.update(&CodebookUpdate { restart_below: 0.0, ..how }, z, ints(&[0, 0, 1]), donors);
        close(&values(&kept.embeddings), &[1.5, 0.5, 2.8, 2.8, 0.0, 0.0]);
    }

    #[test]
    fn rows_of_a_batch_are_in_the_order_of_the_indices() {
        let z = Tensor::from_data(
            TensorData::new((0..24).map(|v| v as f32).collect::<Vec<_>>(), [2, 2, 1, 2, 3]),
            &Device::flex(),
        );
        let rows = rows(&z);
        assert_eq!(rows[..4], [0.0, 6.0, 1.0, 7.0]);
        assert_eq!(rows[12..14], [12.0, 18.0]);
    }

    #[test]
    fn donors_are_latents_without_repetition() {
        let mut draws = Stream::new(3, 0, "donors", 0);
        let many: Vec<f32> = (0..200).map(|v| v as f32).collect();
        let drawn = donors(&many, 30, 2, &mut draws);
        let mut first: Vec<usize> = drawn.chunks_exact(2).map(|r| r[0] as usize).collect();
        assert!(drawn.chunks_exact(2).all(|r| (r[0] as usize).is_multiple_of(2) && r[1] == r[0] + 1.0));
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 30);
        // Three latents for eight codes: repeated three times, so each two or three times, six deviations apart at most.
        let few = donors(&[0.0, 0.0, 10.0, 10.0, 20.0, 20.0], 8, 2, &mut draws);
        let mut counts = [0; 3];
        for row in few.chunks_exact(2) {
            counts[(row[0] / 10.0).round() as usize] += 1;
            assert!(row.iter().all(|v| (v - (v / 10.0).round() * 10.0).abs() < 0.06 / 2f32.sqrt()));
        }
        assert!(counts.iter().all(|n| (2..=3).contains(n)), "{counts:?}");
    }

    #[test]
    fn initialised_codes_are_the_donors() {
        let book = codebook(&[9.0; 4], &[5.0; 2], &[0.0; 4])
            .initialise(&CodebookUpdate::default(), vec![1.0, 2.0, 3.0, 4.0]);
        assert_eq!(values(&book.embeddings), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(values(&book.z_avg), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(values(&book.n), [1.0, 1.0]);
    }

    #[test]
    fn perplexity_counts_codes() {
        assert!((perplexity(ints(&[0, 1, 2, 3]), 8) - 4.0).abs() < 1e-6); // the 1e-10 in the logarithm
        assert!((perplexity(ints(&[5, 5, 5]), 8) - 1.0).abs() < 1e-6);
    }
}
