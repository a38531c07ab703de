//! What an autoencoder is held against: averages over as many voxels as a code stands for, and what the scanner's noise lets
//! any code of so many bits reach.
use difftumor_ct::patch::{Fill, crop};
use difftumor_ct::resample::{Outside, cubic};
use difftumor_ct::{Affine, Grid, Volume};
use ndarray::Array3;
use rayon::prelude::*;

/// Side of the blocks that are averaged.
const POOL: usize = 4;

/// Means of 4³ blocks (the last repeat the image's end), brought back by cubic splines: what remains with one number for as
/// many voxels as a published code stands for. −1..1.
///
/// # Errors
/// When the image is empty.
pub fn pooled(image: &Array3<f32>) -> difftumor_ct::Result<Array3<f32>> {
    let (nx, ny, nz) = image.dim();
    let blocks = [nx, ny, nz].map(|n| n.div_ceil(POOL));
    let padded = crop(image, [0; 3], blocks.map(|n| n * POOL), Fill::Edge);
    let mean = |(x, y, z): (usize, usize, usize)| {
        let block = ndarray::s![x * POOL..(x + 1) * POOL, y * POOL..(y + 1) * POOL, z * POOL..(z + 1) * POOL];
        padded.slice(block).iter().copied().map(f64::from).sum::<f64>() as f32 / (POOL * POOL * POOL) as f32
    };
    // A block's mean belongs to its middle.
    let mut affine = Affine::from_spacing_mm([POOL as f64; 3]);
    (0..3).for_each(|r| affine.0[r][3] = (POOL as f64 - 1.0) / 2.0);
    let means = Volume { data: Array3::from_shape_fn(blocks, mean), affine };
    let fine = Grid { shape: [nx, ny, nz], affine: Affine::from_spacing_mm([1.0; 3]) };
    Ok(cubic(&means, &fine, Outside::Edge)?.data.mapv_into(|v| v.clamp(-1.0, 1.0)))
}

/// The noise of a scan, in the units of its voxels.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    /// Share of the 2³ blocks that lie wholly inside of the window.
    pub share: f64,
    /// Variance in each of the seven detail bands of an orthonormal Haar transform of those blocks.
    pub variances: [f64; 7],
}

/// Estimates noise (Donoho and Johnstone 1994): the median of |detail coefficients| / 0.6745 is the standard deviation of
/// Gaussian noise, and hardly moved by edges. Blocks with a voxel at the window's ends (−1 or 1) do not count: clipping
/// took their noise away. `None` when there is no block, or no noise.
pub fn noise(image: &Array3<f32>) -> Option<Noise> {
    let (nx, ny, nz) = image.dim();
    let planes: Vec<Vec<[f32; 8]>> =
        (0..nx / 2).into_par_iter().map(|x| blocks_of_plane(image, x, [ny / 2, nz / 2])).collect();
    let blocks: usize = planes.iter().map(Vec::len).sum();
    if blocks == 0 {
        return None;
    }
    let variances = std::array::from_fn(|band| {
        let mut sizes: Vec<f32> =
            planes.iter().flatten().map(|block| detail(block, band + 1).abs()).collect();
        let middle = sizes.len() / 2;
        let (_, median, _) = sizes.select_nth_unstable_by(middle, f32::total_cmp);
        (f64::from(*median) / 0.6745).powi(2)
    });
    let share = blocks as f64 / ((nx / 2) * (ny / 2) * (nz / 2)) as f64;
    variances.iter().any(|v| *v > 0.0).then_some(Noise { share, variances })
}

fn blocks_of_plane(image: &Array3<f32>, x: usize, [ny, nz]: [usize; 2]) -> Vec<[f32; 8]> {
    let mut blocks = vec![];
    for y in 0..ny {
        for z in 0..nz {
            let block: [f32; 8] =
                std::array::from_fn(|i| image[[2 * x + (i >> 2), 2 * y + (i >> 1 & 1), 2 * z + (i & 1)]]);
            if block.iter().all(|v| *v > -1.0 && *v < 1.0) {
                blocks.push(block);
            }
        }
    }
    blocks
}

/// Coefficient `band` (0: the mean's) of the orthonormal Haar transform of a 2³ block.
fn detail(block: &[f32; 8], band: usize) -> f32 {
    let signed =
        block.iter().enumerate().map(|(i, v)| if (i & band).count_ones() % 2 == 1 { -v } else { *v });
    signed.sum::<f32>() / 8f32.sqrt()
}

impl Noise {
    /// Root mean square of the noise in the detail bands.
    pub fn deviation(&self) -> f64 {
        (self.variances.iter().sum::<f64>() / 7.0).sqrt()
    }

    /// The PSNR that no code of `bits_per_voxel` can pass, should it know everything but the noise: Shannon's
    /// rate-distortion function of Gaussian noise, all bits spent on it, water-filled over the bands (Cover and Thomas,
    /// section 10.3). It lets the lowest band and clipped voxels go for nothing, so it is generous there; it takes noise as
    /// white within each band, and fine texture as noise. An estimate therefore, and not a proof.
    pub fn psnr_bound_db(&self, bits_per_voxel: f64, data_range: f64) -> f64 {
        let bits = bits_per_voxel / self.share;
        // Bits for each voxel of the blocks at distortion `level`: each band holds an eighth of the coefficients.
        let rate =
            |level: f64| self.variances.iter().map(|v| (v / level).log2().max(0.0) / 16.0).sum::<f64>();
        let (mut low, mut high) = (0.0, self.variances.iter().copied().fold(0.0, f64::max));
        // Each halving gains a bit: the level is known as well as f64 can hold it.
        for _ in 0..64 {
            let middle = 0.5 * (low + high);
            if rate(middle) > bits { low = middle } else { high = middle }
        }
        let distortion = self.variances.iter().map(|v| v.min(high) / 8.0).sum::<f64>() * self.share;
        super::similarity::psnr_db(distortion, data_range)
    }
}

#[cfg(test)]
mod tests {
    use super::super::similarity::tests::fixture;
    use super::super::similarity::{mean_squared_error, psnr_db};
    use super::*;
    use difftumor_ct::draws::{Draws, Stream};

    #[test]
    fn pooling_is_that_of_the_reference() {
        let (a, _, figures) = fixture();
        let ours = psnr_db(mean_squared_error(&a, &pooled(&a).unwrap()), 2.0);
        let theirs = figures["psnr_pool4_db"].as_f64().unwrap();
        // Splines of single precision, on errors of 0.1.
        assert!((ours - theirs).abs() < 1e-5 * theirs, "{ours} {theirs}");
        let flat = Array3::from_elem((5, 6, 7), 0.25);
        assert!(pooled(&flat).unwrap().iter().all(|v| (v - 0.25).abs() < 1e-6));
    }

    #[test]
    fn white_noise_is_found_and_bounded_as_by_hand() {
        let sigma = 0.05;
        let mut draws = vec![0.0; 48 * 48 * 48];
        Stream::new(1, 0, "noise", 0).normals(&mut draws);
        let mut image = Array3::from_shape_vec((48, 48, 48), draws).unwrap().mapv(|v| (sigma * v) as f32);
        let found = noise(&image).unwrap();
        assert_eq!(found.share, 1.0);
        // 13824 blocks: the median of each band is known to 1.2 %.
        assert!((found.deviation() / sigma - 1.0).abs() < 0.02, "{found:?}");
        let rate: f64 = 14.0 / 64.0;
        let exact = Noise { share: 1.0, variances: [sigma * sigma; 7] };
        let noise_free = psnr_db(7.0 / 8.0 * sigma * sigma, 2.0);
        assert!((exact.psnr_bound_db(0.0, 2.0) - noise_free).abs() < 1e-9);
        let by_hand = 7.0 / 8.0 * sigma * sigma * (-2.0 * rate * 8.0 / 7.0).exp2();
        assert!((exact.psnr_bound_db(rate, 2.0) - psnr_db(by_hand, 2.0)).abs() < 1e-9);
        // Air on one half: half the noise, twice the bits for it.
        image.slice_mut(ndarray::s![..24, .., ..]).fill(-1.0);
        let half = noise(&image).unwrap();
        assert_eq!(half.share, 0.5);
        let by_hand = 0.5 * 7.0 / 8.0 * sigma * sigma * (-2.0 * 2.0 * rate * 8.0 / 7.0).exp2();
        let exact = Noise { share: 0.5, ..exact };
        assert!((exact.psnr_bound_db(rate, 2.0) - psnr_db(by_hand, 2.0)).abs() < 1e-9);
        assert_eq!(noise(&Array3::from_elem((8, 8, 8), 0.5)), None);
        assert_eq!(noise(&Array3::from_elem((8, 8, 8), -1.0)), None);
    }

    #[test]
    fn bands_of_little_noise_get_no_bits() {
        // One band holds nearly all: its 1/8 of the coefficients gets all bits.
        let mut variances = [1e-6; 7];
        variances[2] = 0.04;
        let noise = Noise { share: 1.0, variances };
        let by_hand = (0.04 * (-16.0 * 0.2f64).exp2() + 6e-6) / 8.0;
        assert!((noise.psnr_bound_db(0.2, 2.0) - psnr_db(by_hand, 2.0)).abs() < 1e-9);
    }
}
