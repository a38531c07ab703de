//! Our side of `just bench` (`reference/bench.py`), which alternates it with PyTorch, scipy and nibabel.
//!
//! Reads lines `STAGE REPS` from the standard input and answers each with one line of JSON: the stage, its times in
//! ms and the peak memory in MB above what the process held at its start. The first line of a stage also prepares it
//! and runs it once. Stages and their arguments are the ones of `STAGES` in that script; a first argument names the
//! folder with its scan.
//!
//! Weights and inputs are random: times do not depend on them.
use burn::tensor::{Device, Distribution, Tensor};
use difftumor::autoencoder::{Autoencoder, AutoencoderConfig};
use difftumor::diffusion::{Condition, DiffusionConfig, LatentScale, NoiseSource, sample};
use difftumor::nn::attention::Axis;
use difftumor::nn::cpu::tape::{Gradient, Operand, record};
use difftumor::nn::{
    AttentionConfig, AttentionKind, Conv3dConfig, ConvGeometry, ConvTranspose3dConfig, GroupNorm, Padding,
    TransposedGeometry,
};
use difftumor_ct::components::{Connectivity, components};
use difftumor_ct::draws::{Draws, Stream};
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_ct::resample::{Outside, linear};
use difftumor_ct::{distance, filter};
use std::hint::black_box;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A prepared stage.
type Run = Box<dyn FnMut()>;

fn device() -> Device {
    Device::flex()
}

fn random(shape: [usize; 5], device: &Device) -> Tensor<5> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number"))
}

/// `24x24x24`.
fn sides(text: &str) -> [usize; 3] {
    let all: Vec<usize> = text.split('x').map(number).collect();
    all.try_into().unwrap_or_else(|_| panic!("{text:?} are not three sides"))
}

fn run(mut f: impl FnMut() -> Tensor<5> + 'static) -> Run {
    Box::new(move || drop(black_box(f())))
}

/// A layer's function, with its input.
type Layer = (Box<dyn Fn(Tensor<5>) -> Tensor<5>>, Tensor<5>);

/// One layer: what it is, then its arguments, as after the stage's name.
fn layer(kind: &str, arguments: &[&str], device: &Device) -> Option<Layer> {
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
fn inference((layer, x): Layer) -> Run {
    run(move || layer(x.clone()))
}

/// Forward, and the gradients of the input and all weights for a given gradient of the result.
fn gradients((layer, x): Layer) -> Run {
    let x = x.require_grad();
    let g = layer(x.clone()).inner().into_data().try_to_vec::<f32>().expect("f32");
    Box::new(move || {
        let y = Operand::of(&layer(x.clone())).expect("on the CPU");
        let g = g.clone();
        let end: Tensor<1> = record([y], vec![0.0], [1], move |_, _| [Gradient::Of(g.clone())]);
        drop(black_box(end.backward()));
    })
}

struct Noise(Stream);
impl NoiseSource for Noise {
    fn normal(&mut self, n: usize) -> Vec<f32> {
        let mut out = vec![0.0; n];
        self.0.normals(&mut out);
        out.into_iter().map(|v| v as f32).collect()
    }
}

/// Condition, four U-Net calls, decoding.
fn early_tumor(autoencoder: Autoencoder, image: Tensor<5>) -> Run {
    let config = DiffusionConfig::default();
    let unet = config.init(&device());
    let mask = Tensor::<5>::zeros([1, 1, 96, 96, 96], &device());
    let cube = [0..1, 0..1, 40..56, 40..56, 40..56];
    let mask = mask.slice_assign(cube, Tensor::<5>::ones([1, 1, 16, 16, 16], &device()));
    let mut noise = Noise(Stream::new(1, 0, "versus", 0));
    run(move || {
        let condition = Condition::new(&autoencoder, image.clone(), mask.clone());
        let x = sample(&unet, &config, &condition, &mut noise);
        autoencoder.decode(LatentScale::of(&autoencoder).restore(x))
    })
}

/// A whole network, or several.
fn network(stage: &str) -> Option<Run> {
    let autoencoder = || AutoencoderConfig::default().init(&device());
    let (image, latents) =
        (|| random([1, 1, 96, 96, 96], &device()).clamp(-1.0, 1.0), || random([1, 8, 24, 24, 24], &device()));
    Some(match stage {
        "encode" => {
            let (a, x) = (autoencoder(), image());
            run(move || a.encode(x.clone()))
        }
        "search" => {
            let (a, z) = (autoencoder(), latents());
            Box::new(move || drop(black_box(a.indices(z.clone()))))
        }
        "decode" => {
            let (a, z) = (autoencoder(), latents());
            run(move || a.decode(z.clone()))
        }
        "unet" => {
            let (unet, x) = (DiffusionConfig::default().init(&device()), latents());
            let condition = random([1, 9, 24, 24, 24], &device());
            run(move || unet.forward(x.clone(), &[1], condition.clone()))
        }
        "tumor" => early_tumor(autoencoder(), image()),
        _ => return None,
    })
}

fn time<T>(mut f: impl FnMut() -> T + 'static) -> Run {
    Box::new(move || drop(black_box(f())))
}

/// Operations on the scan and the liver mask in `case`.
fn voxels(stage: &str, case: &Path) -> Option<Run> {
    let path = case.join("ct.nii.gz");
    if stage == "read" {
        return Some(time(move || {
            NiftiImage::read(&path).expect("the scan of bench.py").to_volume().expect("a CT")
        }));
    }
    let open = |path: &Path| NiftiImage::read(path).expect("a file of bench.py").to_volume().expect("a CT");
    let liver = || open(&case.join("liver.nii.gz")).data.mapv(|v| v > 0.0);
    let ct = open(&path);
    let spacing_mm = ct.affine.spacing_mm();
    Some(match stage {
        "linear" => {
            let iso = ct.grid().isotropic(1.0).expect("a sound grid");
            time(move || linear(&ct, &iso, Outside::Edge))
        }
        "gaussian" => time(move || filter::gaussian(&ct.data, [2.0; 3])),
        "distance" => {
            let liver = liver();
            drop(ct);
            time(move || distance::distance_mm(&liver, spacing_mm))
        }
        "components" => {
            let liver = liver();
            drop(ct);
            time(move || components(&liver, Connectivity::Corners).labels())
        }
        "components-noise" => {
            let dense = ct.data.mapv(|hu| hu > 60.0);
            drop(ct);
            time(move || components(&dense, Connectivity::Corners).labels())
        }
        _ => return None,
    })
}

fn prepare(stage: &str, case: Option<&Path>) -> Run {
    let parts: Vec<&str> = stage.split(':').collect();
    let found = match (parts[0], case) {
        ("ct", Some(case)) => voxels(parts[1], case),
        ("grad", _) => layer(parts[1], &parts[2..], &device().autodiff()).map(gradients),
        (kind, _) => layer(kind, &parts[1..], &device()).map(inference).or_else(|| network(stage)),
    };
    found.unwrap_or_else(|| panic!("no stage {stage:?}"))
}

/// A line of the process's status on Linux, in MB: `VmRSS` is its memory, `VmHWM` the peak of that.
fn memory_mb(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn main() {
    if std::io::stdin().is_terminal() {
        return eprintln!("started by `just bench`: reads lines `STAGE REPS`");
    }
    // `cargo bench` adds options of its own.
    let case = std::env::args().skip(1).find(|a| !a.starts_with('-')).map(PathBuf::from);
    let mut current: Option<(String, Run)> = None;
    let start_mb = memory_mb("VmRSS");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("text");
        let (stage, reps) = line.split_once(' ').expect("a line `STAGE REPS`");
        if current.as_ref().is_none_or(|(name, _)| name != stage) {
            let mut f = prepare(stage, case.as_deref());
            f();
            current = Some((stage.into(), f));
            // Forgets the peak of the preparation, where that is allowed.
            let _ = std::fs::write("/proc/self/clear_refs", "5");
        }
        let Some((_, f)) = &mut current else { unreachable!() };
        let times_ms: Vec<f64> = (0..number(reps))
            .map(|_| {
                let start = Instant::now();
                f();
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        let peak_mb = memory_mb("VmHWM") - start_mb;
        println!("{}", serde_json::json!({"stage": stage, "times_ms": times_ms, "peak_mb": peak_mb}));
    }
}
