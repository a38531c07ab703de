//! Separable Gaussian blur, equal to `scipy.ndimage.gaussian_filter` (the authors blur masks and textures with it).
//!
//! The convention of scipy, which the goldens are made with: radius `int(4 sigma + 0.5)` (truncated at four
//! sigmas), weights normalised to sum 1, boundary "reflect" (`d c b a | a b c d | d c b a`: the edge voxel is
//! repeated), sums in f64, and the result of every axis rounded to the input's type before the next axis.
//! Axes are filtered in the order x, y, z. Arrays are `[x, y, z]` in C order.
use ndarray::Array3;
use rayon::prelude::*;

/// Voxels of one block of a row: its f64 sums (16 KiB) stay in the first-level cache.
const BLOCK: usize = 2048;

/// A voxel type that is summed in f64 and rounded back.
trait Real: Copy + Send + Sync {
    fn widen(self) -> f64;
    fn narrow(v: f64) -> Self;
}

impl Real for f32 {
    fn widen(self) -> f64 {
        f64::from(self)
    }
    fn narrow(v: f64) -> Self {
        v as f32
    }
}

impl Real for f64 {
    fn widen(self) -> f64 {
        self
    }
    fn narrow(v: f64) -> Self {
        v
    }
}

/// Gaussian blur with a standard deviation per axis, in voxels. An axis with sigma 0 is left as it is.
///
/// # Panics
/// When a sigma is negative or not finite.
pub fn gaussian(data: &Array3<f32>, sigma_vox: [f64; 3]) -> Array3<f32> {
    blur(data, sigma_vox)
}

/// [`gaussian`] for f64 voxels: nothing is rounded between the axes.
///
/// # Panics
/// When a sigma is negative or not finite.
pub fn gaussian_f64(data: &Array3<f64>, sigma_vox: [f64; 3]) -> Array3<f64> {
    blur(data, sigma_vox)
}

fn blur<T: Real>(data: &Array3<T>, sigma_vox: [f64; 3]) -> Array3<T> {
    assert!(sigma_vox.iter().all(|s| s.is_finite() && *s >= 0.0), "sigma {sigma_vox:?}: expected 0 or more");
    let dim = data.dim();
    let mut current: Vec<T> = data.iter().copied().collect();
    if !current.is_empty() {
        let mut next = current.clone();
        // [outer, n, inner] of the array as seen from each axis.
        let views = [(1, dim.0, dim.1 * dim.2), (dim.0, dim.1, dim.2), (dim.0 * dim.1, dim.2, 1)];
        for (axis, (_, n, inner)) in views.into_iter().enumerate() {
            // scipy skips such an axis too.
            if sigma_vox[axis] <= 1e-15 {
                continue;
            }
            let half = half_kernel(sigma_vox[axis]);
            if inner == 1 {
                next.par_chunks_mut(n)
                    .zip(current.par_chunks(n))
                    .for_each_init(Default::default, |work, (out, src)| filter_line(out, src, &half, work));
            } else {
                next.par_chunks_mut(inner).enumerate().for_each(|(row, out)| {
                    let first = row / n * n * inner;
                    filter_row(out, &current[first..first + n * inner], row % n, &half);
                });
            }
            std::mem::swap(&mut current, &mut next);
        }
    }
    Array3::from_shape_vec(dim, current).expect("as many voxels as before")
}

/// Weights at distance 0, 1, .. radius.
fn half_kernel(sigma_vox: f64) -> Vec<f64> {
    let radius = (4.0 * sigma_vox + 0.5) as usize;
    let weight = |k: usize| (-0.5 / (sigma_vox * sigma_vox) * (k * k) as f64).exp();
    let sum = weight(0) + 2.0 * (1..=radius).map(weight).sum::<f64>();
    (0..=radius).map(|k| weight(k) / sum).collect()
}

/// Index of position `i` (any integer) on a line of `n` voxels continued by reflection about its outer edges.
fn reflect(i: isize, n: usize) -> usize {
    let n = n as isize;
    let m = i.rem_euclid(2 * n);
    (if m < n { m } else { 2 * n - 1 - m }) as usize
}

/// One output row `at` of `n` rows of `out.len()` contiguous voxels. scipy adds from the outermost pair inwards;
/// the same order here makes the sums equal to the last bit.
fn filter_row<T: Real>(out: &mut [T], src: &[T], at: usize, half: &[f64]) {
    let inner = out.len();
    let n = src.len() / inner;
    let mut sums = [0.0_f64; BLOCK];
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let row = |i: isize| {
            let start = reflect(i, n) * inner + block * BLOCK;
            &src[start..start + out.len()]
        };
        let sums = &mut sums[..out.len()];
        for (s, v) in sums.iter_mut().zip(row(at as isize)) {
            *s = v.widen() * half[0];
        }
        for k in (1..half.len()).rev() {
            let (before, after) = (row(at as isize - k as isize), row(at as isize + k as isize));
            for ((s, a), b) in sums.iter_mut().zip(before).zip(after) {
                *s += (a.widen() + b.widen()) * half[k];
            }
        }
        for (o, s) in out.iter_mut().zip(sums) {
            *o = T::narrow(*s);
        }
    }
}

/// One contiguous line; `work` is scratch for the reflected line and the sums, in f64.
fn filter_line<T: Real>(out: &mut [T], src: &[T], half: &[f64], work: &mut [Vec<f64>; 2]) {
    let (n, radius) = (src.len(), half.len() - 1);
    let [line, sums] = work;
    line.clear();
    line.extend((0..radius).map(|i| src[reflect(i as isize - radius as isize, n)].widen()));
    line.extend(src.iter().map(|v| v.widen()));
    line.extend((n..n + radius).map(|i| src[reflect(i as isize, n)].widen()));
    sums.clear();
    sums.extend(line[radius..radius + n].iter().map(|v| v * half[0]));
    for k in (1..=radius).rev() {
        let pairs = line[radius - k..].iter().zip(&line[radius + k..]);
        for (s, (a, b)) in sums.iter_mut().zip(pairs) {
            *s += (a + b) * half[k];
        }
    }
    out.iter_mut().zip(sums).for_each(|(o, s)| *o = T::narrow(*s));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: a full 3-D weighted mean with reflected coordinates.
    fn brute(data: &Array3<f64>, sigma_vox: [f64; 3]) -> Array3<f64> {
        let (nx, ny, nz) = data.dim();
        let kernels = sigma_vox.map(|s| if s > 0.0 { half_kernel(s) } else { vec![1.0] });
        let offsets = |a: usize| -(kernels[a].len() as isize - 1)..kernels[a].len() as isize;
        let weight = |a: usize, d: isize| kernels[a][d.unsigned_abs()];
        Array3::from_shape_fn((nx, ny, nz), |(x, y, z)| {
            let mut sum = 0.0;
            for dx in offsets(0) {
                for dy in offsets(1) {
                    for dz in offsets(2) {
                        let at = [
                            reflect(x as isize + dx, nx),
                            reflect(y as isize + dy, ny),
                            reflect(z as isize + dz, nz),
                        ];
                        sum += data[at] * weight(0, dx) * weight(1, dy) * weight(2, dz);
                    }
                }
            }
            sum
        })
    }

    fn noise(dim: (usize, usize, usize)) -> Array3<f64> {
        Array3::from_shape_fn(dim, |(x, y, z)| {
            ((x * 7919 + y * 104_729 + z * 1_299_709) % 1009) as f64 - 400.0
        })
    }

    #[test]
    fn gaussian_is_the_weighted_mean_at_odd_shapes() {
        for (dim, sigma) in [
            ((5, 7, 9), [1.0, 0.6, 1.3]),
            ((1, 4, 3), [2.0, 2.0, 2.0]), // lines shorter than the radius: reflected more than once
            ((6, 1, 5), [0.0, 1.0, 0.4]),
            ((3, 5, 1), [0.7, 0.0, 1.0]),
        ] {
            let data = noise(dim);
            let (fast, slow) = (gaussian_f64(&data, sigma), brute(&data, sigma));
            // Sums of at most a few thousand f64 terms of size 600: 1e-10 is far above their rounding.
            assert!(fast.iter().zip(&slow).all(|(a, b)| (a - b).abs() < 1e-10), "{dim:?}");
            let fast = gaussian(&data.mapv(|v| v as f32), sigma);
            // f32 rounding of three axes at size 600: 3 * 3e-5.
            assert!(fast.iter().zip(&slow).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-4), "{dim:?}");
        }
    }

    #[test]
    fn rows_longer_than_one_block_are_filtered_alike() {
        // Rows along x have 33 * 97 = 3201 voxels: two blocks.
        let data = noise((4, 33, 97));
        let (fast, slow) = (gaussian_f64(&data, [0.9, 0.0, 0.0]), brute(&data, [0.9, 0.0, 0.0]));
        assert!(fast.iter().zip(&slow).all(|(a, b)| (a - b).abs() < 1e-10));
    }

    #[test]
    fn a_constant_stays_and_sigma_zero_changes_nothing() {
        let c = gaussian(&Array3::from_elem((4, 5, 6), 37.5), [1.5, 0.3, 4.0]);
        assert!(c.iter().all(|v| (v - 37.5).abs() < 1e-5)); // one ulp at 37.5 is 4e-6
        let data = noise((3, 4, 5));
        assert_eq!(gaussian_f64(&data, [0.0; 3]), data);
        assert_eq!(gaussian(&Array3::zeros((0, 3, 2)), [1.0; 3]).dim(), (0, 3, 2));
    }
}
