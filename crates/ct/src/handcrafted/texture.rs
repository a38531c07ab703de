//! The mottled texture of Hu et al. 2023, for just the box that needs it.
//!
//! The published recipe ([`texture_from_noise`]): smooth noise `a` (Gaussian, `sigma_a`), stretched from its smallest to
//! its largest value, is the density of salt noise, which is blurred (`sigma_b`) and scaled to a wanted mean. The
//! original does this in 420x300x320 voxels and cuts boxes out. Two numbers depend on that whole texture, so a box
//! cannot know them; [`texture`] takes them from the same distribution's theory instead:
//! * smallest and largest value of `a`: each is drawn, in standard deviations from the mean, with the mean and spread
//!   measured on full-size textures (`EXTREME_SD`, which hardly depends on `sigma_a`);
//! * mean of the blurred salt over what exceeds 0.12: that of a normal variable with the known mean and variance
//!   (within 2 % of the measured one).
//!
//! `a` itself is made without a margin of noise: Gaussian-filtered white noise is, but for the grain below one voxel, a
//! stationary Gaussian field with covariance `exp(-d²/4 sigma_a²)`, and so is a lattice of normals with spacing
//! `sigma_a` under the same Gaussian kernel (to 1 part in 10⁴, by Poisson's summation formula). For sigma 15 and a box
//! of 96 voxels that is 25³ numbers instead of 272³.
use crate::draws::Draws;
use crate::filter::gaussian_f64;
use ndarray::Array3;
use rayon::prelude::*;
use std::f64::consts::PI;

/// The ten textures: (`sigma_a`, `sigma_b`) in voxels.
pub const SIGMAS_VOX: [(f64, f64); 10] = [
    (3.0, 4.0),
    (3.0, 7.0),
    (6.0, 4.0),
    (6.0, 7.0),
    (9.0, 4.0),
    (9.0, 7.0),
    (12.0, 4.0),
    (12.0, 7.0),
    (15.0, 4.0),
    (15.0, 7.0),
];

/// Blurred salt at or below this value does not count for the mean.
const SALT_FLOOR: f64 = 0.12;

/// Distance of the smallest and of the largest value of a full-size `a` from its mean, in its standard deviations far
/// from the borders: mean and standard deviation of 20 measured ones (the ignored test `measure_full_size_textures`).
/// Reflection at the borders doubles the variance of `a` at each face, so extremes are larger than an interior has.
const EXTREME_SD: (f64, f64) = (6.14, 0.6);

/// What is drawn per texture besides noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextureParams {
    /// Blur of the density of the salt.
    pub sigma_a_vox: f64,
    /// Blur of the salt.
    pub sigma_b_vox: f64,
    /// Range of the density; drawn from 0.19..0.21.
    pub scale: f64,
    /// Smallest density; drawn from 0.04..0.06.
    pub base: f64,
    /// Mean of the texture where there is any; drawn from 0.5..0.55.
    pub mean: f64,
}

/// The published texture, given its two arrays of uniform noise.
///
/// # Panics
/// When the shapes differ.
pub fn texture_from_noise(noise_a: &Array3<f64>, noise_b: &Array3<f64>, p: &TextureParams) -> Array3<f64> {
    assert_eq!(noise_a.dim(), noise_b.dim(), "noise a and b");
    let mut a = gaussian_f64(noise_a, [p.sigma_a_vox; 3]);
    let (low, high) = a.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    a.zip_mut_with(noise_b, |v, u| {
        let density = p.scale * (*v - low) / (high - low) + p.base;
        *v = f64::from(u8::from(density > *u));
    });
    let mut b = gaussian_f64(&a, [p.sigma_b_vox; 3]);
    let (sum, n) = b.iter().filter(|v| **v > SALT_FLOOR).fold((0.0, 0.0), |(s, n), v| (s + v, n + 1.0));
    let beta = p.mean / (sum / n);
    b.mapv_inplace(|v| (beta * v).clamp(0.0, 1.0));
    b
}

/// Draws a texture of the published distribution, `[x, y, z]`, in 0..1.
///
/// # Panics
/// When a sigma is not positive or the shape has a zero.
pub fn texture(shape: [usize; 3], sigma_a_vox: f64, sigma_b_vox: f64, draws: &mut impl Draws) -> Array3<f64> {
    assert!(
        sigma_a_vox > 0.0 && sigma_b_vox > 0.0,
        "sigmas {sigma_a_vox}, {sigma_b_vox}: expected more than 0"
    );
    assert!(shape.iter().all(|n| *n > 0), "shape {shape:?}");
    let p = TextureParams {
        sigma_a_vox,
        sigma_b_vox,
        scale: draws.uniform(0.19, 0.21),
        base: draws.uniform(0.04, 0.06),
        mean: draws.uniform(0.5, 0.55),
    };
    texture_with(shape, &p, draws)
}

/// [`texture`] with given parameters: only the noise is drawn.
fn texture_with(shape: [usize; 3], p: &TextureParams, draws: &mut impl Draws) -> Array3<f64> {
    let kernel = gaussian_kernel(p.sigma_b_vox);
    let padded = shape.map(|n| n + kernel.len() - 1);
    let mut extremes = [0.0; 2];
    draws.normals(&mut extremes);
    // Two and a half standard deviations of the extremes: beyond lie only the tails of a normal that extremes lack.
    let [below, above] = extremes.map(|z| EXTREME_SD.0 + EXTREME_SD.1 * z.clamp(-2.5, 2.5));
    let field = draw_field(padded, p.sigma_a_vox, draws);
    let salt: Vec<f32> = (field.iter())
        .map(|g| {
            let a = ((f64::from(*g) + below) / (below + above)).clamp(0.0, 1.0);
            f32::from(u8::from(p.scale * a + p.base > draws.uniform(0.0, 1.0)))
        })
        .collect();
    let beta = p.mean / mean_above_floor(p, below, above);
    // Each pass keeps only what the next needs: no margin is blurred along the axes already done.
    let taps =
        |n: usize| -> Vec<Taps> { (0..n).map(|first| Taps { first, weights: kernel.clone() }).collect() };
    let blurred = apply_separably(salt, padded, &shape.map(taps));
    Array3::from_shape_vec(shape, blurred)
        .expect("as many voxels as the shape")
        .mapv(|b| (beta * f64::from(b)).clamp(0.0, 1.0))
}

/// Mean of the blurred salt over the voxels where it exceeds `SALT_FLOOR`, as that of a normal variable: mean
/// of the density, variance of the blurred density plus that of the blurred salt around it. `below` and `above` are the
/// extremes of `a` in standard deviations.
fn mean_above_floor(p: &TextureParams, below: f64, above: f64) -> f64 {
    let mean = p.scale * below / (below + above) + p.base;
    // Blurring by b after a is blurring by sqrt(a² + b²).
    let kept = (p.sigma_a_vox.powi(2) / (p.sigma_a_vox.powi(2) + p.sigma_b_vox.powi(2))).powi(3).sqrt();
    let density = (p.scale / (below + above)).powi(2) * kept;
    // Sum of the squared weights of a 3-D Gaussian kernel: 1 / (2 sigma sqrt(pi))³.
    let salt = mean * (1.0 - mean) / (2.0 * p.sigma_b_vox * PI.sqrt()).powi(3);
    let sd = (density + salt).sqrt();
    let z = (SALT_FLOOR - mean) / sd;
    let above = 0.5 * (1.0 - libm::erf(z / 2f64.sqrt()));
    mean + sd * libm::exp(-0.5 * z * z) / (2.0 * PI).sqrt() / above
}

/// scipy's kernel: cut at `int(4 sigma + 0.5)`, sum 1.
fn gaussian_kernel(sigma_vox: f64) -> Vec<f32> {
    let radius = (4.0 * sigma_vox + 0.5) as i64;
    let weight = |k: i64| libm::exp(-0.5 * (k * k) as f64 / (sigma_vox * sigma_vox));
    let sum: f64 = (-radius..=radius).map(weight).sum();
    (-radius..=radius).map(|k| (weight(k) / sum) as f32).collect()
}

/// A stationary Gaussian field of variance 1 and covariance `exp(-d²/4 sigma²)`: see the head of this file.
fn draw_field(shape: [usize; 3], sigma_vox: f64, draws: &mut impl Draws) -> Vec<f32> {
    const REACH: i64 = 4; // sigmas, as far as scipy's kernel
    let lattice = shape.map(|n| ((n as f64 - 1.0) / sigma_vox).floor() as usize + 2 * REACH as usize + 2);
    let mut normals = vec![0.0; lattice.iter().product()];
    draws.normals(&mut normals);
    let nodes = normals.into_iter().map(|v| v as f32).collect();
    // Sum of the squared weights per axis is sqrt(pi) wherever the voxel lies between the nodes.
    let norm = PI.powf(-0.25);
    let taps = |n: usize| -> Vec<Taps> {
        let at = |voxel: usize| {
            let position = voxel as f64 / sigma_vox; // in node spacings from node REACH
            let first = position.floor() as i64 - REACH + 1;
            let weight = |node: i64| norm * libm::exp(-0.5 * (position - node as f64).powi(2));
            let weights = (first..first + 2 * REACH).map(|node| weight(node) as f32).collect();
            Taps { first: (first + REACH) as usize, weights }
        };
        (0..n).map(at).collect()
    };
    apply_separably(nodes, lattice, &shape.map(taps))
}

/// The inputs of one output along one axis: `weights` for the indices from `first` on.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// Applies a linear map per axis, x first. `taps[axis]` has one entry per output index.
fn apply_separably(data: Vec<f32>, shape: [usize; 3], taps: &[Vec<Taps>; 3]) -> Vec<f32> {
    let (mut data, mut shape) = (data, shape);
    // The axis that shrinks most (or grows least) first would be best; x, y, z is within a few percent for our boxes.
    for (axis, taps) in taps.iter().enumerate() {
        let n = shape[axis];
        let inner: usize = shape[axis + 1..].iter().product();
        shape[axis] = taps.len();
        let mut out = vec![0.0; shape.iter().product()];
        if inner == 1 {
            out.par_chunks_mut(taps.len()).zip(data.par_chunks(n)).for_each(|(out, line)| {
                for (o, t) in out.iter_mut().zip(taps) {
                    *o = dot(&line[t.first..t.first + t.weights.len()], &t.weights);
                }
            });
        } else {
            out.par_chunks_mut(inner).enumerate().for_each(|(row, out)| {
                let t = &taps[row % taps.len()];
                let src = &data[row / taps.len() * n * inner..][..n * inner];
                combine_rows(out, src, t);
            });
        }
        data = out;
    }
    data
}

/// `out += sum of weight * row`, in blocks that stay in the first-level cache.
fn combine_rows(out: &mut [f32], src: &[f32], taps: &Taps) {
    const BLOCK: usize = 2048;
    let inner = out.len();
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        for (k, w) in taps.weights.iter().enumerate() {
            let row = &src[(taps.first + k) * inner + block * BLOCK..][..out.len()];
            out.iter_mut().zip(row).for_each(|(o, v)| *o += w * v);
        }
    }
}

/// Dot product in eight partial sums, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let (a8, b8) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for l in 0..LANES {
            sums[l] += x[l] * y[l];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Stream;
    use crate::filter::gaussian;

    /// Lags in voxels at which the autocorrelation is looked at.
    const LAGS: [usize; 3] = [4, 8, 16];

    /// Mean, standard deviation, autocorrelation at [`LAGS`].
    type Statistics = (f64, f64, [f64; 3]);

    /// Mean, standard deviation and autocorrelations along x of several textures together.
    fn statistics(textures: &[Array3<f64>]) -> Statistics {
        let n: f64 = textures.iter().map(|t| t.len() as f64).sum();
        let mean = textures.iter().map(|t| t.sum()).sum::<f64>() / n;
        let variance = textures.iter().flatten().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let correlation = LAGS.map(|lag| {
            let (mut sum, mut pairs) = (0.0, 0.0);
            for t in textures {
                for x in lag..t.dim().0 {
                    let (a, b) = (t.index_axis(ndarray::Axis(0), x), t.index_axis(ndarray::Axis(0), x - lag));
                    sum += a.iter().zip(b).map(|(p, q)| (p - q).powi(2)).sum::<f64>();
                    pairs += a.len() as f64;
                }
            }
            // By differences: small boxes do not fix the mean well, and differences do not need it.
            1.0 - 0.5 * sum / pairs / variance
        });
        (mean, variance.sqrt(), correlation)
    }

    /// Mean, standard deviation and autocorrelations of full-size textures (scale 0.2, base 0.05, mean 0.525), averages
    /// of the two that `measure_full_size_textures` makes.
    const FULL_SIZE: [((f64, f64), Statistics); 4] = [
        ((3.0, 4.0), (0.5243, 0.0361, [0.812, 0.446, 0.045])),
        ((6.0, 7.0), (0.5249, 0.0346, [0.944, 0.807, 0.437])),
        ((9.0, 4.0), (0.5198, 0.0597, [0.926, 0.767, 0.445])),
        ((15.0, 7.0), (0.5176, 0.0605, [0.974, 0.919, 0.745])),
    ];

    #[test]
    fn textures_on_demand_have_the_statistics_of_full_size_ones() {
        for ((sigma_a_vox, sigma_b_vox), (mean, sd, correlation)) in FULL_SIZE {
            let p = TextureParams { sigma_a_vox, sigma_b_vox, scale: 0.2, base: 0.05, mean: 0.525 };
            let boxes: Vec<_> = (0..40)
                .map(|i| texture_with([48, 48, 48], &p, &mut Stream::new(3, 0, "statistics", i)))
                .collect();
            let found = statistics(&boxes);
            println!("{sigma_a_vox} {sigma_b_vox}: {found:.4?} against {:.4?}", (mean, sd, correlation));
            // The extremes scatter by 10 %, so the standard deviation of one full-size texture by 7 %; the table
            // averages two, the boxes 40.
            assert!((found.0 - mean).abs() < 0.015 && (found.1 / sd - 1.0).abs() < 0.15);
            assert!((0..3).all(|i| (found.2[i] - correlation[i]).abs() < 0.06));
        }
    }

    #[test]
    fn the_field_has_unit_variance_and_its_covariance() {
        // At voxels that lie on, between and beside the nodes of the lattice alike.
        let sigma_vox: f64 = 3.0;
        let (mut square, mut product, n) = ([0.0; 4], 0.0, 4000);
        for i in 0..n {
            let field = draw_field([4, 1, 1], sigma_vox, &mut Stream::new(4, 0, "field", i));
            (0..4).for_each(|x| square[x] += f64::from(field[x]).powi(2) / n as f64);
            product += f64::from(field[0]) * f64::from(field[3]) / n as f64;
        }
        // Five standard errors of a variance from 4000 samples: 5 sqrt(2 / 4000).
        assert!(square.iter().all(|s| (s - 1.0).abs() < 0.11), "{square:?}");
        assert!((product - (-9.0 / (4.0 * sigma_vox * sigma_vox)).exp()).abs() < 0.11, "{product}");
    }

    #[test]
    fn the_same_stream_gives_the_same_texture_whatever_the_threads() {
        let draw = || texture([20, 21, 22], 9.0, 4.0, &mut Stream::new(5, 0, "threads", 0));
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(draw);
        assert_eq!(single, rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap().install(draw));
        assert_eq!(single.dim(), (20, 21, 22));
        assert!(single.iter().all(|v| (0.0..=1.0).contains(v)));
    }

    /// Prints EXTREME_SD's sample and the FULL_SIZE table below. Needs 1 GB and some minutes:
    /// `cargo test --release -p difftumor-ct measure_full_size -- --ignored --nocapture`
    #[test]
    #[ignore = "minutes; prints the constants of this file"]
    fn measure_full_size_textures() {
        const SHAPE: (usize, usize, usize) = (420, 300, 320);
        for sigma_a_vox in [3.0, 6.0, 9.0, 12.0, 15.0] {
            for seed in 0..2 {
                let mut draws = Stream::new(seed, 0, "full size", sigma_a_vox as u64);
                let mut noise = || Array3::from_shape_simple_fn(SHAPE, || draws.uniform(0.0, 1.0) as f32);
                let a = gaussian(&noise(), [sigma_a_vox; 3]);
                let (low, high) = a.iter().fold((1f32, 0f32), |(l, h), v| (l.min(*v), h.max(*v)));
                let sd = (12f64.recip() / (2.0 * sigma_a_vox * PI.sqrt()).powi(3)).sqrt();
                let (below, above) = ((0.5 - f64::from(low)) / sd, (f64::from(high) - 0.5) / sd);
                println!("sigma_a {sigma_a_vox} seed {seed}: extremes {below:.3} sd below, {above:.3} above");
                let u = noise();
                let salt = ndarray::Zip::from(&a)
                    .and(&u)
                    .map_collect(|a, u| f32::from(u8::from(0.2 * (a - low) / (high - low) + 0.05 > *u)));
                for sigma_b_vox in [4.0, 7.0] {
                    let b = gaussian(&salt, [sigma_b_vox; 3]);
                    let (sum, n) = (b.iter().filter(|v| f64::from(**v) > SALT_FLOOR))
                        .fold((0.0, 0.0), |(s, n), v| (s + f64::from(*v), n + 1.0));
                    let p = TextureParams { sigma_a_vox, sigma_b_vox, scale: 0.2, base: 0.05, mean: 0.525 };
                    let theory = mean_above_floor(&p, below, above);
                    let beta = 0.525 / (sum / n);
                    let t = b.mapv(|v| (beta * f64::from(v)).clamp(0.0, 1.0));
                    println!(
                        "  sigma_b {sigma_b_vox}: floor mean {:.5} theory {theory:.5}; {:.4?}",
                        sum / n,
                        statistics(&[t])
                    );
                }
            }
        }
    }
}
