//! Where a convolution's inputs come from: rows of voxels with edge padding, computed on the way from the buffer of the
//! layer before, so that no normalised or padded volume ever exists.
use super::channels_last::ChannelsLast;
use super::tile::block;
use pulp::Simd;

/// Inputs of a convolution.
pub enum Rows<'a> {
    /// As they stand.
    Plain(&'a ChannelsLast),
    /// `silu(x * scale + shift)` with a scale and a shift for each channel: SiLU after a norm.
    Normalised(&'a ChannelsLast, &'a [Vec<f32>; 2]),
    /// The outputs of a convolution with kernel 3 of an image of one channel.
    Image(&'a ImageConv<'a>),
}

impl Rows<'_> {
    /// Channels of a voxel.
    pub fn channels(&self) -> usize {
        match self {
            Rows::Plain(x) | Rows::Normalised(x, _) => x.channels,
            Rows::Image(i) => i.channels,
        }
    }

    /// Sides of the volume.
    pub fn volume(&self) -> [usize; 3] {
        match self {
            Rows::Plain(x) | Rows::Normalised(x, _) => x.frame.volume,
            Rows::Image(i) => i.sides,
        }
    }

    /// Writes the voxels `first..` of the row (d, h) to `out`, as many as it holds. Coordinates beyond the volume mean
    /// the nearest voxel; the voxels must be in the buffer.
    #[inline(always)]
    pub fn read<S: Simd>(&self, simd: S, [d, h, first]: [isize; 3], out: &mut [f32]) {
        let (channels, [nd, nh, nw]) = (self.channels(), self.volume());
        let count = out.len() / channels;
        let clamp = |i: isize, n: usize| i.clamp(0, n as isize - 1) as usize;
        let (d, h) = (clamp(d, nd), clamp(h, nh));
        // Voxels that exist, then copies of the outermost.
        let (w0, w1) = (clamp(first, nw), clamp(first + count as isize - 1, nw) + 1);
        let before = (w0 as isize - first) as usize;
        let inner = &mut out[before * channels..(before + w1 - w0) * channels];
        match self {
            Rows::Plain(x) => inner.copy_from_slice(&x.data[x.row(d, h, w0..w1)]),
            Rows::Normalised(x, norm) => silu(simd, &x.data[x.row(d, h, w0..w1)], norm, inner),
            Rows::Image(i) => i.row(simd, d, h, w0, inner),
        }
        for w in 0..before {
            out.copy_within(before * channels..(before + 1) * channels, w * channels);
        }
        let last = (before + w1 - w0 - 1) * channels;
        for w in before + w1 - w0..count {
            out.copy_within(last..last + channels, w * channels);
        }
    }
}

/// `silu(x * scale + shift)` of voxels whose channels fill whole vectors.
#[inline(always)]
pub fn silu<S: Simd>(simd: S, x: &[f32], [scale, shift]: &[Vec<f32>; 2], out: &mut [f32]) {
    let channels = scale.len();
    assert!(x.len() == out.len() && shift.len() == channels && channels.is_multiple_of(S::F32_LANES));
    let vectors = channels / S::F32_LANES;
    let ((scale, _), (shift, _)) = (S::as_simd_f32s(scale), S::as_simd_f32s(shift));
    let ((x, _), (out, _)) = (S::as_simd_f32s(x), S::as_mut_simd_f32s(out));
    for c in 0..vectors {
        let (scale, shift) = (scale[c], shift[c]);
        for (x, out) in x[c..].iter().step_by(vectors).zip(out[c..].iter_mut().step_by(vectors)) {
            *out = silu_vector(simd, simd.mul_add_e_f32s(*x, scale, shift));
        }
    }
}

/// z / (1 + e^-z), with e^x as in `tile.rs`.
#[inline(always)]
fn silu_vector<S: Simd>(simd: S, z: S::f32s) -> S::f32s {
    let splat = |v: f32| simd.splat_f32s(v);
    // e^80 is far beyond what matters and far from the largest number.
    let x = simd.max_f32s(simd.min_f32s(simd.neg_f32s(z), splat(80.0)), splat(-80.0));
    let magic = splat(12_582_912.0); // 1.5 * 2^23: the integer part lands in the low bits
    let shifted = simd.mul_add_e_f32s(x, splat(std::f32::consts::LOG2_E), magic);
    let k = simd.sub_f32s(shifted, magic);
    let r = simd.mul_add_e_f32s(k, splat(-0.693_359_4), x); // ln 2 in two parts
    let r = simd.mul_add_e_f32s(k, splat(2.121_944_4e-4), r);
    let mut p = splat(1.987_569_2e-4);
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5, 1.0, 1.0] {
        p = simd.mul_add_e_f32s(p, r, splat(c));
    }
    let bits = simd.add_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(127));
    let power = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23)));
    simd.mul_f32s(z, reciprocal(simd, simd.mul_add_e_f32s(p, power, splat(1.0))))
}

/// 1 / x for 1 <= x < 2^126 to about a unit in the last place: a division of 16 lanes takes four times as long. The
/// bits of a float are about its logarithm; their difference from a constant is within 12 % of the reciprocal, and each
/// of Newton's steps squares that error.
#[inline(always)]
fn reciprocal<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let bits = simd.sub_u32s(simd.splat_u32s(0x7EF3_11C7), simd.transmute_u32s_f32s(x));
    let mut r = simd.transmute_f32s_u32s(bits);
    for _ in 0..3 {
        let error = simd.negate_mul_add_e_f32s(x, r, simd.splat_f32s(1.0));
        r = simd.mul_add_e_f32s(r, error, r);
    }
    r
}

/// A convolution with kernel 3 and edge padding of an image of one channel, row by row.
pub struct ImageConv<'a> {
    image: &'a [f32],
    sides: [usize; 3],
    channels: usize,
    /// `[tap][channel]`, then the bias.
    weights: Vec<f32>,
}

impl<'a> ImageConv<'a> {
    /// `image` `[D, H, W]`, `weight` `[C, 1, 3, 3, 3]`, `bias` `[C]`.
    pub fn new(image: &'a [f32], sides: [usize; 3], weight: &[f32], bias: &[f32]) -> Self {
        let channels = bias.len();
        assert!(weight.len() == 27 * channels && image.len() == sides.iter().product::<usize>());
        let weights = (0..28 * channels).map(|i| match (i / channels, i % channels) {
            (27, c) => bias[c],
            (tap, c) => weight[c * 27 + tap],
        });
        Self { image, sides, channels, weights: weights.collect() }
    }

    /// Outputs from voxel `first` of the row (d, h).
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, d: usize, h: usize, first: usize, out: &mut [f32]) {
        let [nd, nh, nw] = self.sides;
        let near = |i: usize, k: usize, n: usize| (i + k).saturating_sub(1).min(n - 1);
        let lines: [&[f32]; 9] = std::array::from_fn(|k| {
            let start = (near(d, k / 3, nd) * nh + near(h, k % 3, nh)) * nw;
            &self.image[start..start + nw]
        });
        let (weights, _) = S::as_simd_f32s(&self.weights);
        let (out, _) = S::as_mut_simd_f32s(out);
        let vectors = self.channels / S::F32_LANES;
        for c in 0..vectors {
            let mut w = [simd.splat_f32s(0.0); 28];
            for (tap, w) in w.iter_mut().enumerate() {
                *w = weights[tap * vectors + c];
            }
            for (i, out) in out[c..].iter_mut().step_by(vectors).enumerate() {
                let at = [near(first + i, 0, nw), first + i, near(first + i, 2, nw)];
                let mut sums = [w[27], simd.splat_f32s(0.0), simd.splat_f32s(0.0)];
                for (k, line) in lines.iter().enumerate() {
                    for (j, sum) in sums.iter_mut().enumerate() {
                        *sum = simd.mul_add_e_f32s(simd.splat_f32s(line[at[j]]), w[k * 3 + j], *sum);
                    }
                }
                *out = simd.add_f32s(sums[0], simd.add_f32s(sums[1], sums[2]));
            }
        }
    }
}

/// Whether these kernels can take layers of that many channels: they fill the vectors and blocks of every machine.
pub fn fills_blocks(channels: usize) -> bool {
    channels.is_multiple_of(block())
}
