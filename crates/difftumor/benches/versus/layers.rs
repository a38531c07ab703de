//! Single layers, forward or with gradients.
use super::{Run, number, random, run, sides};
use burn::tensor::{Device, Tensor};
use difftumor::diffusion::DiffusionConfig;
use difftumor::nn::activation::Activation;
use difftumor::nn::attention::Axis;
use difftumor::nn::cpu::tape::{Gradient, Operand, record};
use difftumor::nn::norm::{Normalisation, normalise};
use difftumor::nn::{
    AttentionConfig, AttentionKind, Conv3dConfig, ConvGeometry, ConvTranspose3dConfig, GroupNorm, Padding,
    TransposedGeometry,
};
use std::hint::black_box;

/// A layer's function, with its input.
pub type Layer = (Box<dyn Fn(Tensor<5>) -> Tensor<5>>, Tensor<5>);

/// One layer: what it is, then its arguments, as after the stage's name.
pub fn layer(kind: &str, arguments: &[&str], device: &Device) -> Option<Layer> {
    let input = |channels: &str, n: &str| {
        let [d, h, w] = sides(n);
        random([1, number(channels), d, h, w], device)
    };
    Some(match (kind, arguments) {
        ("conv", [from, to, kernel, stride, n, padding]) => {
            let padding = if *padding == "edge" { Padding::Edge } else { Padding::Zero };
            let geometry = ConvGeometry::same(sides(kernel), sides(stride), padding);
            let config = Conv3dConfig { channels: [number(from), number(to)], geometry, bias: true };
            let layer = config.init(device);
            (Box::new(move |x| layer.forward(x)), input(from, n))
        }
        ("up", [from, to, n]) => {
            let geometry = TransposedGeometry::doubling([true; 3], Padding::Edge);
            let config = ConvTranspose3dConfig { channels: [number(from), number(to)], geometry, bias: true };
            let layer = config.init(device);
            (Box::new(move |x| layer.forward(x)), input(from, n))
        }
        ("grow", [from, to, kernel, n]) => {
            let k = number(kernel);
            let geometry = TransposedGeometry {
                kernel: [k; 3],
                stride: [2; 3],
                trim_before: [k % 2; 3],
                padding: Padding::Zero,
            };
            let config = ConvTranspose3dConfig { channels: [number(from), number(to)], geometry, bias: true };
            let layer = config.init(device);
            (Box::new(move |x| layer.forward(x)), input(from, n))
        }
        ("norm", [channels, groups, n]) => {
            let layer = GroupNorm::new(number(channels), number(groups), 1e-5, device);
            (Box::new(move |x| layer.forward_silu(x)), input(channels, n))
        }
        ("instance", [channels, n]) => {
            let slope = Tensor::<1>::full([1], 0.25, device);
            let slope = if device.is_autodiff() { slope.require_grad() } else { slope };
            let norm = Normalisation {
                groups: number(channels),
                measured: true,
                eps: 1e-5,
                affine: None,
                film: None,
                activation: Activation::PRelu(slope),
                residual: None,
            };
            (Box::new(move |x| normalise(x, &norm)), input(channels, n))
        }
        ("attention", [axis, channels, n]) => {
            let (slice, published) = (*axis == "slice", DiffusionConfig::default());
            let layer = AttentionConfig {
                channels: number(channels),
                heads: published.heads,
                head_channels: published.head_channels,
                axis: if slice { Axis::Slice } else { Axis::Depth },
                kind: if slice { AttentionKind::Linear } else { AttentionKind::Softmax },
                out_bias: slice,
            }
            .init(device);
            let (unet, depth) = (published.init(device), sides(n)[0]);
            let at = device.clone();
            let forward = move |x| {
                let positions = (!slice).then(|| unet.positions(depth, &at));
                layer.forward(x, positions.as_ref())
            };
            (Box::new(forward), input(channels, n))
        }
        _ => return None,
    })
}

/// Forward only.
pub fn inference((layer, x): Layer) -> Run {
    run(move || layer(x.clone()))
}

/// Forward, and the gradients of the input and all weights for a given gradient of the result.
pub fn gradients((layer, x): Layer) -> Run {
    let x = x.require_grad();
    let values = layer(x.clone()).inner().into_data().try_to_vec::<f32>().expect("f32");
    let g = Tensor::<5>::ones_like(&layer(x.clone())).detach();
    Box::new(move || {
        let y = layer(x.clone());
        // On the CPU the gradient enters without a pass over the data, as PyTorch's does.
        let gradients = match Operand::of(&y) {
            Some(y) => {
                let values = values.clone();
                let rule = move |_: &[f32], _| [Gradient::Of(values.clone())];
                record::<1, 1>([y], vec![0.0], [1], rule).backward()
            }
            None => (y * g.clone()).sum().backward(),
        };
        drop(black_box(gradients));
    })
}
