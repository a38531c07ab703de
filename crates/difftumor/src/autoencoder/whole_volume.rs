//! The autoencoder on whole scans: overlapping tiles, each encoded, replaced by codes and decoded on its own, as crops are in
//! training and synthesis, and joined with smooth weights that sum to one.
//!
//! Norms see one tile at a time, so a tile's side matters: [`Tiling::default`]. Memory is the scan, one result of its size for
//! each thing decoded, and the activations of one tile.
use super::Autoencoder;
use crate::tensor::{from_crop, to_crop};
use burn::tensor::{Int, Tensor};
use difftumor_ct::patch::{Fill, crop};
use ndarray::{Array3, Axis, s};
use rayon::prelude::*;
use std::f64::consts::FRAC_PI_2;

/// How a scan is cut into tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Tiling {
    /// Side of a tile. A scan that is smaller on an axis has one tile there, as long as the scan.
    pub side_vox: usize,
    /// What neighbouring tiles share at least; less than the side.
    pub overlap_vox: usize,
}

impl Default for Tiling {
    /// Tiles of 96, the published crop. An early autoencoder with group norms, trained on crops of 48, gave back a scan of
    /// 381 x 381 x 190 voxels with 22.3, 22.6, 23.0 and 23.3 dB in tiles of 48, 64, 96 and 128 (SSIM 0.710, 0.714, 0.720
    /// and 0.717): what lies wholly inside of an organ has other statistics than a mixture, so tiles should rather be
    /// larger than the crops of the training.
    fn default() -> Self {
        Self::with_side(96)
    }
}

/// Tiles along one axis.
struct Row {
    side: usize,
    starts: Vec<usize>,
    /// For each tile, the weight of each of its voxels inside of the scan; over all tiles they sum to one.
    weights: Vec<Vec<f32>>,
}

impl Tiling {
    /// Tiles that share a quarter of their side.
    pub fn with_side(side_vox: usize) -> Self {
        Self { side_vox, overlap_vox: side_vox / 4 }
    }

    /// Tiles that cover `length_vox`, spread evenly, with sides that are multiples of `unit_vox`.
    fn row(&self, length_vox: usize, unit_vox: usize) -> Row {
        assert!(self.overlap_vox < self.side_vox && self.side_vox.is_multiple_of(unit_vox), "{self:?}");
        let side = self.side_vox.min(length_vox.next_multiple_of(unit_vox));
        if side >= length_vox {
            return Row { side, starts: vec![0], weights: vec![vec![1.0; length_vox]] };
        }
        let count = (length_vox - self.overlap_vox).div_ceil(side - self.overlap_vox);
        let starts: Vec<usize> =
            (0..count).map(|i| ((length_vox - side) * i + (count - 1) / 2) / (count - 1)).collect();
        // Rises over the overlap; 1 at the ends of the scan, where there is no neighbour.
        let ramp =
            |from_border: f64| ((from_border / self.overlap_vox as f64).min(1.0) * FRAC_PI_2).sin().powi(2);
        let raw = |start: usize, p: usize| {
            let below = if start == 0 { 1.0 } else { ramp(p as f64 + 0.5) };
            let above = if start + side == length_vox { 1.0 } else { ramp((side - p) as f64 - 0.5) };
            below * above
        };
        let mut sums = vec![0.0; length_vox];
        for start in &starts {
            (0..side).for_each(|p| sums[start + p] += raw(*start, p));
        }
        let weights = starts.iter().map(|start| {
            let weight = |p| (raw(*start, p) / sums[start + p]) as f32;
            (0..side).map(weight).collect()
        });
        Row { side, weights: weights.collect(), starts }
    }

    /// Cuts `image`, lets `work` make `N` tiles of every tile, and joins each kind to an image of the scan's shape. Tiles
    /// beyond the scan's end repeat its last voxel. `watch` sees the number of tiles done and of all.
    ///
    /// # Panics
    /// When the image is empty, the side no multiple of `unit_vox`, the overlap not below the side, or `work` changes a shape.
    pub fn join<const N: usize>(
        &self,
        image: &Array3<f32>,
        unit_vox: usize,
        mut work: impl FnMut(&Array3<f32>) -> [Array3<f32>; N],
        watch: &dyn Fn(usize, usize),
    ) -> [Array3<f32>; N] {
        let rows = self.rows(image, unit_vox);
        let sides = [0, 1, 2].map(|a: usize| rows[a].side);
        let mut joined: [Array3<f32>; N] = std::array::from_fn(|_| Array3::zeros(image.dim()));
        let all = rows.iter().map(|r| r.starts.len()).product();
        let mut done = 0;
        for (x, wx) in rows[0].starts.iter().zip(&rows[0].weights) {
            for (y, wy) in rows[1].starts.iter().zip(&rows[1].weights) {
                for (z, wz) in rows[2].starts.iter().zip(&rows[2].weights) {
                    let tile = crop(image, [*x, *y, *z].map(|v| v as i64), sides, Fill::Edge);
                    for (to, from) in joined.iter_mut().zip(work(&tile)) {
                        assert_eq!(from.dim(), tile.dim(), "tile");
                        add(to, &from, [*x, *y, *z], [wx, wy, wz]);
                    }
                    done += 1;
                    watch(done, all);
                }
            }
        }
        joined
    }

    fn rows(&self, image: &Array3<f32>, unit_vox: usize) -> [Row; 3] {
        assert!(!image.is_empty(), "an image without voxels");
        std::array::from_fn(|a| self.row(image.len_of(Axis(a)), unit_vox))
    }

    /// For each axis, the positions at which tiles begin or end inside of the image: between them and the voxel before.
    pub fn borders(&self, image: &Array3<f32>, unit_vox: usize) -> [Vec<usize>; 3] {
        let rows = self.rows(image, unit_vox);
        std::array::from_fn(|a| {
            let (row, length) = (&rows[a], image.len_of(Axis(a)));
            let all = row.starts.iter().flat_map(|s| [*s, s + row.side]);
            let mut inner: Vec<usize> = all.filter(|b| *b > 0 && *b < length).collect();
            inner.sort_unstable();
            inner.dedup();
            inner
        })
    }
}

/// Adds a weighted tile, as far as it lies inside.
fn add(to: &mut Array3<f32>, tile: &Array3<f32>, start: [usize; 3], [wx, wy, wz]: [&Vec<f32>; 3]) {
    let part = [wx, wy, wz].map(|w| w.len());
    let [x, y, z] = [0, 1, 2].map(|a: usize| start[a]..start[a] + part[a]);
    let mut place = to.slice_mut(s![x, y, z]);
    place.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(i, mut plane)| {
        for (j, mut line) in plane.outer_iter_mut().enumerate() {
            let weight = wx[i] * wy[j];
            for (k, v) in line.iter_mut().enumerate() {
                *v += weight * wz[k] * tile[[i, j, k]];
            }
        }
    });
}

/// A scan that went through the autoencoder.
#[derive(Debug)]
pub struct WholeReconstruction {
    /// Decoded from codes, −1..1.
    pub decoded: Array3<f32>,
    /// Decoded from the latents as they are, −1..1.
    pub unquantised: Array3<f32>,
    /// How often each code was chosen, over all tiles: where tiles overlap, each has codes of its own.
    pub code_counts: Vec<u64>,
}

impl Autoencoder {
    /// Encodes and decodes a whole scan, tile by tile: `[x, y, z]` (RAS, 1 mm), −1..1.
    ///
    /// # Panics
    /// As [`Tiling::join`].
    pub fn reconstruct_whole(
        &self,
        image: &Array3<f32>,
        tiling: Tiling,
        watch: &dyn Fn(usize, usize),
    ) -> WholeReconstruction {
        let embeddings = self.codebook().embeddings.val();
        let device = embeddings.device();
        let mut code_counts = vec![0; embeddings.dims()[0]];
        let clipped = |z: Tensor<5>| to_crop(self.decode_quantised(z)).mapv_into(|v| v.clamp(-1.0, 1.0));
        let work = |tile: &Array3<f32>| {
            let z = self.encode(from_crop(tile, &device));
            let [b, _, d, h, w] = z.dims();
            let indices = self.indices(z.clone());
            count(indices.clone(), &mut code_counts);
            let codes = self.lookup(indices, [b, d, h, w]);
            [clipped(codes), clipped(z)]
        };
        let [decoded, unquantised] = tiling.join(image, self.unit_vox(), work, watch);
        WholeReconstruction { decoded, unquantised, code_counts }
    }
}

fn count(indices: Tensor<1, Int>, counts: &mut [u64]) {
    let indices = indices.into_data().convert::<i64>().try_to_vec::<i64>().expect("an integer tensor");
    indices.into_iter().for_each(|k| counts[k as usize] += 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [(usize, usize, usize); 4] = [(40, 33, 9), (16, 17, 31), (5, 48, 100), (24, 25, 1)];

    fn picture(shape: (usize, usize, usize)) -> Array3<f32> {
        Array3::from_shape_fn(shape, |(x, y, z)| ((7 * x + 13 * y + 29 * z) % 101) as f32 / 50.0 - 1.0)
    }

    #[test]
    fn tiles_that_are_left_as_they_are_give_the_image_back() {
        for shape in SHAPES {
            let image = picture(shape);
            for tiling in [Tiling::with_side(16), Tiling { side_vox: 12, overlap_vox: 0 }] {
                let seen = std::cell::Cell::new((0, 0));
                let [same, ones] = tiling.join(
                    &image,
                    4,
                    |t| {
                        assert!(t.shape().iter().all(|n| n % 4 == 0 && *n <= tiling.side_vox));
                        [t.clone(), Array3::ones(t.dim())]
                    },
                    &|done, all| seen.set((done, all)),
                );
                assert_eq!(seen.get().0, seen.get().1);
                // Weights rounded to f32, at most eight of them: 8 * 6e-8.
                let worst = same.iter().zip(&image).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 5e-7, "{shape:?} {tiling:?}: {worst}");
                assert!(ones.iter().all(|v| (v - 1.0).abs() < 5e-7), "{shape:?} {tiling:?}");
            }
        }
    }

    #[test]
    fn tiles_cover_a_row_with_at_least_their_overlap() {
        let tiling = Tiling::with_side(16);
        for n in 1..200 {
            let row = tiling.row(n, 4);
            assert_eq!(row.starts[0], 0);
            assert!(row.starts.last().unwrap() + row.side >= n);
            assert!(
                row.starts.windows(2).all(|w| w[0] < w[1] && w[0] + 16 >= w[1] + 4),
                "{n}: {:?}",
                row.starts
            );
            assert!(row.starts.len() == 1 || row.starts.last().unwrap() + row.side == n);
        }
        assert_eq!(tiling.row(100, 4).starts, [0, 12, 24, 36, 48, 60, 72, 84]);
        let image = picture((28, 16, 40));
        assert_eq!(tiling.borders(&image, 4), [vec![12, 16], vec![], vec![12, 16, 24, 28]]);
    }

    #[test]
    fn neighbours_are_faded_into_each_other() {
        // The n-th tile is all n: the joined image must go from 0 to 1 in small steps.
        let mut n = -1.0;
        let [joined] = Tiling::with_side(32).join(
            &picture((56, 8, 8)),
            4,
            |t| {
                n += 1.0;
                [Array3::from_elem(t.dim(), n)]
            },
            &|_, _| (),
        );
        let line: Vec<f32> = (0..56).map(|x| joined[[x, 4, 4]]).collect();
        assert!(line[..24].iter().all(|v| *v == 0.0) && line[32..].iter().all(|v| *v == 1.0));
        // sin² over 8 voxels rises by at most π/2 / 8 a voxel.
        assert!(line.windows(2).all(|w| w[1] >= w[0] && w[1] - w[0] < 0.2), "{line:?}");
    }
}
