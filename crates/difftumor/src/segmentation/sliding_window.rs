//! Sliding-window inference: a network's logits on a scan of any size, from overlapping windows of the size that it was
//! trained on, joined with Gaussian weights (paper E.2; MONAI 0.9.0 `sliding_window_inference(mode="gaussian")`;
//! spec/segmentation.md section 5).
//!
//! All arrays are `[x, y, z]` (RAS, 1 mm), and so are patches: `[1, 1, x, y, z]`. Memory is one f32 array of the wanted part for
//! each class, as many planes of weights as a window has, and the activations of one window.
use crate::tensor::from_patch;
use burn::tensor::{Device, Tensor};
use difftumor_ct::patch::{Fill, VoxelBox, crop, spatial_pad_box};
use ndarray::{Array3, Axis, Zip, s};
use rayon::prelude::*;
use std::f64::consts::FRAC_1_SQRT_2;
use std::ops::Range;

/// Standard deviation of the weights in sides of the window (MONAI).
const SIGMA_SHARE: f64 = 0.125;
/// Weights below this are raised to it (MONAI): else corners of a scan would be a quotient of rounding errors.
const LEAST_WEIGHT: f32 = 1e-3;

/// How a scan is cut into windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlidingWindow {
    /// Sides of a window: 96 each (paper E.2).
    pub roi_vox: [usize; 3],
    /// Share of its side that a window has in common with the next one, from 0 to less than 1: 0.75 (paper E.2).
    pub overlap: f64,
    /// Whether the logits are the mean over all eight mirror images of a window (test-time mirroring). Eight times the work;
    /// off as published.
    pub mirror: bool,
}

impl Default for SlidingWindow {
    fn default() -> Self {
        Self { roi_vox: [96; 3], overlap: 0.75, mirror: false }
    }
}

/// Logits of a part of a scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    /// Which voxels of the scan.
    pub part: VoxelBox,
    /// One array of the part's shape for each class.
    pub classes: Vec<Array3<f32>>,
}

/// The weights of a window's voxels before the floor: a Gaussian with a deviation of an eighth of the side, 1 at voxel
/// `side / 2`. Its samples are integrals over a voxel, as MONAI's `GaussianFilter` has them.
pub fn importance_map(roi_vox: [usize; 3]) -> Array3<f32> {
    let [wx, wy, wz] = roi_vox.map(|side| {
        // MONAI cuts the kernel off at four deviations: half a side, which no voxel exceeds.
        let t = FRAC_1_SQRT_2 / (SIGMA_SHARE * side as f64);
        let integral = |distance: usize| {
            let d = distance as f64;
            0.5 * (libm::erf(t * (d + 0.5)) - libm::erf(t * (d - 0.5)))
        };
        (0..side).map(|i| integral(i.abs_diff(side / 2)) / integral(0)).collect::<Vec<f64>>()
    });
    Array3::from_shape_fn(roi_vox, |(x, y, z)| (wx[x] * wy[y] * wz[z]) as f32)
}

/// [`importance_map`] with its floor.
fn window_weights(roi_vox: [usize; 3]) -> Array3<f32> {
    let map = importance_map(roi_vox);
    let least = map.iter().copied().filter(|w| *w > 0.0).fold(f32::INFINITY, f32::min);
    map.mapv_into(|w| w.max(least.max(LEAST_WEIGHT)))
}

impl SlidingWindow {
    /// # Errors
    /// [`difftumor_ct::Error::Argument`] when the overlap is not from 0 to less than 1.
    pub fn check(&self) -> difftumor_ct::Result<()> {
        if (0.0..1.0).contains(&self.overlap) {
            return Ok(());
        }
        Err(difftumor_ct::Error::Argument {
            what: "overlap of windows".into(),
            expected: "from 0 to less than 1, as 0.75".into(),
            found: self.overlap.to_string(),
        })
    }

    /// Where windows begin along an axis of `side` voxels, in voxels of the scan: negative where it is smaller than a window,
    /// which then stands in its middle. The last window is moved back to end with the scan.
    fn starts(&self, axis: usize, side: usize) -> Vec<i64> {
        let roi = self.roi_vox[axis];
        let (before, padded) = (spatial_pad_box([side; 3], [roi; 3]).0[0], side.max(roi));
        // As Python computes it; a stride of 0 is 1.
        let stride = ((roi as f64 * (1.0 - self.overlap)) as usize).max(1);
        let last = padded - roi;
        (0..=last.div_ceil(stride)).map(|i| before + (i * stride).min(last) as i64).collect()
    }

    /// Starts along each axis of the windows that share a voxel with `part`.
    fn touching(&self, shape: [usize; 3], part: &VoxelBox) -> [Vec<i64>; 3] {
        std::array::from_fn(|a| {
            let reaches =
                |s: &i64| *s < part.end[a] as i64 && *s + self.roi_vox[a] as i64 > part.start[a] as i64;
            self.starts(a, shape[a]).into_iter().filter(reaches).collect()
        })
    }

    /// The network's logits in `part` of a scan. Windows that share no voxel with the part are left out: they have no weight in
    /// it, so its logits are those of the whole scan, bit for bit.
    ///
    /// `network` turns `[1, 1, x, y, z]` into logits `[1, C, x, y, z]`. Beyond the scan's border it sees zeros. `watch` sees the
    /// number of windows done and of all.
    ///
    /// # Panics
    /// When the part is empty or not in the scan, [`SlidingWindow::check`] fails, or the network changes the sides.
    pub fn run(
        &self,
        image: &Array3<f32>,
        part: VoxelBox,
        device: &Device,
        network: impl Fn(Tensor<5>) -> Tensor<5>,
        watch: &dyn Fn(usize, usize),
    ) -> Logits {
        self.check().expect("an overlap that was checked");
        let shape = <[usize; 3]>::from(image.dim());
        assert!(
            (0..3).all(|a| part.start[a] < part.end[a] && part.end[a] <= shape[a]),
            "{part:?} of {shape:?}"
        );
        let [xs, ys, zs] = self.touching(shape, &part);
        let all = xs.len() * ys.len() * zs.len();
        let mut sums = Sums::new(part, self.roi_vox);
        let mut done = 0;
        for (i, x) in xs.iter().enumerate() {
            for y in &ys {
                for z in &zs {
                    let start = [*x, *y, *z];
                    let patch = crop(image, start, self.roi_vox, Fill::Constant(0.0));
                    sums.add(start, self.logits(from_patch(&patch, device), &network));
                    done += 1;
                    watch(done, all);
                }
            }
            // No later window reaches the planes before the next row of windows.
            sums.finish(xs.get(i + 1).copied().unwrap_or(part.end[0] as i64));
        }
        Logits { part, classes: sums.classes }
    }

    /// Logits of one window.
    fn logits(&self, patch: Tensor<5>, network: impl Fn(Tensor<5>) -> Tensor<5>) -> Tensor<5> {
        if !self.mirror {
            return network(patch);
        }
        let images = (0..8).map(|axes| mirrored(network(mirrored(patch.clone(), axes)), axes));
        images.reduce(|a, b| a + b).expect("eight images").div_scalar(8.0)
    }
}

/// Turned around along the axes whose bits are set.
fn mirrored(x: Tensor<5>, axes: usize) -> Tensor<5> {
    (0..3).filter(|a| axes >> a & 1 == 1).fold(x, |x, a| x.flip([a + 2]))
}

/// Sums of weighted logits, and of the weights of the planes that are not finished.
struct Sums {
    part: VoxelBox,
    roi_vox: [usize; 3],
    /// Of one window.
    window: Array3<f32>,
    /// Sums, and behind the finished planes quotients.
    classes: Vec<Array3<f32>>,
    /// Sums of weights. Plane x of the part is at x modulo a window's side: no row of windows is longer.
    weights: Array3<f32>,
    /// Planes of the part that are finished.
    finished: usize,
}

impl Sums {
    fn new(part: VoxelBox, roi_vox: [usize; 3]) -> Self {
        let [_, ny, nz] = part.shape();
        let weights = Array3::zeros([roi_vox[0], ny, nz]);
        Self { part, roi_vox, window: window_weights(roi_vox), classes: vec![], weights, finished: 0 }
    }

    /// The voxels that the window and the part share along an axis, in the window and in the part.
    fn shared(&self, axis: usize, start: i64) -> (Range<usize>, Range<usize>) {
        let (from, to) = (self.part.start[axis] as i64, self.part.end[axis] as i64);
        let (low, high) = (start.max(from), (start + self.roi_vox[axis] as i64).min(to));
        ((low - start) as usize..(high - start) as usize, (low - from) as usize..(high - from) as usize)
    }

    fn add(&mut self, start: [i64; 3], logits: Tensor<5>) {
        let [_, classes, x, y, z] = logits.dims();
        assert_eq!([x, y, z], self.roi_vox, "sides of a window's logits");
        if self.classes.is_empty() {
            self.classes = vec![Array3::zeros(self.part.shape()); classes];
        }
        let values = logits.into_data().convert::<f32>().try_to_vec::<f32>().expect("a float tensor");
        let [(wx, px), (wy, py), (wz, pz)] = std::array::from_fn(|a| self.shared(a, start[a]));
        let weight = |x: usize| self.window.slice(s![wx.start + x, wy.clone(), wz.clone()]);
        for (class, values) in self.classes.iter_mut().zip(values.chunks_exact(x * y * z)) {
            let values = ndarray::ArrayView3::from_shape((x, y, z), values).expect("the shape of a window");
            let mut planes = class.slice_mut(s![px.clone(), py.clone(), pz.clone()]);
            planes.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(x, plane)| {
                let logits = values.slice(s![wx.start + x, wy.clone(), wz.clone()]);
                Zip::from(plane).and(weight(x)).and(logits).for_each(|sum, w, v| *sum += w * v);
            });
        }
        for (i, x) in px.enumerate() {
            let mut plane = self.weights.slice_mut(s![x % self.roi_vox[0], py.clone(), pz.clone()]);
            plane += &weight(i);
        }
    }

    /// Divides the planes before plane `end` of the scan.
    fn finish(&mut self, end: i64) {
        let end = end.min(self.part.end[0] as i64) - self.part.start[0] as i64;
        let planes = self.finished..end.max(self.finished as i64) as usize;
        for class in &mut self.classes {
            let mut open = class.slice_mut(s![planes.clone(), .., ..]);
            open.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(i, mut plane)| {
                plane /= &self.weights.index_axis(Axis(0), (planes.start + i) % self.roi_vox[0]);
            });
        }
        planes.clone().for_each(|x| self.weights.index_axis_mut(Axis(0), x % self.roi_vox[0]).fill(0.0));
        self.finished = planes.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(shape: [usize; 3]) -> Array3<f32> {
        Array3::from_shape_fn(shape, |(x, y, z)| ((7 * x + 13 * y + 29 * z) % 101) as f32 / 100.0)
    }

    fn whole(shape: [usize; 3]) -> VoxelBox {
        VoxelBox { start: [0; 3], end: shape }
    }

    /// Two classes; the second depends on the whole window.
    fn network(x: Tensor<5>) -> Tensor<5> {
        let shifted = x.clone() + x.clone().mean().reshape([1, 1, 1, 1, 1]);
        Tensor::cat(vec![x, shifted], 1)
    }

    fn windows(roi: usize, overlap: f64) -> SlidingWindow {
        SlidingWindow { roi_vox: [roi; 3], overlap, mirror: false }
    }

    #[test]
    fn windows_begin_as_in_monai() {
        let half = windows(96, 0.5);
        assert_eq!(half.starts(0, 96), [0]);
        assert_eq!(half.starts(0, 97), [0, 1]);
        assert_eq!(half.starts(0, 200), [0, 48, 96, 104]);
        assert_eq!(half.starts(0, 192), [0, 48, 96]);
        // 95 voxels: nothing in front, one behind. 50: 23 in front.
        assert_eq!((half.starts(0, 95), half.starts(0, 50)), (vec![0], vec![-23]));
        assert_eq!(windows(96, 0.75).starts(0, 150), [0, 24, 48, 54]);
        // int(16 * (1 - 0.9)) = 1, and int(4 * 0.1) = 0 is taken for 1.
        assert_eq!(windows(16, 0.9).starts(0, 18), [0, 1, 2]);
        assert_eq!(windows(4, 0.9).starts(0, 6), [0, 1, 2]);
        for bad in [1.0, -0.1, f64::NAN, 75.0] {
            assert!(windows(96, bad).check().unwrap_err().to_string().contains("overlap"), "{bad}");
        }
    }

    #[test]
    fn a_network_that_changes_nothing_gives_the_scan_back() {
        for shape in [[20, 33, 9], [16, 16, 16], [5, 50, 17]] {
            let image = picture(shape);
            for overlap in [0.0, 0.5, 0.75] {
                let seen = std::cell::Cell::new((0, 0));
                let out =
                    windows(16, overlap).run(&image, whole(shape), &Device::flex(), |x| x, &|done, all| {
                        seen.set((done, all));
                    });
                assert_eq!(seen.get().0, seen.get().1);
                assert_eq!(out.classes.len(), 1);
                // Up to 64 weighted sums of rounded products: 64 * 6e-8.
                let worst = out.classes[0].iter().zip(&image).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 4e-6, "{shape:?} {overlap}: {worst}");
            }
        }
    }

    #[test]
    fn a_part_has_the_bits_of_the_whole_with_fewer_windows() {
        let shape = [60, 41, 12];
        let (image, window) = (picture(shape), windows(16, 0.75));
        let count = std::cell::Cell::new(0);
        let counted = |x: Tensor<5>| {
            count.set(count.get() + 1);
            network(x)
        };
        let all = window.run(&image, whole(shape), &Device::flex(), counted, &|_, _| ());
        let windows_of_all = count.replace(0);
        for part in [
            VoxelBox { start: [30, 20, 3], end: [33, 30, 12] },
            VoxelBox { start: [0, 0, 0], end: [1, 1, 1] },
            VoxelBox { start: [59, 40, 0], end: [60, 41, 12] },
        ] {
            let out = window.run(&image, part, &Device::flex(), counted, &|_, _| ());
            assert!(count.replace(0) * 2 < windows_of_all);
            let [a, b] = [part.start, part.end];
            for (cut, class) in out.classes.iter().zip(&all.classes) {
                assert_eq!(cut, &class.slice(s![a[0]..b[0], a[1]..b[1], a[2]..b[2]]));
            }
        }
    }

    #[test]
    fn mirroring_is_the_mean_over_eight_images() {
        let shape = [12, 9, 10];
        let (image, device) = (picture(shape), Device::flex());
        // A ramp that breaks the symmetry.
        let ramp = from_patch(&picture([8; 3]), &device);
        let network = |x: Tensor<5>| x * ramp.clone();
        let plain = SlidingWindow { roi_vox: [8; 3], overlap: 0.5, mirror: false };
        let found =
            SlidingWindow { mirror: true, ..plain }.run(&image, whole(shape), &device, network, &|_, _| ());
        // The product with the mean of the ramp's eight images.
        let mean =
            (0..8).map(|axes| mirrored(ramp.clone(), axes)).reduce(|a, b| a + b).unwrap().div_scalar(8.0);
        let want = plain.run(&image, whole(shape), &device, |x| x * mean.clone(), &|_, _| ());
        let worst =
            found.classes[0].iter().zip(&want.classes[0]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Sums of eight products below 1 in another order.
        assert!(worst < 1e-6, "{worst}");
    }
}
