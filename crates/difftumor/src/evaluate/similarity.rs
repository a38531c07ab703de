//! How alike two images are: PSNR, SSIM, and whether an error jumps where tiles meet.
//!
//! Sums are taken by planes or blocks of fixed size and joined in order: equal bits for any number of threads.
use ndarray::{Array3, Axis, Zip, s};
use rayon::prelude::*;

/// Half of SSIM's window: 3.5 standard deviations of 1.5 voxels, as scikit-image truncates.
const RADIUS: usize = 5;
const SIGMA_VOX: f64 = 1.5;
/// Side of a block of SSIM's, on the first two axes: with its surroundings and five maps 5.6 MB for lines of 500 voxels.
const BLOCK: usize = 16;

/// Mean of `f` over the pairs of voxels.
fn mean_of(a: &Array3<f32>, b: &Array3<f32>, f: impl Fn(f64) -> f64 + Sync) -> f64 {
    assert_eq!(a.dim(), b.dim(), "images");
    let planes = (a.axis_iter(Axis(0)).into_par_iter()).zip(b.axis_iter(Axis(0)));
    let sums: Vec<f64> = planes
        .map(|(a, b)| Zip::from(&a).and(&b).fold(0.0, |sum, a, b| sum + f(f64::from(*a) - f64::from(*b))))
        .collect();
    sums.iter().sum::<f64>() / a.len() as f64
}

/// Mean squared difference.
pub fn mean_squared_error(a: &Array3<f32>, b: &Array3<f32>) -> f64 {
    mean_of(a, b, |d| d * d)
}

/// Mean absolute difference.
pub fn mean_absolute_error(a: &Array3<f32>, b: &Array3<f32>) -> f64 {
    mean_of(a, b, f64::abs)
}

/// Peak signal-to-noise ratio; infinite for equal images.
pub fn psnr_db(mean_squared_error: f64, data_range: f64) -> f64 {
    10.0 * (data_range * data_range / mean_squared_error).log10()
}

/// Structural similarity (Wang et al. 2004) in three dimensions: the mean over all voxels whose window lies inside, as
/// scikit-image's `structural_similarity` with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.
/// `None` when a side is shorter than the window of 11.
pub fn ssim(a: &Array3<f32>, b: &Array3<f32>, data_range: f64) -> Option<f64> {
    assert_eq!(a.dim(), b.dim(), "images");
    let inner = [0, 1, 2].map(|axis| a.len_of(Axis(axis)).saturating_sub(2 * RADIUS));
    if inner.contains(&0) {
        return None;
    }
    let blocks: Vec<[usize; 2]> = (0..inner[0])
        .step_by(BLOCK)
        .flat_map(|x| (0..inner[1]).step_by(BLOCK).map(move |y| [x, y]))
        .collect();
    let sum_of = |[x, y]: &[usize; 2]| {
        let end = |start: usize, n: usize| (start + BLOCK).min(n) + 2 * RADIUS;
        let part = s![*x..end(*x, inner[0]), *y..end(*y, inner[1]), ..];
        let part = |image: &Array3<f32>| image.slice(part).mapv(f64::from);
        block_sum(&part(a), &part(b), data_range)
    };
    let sums: Vec<f64> = blocks.par_iter().map(sum_of).collect();
    Some(sums.iter().sum::<f64>() / inner.iter().product::<usize>() as f64)
}

/// Sum of the SSIM of all voxels whose window lies inside.
fn block_sum(a: &Array3<f64>, b: &Array3<f64>, data_range: f64) -> f64 {
    let [c1, c2] = [0.01, 0.03].map(|k: f64| (k * data_range).powi(2));
    let product = |a: &Array3<f64>, b: &Array3<f64>| windowed(a * b);
    let (aa, bb, ab) = (product(a, a), product(b, b), product(a, b));
    let (a, b) = (windowed(a.clone()), windowed(b.clone()));
    let mut sum = 0.0;
    for ((((a, b), aa), bb), ab) in a.iter().zip(&b).zip(&aa).zip(&bb).zip(&ab) {
        let variances = aa - a * a + bb - b * b;
        let numerator = (2.0 * a * b + c1) * (2.0 * (ab - a * b) + c2);
        sum += numerator / ((a * a + b * b + c1) * (variances + c2));
    }
    sum
}

/// Means under the Gaussian window, where it lies inside.
fn windowed(mut image: Array3<f64>) -> Array3<f64> {
    let raw: [f64; 2 * RADIUS + 1] =
        std::array::from_fn(|i| (-0.5 * ((i as f64 - RADIUS as f64) / SIGMA_VOX).powi(2)).exp());
    let total: f64 = raw.iter().sum();
    for axis in [2, 1, 0] {
        let n = image.len_of(Axis(axis)) - 2 * RADIUS;
        let mut shape = image.raw_dim();
        shape[axis] = n;
        let mut out = Array3::zeros(shape);
        for (i, weight) in raw.iter().enumerate() {
            out.scaled_add(weight / total, &image.slice_axis(Axis(axis), (i..i + n).into()));
        }
        image = out;
    }
    image
}

/// Mean |difference between neighbouring voxels| of `error` across `borders` (for each axis, positions between which and
/// the voxel before tiles meet), divided by that one and two times `unit_vox` beside them: 1 means that no seam can be
/// seen. Decoders repeat a pattern with the side of a code, so only positions that differ by whole codes compare (with a
/// random decoder, borders that are none had 0.8 of the jumps beside them). `None` when there is no border, or nothing beside it.
pub fn seam_ratio(error: &Array3<f32>, borders: &[Vec<usize>; 3], unit_vox: usize) -> Option<f64> {
    let (mut across, mut beside) = (0.0, 0.0);
    for (axis, borders) in borders.iter().enumerate() {
        let n = error.len_of(Axis(axis));
        for border in borders {
            let near = [unit_vox, 2 * unit_vox].map(|d| [border.checked_sub(d), Some(border + d)]);
            let near: Vec<f64> = near
                .into_iter()
                .flatten()
                .flatten()
                .filter(|p| (1..n).contains(p) && !borders.contains(p))
                .map(|p| jump(error, axis, p))
                .collect();
            if !near.is_empty() {
                across += jump(error, axis, *border);
                beside += near.iter().sum::<f64>() / near.len() as f64;
            }
        }
    }
    (beside > 0.0).then(|| across / beside)
}

/// Sum of |error[p] − error[p − 1]| over a plane.
fn jump(error: &Array3<f32>, axis: usize, p: usize) -> f64 {
    let (below, above) = (error.index_axis(Axis(axis), p - 1), error.index_axis(Axis(axis), p));
    Zip::from(&below).and(&above).fold(0.0, |sum, a, b| sum + f64::from((b - a).abs()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The two images of `reference/image_quality_fixture.py`, and its figures.
    pub fn fixture() -> (Array3<f32>, Array3<f32>, serde_json::Value) {
        let make = |[smooth, fine, offset]: [f64; 3]| {
            Array3::from_shape_fn((17, 23, 14), |(x, y, z)| {
                let pattern = ((7 * x + 13 * y + 29 * z + x * y) % 101) as f64 / 50.0 - 1.0;
                let (x, y, z) = (x as f64, y as f64, z as f64);
                let wave = (0.31 * x + 0.2).sin() * (0.17 * y).cos() * (0.4 * z - 1.0).cos();
                (smooth * wave + fine * pattern + offset).clamp(-1.0, 1.0) as f32
            })
        };
        let figures = include_str!("../../tests/fixtures/image_quality.json");
        (make([0.9, 0.15, 0.0]), make([0.8, 0.05, 0.04]), serde_json::from_str(figures).unwrap())
    }

    #[test]
    fn figures_are_those_of_scikit_image() {
        let (a, b, figures) = fixture();
        let near = |ours: f64, name: &str| {
            // Inputs rounded to f32 (3e-8 of 1), figures of order 1 to 30.
            let theirs = figures[name].as_f64().unwrap();
            assert!((ours - theirs).abs() < 1e-6 * theirs, "{name}: {ours} {theirs}");
        };
        near(psnr_db(mean_squared_error(&a, &b), 2.0), "psnr_db");
        near(ssim(&a, &b, 2.0).unwrap(), "ssim");
        assert!((ssim(&a, &a, 2.0).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(psnr_db(mean_squared_error(&a, &a), 2.0), f64::INFINITY);
        assert_eq!(
            ssim(&a.slice(s![..10, .., ..]).to_owned(), &b.slice(s![..10, .., ..]).to_owned(), 2.0),
            None
        );
    }

    #[test]
    fn blocks_do_not_change_the_ssim() {
        // More than one block on both axes, the last ones narrower.
        let image = |k: usize| {
            Array3::from_shape_fn((45, 29, 12), |(x, y, z)| ((k * x + 5 * y + 11 * z) % 23) as f32 / 23.0)
        };
        let (a, b) = (image(3), image(7));
        let whole = block_sum(&a.mapv(f64::from), &b.mapv(f64::from), 1.0) / (35.0 * 19.0 * 2.0);
        assert!((ssim(&a, &b, 1.0).unwrap() - whole).abs() < 1e-12);
    }

    #[test]
    fn a_step_at_a_border_is_a_seam() {
        let noise =
            Array3::from_shape_fn((60, 20, 20), |(x, y, z)| ((17 * x + 7 * y + 3 * z) % 11) as f32 / 11.0);
        let borders = [vec![28, 33], vec![], vec![]];
        let ratio = seam_ratio(&noise, &borders, 4).unwrap();
        assert!((ratio - 1.0).abs() < 0.05, "{ratio}");
        let mut stepped = noise.clone();
        stepped.slice_mut(s![33.., .., ..]).mapv_inplace(|v| v + 2.0);
        assert!(seam_ratio(&stepped, &borders, 4).unwrap() > 2.0);
        assert_eq!(seam_ratio(&noise, &[vec![], vec![], vec![]], 4), None);
    }
}
