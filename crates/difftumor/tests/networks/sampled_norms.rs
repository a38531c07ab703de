//! What the decoder's last norms would cost if they used a part of the image's voxels, as a decoder of one box could.
//!
//! A measurement for `docs/benchmarks.md`; it asserts only that the decoder taken apart here is the real one:
//!
//!     cargo test -p difftumor --test networks sampled_norms -- --ignored --nocapture

use crate::common::models::with_rule_weights;
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor, TensorData};
use difftumor::autoencoder::{Autoencoder, AutoencoderConfig};
use difftumor::nn::{
    Conv3d, Conv3dConfig, ConvGeometry, ConvTranspose3d, ConvTranspose3dConfig, GroupNorm, Padding,
    TransposedGeometry,
};
use difftumor::tensor::from_crop;
use difftumor_ct::intensity::HuWindow;
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::orient::{AxisCodes, reorient};
use difftumor_ct::resample::{Outside, linear};
use ndarray::{Array3, s};

const SIDE: usize = 96;
/// Radius of the ball in the crop's middle where errors count, that of a small tumor.
const BALL_VOX: f64 = 10.0;
const EPS: f64 = 1e-6;
/// Half of the window −175..250: what 1 is in the decoder's output.
const HU: f32 = 212.5;

/// Which voxels (of D, H, W) the norms of the last level see.
type Part = fn([usize; 3]) -> bool;

fn block(v: [usize; 3]) -> [usize; 3] {
    v.map(|i| i / 4)
}

const PARTS: [(&str, Part); 5] = [
    ("1/8: every other 4³ block on each axis", |v| block(v).iter().all(|i| i.is_multiple_of(2))),
    ("1/8: a box of 48³ around the tumor", |v| v.iter().all(|i| (24..72).contains(i))),
    ("1/2: every other 4³ block", |v| block(v).iter().sum::<usize>().is_multiple_of(2)),
    ("1/2: every other slab of 4 slices", |v| block(v)[0].is_multiple_of(2)),
    ("1/2: the middle 48 slices", |v| (24..72).contains(&v[0])),
];

/// `silu(norm(x))` with one channel in each group and the moments of the voxels in `part` (1 there, 0 elsewhere).
fn norm_silu(norm: &GroupNorm, x: Tensor<5>, part: Option<&Tensor<5>>) -> Tensor<5> {
    let Some(part) = part else { return norm.forward_silu(x) };
    let [_, c, d, h, w] = x.dims();
    let n = part.clone().sum().into_scalar::<f32>();
    let mean = |x: Tensor<5>| {
        (x * part.clone()).reshape([c, d * h * w]).sum_dim(1).reshape([1, c, 1, 1, 1]) / n // [1, C, 1, 1, 1]
    };
    let centred = x.clone() - mean(x);
    let variance = mean(centred.clone() * centred.clone());
    let of = |p: Tensor<1>| p.reshape([1, c, 1, 1, 1]);
    silu(centred / (variance + EPS).sqrt() * of(norm.weight.val()) + of(norm.bias.val()))
}

struct Res {
    norms: [GroupNorm; 2],
    convs: [Conv3d; 2],
}

impl Res {
    fn forward(&self, x: Tensor<5>, part: Option<&Tensor<5>>) -> Tensor<5> {
        let y = self.convs[0].forward(norm_silu(&self.norms[0], x.clone(), part));
        self.convs[1].forward_add(norm_silu(&self.norms[1], y, part), Some(x))
    }
}

/// The decoder of the published sizes, layer by layer.
struct Decoder {
    first: Conv3d,
    norm: GroupNorm,
    blocks: Vec<(ConvTranspose3d, [Res; 2])>,
    last: Conv3d,
}

impl Decoder {
    fn new(device: &Device) -> Self {
        let conv = |name: &str, channels, kernel: usize| {
            let geometry = ConvGeometry::same([kernel; 3], [1; 3], Padding::Edge);
            let layer = Conv3dConfig { channels, geometry, bias: true }.init(device);
            with_rule_weights(layer, |n| format!("{name}.conv.{n}"))
        };
        let norm = |name: &str, channels, groups| {
            with_rule_weights(GroupNorm::new(channels, groups, EPS, device), |n| format!("{name}.{n}"))
        };
        let block = |i: usize, channels: [usize; 2]| {
            let name = format!("decoder.conv_blocks.{i}");
            let geometry = TransposedGeometry::doubling([true; 3], Padding::Edge);
            let up = ConvTranspose3dConfig { channels, geometry, bias: true }.init(device);
            let c = channels[1];
            let res = ["res1", "res2"].map(|res| Res {
                norms: ["norm1", "norm2"].map(|n| norm(&format!("{name}.{res}.{n}"), c, 32)),
                convs: ["conv1", "conv2"].map(|n| conv(&format!("{name}.{res}.{n}"), [c, c], 3)),
            });
            (with_rule_weights(up, |n| format!("{name}.up.convt.{n}")), res)
        };
        Self {
            first: conv("post_vq_conv", [8, 64], 1),
            norm: norm("decoder.final_block.0", 64, 32),
            blocks: vec![block(0, [64, 64]), block(1, [64, 32])],
            last: conv("decoder.conv_last", [32, 1], 3),
        }
    }

    /// Codes → what the last level begins with, shared by all parts.
    fn below(&self, codes: Tensor<5>) -> Tensor<5> {
        let x = self.norm.forward_silu(self.first.forward(codes));
        let (up, [res1, res2]) = &self.blocks[0];
        self.blocks[1].0.forward(res2.forward(res1.forward(up.forward(x), None), None))
    }

    /// The image in HU, 0 in the window's middle.
    fn last_level(&self, x: Tensor<5>, part: Option<&Tensor<5>>) -> Vec<f32> {
        let [res1, res2] = &self.blocks[1].1;
        let y = self.last.forward(res2.forward(res1.forward(x, part), part)) * HU;
        y.into_data().try_to_vec::<f32>().unwrap()
    }
}

/// Three crops of the example scan, at 1 mm and in [-1, 1].
fn crops() -> Vec<Array3<f32>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/crlm-ct-1006/ct.nii.gz");
    let scan = NiftiImage::read(path).unwrap().to_volume().unwrap();
    let scan = reorient(&scan, AxisCodes::RAS).unwrap();
    let scan = linear(&scan, &scan.grid().isotropic(1.0).unwrap(), Outside::Edge).unwrap();
    let window = HuWindow::new(-175.0, 250.0).unwrap();
    let signed = scan.data.mapv(|hu| window.to_signed(hu));
    let (h, w, d) = signed.dim();
    let cut = |x: usize| {
        let start = [(h - SIDE) * x / 4, (w - SIDE) / 2, (d - SIDE) / 2];
        let [a, b, c] = start.map(|s| s..s + SIDE);
        signed.slice(s![a, b, c]).to_owned()
    };
    [1, 2, 3].map(cut).to_vec()
}

fn voxels() -> impl Iterator<Item = [usize; 3]> {
    (0..SIDE.pow(3)).map(|i| [i / SIDE / SIDE, i / SIDE % SIDE, i % SIDE])
}

#[test]
#[ignore = "a measurement of two minutes"]
fn sampled_norms_change_tumors() {
    let device = Device::flex();
    let (decoder, autoencoder) = (Decoder::new(&device), {
        with_rule_weights(AutoencoderConfig::default().init(&device), Autoencoder::published_name)
    });
    let in_ball = |v: [usize; 3]| {
        v.iter().map(|i| (*i as f64 - SIDE as f64 / 2.0).powi(2)).sum::<f64>() <= BALL_VOX.powi(2)
    };
    let ball: Vec<usize> = voxels().enumerate().filter(|(_, v)| in_ball(*v)).map(|(i, _)| i).collect();
    let mut errors = vec![vec![]; PARTS.len()];
    for crop in crops() {
        let z = autoencoder.encode(from_crop(&crop, &device));
        let codes = autoencoder.lookup(autoencoder.indices(z), [1, SIDE / 4, SIDE / 4, SIDE / 4]);
        let real = autoencoder.decode_quantised(codes.clone()) * HU;
        let real = real.into_data().try_to_vec::<f32>().unwrap();
        let below = decoder.below(codes);
        let exact = decoder.last_level(below.clone(), None);
        // 1e-4 of the window's half is what the goldens allow.
        assert!(exact.iter().zip(&real).all(|(a, b)| (a - b).abs() <= 1e-4 * HU));
        for ((_, part), errors) in PARTS.iter().zip(&mut errors) {
            let mask: Vec<f32> = voxels().map(|v| f32::from(u8::from(part(v)))).collect();
            let mask = Tensor::from_data(TensorData::new(mask, [1, 1, SIDE, SIDE, SIDE]), &device);
            let found = decoder.last_level(below.clone(), Some(&mask));
            let differences: Vec<f32> = ball.iter().map(|i| (found[*i] - exact[*i]).abs()).collect();
            let max = differences.iter().copied().fold(0f32, f32::max);
            errors.push((max, differences.iter().sum::<f32>() / ball.len() as f32));
        }
    }
    println!("largest (mean) error in HU in a ball of {BALL_VOX} voxels, for each of three crops");
    for ((name, _), errors) in PARTS.iter().zip(errors) {
        let text: Vec<String> = errors.iter().map(|(max, mean)| format!("{max:.2} ({mean:.2})")).collect();
        println!("{name}: {}", text.join(", "));
    }
}
