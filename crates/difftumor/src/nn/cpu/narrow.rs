//! Convolutions with few channels on one side: from latents, to latents, and to an image, between channels-first
//! values and channels-last activations.
use super::channels_last::{ChannelsLast, Frame, Moments};
use super::rows::silu;
use super::tile::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Voxels of a task.
const VOXELS: usize = 512;
/// Neighbouring outputs that share loads of inputs.
const GROUP: usize = 4;

/// Kernel 1 from a few channels: `x` `[Ci, voxels]`, `weight` `[Co, Ci]`, `bias` `[Co]`, to the box of `out`. `Co` must
/// fill vectors. Returns the moments of the outputs.
pub fn widen(x: &[f32], weight: &[f32], bias: &[f32], out: &mut ChannelsLast) -> Moments {
    let (outputs, voxels) = (bias.len(), out.frame.voxels());
    let inputs = weight.len() / outputs;
    assert!(x.len() == inputs * voxels && out.channels == outputs && out.data.len() >= outputs * voxels);
    // [Ci][Co], then the bias.
    let weights: Vec<f32> = (0..(inputs + 1) * outputs)
        .map(|i| {
            if i / outputs < inputs { weight[i % outputs * inputs + i / outputs] } else { bias[i % outputs] }
        })
        .collect();
    let parts: Vec<Moments> = out.data[..outputs * voxels]
        .par_chunks_mut(VOXELS * outputs)
        .enumerate()
        .map(|(i, out)| {
            arch().dispatch(Widen { x, voxels, first: i * VOXELS, weights: &weights, outputs, out })
        })
        .collect();
    parts.iter().fold(Moments::default(), Moments::join)
}

struct Widen<'a> {
    x: &'a [f32],
    voxels: usize,
    first: usize,
    weights: &'a [f32],
    outputs: usize,
    out: &'a mut [f32],
}
impl WithSimd for Widen<'_> {
    type Output = Moments;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Moments {
        let (weights, rest) = S::as_simd_f32s(self.weights);
        let vectors = self.outputs / S::F32_LANES;
        assert!(rest.is_empty() && self.outputs.is_multiple_of(S::F32_LANES));
        let inputs = weights.len() / vectors - 1;
        let (mut sum, mut square) = (vec![0f64; self.outputs], vec![0f64; self.outputs]);
        let shift = self.weights[inputs * self.outputs..].to_vec();
        let count = self.out.len() / self.outputs;
        for (i, out) in self.out.chunks_exact_mut(self.outputs).enumerate() {
            let (vector, _) = S::as_mut_simd_f32s(out);
            for (c, out) in vector.iter_mut().enumerate() {
                let mut v = weights[inputs * vectors + c];
                for k in 0..inputs {
                    let x = simd.splat_f32s(self.x[k * self.voxels + self.first + i]);
                    v = simd.mul_add_e_f32s(x, weights[k * vectors + c], v);
                }
                *out = v;
            }
            for c in 0..self.outputs {
                let v = f64::from(out[c] - shift[c]);
                sum[c] += v;
                square[c] += v * v;
            }
        }
        Moments::from_sums(count as f64, &shift, &sum, &square)
    }
}

/// Norm, SiLU and kernel 1 to a few channels: `weight` `[Co, Ci]`, `bias` `[Co]`. Returns `[Co, voxels]` of `x`'s box.
pub fn norm_silu_narrow(x: &ChannelsLast, norm: &[Vec<f32>; 2], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let (outputs, voxels) = (bias.len(), x.frame.voxels());
    assert_eq!(weight.len(), outputs * x.channels, "weights of a kernel 1");
    let parts: Vec<Vec<f32>> = x.data[..voxels * x.channels]
        .par_chunks(VOXELS * x.channels)
        .map(|x| arch().dispatch(Narrow { x, norm, weight, bias }))
        .collect();
    let mut out = vec![0f32; outputs * voxels];
    for (i, part) in parts.iter().enumerate() {
        for (o, values) in part.chunks_exact(part.len() / outputs).enumerate() {
            out[o * voxels + i * VOXELS..][..values.len()].copy_from_slice(values);
        }
    }
    out
}

struct Narrow<'a> {
    x: &'a [f32],
    norm: &'a [Vec<f32>; 2],
    weight: &'a [f32],
    bias: &'a [f32],
}
impl WithSimd for Narrow<'_> {
    /// `[Co, voxels]`.
    type Output = Vec<f32>;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let channels = self.norm[0].len();
        let voxels = self.x.len() / channels;
        let (mut line, mut out) = (vec![0f32; channels], vec![0f32; self.bias.len() * voxels]);
        let (weights, _) = S::as_simd_f32s(self.weight);
        let vectors = channels / S::F32_LANES;
        for (i, x) in self.x.chunks_exact(channels).enumerate() {
            silu(simd, x, self.norm, &mut line);
            let (line, _) = S::as_simd_f32s(&line);
            for (o, bias) in self.bias.iter().enumerate() {
                let mut sum = simd.splat_f32s(0.0);
                for (a, b) in line.iter().zip(&weights[o * vectors..]) {
                    sum = simd.mul_add_e_f32s(*a, *b, sum);
                }
                out[o * voxels + i] = simd.reduce_sum_f32s(sum) + bias;
            }
        }
        out
    }
}

/// Kernel 3 with edge padding to one channel: `weight` `[1, C, 3, 3, 3]`. Returns `[D, H, W]` of the box `frame`; `x`
/// must hold it and its neighbours.
pub fn to_image(x: &ChannelsLast, weight: &[f32], bias: f32, frame: Frame) -> Vec<f32> {
    let channels = x.channels;
    assert!(weight.len() == 27 * channels && x.frame.contains(&frame.grown(1)), "input of a kernel 3");
    // [tap][channel]
    let weights: Vec<f32> = (0..27 * channels).map(|i| weight[i % channels * 27 + i / channels]).collect();
    let [_, nh, nw] = frame.sides();
    let mut out = vec![0f32; frame.voxels()];
    // Some rows to a task, so that the planes around them are in its cache.
    out.par_chunks_mut(nw).enumerate().with_min_len(8).for_each(|(i, out)| {
        let at = [frame.start[0] + i / nh, frame.start[1] + i % nh, frame.start[2]];
        arch().dispatch(ToImage { x, weights: &weights, bias, at, out });
    });
    out
}

struct ToImage<'a> {
    x: &'a ChannelsLast,
    weights: &'a [f32],
    bias: f32,
    /// First voxel.
    at: [usize; 3],
    out: &'a mut [f32],
}
impl WithSimd for ToImage<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, [d, h, first]) = (self.x, self.at);
        let (volume, f) = (x.frame.volume, &x.frame);
        let near = |i: usize, k: usize, n: usize| (i + k).saturating_sub(1).min(n - 1);
        let lines: [&[S::f32s]; 9] = std::array::from_fn(|k| {
            let row = x.row(near(d, k / 3, volume[0]), near(h, k % 3, volume[1]), f.start[2]..f.end[2]);
            S::as_simd_f32s(&x.data[row]).0
        });
        let (weights, _) = S::as_simd_f32s(self.weights);
        let vectors = x.channels / S::F32_LANES;
        let n = self.out.len();
        let mut i = 0;
        while i < n {
            let w = first + i;
            let mut sums = [simd.splat_f32s(0.0); GROUP];
            // Neighbours in the volume need no clamping.
            let inside = w > 0 && w + GROUP < volume[2] && i + GROUP <= n;
            if inside {
                for (k, line) in lines.iter().enumerate() {
                    let line = &line[(w - 1 - f.start[2]) * vectors..][..(GROUP + 2) * vectors];
                    let weights = &weights[k * 3 * vectors..][..3 * vectors];
                    for c in 0..vectors {
                        let mut x = [simd.splat_f32s(0.0); GROUP + 2];
                        for (j, x) in x.iter_mut().enumerate() {
                            *x = line[j * vectors + c];
                        }
                        for t in 0..3 {
                            for (j, sum) in sums.iter_mut().enumerate() {
                                *sum = simd.mul_add_e_f32s(x[j + t], weights[t * vectors + c], *sum);
                            }
                        }
                    }
                }
                for (out, sum) in self.out[i..].iter_mut().zip(sums) {
                    *out = simd.reduce_sum_f32s(sum) + self.bias;
                }
                i += GROUP;
                continue;
            }
            // In the order of a group's sums, so that it does not matter where groups begin.
            for (k, line) in lines.iter().enumerate() {
                for c in 0..vectors {
                    for t in 0..3 {
                        let x = line[(near(w, t, volume[2]) - f.start[2]) * vectors + c];
                        sums[0] = simd.mul_add_e_f32s(x, weights[(k * 3 + t) * vectors + c], sums[0]);
                    }
                }
            }
            self.out[i] = simd.reduce_sum_f32s(sums[0]) + self.bias;
            i += 1;
        }
    }
}
